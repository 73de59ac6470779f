#pragma once

#include <duplex/core/detail/budget_state.hpp>
#include <duplex/core/detail/intrusive_ptr.hpp>
#include <duplex/detail/server_census.hpp>
#include <duplex/handshake/server_handshake.hpp>
#include <duplex/net/connection.hpp>
#include <duplex/net/connection_options.hpp>
#include <duplex/net/security.hpp>
#include <duplex/net/socket_options.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <vector>

namespace duplex {

/// How a server answers a request it does not accept.
struct rejection {
    unsigned status = 403; ///< 200-599
    fields headers{};
    std::string body{};
};

/// How a server listens and what its connections may cost.
struct server_options {
    /// A numeric address; empty: every address, IPv6 and IPv4.
    std::string host{};
    /// 0: any free port, see `server::port`.
    std::uint16_t port = 0;
    /// Listens on a unix socket instead, and lets those connect that `permissions` let: see
    /// `listen_options::path`. Its file goes when the server is stopped or destroyed.
    std::string path{};
    std::optional<unsigned> permissions{};
    /// Threads that serve connections. The first is whoever runs the context; the server starts the others,
    /// each with a context of its own, and callbacks then run on all of them.
    unsigned threads = 1;
    /// Those it speaks, in its own order of preference.
    std::vector<std::string> subprotocols{};
    /// Origins that may connect, each as `https://example.com` or `http://localhost:8080` without anything
    /// after it, or `null`, or "*" for all; empty: only the server's own (RFC 6455 10.2). Clients that send
    /// no Origin are no browsers and may always connect.
    std::vector<std::string> origins{};
    /// Speaks TLS, as a wss:// URL says; none: it doesn't. See duplex/tls.hpp.
    std::shared_ptr<const server_security> tls{};
    /// The server's own pages come by https although a proxy in front speaks TLS. For `origins` where it is
    /// empty.
    bool secure = false;
    /// Compresses messages for clients that offer permessage-deflate (RFC 7692); none: it doesn't. See
    /// duplex/deflate.hpp.
    std::optional<deflate_options> deflate{};
    /// Added to each 101.
    fields headers{};
    socket_options socket{};
    /// Without a `connection_options::budget` of its own a server has one with the defaults of
    /// `budget_limits`. Several servers may have the same.
    connection_options connection{};
    /// Most connections at once, those being opened included, as `server::peer_count` counts them. When there
    /// are so many none is accepted until one has ended: those that come wait in the system's backlog. Zero:
    /// any number.
    std::size_t max_connections = 100'000;
};

/// How `server::drain` went.
struct drain_result {
    std::size_t connections = 0; ///< that were open when it began
    /// Of those, were cut: at the deadline, or before as `timeouts::close` was over.
    std::size_t forced = 0;
};

namespace detail {

/// What all threads of a server share. Callbacks live here, so that the server may be destroyed by one of
/// them.
struct server_core final : counted<server_core> {
    using peer = tcp_connection<>;

    explicit server_core(server_options&& with);
    ~server_core();

    server_options options; ///< but for what the handshake is given
    std::shared_ptr<const server_handshake_options> handshake;
    std::function<std::optional<rejection>(const server_handshake&)> on_request;
    std::function<void(peer&)> on_open;
    std::function<void(peer&, const message&)> on_message;
    std::function<void(peer&, const told_fate&)> on_fate;
    std::function<void(peer&)> on_low_water;
    std::function<void(peer&, const close_result&)> on_close;
    std::function<void(peer)> on_connection;
    std::function<void(std::error_code)> on_error;
    std::atomic<std::size_t> peers{0};
    shared_places places; ///< for `server_options::max_connections`
    server_census census;
    std::atomic<bool> gone{false}; ///< the server object is destroyed: no more callbacks

    std::atomic<unsigned> aborting{0}; ///< threads whose connections a destructor waits for

    /// What is wrong with the options.
    [[nodiscard]] std::error_code check() const;

    [[nodiscard]] bool take_place(shared_places::waiter* waiting) noexcept {
        return options.max_connections == 0 || places.take(waiting);
    }
    void give_place() noexcept {
        if (options.max_connections != 0) places.give();
    }

    void report(std::error_code error) {
        if (on_error && !gone.load(std::memory_order_relaxed)) on_error(error);
    }
};

} // namespace detail
} // namespace duplex
