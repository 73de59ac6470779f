#pragma once

// Real sockets on the loopback interface: peers that say byte by byte what a test wants, and a client that
// keeps a record.

#include "support/catch.hpp"

#include <duplex/handshake/accept_key.hpp>
#include <duplex/server.hpp>
#include <duplex/websocket.hpp>

#include <asio/buffer.hpp>
#include <asio/io_context.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/post.hpp>
#include <asio/socket_base.hpp>
#include <asio/write.hpp>

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace duplex::testing {

using tcp = asio::ip::tcp;

/// Runs the context until `done()` says so.
template <class Done>
void run_until(asio::io_context& io, Done done) {
    if (io.stopped()) io.restart();
    while (!done())
        REQUIRE(io.run_one() != 0);
}

/// Runs the context until it has nothing left to do.
inline void run_out(asio::io_context& io) {
    if (io.stopped()) io.restart();
    io.run();
}

/// One end of a TCP connection whose bytes the test writes itself.
class raw_peer {
public:
    explicit raw_peer(tcp::socket socket)
        : self_{std::make_shared<state>(std::move(socket))} {
        receive(self_);
    }
    /// Connects; the kernel does that without the server.
    raw_peer(asio::io_context& io, std::uint16_t port)
        : raw_peer{connected(io, port)} {}
    raw_peer(const raw_peer&) = delete;
    raw_peer& operator=(const raw_peer&) = delete;
    ~raw_peer() { drop(); }

    void send(std::string_view bytes) {
        std::error_code error;
        asio::write(self_->socket, asio::buffer(bytes.data(), bytes.size()), error);
        CHECK_FALSE(error);
    }
    /// What has come since the last call.
    [[nodiscard]] std::string take() { return std::exchange(self_->received, {}); }
    [[nodiscard]] const std::string& received() const noexcept { return self_->received; }
    /// The other side has ended the connection.
    [[nodiscard]] bool ended() const noexcept { return bool{self_->end}; }
    /// How: `asio::error::eof`, or an error of the socket.
    [[nodiscard]] std::error_code end() const noexcept { return self_->end; }

    void shutdown_send() {
        std::error_code ignored;
        self_->socket.shutdown(tcp::socket::shutdown_send, ignored);
    }
    void drop() {
        std::error_code ignored;
        self_->socket.close(ignored);
    }
    /// Ends with a RST.
    void reset() {
        std::error_code ignored;
        self_->socket.set_option(asio::socket_base::linger{true, 0}, ignored);
        drop();
    }

private:
    struct state {
        explicit state(tcp::socket&& with)
            : socket{std::move(with)} {}
        tcp::socket socket;
        std::array<char, 4096> buffer{};
        std::string received;
        std::error_code end;
    };

    static tcp::socket connected(asio::io_context& io, std::uint16_t port) {
        tcp::socket socket{io};
        socket.connect({asio::ip::address_v4::loopback(), port});
        return socket;
    }

    static void receive(const std::shared_ptr<state>& self) {
        self->socket.async_read_some(asio::buffer(self->buffer),
                                     [self](std::error_code error, std::size_t size) {
                                         self->received.append(self->buffer.data(), size);
                                         if (error)
                                             self->end = error;
                                         else
                                             receive(self);
                                     });
    }

    std::shared_ptr<state> self_;
};

[[nodiscard]] inline std::string request_for(std::uint16_t port, std::string_view more = {}) {
    return "GET /chat HTTP/1.1\r\nHost: 127.0.0.1:" + std::to_string(port) +
           "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
           "Sec-WebSocket-Version: 13\r\n" +
           std::string{more} + "\r\n";
}

/// The answer that opens a connection; `more`: header lines.
[[nodiscard]] inline std::string acceptance_of(std::string_view request, std::string_view more = {}) {
    const auto at = request.find("Sec-WebSocket-Key: ");
    REQUIRE(at != std::string_view::npos);
    const auto accept = accept_key(request.substr(at + 19, handshake_key_size));
    return std::string{"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                       "Sec-WebSocket-Accept: "}
        .append(accept.data(), accept.size())
        .append("\r\n")
        .append(more)
        .append("\r\n");
}

/// A server for one client, whose bytes the test writes itself.
class raw_server {
public:
    explicit raw_server(asio::io_context& io)
        : acceptor_{io, tcp::endpoint{asio::ip::address_v4::loopback(), 0}} {
        acceptor_.async_accept([this](std::error_code error, tcp::socket socket) {
            if (!error) peer_.emplace(std::move(socket));
        });
    }

    [[nodiscard]] std::uint16_t port() const { return acceptor_.local_endpoint().port(); }
    [[nodiscard]] std::string url(std::string_view path = "/") const {
        return "ws://127.0.0.1:" + std::to_string(port()) + std::string{path};
    }
    /// Runs the context until the request has come, and takes it.
    [[nodiscard]] std::string await_request(asio::io_context& io) {
        run_until(io, [&] { return peer_ && peer_->received().ends_with("\r\n\r\n"); });
        return peer_->take();
    }
    void open(asio::io_context& io, std::string_view more = {}) {
        const auto request = await_request(io);
        peer().send(acceptance_of(request, more));
    }
    [[nodiscard]] bool connected() const noexcept { return peer_.has_value(); }
    [[nodiscard]] raw_peer& peer() {
        REQUIRE(peer_.has_value());
        return *peer_;
    }

private:
    tcp::acceptor acceptor_;
    std::optional<raw_peer> peer_;
};

/// A `websocket` that writes down what happens to it: "open", "message x", "error e", "close 1000 reason
/// clean".
struct watched {
    explicit watched(asio::io_context& io)
        : socket{std::make_unique<websocket>(io)} {
        socket->on_open = [this] {
            note("open");
            if (then_open) then_open();
        };
        socket->on_message = [this](const message& m) {
            note("message " + std::string{m.text()});
            if (then_message) then_message(m);
        };
        socket->on_error = [this](const error_event& e) {
            error = e.error;
            what = e.what();
            why = e.why;
            failed_in = e.phase;
            if (e.response) response = *e.response;
            note("error");
            if (then_error) then_error();
        };
        socket->on_close = [this](const close_event& e) {
            last = e;
            note("close " + std::to_string(e.code) + (e.reason.empty() ? "" : " " + e.reason) +
                 (e.was_clean ? " clean" : ""));
            if (then_close) then_close();
        };
    }
    watched(asio::io_context& io, std::string_view url, std::vector<std::string> protocols = {},
            connect_options options = {})
        : watched{io} {
        REQUIRE_FALSE(socket->open(url, std::move(protocols), std::move(options)));
    }

    [[nodiscard]] bool saw(std::string_view what_happened) const {
        for (const auto& each : seen)
            if (each == what_happened) return true;
        return false;
    }
    [[nodiscard]] bool closed() const noexcept { return last.has_value(); }

    std::vector<std::string> seen;
    std::vector<ready_state> states; ///< at each entry of `seen`
    std::error_code error;
    std::string what;
    std::string why;
    std::optional<phase> failed_in;
    std::optional<handshake_outcome> response;
    std::optional<close_event> last;
    std::function<void()> then_open;
    std::function<void(const message&)> then_message;
    std::function<void()> then_error;
    std::function<void()> then_close;
    std::unique_ptr<websocket> socket;

private:
    void note(std::string what_happened) {
        seen.push_back(std::move(what_happened));
        states.push_back(socket ? socket->ready_state() : ready_state::closed);
    }
};

using history = std::vector<std::string>;

[[nodiscard]] inline std::string url_of(const server& of, std::string_view path = "/") {
    return "ws://127.0.0.1:" + std::to_string(of.port()) + std::string{path};
}

} // namespace duplex::testing
