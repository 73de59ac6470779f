#pragma once

#include <duplex/core/detail/inlining.hpp>
#include <duplex/core/error.hpp>
#include <duplex/http/fields.hpp>
#include <duplex/http/token.hpp>

#include <optional>
#include <string_view>
#include <system_error>

namespace duplex::detail {

/// True for the headers that the handshake writes itself, in both directions: with another of them a peer or
/// a proxy would see a different handshake, or a body.
[[nodiscard]] inline bool belongs_to_handshake(std::string_view name) noexcept {
    constexpr std::string_view prefix = "Sec-WebSocket-";
    if (equals_ignoring_case(name.substr(0, prefix.size()), prefix)) return true;
    for (const std::string_view reserved : {"Connection", "Upgrade", "Content-Length", "Transfer-Encoding"})
        if (equals_ignoring_case(name, reserved)) return true;
    return false;
}

/// The first rule that headers given by our own caller break: `errc::header_name_invalid`,
/// `header_value_invalid`, `header_reserved`.
[[nodiscard]] DUPLEX_RARE inline std::error_code check_own_headers(const fields& headers) noexcept {
    if (const auto error = headers.check()) return error;
    for (const auto field : headers)
        if (belongs_to_handshake(field.name)) return make_error_code(errc::header_reserved);
    return {};
}

/// The value of the one field of that name; nothing where there is none or more than one.
[[nodiscard]] inline std::optional<std::string_view> find_only(const fields& headers,
                                                               std::string_view name) noexcept {
    std::optional<std::string_view> found;
    for (const auto field : headers) {
        if (!equals_ignoring_case(field.name, name)) continue;
        if (found) return std::nullopt;
        found = field.value;
    }
    return found;
}

/// True where one of the fields of that name lists `token` (RFC 9110 5.3: they are one list).
[[nodiscard]] inline bool any_lists(const fields& headers, std::string_view name,
                                    std::string_view token) noexcept {
    for (const auto field : headers)
        if (equals_ignoring_case(field.name, name) && list_contains_token(field.value, token)) return true;
    return false;
}

} // namespace duplex::detail
