#pragma once

#include <duplex/core/close_code.hpp>
#include <duplex/core/error.hpp>
#include <duplex/core/phase.hpp>
#include <duplex/net/connection_options.hpp>
#include <duplex/protocol/counters.hpp>

#include <cstdint>
#include <system_error>

namespace duplex {

/// Connections that did not come to be open.
struct refused_counters {
    std::uint64_t rejected = 0;  ///< by `on_request`, or for their origin
    std::uint64_t malformed = 0; ///< no request for a WebSocket, or a wrong or too long one
    std::uint64_t timed_out = 0; ///< took too long over it
    std::uint64_t tls = 0;       ///< ended in the TLS handshake, other than by its time
    std::uint64_t lost = 0;      ///< went away meanwhile
    std::uint64_t failed = 0;    ///< for what went wrong here, or because the server was stopped

    [[nodiscard]] std::uint64_t all() const noexcept {
        return rejected + malformed + timed_out + tls + lost + failed;
    }
    bool operator==(const refused_counters&) const = default;
};

/// Connections that were open and have ended, by what ended them.
struct closed_counters {
    std::uint64_t normal = 0;      ///< by Close frames with 1000, 1001 or no code
    std::uint64_t application = 0; ///< by Close frames with a code of 3000 to 4999
    std::uint64_t other_code = 0;  ///< by Close frames with any other code
    std::uint64_t violation = 0;   ///< the peer broke a rule of the protocol
    std::uint64_t limit = 0;       ///< a limit was passed
    std::uint64_t timed_out = 0;   ///< a deadline was passed
    std::uint64_t failed = 0;      ///< ended here: an exception of a callback's, memory, `abort`
    std::uint64_t lost = 0;        ///< the transport ended or broke without a Close of the peer's

    [[nodiscard]] std::uint64_t all() const noexcept {
        return normal + application + other_code + violation + limit + timed_out + failed + lost;
    }
    bool operator==(const closed_counters&) const = default;
};

/// What a server has had to do since it was made.
struct server_counters {
    std::uint64_t accepted = 0;       ///< connections of the transport
    std::uint64_t accept_errors = 0;  ///< times the system refused to accept
    std::uint64_t opened = 0;         ///< of those accepted, WebSockets that were opened
    refused_counters refused{};       ///< of those accepted, the ones that were not
    closed_counters closed{};         ///< of those opened, the ones that have ended
    std::uint64_t taken_over = 0;     ///< of those opened, the ones that the application has moved away
    session_counters ended_traffic{}; ///< of all that have ended
    session_counters open_traffic{};  ///< of those that are open; only `server::counters(done)` knows

    /// Open now.
    [[nodiscard]] std::uint64_t open() const noexcept { return opened - closed.all() - taken_over; }
    /// Being opened now.
    [[nodiscard]] std::uint64_t opening() const noexcept { return accepted - opened - refused.all(); }

    bool operator==(const server_counters&) const = default;
};

namespace detail {

/// The class of an opening that ended with `error` in `where`.
inline void count_refused(refused_counters& to, const std::error_code& error, phase where) noexcept {
    if (error == errc::request_rejected || error == errc::origin_not_allowed)
        ++to.rejected;
    else if (error == condition::timeout)
        ++to.timed_out;
    else if (where == phase::tls)
        ++to.tls;
    else if (error == condition::handshake_failure || error == condition::limit_exceeded)
        ++to.malformed;
    else if (error == errc::aborted || error == errc::out_of_memory || error == errc::random_source_failed ||
             error == condition::misuse)
        ++to.failed;
    else
        ++to.lost;
}

inline void count_closed(closed_counters& to, const close_result& result) noexcept {
    const auto& error = result.error;
    if (error == condition::protocol_violation)
        ++to.violation;
    else if (error == condition::limit_exceeded)
        ++to.limit;
    else if (error == condition::timeout)
        ++to.timed_out;
    else if (error == errc::callback_threw || error == errc::out_of_memory || error == errc::aborted ||
             error == errc::random_source_failed)
        ++to.failed;
    else if (!result.was_clean)
        ++to.lost;
    else if (result.code == close_code::normal || result.code == close_code::going_away ||
             result.code == close_code::no_status)
        ++to.normal;
    else if (to_number(result.code) >= 3000)
        ++to.application;
    else
        ++to.other_code;
}

} // namespace detail
} // namespace duplex
