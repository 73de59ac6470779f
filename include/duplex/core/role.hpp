#pragma once

#include <cstdint>

namespace duplex {

/// Which end of the connection this is. A client masks what it sends, a server must not (RFC 6455 5.1).
enum class role : std::uint8_t { client, server };

/// The other end.
[[nodiscard]] constexpr role peer_of(role self) noexcept {
    return self == role::client ? role::server : role::client;
}

} // namespace duplex
