// duplex_server PORT [broadcast]

#include <duplex/duplex.hpp>

#include <cstdint>
#include <cstdlib>
#include <string_view>
#include <vector>

namespace {

using handle = duplex::server::peer::handle_type;

/// Sends each message to everyone; a peer that has gone is forgotten at the next one.
void broadcast(std::vector<handle>& to, const duplex::message& message) {
    const auto prepared = message.is_text() ? duplex::prepared_message::text(message.text())
                                            : duplex::prepared_message::binary(message.bytes());
    std::erase_if(to, [&](const handle& one) { return one.send(prepared) == duplex::send_status::not_open; });
}

} // namespace

int main(int count, char** arguments) {
    if (count < 2) return 2;
    asio::io_context io{1};
    duplex::server_options options;
    options.host = "127.0.0.1";
    options.port = static_cast<std::uint16_t>(std::atoi(arguments[1]));
    options.connection.limits.message_bytes = std::size_t{16} << 20;
    duplex::server server{io, options};

    std::vector<handle> everyone;
    if (count > 2 && std::string_view{arguments[2]} == "broadcast") {
        server.on_open = [&](auto& peer) { everyone.push_back(peer.handle()); };
        server.on_message = [&](auto&, const duplex::message& message) { broadcast(everyone, message); };
    } else {
        server.on_message = [](auto& peer, const duplex::message& message) { peer.send(message); };
    }
    server.start();
    io.run();
}
