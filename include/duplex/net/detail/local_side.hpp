#pragma once

#include <duplex/core/error.hpp>
#include <duplex/net/connect_options.hpp>
#include <duplex/net/detail/connect_race.hpp>
#include <duplex/net/socket_options.hpp>

#include <asio/error.hpp>
#include <asio/ip/address.hpp>
#include <asio/socket_base.hpp>

#if defined(__linux__)
#include <sys/socket.h>
#endif

#include <cerrno>
#include <cstdint>
#include <optional>
#include <string>
#include <system_error>
#include <utility>

namespace duplex::detail {

/// Sends what a socket has through one network device.
template <class Socket>
[[nodiscard]] std::error_code bind_to_device([[maybe_unused]] Socket& socket,
                                             [[maybe_unused]] const std::string& device) {
#if defined(__linux__)
    if (::setsockopt(socket.native_handle(), SOL_SOCKET, SO_BINDTODEVICE, device.data(),
                     static_cast<socklen_t>(device.size())) == 0)
        return {};
    return {errno, asio::error::get_system_category()};
#else
    return asio::error::operation_not_supported;
#endif
}

/// This machine's side of a connection to be: what `connect_options` say of it, for the race.
template <class Socket>
class local_side {
public:
    /// `errc::host_not_numeric` for an address that is none.
    [[nodiscard]] std::error_code set(const connect_options& options) {
        port_ = options.local_port;
        device_ = options.local_device;
        socket_ = options.socket;
        if (options.local_address.empty()) return {};
        std::error_code error;
        const auto address = asio::ip::make_address(options.local_address, error);
        if (error) return errc::host_not_numeric;
        address_ = address;
        return {};
    }

    [[nodiscard]] connect_race_options<Socket> made() const {
        connect_race_options<Socket> race;
        race.local_address = address_;
        race.local_port = port_;
        race.prepare = [with = socket_, shares = port_ != 0, device = device_](Socket& made) {
            auto error = set_options(with, made);
            // Attempts side by side start from one port, and so does the next connection after the last.
            if (!error && shares) made.set_option(asio::socket_base::reuse_address{true}, error);
            if (!error && !device.empty()) error = bind_to_device(made, device);
            return error;
        };
        return race;
    }

private:
    std::optional<asio::ip::address> address_;
    std::uint16_t port_ = 0;
    std::string device_;
    socket_options socket_;
};

} // namespace duplex::detail
