#include <duplex/protocol/session.hpp>

#include "support/catch.hpp"
#include "support/transcript.hpp"

#include <array>

using namespace duplex;
using namespace duplex::testing;

namespace {

auto close_with(close_code code = close_code::normal, std::string_view reason = {}) {
    return [code, reason](session& s) { CHECK(!s.close(code, reason)); };
}

auto say(std::string_view text) {
    return [text](session& s) { CHECK((s.send(opcode::text, text) == send_status::ok)); };
}

/// RFC 6455 7.1.1: the server ends the connection, the client waits for that.
transport_step ended(role self) {
    return self == role::server ? transport_step::finish : transport_step::await_end;
}

} // namespace

TEST_CASE("the peer's Close is answered once, with its own code, and ends everything") {
    const auto self = GENERATE(values({role::client, role::server}));
    const auto code = GENERATE(values({1000U, 1001U, 1003U, 1007U, 1011U, 1012U, 1014U, 3000U, 4999U}));
    transcript{self}
        .peer_frame(opcode::text, "last words")
        .peer_frame(opcode::close, close_payload(code, "bye \xc3\xb6"))
        .peer_frame(opcode::text, "data after Close")
        .peer_frame(opcode::ping, "ping after Close")
        .peer_frame(opcode::close, close_payload(1000))
        .expect(message("last words"))
        .expect(closed(static_cast<close_code>(code), "bye \xc3\xb6"))
        .expect_nothing()
        .expect_write_frame(opcode::close, close_payload(code))
        .expect_transport(ended(self))
        .act([](session& s) {
            CHECK((s.state() == closing::state::done));
            CHECK((s.error() == errc::closed));
            CHECK((s.send(opcode::text, "too late") == send_status::not_open));
            CHECK((s.send_fragment(opcode::text, view("too late"), true) == send_status::not_open));
            CHECK((s.pong({}) == send_status::not_open));
            CHECK(!s.close());
            s.fail(errc::idle_timeout);
            CHECK((s.error() == errc::closed));
        })
        .peer_frame(opcode::text, "later read")
        .peer("ff ff ff")
        .expect_nothing()
        .eof()
        .expect_nothing()
        .expect_transport(ended(self))
        .check();
}

TEST_CASE("a Close without a code is answered with one without a code") {
    const auto self = GENERATE(values({role::client, role::server}));
    transcript{self}
        .peer_frame(opcode::close, "")
        .expect(closed())
        .expect_write_frame(opcode::close, "")
        .expect_transport(ended(self))
        .check();
}

TEST_CASE("a Close with the longest reason is received") {
    const auto self = GENERATE(values({role::client, role::server}));
    transcript{self}
        .peer_frame(opcode::close, close_payload(1000, octets(123, 'r')))
        .expect(closed(close_code::normal, octets(123, 'r')))
        .expect_write_frame(opcode::close, close_payload(1000))
        .check();
}

TEST_CASE("a Close may come inside a fragmented message, which is then never delivered") {
    const auto self = GENERATE(values({role::client, role::server}));
    transcript{self}
        .peer_frame(opcode::text, "Hel", {.fin = false})
        .peer_frame(opcode::close, close_payload(1001))
        .peer_frame(opcode::continuation, "lo")
        .expect(closed(close_code::going_away))
        .expect_nothing()
        .expect_write_frame(opcode::close, close_payload(1001))
        .check();
}

TEST_CASE("rejects a Close that breaks a rule, and answers with the code of that rule") {
    const auto self = GENERATE(values({role::client, role::server}));
    const auto check = [&](const octets& body, errc why) {
        CAPTURE(to_hex(body));
        transcript{self}
            .peer_frame(opcode::close, body)
            .peer_frame(opcode::text, "never")
            .expect(failed(why))
            .expect_nothing()
            .expect_write_frame(opcode::close, close_payload(to_number(close_code_for(why))))
            .expect_transport(transport_step::finish)
            .check();
    };
    check("x", errc::close_body_too_short);
    for (const unsigned code :
         {0U, 1U, 999U, 1004U, 1005U, 1006U, 1015U, 1016U, 1100U, 2000U, 2999U, 5000U, 65535U})
        check(close_payload(code), errc::close_code_invalid);
    check(close_payload(1000, "\xff"), errc::close_reason_not_utf8);
    check(close_payload(1000, "cut \xe2\x82"), errc::close_reason_not_utf8);
    CHECK((close_code_for(errc::close_reason_not_utf8) == close_code::invalid_payload));
    CHECK((close_code_for(errc::close_code_invalid) == close_code::protocol_error));
}

