#pragma once

#include <duplex/core/base64.hpp>
#include <duplex/core/error.hpp>
#include <duplex/http/token.hpp>

#include <span>
#include <string>
#include <string_view>
#include <system_error>

namespace duplex {

namespace detail {

/// True for a user name or a password that may not be sent: RFC 7617 2 has no place for control characters,
/// and in RFC 1929, which has, they are the line end of the file from which a login was read.
[[nodiscard]] constexpr bool has_controls(std::string_view text) noexcept {
    for (const char c : text)
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) return true;
    return false;
}

/// RFC 7617 2: a colon ends the user name.
[[nodiscard]] constexpr bool is_login(std::string_view user, std::string_view password) noexcept {
    return user.find(':') == std::string_view::npos && !has_controls(user) && !has_controls(password);
}

/// Of what `is_login`.
[[nodiscard]] inline std::string basic_value(std::string_view user, std::string_view password) {
    const std::string login = std::string{user}.append(1, ':').append(password);
    return "Basic " + to_base64(std::as_bytes(std::span{login}));
}

/// RFC 6750 2.1, `b64token`
[[nodiscard]] constexpr bool is_bearer_token(std::string_view token) noexcept {
    const auto padding = token.find('=');
    const auto letters = token.substr(0, padding);
    if (padding != std::string_view::npos && token.find_first_not_of('=', padding) != std::string_view::npos)
        return false;
    for (const char c : letters)
        if (!is_alpha(c) && !is_digit(c) && std::string_view{"-._~+/"}.find(c) == std::string_view::npos)
            return false;
    return !letters.empty();
}

} // namespace detail

/// The value of Authorization or Proxy-Authorization for a user and a password (RFC 7617 2), both UTF-8.
/// `errc::credentials_invalid`, with `out` as it was, for a colon in the user name and control characters in
/// either.
[[nodiscard]] inline std::error_code basic_credentials(std::string_view user, std::string_view password,
                                                       std::string& out) {
    if (!detail::is_login(user, password)) return make_error_code(errc::credentials_invalid);
    out = detail::basic_value(user, password);
    return {};
}

/// The value of Authorization for a token (RFC 6750 2.1). `errc::credentials_invalid`, with `out` as it was,
/// for one that is empty or has anything in it but letters, digits, "-._~+/", and "=" at its end.
[[nodiscard]] inline std::error_code bearer_credentials(std::string_view token, std::string& out) {
    if (!detail::is_bearer_token(token)) return make_error_code(errc::credentials_invalid);
    out = "Bearer ";
    out += token;
    return {};
}

} // namespace duplex
