#include <duplex/websocket.hpp>
#include <iostream>

int main() {
    asio::io_context io;
    duplex::websocket socket{io, "ws://localhost:9002"};
    socket.on_open = [&] { socket.send("Hello"); };
    socket.on_message = [&](const duplex::message& m) { std::cout << m.text() << '\n', socket.close(); };
    socket.on_error = [](const duplex::error_event& error) { std::cerr << error.what() << '\n'; };
    io.run();
}
