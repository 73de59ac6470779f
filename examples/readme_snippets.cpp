// The pieces of README.md that belong to none of the programs: compiled, never run.

#include <duplex/duplex.hpp>

#include <asio/awaitable.hpp>
#include <asio/io_context.hpp>
#include <asio/local/stream_protocol.hpp>
#include <asio/use_awaitable.hpp>

#include <cstdio>
#include <iostream>
#include <optional>
#include <string>
#include <thread>

void sans_io(std::span<std::byte> received, void (*write)(std::span<const std::byte>));
void choose(asio::io_context& io);
void from_threads(duplex::server& server);
void explain(std::error_code error);

// Older versions of Asio have coroutines for g++ only.
#if defined(ASIO_HAS_CO_AWAIT)

asio::awaitable<void> talk(asio::io_context& io);
asio::awaitable<void> serve(asio::local::stream_protocol::socket socket);

asio::awaitable<void> talk(asio::io_context& io) {
    auto socket = co_await duplex::async_connect(io, "ws://localhost:9002", asio::use_awaitable);
    socket.send("several messages");
    socket.send("leave in one write");
    for (int i = 0; i < 2; ++i) {
        duplex::message answer = co_await socket.async_read(asio::use_awaitable);
        std::cout << answer.text() << '\n';
    }
    co_await socket.async_close(asio::use_awaitable);
}

asio::awaitable<void> serve(asio::local::stream_protocol::socket socket) {
    duplex::connection connection{std::move(socket)};
    co_await connection.async_accept(asio::use_awaitable);
    for (;;) {
        auto batch = co_await connection.async_read_batch(asio::use_awaitable);
        for (const duplex::message& message : batch)
            connection.send(message);
    }
}

#endif // ASIO_HAS_CO_AWAIT

void sans_io(std::span<std::byte> received, void (*write)(std::span<const std::byte>)) {
    duplex::session session{duplex::role::server};

    session.receive(received);
    while (const duplex::event event = session.next())
        if (event.what == duplex::event::kind::message) session.send(event.op, event.payload);

    duplex::segment segments[16];
    while (const std::size_t count = session.gather(segments))
        for (std::size_t i = 0; i < count; ++i) {
            write(segments[i]);
            session.consumed(segments[i].size());
        }
}

void choose(asio::io_context& io) {
    duplex::server_options options;
    options.port = 9002;
    options.threads = 2;
    options.subprotocols = {"chat.v2", "chat.v1"};
    options.origins = {"https://example.com"};
    options.connection.limits.message_bytes = 64 * 1024;
    options.connection.timeouts.idle = std::chrono::minutes{5};

    duplex::server server{io, options};
    server.on_request = [](const duplex::server_handshake& request) -> std::optional<duplex::rejection> {
        if (request.target() == "/chat") return std::nullopt;
        return duplex::rejection{404, {}, "no chat here\n"};
    };
}

void from_threads(duplex::server& server) {
    server.on_open = [](duplex::server::peer& peer) {
        std::thread{[handle = peer.handle()] { handle.send("from another thread"); }}.detach();
    };
}

void explain(std::error_code error) {
    if (error == duplex::condition::limit_exceeded) std::puts("the peer wanted too much");
    if (error.category() == duplex::error_category()) {
        const auto& rule = duplex::explain(static_cast<duplex::errc>(error.value()));
        std::cout << rule.name << ": " << rule.text << ", see " << rule.source << '\n';
    }
}
