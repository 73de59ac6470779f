#pragma once

// A port that takes no connection, so that connecting to it neither succeeds nor fails.

#include <asio/io_context.hpp>
#include <asio/ip/address.hpp>
#include <asio/ip/tcp.hpp>

#include <sys/socket.h>

#include <vector>

namespace duplex::testing {

/// Its queue is full and nobody accepts.
class hanging_port {
public:
    explicit hanging_port(asio::io_context& io,
                          const asio::ip::address& at = asio::ip::address_v4::loopback())
        : acceptor_{io} {
        const asio::ip::tcp::endpoint any{at, 0};
        acceptor_.open(any.protocol());
        acceptor_.bind(any);
        acceptor_.listen(0);
        // The kernel takes one or two more than it was told.
        const auto to = endpoint();
        for (int i = 0; i < 4; ++i) {
            fillers_.emplace_back(io, any.protocol());
            fillers_.back().native_non_blocking(true);
            (void)::connect(fillers_.back().native_handle(), to.data(), static_cast<socklen_t>(to.size()));
        }
    }
    [[nodiscard]] asio::ip::tcp::endpoint endpoint() const { return acceptor_.local_endpoint(); }

private:
    asio::ip::tcp::acceptor acceptor_;
    std::vector<asio::ip::tcp::socket> fillers_;
};

} // namespace duplex::testing
