#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/websocket.hpp>

#include <memory>
#include <utility>

namespace asio = boost::asio;
namespace beast = boost::beast;

struct peer : std::enable_shared_from_this<peer> {
    explicit peer(asio::ip::tcp::socket&& connected)
        : stream{std::move(connected)} {}

    void run() {
        stream.async_accept([self = shared_from_this()](beast::error_code error) {
            if (!error) self->read();
        });
    }

    void read() {
        stream.async_read(buffer, [self = shared_from_this()](beast::error_code error, std::size_t) {
            if (!error) self->write();
        });
    }

    void write() {
        stream.text(stream.got_text());
        stream.async_write(buffer.data(), [self = shared_from_this()](beast::error_code error, std::size_t) {
            self->buffer.clear();
            if (!error) self->read();
        });
    }

    beast::websocket::stream<asio::ip::tcp::socket> stream;
    beast::flat_buffer buffer;
};

void accept(asio::ip::tcp::acceptor& acceptor) {
    acceptor.async_accept([&](beast::error_code error, asio::ip::tcp::socket socket) {
        if (!error) std::make_shared<peer>(std::move(socket))->run();
        accept(acceptor);
    });
}

int main() {
    asio::io_context io;
    asio::ip::tcp::acceptor acceptor{io, {asio::ip::tcp::v6(), 9002}};
    accept(acceptor);
    io.run();
}
