#pragma once

// Connections over the system's sockets, whose peer is the test itself.

#include "support/connected.hpp"

#include <asio/io_context.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/local/connect_pair.hpp>
#include <asio/local/stream_protocol.hpp>
#include <asio/read.hpp>
#include <asio/write.hpp>

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace duplex::testing {

using executor = asio::io_context::executor_type;
using asio_socket = asio::basic_stream_socket<asio::ip::tcp, executor>;
using local_socket = asio::basic_stream_socket<asio::local::stream_protocol, executor>;

/// Two connected sockets of a kind.
template <class Socket>
std::pair<Socket, Socket> socket_pair(asio::io_context& io) {
    Socket first{io};
    Socket second{io};
    if constexpr (std::is_same_v<typename Socket::protocol_type, asio::ip::tcp>) {
        asio::ip::tcp::acceptor acceptor{io, {asio::ip::address_v4::loopback(), 0}};
        second.connect(acceptor.local_endpoint());
        acceptor.accept(first);
    } else {
        asio::local::connect_pair(first, second);
    }
    return {std::move(first), std::move(second)};
}

/// Runs the context until `done` says so. A test that hangs is ended by its runner.
template <class Done>
void run_until(asio::io_context& io, Done done) {
    io.restart();
    while (!done())
        REQUIRE(io.run_one() == 1);
}

/// The socket of Asio's that a stream is made from.
template <class Stream>
using plain_socket = std::conditional_t<std::is_same_v<Stream, tcp_socket>, asio_socket, Stream>;

template <class Stream>
struct socket_fixture {
    explicit socket_fixture(const connection_options& options = {}, int buffers = 0) {
        if (buffers != 0) {
            ends.first.set_option(asio::socket_base::send_buffer_size{buffers});
            ends.second.set_option(asio::socket_base::receive_buffer_size{buffers});
        }
        it.emplace(Stream{std::move(ends.first)}, options);
    }

    void open() {
        ending<> opened;
        asio::write(peer, asio::buffer(plain_request));
        it->async_accept(opened.handler());
        run_until(io, [&] { return opened.calls != 0; });
        REQUIRE(opened.well());
        std::string head;
        while (!head.ends_with("\r\n\r\n"))
            head += receive(1);
    }
    void send(std::string_view bytes) { asio::write(peer, asio::buffer(bytes)); }
    octets receive(std::size_t count) {
        octets bytes(count, '\0');
        asio::read(peer, asio::buffer(bytes));
        return bytes;
    }

    asio::io_context io;
    std::pair<plain_socket<Stream>, plain_socket<Stream>> ends = socket_pair<plain_socket<Stream>>(io);
    std::optional<connection<Stream>> it;
    plain_socket<Stream>& peer = ends.second;
};

} // namespace duplex::testing
