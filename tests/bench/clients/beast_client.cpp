// beast_client PORT CONNECTIONS IN_FLIGHT SIZE MESSAGES: Boost.Beast with concrete executors.

#include "client_run.hpp"

#include <boost/asio/basic_stream_socket.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/websocket.hpp>

#include <cstdint>
#include <deque>

namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
using socket_type = asio::basic_stream_socket<asio::ip::tcp, asio::io_context::executor_type>;
using error_code = boost::system::error_code;

class client {
public:
    client(asio::io_context& io, client_run& run)
        : run_{run}
        , stream_{io} {
        auto& socket = stream_.next_layer();
        const auto port = static_cast<std::uint16_t>(std::atoi(run.port().c_str()));
        socket.connect({asio::ip::address_v4::loopback(), port});
        socket.set_option(asio::ip::tcp::no_delay{true});
        stream_.handshake("127.0.0.1", "/");
        stream_.auto_fragment(false);
        stream_.binary(true);
        to_send_ = run.in_flight();
        write();
        read();
    }

private:
    void read() {
        stream_.async_read(buffer_, [this](error_code error, std::size_t size) {
            if (error) client_run::fail("the connection has ended");
            run_.received(buffer_.cdata().data(), size);
            buffer_.clear();
            if (++to_send_ == 1) write();
            read();
        });
    }

    void write() {
        stream_.async_write(asio::buffer(run_.payload()), [this](error_code error, std::size_t) {
            if (error) client_run::fail("the connection has ended");
            if (--to_send_ != 0) write();
        });
    }

    client_run& run_;
    beast::websocket::stream<socket_type> stream_;
    beast::flat_buffer buffer_;
    std::size_t to_send_ = 0; ///< the one that is being written included
};

} // namespace

int main(int count, char** arguments) {
    client_run run{count, arguments};
    asio::io_context io{1};
    std::deque<client> clients;
    for (std::size_t i = 0; i < run.connections(); ++i)
        clients.emplace_back(io, run);
    io.run();
}
