// duplex_client [websocket] PORT CONNECTIONS IN_FLIGHT SIZE MESSAGES: on connections, or on the
// browser-shaped class.

#include "client_run.hpp"

#include <duplex/duplex.hpp>

#include <deque>
#include <memory>
#include <span>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace {

using connection = duplex::tcp_connection<>;

std::span<const std::byte> payload(const client_run& run) {
    return std::as_bytes(std::span{run.payload().data(), run.payload().size()});
}

void use_connections(asio::io_context& io, client_run& run) {
    std::vector<std::unique_ptr<connection>> connections;
    for (std::size_t i = 0; i < run.connections(); ++i) {
        duplex::async_connect(io, run.url(), [&](std::error_code error, connection made) {
            if (error) client_run::fail("no connection");
            connections.push_back(std::make_unique<connection>(std::move(made)));
            connection& one = *connections.back();
            for (std::size_t k = 0; k < run.in_flight(); ++k)
                one.send(payload(run));
            const auto on_message = [&run, &one](const duplex::message& message) {
                run.received(message.bytes().data(), message.size());
                one.send(payload(run));
            };
            one.async_run(on_message, [](std::error_code) { client_run::fail("the connection has ended"); });
        });
    }
    io.run();
}

void use_websockets(asio::io_context& io, client_run& run) {
    std::deque<duplex::websocket> sockets;
    for (std::size_t i = 0; i < run.connections(); ++i) {
        duplex::websocket& one = sockets.emplace_back(io);
        one.on_open = [&] {
            for (std::size_t k = 0; k < run.in_flight(); ++k)
                one.send(payload(run));
        };
        one.on_message = [&](const duplex::message& message) {
            run.received(message.bytes().data(), message.size());
            one.send(payload(run));
        };
        one.on_close = [](const duplex::close_event&) { client_run::fail("the connection has ended"); };
        one.open(run.url());
    }
    io.run();
}

} // namespace

int main(int count, char** arguments) {
    const bool as_in_a_browser = count > 1 && std::string_view{arguments[1]} == "websocket";
    client_run run{count - as_in_a_browser, arguments + as_in_a_browser};
    asio::io_context io{1};
    if (as_in_a_browser)
        use_websockets(io, run);
    else
        use_connections(io, run);
}
