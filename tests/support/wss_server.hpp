#pragma once

// A server on TLS, and clients that trust it or write their bytes themselves.

#include "support/catch.hpp"
#include "support/loopback.hpp"
#include "support/tls_pair.hpp"

#include <duplex/net/connect.hpp>
#include <duplex/server.hpp>
#include <duplex/tls.hpp>

#include <asio/io_context.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

namespace duplex::testing {

/// An echo server on TLS.
struct wss_server {
    explicit wss_server(asio::io_context& io, const tls_server_options& with = as_localhost(),
                        server_options options = {}) {
        REQUIRE_FALSE(tls.reload(with));
        options.tls = tls.security();
        options.host = "127.0.0.1";
        it.emplace(io, std::move(options));
        it->on_message = [](server::peer& peer, const message& m) { CHECK(accepted(peer.send(m))); };
        it->on_close = [this](server::peer&, const close_result& result) {
            closed = result;
            ++ends;
        };
        it->on_error = [this](std::error_code error) {
            failed = error;
            ++failures;
        };
        it->start();
    }

    [[nodiscard]] std::string url(std::string_view host = "localhost") const {
        return "wss://" + std::string{host} + ":" + std::to_string(it->port()) + "/";
    }

    tls_server_context tls;
    std::optional<server> it;
    std::optional<close_result> closed;
    std::error_code failed;
    int ends = 0;     ///< of connections that were open
    int failures = 0; ///< of those that never were
};

[[nodiscard]] inline connect_options trusted() {
    connect_options options;
    options.tls = trusting();
    return options;
}

/// A client on a socket, whose TLS the test drives.
struct tls_client {
    tls_client(asio::io_context& context, std::uint16_t port)
        : io{context}
        , wire{context, port}
        , end{client_with(trusting())} {
        REQUIRE_FALSE(prepare_tls_client(end.ssl(), "localhost", 1));
    }

    void pump() {
        if (!wire.received().empty()) end.give(wire.take());
        end.step();
        deliver(end.take());
    }
    /// Sends as much as still may be.
    void deliver(std::string_view bytes) {
        const auto passes = bytes.substr(0, left);
        left -= passes.size();
        passed += passes.size();
        if (!passes.empty()) wire.send(passes);
        if (left == 0 && !std::exchange(cut, true)) wire.shutdown_send();
    }
    template <class Done>
    void pump_until(Done done) {
        run_until(io, [&] {
            // What is there already wakes nobody.
            do {
                pump();
                if (done()) return true;
                io.poll();
            } while (!wire.received().empty());
            return done();
        });
    }
    void write(std::string_view plain) {
        REQUIRE(SSL_write(end.ssl(), plain.data(), static_cast<int>(plain.size())) > 0);
        deliver(end.take());
    }
    void open(std::uint16_t port) {
        pump_until([&] { return end.done(); });
        write(request_for(port));
        pump_until([&] { return end.received().find("\r\n\r\n") != std::string::npos; });
        REQUIRE(end.received().starts_with("HTTP/1.1 101"));
    }

    asio::io_context& io;
    raw_peer wire;
    tls_end end;
    std::size_t left = static_cast<std::size_t>(-1); ///< bytes until it is cut off
    std::size_t passed = 0;
    bool cut = false;
};

} // namespace duplex::testing
