#pragma once

#include <duplex/net/detail/asio_config.hpp>

#include <asio/socket_base.hpp>

#include <algorithm>
#include <cstddef>
#include <limits>
#include <system_error>

namespace duplex {

/// What the system is told of a connection's socket. Of a unix socket only the buffers mean anything.
struct socket_options {
    /// Small writes leave at once (TCP_NODELAY). Frames are gathered into few writes anyway; without it the
    /// kernel holds the last of them back until the peer has acknowledged those before.
    bool no_delay = true;
    /// The kernel asks whether the peer's machine is still there (SO_KEEPALIVE), by default after two hours
    /// of silence. `timeouts::ping_interval` asks the peer itself, and sooner.
    bool keep_alive = false;
    /// The kernel's buffers; 0: what it finds best, which with TCP grows with the connection's speed. A size
    /// is fixed, within the system's bounds; Linux takes twice of what it is told, for its own needs.
    std::size_t receive_buffer_bytes = 0;
    std::size_t send_buffer_bytes = 0;
};

namespace detail {

/// Sets what is not set anyway, but for `no_delay`, on a socket that need not be connected yet. One that
/// listens hands it on to those it accepts.
template <class Socket>
[[nodiscard]] std::error_code set_options(const socket_options& options, Socket& socket) {
    std::error_code error;
    const auto size = [](std::size_t bytes) {
        return static_cast<int>(
            std::min(bytes, static_cast<std::size_t>(std::numeric_limits<int>::max() / 2)));
    };
    if (options.keep_alive) socket.set_option(asio::socket_base::keep_alive{true}, error);
    if (!error && options.receive_buffer_bytes != 0)
        socket.set_option(asio::socket_base::receive_buffer_size{size(options.receive_buffer_bytes)}, error);
    if (!error && options.send_buffer_bytes != 0)
        socket.set_option(asio::socket_base::send_buffer_size{size(options.send_buffer_bytes)}, error);
    return error;
}

} // namespace detail
} // namespace duplex
