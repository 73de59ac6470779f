#pragma once

#include <duplex/protocol/keepalive.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <system_error>
#include <utility>
#include <vector>

namespace duplex {

/// The order in which resolved addresses are tried (RFC 8305 4): `first_count` of the family that the first
/// one is of, then one of the other family and one of the first in turn. Within a family the order stays, for
/// the resolver has sorted them (RFC 6724). `family_of` gives what addresses of one family have in common;
/// `first_count` below 1 counts as 1.
template <class Address, class FamilyOf>
[[nodiscard]] std::vector<Address> interleave(std::span<const Address> sorted, FamilyOf family_of,
                                              std::size_t first_count = 1) {
    std::vector<Address> mixed;
    mixed.reserve(sorted.size());
    const auto next = [&](std::size_t from, bool of_first) {
        while (from != sorted.size() && (family_of(sorted[from]) == family_of(sorted[0])) != of_first)
            ++from;
        return from;
    };
    std::size_t first = next(0, true);
    std::size_t other = next(0, false);
    for (std::size_t ahead = std::max<std::size_t>(first_count, 1); mixed.size() != sorted.size();) {
        for (; ahead != 0 && first != sorted.size(); --ahead, first = next(first + 1, true))
            mixed.push_back(sorted[first]);
        ahead = 1;
        if (other == sorted.size()) continue;
        mixed.push_back(sorted[other]);
        other = next(other + 1, false);
    }
    return mixed;
}

struct address_race_options {
    /// How long an attempt has for itself before the next one starts beside it (RFC 8305 5 recommends
    /// 250 ms). Kept between `address_race::least_delay` and `most_delay`.
    std::chrono::milliseconds attempt_delay{250};
};

/// Which of several addresses is connected to, as values (RFC 8305 5, "happy eyeballs"): attempts start one
/// after the other, without waiting for those before them to fail, and the first that succeeds wins. It is
/// told what happened, and tells which attempt to start: an address's index in the order of preference.
///
/// An attempt starts when the one before it has had its delay, and at once when any attempt fails, so that
/// failures never let more of them be under way at a time.
class address_race {
public:
    static constexpr std::chrono::milliseconds least_delay{10}; ///< RFC 8305 8: never less
    static constexpr std::chrono::milliseconds most_delay{2000};

    /// `addresses`: how many there are.
    explicit address_race(std::size_t addresses, const address_race_options& options = {}) noexcept
        : count_{addresses}
        , delay_{std::clamp(options.attempt_delay, least_delay, most_delay)} {}

    /// Each input gives the attempt to start now, if any. One that ends before it could begin is reported
    /// like any other. Once the race is over, inputs change nothing.
    using attempt = std::optional<std::size_t>;

    [[nodiscard]] attempt start(time_point now) noexcept { return advance(now); }

    /// Whether this machine had a way to the address: a route, and an address of its family to go from.
    enum class way : std::uint8_t { found, missing };

    /// The attempt ended without a connection; once for each that was started.
    [[nodiscard]] attempt failed(std::size_t index, std::error_code error, way there,
                                 time_point now) noexcept {
        if (over()) return std::nullopt;
        --pending_;
        const failure seen{there, index, error};
        if (!kept_ || std::pair{seen.there, seen.index} < std::pair{kept_->there, kept_->index}) kept_ = seen;
        return advance(now);
    }

    /// The attempt has its connection: the race is over, and all others are to be given up.
    void succeeded(std::size_t index) noexcept {
        if (over()) return;
        winner_ = index;
        deadline_ = no_deadline;
    }

    /// Time has passed. However much it was, one attempt starts, and has its delay.
    [[nodiscard]] attempt on_time(time_point now) noexcept {
        return now >= deadline_ ? advance(now) : std::nullopt;
    }

    /// When `on_time` starts the next attempt; `no_deadline` where none is left.
    [[nodiscard]] time_point next_deadline() const noexcept { return deadline_; }

    /// One has won, or all have failed.
    [[nodiscard]] bool over() const noexcept { return winner_ || (next_ == count_ && pending_ == 0); }
    [[nodiscard]] attempt winner() const noexcept { return winner_; }

    /// Why all failed: the error of the most preferred address to which there was a way. That an IPv6 address
    /// is out of reach where only IPv4 is set up says little, as long as another address says more.
    /// `std::errc::address_not_available` while no attempt has failed, so where there was no address.
    [[nodiscard]] std::error_code error() const noexcept {
        return kept_ ? kept_->error : std::make_error_code(std::errc::address_not_available);
    }

private:
    struct failure {
        way there;
        std::size_t index;
        std::error_code error;
    };

    attempt advance(time_point now) noexcept {
        if (over() || next_ == count_) return std::nullopt;
        ++pending_;
        const std::size_t started = next_++;
        deadline_ = next_ == count_ ? no_deadline : deadline_after(now, delay_);
        return started;
    }

    std::size_t count_;
    std::size_t next_ = 0;    ///< the first address that was not tried yet
    std::size_t pending_ = 0; ///< attempts under way
    std::chrono::milliseconds delay_;
    time_point deadline_ = no_deadline;
    attempt winner_;
    std::optional<failure> kept_;
};

} // namespace duplex