TEST_CASE("our Close goes behind what was sent, and is answered by the peer's") {
    const auto self = GENERATE(values({role::client, role::server}));
    transcript{self}
        .act(say("before"))
        .act(close_with(close_code::going_away, "leaving"))
        .act([](session& s) {
            CHECK(!s.is_open());
            CHECK(s.may_receive());
            CHECK((s.state() == closing::state::close_sent));
            CHECK((s.send(opcode::text, "after") == send_status::not_open));
            CHECK((s.send_fragment(opcode::text, view("after"), true) == send_status::not_open));
            CHECK((s.ping({}) == send_status::not_open));
            CHECK((s.send(prepared_message::text("after")) == send_status::not_open));
            CHECK(!s.close());
        })
        .expect_write_bytes(frame_bytes(role::server, opcode::text, "before") +
                            frame_bytes(role::server, opcode::close, close_payload(1001, "leaving")))
        .expect_transport(transport_step::keep)
        .peer_frame(opcode::text, "still on its way")
        .peer_frame(opcode::close, close_payload(1000, "ok"))
        .expect(message("still on its way"))
        .expect(closed(close_code::normal, "ok"))
        .expect_nothing()
        .expect_write("")
        .expect_transport(ended(self))
        .check();
}

TEST_CASE("a Close without a code and reason is sent as an empty one") {
    const auto self = GENERATE(values({role::client, role::server}));
    transcript{self}.act(close_with(close_code::no_status)).expect_write_frame(opcode::close, "").check();
}

TEST_CASE("wrong arguments to close change nothing") {
    const auto self = GENERATE(values({role::client, role::server}));
    transcript{self}
        .act([](session& s) {
            for (const unsigned code : {0U, 999U, 1004U, 1006U, 1015U, 2999U, 5000U})
                CHECK(s.close(static_cast<close_code>(code)) ==
                      make_error_code(errc::close_code_not_allowed));
            CHECK(s.close(close_code::normal, octets(124, 'x')) ==
                  make_error_code(errc::close_reason_too_long));
            CHECK(s.close(close_code::normal, "\xff") == make_error_code(errc::text_not_utf8));
            CHECK(s.is_open());
        })
        .expect_write("")
        .act(say("still open"))
        .expect_write_frame(opcode::text, "still open")
        .check();
}

TEST_CASE("Closes that cross each other are both the end, and neither is answered again") {
    const auto self = GENERATE(values({role::client, role::server}));
    transcript{self}
        .act(close_with(close_code::normal))
        .peer_frame(opcode::close, close_payload(1001))
        .expect(closed(close_code::going_away))
        .expect_write_frame(opcode::close, close_payload(1000))
        .expect_transport(ended(self))
        .check();
}

TEST_CASE("the end of the stream without a Close is a lost connection") {
    const auto self = GENERATE(values({role::client, role::server}));
    const bool close_first = GENERATE(true, false);
    transcript script{self};
    if (close_first) script.act(close_with()).expect_write_frame(opcode::close, close_payload(1000));
    script.peer_frame(opcode::text, "Hel", {.fin = false})
        .eof()
        .expect(failed(errc::connection_lost))
        .expect_nothing()
        .expect_write("")
        .expect_transport(transport_step::abort)
        .act([](session& s) {
            CHECK((s.error() == errc::connection_lost));
            s.eof();
        })
        .expect_nothing()
        .check();
    CHECK((failed(errc::connection_lost).code == close_code::abnormal));
}

