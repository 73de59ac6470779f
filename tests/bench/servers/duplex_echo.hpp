#pragma once

#include <duplex/duplex.hpp>

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

namespace bench {

using handle = duplex::server::peer::handle_type;

/// Sends each message to everyone; a peer that has gone is forgotten at the next one.
inline void broadcast(std::vector<handle>& to, const duplex::message& message) {
    const auto prepared = message.is_text() ? duplex::prepared_message::text(message.text())
                                            : duplex::prepared_message::binary(message.bytes());
    std::erase_if(to, [&](const handle& one) { return one.send(prepared) == duplex::send_status::not_open; });
}

/// A server on a port of this machine, as its arguments say, with what secures it or without.
inline void run(char* port, std::string_view mode,
                std::shared_ptr<const duplex::server_security> tls = nullptr) {
    asio::io_context io{1};
    duplex::server_options options;
    options.host = "127.0.0.1";
    options.port = static_cast<std::uint16_t>(std::atoi(port));
    options.tls = std::move(tls);
    options.connection.limits.message_bytes = std::size_t{16} << 20;
    if (mode == "unguarded") {
        // What the defaults cost is the difference.
        constexpr duplex::timeouts::duration never{0};
        auto& times = options.connection.timeouts;
        times.connect = times.tls = times.handshake = never;
        times.ping_interval = times.pong = times.idle = times.life = times.write = times.close = never;
        constexpr std::size_t any = SIZE_MAX / 2;
        options.connection.limits.queue_bytes = options.connection.limits.queue_messages = any;
        options.connection.limits.message_fragments = any;
        options.connection.budget =
            duplex::budget{{.send_bytes = any, .receive_bytes = any, .handshakes = any}};
    }
    if (mode.starts_with("deflate")) options.deflate.emplace();
    if (mode == "deflate-takeover")
        options.deflate->context_takeover = options.deflate->peer_context_takeover = true;
    duplex::server server{io, options};

    std::vector<handle> everyone;
    if (mode == "broadcast") {
        server.on_open = [&](auto& peer) { everyone.push_back(peer.handle()); };
        server.on_message = [&](auto&, const duplex::message& message) { broadcast(everyone, message); };
    } else {
        server.on_message = [](auto& peer, const duplex::message& message) { peer.send(message); };
    }
    server.start();
    io.run();
}

} // namespace bench
