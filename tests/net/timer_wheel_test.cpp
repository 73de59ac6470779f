#include <duplex/net/timer_wheel.hpp>

#include "support/catch.hpp"

#include <array>
#include <chrono>
#include <cstddef>
#include <random>
#include <type_traits>
#include <vector>

using duplex::no_deadline;
using duplex::time_point;
using duplex::timer_wheel;
using namespace std::chrono_literals;

namespace {

struct timer : timer_wheel::entry {
    int calls = 0;
    time_point at{};
};

constexpr time_point start{1'000'123ms};

struct wheel_fixture {
    timer_wheel wheel{start};
    time_point now = start;

    void advance(time_point::duration step) {
        now += step;
        wheel.advance(now, [&](timer_wheel::entry& due) {
            auto& each = static_cast<timer&>(due);
            ++each.calls;
            each.at = now;
        });
    }
};

static_assert(!std::is_copy_constructible_v<timer_wheel> && !std::is_copy_constructible_v<timer>);

} // namespace

TEST_CASE("a deadline is never early and late by at most the resolution") {
    const auto wait = GENERATE(values<std::chrono::milliseconds>(
        {0ms, 1ms, 249ms, 250ms, 251ms, 10'000ms, 63'999ms, 64'000ms, 64'001ms, 200'000ms, 3'600'000ms}));
    const auto step = GENERATE(values<std::chrono::milliseconds>({1ms, 7ms, 250ms}));
    if (step == 1ms && wait > 70'000ms) return;
    CAPTURE(wait.count(), step.count());
    wheel_fixture f;
    timer one;
    f.wheel.schedule(one, start + wait);
    CHECK(one.scheduled());
    CHECK(one.due() == start + wait);
    CHECK(f.wheel.size() == 1);
    while (one.calls == 0) {
        f.advance(step);
        REQUIRE(f.now <= start + wait + timer_wheel::resolution + step);
    }
    CHECK(one.at >= start + wait);
    CHECK_FALSE(one.scheduled());
    CHECK(f.wheel.empty());
    f.advance(1000s);
    CHECK(one.calls == 1);
}

TEST_CASE("a long sleep misses nothing") {
    const auto sleep = GENERATE(values<std::chrono::seconds>({1s, 63s, 64s, 65s, 1000s, 1'000'000s}));
    wheel_fixture f;
    std::vector<timer> timers(600);
    for (std::size_t i = 0; i < timers.size(); ++i)
        f.wheel.schedule(timers[i], start + i * 333ms);
    f.advance(sleep);
    for (std::size_t i = 0; i < timers.size(); ++i) {
        CAPTURE(i);
        const auto due = start + i * 333ms;
        if (due + timer_wheel::resolution <= f.now) CHECK(timers[i].calls == 1);
        if (due > f.now) CHECK(timers[i].calls == 0);
        f.wheel.cancel(timers[i]);
    }
    CHECK(f.wheel.empty());
}

TEST_CASE("a deadline can be moved and dropped") {
    wheel_fixture f;
    timer moved;
    timer dropped;
    timer never;
    f.wheel.schedule(moved, start + 1s);
    f.wheel.schedule(moved, start + 3s);
    f.wheel.schedule(dropped, start + 1s);
    f.wheel.cancel(dropped);
    f.wheel.cancel(dropped);
    f.wheel.schedule(never, start + 1s);
    f.wheel.schedule(never, no_deadline);
    CHECK_FALSE(never.scheduled());
    CHECK(f.wheel.size() == 1);
    f.advance(2s);
    CHECK(moved.calls + dropped.calls + never.calls == 0);
    f.wheel.schedule(moved, start + 2500ms);
    f.advance(800ms);
    CHECK(moved.calls == 1);
    CHECK(f.wheel.empty());
}

TEST_CASE("ticking when the wheel says keeps every deadline within the resolution") {
    const auto wait = GENERATE(values<std::chrono::milliseconds>(
        {0ms, 1ms, 126ms, 127ms, 128ms, 249ms, 250ms, 251ms, 377ms, 9'999ms, 64'001ms}));
    CAPTURE(wait.count());
    wheel_fixture f;
    timer one;
    f.wheel.schedule(one, start + wait);
    while (one.calls == 0) {
        const auto next = f.wheel.next_tick();
        REQUIRE(next > f.now);
        REQUIRE(next <= f.now + timer_wheel::resolution);
        f.advance(next - f.now);
    }
    CHECK(one.at >= start + wait);
    CHECK(one.at <= start + wait + timer_wheel::resolution);
}

TEST_CASE("a deadline that has passed already comes with the next tick") {
    wheel_fixture f;
    timer late;
    f.advance(10s);
    f.wheel.schedule(late, start);
    CHECK(late.calls == 0);
    f.advance(timer_wheel::resolution);
    CHECK(late.calls == 1);
}

TEST_CASE("time that goes backward moves nothing") {
    wheel_fixture f;
    timer one;
    f.advance(10s);
    f.wheel.schedule(one, start + 11s);
    f.wheel.advance(start, [](timer_wheel::entry&) { FAIL("nothing is due"); });
    CHECK(f.wheel.now() == start + 10s);
    f.advance(2s);
    CHECK(one.calls == 1);
}

TEST_CASE("what is due may schedule and cancel itself and others") {
    timer_wheel wheel{start};
    std::array<timer, 3> timers;
    for (auto& each : timers)
        wheel.schedule(each, start + 1s);
    int calls = 0;
    wheel.advance(start + 2s, [&](timer_wheel::entry& due) {
        ++calls;
        for (auto& each : timers)
            if (&each != &due) wheel.cancel(each);
        wheel.schedule(due, start + 5s);
    });
    CHECK(calls == 1);
    CHECK(wheel.size() == 1);
    wheel.advance(start + 6s, [&](timer_wheel::entry&) { ++calls; });
    CHECK(calls == 2);
    CHECK(wheel.empty());
}

TEST_CASE("does what a sorted list of deadlines does") {
    const auto seed = GENERATE(range(0U, 20U));
    CAPTURE(seed);
    std::mt19937 random{seed};
    wheel_fixture f;
    std::vector<timer> timers(50);
    std::vector<time_point> wanted(timers.size(), no_deadline);
    std::vector<int> calls(timers.size(), 0);
    for (int round = 0; round < 2000; ++round) {
        const auto which = random() % timers.size();
        switch (random() % 4) {
        case 0:
        case 1: {
            const auto due =
                f.now + std::chrono::milliseconds{random() % (random() % 8 == 0 ? 200'000 : 3000)};
            f.wheel.schedule(timers[which], due);
            wanted[which] = due;
            break;
        }
        case 2:
            f.wheel.cancel(timers[which]);
            wanted[which] = no_deadline;
            break;
        default:
            f.advance(std::chrono::milliseconds{random() % (random() % 16 == 0 ? 100'000 : 600)});
            for (std::size_t i = 0; i < timers.size(); ++i) {
                const bool came = timers[i].calls != calls[i];
                calls[i] = timers[i].calls;
                if (came) {
                    REQUIRE(wanted[i] <= f.now);
                    wanted[i] = no_deadline;
                } else {
                    REQUIRE((wanted[i] == no_deadline || wanted[i] + timer_wheel::resolution > f.now));
                }
            }
        }
        std::size_t pending = 0;
        for (std::size_t i = 0; i < timers.size(); ++i) {
            REQUIRE(timers[i].scheduled() == (wanted[i] != no_deadline));
            pending += timers[i].scheduled() ? 1U : 0U;
        }
        REQUIRE(f.wheel.size() == pending);
    }
    for (auto& each : timers)
        f.wheel.cancel(each);
}
