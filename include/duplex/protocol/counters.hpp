#pragma once

#include <algorithm>
#include <cstdint>

namespace duplex {

/// What has gone through a session since it was made: the opening handshake is not in it. What is sent counts
/// as a message or frame once it is handed on to the transport's queue, as bytes once the transport has
/// taken them, so that what `close_how::at_once` takes back from there is counted as a message; what is
/// received, once it was found whole and right.
struct session_counters {
    std::uint64_t bytes_in = 0;  ///< received, framing included; with TLS, what is in it
    std::uint64_t bytes_out = 0; ///< taken by the transport, framing included

    std::uint64_t messages_in = 0;
    std::uint64_t messages_out = 0;
    std::uint64_t frames_in = 0; ///< control frames included
    std::uint64_t frames_out = 0;

    std::uint64_t pings_in = 0;
    std::uint64_t pings_out = 0; ///< keepalive's, and the application's
    std::uint64_t pongs_in = 0;
    std::uint64_t pongs_out = 0; ///< answers, and unsolicited ones
    std::uint64_t closes_in = 0;
    std::uint64_t closes_out = 0;

    /// Payload bytes of compressed messages (RFC 7692) as they travelled, and as they were before and are
    /// after: `deflated_out / inflated_out` is what compression leaves of them.
    std::uint64_t deflated_in = 0;
    std::uint64_t inflated_in = 0;
    std::uint64_t deflated_out = 0;
    std::uint64_t inflated_out = 0;

    /// Most bytes that were queued while the transport had no room for all of them; zero where it always had.
    std::uint64_t queue_peak = 0;

    /// The sum of several; the highest peak.
    session_counters& operator+=(const session_counters& other) noexcept {
        for (const auto each :
             {&session_counters::bytes_in, &session_counters::bytes_out, &session_counters::messages_in,
              &session_counters::messages_out, &session_counters::frames_in, &session_counters::frames_out,
              &session_counters::pings_in, &session_counters::pings_out, &session_counters::pongs_in,
              &session_counters::pongs_out, &session_counters::closes_in, &session_counters::closes_out,
              &session_counters::deflated_in, &session_counters::inflated_in, &session_counters::deflated_out,
              &session_counters::inflated_out})
            this->*each += other.*each;
        queue_peak = std::max(queue_peak, other.queue_peak);
        return *this;
    }
    friend session_counters operator+(session_counters one, const session_counters& other) noexcept {
        return one += other;
    }

    bool operator==(const session_counters&) const = default;
};

} // namespace duplex
