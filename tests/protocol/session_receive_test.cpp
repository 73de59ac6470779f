#include <duplex/protocol/session.hpp>

#include "support/catch.hpp"
#include "support/transcript.hpp"

#include <array>

using namespace duplex;
using namespace duplex::testing;

namespace {

/// The end that every broken rule brings: `failed` once, the Close that names it, and silence, though more
/// comes in the same read and later.
void check_broken(role self, const session_options& options, const octets& bytes, errc why,
                  const std::vector<seen_event>& before = {}) {
    transcript script{self, options};
    const octets more = frame_bytes(peer_of(self), opcode::text, "never delivered") +
                        frame_bytes(peer_of(self), opcode::ping, "never answered");
    script.peer_bytes(bytes + more);
    for (const auto& each : before)
        script.expect(each);
    script.expect(failed(why))
        .expect_nothing()
        .expect_write_frame(opcode::close, close_payload(to_number(close_code_for(why))))
        .act([&](session& s) {
            CHECK(!s.is_open());
            CHECK(!s.may_receive());
            CHECK((s.error() == why));
            CHECK((s.state() == closing::state::failed));
            CHECK((s.send(opcode::text, "too late") == send_status::not_open));
            CHECK((s.ping({}) == send_status::not_open));
            CHECK(s.close() == make_error_code(errc::not_open));
            CHECK(s.direct().empty());
            s.fail(errc::idle_timeout);
            CHECK((s.error() == why));
        })
        .peer_bytes(more)
        .expect_nothing()
        .eof()
        .expect_nothing()
        .expect_transport(transport_step::finish)
        .check();
}

void check_broken(role self, const octets& bytes, errc why, const std::vector<seen_event>& before = {}) {
    check_broken(self, {}, bytes, why, before);
}

octets cat(std::initializer_list<octets> parts) {
    octets all;
    for (const auto& each : parts)
        all += each;
    return all;
}

} // namespace

// --- RFC 6455 5.2, 5.6, 5.7: data frames ---

TEST_CASE("receives the examples of RFC 6455 5.7") {
    transcript{role::client}.peer("81 05 48 65 6c 6c 6f").expect(message("Hello")).check();
    transcript{role::client}.peer("01 03 48 65 6c 80 02 6c 6f").expect(message("Hello")).check();
    transcript{role::client}
        .peer("89 05 48 65 6c 6c 6f")
        .expect(ping("Hello"))
        .expect_write("8a 05 48 65 6c 6c 6f")
        .check();
    transcript{role::server}.peer("8a 85 37 fa 21 3d 7f 9f 4d 51 58").expect(pong("Hello")).check();
    const octets big(256, '\x01');
    const octets bigger(65536, '\x02');
    transcript{role::client}.peer("82 7e 01 00").peer_bytes(big).expect(binary_message(big)).check();
    transcript{role::client}
        .peer("82 7f 00 00 00 00 00 01 00 00")
        .peer_bytes(bigger)
        .expect(binary_message(bigger))
        .check();
}

TEST_CASE("receives text and binary messages of every length form") {
    const auto self = GENERATE(values({role::client, role::server}));
    const auto size = GENERATE(values<std::size_t>({0, 1, 2, 125, 126, 127, 255, 65535, 65536}));
    CAPTURE(size);
    octets text(size, 't');
    octets bytes(size, '\0');
    for (std::size_t i = 0; i < size; ++i)
        bytes[i] = static_cast<char>(i);
    transcript{self}
        .peer_frame(opcode::text, text)
        .peer_frame(opcode::binary, bytes)
        .expect(message(text))
        .expect(binary_message(bytes))
        .expect_nothing()
        .check();
}

TEST_CASE("receives many messages in one read") {
    const auto self = GENERATE(values({role::client, role::server}));
    transcript script{self};
    for (int i = 0; i < 20; ++i)
        script.peer_frame(opcode::text, std::to_string(i));
    for (int i = 0; i < 20; ++i)
        script.expect(message(std::to_string(i)));
    script.check();
}

TEST_CASE("unmasks with any key, and with a new one for each frame") {
    for (const std::array<unsigned char, 4> key :
         {std::array<unsigned char, 4>{0, 0, 0, 0}, {255, 255, 255, 255}, {1, 2, 3, 4}, {0x80, 0, 0x7f, 0}})
        transcript{role::server}
            .peer_frame(opcode::text, "first", {.key = key})
            .peer_frame(opcode::text, "second, with the usual key")
            .expect(message("first"))
            .expect(message("second, with the usual key"))
            .check();
}

