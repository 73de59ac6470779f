// The echo server with a coroutine for each connection.

#include "command_line.hpp"

#include <asio/detail/config.hpp>

#if !defined(ASIO_HAS_CO_AWAIT)

#include <cstdio>

int main() {
    std::fputs("Asio has no coroutines for the compiler that built this: older ones know only g++'s\n",
               stderr);
    return 1;
}

#else

#include <duplex/server.hpp>

#include <asio/awaitable.hpp>
#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/io_context.hpp>
#include <asio/signal_set.hpp>
#include <asio/use_awaitable.hpp>

#include <csignal>
#include <cstdint>
#include <cstdio>
#include <list>
#include <system_error>
#include <utility>

namespace {

using peer = duplex::server::peer;

/// The connections that are open, for the one who stops them all.
std::list<peer::handle_type> open_peers;

/// One connection, from its opening to its end.
asio::awaitable<void> echo(peer connection) {
    const auto self = open_peers.insert(open_peers.end(), connection.handle());
    try {
        for (;;) {
            // All messages of one read of the socket; what is sent meanwhile leaves in one write.
            auto batch = co_await connection.async_read_batch(asio::use_awaitable);
            for (const duplex::message& message : batch)
                connection.send(message);
            // A client that doesn't take its answers isn't read from, either.
            if (connection.buffered_amount() > 1 << 20) co_await connection.async_drain(asio::use_awaitable);
        }
    } catch (const std::system_error& end) {
        if (end.code() != duplex::errc::closed) std::fprintf(stderr, "%s\n", end.what());
    }
    open_peers.erase(self);
}

constexpr const char* usage = "usage: echo_server_coroutines [--port PORT]\n"
                              "\n"
                              "Sends every WebSocket message back until it gets SIGINT or SIGTERM.\n"
                              "PORT is 9002 where none is given; 0 stands for any free port.\n";

} // namespace

int main(int argc, char** argv) {
    duplex::server_options options;
    options.port = 9002;
    options.origins = {"*"};
    example::command_line line{argc, argv, usage};
    while (line.next()) {
        if (line.name() == "--port")
            options.port = static_cast<std::uint16_t>(line.number(0, 65535));
        else
            line.unknown();
    }

    asio::io_context io{1};
    duplex::server server{io, options};
    server.on_connection = [](peer connection) {
        const auto executor = connection.get_executor();
        asio::co_spawn(executor, echo(std::move(connection)), asio::detached);
    };
    std::error_code error;
    server.start(error);
    if (error) {
        std::fprintf(stderr, "can't listen on port %u: %s\n", unsigned{options.port},
                     error.message().c_str());
        return 1;
    }
    std::printf("listening on ws://127.0.0.1:%u\n", unsigned{server.port()});
    std::fflush(stdout);

    asio::signal_set signals{io, SIGINT, SIGTERM};
    signals.async_wait([&](std::error_code failed, int) {
        if (failed) return;
        server.stop();
        // Connections that were taken over are no longer the server's to stop.
        for (const auto& each : open_peers)
            each.close(duplex::close_code::going_away);
        signals.clear();
    });
    io.run();
    return 0;
}

#endif // ASIO_HAS_CO_AWAIT
