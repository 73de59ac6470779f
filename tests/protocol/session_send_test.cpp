#include <duplex/protocol/session.hpp>

#include "support/catch.hpp"
#include "support/output.hpp"
#include "support/transcript.hpp"

#include <array>
#include <cstring>
#include <set>

using namespace duplex;
using namespace duplex::testing;

TEST_CASE("sends each length form in its shortest, masked by a client alone") {
    const auto self = GENERATE(values({role::client, role::server}));
    const auto size = GENERATE(values<std::size_t>({0, 1, 125, 126, 65535, 65536}));
    session s{self};
    const octets payload(size, 'p');
    CHECK(accepted(s.send(opcode::binary, payload)));
    const octets out = drained(s);
    CHECK(out.size() == size + frame_header_size(size, self == role::client));
    const auto frames = read_frames(out);
    REQUIRE(frames);
    REQUIRE(frames->size() == 1);
    const auto& frame = frames->front();
    CHECK(frame.fin);
    CHECK(frame.rsv == 0);
    CHECK(frame.op == 2);
    CHECK(frame.masked == (self == role::client));
    CHECK((frame.payload == payload));
}

TEST_CASE("every way to send gives the same frame") {
    const auto self = GENERATE(values({role::client, role::server}));
    const auto size = GENERATE(values<std::size_t>({0, 10, 16 * 1024 + 1}));
    const auto op = GENERATE(values({opcode::text, opcode::binary}));
    const octets payload(size, 'p');
    const auto prepared =
        op == opcode::text ? prepared_message::text(payload) : prepared_message::binary(view(payload));
    transcript{self}
        .act([&](session& s) {
            CHECK(accepted(s.send(op, payload)));
            CHECK(accepted(s.send(op, view(payload))));
            CHECK(accepted(s.send(op, owned(payload))));
            CHECK(accepted(s.send_borrowed(op, view(payload))));
            CHECK(accepted(s.send(prepared)));
            CHECK(accepted(s.send_fragment(op, view(payload), true)));
        })
        .expect_write_frame(op, payload)
        .expect_write_frame(op, payload)
        .expect_write_frame(op, payload)
        .expect_write_frame(op, payload)
        .expect_write_frame(op, payload)
        .expect_write_frame(op, payload)
        .check();
}

TEST_CASE("a client masks each frame with a fresh key that follows no pattern") {
    session s{role::client};
    std::set<octets> keys;
    std::array<int, 32> ones{};
    constexpr int count = 4000;
    for (int i = 0; i < count; ++i)
        switch (i % 4) {
        case 0: CHECK((s.send(opcode::text, "same") == send_status::ok)); break;
        case 1: CHECK((s.send(prepared_message::text("same")) == send_status::ok)); break;
        case 2: CHECK((s.send_fragment(opcode::text, view("same"), true) == send_status::ok)); break;
        default:
            CHECK((s.ping(view("same")) == send_status::ok));
            const auto frames = read_frames(drained(s));
            REQUIRE(frames);
            for (const auto& frame : *frames) {
                CHECK(frame.masked);
                CHECK(frame.payload == "same");
                keys.insert(frame.key);
                for (unsigned bit = 0; bit < 32; ++bit)
                    ones[bit] += static_cast<unsigned char>(frame.key[bit / 8]) >> (bit % 8) & 1;
            }
        }
    // Two of 4000 random keys are equal with a chance of 1 in 500; four pairs never.
    CHECK(keys.size() > count - 4);
    // Each bit is set in half of them: 10 standard deviations of room.
    for (const int each : ones)
        CHECK((each > count / 2 - 320 && each < count / 2 + 320));
}