TEST_CASE("rejects a frame with a reserved bit") {
    const auto self = GENERATE(values({role::client, role::server}));
    const auto rsv = GENERATE(range(1U, 8U));
    for (const auto op : {opcode::text, opcode::binary, opcode::ping, opcode::pong, opcode::close})
        check_broken(self, frame_bytes(peer_of(self), op, "", {.rsv = rsv}), errc::reserved_bits_set);
    check_broken(self,
                 frame_bytes(peer_of(self), opcode::text, "a", {.fin = false}) +
                     frame_bytes(peer_of(self), opcode::continuation, "b", {.rsv = rsv}),
                 errc::reserved_bits_set);
}

TEST_CASE("rejects a reserved opcode with every length form") {
    const auto self = GENERATE(values({role::client, role::server}));
    const auto op = GENERATE(values({3U, 4U, 5U, 6U, 7U, 11U, 12U, 13U, 14U, 15U}));
    for (const int extra : {0, 2, 8})
        check_broken(self, frame_bytes(peer_of(self), op, "payload", {.length_bytes = extra}),
                     errc::reserved_opcode);
    check_broken(self,
                 frame_bytes(peer_of(self), opcode::text, "before") + frame_bytes(peer_of(self), op, ""),
                 errc::reserved_opcode, {message("before")});
}

TEST_CASE("a server rejects an unmasked frame, a client a masked one") {
    const auto op =
        GENERATE(values({opcode::text, opcode::binary, opcode::close, opcode::ping, opcode::pong}));
    check_broken(role::server, frame_bytes(role::client, op, "", {.masked = false}), errc::unmasked_frame);
    check_broken(role::client, frame_bytes(role::server, op, "", {.masked = true}), errc::masked_frame);
}

TEST_CASE("rejects a length that is not in its shortest form") {
    const auto self = GENERATE(values({role::client, role::server}));
    check_broken(self, frame_bytes(peer_of(self), opcode::text, octets(125, 'x'), {.length_bytes = 2}),
                 errc::length_not_minimal);
    check_broken(self, frame_bytes(peer_of(self), opcode::text, octets(126, 'x'), {.length_bytes = 8}),
                 errc::length_not_minimal);
    check_broken(self, frame_bytes(peer_of(self), opcode::text, "", {.length_bytes = 8}),
                 errc::length_not_minimal);
}