TEST_CASE("what was sent before a failure goes first, then its Close, then nothing") {
    const auto self = GENERATE(values({role::client, role::server}));
    const auto cut = GENERATE(values<std::size_t>({0, 3}));
    session s{self};
    CHECK((s.send(opcode::text, "one") == send_status::ok));
    CHECK((s.send(opcode::text, "two") == send_status::ok));
    std::array<segment, 4> out;
    REQUIRE(s.gather(out) == 1);
    octets written = to_octets(out[0]).substr(0, cut);
    s.consumed(cut);
    octets bad = from_hex("ff");
    s.receive(std::as_writable_bytes(std::span{bad}));
    CHECK((s.next().error == errc::reserved_bits_set));
    CHECK((s.send(opcode::text, "three") == send_status::not_open));
    while (s.gather(out) != 0) {
        written += to_octets(out[0]);
        s.consumed(out[0].size());
    }
    const auto frames = read_frames(written);
    REQUIRE(frames);
    REQUIRE(frames->size() == 3);
    CHECK(frames->at(0).payload == "one");
    CHECK(frames->at(1).payload == "two");
    CHECK(frames->at(2).op == 8);
    CHECK(frames->at(2).payload == close_payload(1002));
}

TEST_CASE("a failure behind our own Close sends no other") {
    const auto self = GENERATE(values({role::client, role::server}));
    const bool written = GENERATE(true, false);
    transcript script{self};
    script.act(say("data")).act(close_with(close_code::normal));
    if (written)
        script.expect_write_frame(opcode::text, "data")
            .expect_write_frame(opcode::close, close_payload(1000));
    script.peer("ff").expect(failed(errc::reserved_bits_set));
    if (!written)
        script.expect_write_frame(opcode::text, "data")
            .expect_write_frame(opcode::close, close_payload(1000));
    script.expect_write("").check();
}

TEST_CASE("a Ping is answered while our Close waits, and no more when the Close has begun to leave") {
    const auto self = GENERATE(values({role::client, role::server}));
    const auto begun = GENERATE(values({0, 1, 2}));
    session s{self};
    CHECK((s.send(opcode::text, "data") == send_status::ok));
    const auto before_close = s.data_pushed();
    CHECK(!s.close(close_code::normal));
    std::array<segment, 4> out;
    octets written;
    if (begun != 0) REQUIRE(s.gather(out) == 1);
    if (begun == 1) {
        written = to_octets(out[0]).substr(0, before_close + 1);
        s.consumed(before_close + 1);
    }
    if (begun == 2) s.hold_output();
    octets bytes = frame_bytes(peer_of(self), opcode::ping, "are you there");
    s.receive(std::as_writable_bytes(std::span{bytes}));
    CHECK((s.next().what == event::kind::ping));
    if (begun == 2) {
        written = to_octets(out[0]);
        s.consumed(written.size());
    }
    while (const auto count = s.gather(out)) {
        for (std::size_t i = 0; i < count; ++i) {
            written += to_octets(out[i]);
            s.consumed(out[i].size());
        }
    }
    const auto frames = read_frames(written);
    REQUIRE(frames);
    REQUIRE(frames->size() == (begun == 0 ? 3U : 2U));
    if (begun == 0) CHECK(frames->front().payload == "are you there");
    CHECK(frames->back().op == 8);
}

TEST_CASE("an end without a Close aborts the transport") {
    const auto self = GENERATE(values({role::client, role::server}));
    transcript{self}
        .act(say("never written"))
        .act([](session& s) { s.fail(errc::aborted); })
        .expect(failed(errc::aborted))
        .expect_write("")
        .expect_transport(transport_step::abort)
        .check();
}

TEST_CASE("a Ping that comes after our Close is not answered") {
    const auto self = GENERATE(values({role::client, role::server}));
    transcript{self}
        .act(close_with())
        .expect_write_frame(opcode::close, close_payload(1000))
        .peer_frame(opcode::ping, "late")
        .expect(ping("late"))
        .expect_write("")
        .check();
}

TEST_CASE("a Ping is not answered where our Close went with a queue that was taken back") {
    const auto self = GENERATE(values({role::client, role::server}));
    session s{self};
    CHECK(!s.close(close_code::normal));
    std::array<segment, 1> out;
    REQUIRE(s.gather(out) == 1);
    s.consumed(out[0].size());
    REQUIRE(s.take_queue());
    octets bytes = frame_bytes(peer_of(self), opcode::ping, "late");
    s.receive(std::as_writable_bytes(std::span{bytes}));
    CHECK((s.next().what == event::kind::ping));
    CHECK(s.queued() == 0);
    CHECK(!s.has_queue());
}
