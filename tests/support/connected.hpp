#pragma once

// Connections for tests: two that speak with each other, and one whose peer is the test itself.

#include "support/catch.hpp"
#include "support/wire.hpp"

#include <duplex/handshake/accept_key.hpp>
#include <duplex/http/uri.hpp>
#include <duplex/net/connection.hpp>
#include <duplex/test/manual_time.hpp>
#include <duplex/test/stream.hpp>

#include <asio/io_context.hpp>
#include <asio/post.hpp>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <tuple>
#include <utility>
#include <vector>

namespace duplex::testing {

using test::run_ready;
using memory_connection = connection<test::stream>;

/// What an operation completed with. It must outlive the operation.
template <class... Values>
struct ending {
    int calls = 0;
    std::error_code error = std::make_error_code(std::errc::operation_in_progress);
    std::tuple<Values...> values{};

    [[nodiscard]] auto handler() {
        return [this](std::error_code with, Values... got) {
            ++calls;
            error = with;
            values = {std::move(got)...};
        };
    }
    [[nodiscard]] bool well() const { return calls == 1 && !error; }
    [[nodiscard]] bool failed_with(std::error_code with) const { return calls == 1 && error == with; }
};

struct read_ending : ending<message> {
    [[nodiscard]] std::string text() const { return std::string{std::get<0>(values).text()}; }
};

[[nodiscard]] inline uri uri_of(std::string_view text) {
    uri parsed;
    REQUIRE_FALSE(parse_uri(text, parsed));
    return parsed;
}

/// Options of a connection that waits for ever.
[[nodiscard]] inline connection_options without_deadlines() {
    using none = timeouts::duration;
    connection_options made;
    made.timeouts = {.connect = none{0},
                     .handshake = none{0},
                     .ping_interval = none{0},
                     .pong = none{0},
                     .idle = none{0},
                     .write = none{0},
                     .close = none{0}};
    return made;
}

inline constexpr std::string_view plain_request = "GET /chat HTTP/1.1\r\n"
                                                  "Host: localhost\r\n"
                                                  "Upgrade: websocket\r\n"
                                                  "Connection: Upgrade\r\n"
                                                  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                                                  "Sec-WebSocket-Version: 13\r\n\r\n";

/// The answer that opens a connection, to a request as it was sent.
[[nodiscard]] inline std::string answer_to(std::string_view request) {
    const auto at = request.find("Sec-WebSocket-Key: ");
    REQUIRE(at != std::string_view::npos);
    const auto accept = accept_key(request.substr(at + 19, handshake_key_size));
    return std::string{"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                       "Sec-WebSocket-Accept: "}
        .append(accept.data(), accept.size())
        .append("\r\n\r\n");
}

/// Runs `what` inside the context, as the application's own handlers run, and then what became ready.
template <class F>
void inside(asio::io_context& io, F what) {
    asio::post(io, std::move(what));
    run_ready(io);
}

/// Two ends of an in-memory pair, on one context whose time moves by hand.
struct on_manual_time {
    void run() { run_ready(io); }
    void pass(std::chrono::milliseconds step) {
        time.advance(step);
        run();
    }

    asio::io_context io;
    test::manual_time time{io};
    std::pair<test::stream, test::stream> ends = test::make_stream_pair(io); ///< for connections to take over
};

/// A server and a client.
struct connected_pair : on_manual_time {
    explicit connected_pair(const connection_options& server_options = {},
                            const connection_options& client_options = {})
        : server{std::move(ends.first), server_options}
        , client{std::move(ends.second), client_options} {}

    void open() {
        ending<> accepted;
        ending<> shaken;
        server.async_accept(accepted.handler());
        client.async_handshake(uri_of("ws://localhost/chat"), shaken.handler());
        run();
        REQUIRE(accepted.well());
        REQUIRE(shaken.well());
    }

    memory_connection server;
    memory_connection client;
};

/// A connection that is not open yet, and its peer.
struct unopened : on_manual_time {
    explicit unopened(const connection_options& options = {})
        : it{std::in_place, std::move(ends.first), options} {}

    /// A client's request comes, and is read.
    void ask() {
        it->async_read_request(asked.handler());
        peer.send(plain_request);
        run();
        REQUIRE(asked.well());
    }

    ending<> asked; ///< how `ask` went
    std::optional<memory_connection> it;
    test::stream& peer = ends.second;
};

/// One connection, open in the given role; what its peer does is written byte by byte.
struct scripted : on_manual_time {
    explicit scripted(role role_under_test, const connection_options& options = {})
        : self{role_under_test}
        , it{std::in_place, std::move(ends.first), options} {}

    void open() {
        ending<> opened;
        if (self == role::server) {
            peer.send(plain_request);
            it->async_accept(opened.handler());
            run();
            REQUIRE(peer.take_pending().starts_with("HTTP/1.1 101 "));
        } else {
            it->async_handshake(uri_of("ws://localhost/chat"), opened.handler());
            run();
            peer.send(answer_to(peer.take_pending()));
            run();
        }
        REQUIRE(opened.well());
    }

    /// The peer sends a frame.
    void comes(opcode op, std::string_view payload, const frame_shape& shape = {}) {
        peer.send(frame(op, payload, shape));
        run();
    }
    [[nodiscard]] octets frame(opcode op, std::string_view payload, const frame_shape& shape = {}) const {
        return frame_bytes(peer_of(self), op, payload, shape);
    }
    /// The frames written since the last call.
    [[nodiscard]] std::vector<seen_frame> written() {
        auto frames = read_frames(peer.take_pending());
        REQUIRE(frames.has_value());
        return *std::move(frames);
    }
    /// The payloads of the frames written since the last call, with the number of their opcode.
    [[nodiscard]] std::vector<std::pair<unsigned, std::string>> said() {
        std::vector<std::pair<unsigned, std::string>> all;
        for (auto& each : written())
            all.emplace_back(each.op, std::move(each.payload));
        return all;
    }

    role self;
    std::optional<memory_connection> it;
    test::stream& peer = ends.second;
};

using said_frames = std::vector<std::pair<unsigned, std::string>>;

} // namespace duplex::testing
