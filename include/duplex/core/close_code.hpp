#pragma once

#include <cstdint>
#include <string_view>

namespace duplex {

/// Status codes of a Close frame (RFC 6455 7.4.1 and the IANA registry). Any value of 0-4999 may be held; the
/// names below are the registered ones.
enum class close_code : std::uint16_t {
    normal = 1000,
    going_away = 1001,
    protocol_error = 1002,
    unsupported_data = 1003,
    no_status = 1005, ///< the peer's Close carried no code; never on the wire
    abnormal = 1006,  ///< the connection ended without a Close frame; never on the wire
    invalid_payload = 1007,
    policy_violation = 1008,
    message_too_big = 1009,
    mandatory_extension = 1010,
    internal_error = 1011,
    service_restart = 1012,
    try_again_later = 1013,
    bad_gateway = 1014,
    tls_handshake = 1015, ///< the TLS handshake failed; never on the wire
};

/// The number of a code.
[[nodiscard]] constexpr std::uint16_t to_number(close_code code) noexcept {
    return static_cast<std::uint16_t>(code);
}

/// True for a code that a Close frame may carry (RFC 6455 7.4.1, 7.4.2). 1004, 1005, 1006, 1015 and what no
/// registry has named below 3000 may not; 3000-4999 belong to libraries and applications.
[[nodiscard]] constexpr bool may_travel(std::uint16_t code) noexcept {
    if (code >= 3000) return code <= 4999;
    return code >= 1000 && code <= 1014 && code != 1004 && code != 1005 && code != 1006;
}

[[nodiscard]] constexpr bool may_travel(close_code code) noexcept { return may_travel(to_number(code)); }

/// The registered name, or an empty view.
[[nodiscard]] constexpr std::string_view to_string(close_code code) noexcept {
    switch (code) {
    case close_code::normal: return "normal closure";
    case close_code::going_away: return "going away";
    case close_code::protocol_error: return "protocol error";
    case close_code::unsupported_data: return "unsupported data";
    case close_code::no_status: return "no status received";
    case close_code::abnormal: return "abnormal closure";
    case close_code::invalid_payload: return "invalid payload data";
    case close_code::policy_violation: return "policy violation";
    case close_code::message_too_big: return "message too big";
    case close_code::mandatory_extension: return "mandatory extension";
    case close_code::internal_error: return "internal error";
    case close_code::service_restart: return "service restart";
    case close_code::try_again_later: return "try again later";
    case close_code::bad_gateway: return "bad gateway";
    case close_code::tls_handshake: return "TLS handshake failed";
    }
    return {};
}

} // namespace duplex