TEST_CASE("rejects lengths of 2^63 and more as no lengths, and those below as too big") {
    const auto self = GENERATE(values({role::client, role::server}));
    for (const std::uint64_t length : {0x8000'0000'0000'0000U, 0xFFFF'FFFF'FFFF'FFFFU})
        check_broken(self, frame_bytes(peer_of(self), opcode::binary, "", {.announce_more = length}),
                     errc::length_out_of_range);
    check_broken(self,
                 frame_bytes(peer_of(self), opcode::binary, "", {.announce_more = 0x7FFF'FFFF'FFFF'FFFFU}),
                 errc::message_too_big);
}

// --- RFC 6455 5.4: fragments ---

TEST_CASE("puts fragments together, empty ones included") {
    const auto self = GENERATE(values({role::client, role::server}));
    const auto op = GENERATE(values({opcode::text, opcode::binary}));
    const auto wanted = [&](std::string_view payload) {
        return op == opcode::text ? message(payload) : binary_message(payload);
    };
    transcript{self}
        .peer_frame(op, "Hel", {.fin = false})
        .peer_frame(opcode::continuation, "lo", {.fin = false})
        .peer_frame(opcode::continuation, "!")
        .expect(wanted("Hello!"))
        .peer_frame(op, "", {.fin = false})
        .peer_frame(opcode::continuation, "", {.fin = false})
        .peer_frame(opcode::continuation, "")
        .expect(wanted(""))
        .peer_frame(op, "", {.fin = false})
        .peer_frame(opcode::continuation, "late")
        .expect(wanted("late"))
        .peer_frame(op, "early", {.fin = false})
        .peer_frame(opcode::continuation, "")
        .expect(wanted("early"))
        .peer_frame(op, "unfragmented")
        .expect(wanted("unfragmented"))
        .check();
}

TEST_CASE("handles control frames between the fragments of a message, at once") {
    const auto self = GENERATE(values({role::client, role::server}));
    transcript{self}
        .peer_frame(opcode::text, "Hel", {.fin = false})
        .peer_frame(opcode::ping, "now")
        .expect(ping("now"))
        .expect_write_frame(opcode::pong, "now")
        .peer_frame(opcode::pong, "and then")
        .expect(pong("and then"))
        .peer_frame(opcode::continuation, "lo", {.fin = false})
        .peer_frame(opcode::ping, "")
        .peer_frame(opcode::continuation, "")
        .expect(ping())
        .expect(message("Hello"))
        .expect_write_frame(opcode::pong, "")
        .check();
}

TEST_CASE("rejects a continuation without a beginning, and a beginning inside a message") {
    const auto self = GENERATE(values({role::client, role::server}));
    const auto fin = GENERATE(true, false);
    const auto peer = peer_of(self);
    check_broken(self, frame_bytes(peer, opcode::continuation, "?", {.fin = fin}),
                 errc::unexpected_continuation);
    check_broken(self,
                 cat({frame_bytes(peer, opcode::text, "Hel", {.fin = false}),
                      frame_bytes(peer, opcode::continuation, "lo"),
                      frame_bytes(peer, opcode::continuation, "?", {.fin = fin})}),
                 errc::unexpected_continuation, {message("Hello")});
    for (const auto op : {opcode::text, opcode::binary})
        check_broken(self,
                     frame_bytes(peer, opcode::text, "Hel", {.fin = false}) +
                         frame_bytes(peer, op, "lo", {.fin = fin}),
                     errc::expected_continuation);
}

TEST_CASE("delivers pieces as they arrive where that is asked for") {
    const auto self = GENERATE(values({role::client, role::server}));
    transcript{self, {.deliver_fragments = true}}
        .peer_frame(opcode::text, "whole \xe2\x82\xac")
        .expect(fragment(opcode::text, "whole \xe2\x82\xac", true))
        .peer_frame(opcode::binary, "Hel", {.fin = false})
        .peer_frame(opcode::ping, "p")
        .peer_frame(opcode::continuation, "lo")
        .expect(fragment(opcode::binary, "Hel", false))
        .expect(ping("p"))
        .expect(fragment(opcode::binary, "lo", true))
        .expect_write_frame(opcode::pong, "p")
        .peer_frame(opcode::text, "", {.fin = false})
        .peer_frame(opcode::continuation, "")
        .expect(fragment(opcode::text, "", true))
        .peer_bytes(frame_bytes(peer_of(self), opcode::text, "a\xe2\x82", {.fin = false}) +
                    frame_bytes(peer_of(self), opcode::continuation, "\xac"))
        .expect(fragment(opcode::text, "a\xe2\x82\xac", true))
        .peer_frame(opcode::binary, octets(40'000, 'b'))
        .expect(fragment(opcode::binary, octets(40'000, 'b'), true))
        .check();
}

// --- RFC 6455 5.5: control frames ---

TEST_CASE("a Ping is answered with its own payload, and a Pong is not answered") {
    const auto self = GENERATE(values({role::client, role::server}));
    const auto size = GENERATE(values<std::size_t>({0, 1, 125}));
    const octets payload(size, '\xff');
    transcript{self}
        .peer_frame(opcode::ping, payload)
        .expect(ping(payload))
        .expect_write_frame(opcode::pong, payload)
        .peer_frame(opcode::pong, payload)
        .expect(pong(payload))
        .expect_write("")
        .check();
}

TEST_CASE("each of several Pings is answered, in order") {
    const auto self = GENERATE(values({role::client, role::server}));
    transcript{self}
        .peer_frame(opcode::ping, "1")
        .peer_frame(opcode::ping, "2")
        .peer_frame(opcode::ping, "3")
        .expect(ping("1"))
        .expect(ping("2"))
        .expect(ping("3"))
        .expect_write_frame(opcode::pong, "1")
        .expect_write_frame(opcode::pong, "2")
        .expect_write_frame(opcode::pong, "3")
        .check();
}

TEST_CASE("rejects a control frame that is fragmented or longer than 125 bytes") {
    const auto self = GENERATE(values({role::client, role::server}));
    const auto op = GENERATE(values({opcode::close, opcode::ping, opcode::pong}));
    check_broken(self, frame_bytes(peer_of(self), op, "", {.fin = false}), errc::control_frame_fragmented);
    check_broken(self, frame_bytes(peer_of(self), op, octets(126, 'x')), errc::control_frame_too_long);
    check_broken(self, frame_bytes(peer_of(self), op, octets(5, 'x'), {.length_bytes = 2}),
                 errc::control_frame_too_long);
    check_broken(self, frame_bytes(peer_of(self), op, "", {.length_bytes = 8}), errc::control_frame_too_long);
}

// --- RFC 6455 5.6, 8.1: UTF-8 ---

TEST_CASE("receives text whose characters are cut between fragments") {
    const auto self = GENERATE(values({role::client, role::server}));
    const octets text = "\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5 \xf0\x9f\x98\x80\xf4\x8f\xbf\xbf";
    for (std::size_t cut = 0; cut <= text.size(); ++cut)
        transcript{self}
            .peer_frame(opcode::text, text.substr(0, cut), {.fin = false})
            .peer_frame(opcode::ping, "")
            .peer_frame(opcode::continuation, text.substr(cut))
            .expect(ping())
            .expect_write_frame(opcode::pong, "")
            .expect(message(text))
            .check();
}

TEST_CASE("rejects text that is not UTF-8, whole or in fragments") {
    const auto self = GENERATE(values({role::client, role::server}));
    const octets bad = GENERATE(values<std::string>(
        {"\x80", "\xff", "\xc0\xaf", "\xc1\xbf", "\xe0\x9f\xbf", "\xed\xa0\x80", "\xed\xbf\xbf",
         "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xc3(", "\xe2\x82(", "\xf0\x9f\x98("}));
    const auto peer = peer_of(self);
    check_broken(self, frame_bytes(peer, opcode::text, bad), errc::invalid_utf8);
    check_broken(self, frame_bytes(peer, opcode::text, "before " + bad + " after"), errc::invalid_utf8);
    check_broken(self,
                 frame_bytes(peer, opcode::text, bad.substr(0, 1), {.fin = false}) +
                     frame_bytes(peer, opcode::continuation, bad.substr(1) + "x"),
                 errc::invalid_utf8);
    // The next message is judged afresh, and binary is not judged.
    transcript{self}
        .peer_frame(opcode::binary, bad)
        .peer_frame(opcode::text, "fine")
        .expect(binary_message(bad))
        .expect(message("fine"))
        .check();
}

TEST_CASE("rejects text that ends inside a character, and not before it ends") {
    const auto self = GENERATE(values({role::client, role::server}));
    const octets bad =
        GENERATE(values<std::string>({"\xc3", "\xe2\x82", "\xf0\x9f", "\xf0\x9f\x98", "a\xed"}));
    const auto peer = peer_of(self);
    check_broken(self, frame_bytes(peer, opcode::text, bad), errc::invalid_utf8);
    check_broken(self,
                 frame_bytes(peer, opcode::text, bad, {.fin = false}) +
                     frame_bytes(peer, opcode::continuation, ""),
                 errc::invalid_utf8);
    transcript{self}.peer_frame(opcode::text, bad, {.fin = false}).expect_nothing().check();
}

TEST_CASE("finds invalid text at its first impossible byte, before the frame has ended") {
    const auto self = GENERATE(values({role::client, role::server}));
    const bool pieces = GENERATE(false, true);
    transcript{self, {.deliver_fragments = pieces}}
        .peer_frame(opcode::text, "fine \xff", {.announce_more = 1000})
        .expect(failed(errc::invalid_utf8))
        .expect_write_frame(opcode::close, close_payload(1007))
        .check();
}

// --- limits ---

TEST_CASE("rejects a message above the limit at its header, and receives one of exactly the limit") {
    const auto self = GENERATE(values({role::client, role::server}));
    const session_options options{.limits = {.message_bytes = 300}};
    const auto peer = peer_of(self);
    transcript{self, options}
        .peer_frame(opcode::binary, octets(300, 'x'))
        .peer_frame(opcode::binary, octets(200, 'x'), {.fin = false})
        .peer_frame(opcode::continuation, octets(100, 'x'))
        .expect(binary_message(octets(300, 'x')))
        .expect(binary_message(octets(300, 'x')))
        .check();
    check_broken(self, options, frame_bytes(peer, opcode::binary, "", {.announce_more = 301}),
                 errc::message_too_big);
    check_broken(self, options,
                 frame_bytes(peer, opcode::binary, octets(200, 'x'), {.fin = false}) +
                     frame_bytes(peer, opcode::continuation, "", {.announce_more = 101}),
                 errc::message_too_big);
}

TEST_CASE("rejects a message of more frames than the limit, empty ones counted") {
    const auto self = GENERATE(values({role::client, role::server}));
    const session_options options{.limits = {.message_fragments = 3}};
    const auto peer = peer_of(self);
    const octets empty = frame_bytes(peer, opcode::continuation, "", {.fin = false});
    const octets begin = frame_bytes(peer, opcode::text, "", {.fin = false});
    const octets end = frame_bytes(peer, opcode::continuation, "");
    transcript{self, options}
        .peer_bytes(begin + empty + end + begin + empty + end)
        .expect(message(""))
        .expect(message(""))
        .check();
    check_broken(self, options, begin + empty + empty + empty, errc::too_many_fragments);
}

// --- receiving directly ---

TEST_CASE("a large frame is received directly, in one message or in fragments") {
    const auto self = GENERATE(values({role::client, role::server}));
    octets text(50'000, 't');
    text.replace(40'000, 3, "\xe2\x82\xac");
    transcript{self}
        .peer_frame(opcode::text, text)
        .peer_frame(opcode::ping, "between")
        .peer_frame(opcode::binary, text, {.fin = false})
        .peer_frame(opcode::continuation, text)
        .expect(message(text))
        .expect(ping("between"))
        .expect(binary_message(text + text))
        .expect_write_frame(opcode::pong, "between")
        .check();
}

TEST_CASE("there is no direct room but inside a large data frame") {
    const auto self = GENERATE(values({role::client, role::server}));
    const auto room = [&](octets bytes, const session_options& options = {}) {
        session s{self, options};
        s.receive(std::as_writable_bytes(std::span{bytes}));
        while (s.next()) {
        }
        return s.direct().size();
    };
    const auto begun = [&](std::size_t rest) {
        return frame_bytes(peer_of(self), opcode::binary, "x", {.announce_more = rest});
    };
    CHECK(room({}) == 0);
    CHECK(room(begun(100'000)) != 0);
    CHECK(room(begun(100'000), {.deliver_fragments = true}) == 0);
    CHECK(room(begun(100)) == 0);
    CHECK(room(begun(100'000).substr(0, 3)) == 0);
    CHECK(room(frame_bytes(peer_of(self), opcode::ping, "x", {.announce_more = 100})) == 0);
    CHECK(room(frame_bytes(peer_of(self), opcode::text, "\xff", {.announce_more = 100'000})) == 0);
    CHECK(room(frame_bytes(peer_of(self), opcode::close, "") + begun(100'000)) == 0);

    session s{self};
    s.received_direct(0);
    CHECK(!s.next());

    // What a window holds comes first.
    octets window = begun(100'000);
    s.receive(std::as_writable_bytes(std::span{window}));
    CHECK(!s.next());
    CHECK(!s.direct().empty());
    octets more(10, 'm');
    s.receive(std::as_writable_bytes(std::span{more}));
    CHECK(s.direct().empty());
    CHECK(!s.next());
    CHECK(!s.direct().empty());
}

TEST_CASE("invalid text that is received directly fails the connection once") {
    const auto self = GENERATE(values({role::client, role::server}));
    session s{self};
    octets bytes = frame_bytes(peer_of(self), opcode::text, "x", {.announce_more = 100'000});
    s.receive(std::as_writable_bytes(std::span{bytes}));
    CHECK(!s.next());
    const auto room = s.direct();
    REQUIRE(room.size() > 1000);
    std::memset(room.data(), self == role::server ? 0x55 : 0xFF, room.size());
    s.received_direct(1000);
    CHECK((s.next().error == errc::invalid_utf8));
    CHECK(!s.next());
    CHECK(s.direct().empty());
    s.received_direct(1000);
    CHECK(!s.next());
}
