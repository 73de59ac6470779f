#include <duplex/server.hpp>

int main() {
    asio::io_context io;
    duplex::server_options options{.port = 9002};
    duplex::server server{io, options};
    server.on_message = [](auto& peer, const duplex::message& message) { peer.send(message); };
    server.start();
    io.run();
}
