#include <duplex/duplex.hpp>

#include <asio/io_context.hpp>

#include <cstdio>
#include <string>

#if !defined(ASIO_STANDALONE)
#error "duplex::duplex stands on standalone Asio"
#endif
#if defined(ASIO_NO_DEPRECATED)
#error "duplex takes no names from its users"
#endif

int main() {
    asio::io_context io;
    duplex::server_options options;
    options.host = "127.0.0.1";
    duplex::server server{io, options};
    server.on_message = [](duplex::server::peer& peer, const duplex::message& message) {
        peer.send(message);
    };
    server.start();

    std::string answer;
    bool clean = false;
    duplex::websocket socket{io, "ws://127.0.0.1:" + std::to_string(server.port())};
    socket.on_open = [&] { socket.send("Hello"); };
    socket.on_message = [&](const duplex::message& message) {
        answer = message.text();
        socket.close(duplex::close_code::normal);
    };
    socket.on_error = [](const duplex::error_event& error) { std::printf("%s\n", error.what().c_str()); };
    socket.on_close = [&](const duplex::close_event& end) {
        clean = end.was_clean;
        server.stop();
    };
    io.run();
    std::printf("duplex %s on Asio %d: \"%s\" came back\n", DUPLEX_VERSION_STRING, ASIO_VERSION,
                answer.c_str());
    return answer == "Hello" && clean ? 0 : 1;
}
