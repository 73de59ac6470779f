#include <duplex/protocol/session.hpp>

// Messages that wait their turn where memory runs out, at each place where it can: each that was taken has
// one fate, and what is written is what its fate says.

#include "support/block_cache.hpp"
#include "support/catch.hpp"
#include "support/output.hpp"
#include "support/seen_event.hpp"
#include "support/system_faults.hpp"
#include "support/wire.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <climits>
#include <cstring>
#include <set>
#include <string>
#include <thread>
#include <vector>

#if defined(DUPLEX_TESTING_FAULTS)

using namespace duplex;
using namespace duplex::testing;
using namespace std::chrono_literals;

namespace {

session_options tight() {
    session_options options;
    options.timeouts = {.ping_interval = 0s, .idle = 0s, .write = 0s, .close = 0s};
    options.limits.queue_bytes = 700;
    options.limits.commit_bytes = 100;
    options.hold_back = true;
    options.when_full = overflow::drop_oldest;
    return options;
}

/// What a test needs to note without memory of its own.
struct notes {
    struct sent {
        std::uint64_t tag = 0;
        send_status status = send_status::not_open;
    };
    std::array<sent, 64> sends{};
    std::size_t count = 0;
    std::array<std::byte, 16'384> wire{};
    std::size_t written = 0;
    std::array<told_fate, 128> fates{};
    std::size_t told = 0;
    std::array<std::uint64_t, 8> withdrawn{};
    std::size_t taken_back = 0;

    void note(std::uint64_t tag, send_status status) { sends[count++] = {tag, status}; }

    void write(session& s, std::size_t most) {
        std::array<segment, 4> segments;
        const auto n = s.gather(segments);
        std::size_t size = 0;
        for (std::size_t i = 0; i < n && size < most; ++i) {
            const auto part = segments[i].first(std::min(segments[i].size(), most - size));
            std::memcpy(wire.data() + written, part.data(), part.size());
            written += part.size();
            size += part.size();
        }
        s.consumed(size);
    }
    void listen(session& s) {
        while (const auto fate = s.next_fate())
            fates[told++] = *fate;
    }
};

octets body(std::uint64_t tag) {
    const auto text = std::to_string(tag);
    return text + octets((tag % 5 == 0 ? 130U : 40U) - text.size(), '.');
}

/// All that a session with an outbox does. What it sends was made before.
void script(session& s, notes& n, std::array<octets, 32>& bodies, std::array<byte_buffer, 32>& owned_bodies,
            std::array<prepared_message, 32>& prepared) {
    const auto send = [&](std::size_t tag, message_options options = {}) {
        options.tag = tag;
        if (tag % 3 == 0)
            n.note(tag, s.send(opcode::binary, std::move(owned_bodies[tag]), options));
        else if (tag % 3 == 1)
            n.note(tag, s.send(opcode::binary, view(bodies[tag]), options));
        else
            n.note(tag, s.send(prepared[tag], options));
        n.listen(s);
    };
    for (std::size_t i = 1; i <= 6; ++i)
        send(i);
    send(7, {.key = 1});
    send(8, {.key = 1});
    send(9, {.priority = message_priority::urgent});
    send(10, {.time_to_live = 5ms});
    n.write(s, 30);
    n.write(s, SIZE_MAX);
    for (std::size_t i = 11; i <= 20; ++i)
        send(i);
    send(21, {.when_full = overflow::drop_newest});
    if (s.withdraw(19)) n.withdrawn[n.taken_back++] = 19;
    s.on_time(time_point{} + 5ms);
    (void)s.send(opcode::binary, view("untold"));
    n.write(s, 70);
    n.listen(s);
    send(22, {.key = 2});
    send(23, {.key = 2, .priority = message_priority::urgent});
    (void)s.close();
    n.write(s, SIZE_MAX);
    n.listen(s);
}

void check(const notes& n, bool whole) {
    std::set<std::uint64_t> written;
    std::set<std::uint64_t> told;
    for (std::size_t i = 0; i < n.told; ++i) {
        CAPTURE(n.fates[i].tag, to_string(n.fates[i].fate));
        REQUIRE(told.insert(n.fates[i].tag).second);
        if (n.fates[i].fate == message_fate::written) written.insert(n.fates[i].tag);
    }
    for (std::size_t i = 0; i < n.count; ++i) {
        const auto tag = n.sends[i].tag;
        CAPTURE(tag, static_cast<int>(n.sends[i].status));
        const bool taken = accepted(n.sends[i].status) || n.sends[i].status == send_status::dropped;
        const bool back = std::find(n.withdrawn.begin(), n.withdrawn.end(), tag) != n.withdrawn.end();
        REQUIRE(told.count(tag) == (taken && !back ? 1U : 0U));
    }
    if (!whole) return;
    const auto frames = read_frames(to_octets(std::span{n.wire}.first(n.written)));
    REQUIRE(frames);
    std::set<std::uint64_t> seen;
    octets joined;
    for (const auto& each : *frames) {
        if (each.op >= 8 || each.payload == "untold") continue;
        if (each.op != 0) joined.clear();
        joined += each.payload;
        if (!each.fin) continue;
        const auto tag = std::stoull(joined);
        REQUIRE((joined == body(tag)));
        REQUIRE(seen.insert(tag).second);
    }
    REQUIRE((seen == written));
}

} // namespace

