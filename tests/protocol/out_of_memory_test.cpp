#include <duplex/protocol/session.hpp>

// What the queue and the session do when memory or randomness runs out, at each place where it can.

#include "support/block_cache.hpp"
#include "support/catch.hpp"
#include "support/output.hpp"
#include "support/seen_event.hpp"
#include "support/system_faults.hpp"
#include "support/wire.hpp"

#include <array>
#include <climits>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

using namespace duplex;
using namespace duplex::testing;
using namespace std::chrono_literals;

TEST_CASE("what no memory can hold is refused, and what was sent before stays") {
    const auto self = GENERATE(values({role::client, role::server}));
    session s{self};
    CHECK((s.send(opcode::binary, "before") == send_status::ok));
    const auto before = s.queued();
    // The payload is not looked at before its memory is there.
    // Not a constant: the compiler would see through it, and warn of a copy that is never made.
    const volatile std::size_t no_such_size = SIZE_MAX / 2;
    const std::span<const std::byte> endless{view("before").data(), no_such_size};
    session unlimited{self, {.limits = {.queue_bytes = SIZE_MAX}}};
    CHECK((unlimited.send(opcode::binary, endless) == send_status::out_of_memory));
    CHECK(unlimited.queued() == 0);
    CHECK((unlimited.send(opcode::binary, "after") == send_status::ok));
    CHECK((s.send(opcode::binary, endless) == send_status::queue_full));
    CHECK(s.queued() == before);
}

#if defined(DUPLEX_TESTING_FAULTS)

namespace {

constexpr std::size_t large = send_queue::reference_threshold;

frame_header header_of(std::string_view payload) { return {.op = opcode::binary, .length = payload.size()}; }

/// What a push may take its payload from.
struct offer {
    octets payload;
    byte_buffer own;
    prepared_message prepared;
};

struct push_row {
    const char* name;
    std::size_t size;
    bool (*push)(send_queue&, offer&);
};

constexpr std::array pushes{
    push_row{"copy", 1000,
             [](send_queue& q, offer& o) { return q.push_copy(header_of(o.payload), view(o.payload)); }},
    push_row{"owned, small", 1000,
             [](send_queue& q, offer& o) { return q.push_owned(header_of(o.payload), std::move(o.own)); }},
    push_row{"owned", large,
             [](send_queue& q, offer& o) { return q.push_owned(header_of(o.payload), std::move(o.own)); }},
    push_row{"borrowed", large,
             [](send_queue& q, offer& o) { return q.push_borrowed(header_of(o.payload), view(o.payload)); }},
    push_row{"prepared, small", 1000, [](send_queue& q, offer& o) { return q.push_prepared(o.prepared); }},
    push_row{"prepared", large, [](send_queue& q, offer& o) { return q.push_prepared(o.prepared); }},
};

/// What a queue holds before a push: nothing, a block that may grow, one that is held, one that is partly
/// written.
enum class state { fresh, open, held, begun };

/// Brings a queue there; returns what has been written.
octets bring_to(send_queue& queue, state to) {
    if (to == state::fresh) return {};
    REQUIRE(queue.push_copy(header_of("first"), view("first")));
    std::array<segment, 1> out;
    if (to != state::open) REQUIRE(queue.gather(out) == 1);
    if (to == state::held) queue.hold();
    if (to != state::begun) return {};
    const octets written = to_octets(out[0]).substr(0, 3);
    queue.consumed(3);
    return written;
}

} // namespace

TEST_CASE("a push that finds no memory changes nothing, wherever it runs out") {
    const auto from = GENERATE(values({state::fresh, state::open, state::held, state::begun}));
    // For good, or for one allocation alone.
    const auto missing = GENERATE(values({LONG_MAX, 1L}));
    for (const auto& row : pushes) {
        CAPTURE(row.name, static_cast<int>(from), missing);
        const octets before = from == state::fresh ? "" : frame_bytes(role::server, opcode::binary, "first");
        const octets payload(row.size, 'p');
        const octets frame = frame_bytes(role::server, opcode::binary, payload);
        bool enough = false;
        for (long count = 0; !enough; ++count) {
            REQUIRE(count < 10);
            CAPTURE(count);
            offer offered{payload, owned(payload), prepared_message::binary(view(payload))};
            send_queue queue;
            octets written = bring_to(queue, from);
            const auto bytes = queue.bytes();
            bool pushed = false;
            {
                const scarce_memory memory{count, missing};
                pushed = row.push(queue, offered);
                enough = !memory.ran_out();
            }
            REQUIRE(pushed == enough);
            if (!pushed) {
                REQUIRE(queue.bytes() == bytes);
                REQUIRE((to_octets(offered.own.bytes()) == payload));
                REQUIRE(row.push(queue, offered));
            }
            written += drained(queue);
            REQUIRE((written == before + frame));
        }
    }
}

