#pragma once

// Boost.Beast with concrete executors, one read and one write at a time a connection.

#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/basic_stream_socket.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/stream_traits.hpp>
#include <boost/beast/websocket.hpp>

#include <cstdint>
#include <cstdlib>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <unordered_set>
#include <utility>

namespace bench {

namespace asio = boost::asio;
namespace beast = boost::beast;
using executor = asio::io_context::executor_type;
using socket_type = asio::basic_stream_socket<asio::ip::tcp, executor>;
using acceptor_type = asio::basic_socket_acceptor<asio::ip::tcp, executor>;
using error_code = boost::system::error_code;

constexpr std::size_t message_limit = std::size_t{16} << 20;

/// `Next`: a socket, or TLS over one. It is made from a connected socket and `next...`.
template <class Next>
class peer : public std::enable_shared_from_this<peer<Next>> {
public:
    template <class... More>
    peer(bool broadcasts, socket_type&& socket, More&... next)
        : stream_{std::move(socket), next...}
        , broadcasts_{broadcasts} {}
    ~peer() { everyone.erase(this); }

    void run() {
        beast::get_lowest_layer(stream_).set_option(asio::ip::tcp::no_delay{true});
        if constexpr (std::is_same_v<Next, socket_type>)
            accept();
        else
            stream_.next_layer().async_handshake(Next::server,
                                                 [self = this->shared_from_this()](error_code error) {
                                                     if (!error) self->accept();
                                                 });
    }

private:
    void accept() {
        stream_.read_message_max(message_limit);
        stream_.auto_fragment(false);
        stream_.set_option(compression);
        stream_.async_accept([self = this->shared_from_this()](error_code error) {
            if (error) return;
            if (self->broadcasts_) everyone.insert(self.get());
            self->read();
        });
    }

    void read() {
        stream_.async_read(buffer_, [self = this->shared_from_this()](error_code error, std::size_t) {
            if (error) return;
            if (self->broadcasts_)
                self->publish();
            else
                self->echo();
        });
    }

    void echo() {
        stream_.text(stream_.got_text());
        stream_.async_write(buffer_.cdata(),
                            [self = this->shared_from_this()](error_code error, std::size_t) {
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
                            [self = this->shared_from_this()](error_code error, std::size_t) {
                                if (error) return;
                                self->queue_.pop_front();
                                if (!self->queue_.empty()) self->write();
                            });
    }

    inline static std::unordered_set<peer*> everyone;

public:
    inline static beast::websocket::permessage_deflate compression;

private:
    beast::websocket::stream<Next> stream_;
    beast::flat_buffer buffer_;
    std::deque<std::shared_ptr<const std::string>> queue_;
    bool broadcasts_;
};

/// For each connection that comes; `next` is what its stream is made from beside the socket.
template <class Next, class... More>
void accept_all(acceptor_type& acceptor, bool broadcasts, More&... next) {
    acceptor.async_accept([&acceptor, broadcasts, &next...](error_code error, socket_type socket) {
        if (!error) std::make_shared<peer<Next>>(broadcasts, std::move(socket), next...)->run();
        accept_all<Next>(acceptor, broadcasts, next...);
    });
}

/// As fast as the others compress, with windows of 32 KiB like theirs.
inline beast::websocket::permessage_deflate compression_for(std::string_view mode) {
    beast::websocket::permessage_deflate wanted;
    wanted.server_enable = mode.substr(0, 7) == "deflate";
    wanted.compLevel = 1;
    wanted.server_no_context_takeover = wanted.client_no_context_takeover = mode != "deflate-takeover";
    return wanted;
}

/// A server on a port of this machine.
template <class Next, class... More>
void run(char* port, std::string_view mode, More&... next) {
    asio::io_context io{1};
    peer<Next>::compression = compression_for(mode);
    acceptor_type acceptor{io,
                           {asio::ip::address_v4::loopback(), static_cast<std::uint16_t>(std::atoi(port))}};
    accept_all<Next>(acceptor, mode == "broadcast", next...);
    io.run();
}

} // namespace bench