TEST_CASE("where memory runs out each message that was taken has one fate") {
    const auto self = GENERATE(values({role::client, role::server}));
    const auto fragment_bytes = GENERATE(values<std::size_t>({0, 50}));
    // For good, for a while, or for one allocation alone.
    const auto missing = GENERATE(values({LONG_MAX, 7L, 1L}));
    const bool gone = GENERATE(true, false);
    bool enough = false;
    int failed = 0;
    for (long count = 0; !enough; ++count) {
        REQUIRE(count < 1000);
        CAPTURE(fragment_bytes, missing, gone, count);
        std::array<octets, 32> bodies;
        std::array<byte_buffer, 32> owned_bodies;
        std::array<prepared_message, 32> prepared;
        for (std::size_t i = 1; i < bodies.size(); ++i) {
            bodies[i] = body(i);
            owned_bodies[i] = owned(bodies[i]);
            prepared[i] = prepared_message::binary(view(bodies[i]));
        }
        auto options = tight();
        options.fragment_bytes = fragment_bytes;
        session s{self, options};
        forget_blocks();
        notes n;
        {
            const scarce_memory memory{count, missing};
            script(s, n, bodies, owned_bodies, prepared);
            enough = !memory.ran_out();
        }
        for (int i = 0; i < 100 && !gone && s.queued() != 0; ++i)
            n.write(s, SIZE_MAX);
        if (const auto said = s.next(); said.what == event::kind::failed) {
            ++failed;
            REQUIRE(said.error == errc::out_of_memory);
        }
        const bool whole = s.queued() == 0;
        REQUIRE((whole || gone || s.transport() == transport_step::abort));
        s.drop_output();
        n.listen(s);
        REQUIRE_FALSE(s.next_fate());
        check(n, whole);
    }
    if (missing == LONG_MAX && fragment_bytes == 0) CHECK(failed > 0);
}

TEST_CASE("a payload that finds no memory to wait is left to the caller") {
    const auto self = GENERATE(values({role::client, role::server}));
    const auto fragment_bytes = GENERATE(values<std::size_t>({0, 50}));
    for (long count = 0; count < 8; ++count) {
        CAPTURE(count);
        auto options = tight();
        options.fragment_bytes = fragment_bytes;
        session s{self, options};
        forget_blocks();
        auto payload = owned(octets(20'000, 'p'));
        send_status status{};
        {
            const scarce_memory memory{count};
            status = s.send(opcode::binary, std::move(payload), message_options{.tag = 1});
        }
        if (accepted(status)) continue;
        CHECK((status == send_status::out_of_memory));
        CHECK((to_octets(payload.bytes()) == octets(20'000, 'p'))); // NOLINT: it isn't accepted
        CHECK(s.queued() == 0);
        CHECK_FALSE(s.next_fate());
        CHECK(s.is_open());
        CHECK(accepted(s.send(opcode::binary, std::move(payload), message_options{.tag = 1})));
        octets joined;
        const auto frames = read_frames(drained(s));
        REQUIRE(frames);
        for (const auto& each : *frames)
            joined += each.payload;
        CHECK((joined == octets(20'000, 'p')));
        CHECK((s.next_fate() == told_fate{1, message_fate::written}));
    }
}

TEST_CASE("a client without a masking key keeps what waits as long as there is something to write") {
    auto options = tight();
    session s{role::client, options};
    for (std::uint64_t i = 1; i <= 4; ++i)
        REQUIRE(accepted(s.send(opcode::binary, view(body(i)), message_options{.tag = i})));
    const auto first = gathered(s);
    // A thread of its own, which has no seed from earlier.
    const auto without_keys = [&](auto what) {
        std::thread([&] {
            const scripted_random system{scripted_random::none};
            what();
        }).join();
    };
    without_keys([&] { s.consumed(10); });
    CHECK(s.is_open());
    (void)gathered(s);
    without_keys([&] { s.consumed(first.size() - 10); });
    CHECK_FALSE(s.is_open());
    CHECK((s.next().error == errc::random_source_failed));
    CHECK(s.next_fate()->fate == message_fate::written);
    int lost = 0;
    while (const auto told = s.next_fate())
        lost += told->fate == message_fate::lost;
    CHECK(lost >= 2);
    CHECK(s.queued() == 0);
}

#endif
