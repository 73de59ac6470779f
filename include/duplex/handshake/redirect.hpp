#pragma once

#include <duplex/core/error.hpp>
#include <duplex/handshake/detail/own_headers.hpp>
#include <duplex/handshake/outcome.hpp>
#include <duplex/http/fields.hpp>
#include <duplex/http/token.hpp>
#include <duplex/http/uri.hpp>
#include <duplex/http/uri_reference.hpp>

#include <string_view>
#include <system_error>
#include <utility>

namespace duplex {

/// True for the statuses that send a client elsewhere with the same request (RFC 9110 15.4): 301, 302, 303,
/// 307 and 308. An opening handshake is a GET, which all of them leave one.
[[nodiscard]] constexpr bool is_redirect(unsigned status) noexcept {
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

/// True where both are of one origin: scheme, host and port (RFC 6454 4).
[[nodiscard]] inline bool same_origin(const uri& a, const uri& b) noexcept {
    return a.secure == b.secure && a.port == b.port && a.host_is_ipv6 == b.host_is_ipv6 && a.host == b.host &&
           a.socket_path == b.socket_path;
}

/// Finds where an answer for which `is_redirect` holds sends the client that asked for `from`: its one
/// Location, which may be relative (RFC 9110 10.2.2). `to` changes only where the result is no error; it may
/// be `from`. Errors: `errc::redirect_invalid` where Location is missing, there more than once or no ws, wss,
/// http or https URL, or a unix socket; `redirect_insecure` where it leads from wss to ws.
[[nodiscard]] inline std::error_code follow_redirect(const uri& from, const fields& answer, uri& to) {
    const auto location = detail::find_only(answer, "Location");
    uri found;
    if (!location || resolve_uri(from, *location, found)) return make_error_code(errc::redirect_invalid);
    // What a server says must not open sockets of this machine that the network can't reach.
    if (!found.socket_path.empty() && found.socket_path != from.socket_path)
        return make_error_code(errc::redirect_invalid);
    // RFC 6455 10.6: who asks for confidentiality and integrity gets no connection without them.
    if (from.secure && !found.secure) return make_error_code(errc::redirect_insecure);
    // Within an origin a login stays, whatever way the server names itself.
    if (same_origin(from, found) && found.user.empty() && found.password.empty()) {
        found.user = from.user;
        found.password = from.password;
    }
    to = std::move(found);
    return {};
}

/// The headers that may go on to another origin: all but Authorization, Cookie and Proxy-Authorization, which
/// are secrets, and Host, which names the server that was left.
[[nodiscard]] inline fields headers_for_other_origin(const fields& headers) {
    fields kept;
    for (const auto [name, value] : headers) {
        bool stays = true;
        for (const std::string_view bound : {"Authorization", "Cookie", "Proxy-Authorization", "Host"})
            stays = stays && !equals_ignoring_case(name, bound);
        if (stays) kept.add(name, value);
    }
    return kept;
}

} // namespace duplex
