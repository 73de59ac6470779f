#include <duplex/protocol/latency.hpp>

#include "support/catch.hpp"

#include <chrono>

using namespace duplex;
using namespace std::chrono_literals;

TEST_CASE("before the first answer nothing is known of how long answers take") {
    CHECK((latency{} == latency{.last = 0ns, .smoothed = 0ns, .variation = 0ns, .minimum = 0ns, .count = 0}));
}

TEST_CASE("the first round trip is smoothed as it is, and varies by half of it") {
    // RFC 6298 2.2.
    latency known;
    known.add(80ms);
    CHECK((known == latency{.last = 80ms, .smoothed = 80ms, .variation = 40ms, .minimum = 80ms, .count = 1}));
}

TEST_CASE("later round trips count an eighth, and their distance a quarter") {
    // RFC 6298 2.3: the variation is told the distance from what was smoothed before.
    latency known;
    known.add(80ms);
    known.add(160ms);
    CHECK(
        (known == latency{.last = 160ms, .smoothed = 90ms, .variation = 50ms, .minimum = 80ms, .count = 2}));
    known.add(10ms);
    CHECK((known ==
           latency{.last = 10ms, .smoothed = 80ms, .variation = 57'500us, .minimum = 10ms, .count = 3}));
    for (int i = 0; i < 500; ++i)
        known.add(20ms);
    CHECK(known.smoothed >= 20ms);
    CHECK(known.smoothed < 20'001us);
    CHECK(known.variation < 1us);
    CHECK(known.minimum == 10ms);
    CHECK(known.count == 503);
}

TEST_CASE("a clock that went back counts as no time") {
    latency known;
    known.add(-5ms);
    CHECK((known == latency{.count = 1}));
    known.add(8ms);
    known.add(-1ns);
    CHECK(known.last == 0ns);
    CHECK(known.minimum == 0ns);
    CHECK(known.smoothed > 0ns);
}
