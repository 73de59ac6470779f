#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>

namespace duplex {

/// What is known of the time from a Ping to its Pong, smoothed as RFC 6298 2 does it. All zero before the
/// first.
struct latency {
    using duration = std::chrono::nanoseconds;

    duration last{0};
    duration smoothed{0};
    duration variation{0}; ///< how far from `smoothed` they are, on average
    duration minimum{0};
    std::uint64_t count = 0; ///< of those measured

    /// One more. A clock that went back counts as no time.
    constexpr void add(duration round_trip) noexcept {
        last = std::max(round_trip, duration{0});
        if (count++ == 0) {
            smoothed = minimum = last;
            variation = last / 2;
            return;
        }
        minimum = std::min(minimum, last);
        const duration off = smoothed > last ? smoothed - last : last - smoothed;
        variation += (off - variation) / 4;
        smoothed += (last - smoothed) / 8;
    }

    bool operator==(const latency&) const = default;
};

} // namespace duplex