TEST_CASE("what is borrowed is not settled without memory") {
    const octets big(large, 'b');
    send_queue queue;
    REQUIRE(queue.push_borrowed(header_of(big), view(big)));
    REQUIRE(queue.push_borrowed(header_of(big), view(big)));
    CHECK(!without_memory([&] { return queue.settle(); }));

    send_queue adopting;
    auto lent = owned(big);
    const auto lent_bytes = lent.bytes();
    REQUIRE(adopting.push_borrowed(header_of(big), lent_bytes));
    // The first takes the memory over, which takes none.
    CHECK(without_memory([&] { return adopting.adopt(std::move(lent)); }));
    auto again = owned(big);
    REQUIRE(adopting.push_borrowed(header_of(big), again.bytes()));
    REQUIRE(adopting.push_borrowed(header_of(big), again.bytes()));
    CHECK(!without_memory([&] { return adopting.adopt(std::move(again)); }));
}

TEST_CASE("a control frame that finds no memory is refused, and a Pong waits for it") {
    const octets pong = frame_bytes(role::server, opcode::pong, "pong");
    const frame_header header{.op = opcode::pong, .length = 4};
    send_queue queue;
    CHECK(!without_memory([&] { return queue.push_control(header, view("pong")); }));
    CHECK(!without_memory([&] { return queue.push_pong(header, view("pong")); }));
    CHECK(queue.empty());
    bool pushed = false;
    {
        // None for the control lane, but for the Pong alone.
        const scarce_memory memory{0, 1};
        pushed = queue.push_pong(header, view("pong"));
    }
    CHECK(pushed);
    CHECK(queue.bytes() == pong.size());
    REQUIRE(queue.push_copy(header_of("data"), view("data")));
    std::array<segment, 4> out;
    // The Pong stays where it waits, and the data need not wait for it.
    CHECK(without_memory([&] { return queue.gather(out); }) == 1);
    CHECK(to_octets(out[0]) == frame_bytes(role::server, opcode::binary, "data"));
    CHECK(drained(queue) == pong + frame_bytes(role::server, opcode::binary, "data"));
}

TEST_CASE("a control frame that a write holds stays where it is, also one that found no memory at first") {
    const frame_header header{.op = opcode::pong, .length = 4};
    send_queue queue;
    {
        const scarce_memory memory{0, 1};
        REQUIRE(queue.push_pong(header, view("late")));
    }
    std::array<segment, 4> out;
    REQUIRE(queue.gather(out) == 1);
    queue.hold();
    const auto held = out[0];
    const octets before = to_octets(held);
    for (int i = 0; i < 100; ++i)
        REQUIRE(queue.push_pong(header, view("more")));
    REQUIRE(queue.gather(out) == 1);
    CHECK(out[0].data() == held.data());
    CHECK(to_octets(held) == before);
}

namespace {

struct send_row {
    const char* name;
    std::size_t size;
    send_status (*send)(session&, offer&);
};

constexpr std::array sends{
    send_row{"short", 100, [](session& s, offer& o) { return s.send(opcode::binary, view(o.payload)); }},
    send_row{"copy", 1000, [](session& s, offer& o) { return s.send(opcode::binary, view(o.payload)); }},
    send_row{"owned", large, [](session& s, offer& o) { return s.send(opcode::binary, std::move(o.own)); }},
    send_row{"borrowed", large,
             [](session& s, offer& o) { return s.send_borrowed(opcode::binary, view(o.payload)); }},
    send_row{"prepared, small", 1000, [](session& s, offer& o) { return s.send(o.prepared); }},
    send_row{"prepared", large, [](session& s, offer& o) { return s.send(o.prepared); }},
    send_row{"fragment", 1000,
             [](session& s, offer& o) { return s.send_fragment(opcode::binary, view(o.payload), true); }},
};

} // namespace

TEST_CASE("a message that finds no memory is refused, and can be sent once there is some") {
    const auto self = GENERATE(values({role::client, role::server}));
    for (const auto& row : sends) {
        const octets payload(row.size, 'p');
        bool enough = false;
        for (long count = 0; !enough; ++count) {
            REQUIRE(count < 10);
            CAPTURE(row.name, count);
            offer offered{payload, owned(payload), prepared_message::binary(view(payload))};
            session s{self};
            send_status status{};
            {
                const scarce_memory memory{count};
                status = row.send(s, offered);
                enough = !memory.ran_out();
            }
            REQUIRE((status == (enough ? send_status::ok : send_status::out_of_memory)));
            REQUIRE(s.is_open());
            if (!enough) {
                REQUIRE(s.queued() == 0);
                REQUIRE((row.send(s, offered) == send_status::ok));
            }
            const auto frames = read_frames(drained(s));
            REQUIRE(frames);
            REQUIRE(frames->size() == 1);
            REQUIRE((frames->front().payload == payload));
        }
    }
}

