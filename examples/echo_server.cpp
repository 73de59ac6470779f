// An echo server: sends every message back, text as text and binary as binary.

#include "command_line.hpp"
#include "compression.hpp"
#include "observing.hpp"

#include <duplex/http/uri.hpp>
#include <duplex/server.hpp>
#if defined(EXAMPLE_HAS_TLS)
#include <duplex/tls.hpp>
#endif

#include <asio/io_context.hpp>
#include <asio/ip/address.hpp>
#include <asio/signal_set.hpp>

#include <csignal>
#include <cstdio>
#include <limits>
#include <memory>
#include <string>
#include <system_error>
#include <utility>

namespace {

constexpr const char* usage =
    "usage: echo_server [options]\n"
    "\n"
    "Sends every WebSocket message back, on any path, until it gets SIGINT or SIGTERM.\n"
    "\n"
    "  --host ADDRESS      a numeric address to listen on (default: all)\n"
    "  --port PORT         0: any free port (default: 9002)\n"
    "  --unix PATH         listens on a unix socket instead\n"
    "  --tls CERT KEY      speaks TLS with this certificate chain and key, files in PEM\n"
    "  --deflate[=takeover|no-takeover]\n"
    "                      compresses messages for clients that offer it, with windows that are kept "
    "between\n"
    "                      messages (takeover) or without (the default)\n"
    "  --threads N         threads that serve connections (default: 1)\n"
    "  --subprotocol NAME  a subprotocol it speaks; may be given several times, best first\n"
    "  --origin ORIGIN     only pages from there may connect; may be given several times\n"
    "                      (default: pages from anywhere, as there is nothing here to protect)\n"
    "  --max-message BYTES the largest message it takes (default: 16777216, 16 MiB)\n"
    "  --trace             prints a line for each frame that comes or goes, to the standard error\n"
    "  --record DIRECTORY  records every byte of each connection there, for duplex::replay\n";

std::shared_ptr<const duplex::server_security> read_certificate(example::command_line& line,
                                                                std::string certificate, std::string key) {
#if defined(EXAMPLE_HAS_TLS)
    duplex::tls_server_options options;
    options.certificate_file = std::move(certificate);
    options.key_file = std::move(key);
    duplex::tls_server_context tls;
    std::string why;
    if (const auto error = tls.reload(options, &why)) line.fail(error.message() + ": " + why);
    return tls.security();
#else
    line.fail("there is no TLS in this build: OpenSSL 3 was missing (for " + certificate + " and " + key +
              ')');
#endif
}

duplex::server_options read_options(int argc, char** argv) {
    duplex::server_options options;
    options.port = 9002;
    example::command_line line{argc, argv, usage};
    const auto observe = [&observer = options.connection.observer](duplex::wire_observer added) {
        observer = observer ? duplex::observe_both(std::move(observer), std::move(added)) : std::move(added);
    };
    while (line.next()) {
        if (line.name() == "--host") {
            options.host = line.value();
            std::error_code error;
            asio::ip::make_address(options.host, error);
            if (error) line.fail("--host takes a numeric address, not \"" + options.host + '"');
        } else if (line.name() == "--port") {
            options.port = static_cast<std::uint16_t>(line.number(0, 65535));
        } else if (line.name() == "--unix") {
            options.path = line.value();
            if (options.path.empty()) line.fail("--unix takes a path");
        } else if (line.name() == "--tls") {
            const std::string certificate{line.value()};
            options.tls = read_certificate(line, certificate, std::string{line.value()});
        } else if (line.name() == "--deflate") {
            options.deflate = example::read_deflate(line);
        } else if (line.name() == "--threads") {
            options.threads = static_cast<unsigned>(line.number(1, 256));
        } else if (line.name() == "--subprotocol") {
            options.subprotocols.emplace_back(line.value());
            if (!duplex::is_token(options.subprotocols.back()))
                line.fail("a subprotocol is a name without spaces and separators");
        } else if (line.name() == "--origin") {
            options.origins.emplace_back(line.value());
        } else if (line.name() == "--max-message") {
            options.connection.limits.message_bytes =
                static_cast<std::size_t>(line.number(1, std::numeric_limits<std::size_t>::max() / 4));
        } else if (line.name() == "--trace") {
            observe(example::trace_to_stderr());
        } else if (line.name() == "--record") {
            observe(example::record_to(std::string{line.value()}));
        } else {
            line.unknown();
        }
    }
    if (options.tls && !options.path.empty()) line.fail("no client has a URL for TLS over a unix socket");
    if (options.origins.empty()) options.origins = {"*"};
    // Reading pauses while more than the watermark waits to be sent, so that beyond it one read's messages
    // come on top: the largest one, or a buffer full of small ones.
    auto& limits = options.connection.limits;
    limits.queue_bytes = limits.message_bytes + 2 * limits.queue_watermark;
    // What came as text is UTF-8: no need to look again on the way out.
    options.connection.check_outgoing_text = false;
    return options;
}

/// Where a client on this machine finds the server.
std::string url_of(const duplex::server_options& options, unsigned port) {
    if (!options.path.empty()) {
        duplex::uri url;
        url.socket_path = options.path;
        return url.to_string();
    }
    std::string host = options.host;
    if (host.empty() || host == "0.0.0.0") host = "127.0.0.1";
    if (host == "::") host = "::1";
    if (host.find(':') != std::string::npos) host = '[' + host + ']';
    return (options.tls ? "wss://" : "ws://") + host + ':' + std::to_string(port);
}

} // namespace

int main(int argc, char** argv) {
    const auto options = read_options(argc, argv);

    asio::io_context io{1};
    duplex::server server{io, options};
    server.on_message = [](duplex::server::peer& peer, const duplex::message& message) {
        // Nothing is lost in silence: a client whose answer can't be queued is told so.
        if (!accepted(peer.send(message))) peer.close(duplex::close_code::try_again_later);
    };
    server.on_error = [](std::error_code error) { std::fprintf(stderr, "%s\n", error.message().c_str()); };

    std::error_code error;
    server.start(error);
    if (error) {
        std::fprintf(stderr, "can't listen on %s: %s\n", url_of(options, options.port).c_str(),
                     error.message().c_str());
        return 1;
    }
    std::printf("listening on %s\n", url_of(options, server.port()).c_str());
    std::fflush(stdout);

    asio::signal_set signals{io, SIGINT, SIGTERM};
    signals.async_wait([&](std::error_code failed, int) {
        if (failed) return;
        server.stop();
        signals.clear(); // a second signal ends the program at once
    });
    // Runs until the server is stopped and the last connection is closed.
    io.run();
    return 0;
}
