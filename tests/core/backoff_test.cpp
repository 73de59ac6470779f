#include <duplex/core/backoff.hpp>

#include "support/catch.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <random>
#include <vector>

using duplex::backoff;
using duplex::backoff_options;
using duplex::close_code;
using duplex::reconnect_wish;
using duplex::wish_of;
using namespace std::chrono_literals;

namespace {

using duration = backoff::duration;
using durations = std::vector<duration>;

constexpr backoff::time_point start{1'000'000ms};

constexpr std::uint64_t lowest = 0;
constexpr std::uint64_t half = std::uint64_t{1} << 63U;
constexpr std::uint64_t highest = std::numeric_limits<std::uint64_t>::max();

durations waits(backoff& of, std::uint64_t random, std::size_t count) {
    durations all;
    for (std::size_t i = 0; i < count; ++i)
        all.push_back(of.next(random).value_or(-1ms));
    return all;
}

/// The longest waits: what a wait is drawn up to.
durations bounds(const backoff_options& options, std::size_t count) {
    backoff it{options};
    return waits(it, highest, count);
}

} // namespace

TEST_CASE("the bound of the waits doubles up to the most") {
    CHECK(bounds({}, 7) == durations{1s, 2s, 4s, 8s, 16s, 30s, 30s});
    CHECK(bounds({.initial = 500ms, .most = 3s}, 5) == durations{500ms, 1s, 2s, 3s, 3s});
    static_assert(backoff{}.next(highest) == 1s);
}

TEST_CASE("a wait is drawn from the least up to its bound") {
    backoff low;
    CHECK(waits(low, lowest, 4) == durations{100ms, 100ms, 100ms, 100ms});
    backoff middle;
    CHECK(waits(middle, half, 4) == durations{550ms, 1050ms, 2050ms, 4050ms});
    backoff none{{.least = 0ms}};
    CHECK(waits(none, lowest, 2) == durations{0ms, 0ms});
}

TEST_CASE("each wait is as likely as any other") {
    std::mt19937_64 random{5};
    std::map<duration, int> counts;
    constexpr int draws = 11'000;
    for (int i = 0; i < draws; ++i)
        ++counts[*backoff{{.initial = 15ms, .least = 5ms}}.next(random())];
    REQUIRE(counts.size() == 11);
    CHECK(counts.begin()->first == 5ms);
    CHECK(counts.rbegin()->first == 15ms);
    for (const auto& [wait, count] : counts) {
        CAPTURE(wait.count());
        CHECK(count > 850);
        CHECK(count < 1150);
    }
}

TEST_CASE("grows by other factors") {
    CHECK(bounds({.initial = 1s, .factor = 1.5}, 4) == durations{1s, 1500ms, 2250ms, 3375ms});
    CHECK(bounds({.initial = 1s, .factor = 1}, 3) == durations{1s, 1s, 1s});
    CHECK(bounds({.initial = 1s, .most = 20s, .factor = 10}, 3) == durations{1s, 10s, 20s});
    // Less than a millisecond at a time is not lost.
    CHECK(bounds({.initial = 1ms, .least = 0ms, .factor = 1.25}, 5) == durations{1ms, 1ms, 1ms, 1ms, 2ms});
}