TEST_CASE("the mask does not reach the caller's bytes, and later changes do not reach the frame") {
    session s{role::client};
    octets payload(20'000, 'p');
    CHECK(accepted(s.send(opcode::binary, payload)));
    CHECK(accepted(s.send_borrowed(opcode::binary, view(payload))));
    CHECK((payload == octets(20'000, 'p')));
    payload.assign(20'000, 'x');
    const auto frames = read_frames(drained(s));
    REQUIRE(frames);
    for (const auto& frame : *frames)
        CHECK((frame.payload == octets(20'000, 'p')));
}

TEST_CASE(
    "a message is sent in fragments, with control frames in between, and other messages wait for its end") {
    const auto self = GENERATE(values({role::client, role::server}));
    const auto op = GENERATE(values({opcode::text, opcode::binary}));
    transcript{self}
        .act([&](session& s) { CHECK((s.send_fragment(op, view("Hel"), false) == send_status::ok)); })
        .expect_write_frame(op, "Hel", {.fin = false})
        .act([&](session& s) {
            CHECK((s.send(opcode::text, "first") == send_status::ok));
            CHECK((s.send(prepared_message::text("second")) == send_status::ok));
            CHECK((s.send_borrowed(opcode::binary, view("third")) == send_status::ok));
            CHECK((s.send(opcode::binary, owned("fourth")) == send_status::ok));
            CHECK(s.holds_back());
            CHECK((s.ping(view("between")) == send_status::ok));
            CHECK((s.send_fragment(op, view("lo"), false) == send_status::ok));
            CHECK((s.send_fragment(op, {}, true) == send_status::ok));
            CHECK((s.send(opcode::text, "last") == send_status::ok));
        })
        .expect_write_frame(opcode::ping, "between")
        .expect_write_frame(opcode::continuation, "lo", {.fin = false})
        .expect_write_frame(opcode::continuation, "")
        .expect_write_frame(opcode::text, "first")
        .expect_write_frame(opcode::text, "second")
        .expect_write_frame(opcode::binary, "third")
        .expect_write_frame(opcode::binary, "fourth")
        .expect_write_frame(opcode::text, "last")
        .check();
}

TEST_CASE("only text and binary can be sent as messages") {
    const auto self = GENERATE(values({role::client, role::server}));
    const auto op = GENERATE(values({opcode::continuation, opcode::close, opcode::ping, opcode::pong,
                                     static_cast<opcode>(3), static_cast<opcode>(0xF2)}));
    session s{self};
    const auto refused = [&] {
        CHECK((s.send(op, "x") == send_status::opcode_not_data));
        CHECK((s.send_borrowed(op, view(octets(20'000, 'x'))) == send_status::opcode_not_data));
        CHECK((s.send(op, owned("x")) == send_status::opcode_not_data));
    };
    refused();
    CHECK((s.send_fragment(op, view("x"), false) == send_status::opcode_not_data));
    CHECK((s.send_fragment(opcode::text, view("x"), false) == send_status::ok));
    refused();
    // Behind the first fragment the opcode doesn't count.
    CHECK((s.send_fragment(op, view("y"), true) == send_status::ok));
    CHECK(read_frames(drained(s))->size() == 2);
}

TEST_CASE("text to send is UTF-8, over all its fragments") {
    const auto self = GENERATE(values({role::client, role::server}));
    transcript{self}
        .act([](session& s) {
            CHECK((s.send(opcode::text, "\xff") == send_status::text_not_utf8));
            CHECK((s.send(opcode::text, "cut \xe2\x82") == send_status::text_not_utf8));
            CHECK((s.send(opcode::text, owned("\xff")) == send_status::text_not_utf8));
            CHECK(
                (s.send_borrowed(opcode::text, view(octets(20'000, '\xff'))) == send_status::text_not_utf8));
            CHECK((s.send(prepared_message::text("\xff")) == send_status::text_not_utf8));
            CHECK((s.send_fragment(opcode::text, view("\xff"), false) == send_status::text_not_utf8));
            CHECK((s.send_fragment(opcode::text, view("\xe2\x82"), true) == send_status::text_not_utf8));
            CHECK(s.queued() == 0);
            CHECK((s.send_fragment(opcode::text, view("\xe2\x82"), false) == send_status::ok));
            CHECK((s.send_fragment(opcode::text, view("\xff"), false) == send_status::text_not_utf8));
            CHECK((s.send_fragment(opcode::text, {}, true) == send_status::text_not_utf8));
            // What was refused changed nothing.
            CHECK((s.send_fragment(opcode::text, view("\xac"), true) == send_status::ok));
            CHECK((s.send_fragment(opcode::binary, view("\xff"), false) == send_status::ok));
            CHECK((s.send_fragment(opcode::binary, view("\xff"), true) == send_status::ok));
            CHECK((s.send(opcode::binary, "\xff") == send_status::ok));
        })
        .expect_write_frame(opcode::text, "\xe2\x82", {.fin = false})
        .expect_write_frame(opcode::continuation, "\xac")
        .expect_write_frame(opcode::binary, "\xff", {.fin = false})
        .expect_write_frame(opcode::continuation, "\xff")
        .expect_write_frame(opcode::binary, "\xff")
        .check();
}

TEST_CASE("text to send is not looked at where that is not wanted") {
    const auto self = GENERATE(values({role::client, role::server}));
    transcript{self, {.check_outgoing_text = false}}
        .act([](session& s) {
            CHECK((s.send(opcode::text, "\xff") == send_status::ok));
            CHECK((s.send_fragment(opcode::text, view("\xe2"), true) == send_status::ok));
        })
        .expect_write_frame(opcode::text, "\xff")
        .expect_write_frame(opcode::text, "\xe2")
        .check();
}

TEST_CASE("sends Pings and Pongs of up to 125 bytes, ahead of data") {
    const auto self = GENERATE(values({role::client, role::server}));
    const octets longest(125, 'p');
    transcript{self}
        .act([&](session& s) {
            CHECK((s.send(opcode::text, "data") == send_status::ok));
            CHECK((s.ping(view(longest)) == send_status::ok));
            CHECK((s.pong({}) == send_status::ok));
            CHECK((s.ping(view(longest + "p")) == send_status::control_payload_too_long));
            CHECK((s.pong(view(longest + "p")) == send_status::control_payload_too_long));
        })
        .expect_write_frame(opcode::ping, longest)
        .expect_write_frame(opcode::pong, "")
        .expect_write_frame(opcode::text, "data")
        .check();
}

TEST_CASE("our own Pings are refused once too many wait") {
    const auto self = GENERATE(values({role::client, role::server}));
    session s{self};
    std::size_t count = 0;
    while (s.ping(view(octets(100, 'p'))) == send_status::ok)
        ++count;
    CHECK((s.ping(view(octets(100, 'p'))) == send_status::queue_full));
    CHECK(count >= 15);
    CHECK(s.queued() <= send_queue::control_capacity);
    CHECK(read_frames(drained(s))->size() == count);
    CHECK((s.ping({}) == send_status::ok));
}

TEST_CASE("tells above the watermark, and below half of it that the queue has drained") {
    const auto self = GENERATE(values({role::client, role::server}));
    session s{self, {.limits = {.queue_watermark = 1000}}};
    CHECK((s.send(opcode::binary, octets(900, 'x')) == send_status::ok));
    CHECK(!s.above_watermark());
    CHECK(!s.below_low_watermark());
    CHECK((s.send(opcode::binary, octets(900, 'x')) == send_status::above_watermark));
    CHECK(s.above_watermark());
    std::array<segment, 1> out;
    REQUIRE(s.gather(out) == 1);
    s.consumed(1400);
    CHECK(s.below_low_watermark());
    CHECK(!s.above_watermark());
}

TEST_CASE("tells once that the queue has fallen to low water") {
    session s{role::server, {.limits = {.queue_watermark = 1000}}};
    CHECK((s.send(opcode::binary, octets(900, 'x')) == send_status::ok));
    (void)drained(s);
    CHECK_FALSE(s.take_low_water());
    CHECK((s.send(opcode::binary, octets(2000, 'x')) == send_status::above_watermark));
    (void)gathered(s);
    s.consumed(1000);
    CHECK_FALSE(s.take_low_water());
    (void)drained(s);
    CHECK(s.take_low_water());
    CHECK_FALSE(s.take_low_water());
}

TEST_CASE("low water is told to a sender that was told to wait, for whatever reason") {
    session_options options{.when_full = overflow::wait};
    options.limits.queue_messages = 1;
    options.limits.commit_bytes = 100;
    session s{role::server, options};
    const octets payload(60, 'x');
    CHECK((s.send(opcode::binary, payload) == send_status::ok));
    CHECK((s.send(opcode::binary, payload, message_options{.tag = 2}) == send_status::ok));
    CHECK_FALSE(s.take_low_water());
    CHECK((s.send(opcode::binary, payload) == send_status::would_wait));
    s.consumed(gathered(s).size());
    CHECK(s.take_low_water());
    CHECK_FALSE(s.take_low_water());
    CHECK((s.send(opcode::binary, payload, message_options{.tag = 3}) == send_status::ok));
    CHECK((s.send(opcode::binary, payload) == send_status::would_wait));
    CHECK(s.withdraw(3));
    CHECK(s.take_low_water());
}

TEST_CASE("refuses what would pass the limit of the queue, but takes any message into an empty one") {
    const auto self = GENERATE(values({role::client, role::server}));
    session s{self, {.limits = {.queue_bytes = 1000}}};
    CHECK(accepted(s.send(opcode::binary, octets(5000, 'x'))));
    CHECK((s.send(opcode::binary, "") == send_status::queue_full));
    auto kept = owned("kept");
    CHECK((s.send(opcode::binary, std::move(kept)) == send_status::queue_full));
    CHECK(to_octets(kept.bytes()) == "kept"); // NOLINT: it is left alone where it isn't accepted
    CHECK(read_frames(drained(s))->size() == 1);
    CHECK(accepted(s.send(opcode::binary, octets(500, 'x'))));
    CHECK((s.send(opcode::binary, octets(500, 'x')) == send_status::queue_full));
    CHECK(accepted(s.send(opcode::binary, octets(400, 'x'))));
    // A Close always finds room.
    CHECK(!s.close());
    CHECK(read_frames(drained(s))->back().op == 8);
}

TEST_CASE("a message that was not prepared is not sent") {
    const auto self = GENERATE(values({role::client, role::server}));
    session s{self};
    CHECK(!accepted(s.send(prepared_message{})));
    CHECK(s.queued() == 0);
}

TEST_CASE("what is borrowed is written from where it lies until it is settled") {
    session s{role::server};
    octets window(20'000, 'w');
    CHECK(accepted(s.send_borrowed(opcode::binary, view(window))));
    std::array<segment, 2> out;
    REQUIRE(s.gather(out) == 2);
    CHECK(out[1].data() == view(window).data());
    s.settle();
    window.assign(window.size(), '!');
    CHECK((drained(s) == frame_bytes(role::server, opcode::binary, octets(20'000, 'w'))));
}

TEST_CASE("held output stays where it is while more is sent") {
    const auto self = GENERATE(values({role::client, role::server}));
    session s{self};
    CHECK((s.send(opcode::text, "first") == send_status::ok));
    std::array<segment, 2> out;
    REQUIRE(s.gather(out) == 1);
    s.hold_output();
    const octets before = to_octets(out[0]);
    for (int i = 0; i < 1000; ++i)
        CHECK((s.send(opcode::text, "more") == send_status::ok));
    CHECK(to_octets(out[0]) == before);
    s.consumed(2);
    CHECK(read_frames(before.substr(0, 2) + drained(s))->size() == 1001);
}

TEST_CASE("text that is known to be UTF-8 is not looked at again") {
    const auto self = GENERATE(values({role::client, role::server}));
    session s{self};
    CHECK((s.send(opcode::text, view("\xff"), text_is::unchecked) == send_status::text_not_utf8));
    CHECK((s.send(opcode::text, owned("\xff"), text_is::unchecked) == send_status::text_not_utf8));
    // Not true here, which is how it shows.
    CHECK((s.send(opcode::text, view("\xff"), text_is::utf8) == send_status::ok));
    CHECK((s.send(opcode::text, owned("\xff"), text_is::utf8) == send_status::ok));
    CHECK((s.send_borrowed(opcode::text, view("\xff"), text_is::utf8) == send_status::ok));
    CHECK((s.send_back(opcode::text, view("\xff"), text_is::utf8) == send_status::ok));
    CHECK(read_frames(drained(s))->size() == 4);
}

TEST_CASE("a message that was put together from pieces is sent back without a copy, by a server") {
    const auto self = GENERATE(values({role::client, role::server}));
    const auto size = GENERATE(values<std::size_t>({100, 20'000}));
    const bool refused = GENERATE(true, false);
    session_options options;
    options.limits.queue_bytes = 30'000;
    session s{self, options};
    const octets payload(size, 'm');
    octets first = frame_bytes(peer_of(self), opcode::binary, payload.substr(0, size / 2), {.fin = false});
    octets second = frame_bytes(peer_of(self), opcode::continuation, payload.substr(size / 2));
    s.receive(std::as_writable_bytes(std::span{first}));
    CHECK((s.next().what == event::kind::need_more));
    s.receive(std::as_writable_bytes(std::span{second}));
    const event found = s.next();
    REQUIRE((found.what == event::kind::message));
    if (refused) CHECK((s.send(opcode::binary, octets(20'000, 'q')) == send_status::ok));
    const auto status = s.send_back(found.op, found.payload);
    const bool fits = !refused || size == 100;
    CHECK((status == (fits ? send_status::ok : send_status::queue_full)));
    // Where the caller looks at it nothing has changed.
    CHECK(found.text() == payload);
    std::array<segment, 8> out;
    const auto count = s.gather(out);
    bool same_place = false;
    for (std::size_t i = 0; i < count; ++i)
        same_place = same_place || out[i].data() == found.payload.data();
    CHECK(same_place == (fits && self == role::server && size == 20'000));
    // What was not taken can still be given away.
    CHECK(s.take_message().size() == (same_place ? 0 : size));
    const auto frames = read_frames(drained(s));
    REQUIRE(frames);
    CHECK(frames->size() == (refused ? 1U : 0U) + (fits ? 1U : 0U));
    if (fits) CHECK(frames->back().payload == payload);
}

TEST_CASE("a message that is sent back outlives its delivery, however often it was sent") {
    const auto times = GENERATE(values({1, 2, 3}));
    const bool settled = GENERATE(true, false);
    session s{role::server};
    const octets payload(30'000, 'm');
    octets first = frame_bytes(role::client, opcode::binary, payload.substr(0, 20'000), {.fin = false});
    octets second = frame_bytes(role::client, opcode::continuation, payload.substr(20'000)) +
                    frame_bytes(role::client, opcode::text, "next");
    s.receive(std::as_writable_bytes(std::span{first}));
    CHECK((s.next().what == event::kind::need_more));
    s.receive(std::as_writable_bytes(std::span{second}));
    const event found = s.next();
    REQUIRE((found.what == event::kind::message));
    for (int i = 0; i < times; ++i)
        CHECK((s.send_back(found.op, found.payload) == send_status::ok));
    if (settled) s.settle();
    CHECK((s.next().text() == "next"));
    second.assign(second.size(), '!');
    const auto frames = read_frames(drained(s));
    REQUIRE(frames);
    REQUIRE(frames->size() == static_cast<std::size_t>(times));
    for (const auto& each : *frames)
        CHECK(each.payload == payload);
}

TEST_CASE("what only resembles the message that was put together is copied") {
    session s{role::server};
    const octets payload(40'000, 'm');
    octets first = frame_bytes(role::client, opcode::binary, payload.substr(0, 20'000), {.fin = false});
    octets second = frame_bytes(role::client, opcode::continuation, payload.substr(20'000));
    s.receive(std::as_writable_bytes(std::span{first}));
    CHECK(!s.next());
    s.receive(std::as_writable_bytes(std::span{second}));
    const event found = s.next();
    REQUIRE(found.payload.size() == payload.size());
    CHECK((s.send_back(found.op, found.payload.first(30'000)) == send_status::ok));
    CHECK((s.send_back(found.op, found.payload.subspan(1)) == send_status::ok));
    CHECK((s.send_back(found.op, view(payload)) == send_status::ok));
    // Nothing of it waits in the message, which can be given away and changed.
    auto taken = s.take_message();
    REQUIRE(taken.size() == payload.size());
    std::memset(taken.data(), '!', taken.size());
    const auto frames = read_frames(drained(s));
    REQUIRE(frames);
    REQUIRE(frames->size() == 3);
    CHECK(((*frames)[0].payload == payload.substr(0, 30'000)));
    CHECK(((*frames)[1].payload == payload.substr(1)));
    CHECK(((*frames)[2].payload == payload));
}

TEST_CASE("a prepared message and a fragment that find the queue full can be sent later") {
    const auto self = GENERATE(values({role::client, role::server}));
    session s{self, {.limits = {.queue_bytes = 1000}}};
    CHECK(accepted(s.send(opcode::binary, octets(2000, 'x'))));
    CHECK((s.send(prepared_message::text("later")) == send_status::queue_full));
    CHECK((s.send_fragment(opcode::text, view("\xc3"), false) == send_status::queue_full));
    CHECK(read_frames(drained(s))->size() == 1);
    // The message in fragments has not begun.
    CHECK((s.send(prepared_message::text("later")) == send_status::ok));
    CHECK((s.send_fragment(opcode::text, view("\xc3"), false) == send_status::ok));
    CHECK(read_frames(drained(s))->size() == 2);
    CHECK(accepted(s.send_fragment(opcode::text, view("\xa4" + octets(2000, 'x')), false)));
    CHECK((s.send_fragment(opcode::text, view("\xc3"), true) == send_status::text_not_utf8));
    CHECK((s.send_fragment(opcode::text, view("\xc3\xa4"), true) == send_status::queue_full));
    CHECK(read_frames(drained(s))->size() == 1);
    CHECK((s.send(prepared_message::text("not yet")) == send_status::ok));
    CHECK(drained(s).empty());
    CHECK((s.send_fragment(opcode::text, view("\xc3\xa4"), true) == send_status::ok));
    CHECK((s.send(prepared_message::text("now")) == send_status::ok));
    CHECK(read_frames(drained(s))->size() == 3);
}
