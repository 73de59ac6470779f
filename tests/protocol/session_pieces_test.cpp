#include <duplex/protocol/session.hpp>

// Messages whose payload lies in several places, or whose length is not known when they begin.

#include "support/any_role.hpp"
#include "support/catch.hpp"
#include "support/deflating.hpp"
#include "support/output.hpp"
#include "support/system_faults.hpp"
#include "support/wire.hpp"

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

using namespace duplex;
using namespace duplex::testing;
using namespace std::chrono_literals;

namespace {

using parts_view = std::span<const std::span<const std::byte>>;

constexpr message_options urgent{.priority = message_priority::urgent};

std::vector<std::string> texts(const octets& written) {
    const auto frames = read_frames(written);
    REQUIRE(frames);
    std::vector<std::string> all;
    for (const auto& each : *frames)
        all.push_back(each.op == 8 ? "close" : each.payload);
    return all;
}

using strings = std::vector<std::string>;

time_point after(std::chrono::milliseconds since) { return time_point{} + since; }

} // namespace

TEST_CASE("a message is sent from several places as one frame, with one copy where it is short") {
    const auto self = any_role();
    const auto size = GENERATE(values<std::size_t>({0, 1, 125, 126, 16'380, 16'384, 70'000}));
    octets payload;
    for (std::size_t i = 0; i < size; ++i)
        payload += static_cast<char>('a' + i % 23);
    const auto whole = view(payload);
    const auto third = size / 3;
    const std::array<std::span<const std::byte>, 5> parts{
        whole.first(third), {}, whole.subspan(third, third), whole.subspan(2 * third), {}};
    session s{self};
    CHECK(accepted(s.send(opcode::text, "before")));
    CHECK((s.send_parts(opcode::binary, parts) == send_status::ok));
    CHECK(accepted(s.send(opcode::text, "behind")));
    const auto frames = read_frames(drained(s));
    REQUIRE(frames);
    REQUIRE(frames->size() == 3);
    CHECK((*frames)[1].op == 2);
    CHECK((*frames)[1].fin);
    CHECK((*frames)[1].masked == (self == role::client));
    CHECK(((*frames)[1].payload == payload));
    // The caller's bytes are as they were.
    CHECK(payload.find_first_not_of("abcdefghijklmnopqrstuvw") == octets::npos);
}

TEST_CASE("a message from several places may have none") {
    session s{any_role()};
    CHECK((s.send_parts(opcode::text, {}) == send_status::ok));
    CHECK((texts(drained(s)) == strings{""}));
}

TEST_CASE("text from several places is UTF-8 as a whole") {
    session s{any_role()};
    const std::array<std::span<const std::byte>, 2> cut{view("\xe2\x82"), view("\xac")};
    CHECK((s.send_parts(opcode::text, cut) == send_status::ok));
    CHECK((s.send_parts(opcode::text, parts_view{cut}.first(1)) == send_status::text_not_utf8));
    CHECK((s.send_parts(opcode::text, parts_view{cut}.subspan(1)) == send_status::text_not_utf8));
    CHECK((s.send_parts(opcode::text, parts_view{cut}.first(1), text_is::utf8) == send_status::ok));
    CHECK((s.send_parts(opcode::binary, parts_view{cut}.first(1)) == send_status::ok));
    CHECK((texts(drained(s)) == strings{"\xe2\x82\xac", "\xe2\x82", "\xe2\x82"}));
}

TEST_CASE("a message from several places is refused as any other is") {
    session s{any_role(), {.limits = {.queue_bytes = 1000}}};
    const octets some(600, 's');
    const std::array<std::span<const std::byte>, 2> parts{view(some), view(some)};
    CHECK((s.send_parts(opcode::ping, parts) == send_status::opcode_not_data));
    CHECK((s.send_parts(opcode::continuation, parts) == send_status::opcode_not_data));
    CHECK(accepted(s.send(opcode::text, "in the way")));
    CHECK((s.send_parts(opcode::binary, parts) == send_status::queue_full));
    const octets large(20'000, 'l');
    const std::array<std::span<const std::byte>, 1> too_large{view(large)};
    CHECK((s.send_parts(opcode::binary, too_large) == send_status::queue_full));
    // More than there can be.
    const std::span<const std::byte> endless{view(some).data(), static_cast<std::size_t>(-1) / 2};
    const std::array<std::span<const std::byte>, 3> overflowing{endless, endless, endless};
    CHECK((s.send_parts(opcode::binary, overflowing) == send_status::queue_full));
    CHECK((texts(drained(s)) == strings{"in the way"}));
    CHECK((s.send_parts(opcode::binary, parts) == send_status::ok));
    (void)drained(s);
    CHECK_FALSE(s.close());
    CHECK((s.send_parts(opcode::binary, parts) == send_status::not_open));
}

TEST_CASE("a message from several places waits its turn as any other does") {
    session_options options;
    options.fragment_bytes = 4;
    session s{any_role(), options};
    const std::array<std::span<const std::byte>, 2> parts{view("abc"), view("def")};
    CHECK((s.send_parts(opcode::text, parts) == send_status::ok));
    CHECK((texts(drained(s)) == strings{"abcd", "ef"}));
}

#if defined(DUPLEX_TESTING_FAULTS)

TEST_CASE("a message from several places that finds no memory leaves nothing behind") {
    const auto size = GENERATE(values<std::size_t>({5'000, 50'000}));
    const octets some(size, 's');
    const std::array<std::span<const std::byte>, 2> parts{view(some), view(some)};
    session s{any_role()};
    CHECK(accepted(s.send(opcode::text, "before")));
    CHECK(
        (without_memory([&] { return s.send_parts(opcode::binary, parts); }) == send_status::out_of_memory));
    CHECK((texts(drained(s)) == strings{"before"}));
    CHECK((s.send_parts(opcode::binary, parts) == send_status::ok));
    CHECK((texts(drained(s)) == strings{some + some}));
}

TEST_CASE("a Close at once that finds no memory drops nothing") {
    session s{any_role()};
    CHECK(accepted(s.send(opcode::text, "one")));
    CHECK(accepted(s.send(opcode::binary, octets(20'000, 'x'))));
    CHECK((without_memory([&] { return s.close_at_once(); }) == errc::out_of_memory));
    CHECK(s.is_open());
    CHECK_FALSE(s.close());
    CHECK((texts(drained(s)) == strings{"one", octets(20'000, 'x'), "close"}));
}

#endif

TEST_CASE("what is sent while a message goes out in pieces waits for its end") {
    const auto self = any_role();
    const bool held = GENERATE(false, true);
    session_options options;
    options.hold_back = held;
    session s{self, options};
    CHECK(accepted(s.send_fragment(opcode::text, view("1"), false)));
    CHECK(accepted(s.send(opcode::text, "waits")));
    CHECK(accepted(s.send(opcode::text, view("goes first"), urgent)));
    CHECK((s.ping(view("ping")) == send_status::ok));
    CHECK((texts(drained(s)) == strings{"ping", "1"}));
    CHECK(s.queued() != 0);
    CHECK(accepted(s.send_fragment(opcode::text, view("2"), false)));
    CHECK((texts(drained(s)) == strings{"2"}));
    CHECK(accepted(s.send_fragment(opcode::text, view("3"), false)));
    CHECK(accepted(s.send_fragment(opcode::text, view("4"), true)));
    CHECK((texts(drained(s)) == strings{"3", "4", "goes first", "waits"}));
    CHECK(s.queued() == 0);
    // And so does the next one.
    CHECK(accepted(s.send_fragment(opcode::binary, view("5"), false)));
    CHECK(accepted(s.send(opcode::text, "waits again")));
    CHECK(accepted(s.send_fragment(opcode::binary, view("6"), true)));
    CHECK((texts(drained(s)) == strings{"5", "6", "waits again"}));
}

TEST_CASE("pieces that wait their turn stay together, behind what was sent before and ahead of the rest") {
    session_options options;
    options.hold_back = true;
    options.limits.commit_bytes = 1;
    session s{any_role(), options};
    CHECK(accepted(s.send(opcode::text, "first")));
    CHECK(accepted(s.send(opcode::text, "second")));
    CHECK(accepted(s.send_fragment(opcode::text, view("a"), false)));
    CHECK(accepted(s.send(opcode::text, "third")));
    CHECK(accepted(s.send_fragment(opcode::text, view("b"), false)));
    CHECK(accepted(s.send(opcode::text, "fourth")));
    octets written = drained(s);
    CHECK((texts(written) == strings{"first", "second", "a", "b"}));
    CHECK(accepted(s.send_fragment(opcode::text, view("c"), false)));
    CHECK(accepted(s.send_fragment(opcode::text, view("d"), true)));
    CHECK(accepted(s.send_fragment(opcode::text, view("e"), true)));
    CHECK((texts(drained(s)) == strings{"c", "d", "third", "fourth", "e"}));
}

TEST_CASE("what waits for the end of a message cannot keep it from ending") {
    const auto self = any_role();
    session_options options;
    options.limits.queue_bytes = 500;
    options.limits.queue_messages = 4;
    session s{self, options};
    CHECK(accepted(s.send_fragment(opcode::text, view("begin"), false)));
    (void)drained(s);
    int waiting = 0;
    const auto priority = GENERATE(values({message_priority::normal, message_priority::urgent}));
    while (accepted(s.send(opcode::text, octets(90, 'w'), message_options{.priority = priority})))
        ++waiting;
    CHECK(waiting == 4);
    CHECK(accepted(s.send_fragment(opcode::text, view(octets(400, 'm')), false)));
    // But it has no more room than others.
    CHECK((s.send_fragment(opcode::text, view(octets(400, 'm')), false) == send_status::queue_full));
    (void)drained(s);
    CHECK(accepted(s.send_fragment(opcode::text, view("end"), true)));
    CHECK(texts(drained(s)).size() == 5);
}

TEST_CASE("those that wait for the end of a message miss no deadline of the transport's") {
    const auto self = any_role();
    session s{self, {.timeouts = {.ping_interval = 0s, .write = 10s}}};
    CHECK(accepted(s.send_fragment(opcode::text, view("begin"), false)));
    (void)drained(s);
    CHECK(accepted(s.send(opcode::text, "waits")));
    CHECK((s.next_deadline() == no_deadline));
    s.on_time(after(60s));
    CHECK(s.is_open());
    // From the next piece on there is something to write.
    CHECK(accepted(s.send_fragment(opcode::text, view("more"), false)));
    CHECK((s.next_deadline() == after(70s)));
    (void)drained(s);
    s.on_time(after(100s));
    CHECK((s.ping({}) == send_status::ok));
    CHECK((s.next_deadline() == after(110s)));
    s.on_time(after(110s));
    CHECK((s.error() == errc::write_timeout));
}

TEST_CASE("a Close does not wait for the end of a message that never comes, and drops what does") {
    const auto self = any_role();
    const bool by_peer = GENERATE(false, true);
    const bool held = GENERATE(false, true);
    session_options options;
    options.hold_back = held;
    options.limits.commit_bytes = 1;
    session s{self, options};
    CHECK(accepted(s.send_fragment(opcode::text, view("begin"), false)));
    CHECK(accepted(s.send_fragment(opcode::text, view("more"), false)));
    CHECK(accepted(s.send(opcode::text, view("never"), {.tag = 1})));
    CHECK(accepted(s.send(opcode::text, view("nor this"), {.priority = message_priority::urgent, .tag = 2})));
    octets bytes = frame_bytes(peer_of(self), opcode::close, close_payload(1000));
    if (by_peer) {
        s.receive(std::as_writable_bytes(std::span{bytes}));
        CHECK((s.next().what == event::kind::closed));
    } else {
        CHECK_FALSE(s.close());
    }
    CHECK((texts(drained(s)) == strings{"begin", "more", "close"}));
    CHECK(s.queued() == 0);
    int dropped = 0;
    while (const auto told = s.next_fate())
        dropped += told->fate == message_fate::dropped ? 1 : 0;
    CHECK(dropped == 2);
}

TEST_CASE("a message that waits for the end of another can be withdrawn, replaced and past its time") {
    session s{any_role()};
    CHECK(accepted(s.send_fragment(opcode::text, view("1"), false)));
    CHECK(accepted(s.send(opcode::text, view("withdrawn"), {.tag = 7})));
    CHECK(accepted(s.send(opcode::text, view("old price"), {.key = 3})));
    CHECK(accepted(s.send(opcode::text, view("too late"), {.time_to_live = 5s, .tag = 8})));
    CHECK(accepted(s.send(opcode::text, view("new price"), {.key = 3})));
    CHECK(s.withdraw(7));
    s.on_time(after(5s));
    CHECK((s.next_fate() == told_fate{8, message_fate::expired}));
    CHECK(accepted(s.send_fragment(opcode::text, view("2"), true)));
    CHECK((texts(drained(s)) == strings{"1", "2", "new price"}));
}

TEST_CASE(
    "with frames of bounded length a Ping, a Pong and a Close at once overtake the rest of a long message") {
    const auto self = any_role();
    session_options options;
    options.fragment_bytes = 1000;
    options.limits.commit_bytes = 2100;
    session s{self, options};
    CHECK(accepted(s.send(opcode::binary, octets(100'000, 'l'))));
    // The transport takes a little of the first frame.
    octets written = gathered(s).substr(0, 10);
    s.consumed(written.size());
    octets asked = frame_bytes(peer_of(self), opcode::ping, "are you there?");
    s.receive(std::as_writable_bytes(std::span{asked}));
    CHECK((s.next().what == event::kind::ping));
    CHECK((s.ping(view("and you?")) == send_status::ok));
    const bool closes = GENERATE(false, true);
    if (closes) CHECK_FALSE(s.close_at_once());
    written += drained(s);
    const auto said = texts(written);
    REQUIRE(said.size() > 3);
    CHECK(said[0].size() == 1000);
    CHECK(said[1] == "are you there?");
    CHECK(said[2] == "and you?");
    CHECK((said[3] == "close") == closes);
    CHECK(said.size() == (closes ? 4U : 102U));
}

TEST_CASE("whatever is sent between the pieces of a message, messages arrive whole and in order") {
    const auto self = any_role();
    const auto seed = GENERATE(range(1U, 120U));
    CAPTURE(seed);
    std::uint32_t state = seed * 2'654'435'761U;
    const auto random = [&](std::uint32_t below) {
        state = state * 1'664'525U + 1'013'904'223U;
        return (state >> 8U) % below;
    };
    session_options options;
    options.hold_back = random(2) == 0;
    options.fragment_bytes = random(2) == 0 ? 0 : 20;
    options.limits.commit_bytes = 1 + random(200);
    session s{self, options};

    octets written;
    // Normal messages by when they begin; urgent ones may be anywhere.
    std::vector<std::string> normal;
    std::vector<std::string> hurried;
    bool in_pieces = false;
    const auto text_of = [&](char kind, std::size_t number) {
        return std::string(1, kind) + std::to_string(number) + std::string(random(60), kind);
    };
    const auto piece = [&](bool last) {
        const auto text = in_pieces ? std::string(random(30), 'f') : text_of('f', normal.size());
        REQUIRE(accepted(s.send_fragment(opcode::binary, view(text), last)));
        if (!in_pieces) normal.emplace_back();
        // No other normal message begins in the list before this one ends: find it by its kind.
        std::size_t at = normal.size();
        while (at-- != 0)
            if (normal[at].empty() || normal[at].front() == 'f') break;
        normal[at] += text;
        in_pieces = !last;
    };
    for (int i = 0; i < 60; ++i) {
        switch (random(6)) {
        case 0: piece(false); break;
        case 1:
            if (in_pieces) piece(true);
            break;
        case 2:
            normal.push_back(text_of('n', normal.size()));
            REQUIRE(accepted(s.send(opcode::text, normal.back())));
            break;
        case 3:
            hurried.push_back(text_of('u', hurried.size()));
            REQUIRE(accepted(s.send(opcode::text, view(hurried.back()), urgent)));
            break;
        case 4: (void)s.ping(view("ping")); break;
        default: {
            const octets bytes = gathered(s, 1 + random(3));
            const std::size_t size = bytes.empty() ? 0 : 1 + random(static_cast<std::uint32_t>(bytes.size()));
            written += bytes.substr(0, size);
            s.consumed(size);
        }
        }
    }
    if (in_pieces) piece(true);
    written += drained(s);
    CHECK(s.queued() == 0);

    const auto frames = read_frames(written);
    REQUIRE(frames);
    std::vector<std::string> got_normal;
    std::vector<std::string> got_hurried;
    std::string message;
    bool inside_one = false;
    for (const auto& each : *frames) {
        if (each.op >= 8) continue;
        REQUIRE((each.op == 0) == inside_one);
        message += each.payload;
        inside_one = !each.fin;
        if (inside_one) continue;
        (message.front() == 'u' ? got_hurried : got_normal).push_back(message);
        message.clear();
    }
    CHECK_FALSE(inside_one);
    CHECK((got_normal == normal));
    CHECK((got_hurried == hurried));
}
