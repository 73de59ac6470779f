// The piece of README.md that takes compression: compiled, never run.

#include <duplex/deflate.hpp>

#include <duplex/duplex.hpp>

#include <asio/io_context.hpp>

#include <string>

void serve_compressed(asio::io_context& io, const std::string& photo, const std::string& table);

void serve_compressed(asio::io_context& io, const std::string& photo, const std::string& table) {
    duplex::server_options options;
    options.port = 9002;
    options.deflate.emplace(); // the same in connect_options
    duplex::server server{io, options};
    server.on_open = [&](duplex::server::peer& peer) {
        peer.send(table);
        peer.send(photo, {.how = duplex::compression::none});
    };
    server.start();
    io.run();
}
