#pragma once

#include <duplex/core/close_code.hpp>
#include <duplex/core/limits.hpp>
#include <duplex/protocol/session.hpp>

#include <cstdint>
#include <string>
#include <system_error>

namespace duplex {

/// How a connection behaves; limits and timeouts have safe defaults.
struct connection_options {
    duplex::limits limits{};
    duplex::timeouts timeouts{};
    /// For the opening handshake.
    http_limits http{};
    /// Delivers pieces of messages as they arrive instead of whole messages; needs an `async_run` with
    /// `on_fragment`.
    bool deliver_fragments = false;
    /// Refuses text to send that is not UTF-8 (RFC 6455 5.6).
    bool check_outgoing_text = true;

    /// The part that the protocol needs.
    [[nodiscard]] session_options for_session() const noexcept {
        return {limits, timeouts, deliver_fragments, check_outgoing_text};
    }
};

/// How a connection ended.
struct close_result {
    /// None for an orderly end; otherwise the rule that was broken, the deadline that passed, or the
    /// transport's error.
    std::error_code error{};
    /// The peer's code: `no_status` where its Close had none, `abnormal` where none came (RFC 6455 7.1.5).
    close_code code = close_code::abnormal;
    /// The peer's reason.
    std::string reason{};
    /// Both sides' Close frames were exchanged (RFC 6455 7.1.4).
    bool was_clean = false;
};

} // namespace duplex
