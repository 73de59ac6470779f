#pragma once

#include <duplex/core/error.hpp>
#include <duplex/http/detail/no_proxy.hpp>
#include <duplex/http/token.hpp>
#include <duplex/http/uri.hpp>

#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

namespace duplex {

/// How a client speaks with its proxy.
enum class proxy_kind : std::uint8_t {
    http,   ///< CONNECT (RFC 9110 9.3.6)
    https,  ///< CONNECT inside TLS
    socks5, ///< RFC 1928; the proxy resolves names
};

/// A proxy through which a client reaches its servers.
struct proxy {
    proxy_kind kind = proxy_kind::http;
    std::string host{};      ///< lower case; an IPv6 address without its brackets, in its shortest form
    std::uint16_t port = 80; ///< for each kind; `parse_proxy` takes the usual one of each
    std::string user{};      ///< percent-decoded; empty where the URL has none
    std::string password{};  ///< percent-decoded; empty where the URL has none

    /// The URL without user and password: fit for logs.
    [[nodiscard]] std::string to_string() const {
        std::string text = kind == proxy_kind::http    ? "http://"
                           : kind == proxy_kind::https ? "https://"
                                                       : "socks5h://";
        if (host.find(':') != std::string::npos)
            text.append(1, '[').append(host).append(1, ']');
        else
            text += host;
        return text.append(1, ':').append(std::to_string(port));
    }

    [[nodiscard]] friend bool operator==(const proxy&, const proxy&) = default;
};

namespace detail {

[[nodiscard]] inline errc parse_proxy_parts(std::string_view text, proxy& out) {
    for (const char c : text)
        // as in parse_uri: what readers understand in two ways
        if (static_cast<unsigned char>(c) <= 0x20 || c == 0x7F || c == '\\') return errc::proxy_url_invalid;

    std::string_view scheme = "http"; // "proxy.example:3128" is as common in environments as a whole URL
    const auto scheme_end = text.find("://");
    if (scheme_end != std::string_view::npos) {
        scheme = text.substr(0, scheme_end);
        text.remove_prefix(scheme_end + 3);
    }
    uri parts;
    if (equals_ignoring_case(scheme, "http")) {
        out.kind = proxy_kind::http;
        parts.port = 80;
    } else if (equals_ignoring_case(scheme, "https")) {
        out.kind = proxy_kind::https;
        parts.port = 443;
    } else if (equals_ignoring_case(scheme, "socks5") || equals_ignoring_case(scheme, "socks5h")) {
        out.kind = proxy_kind::socks5;
        parts.port = 1080;
    } else {
        return errc::proxy_scheme_unsupported;
    }

    const auto authority = text.substr(0, text.find_first_of("/?#"));
    text.remove_prefix(authority.size());
    // a proxy has no resources
    if (!text.empty() && text != "/") return errc::proxy_url_invalid;
    // what is left of "http:/" is no host
    if (scheme_end == std::string_view::npos && authority.ends_with(':')) return errc::proxy_url_invalid;
    if (parse_authority(authority, parts) != errc{}) return errc::proxy_url_invalid;
    out.host = std::move(parts.host);
    out.port = parts.port;
    out.user = std::move(parts.user);
    out.password = std::move(parts.password);
    return {};
}

} // namespace detail

/// Reads a proxy's URL: `[scheme://][user[:password]@]host[:port][/]`. Schemes: http (assumed where there is
/// none; port 80), https (443), socks5 and socks5h (1080; both let the proxy resolve names). `out` changes
/// only where the result is no error. Errors: `errc::proxy_url_invalid` (host, port, user and password as in
/// `parse_uri`; a path, query or fragment), `proxy_scheme_unsupported`.
[[nodiscard]] inline std::error_code parse_proxy(std::string_view text, proxy& out) {
    proxy parts;
    if (const errc e = detail::parse_proxy_parts(text, parts); e != errc{}) return make_error_code(e);
    out = std::move(parts);
    return {};
}

/// Finds the proxy that the environment names for a server, by the rules of curl; none: connect directly.
/// `lookup(name)` gives a variable's value or null, as `std::getenv` does; the text is read before the next
/// call. An empty variable counts as none.
///
/// - ws: `ws_proxy`, `WS_PROXY`, `http_proxy`; wss: `wss_proxy`, `WSS_PROXY`, `https_proxy`, `HTTPS_PROXY`;
///   then `all_proxy`, `ALL_PROXY`. The first that is set counts.
/// - `no_proxy`, or else `NO_PROXY`, lists what is connected directly: domains with all that is in them
///   ("example.com", ".example.com"), addresses and blocks of them ("10.0.0.0/8", "fd00::/8"), "*" for
///   everything; with ":port" for this port only ("[::1]:9002"). A server given by its address is in no
///   domain.
///
/// `out` changes only where the result is no error. Errors: those of `parse_proxy`; what is malformed never
/// means a direct connection. Thread rule: that of `lookup`; `std::getenv` may run beside no `setenv`.
template <class Lookup>
requires requires(Lookup& lookup, const char* name) {
    { lookup(name) } -> std::convertible_to<const char*>;
}
[[nodiscard]] std::error_code proxy_from_environment(Lookup&& lookup, const uri& to,
                                                     std::optional<proxy>& out) {
    const auto first_of = [&lookup](std::initializer_list<const char*> names) {
        std::string found;
        for (const char* const name : names) {
            const char* const value = lookup(name);
            if (value != nullptr) found = value;
            if (!found.empty()) break;
        }
        return found;
    };
    std::optional<proxy> chosen;
    if (!detail::no_proxy_matches(first_of({"no_proxy", "NO_PROXY"}), to.host, to.port)) {
        // HTTP_PROXY is what a CGI program sees of its client's header "Proxy" (CVE-2016-5385).
        const auto text =
            to.secure
                ? first_of({"wss_proxy", "WSS_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"})
                : first_of({"ws_proxy", "WS_PROXY", "http_proxy", "all_proxy", "ALL_PROXY"});
        if (!text.empty())
            if (const auto error = parse_proxy(text, chosen.emplace())) return error;
    }
    out = std::move(chosen);
    return {};
}

} // namespace duplex
