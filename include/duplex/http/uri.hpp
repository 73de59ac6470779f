#pragma once

#include <duplex/core/error.hpp>
#include <duplex/http/token.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

namespace duplex {

/// A WebSocket URL in its parts (RFC 6455 3).
struct uri {
    bool secure = false; ///< wss
    std::string host{};  ///< lower case; an IPv6 address without its brackets, in its shortest form
    bool host_is_ipv6 = false;
    std::uint16_t port = 80;  ///< as written, or the scheme's
    std::string target = "/"; ///< path and query, ready for a request line
    std::string user{};       ///< percent-decoded; empty where the URL has none
    std::string password{};   ///< percent-decoded; empty where the URL has none
    /// ws+unix: the path of a unix socket, percent-decoded, or `@` and its abstract name (Linux). `host` is
    /// then "localhost", which Host says, too. Empty where the URL has a real host.
    std::string socket_path{};

    /// The value of Host: the port shows only where it is not the scheme's own (RFC 9110 7.2).
    [[nodiscard]] std::string host_header() const {
        std::string text;
        if (host_is_ipv6)
            text.append(1, '[').append(host).append(1, ']');
        else
            text = host;
        if (port != (secure ? 443 : 80)) text.append(1, ':').append(std::to_string(port));
        return text;
    }

    /// The HTTP origin of this URL, to compare with an Origin header (RFC 6454 6.2).
    [[nodiscard]] std::string origin() const { return (secure ? "https://" : "http://") + host_header(); }

    /// The URL in one normal form, without user and password: fit for logs.
    [[nodiscard]] std::string to_string() const;

