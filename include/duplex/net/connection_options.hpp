#pragma once

#include <duplex/core/close_code.hpp>
#include <duplex/core/limits.hpp>
#include <duplex/protocol/session.hpp>

#include <cstdint>
#include <string>
#include <system_error>

namespace duplex {

/// How a connection behaves; limits and timeouts have safe defaults.
struct connection_options : session_options {
    /// For the opening handshake.
    http_limits http{};
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
