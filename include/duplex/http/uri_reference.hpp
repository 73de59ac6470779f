#pragma once

#include <duplex/core/error.hpp>
#include <duplex/http/token.hpp>
#include <duplex/http/uri.hpp>

#include <cstddef>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

namespace duplex {

namespace detail {

/// RFC 3986 5.2.4, for a path that begins with a slash: "." and ".." are gone, those above the root as well.
/// Takes time linear in the length.
[[nodiscard]] inline std::string without_dot_segments(std::string_view path) {
    std::string made;
    while (!path.empty()) {
        const auto end = path.find('/', 1);
        const auto segment = path.substr(0, end);
        const bool last = end == std::string_view::npos;
        if (segment == "/..") {
            const auto parent = made.rfind('/');
            made.resize(parent == std::string::npos ? 0 : parent);
        } else if (segment != "/.") {
            made += segment;
        }
        // What a dot at the end stands for is a directory.
        if (last && (segment == "/." || segment == "/..")) made += '/';
        path.remove_prefix(segment.size());
    }
    return made;
}

/// RFC 3986 3.1: what stands before the first colon, where that is a scheme.
[[nodiscard]] constexpr bool has_scheme(std::string_view reference) noexcept {
    const auto colon = reference.find_first_of(":/?#");
    if (colon == std::string_view::npos || reference[colon] != ':' || !is_alpha(reference.front()))
        return false;
    for (const char c : reference.substr(0, colon))
        if (!is_alpha(c) && !is_digit(c) && c != '+' && c != '-' && c != '.') return false;
    return true;
}

/// Path and query that a reference without scheme and authority stands for (RFC 3986 5.2.2, 5.2.3).
[[nodiscard]] inline std::string merged_target(std::string_view base, std::string_view reference) {
    if (reference.empty()) return std::string{base};
    if (reference.front() == '/') return std::string{reference};
    const auto path = base.substr(0, base.find('?'));
    const auto kept = reference.front() == '?' ? path : path.substr(0, path.rfind('/') + 1);
    return std::string{kept}.append(reference);
}

} // namespace detail

/// Finds what a reference means that was found at `base` (RFC 3986 5.2): a whole URL, or one without its
/// beginning: "//host/path", "/path", "path", "../path", "?query" or nothing. A fragment is dropped, for a
/// WebSocket URL has none. User and password of `base` go along with a reference that names no host. `out`
/// changes only where the result is no error; it may be `base`. Errors: those of `parse_uri`.
[[nodiscard]] inline std::error_code resolve_uri(const uri& base, std::string_view reference, uri& out) {
    reference = reference.substr(0, reference.find('#'));
    const bool absolute = detail::has_scheme(reference);
    const bool names_host = absolute || reference.starts_with("//");
    std::string text;
    if (!absolute) text = base.secure ? "wss:" : "ws:";
    if (names_host)
        text += reference;
    else
        text.append("//").append(base.host_header()).append(detail::merged_target(base.target, reference));
    uri found;
    if (const auto error = parse_uri(text, found)) return error;
    const std::string_view target = found.target;
    const auto query = target.find('?');
    auto clean = detail::without_dot_segments(target.substr(0, query));
    if (query != std::string_view::npos) clean += target.substr(query);
    // What is not named stays: login and socket as well.
    if (!names_host) found = base;
    found.target = std::move(clean);
    out = std::move(found);
    return {};
}

} // namespace duplex
