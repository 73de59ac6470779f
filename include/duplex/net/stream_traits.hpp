#pragma once

#include <duplex/net/detail/asio_compat.hpp>
#include <duplex/net/layered_socket.hpp>
#include <duplex/net/tcp_socket.hpp>

#include <asio/basic_stream_socket.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/socket_base.hpp>

#if defined(__linux__)
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#endif

#include <system_error>
#include <type_traits>

namespace duplex {

/// How a connection treats its stream beyond reading and writing. Specialise it for a stream whose `close` or
/// `shutdown` are spelt in another way; every function is called on the stream's executor and must not throw.
/// A function `end_follows(stream)` is called where there is one: what is queued is the last that is written,
/// and `shutdown_send` comes as soon as that has been.
template <class Stream>
struct stream_traits {
    /// True for sockets: they are waited for and then read and written without blocking, so that an idle
    /// connection holds no buffer.
    static constexpr bool waits = false;

    /// Before the first use.
    static void prepare(Stream&) noexcept {}

    /// Ends our direction; what is received later can still be read. False where the stream can't do that:
    /// then it is closed instead.
    [[nodiscard]] static bool shutdown_send(Stream& stream) noexcept {
        if constexpr (requires { stream.shutdown_send(); }) {
            stream.shutdown_send();
            return true;
        } else {
            return false;
        }
    }

    /// Ends both directions at once; pending operations are aborted.
    static void close(Stream& stream) noexcept {
        std::error_code ignored;
        if constexpr (requires { stream.lowest_layer().close(ignored); })
            stream.lowest_layer().close(ignored);
        else if constexpr (requires { stream.close(ignored); })
            stream.close(ignored);
        else
            stream.close();
    }
};

template <class Protocol, class Executor>
struct stream_traits<asio::basic_stream_socket<Protocol, Executor>> {
    using stream_type = asio::basic_stream_socket<Protocol, Executor>;

    static constexpr bool waits = true;

    static void prepare(stream_type& socket) noexcept {
        std::error_code ignored;
        socket.non_blocking(true, ignored);
        // Frames are gathered into as few writes as possible here; the kernel must not hold them back.
        if constexpr (std::is_same_v<Protocol, asio::ip::tcp>)
            socket.set_option(asio::ip::tcp::no_delay{true}, ignored);
    }

    [[nodiscard]] static bool shutdown_send(stream_type& socket) noexcept {
        std::error_code ignored;
        socket.shutdown(asio::socket_base::shutdown_send, ignored);
        return true;
    }

    static void close(stream_type& socket) noexcept {
        std::error_code ignored;
        socket.close(ignored);
    }
};

template <class Socket>
struct stream_traits<layered_socket<Socket>> : stream_traits<Socket> {
    static void prepare(layered_socket<Socket>& socket) noexcept {
        if (!socket.keeps_delay()) return stream_traits<Socket>::prepare(socket);
        std::error_code ignored;
        socket.non_blocking(true, ignored);
    }

    [[nodiscard]] static bool shutdown_send(layered_socket<Socket>& socket) noexcept {
        socket.layers().say_end(socket);
        return stream_traits<Socket>::shutdown_send(socket);
    }
};

#if defined(__linux__)
template <>
struct stream_traits<tcp_socket> {
    static constexpr bool waits = true;

    static void prepare(tcp_socket& socket) noexcept {
        if (socket.keeps_delay()) return;
        // Frames are gathered into as few writes as possible here; the kernel must not hold them back.
        const int on = 1;
        (void)::setsockopt(socket.native_handle(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    }

    [[nodiscard]] static bool shutdown_send(tcp_socket& socket) noexcept {
        socket.layers().say_end(socket);
        std::error_code ignored;
        socket.shutdown(asio::socket_base::shutdown_send, ignored);
        return true;
    }

    static void end_follows(tcp_socket& socket) noexcept { socket.end_follows(); }

    static void close(tcp_socket& socket) noexcept { socket.close(); }
};
#endif

} // namespace duplex