    [[nodiscard]] friend bool operator==(const uri&, const uri&) = default;
};

namespace detail {

[[nodiscard]] constexpr int hex_value(char c) noexcept {
    if (is_digit(c)) return c - '0';
    const char lower = to_lower(c);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

/// The dotted form of four decimal numbers without leading zeros (RFC 3986 3.2.2).
[[nodiscard]] constexpr std::optional<std::uint32_t> parse_ipv4(std::string_view text) noexcept {
    std::uint32_t address = 0;
    for (int part = 0; part < 4; ++part) {
        if (part != 0) {
            if (text.empty() || text.front() != '.') return std::nullopt;
            text.remove_prefix(1);
        }
        std::uint32_t number = 0;
        std::size_t digits = 0;
        for (; digits < text.size() && digits < 3 && is_digit(text[digits]); ++digits)
            number = number * 10 + static_cast<std::uint32_t>(text[digits] - '0');
        if (digits == 0 || number > 255 || (digits > 1 && text.front() == '0')) return std::nullopt;
        address = address << 8 | number;
        text.remove_prefix(digits);
    }
    return text.empty() ? std::optional(address) : std::nullopt;
}

using ipv6_groups = std::array<std::uint16_t, 8>;

/// The forms of RFC 4291 2.2, "::" and a dotted tail included. RFC 6874 zone identifiers mean something on
/// one machine only and are refused, as browsers do.
[[nodiscard]] constexpr std::optional<ipv6_groups> parse_ipv6(std::string_view text) noexcept {
    ipv6_groups groups{};
    std::size_t count = 0;
    std::size_t gap = groups.size() + 1; // no "::" yet
    if (text.starts_with("::")) {
        gap = 0;
        text.remove_prefix(2);
    }
    while (!text.empty()) {
        if (count == groups.size()) return std::nullopt;
        unsigned group = 0;
        std::size_t digits = 0;
        for (; digits < text.size() && digits < 4 && hex_value(text[digits]) >= 0; ++digits)
            group = group << 4 | static_cast<unsigned>(hex_value(text[digits]));
        if (digits == 0) return std::nullopt;
        if (digits < text.size() && text[digits] == '.') {
            const auto tail = parse_ipv4(text);
            if (!tail || count + 2 > groups.size()) return std::nullopt;
            groups[count++] = static_cast<std::uint16_t>(*tail >> 16);
            groups[count++] = static_cast<std::uint16_t>(*tail & 0xFFFF);
            break;
        }
        groups[count++] = static_cast<std::uint16_t>(group);
        text.remove_prefix(digits);
        if (text.empty()) break;
        if (text.starts_with("::")) {
            if (gap <= groups.size()) return std::nullopt;
            gap = count;
            text.remove_prefix(2);
        } else if (text.front() == ':' && text.size() > 1) {
            text.remove_prefix(1);
        } else {
            return std::nullopt;
        }
    }
    if (gap > groups.size()) return count == groups.size() ? std::optional(groups) : std::nullopt;
    // RFC 4291 2.2: "::" stands for one group of zeros at least
    if (count == groups.size()) return std::nullopt;
    for (std::size_t from = count, to = groups.size(); from > gap;)
        groups[--to] = std::exchange(groups[--from], std::uint16_t{0});
    return groups;
}

/// RFC 5952 4: lower case, no leading zeros, the first longest run of zero groups as "::". Groups stay
/// hexadecimal throughout, as in the origins that browsers send.
[[nodiscard]] inline std::string format_ipv6(const ipv6_groups& groups) {
    std::size_t gap = 0;
    std::size_t gap_size = 1; // RFC 5952 4.2.2: one group is not shortened
    for (std::size_t i = 0; i < groups.size(); ++i) {
        std::size_t size = 0;
        while (i + size < groups.size() && groups[i + size] == 0)
            ++size;
        if (size > gap_size) {
            gap = i;
            gap_size = size;
        }
    }
    std::string text;
    for (std::size_t i = 0; i < groups.size(); ++i) {
        if (gap_size > 1 && i == gap) {
            text += "::";
            i += gap_size - 1;
            continue;
        }
        if (!text.empty() && text.back() != ':') text += ':';
        bool leading = true;
        for (int shift = 12; shift >= 0; shift -= 4) {
            const auto digit = static_cast<std::size_t>(groups[i] >> shift & 0xF);
            leading = leading && digit == 0 && shift != 0;
            if (!leading) text += "0123456789abcdef"[digit];
        }
    }
    return text;
}

/// A registered name or an IPv4 address, in lower case. Narrower than RFC 3986 3.2.2: only what a name
/// service could know, so that nothing in a host can mean something in a Host header or a proxy's rules.
[[nodiscard]] constexpr bool is_host_name(std::string_view host) noexcept {
    if (host.empty() || host.front() == '.') return false;
    for (std::size_t i = 0; i < host.size(); ++i) {
        const char c = host[i];
        if (!is_alpha(c) && !is_digit(c) && c != '-' && c != '.' && c != '_' && c != '~') return false;
        if (c == '.' && host[i - 1] == '.') return false;
    }
    // A name whose last label is a number is an IPv4 address to browsers and to inet_aton, which reads
    // "0x7f.1" and "2130706433" as addresses too: only the plain form stays unambiguous.
    const auto name = host.back() == '.' ? host.substr(0, host.size() - 1) : host;
    const auto last = name.substr(name.rfind('.') + 1);
    bool number = true;
    const bool hexadecimal = last.size() >= 2 && last[0] == '0' && to_lower(last[1]) == 'x';
    for (const char c : hexadecimal ? last.substr(2) : last)
        number = number && (hexadecimal ? hex_value(c) >= 0 : is_digit(c));
    return !number || parse_ipv4(host).has_value();
}

/// Undoes percent-encoding; nothing where it is broken.
[[nodiscard]] inline std::optional<std::string> percent_decode(std::string_view text) {
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] != '%') {
            out += text[i];
            continue;
        }
        if (text.size() - i < 3) return std::nullopt;
        const int high = hex_value(text[i + 1]);
        const int low = hex_value(text[i + 2]);
        if (high < 0 || low < 0) return std::nullopt;
        out += static_cast<char>(high * 16 + low);
        i += 2;
    }
    return out;
}

