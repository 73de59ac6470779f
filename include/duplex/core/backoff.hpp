#pragma once

#include <duplex/core/close_code.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <limits>
#include <optional>

namespace duplex {

/// How long a client waits before it connects again (RFC 6455 7.2.3). Durations below 0 count as 0, those
/// above a day as a day.
struct backoff_options {
    using duration = std::chrono::milliseconds;

    /// The most that the first wait takes. One second: a connection that was lost to a moment's trouble is
    /// soon there again, and the clients that a server lost all at once still come back spread.
    duration initial{1'000};
    /// The most that any wait takes, but for a server's wish. A user who watches takes half a minute for
    /// "again and again"; above that little load is saved.
    duration most{30'000};
    /// The least that any wait takes, so that no draw of luck has a client come back at once.
    duration least{100};
    /// By how much the most of a wait grows with each attempt; below 1 it counts as 1.
    double factor = 2;
    /// How long a connection has to be open for the next loss to count as the first. Without it a server that
    /// accepts and ends each connection would be called again and again at the first wait's pace. 0: any
    /// connection that opened does.
    duration stable{10'000};
    /// Most attempts in a row; 0: no end.
    std::uint32_t attempts = 0;
    /// The most of a wait that a server can ask for, or a single one could send its clients away for good.
    duration longest_wish = std::chrono::hours{1};
};

/// When a server wants its clients back.
struct reconnect_wish {
    using duration = backoff_options::duration;

    duration least{};  ///< not before this
    duration spread{}; ///< each at its own time within this after it
};

/// What a Close code asks of those who reconnect. The registration of 1012 (service restart) gives 5 to 30
/// seconds at random; 1013 (try again later) is said by a server under too much load and names no time: here
/// it is 30 to 60 seconds. Any other asks nothing.
[[nodiscard]] constexpr reconnect_wish wish_of(close_code code) noexcept {
    using namespace std::chrono_literals;
    switch (code) {
    case close_code::service_restart: return {5s, 25s};
    case close_code::try_again_later: return {30s, 30s};
    default: return {};
    }
}

/// Counts a client's attempts to connect again and gives the wait before each: truncated exponential backoff
/// with full jitter. A wait is drawn evenly between `backoff_options::least` and a bound that grows with each
/// attempt, because clients that wait for equal times come back together, however long they wait.
///
/// It is told the time and given the random numbers. One thread at a time.
class backoff {
public:
    using duration = backoff_options::duration;
    using time_point = std::chrono::steady_clock::time_point;

    explicit constexpr backoff(const backoff_options& options = {}) noexcept
        : options_{options} {
        for (auto* each :
             {&options_.initial, &options_.most, &options_.least, &options_.stable, &options_.longest_wish})
            *each = std::clamp(*each, duration{0}, longest);
        options_.least = std::min(options_.least, options_.most);
        // Nothing would never grow.
        const duration smallest = std::min(std::max(options_.least, duration{1}), options_.most);
        options_.initial = std::clamp(options_.initial, smallest, options_.most);
        // NaN too
        if (!(options_.factor >= 1)) options_.factor = 1;
        reset();
    }

    /// The wait before the next attempt; none where all attempts are used up. `random`: 64 bits that no other
    /// client has. A wish begins the wait with its `least`, up to `longest_wish`, and widens what is drawn to
    /// its `spread`, at any rate to half of its `least` (but not above `most`).
    [[nodiscard]] constexpr std::optional<duration> next(std::uint64_t random,
                                                         const reconnect_wish& wish = {}) noexcept {
        if (options_.attempts != 0 && attempts_ >= options_.attempts) return std::nullopt;
        if (attempts_ != std::numeric_limits<std::uint32_t>::max()) ++attempts_;
        const duration wished = std::clamp(wish.least, duration{0}, options_.longest_wish);
        const duration width =
            std::max({duration{static_cast<duration::rep>(bound_)} - options_.least,
                      std::clamp(wish.spread, duration{0}, longest), std::min(wished / 2, options_.most)});
        grow();
        return std::max(wished, options_.least) + drawn(random, width);
    }

    /// The connection is open.
    constexpr void opened(time_point now) noexcept { opened_ = now; }

    /// The connection was lost, or the attempt failed.
    constexpr void lost(time_point now) noexcept {
        if (opened_ && now - *opened_ >= options_.stable) reset();
        opened_.reset();
    }

    /// The next attempt is the first: the user asked for it, or the network is back.
    constexpr void reset() noexcept {
        attempts_ = 0;
        bound_ = static_cast<double>(options_.initial.count());
    }

    /// Attempts since the last stable connection.
    [[nodiscard]] constexpr std::uint32_t attempts() const noexcept { return attempts_; }

private:
    static constexpr duration longest = std::chrono::hours{24};

    constexpr void grow() noexcept {
        const auto most = static_cast<double>(options_.most.count());
        const double grown = bound_ * options_.factor;
        // So that neither infinity nor NaN stays
        bound_ = grown < most ? grown : most;
    }

    /// Evenly from 0 to `most`, both included.
    [[nodiscard]] static constexpr duration drawn(std::uint64_t random, duration most) noexcept {
        // A day has less than 2^27 milliseconds: the product fits.
        const auto values = static_cast<std::uint64_t>(most.count()) + 1;
        return duration{static_cast<duration::rep>((random >> 32U) * values >> 32U)};
    }

    backoff_options options_;
    double bound_ = 0; ///< of the next wait, in ms; not rounded, so that any factor has it grow
    std::uint32_t attempts_ = 0;
    std::optional<time_point> opened_;
};

} // namespace duplex
