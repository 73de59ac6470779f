// beast_server PORT [broadcast]: Boost.Beast with concrete executors, one read and one write at a time a
// connection.

#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/basic_stream_socket.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/websocket.hpp>

#include <cstdint>
#include <cstdlib>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_set>

namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
using executor = asio::io_context::executor_type;
using socket_type = asio::basic_stream_socket<asio::ip::tcp, executor>;
using acceptor_type = asio::basic_socket_acceptor<asio::ip::tcp, executor>;
using error_code = boost::system::error_code;

constexpr std::size_t message_limit = std::size_t{16} << 20;

class peer;
std::unordered_set<peer*> everyone;

class peer : public std::enable_shared_from_this<peer> {
public:
    peer(socket_type&& socket, bool broadcasts)
        : stream_{std::move(socket)}
        , broadcasts_{broadcasts} {}
    ~peer() { everyone.erase(this); }

    void run() {
        stream_.next_layer().set_option(asio::ip::tcp::no_delay{true});
        stream_.read_message_max(message_limit);
        stream_.auto_fragment(false);
        stream_.async_accept([self = shared_from_this()](error_code error) {
            if (error) return;
            if (self->broadcasts_) everyone.insert(self.get());
            self->read();
        });
    }

private:
    void read() {
        stream_.async_read(buffer_, [self = shared_from_this()](error_code error, std::size_t) {
            if (error) return;
            if (self->broadcasts_)
                self->publish();
            else
                self->echo();
        });
    }

    void echo() {
        stream_.text(stream_.got_text());
        stream_.async_write(buffer_.cdata(), [self = shared_from_this()](error_code error, std::size_t) {
            if (error) return;
            self->buffer_.clear();
            self->read();
        });
    }

    void publish() {
        const auto message = std::make_shared<const std::string>(
            static_cast<const char*>(buffer_.cdata().data()), buffer_.size());
        for (peer* one : everyone) {
            one->stream_.text(stream_.got_text());
            one->send(message);
        }
        buffer_.clear();
        read();
    }

    void send(const std::shared_ptr<const std::string>& message) {
        queue_.push_back(message);
        if (queue_.size() == 1) write();
    }

    void write() {
        stream_.async_write(asio::buffer(*queue_.front()),
                            [self = shared_from_this()](error_code error, std::size_t) {
                                if (error) return;
                                self->queue_.pop_front();
                                if (!self->queue_.empty()) self->write();
                            });
    }

    beast::websocket::stream<socket_type> stream_;
    beast::flat_buffer buffer_;
    std::deque<std::shared_ptr<const std::string>> queue_;
    bool broadcasts_;
};

void accept(acceptor_type& acceptor, bool broadcasts) {
    acceptor.async_accept([&acceptor, broadcasts](error_code error, socket_type socket) {
        if (!error) std::make_shared<peer>(std::move(socket), broadcasts)->run();
        accept(acceptor, broadcasts);
    });
}

} // namespace

int main(int count, char** arguments) {
    if (count < 2) return 2;
    asio::io_context io{1};
    const auto port = static_cast<std::uint16_t>(std::atoi(arguments[1]));
    acceptor_type acceptor{io, {asio::ip::address_v4::loopback(), port}};
    accept(acceptor, count > 2 && std::string_view{arguments[2]} == "broadcast");
    io.run();
}