/// Appends a path or query with everything encoded that RFC 3986 2 has no place for; false where a percent
/// escape is broken. Square brackets pass, as in browsers.
[[nodiscard]] inline bool append_encoded(std::string& to, std::string_view text) {
    constexpr std::string_view foreign = "\"<>^`{|}";
    constexpr std::string_view digits = "0123456789ABCDEF";
    for (std::size_t i = 0; i < text.size(); ++i) {
        const char c = text[i];
        const auto byte = static_cast<unsigned char>(c);
        if (c == '%' && (text.size() - i < 3 || hex_value(text[i + 1]) < 0 || hex_value(text[i + 2]) < 0))
            return false;
        if (byte < 0x80 && foreign.find(c) == std::string_view::npos) {
            to += c;
        } else {
            to += '%';
            to += digits[byte >> 4];
            to += digits[byte & 0xF];
        }
    }
    return true;
}

[[nodiscard]] inline errc parse_user_info(std::string_view text, uri& out) {
    // RFC 3986 3.2.1: an "@" here is written "%40"; taken as it stands, readers disagree on which one ends it
    if (text.find('@') != std::string_view::npos) return errc::url_invalid;
    const auto colon = text.find(':');
    auto user = percent_decode(text.substr(0, colon));
    auto password = percent_decode(colon == std::string_view::npos ? "" : text.substr(colon + 1));
    if (!user || !password) return errc::url_invalid;
    // RFC 7617 2: no colon in a user name, no control characters in either
    if (user->find(':') != std::string::npos) return errc::url_invalid;
    for (const char c : *user + *password)
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) return errc::url_invalid;
    out.user = std::move(*user);
    out.password = std::move(*password);
    return {};
}

[[nodiscard]] inline errc parse_port(std::string_view digits, uri& out) noexcept {
    if (digits.empty()) return {}; // RFC 3986 3.2.3: the default port
    unsigned number = 0;
    for (const char c : digits) {
        if (!is_digit(c)) return errc::url_port_invalid;
        number = number * 10 + static_cast<unsigned>(c - '0');
        if (number > 0xFFFF) return errc::url_port_invalid;
    }
    if (number == 0) return errc::url_port_invalid;
    out.port = static_cast<std::uint16_t>(number);
    return {};
}

[[nodiscard]] inline errc parse_authority(std::string_view text, uri& out) {
    if (const auto at = text.rfind('@'); at != std::string_view::npos) {
        if (const errc e = parse_user_info(text.substr(0, at), out); e != errc{}) return e;
        text.remove_prefix(at + 1);
    }
    if (text.starts_with('[')) {
        const auto end = text.find(']');
        if (end == std::string_view::npos) return errc::url_host_invalid;
        const auto groups = parse_ipv6(text.substr(1, end - 1));
        if (!groups) return errc::url_host_invalid;
        out.host = format_ipv6(*groups);
        out.host_is_ipv6 = true;
        text.remove_prefix(end + 1);
        if (text.empty()) return {};
        if (text.front() != ':') return errc::url_host_invalid;
        return parse_port(text.substr(1), out);
    }
    const auto colon = text.find(':');
    const auto host = text.substr(0, colon);
    if (!is_host_name(host)) return errc::url_host_invalid;
    for (const char c : host)
        out.host += to_lower(c);
    return colon == std::string_view::npos ? errc{} : parse_port(text.substr(colon + 1), out);
}

/// A socket's path as a ws+unix URL has it: all that could end it there, or start something else, is encoded.
[[nodiscard]] inline std::string encode_socket_path(std::string_view path) {
    constexpr std::string_view plain = "-._~/@!$&'()*+,;=";
    constexpr std::string_view digits = "0123456789ABCDEF";
    // "//" in front would begin an authority
    std::string text = path.starts_with("//") ? "//" : "";
    for (const char c : path) {
        const auto byte = static_cast<unsigned char>(c);
        if (is_alpha(c) || is_digit(c) || plain.find(c) != std::string_view::npos)
            text += c;
        else
            text.append(1, '%').append(1, digits[byte >> 4]).append(1, digits[byte & 0xF]);
    }
    return text;
}