TEST_CASE("no count of attempts is too many") {
    const double factor = GENERATE(1.0, 1.0001, 2.0, 1e300);
    backoff it{{.factor = factor}};
    bool within = true;
    for (int i = 0; i < 200'000; ++i) {
        const auto wait = it.next(highest);
        within = within && wait >= 1s && wait <= 30s;
    }
    CHECK(within);
    CHECK(it.next(highest) == (factor == 1.0 ? 1s : 30s));
    CHECK(it.attempts() == 200'001);
}

TEST_CASE("gives up after the attempts it was allowed") {
    backoff it{{.attempts = 3}};
    CHECK(waits(it, highest, 5) == durations{1s, 2s, 4s, -1ms, -1ms});
    CHECK(it.attempts() == 3);
    it.reset();
    CHECK(it.attempts() == 0);
    CHECK(waits(it, highest, 4) == durations{1s, 2s, 4s, -1ms});
    CHECK_FALSE(it.next(highest, {.least = 10s}));
}

TEST_CASE("a connection that stayed makes the next loss the first") {
    backoff it{{.stable = 10s}};
    CHECK(waits(it, highest, 3) == durations{1s, 2s, 4s});
    it.opened(start);
    CHECK(it.attempts() == 3);
    SECTION("exactly long enough") {
        it.lost(start + 10s);
        CHECK(it.attempts() == 0);
        CHECK(it.next(highest) == 1s);
    }
    SECTION("but not one that went at once") {
        it.lost(start + 9999ms);
        CHECK(it.attempts() == 3);
        CHECK(it.next(highest) == 8s);
    }
    SECTION("nor several of them together") {
        it.lost(start + 6s);
        it.opened(start + 7s);
        it.lost(start + 13s);
        CHECK(it.next(highest) == 8s);
    }
    SECTION("counted from its own opening, once") {
        it.lost(start + 1s);
        // Attempts that fail never opened.
        it.lost(start + 60s);
        CHECK(it.next(highest) == 8s);
        it.opened(start + 100s);
        it.lost(start + 110s);
        CHECK(it.next(highest) == 1s);
    }
    SECTION("and not where time runs backward") {
        it.lost(start - 1h);
        CHECK(it.next(highest) == 8s);
    }
}

TEST_CASE("any connection counts as stable where no time is asked for") {
    backoff it{{.stable = 0s}};
    CHECK(waits(it, highest, 2) == durations{1s, 2s});
    it.lost(start);
    CHECK(it.next(highest) == 4s);
    it.opened(start);
    it.lost(start);
    CHECK(it.next(highest) == 1s);
}

TEST_CASE("a server that accepts and ends each connection is called less and less") {
    backoff it{{.attempts = 6}};
    auto now = start;
    durations all;
    while (const auto wait = it.next(highest)) {
        all.push_back(*wait);
        now += *wait;
        it.opened(now);
        now += 1s;
        it.lost(now);
    }
    CHECK(all == durations{1s, 2s, 4s, 8s, 16s, 30s});
}

TEST_CASE("waits at least as long as the server wants, each client at its own time") {
    const auto range = [](const reconnect_wish& wish, const backoff_options& options = {}, int attempt = 0) {
        backoff it{options};
        for (int i = 0; i < attempt; ++i)
            (void)it.next(lowest);
        backoff copy = it;
        return durations{*it.next(lowest, wish), *copy.next(highest, wish)};
    };
    SECTION("by half as long again") { CHECK(range({.least = 20s}) == durations{20s, 30s}); }
    SECTION("but not by more than any wait") { CHECK(range({.least = 10min}) == durations{600s, 630s}); }
    SECTION("by what would be waited anyway") {
        CHECK(range({.least = 1s}) == durations{1s, 1900ms});
        CHECK(range({.least = 1s}, {}, 3) == durations{1s, 8900ms});
    }
    SECTION("by what the server wants") {
        CHECK(range({.least = 20s, .spread = 25s}) == durations{20s, 45s});
        CHECK(range({.least = 0s, .spread = 25s}) == durations{100ms, 25100ms});
    }
    SECTION("never sooner than without") {
        CHECK(range({.least = 1ms}) == durations{100ms, 1s});
        CHECK(range({.least = 1ms, .spread = 1ms}, {.most = 10s, .least = 2s}) == durations{2s, 2001ms});
    }
    SECTION("up to a limit") {
        CHECK(range({.least = 2h}) == durations{1h, 1h + 30s});
        CHECK(range({.least = 2h}, {.longest_wish = 5s}) == durations{5s, 7500ms});
        CHECK(range({.least = 2h}, {.longest_wish = 0s}) == durations{100ms, 1s});
        CHECK(range({.least = duration::max(), .spread = duration::max()}) == durations{1h, 25h});
    }
    SECTION("and a wish below nothing is none") {
        CHECK(range({.least = -1s, .spread = -1s}) == range({}));
        CHECK(range({.least = duration::min(), .spread = duration::min()}) == range({}));
    }
}

TEST_CASE("a wish is an attempt like any other") {
    backoff it;
    CHECK(it.next(lowest, {.least = 20s}) == 20s);
    CHECK(it.attempts() == 1);
    CHECK(it.next(highest) == 2s);
}

TEST_CASE("two Close codes ask for a wait") {
    CHECK(wish_of(close_code::service_restart).least == 5s);
    CHECK(wish_of(close_code::service_restart).spread == 25s);
    CHECK(wish_of(close_code::try_again_later).least == 30s);
    CHECK(wish_of(close_code::try_again_later).spread == 30s);
    for (const auto code : {close_code::normal, close_code::going_away, close_code::abnormal,
                            close_code::no_status, close_code{1014}, close_code{4000}}) {
        CHECK(wish_of(code).least == 0s);
        CHECK(wish_of(code).spread == 0s);
    }
    backoff it;
    backoff other;
    CHECK(it.next(lowest, wish_of(close_code::service_restart)) == 5s);
    CHECK(other.next(highest, wish_of(close_code::service_restart)) == 30s);
}

TEST_CASE("makes sense of any options") {
    CHECK(bounds({.initial = 60s, .most = 5s}, 2) == durations{5s, 5s});
    CHECK(bounds({.initial = 10ms, .least = 200ms}, 3) == durations{200ms, 400ms, 800ms});
    CHECK(bounds({.most = 50ms, .least = 200ms}, 2) == durations{50ms, 50ms});
    CHECK(bounds({.initial = -1s, .least = -1s}, 3) == durations{1ms, 2ms, 4ms});
    CHECK(bounds({.initial = 0s, .most = 0s, .least = 0s}, 3) == durations{0s, 0s, 0s});
    CHECK(bounds({.initial = duration::max(), .most = duration::max()}, 2) == durations{24h, 24h});
    CHECK(bounds({.initial = duration::min(), .most = duration::min(), .least = duration::min()}, 2) ==
          durations{0s, 0s});
    constexpr auto infinite = std::numeric_limits<double>::infinity();
    constexpr auto no_number = std::numeric_limits<double>::quiet_NaN();
    for (const double factor : {0.0, -2.0, 0.5, -infinite, no_number})
        CHECK(bounds({.factor = factor}, 3) == durations{1s, 1s, 1s});
    CHECK(bounds({.factor = infinite}, 3) == durations{1s, 30s, 30s});
    CHECK(bounds({.most = 0s, .factor = infinite}, 3) == durations{0s, 0s, 0s});
}
