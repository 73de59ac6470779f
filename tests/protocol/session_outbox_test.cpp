#include <duplex/protocol/session.hpp>

// Messages that wait their turn before a peer that reads slowly, or not at all.

#include "support/catch.hpp"
#include "support/output.hpp"
#include "support/seen_event.hpp"
#include "support/wire.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <memory>
#include <string>
#include <utility>
#include <vector>

using namespace duplex;
using namespace duplex::testing;
using namespace std::chrono_literals;

namespace {

constexpr message_options urgent{.priority = message_priority::urgent};

time_point at(std::chrono::milliseconds since) { return time_point{} + since; }

/// Room for a message or two of 50 bytes in the transport's queue, and for ten behind it.
session_options tight(overflow when_full = overflow::fail) {
    session_options options;
    options.timeouts = {.ping_interval = 0s, .idle = 0s, .write = 0s, .close = 10s};
    options.limits.queue_bytes = 600;
    options.limits.commit_bytes = 100;
    options.limits.queue_watermark = 400;
    options.hold_back = true;
    options.when_full = when_full;
    return options;
}

octets body(int number) {
    auto text = std::to_string(number);
    return text + octets(50 - text.size(), '.');
}

/// The number that `body` was made from, of each data message; -8 for a Close, -9 for a Ping.
std::vector<int> numbers(const octets& written) {
    const auto frames = read_frames(written);
    REQUIRE(frames);
    std::vector<int> all;
    for (const auto& each : *frames)
        all.push_back(each.op >= 8 ? -static_cast<int>(each.op) : std::stoi(each.payload));
    return all;
}

send_status send(session& s, int number, message_options options = {}) {
    if (options.tag == 0) options.tag = static_cast<std::uint64_t>(number);
    return s.send(opcode::text, body(number), options);
}

/// Sends until one is not taken; returns its number.
int fill(session& s, int number = 1, const message_options& options = {}) {
    while (accepted(s.send(opcode::text, body(number), options)))
        ++number;
    return number;
}

std::vector<told_fate> fates(session& s) {
    std::vector<told_fate> all;
    while (const auto told = s.next_fate())
        all.push_back(*told);
    return all;
}

std::vector<std::uint64_t> with(message_fate fate, const std::vector<told_fate>& told) {
    std::vector<std::uint64_t> tags;
    for (const auto& each : told)
        if (each.fate == fate) tags.push_back(each.tag);
    return tags;
}

using tags = std::vector<std::uint64_t>;

} // namespace