/// `path[:target]`, behind "ws+unix:"; an empty authority in front of the path is read over.
[[nodiscard]] inline errc parse_socket_url(std::string_view text, uri& out) {
    if (text.find('#') != std::string_view::npos) return errc::url_has_fragment;
    if (text.starts_with("//")) {
        text.remove_prefix(2);
        if (!text.starts_with('/')) return errc::url_host_invalid;
    }
    const auto colon = text.find(':');
    auto path = percent_decode(text.substr(0, colon));
    const auto target = colon == std::string_view::npos ? std::string_view{} : text.substr(colon + 1);
    // A query without a colon in front is of the path to some, and of the target to others.
    if (!path || path->empty() || text.substr(0, colon).find('?') != std::string_view::npos)
        return errc::url_invalid;
    if (path->find('\0') != std::string::npos) return errc::socket_path_invalid;
    if (!target.empty() && target.front() != '/' && target.front() != '?') return errc::url_invalid;
    out.socket_path = std::move(*path);
    out.host = "localhost";
    out.target = target.starts_with('/') ? "" : "/";
    return append_encoded(out.target, target) ? errc{} : errc::url_invalid;
}

[[nodiscard]] inline errc parse_uri_parts(std::string_view text, uri& out) {
    if (text.empty()) return errc::url_invalid;
    for (const char c : text)
        // a space or a line end would end the request line that the URL becomes part of; browsers read a
        // backslash as a slash where others do not
        if (static_cast<unsigned char>(c) <= 0x20 || c == 0x7F || c == '\\') return errc::url_invalid;

    // RFC 3986 3.1: schemes are compared without regard to case
    const auto colon = text.find(':');
    const auto scheme = text.substr(0, colon);
    if (colon != std::string_view::npos && equals_ignoring_case(scheme, "ws+unix"))
        return parse_socket_url(text.substr(colon + 1), out);
    // the URL standard's WebSocket constructor takes http and https for ws and wss
    out.secure = equals_ignoring_case(scheme, "wss") || equals_ignoring_case(scheme, "https");
    if (colon == std::string_view::npos ||
        (!out.secure && !equals_ignoring_case(scheme, "ws") && !equals_ignoring_case(scheme, "http")))
        return errc::url_scheme_unsupported;
    out.port = out.secure ? 443 : 80;
    text.remove_prefix(colon + 1);
    if (!text.starts_with("//")) return errc::url_invalid;
    text.remove_prefix(2);

    // RFC 6455 3: "#" never stands in a WebSocket URL, not even before an empty fragment
    if (text.find('#') != std::string_view::npos) return errc::url_has_fragment;
    const auto authority = text.substr(0, text.find_first_of("/?"));
    if (const errc e = parse_authority(authority, out); e != errc{}) return e;
    text.remove_prefix(authority.size());
    // RFC 6455 3: an empty path is "/"
    out.target = text.starts_with('/') ? "" : "/";
    return append_encoded(out.target, text) ? errc{} : errc::url_invalid;
}

} // namespace detail

inline std::string uri::to_string() const {
    if (!socket_path.empty())
        return "ws+unix:" + detail::encode_socket_path(socket_path) + (target == "/" ? "" : ":" + target);
    return (secure ? "wss://" : "ws://") + host_header() + target;
}

/// Reads a ws or wss URL; http and https stand for them, as in browsers. `ws+unix:PATH[:TARGET]` is a unix
/// socket: its path, absolute or relative, goes up to the first colon, and what it has of `:?#%` is
/// percent-encoded there. `out` changes only where the result is no error. Errors: `errc::url_invalid`
/// (controls, spaces, backslashes, broken percent escapes), `url_scheme_unsupported`, `url_host_invalid`,
/// `url_port_invalid`, `url_has_fragment`, `socket_path_invalid` (a NUL).
[[nodiscard]] inline std::error_code parse_uri(std::string_view text, uri& out) {
    uri parts;
    if (const errc e = detail::parse_uri_parts(text, parts); e != errc{}) return make_error_code(e);
    out = std::move(parts);
    return {};
}

} // namespace duplex
