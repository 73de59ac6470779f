#pragma once

#include <duplex/net/detail/asio_compat.hpp>
#include <duplex/net/detail/layer_stack.hpp>
#include <duplex/net/detail/unix_socket.hpp>

#include <asio/buffer.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/post.hpp>

#include <cstddef>
#include <system_error>
#include <type_traits>
#include <utility>

namespace duplex {

/// One of Asio's sockets, and what secures it: nothing or TLS, as is decided while the program runs. For
/// executors other than an `io_context`'s, which a `tcp_socket` serves. One thread at a time.
template <class Socket>
class layered_socket : public Socket {
public:
    using Socket::Socket;
    explicit layered_socket(Socket&& connected)
        : Socket{std::move(connected)} {}

#if defined(__unix__) || defined(__APPLE__)
    using endpoint_type = typename Socket::endpoint_type;

    /// `asio::error::address_family_not_supported` where a TCP socket of Asio's holds a unix socket, which
    /// has no such address.
    [[nodiscard]] endpoint_type local_endpoint(std::error_code& error) {
        return check_address(error) ? endpoint_type{} : Socket::local_endpoint(error);
    }
    [[nodiscard]] endpoint_type remote_endpoint(std::error_code& error) {
        return check_address(error) ? endpoint_type{} : Socket::remote_endpoint(error);
    }
#if defined(__cpp_exceptions)
    /// The same; throws `std::system_error`.
    [[nodiscard]] endpoint_type local_endpoint() {
        std::error_code error;
        const auto found = local_endpoint(error);
        if (error) throw std::system_error{error};
        return found;
    }
    [[nodiscard]] endpoint_type remote_endpoint() {
        std::error_code error;
        const auto found = remote_endpoint(error);
        if (error) throw std::system_error{error};
        return found;
    }
#endif
#endif

    /// As of a `tcp_socket`.
    void keep_delay(bool keep) noexcept { keeps_delay_ = keep; }
    [[nodiscard]] bool keeps_delay() const noexcept { return keeps_delay_; }

    /// Reads without waiting, where the socket is non-blocking. `asio::error::would_block` where nothing has
    /// come, `asio::error::eof` at the end.
    [[nodiscard]] std::size_t read_some(asio::mutable_buffer into, std::error_code& error) noexcept {
        return layers_ ? layers_.read_some(*this, into, error) : read_plain(into, error);
    }
    /// Writes without waiting what there is room for.
    template <class ConstBuffers>
    [[nodiscard]] std::size_t write_some(const ConstBuffers& from, std::error_code& error) noexcept {
        return layers_ ? layers_.write_some(*this, from, error) : Socket::write_some(from, error);
    }

    /// The same past all layers.
    [[nodiscard]] std::size_t read_plain(asio::mutable_buffer into, std::error_code& error) noexcept {
        return Socket::read_some(into, error);
    }
    [[nodiscard]] std::size_t write_plain(asio::const_buffer from, std::error_code& error) noexcept {
        return Socket::write_some(from, error);
    }

    /// Also where a layer has something that the socket knows nothing of.
    template <class Handler>
    void async_wait(typename Socket::wait_type what, Handler&& handler) {
        if (what == Socket::wait_read && layers_.unread())
            asio::post(this->get_executor(),
                       [call = std::forward<Handler>(handler)]() mutable { call(std::error_code{}); });
        else
            Socket::async_wait(what, std::forward<Handler>(handler));
    }

    /// What secures it; empty where nothing does.
    [[nodiscard]] detail::layer_stack& layers() noexcept { return layers_; }

private:
#if defined(__unix__) || defined(__APPLE__)
    [[nodiscard]] std::error_code check_address(std::error_code& error) {
        error.clear();
        if constexpr (std::is_same_v<typename Socket::protocol_type, asio::ip::tcp>)
            error = detail::check_internet_address(this->native_handle());
        return error;
    }
#endif

    detail::layer_stack layers_;
    bool keeps_delay_ = false;
};

} // namespace duplex
