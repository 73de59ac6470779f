#include <duplex/protocol/session.hpp>

#include "support/catch.hpp"
#include "support/transcript.hpp"

#include <array>

using namespace duplex;
using namespace duplex::testing;
using namespace std::chrono_literals;

namespace {

constexpr session_options all{
    .timeouts = {.ping_interval = 30s, .pong = 20s, .idle = 100s, .write = 25s, .close = 10s}};

constexpr time_point after(int ms) { return time_point{} + std::chrono::milliseconds{ms}; }

auto due_at(int ms) {
    return [ms](session& s) { CHECK((s.next_deadline() == after(ms))); };
}

} // namespace

TEST_CASE("pings a silent peer and takes anything for an answer") {
    const auto self = GENERATE(values({role::client, role::server}));
    transcript{self, all}
        .act(due_at(30'000))
        .at(29'999)
        .expect_write("")
        .at(30'000)
        .expect_write_frame(opcode::ping, "")
        .act(due_at(50'000))
        .act([](session& s) { s.at(after(49'999)); })
        .peer_frame(opcode::pong, "")
        .expect(pong())
        .at(50'000)
        .expect_nothing()
        .act(due_at(79'999))
        .check();
}

TEST_CASE("fails a connection whose peer does not answer a Ping") {
    const auto self = GENERATE(values({role::client, role::server}));
    transcript{self, all}
        .at(30'000)
        .expect_write_frame(opcode::ping, "")
        .at(49'999)
        .expect_nothing()
        .at(50'000)
        .expect(failed(errc::pong_timeout))
        .expect_nothing()
        .expect_write_frame(opcode::close, close_payload(1011))
        .expect_transport(transport_step::finish)
        .act(due_at(60'000))
        .at(60'000)
        .expect_nothing()
        .expect_transport(transport_step::abort)
        .check();
}

TEST_CASE("a Ping that is not written yet is neither repeated nor awaited") {
    const auto self = GENERATE(values({role::client, role::server}));
    session s{self, {.timeouts = {.ping_interval = 30s, .pong = 20s, .write = 0s}}};
    s.on_time(after(30'000));
    const auto queued = s.queued();
    CHECK(queued != 0);
    s.on_time(after(90'000));
    CHECK(s.queued() == queued);
    CHECK((s.next_deadline() == no_deadline));
    std::array<segment, 1> out;
    REQUIRE(s.gather(out) == 1);
    s.consumed(1);
    CHECK((s.next_deadline() == no_deadline));
    s.consumed(queued - 1);
    CHECK((s.next_deadline() == after(110'000)));
}

TEST_CASE("a Ping that finds no room waits for it, and is not taken for one that was sent") {
    const auto self = GENERATE(values({role::client, role::server}));
    session s{self, all};
    while (s.ping({}) == send_status::ok) {
    }
    s.at(after(29'000));
    std::array<segment, 4> out;
    REQUIRE(s.gather(out) == 1);
    s.consumed(1);
    s.on_time(after(30'000));
    CHECK((s.next_deadline() > after(30'000)));
    const auto drain = [&] {
        octets written;
        while (s.gather(out) != 0) {
            written += to_octets(out[0]);
            s.consumed(out[0].size());
        }
        return written;
    };
    s.at(after(31'000));
    (void)drain();
    // The answer that nobody owes is not missed; the Ping is due again.
    CHECK((s.next_deadline() <= after(31'000)));
    s.on_time(after(31'000));
    CHECK(!drain().empty());
    CHECK((s.next_deadline() == after(51'000)));
    s.on_time(after(51'000));
    CHECK((s.error() == errc::pong_timeout));
}

TEST_CASE("while nobody reads, a Ping without an answer proves nothing, and the next one comes later") {
    const auto self = GENERATE(values({role::client, role::server}));
    session s{self, all};
    octets written;
    const auto drain = [&] {
        std::array<segment, 4> out;
        octets bytes;
        while (s.gather(out) != 0) {
            bytes += to_octets(out[0]);
            s.consumed(out[0].size());
        }
        return bytes;
    };
    s.on_time(after(30'000), false);
    CHECK(read_frames(drain())->size() == 1);
    s.on_time(after(50'000), false);
    CHECK(s.is_open());
    CHECK(drain().empty());
    CHECK((s.next_deadline() == after(80'000)));
    s.on_time(after(80'000), true);
    CHECK(read_frames(drain())->size() == 1);
    s.on_time(after(100'000), true);
    CHECK((s.next().error == errc::pong_timeout));
}

TEST_CASE("fails a connection that takes no bytes") {
    const auto self = GENERATE(values({role::client, role::server}));
    session s{self, all};
    s.at(after(1000));
    CHECK((s.send(opcode::text, "first") == send_status::ok));
    CHECK((s.next_deadline() == after(26'000)));
    s.at(after(20'000));
    CHECK((s.send(opcode::text, "does not put it off") == send_status::ok));
    CHECK((s.next_deadline() == after(26'000)));
    std::array<segment, 1> out;
    REQUIRE(s.gather(out) == 1);
    s.consumed(1);
    CHECK((s.next_deadline() == after(30'000)));
    s.on_time(after(30'000));
    s.on_time(after(45'000));
    CHECK((s.next().error == errc::write_timeout));
    // A Close could not leave either.
    CHECK((s.transport() == transport_step::abort));
    CHECK(s.gather(out) == 0);
}

TEST_CASE("closes a connection without messages, whatever Pings come") {
    const auto self = GENERATE(values({role::client, role::server}));
    const bool answers = GENERATE(true, false);
    transcript script{self, {.timeouts = {.ping_interval = 0s, .idle = 100s, .close = 10s}}};
    script.act([](session& s) { s.at(after(99'000)); })
        .peer_frame(opcode::ping, "")
        .expect(ping())
        .expect_write_frame(opcode::pong, "")
        .at(99'999)
        .expect_write("")
        .at(100'000)
        .expect_nothing()
        .expect_write_frame(opcode::close, close_payload(1001, "idle"))
        .act([](session& s) { CHECK((s.error() == errc::idle_timeout)); })
        .act(due_at(110'000));
    if (answers)
        script.peer_frame(opcode::close, close_payload(1001))
            .expect(closed(close_code::going_away))
            .act([](session& s) { CHECK((s.error() == errc::idle_timeout)); });
    else
        script.at(110'000).expect(failed(errc::idle_timeout)).expect_transport(transport_step::abort);
    script.check();
}

TEST_CASE("a message, whole or in pieces, puts the idle deadline off") {
    const auto self = GENERATE(values({role::client, role::server}));
    const bool pieces = GENERATE(true, false);
    transcript{self, {.timeouts = {.ping_interval = 0s, .idle = 100s}, .deliver_fragments = pieces}}
        .act([](session& s) { s.at(after(50'000)); })
        .peer_frame(opcode::binary, "message")
        .expect(pieces ? fragment(opcode::binary, "message", true) : binary_message("message"))
        .act(due_at(150'000))
        .check();
}

TEST_CASE("a peer that ignores our Close is gone at the close deadline, whatever else it sends") {
    const auto self = GENERATE(values({role::client, role::server}));
    transcript{self, all}
        .act([](session& s) { CHECK(!s.close()); })
        .expect_write_frame(opcode::close, close_payload(1000))
        .act(due_at(10'000))
        .act([](session& s) { s.at(after(9000)); })
        .peer_frame(opcode::text, "still talking")
        .expect(message("still talking"))
        .at(9999)
        .expect_transport(transport_step::keep)
        .at(10'000)
        .expect(failed(errc::close_timeout))
        .expect_nothing()
        .expect_write("")
        .expect_transport(transport_step::abort)
        .check();
}

TEST_CASE("after the closing handshake the transport has the close time to end") {
    const auto self = GENERATE(values({role::client, role::server}));
    transcript{self, all}
        .act([](session& s) { s.at(after(5000)); })
        .peer_frame(opcode::close, "")
        .expect(closed())
        .expect_write_frame(opcode::close, "")
        .act(due_at(15'000))
        .at(15'000)
        .expect_nothing()
        .expect_transport(transport_step::abort)
        .check();
}

TEST_CASE("with all times off nothing ever happens by itself") {
    const auto self = GENERATE(values({role::client, role::server}));
    transcript{self, {.timeouts = {.ping_interval = 0s, .pong = 0s, .idle = 0s, .write = 0s, .close = 0s}}}
        .act([](session& s) { CHECK((s.next_deadline() == no_deadline)); })
        .at(2'000'000'000)
        .expect_write("")
        .act([](session& s) {
            CHECK((s.send(opcode::text, "slow") == send_status::ok));
            CHECK(!s.close());
            CHECK((s.next_deadline() == no_deadline));
        })
        .at(2'100'000'000)
        .expect_nothing()
        .expect_write_bytes(frame_bytes(role::server, opcode::text, "slow") +
                            frame_bytes(role::server, opcode::close, close_payload(1000)))
        .check();
}

TEST_CASE("tells when a written Ping and its answer bring the next deadline closer") {
    const auto self = GENERATE(values({role::client, role::server}));
    session s{self, {.timeouts = {.ping_interval = 1s, .pong = 30s}}};
    s.on_time(after(1000));
    std::array<segment, 1> out;
    REQUIRE(s.gather(out) == 1);
    s.consumed(out[0].size());
    CHECK((s.next_deadline() == after(31'000)));
    CHECK(s.deadline_came_closer());
    CHECK(!s.deadline_came_closer());
    octets pong = frame_bytes(peer_of(self), opcode::pong, "");
    s.at(after(1100));
    s.receive(std::as_writable_bytes(std::span{pong}));
    CHECK((s.next().what == event::kind::pong));
    CHECK((s.next_deadline() == after(2100)));
    CHECK(s.deadline_came_closer());
    CHECK(!s.deadline_came_closer());
}

TEST_CASE("at the end of its life a connection is closed in order, behind what is queued") {
    const auto self = GENERATE(values({role::client, role::server}));
    session_options options = all;
    options.timeouts.life = 20s;
    transcript{self, options}
        .act(due_at(20'000))
        .peer_frame(opcode::text, "busy")
        .expect(message("busy"))
        .act([](session& s) { CHECK((s.send(opcode::text, "last") == send_status::ok)); })
        .at(19'999)
        .expect_write_frame(opcode::text, "last")
        .at(20'000)
        .expect_nothing()
        .expect_write_frame(opcode::close, close_payload(1001, "end of life"))
        .act([](session& s) {
            CHECK((s.error() == errc::life_timeout));
            CHECK((s.send(opcode::text, "late") == send_status::not_open));
        })
        .act(due_at(30'000))
        .peer_frame(opcode::close, close_payload(1001))
        .expect(closed(close_code::going_away))
        .check();
}

TEST_CASE("a peer that does not answer the Close at the end of a life is not waited for") {
    const auto self = GENERATE(values({role::client, role::server}));
    session s{self, {.timeouts = {.life = 20s, .close = 10s}, .life_code = close_code::service_restart}};
    s.on_time(after(20'000));
    CHECK((s.state() == closing::state::close_sent));
    s.on_time(after(29'999));
    CHECK((s.transport() == transport_step::keep));
    s.on_time(after(30'000));
    CHECK((s.error() == errc::life_timeout));
    CHECK((s.transport() == transport_step::abort));
}

TEST_CASE("what a life ends with can be chosen among the codes that may travel") {
    const auto [code, sent] = GENERATE(table<close_code, std::uint16_t>({
        {close_code::service_restart, std::uint16_t{1012}},
        {close_code{4000}, std::uint16_t{4000}},
        {close_code::abnormal, std::uint16_t{1001}},
        {close_code::no_status, std::uint16_t{1001}},
    }));
    transcript{role::server, {.timeouts = {.ping_interval = 0s, .life = 20s}, .life_code = code}}
        .at(20'000)
        .expect_write_frame(opcode::close, close_payload(sent, "end of life"))
        .check();
}
