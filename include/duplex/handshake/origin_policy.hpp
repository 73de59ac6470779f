#pragma once

#include <duplex/core/detail/inlining.hpp>
#include <duplex/http/token.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace duplex {

namespace detail {

/// `host[:port]` of a Host header or an origin; port 0 where none is given.
struct host_and_port {
    std::string_view host;
    std::uint16_t port = 0;
};

[[nodiscard]] constexpr bool is_host_character(char c) noexcept {
    // RFC 3986 3.2.2 without the comma, which is how two Host headers look once a proxy has joined them.
    return is_alpha(c) || is_digit(c) ||
           std::string_view("-._~%!$&'()*+;=").find(c) != std::string_view::npos;
}

[[nodiscard]] constexpr bool is_ipv6_character(char c) noexcept {
    return is_digit(c) || (to_lower(c) >= 'a' && to_lower(c) <= 'f') || c == ':' || c == '.';
}

/// RFC 9112 3.2: the parts of a valid, non-empty Host.
[[nodiscard]] constexpr std::optional<host_and_port> split_host(std::string_view text) noexcept {
    host_and_port result;
    std::size_t end = 0;
    if (!text.empty() && text.front() == '[') {
        end = text.find(']');
        if (end == std::string_view::npos || end < 3) return std::nullopt;
        if (!std::all_of(text.begin() + 1, text.begin() + static_cast<std::ptrdiff_t>(end),
                         is_ipv6_character))
            return std::nullopt;
        ++end;
    } else {
        while (end < text.size() && is_host_character(text[end]))
            ++end;
    }
    if (end == 0) return std::nullopt;
    result.host = text.substr(0, end);
    if (end == text.size()) return result;
    if (text[end] != ':') return std::nullopt;

    const auto digits = text.substr(end + 1);
    std::uint32_t port = 0;
    for (const char c : digits) {
        if (!is_digit(c)) return std::nullopt;
        port = port * 10 + static_cast<std::uint32_t>(c - '0');
        if (port > 65535) return std::nullopt;
    }
    if (port == 0 && !digits.empty()) return std::nullopt;
    result.port = static_cast<std::uint16_t>(port);
    return result;
}

/// Scheme, host and port, to be compared as RFC 6454 5 says; port 0 where the scheme has no default.
struct web_origin {
    std::string_view scheme;
    std::string_view host;
    std::uint16_t port = 0;

    [[nodiscard]] bool same_as(const web_origin& other) const noexcept {
        return port == other.port && equals_ignoring_case(scheme, other.scheme) &&
               equals_ignoring_case(host, other.host);
    }
};

[[nodiscard]] inline std::optional<web_origin> make_origin(std::string_view scheme,
                                                           std::string_view authority) noexcept {
    const auto parts = split_host(authority);
    if (!parts || !is_token(scheme)) return std::nullopt;
    web_origin result{scheme, parts->host, parts->port};
    if (result.port != 0) return result;
    if (equals_ignoring_case(scheme, "http") || equals_ignoring_case(scheme, "ws")) result.port = 80;
    if (equals_ignoring_case(scheme, "https") || equals_ignoring_case(scheme, "wss")) result.port = 443;
    return result;
}

/// RFC 6454 7: `scheme://host[:port]` and nothing after it. `null` is no origin.
[[nodiscard]] inline std::optional<web_origin> parse_origin(std::string_view text) noexcept {
    const auto mark = text.find("://");
    if (mark == std::string_view::npos) return std::nullopt;
    return make_origin(text.substr(0, mark), text.substr(mark + 3));
}

/// RFC 3986 3.1.
[[nodiscard]] inline bool is_scheme(std::string_view text) noexcept {
    return !text.empty() && is_alpha(text.front()) && std::all_of(text.begin(), text.end(), [](char c) {
        return is_alpha(c) || is_digit(c) || c == '+' || c == '-' || c == '.';
    });
}

} // namespace detail

/// Whether an entry of an allow list can ever match: "*", `null`, or an origin as RFC 6454 6.2 writes it,
/// `scheme://host[:port]` with nothing after it. A `*` inside an origin stands for nothing.
[[nodiscard]] DUPLEX_RARE inline bool is_origin_entry(std::string_view entry) noexcept {
    if (entry == "*" || entry == "null") return true;
    const auto origin = detail::parse_origin(entry);
    return origin && detail::is_scheme(origin->scheme) && origin->host.find('*') == std::string_view::npos;
}

/// Whether a page of this Origin may open a connection (RFC 6455 10.2).
///
/// No Origin: allowed, the client is no browser. Otherwise the Origin must be in `allow_list`, or
/// `allow_list` has "*"; where `allow_list` is empty it must be the origin that `host_header` and `secure`
/// name. Scheme, host and port are compared whole, in any case, with default ports filled in. The Origin
/// `null` (a sandboxed page, a file) is allowed only by an entry `null` or "*".
[[nodiscard]] DUPLEX_RARE inline bool origin_allowed(std::optional<std::string_view> origin,
                                                     std::string_view host_header, bool secure,
                                                     std::span<const std::string> allow_list) noexcept {
    if (!origin) return true;

    const auto theirs = detail::parse_origin(*origin);
    if (allow_list.empty()) {
        const auto ours = detail::make_origin(secure ? "https" : "http", host_header);
        return theirs && ours && theirs->same_as(*ours);
    }
    return std::any_of(allow_list.begin(), allow_list.end(), [&](std::string_view entry) {
        if (entry == "*") return true;
        if (!theirs) return entry == "null" && *origin == "null";
        const auto allowed = detail::parse_origin(entry);
        return allowed && theirs->same_as(*allowed);
    });
}

} // namespace duplex