TEST_CASE("a Ping and a Close that find no memory are refused, and can be sent once there is some") {
    const auto self = GENERATE(values({role::client, role::server}));
    for (const long count : {0, 1}) {
        CAPTURE(count);
        session s{self};
        send_status status{};
        {
            const scarce_memory memory{count};
            status = s.ping(view("ping"));
        }
        CHECK((status == send_status::out_of_memory));
        CHECK(s.queued() == 0);
        CHECK((s.ping(view("ping")) == send_status::ok));
        CHECK(read_frames(drained(s))->front().payload == "ping");

        session closing{self};
        std::error_code error;
        {
            const scarce_memory memory{count};
            error = closing.close(close_code::normal, "done");
        }
        CHECK(error == make_error_code(errc::out_of_memory));
        CHECK(closing.is_open());
        CHECK(closing.queued() == 0);
        CHECK(!closing.close(close_code::normal, "done"));
        CHECK(read_frames(drained(closing))->front().payload == close_payload(1000, "done"));
    }
}

TEST_CASE("a message that was not prepared for want of memory is refused for it") {
    const auto self = GENERATE(values({role::client, role::server}));
    session s{self};
    const auto none = without_memory([] { return prepared_message::text("none"); });
    CHECK((s.send(none) == send_status::out_of_memory));
    CHECK((s.send(prepared_message::text("\xff")) == send_status::text_not_utf8));
    CHECK(s.queued() == 0);
}

namespace {

/// What comes of `bytes` where memory is left for `enough` allocations.
seen_event received(session& s, octets& bytes, long enough) {
    s.receive(std::as_writable_bytes(std::span{bytes}));
    event found;
    {
        const scarce_memory memory{enough};
        found = s.next();
    }
    return see(found);
}

void check_failed(session& s, const seen_event& found) {
    CHECK(describe(found) == describe(failed(errc::out_of_memory)));
    CHECK(!s.next());
    CHECK((s.error() == errc::out_of_memory));
    CHECK(!s.is_open());
}

} // namespace

TEST_CASE("a connection fails that has no memory to answer a Ping or a Close") {
    const auto self = GENERATE(values({role::client, role::server}));
    const auto op = GENERATE(values({opcode::ping, opcode::close}));
    for (const long enough : {0, 1}) {
        CAPTURE(enough);
        session s{self};
        octets bytes = frame_bytes(peer_of(self), op, "");
        check_failed(s, received(s, bytes, enough));
        CHECK(s.queued() == 0);
        CHECK((s.transport() == transport_step::finish));
    }
}

TEST_CASE("a connection fails that has no memory for what a window has cut") {
    const auto self = GENERATE(values({role::client, role::server}));
    const auto op = GENERATE(values({opcode::ping, opcode::binary}));
    const octets whole = frame_bytes(peer_of(self), op, octets(100, 'p'));
    // For what keeps track of it, and for its bytes. A thread that has received before has the first at hand.
    for (const long enough : {0, 1}) {
        CAPTURE(enough);
        session s{self};
        octets first = whole.substr(0, 50);
        seen_event found;
        std::thread{[&] { found = received(s, first, enough); }}.join();
        check_failed(s, found);
        CHECK(s.queued() == 0);
    }
    session s{self};
    octets first = whole.substr(0, 50);
    CHECK((received(s, first, LONG_MAX).what == event::kind::need_more));
    octets rest = whole.substr(50);
    CHECK((received(s, rest, LONG_MAX).payload == octets(100, 'p')));
}

