// Echoes bytes: what Asio alone costs.

#include <asio/buffer.hpp>
#include <asio/io_context.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/write.hpp>

#include <array>
#include <memory>
#include <system_error>
#include <utility>

struct peer : std::enable_shared_from_this<peer> {
    explicit peer(asio::ip::tcp::socket&& connected)
        : socket{std::move(connected)} {}

    void read() {
        socket.async_read_some(asio::buffer(bytes),
                               [self = shared_from_this()](std::error_code error, std::size_t size) {
                                   if (!error) self->write(size);
                               });
    }

    void write(std::size_t size) {
        asio::async_write(socket, asio::buffer(bytes, size),
                          [self = shared_from_this()](std::error_code error, std::size_t) {
                              if (!error) self->read();
                          });
    }

    asio::ip::tcp::socket socket;
    std::array<char, 16384> bytes;
};

void accept(asio::ip::tcp::acceptor& acceptor) {
    acceptor.async_accept([&](std::error_code error, asio::ip::tcp::socket socket) {
        if (!error) std::make_shared<peer>(std::move(socket))->read();
        accept(acceptor);
    });
}

int main() {
    asio::io_context io;
    asio::ip::tcp::acceptor acceptor{io, {asio::ip::tcp::v6(), 9002}};
    accept(acceptor);
    io.run();
}