TEST_CASE("a session without wishes has no outbox, whatever is queued") {
    const auto self = GENERATE(values({role::client, role::server}));
    session s{self};
    for (int i = 0; i < 100; ++i)
        CHECK(accepted(s.send(opcode::binary, octets(10'000, 'x'))));
    CHECK(accepted(s.send(opcode::binary, view("x"), message_options{.how = compression::none})));
    CHECK_FALSE(s.holds_back());
    CHECK_FALSE(s.next_fate());
    CHECK_FALSE(s.withdraw(0));
    CHECK(accepted(s.send(opcode::binary, "x", message_options{.tag = 1})));
    CHECK(s.holds_back());
}

TEST_CASE("a peer that does not read: what has no room is refused, and has no fate") {
    const auto self = GENERATE(values({role::client, role::server}));
    session s{self, tight()};
    int number = 1;
    while (accepted(send(s, number)))
        ++number;
    CHECK(number > 8);
    CHECK((send(s, 99) == send_status::queue_full));
    CHECK(s.queued() <= 600 + 8);
    const auto out = numbers(drained(s));
    CHECK(out.size() == static_cast<std::size_t>(number - 1));
    CHECK(std::is_sorted(out.begin(), out.end()));
    CHECK(s.queued() == 0);
    CHECK(with(message_fate::written, fates(s)).size() == out.size());
    CHECK((send(s, number) == send_status::ok));
}

TEST_CASE("a peer that does not read: the newest is dropped, and its fate told") {
    const auto self = GENERATE(values({role::client, role::server}));
    session s{self, tight(overflow::drop_newest)};
    const int number = fill(s);
    CHECK((send(s, 77) == send_status::dropped));
    CHECK((s.send(opcode::text, body(78)) == send_status::dropped));
    CHECK((fates(s) == std::vector<told_fate>{{77, message_fate::dropped}}));
    CHECK(numbers(drained(s)).size() == static_cast<std::size_t>(number - 1));
    CHECK(fates(s).empty());
}

TEST_CASE("a peer that does not read: the oldest are dropped that have not begun to leave") {
    const auto self = GENERATE(values({role::client, role::server}));
    session s{self, tight(overflow::drop_oldest)};
    for (int i = 1; i <= 100; ++i)
        CHECK(accepted(send(s, i, i == 5 ? urgent : message_options{})));
    CHECK(s.queued() <= 600 + 8);
    const auto dropped = with(message_fate::dropped, fates(s));
    const auto out = numbers(drained(s));
    CHECK(dropped.size() + out.size() == 100);
    CHECK(out.front() == 1);
    CHECK(out.back() == 100);
    CHECK(std::count(out.begin(), out.end(), 5) == 1);
    CHECK(std::is_sorted(dropped.begin(), dropped.end()));
    // Where all that may be dropped is not enough, nothing else is dropped.
    (void)fates(s);
    fill(s, 1, {.when_full = overflow::fail});
    const auto before = s.queued();
    CHECK((s.send(opcode::text, octets(590, 'x'), message_options{.tag = 9}) == send_status::dropped));
    CHECK(s.queued() == before);
    CHECK((fates(s) == std::vector<told_fate>{{9, message_fate::dropped}}));
}

TEST_CASE("a peer that does not read: the connection is closed, without what waits") {
    const auto self = GENERATE(values({role::client, role::server}));
    auto code = GENERATE(values({close_code::policy_violation, close_code::try_again_later,
                                 close_code::no_status, close_code::abnormal}));
    auto options = tight(overflow::close);
    options.overflow_code = code;
    if (!may_travel(code)) code = close_code::policy_violation;
    session s{self, options};
    int number = 1;
    while (accepted(send(s, number)))
        ++number;
    CHECK_FALSE(s.is_open());
    CHECK((s.error() == errc::queue_full));
    CHECK((send(s, 99) == send_status::not_open));
    const auto dropped = with(message_fate::dropped, fates(s));
    const auto frames = read_frames(drained(s));
    REQUIRE(frames);
    CHECK(frames->back().op == 8);
    CHECK((frames->back().payload == close_payload(static_cast<unsigned>(code), "queue full")));
    const auto written = with(message_fate::written, fates(s));
    CHECK(written.size() == frames->size() - 1);
    CHECK(written.size() + dropped.size() == static_cast<std::size_t>(number - 1));
}

TEST_CASE("a peer that does not read: a caller that can wait is told to, and goes on at low water") {
    const auto self = GENERATE(values({role::client, role::server}));
    session s{self, tight(overflow::wait)};
    auto payload = owned(body(1));
    int number = 1;
    while (accepted(s.send(opcode::text, std::move(payload), message_options{})))
        payload = owned(body(++number));
    CHECK((to_octets(payload.bytes()) == body(number))); // NOLINT: it is left alone where it isn't accepted
    CHECK((s.send(opcode::text, body(number)) == send_status::would_wait));
    CHECK(s.above_watermark());
    CHECK_FALSE(s.take_low_water());
    bool low = false;
    while (!low) {
        CHECK(s.queued() > 200);
        s.consumed(std::min<std::size_t>(gathered(s).size(), 10));
        low = s.take_low_water();
    }
    CHECK_FALSE(s.take_low_water());
    CHECK(accepted(send(s, number)));
}

TEST_CASE("not more messages wait than are allowed to, however short") {
    auto options = tight(overflow::drop_oldest);
    options.limits.queue_messages = 3;
    session s{role::server, options};
    for (int i = 1; i <= 20; ++i)
        CHECK(accepted(send(s, i)));
    const auto out = numbers(drained(s));
    CHECK((out == std::vector<int>{1, 18, 19, 20}));
}

TEST_CASE("the latest value of a key waits in the place of the first") {
    const auto self = GENERATE(values({role::client, role::server}));
    session s{self, tight()};
    CHECK(accepted(send(s, 1, {.key = 7})));
    CHECK(accepted(send(s, 2, {.key = 7})));
    CHECK(accepted(send(s, 3)));
    CHECK(accepted(send(s, 4, {.key = 7})));
    CHECK((fates(s) == std::vector<told_fate>{{2, message_fate::replaced}}));
    // It takes the room of the one that it replaces.
    const int end = fill(s, 5);
    CHECK(accepted(send(s, 50, {.key = 7})));
    std::vector<int> wanted{1, 50, 3};
    for (int i = 5; i < end; ++i)
        wanted.push_back(i);
    CHECK((numbers(drained(s)) == wanted));
}

TEST_CASE("urgent messages overtake what has not begun, and Pings overtake both") {
    const auto self = GENERATE(values({role::client, role::server}));
    session s{self, tight()};
    for (int i = 1; i <= 4; ++i)
        CHECK(accepted(send(s, i)));
    CHECK(accepted(send(s, 10, urgent)));
    CHECK(accepted(send(s, 11, urgent)));
    CHECK((s.ping({}) == send_status::ok));
    CHECK((numbers(drained(s)) == std::vector<int>{-9, 1, 10, 11, 2, 3, 4}));
}

TEST_CASE("a message that has waited too long is dropped, and the session says when") {
    const auto self = GENERATE(values({role::client, role::server}));
    session s{self, tight(), at(0ms)};
    CHECK(accepted(send(s, 1, {.time_to_live = 5ms})));
    CHECK((s.next_deadline() == no_deadline));
    CHECK(accepted(send(s, 2, {.time_to_live = 20ms})));
    CHECK(s.deadline_came_closer());
    CHECK(accepted(send(s, 3, {.time_to_live = 10ms})));
    CHECK(accepted(send(s, 4)));
    CHECK((s.next_deadline() == at(10ms)));
    s.on_time(at(10ms) - 1ns);
    CHECK(fates(s).empty());
    s.on_time(at(10ms));
    CHECK((fates(s) == std::vector<told_fate>{{3, message_fate::expired}}));
    CHECK((s.next_deadline() == at(20ms)));
    // The time may also have been told in another way.
    s.at(at(20ms));
    CHECK((numbers(drained(s)) == std::vector<int>{1, 4}));
    CHECK((fates(s) == std::vector<told_fate>{{1, message_fate::written},
                                              {2, message_fate::expired},
                                              {4, message_fate::written}}));
    CHECK((s.next_deadline() == no_deadline));
}

TEST_CASE("what is past its time makes room for what is sent") {
    session s{role::server, tight(), at(0ms)};
    fill(s, 1, {.time_to_live = 5ms});
    s.at(at(5ms));
    CHECK(accepted(send(s, 50)));
    CHECK((numbers(drained(s)) == std::vector<int>{1, 50}));
}

TEST_CASE("a message is withdrawn as long as it has not begun to leave") {
    const auto self = GENERATE(values({role::client, role::server}));
    session s{self, tight()};
    for (int i = 1; i <= 3; ++i)
        CHECK(accepted(send(s, i)));
    CHECK_FALSE(s.withdraw(1));
    CHECK(s.withdraw(2));
    CHECK_FALSE(s.withdraw(2));
    CHECK((numbers(drained(s)) == std::vector<int>{1, 3}));
    CHECK_FALSE(s.withdraw(3));
    CHECK((fates(s) == std::vector<told_fate>{{1, message_fate::written}, {3, message_fate::written}}));
}

TEST_CASE("a message is written with its last byte, and lost with the transport") {
    const auto self = GENERATE(values({role::client, role::server}));
    session s{self, tight()};
    for (int i = 1; i <= 4; ++i)
        CHECK(accepted(send(s, i)));
    const auto size = gathered(s).size();
    s.consumed(size - 1);
    CHECK(fates(s).empty());
    (void)gathered(s);
    s.consumed(1);
    CHECK((fates(s) == std::vector<told_fate>{{1, message_fate::written}}));
    s.drop_output();
    CHECK((fates(s) == std::vector<told_fate>{
                           {2, message_fate::lost}, {3, message_fate::lost}, {4, message_fate::lost}}));
    CHECK(s.queued() == 0);
    CHECK((s.next_deadline() == no_deadline));
}

TEST_CASE("all ways to send wait in one line") {
    const auto self = GENERATE(values({role::client, role::server}));
    auto options = tight();
    options.limits.queue_bytes = 200'000;
    session s{self, options};
    const auto prepared = prepared_message::text(body(2));
    const octets big(20'000, '5');
    CHECK(accepted(s.send(opcode::text, body(1))));
    CHECK(accepted(s.send(prepared)));
    CHECK(accepted(s.send(opcode::text, owned(body(3)))));
    CHECK(accepted(s.send(opcode::text, view(body(4)))));
    octets lent = big;
    CHECK(accepted(s.send_borrowed(opcode::text, view(lent))));
    CHECK(accepted(s.send_back(opcode::text, view(lent))));
    lent.assign(lent.size(), '!');
    CHECK(accepted(s.send(opcode::text, owned(big), message_options{.tag = 1})));
    CHECK(accepted(s.send(prepared, message_options{.tag = 2})));
    CHECK((s.send(prepared_message{}, message_options{.tag = 3}) == send_status::opcode_not_data));
    CHECK((s.send(opcode::text, "\xff", message_options{.tag = 3}) == send_status::text_not_utf8));
    CHECK((s.send(opcode::ping, "x", message_options{.tag = 3}) == send_status::opcode_not_data));
    const auto frames = read_frames(drained(s));
    REQUIRE(frames);
    std::vector<octets> payloads;
    for (const auto& each : *frames)
        payloads.push_back(each.payload);
    CHECK((payloads == std::vector<octets>{body(1), body(2), body(3), body(4), big, big, big, body(2)}));
    CHECK((fates(s) == std::vector<told_fate>{{1, message_fate::written}, {2, message_fate::written}}));
}

TEST_CASE("a wish takes effect from its message on, behind what was sent before") {
    auto options = tight();
    options.hold_back = false;
    session s{role::server, options};
    for (int i = 1; i <= 5; ++i)
        CHECK(accepted(s.send(opcode::text, body(i))));
    CHECK(accepted(s.send(opcode::text, body(10), urgent)));
    CHECK(accepted(s.send(opcode::text, body(11))));
    CHECK(accepted(s.send(opcode::text, body(12), urgent)));
    CHECK((numbers(drained(s)) == std::vector<int>{1, 2, 3, 4, 5, 10, 12, 11}));
    // From then on.
    for (int i = 1; i <= 3; ++i)
        CHECK(accepted(s.send(opcode::text, body(i))));
    CHECK(accepted(s.send(opcode::text, body(10), urgent)));
    CHECK((numbers(drained(s)) == std::vector<int>{1, 10, 2, 3}));
}

TEST_CASE("fragments wait in line, and stay together") {
    const auto self = GENERATE(values({role::client, role::server}));
    const auto when_full = GENERATE(values({overflow::fail, overflow::drop_newest, overflow::drop_oldest}));
    session s{self, tight(when_full)};
    CHECK(accepted(send(s, 1)));
    CHECK(accepted(send(s, 2)));
    CHECK(accepted(s.send_fragment(opcode::text, view(body(3)), false)));
    CHECK(accepted(s.send_fragment(opcode::text, view(body(4)), true)));
    CHECK(accepted(send(s, 10, urgent)));
    s.consumed(gathered(s).size());
    s.consumed(gathered(s).size());
    CHECK(accepted(s.send_fragment(opcode::text, view(body(5)), false)));
    int number = 6;
    while (accepted(s.send_fragment(opcode::text, view(body(number)), false)))
        ++number;
    CHECK((s.send_fragment(opcode::text, view(body(number)), true) == send_status::queue_full));
    const auto frames = read_frames(drained(s));
    CHECK(frames->front().payload == body(2));
    CHECK(accepted(s.send_fragment(opcode::text, view(body(number)), true)));
    const auto last = read_frames(drained(s));
    CHECK((last->front().fin && last->front().op == 0));
    CHECK(accepted(send(s, 50)));
}

TEST_CASE("an urgent message waits for the end of a message in fragments that has begun") {
    session s{role::server, tight()};
    CHECK(accepted(s.send_fragment(opcode::text, view(body(1)), false)));
    CHECK(accepted(s.send_fragment(opcode::text, view(body(2)), false)));
    CHECK(accepted(s.send_fragment(opcode::text, view(body(3)), true)));
    CHECK(accepted(send(s, 4)));
    CHECK(accepted(send(s, 10, urgent)));
    CHECK((numbers(drained(s)) == std::vector<int>{1, 2, 3, 10, 4}));
}

TEST_CASE("a Close goes behind all that waits, or at once") {
    const auto self = GENERATE(values({role::client, role::server}));
    const bool now = GENERATE(true, false);
    const bool late = GENERATE(true, false);
    session s{self, tight()};
    for (int i = 1; i <= 5; ++i)
        CHECK(accepted(send(s, i)));
    if (!now || late) CHECK_FALSE(s.close(close_code::normal, "done"));
    if (now) {
        CHECK(s.close_now(close_code::no_status, "too much to say") == errc::close_code_not_allowed);
        CHECK_FALSE(s.close_now(close_code::going_away));
    }
    CHECK_FALSE(s.is_open());
    CHECK((send(s, 9) == send_status::not_open));
    CHECK_FALSE(s.close());
    if (now) CHECK_FALSE(s.close_now());
    const auto out = drained(s);
    CHECK((numbers(out) == (now ? std::vector<int>{1, -8} : std::vector<int>{1, 2, 3, 4, 5, -8})));
    CHECK((read_frames(out)->back().payload == (now ? close_payload(1001) : close_payload(1000, "done"))));
    const auto told = fates(s);
    CHECK(with(message_fate::dropped, told).size() == (now ? 4U : 0U));
    CHECK(told.size() == 5);
    CHECK(s.queued() == 0);
    CHECK((s.state() == closing::state::close_sent));
}

TEST_CASE("a Close that waits goes out when what it waits for is withdrawn or past its time") {
    session s{role::server, tight(), at(0ms)};
    CHECK(accepted(send(s, 1)));
    CHECK(accepted(send(s, 2, {.time_to_live = 5ms})));
    CHECK(accepted(send(s, 3)));
    CHECK_FALSE(s.close());
    CHECK(s.withdraw(3));
    CHECK(numbers(gathered(s)) == std::vector<int>{1});
    s.on_time(at(5ms));
    CHECK((numbers(drained(s)) == std::vector<int>{1, -8}));
}

TEST_CASE("the answer to a Close goes behind all that waits, and Pings are answered until then") {
    const auto self = GENERATE(values({role::client, role::server}));
    session s{self, tight()};
    for (int i = 1; i <= 3; ++i)
        CHECK(accepted(send(s, i)));
    octets bytes = frame_bytes(peer_of(self), opcode::close, close_payload(1000));
    s.receive(std::as_writable_bytes(std::span{bytes}));
    CHECK((s.next().what == event::kind::closed));
    CHECK(s.queued() > 150);
    CHECK((numbers(drained(s)) == std::vector<int>{1, 2, 3, -8}));
    CHECK((s.state() == closing::state::done));
    CHECK(with(message_fate::written, fates(s)) == tags{1, 2, 3});
}

TEST_CASE("a connection that fails loses what waits, and says so to the peer next") {
    const auto self = GENERATE(values({role::client, role::server}));
    const bool closing = GENERATE(true, false);
    session s{self, tight()};
    for (int i = 1; i <= 3; ++i)
        CHECK(accepted(send(s, i)));
    if (closing) CHECK_FALSE(s.close());
    s.fail(errc::invalid_utf8);
    CHECK((fates(s) == std::vector<told_fate>{{2, message_fate::lost}, {3, message_fate::lost}}));
    const auto out = drained(s);
    CHECK((numbers(out) == std::vector<int>{1, -8}));
    CHECK((read_frames(out)->back().payload == close_payload(1007)));
    CHECK((fates(s) == std::vector<told_fate>{{1, message_fate::written}}));
}

TEST_CASE("a long message is cut as it leaves, and a Ping or a Close gets between") {
    const auto self = GENERATE(values({role::client, role::server}));
    const auto way = GENERATE(0, 1, 2);
    const auto end = GENERATE(0, 1, 2);
    auto options = tight();
    options.hold_back = false;
    options.fragment_bytes = 40;
    session s{self, options};
    octets payload;
    for (int i = 0; i < 210; ++i)
        payload += static_cast<char>('a' + i % 26);
    const message_options tagged{.tag = 1};
    switch (way) {
    case 0: CHECK(accepted(s.send(opcode::text, payload, tagged))); break;
    case 1: CHECK(accepted(s.send(opcode::text, owned(payload), tagged))); break;
    default: CHECK(accepted(s.send(prepared_message::text(payload), tagged)));
    }
    CHECK(accepted(send(s, 2)));
    CHECK(accepted(send(s, 3, urgent)));
    CHECK(s.queued() > 210 + 2 * 50);
    octets out = gathered(s);
    s.consumed(out.size());
    CHECK(out.size() <= 100);
    CHECK_FALSE(s.withdraw(1));
    if (end == 2) {
        CHECK_FALSE(s.close_now());
        out += drained(s);
        const auto frames = read_frames(out);
        CHECK(frames->back().op == 8);
        CHECK_FALSE(frames->at(frames->size() - 2).fin);
        CHECK(with(message_fate::dropped, fates(s)) == tags{3, 1, 2});
        return;
    }
    CHECK((s.ping({}) == send_status::ok));
    if (end == 1) CHECK_FALSE(s.close());
    out += drained(s);
    const auto frames = read_frames(out);
    REQUIRE(frames);
    octets joined;
    std::vector<unsigned> ops;
    for (const auto& each : *frames) {
        ops.push_back(each.op);
        CHECK(each.payload.size() <= 40 + 10);
        if (each.op <= 1 && joined.size() < payload.size()) {
            joined += each.payload;
            CHECK(each.fin == (joined.size() == payload.size()));
        }
    }
    CHECK((joined == payload));
    CHECK(std::find(ops.begin(), ops.end(), 9U) - ops.begin() < 4);
    // The two messages of 50 bytes are cut as well.
    const auto text = static_cast<std::size_t>(std::count(ops.begin(), ops.end(), 1U));
    CHECK(text == 3);
    CHECK(with(message_fate::written, fates(s)) == tags{1, 3, 2});
    CHECK((ops.back() == (end == 1 ? 8U : 0U)));
}
