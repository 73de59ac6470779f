// The pieces of README.md that take TLS: compiled, never run.

#include <duplex/tls.hpp>

#include <duplex/duplex.hpp>

#include <asio/io_context.hpp>

#include <iostream>
#include <string>

void connect_securely(asio::io_context& io);
void serve_securely(asio::io_context& io);

void connect_securely(asio::io_context& io) {
    duplex::connect_options options;
    options.tls.ca_file = "our-own-authority.pem"; // instead of the system's store
    duplex::websocket socket{io, "wss://localhost:9002", {}, options};
    socket.on_error = [](const duplex::error_event& error) {
        // "...: the server's certificate is for example.org, not for localhost"
        std::cerr << error.what() << '\n';
    };
    io.run();
}

void serve_securely(asio::io_context& io) {
    duplex::tls_server_context tls;
    std::string why;
    if (auto error = tls.reload({.certificate_file = "chain.pem", .key_file = "key.pem"}, &why)) {
        std::cerr << error.message() << ": " << why << '\n';
        return;
    }
    duplex::server_options options;
    options.port = 9002;
    options.tls = tls.security();
    duplex::server server{io, options};
    server.start();
    io.run();
}
