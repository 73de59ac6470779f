#pragma once

#include <cstdint>
#include <string_view>

namespace duplex {

/// How far a connection had come when something went wrong.
enum class phase : std::uint8_t {
    prepare, ///< nothing was sent: the URL, the options, files that they name
    resolve, ///< the name of the server, or of the proxy
    connect, ///< to one of its addresses
    proxy,   ///< which opens the way to the server, its own TLS included
    tls,     ///< the TLS handshake with the server
    upgrade, ///< the opening handshake (RFC 6455 4)
    open,    ///< messages may go both ways
    closing, ///< either side has sent its Close (RFC 6455 7.1.3)
};

/// The enumerator's name; empty for a value that is none.
[[nodiscard]] constexpr std::string_view to_string(phase of) noexcept {
    switch (of) {
    case phase::prepare: return "prepare";
    case phase::resolve: return "resolve";
    case phase::connect: return "connect";
    case phase::proxy: return "proxy";
    case phase::tls: return "tls";
    case phase::upgrade: return "upgrade";
    case phase::open: return "open";
    case phase::closing: return "closing";
    }
    return {};
}

} // namespace duplex
