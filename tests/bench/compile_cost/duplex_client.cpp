#include <duplex/websocket.hpp>

#include <cstdio>

int main() {
    asio::io_context io;
    duplex::websocket socket{io, "ws://localhost:9002"};
    socket.on_open = [&] { socket.send("Hello"); };
    socket.on_message = [&](const duplex::message& message) {
        std::printf("%.*s\n", static_cast<int>(message.size()), message.text().data());
        socket.close();
    };
    socket.on_error = [](const duplex::error_event& error) { std::puts(error.what().c_str()); };
    io.run();
}