TEST_CASE("a large message is received through windows where there is no memory for direct room") {
    const auto self = GENERATE(values({role::client, role::server}));
    forget_blocks();
    session s{self};
    const octets payload(100'000, 'p');
    const octets whole = frame_bytes(peer_of(self), opcode::binary, payload);
    octets first = whole.substr(0, 50);
    CHECK((received(s, first, LONG_MAX).what == event::kind::need_more));
    const auto room = s.direct();
    REQUIRE(!room.empty());
    std::memcpy(room.data(), whole.data() + 50, room.size());
    s.received_direct(room.size());
    // What there was is full now.
    CHECK(without_memory([&] { return s.direct().empty(); }));
    CHECK(s.is_open());
    octets rest = whole.substr(50 + room.size());
    CHECK((received(s, rest, LONG_MAX).payload == payload));
}

TEST_CASE("a connection fails that has no memory to keep what it borrowed") {
    octets window(20'000, 'w');
    session s{role::server};
    CHECK((s.send_borrowed(opcode::binary, view(window)) == send_status::ok));
    without_memory([&] {
        s.settle();
        return true;
    });
    CHECK(describe(see(s.next())) == describe(failed(errc::out_of_memory)));
    // What is queued is not whole any more.
    CHECK((s.transport() == transport_step::abort));
    std::array<segment, 4> out;
    CHECK(s.gather(out) == 0);
    CHECK(s.only_segment().empty());
}

TEST_CASE("a connection fails that has no memory to keep a message that it sends back twice") {
    // For good, or for one allocation alone.
    const auto missing = GENERATE(values({LONG_MAX, 1L}));
    session s{role::server};
    const octets payload(20'000, 'm');
    octets first = frame_bytes(role::client, opcode::binary, payload.substr(0, 10'000), {.fin = false});
    octets second = frame_bytes(role::client, opcode::continuation, payload.substr(10'000));
    s.receive(std::as_writable_bytes(std::span{first}));
    CHECK(!s.next());
    s.receive(std::as_writable_bytes(std::span{second}));
    const event found = s.next();
    CHECK((s.send_back(found.op, found.payload) == send_status::ok));
    CHECK((s.send_back(found.op, found.payload) == send_status::ok));
    {
        const scarce_memory memory{0, missing};
        s.settle();
    }
    CHECK(describe(see(s.next())) == describe(failed(errc::out_of_memory)));
    CHECK((s.transport() == transport_step::abort));
    std::array<segment, 4> out;
    CHECK(s.gather(out) == 0);
}

TEST_CASE("a Ping that finds no memory is skipped: the next one comes an interval later") {
    const auto self = GENERATE(values({role::client, role::server}));
    const timeouts times{.ping_interval = 30s, .pong = 20s, .idle = 0s, .write = 0s, .close = 0s};
    session s{self, {.timeouts = times}};
    without_memory([&] {
        s.on_time(time_point{} + 30s);
        return true;
    });
    CHECK(s.is_open());
    CHECK(s.queued() == 0);
    CHECK((s.next_deadline() == time_point{} + 60s));
    s.on_time(time_point{} + 60s);
    CHECK(read_frames(drained(s))->front().op == 9);
    CHECK((s.next_deadline() == time_point{} + 80s));
}

TEST_CASE("a connection that fails without memory for its Close ends without one") {
    const auto self = GENERATE(values({role::client, role::server}));
    session s{self};
    without_memory([&] {
        s.fail(errc::invalid_utf8);
        return true;
    });
    CHECK(s.queued() == 0);
    CHECK(describe(see(s.next())) == describe(failed(errc::invalid_utf8)));
    CHECK((s.transport() == transport_step::finish));
}

TEST_CASE("without a masking key a client sends nothing, and a server needs none") {
    const auto self = GENERATE(values({role::client, role::server}));
    session s{self};
    std::array<send_status, 5> refused{};
    std::error_code close_error;
    // A thread of its own, which has no seed from earlier.
    std::thread([&] {
        const scripted_random system{scripted_random::none};
        refused = {s.send(opcode::binary, "short"), s.send(opcode::binary, octets(1000, 'p')),
                   s.send(prepared_message::text("prepared")), s.ping(view("ping")),
                   s.send_fragment(opcode::text, view("fragment"), true)};
        close_error = s.close();
    }).join();
    for (const auto status : refused)
        CHECK((status == (self == role::client ? send_status::no_random : send_status::ok)));
    CHECK(close_error ==
          (self == role::client ? make_error_code(errc::random_source_failed) : std::error_code{}));
    CHECK(s.is_open() == (self == role::client));
    if (self == role::server) return;
    CHECK(s.queued() == 0);
    CHECK((s.send(opcode::binary, "short") == send_status::ok));
    CHECK(!s.close());
    CHECK(read_frames(drained(s))->size() == 2);
}

TEST_CASE("without a masking key a client fails where it has to answer") {
    const auto op = GENERATE(values({opcode::ping, opcode::close}));
    session s{role::client};
    octets bytes = frame_bytes(role::server, op, "");
    event found;
    std::thread([&] {
        const scripted_random system{scripted_random::none};
        s.receive(std::as_writable_bytes(std::span{bytes}));
        found = s.next();
    }).join();
    CHECK((found.what == event::kind::failed));
    CHECK((found.error == errc::random_source_failed));
    CHECK(!s.is_open());
    CHECK(s.queued() == 0);
}

TEST_CASE("a session that finds no memory for its options has failed") {
    std::optional<session> made;
    without_memory([&] {
        made.emplace(role::server, session_options{.limits = {.queue_watermark = 1}});
        return 0;
    });
    CHECK_FALSE(made->is_open());
    const event said = made->next();
    CHECK(said.what == event::kind::failed);
    CHECK(said.error == errc::out_of_memory);
}

#endif
