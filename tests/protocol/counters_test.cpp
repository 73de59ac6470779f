#include <duplex/protocol/counters.hpp>

#include "support/catch.hpp"
#include "support/output.hpp"
#include "support/wire.hpp"

#include <duplex/protocol/session.hpp>

#include <algorithm>
#include <array>
#include <bit>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

using namespace duplex;
using namespace duplex::testing;
using namespace std::chrono_literals;

namespace {

/// The peer's bytes come in windows of `step`; what is found is not looked at.
void deliver(session& to, octets bytes, std::size_t step = SIZE_MAX) {
    for (std::size_t at = 0; at < bytes.size();) {
        const std::size_t size = std::min(step, bytes.size() - at);
        std::vector<std::byte> window(size);
        std::memcpy(window.data(), bytes.data() + at, size);
        at += size;
        to.receive(window);
        while (to.next()) {
        }
    }
}

octets from_client(opcode op, std::string_view payload, const frame_shape& shape = {}) {
    return frame_bytes(role::client, op, payload, shape);
}

/// Counts as a session does, as if it had done so for long.
struct old_counts : detail::session_counts {
    old_counts() { messages_in_ = messages_out_ = 0xFFFF'FFFF; }
    using session_counts::count_bytes_in;
    using session_counts::count_control;
    using session_counts::count_message_in;
    using session_counts::count_message_out;
    using session_counts::counted;
    using session_counts::ping_out;
};

} // namespace

TEST_CASE("a new session has counted nothing") {
    const session s{role::server};
    CHECK(s.counters() == session_counters{});
}

TEST_CASE("counts what is received the same, however it is cut") {
    const auto step = GENERATE(values<std::size_t>({1, 3, 7, 100, SIZE_MAX}));
    const bool pieces = GENERATE(false, true);
    session s{role::server, {.deliver_fragments = pieces}};
    const octets bytes = from_client(opcode::text, "one") + from_client(opcode::binary, octets(300, 'x')) +
                         from_client(opcode::text, "t", {.fin = false}) + from_client(opcode::ping, "p") +
                         from_client(opcode::continuation, "w", {.fin = false}) +
                         from_client(opcode::continuation, "o") + from_client(opcode::pong, "");
    deliver(s, bytes, step);
    auto seen = s.counters();
    CHECK(seen.bytes_in == bytes.size());
    CHECK(seen.messages_in == 3);
    CHECK(seen.pings_in == 1);
    CHECK(seen.pongs_in == 1);
    CHECK(seen.frames_in == 7);
    CHECK(seen.closes_in == 0);
    CHECK(seen.pongs_out == 1);
    CHECK(seen.frames_out == 1);
    CHECK(seen.bytes_out == 0);
    deliver(s, from_client(opcode::close, close_payload(1000)), step);
    CHECK(drained(s).size() == 3 + 4);
    seen = s.counters();
    CHECK(seen.closes_in == 1);
    CHECK(seen.closes_out == 1);
    CHECK(seen.frames_in == 8);
    CHECK(seen.frames_out == 2);
    CHECK(seen.bytes_out == 7);
}

TEST_CASE("counts a large message that is received directly") {
    session s{role::server};
    const octets bytes = from_client(opcode::binary, octets(100'000, 'x'));
    deliver(s, bytes.substr(0, 20'000));
    octets rest = bytes.substr(20'000);
    while (!rest.empty()) {
        const auto to = s.direct();
        REQUIRE_FALSE(to.empty());
        const std::size_t size = std::min(to.size(), rest.size());
        std::memcpy(to.data(), rest.data(), size);
        rest.erase(0, size);
        s.received_direct(size);
        while (s.next()) {
        }
    }
    CHECK(s.counters().bytes_in == bytes.size());
    CHECK(s.counters().messages_in == 1);
    CHECK(s.counters().frames_in == 1);
}

TEST_CASE("does not count again what is lent again") {
    session s{role::server};
    octets bytes = from_client(opcode::text, "one") + from_client(opcode::text, "two");
    std::vector<std::byte> window(bytes.size());
    std::memcpy(window.data(), bytes.data(), bytes.size());
    s.receive(window);
    REQUIRE(s.next());
    std::vector<std::byte> moved(s.unread().begin(), s.unread().end());
    s.lend_again(moved);
    REQUIRE(s.next());
    CHECK_FALSE(s.next());
    CHECK(s.counters().bytes_in == bytes.size());
    CHECK(s.counters().messages_in == 2);
}

TEST_CASE("every way to send counts as one message, and fragments as frames") {
    const auto self = GENERATE(values({role::client, role::server}));
    const auto size = GENERATE(values<std::size_t>({0, 10, 200, 16 * 1024 + 1}));
    const bool lent = GENERATE(false, true);
    session s{self};
    if (lent) s.lend_queue(send_queue_ptr{new send_queue});
    const octets payload(size, 'p');
    CHECK(accepted(s.send(opcode::text, payload)));
    CHECK(accepted(s.send(opcode::binary, view(payload))));
    CHECK(accepted(s.send(opcode::binary, owned(payload))));
    CHECK(accepted(s.send_borrowed(opcode::binary, view(payload))));
    CHECK(accepted(s.send(prepared_message::text(payload))));
    CHECK(accepted(s.send(opcode::binary, view(payload), message_options{.tag = 1})));
    CHECK(accepted(s.send(prepared_message::text(payload), message_options{.tag = 2})));
    CHECK(accepted(s.send_fragment(opcode::binary, view(payload), false)));
    CHECK(accepted(s.send_fragment(opcode::binary, view(payload), false)));
    CHECK(accepted(s.send_fragment(opcode::binary, view(payload), true)));
    const octets out = drained(s);
    CHECK(s.counters().messages_out == 8);
    CHECK(s.counters().frames_out == 10);
    CHECK(s.counters().bytes_out == out.size());
    CHECK(read_frames(out)->size() == 10);
}

TEST_CASE("counts the frames that a long message is cut into") {
    session s{role::server, {.fragment_bytes = 100}};
    CHECK(accepted(s.send(opcode::text, octets(950, 'p'))));
    const octets out = drained(s);
    CHECK(s.counters().messages_out == 1);
    CHECK(s.counters().frames_out == 10);
    CHECK(read_frames(out)->size() == 10);
}

TEST_CASE("what is refused is not counted") {
    session s{role::server, {.limits = {.queue_bytes = 100}}};
    CHECK(accepted(s.send(opcode::text, octets(90, 'x'))));
    CHECK(s.send(opcode::text, octets(90, 'x')) == send_status::queue_full);
    CHECK(s.send(opcode::text, "\xff") == send_status::text_not_utf8);
    CHECK(s.ping(view(octets(126, 'x'))) == send_status::control_payload_too_long);
    CHECK(s.counters().messages_out == 1);
    CHECK(s.counters().frames_out == 1);
    deliver(s, from_client(opcode::text, "\xff"));
    CHECK(s.counters().messages_in == 0);
    CHECK(s.counters().frames_in == 0);
}

TEST_CASE("counts keepalive's Pings and what answers them") {
    session s{role::server, {.timeouts = {.ping_interval = 30s}}};
    const auto now = time_point{} + 31s;
    s.on_time(now);
    (void)drained(s);
    deliver(s, from_client(opcode::pong, ""));
    CHECK(accepted(s.ping({})));
    CHECK(accepted(s.pong({})));
    CHECK(s.counters().pings_out == 2);
    CHECK(s.counters().pongs_out == 1);
    CHECK(s.counters().pongs_in == 1);
}

TEST_CASE("control frames are counted beyond what their short counts hold") {
    session s{role::server};
    constexpr int many = 70'000;
    const octets ping = from_client(opcode::ping, "");
    for (int i = 0; i < many; ++i) {
        deliver(s, ping);
        (void)drained(s);
    }
    CHECK(s.counters().pings_in == many);
    CHECK(s.counters().pongs_out == many);
    CHECK(s.counters().frames_in == many);
    CHECK(s.counters().bytes_out == 2 * many);
}

TEST_CASE("messages are counted beyond what their short counts hold") {
    old_counts counts;
    CHECK(counts.counted().messages_in == 0xFFFF'FFFF);
    counts.count_message_in();
    CHECK(counts.counted().messages_in == 0x1'0000'0000);
    CHECK(counts.counted().frames_in == 0x1'0000'0000);
    counts.count_message_out();
    counts.count_message_out();
    CHECK(counts.counted().messages_out == 0x1'0000'0001);
    CHECK(counts.counted().frames_out == 0x1'0000'0001);
    for (int i = 0; i < 5; ++i)
        counts.count_bytes_in(std::size_t{3} << 30U);
    CHECK(counts.counted().bytes_in == std::uint64_t{15} << 30U);
    for (int i = 0; i < 1000; ++i)
        counts.count_control(old_counts::ping_out);
    CHECK(counts.counted().pings_out == 1000);
    CHECK(counts.counted().pongs_in == 0);
}

TEST_CASE("Pongs that take each other's place count as one") {
    session s{role::server};
    octets flood;
    for (int i = 0; i < 5000; ++i)
        flood += from_client(opcode::ping, "twelve bytes");
    deliver(s, flood);
    const auto frames = read_frames(drained(s));
    CHECK(s.counters().pings_in == 5000);
    CHECK(s.counters().pongs_out == frames->size());
    CHECK(frames->size() < 1000);
}

TEST_CASE("the peak of the queue is what the transport had no room for") {
    session s{role::server};
    CHECK(accepted(s.send(opcode::binary, octets(1000, 'x'))));
    (void)drained(s);
    CHECK(s.counters().queue_peak == 0);
    CHECK(accepted(s.send(opcode::binary, octets(96, 'x'))));
    (void)gathered(s);
    s.consumed(0); // it would block
    CHECK(s.counters().queue_peak == 98);
    CHECK(accepted(s.send(opcode::binary, octets(500, 'x'))));
    CHECK(gathered(s).size() == 98 + 504);
    s.consumed(300);
    CHECK(s.counters().queue_peak == 602);
    CHECK(accepted(s.send(opcode::binary, octets(400, 'x'))));
    (void)drained(s);
    CHECK(s.counters().queue_peak == 706);
    // There is room again: what leaves at once is no peak.
    CHECK(accepted(s.send(opcode::binary, octets(9000, 'x'))));
    (void)drained(s);
    CHECK(s.counters().queue_peak == 706);
}

TEST_CASE("counts outlive the queue") {
    session s{role::server};
    CHECK(accepted(s.send(opcode::text, "one")));
    (void)drained(s);
    REQUIRE(s.take_queue());
    CHECK(s.counters().bytes_out == 5);
    CHECK(accepted(s.send(opcode::text, "two")));
    s.drop_output();
    CHECK(s.counters().bytes_out == 5);
    CHECK(s.counters().messages_out == 2);
}

TEST_CASE("counters add up, and the highest peak counts") {
    session_counters one;
    one.bytes_in = 1;
    one.frames_out = 2;
    one.inflated_out = 3;
    one.queue_peak = 10;
    session_counters other;
    other.bytes_in = 5;
    other.closes_out = 1;
    other.queue_peak = 7;
    const auto sum = one + other;
    CHECK(sum.bytes_in == 6);
    CHECK(sum.frames_out == 2);
    CHECK(sum.inflated_out == 3);
    CHECK(sum.closes_out == 1);
    CHECK(sum.queue_peak == 10);
    // None is left out: each is a number of eight bytes.
    std::array<std::uint64_t, sizeof(session_counters) / sizeof(std::uint64_t)> numbers;
    numbers.fill(1);
    const auto all = std::bit_cast<session_counters>(numbers);
    numbers = std::bit_cast<decltype(numbers)>(all + all);
    CHECK(std::count(numbers.begin(), numbers.end(), 2) == static_cast<std::ptrdiff_t>(numbers.size()) - 1);
}
