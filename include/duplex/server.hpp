#pragma once

#include <duplex/core/budget.hpp>
#include <duplex/core/detail/intrusive_ptr.hpp>
#include <duplex/detail/server_core.hpp>
#include <duplex/detail/server_counters.hpp>

#include <asio/io_context.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <system_error>
#include <utility>
#include <vector>

namespace duplex {

namespace detail {
class server_shard;
class server_worker;
} // namespace detail
struct listen_options;

/// A WebSocket server on TCP, or on a unix socket, by callbacks:
///
///     duplex::server server{io, {.port = 9002}};
///     server.on_message = [](auto& peer, const duplex::message& m) { peer.send(m); };
///     server.start();
///     io.run();
///
/// Set the callbacks before `start`. They run on the context's thread (with `server_options::threads` above
/// one, on all of the server's threads); run the context itself from one thread. An exception that leaves a
/// callback closes its connection with 1011, of which no more messages are told, and leaves the context's
/// `run`; on a thread of the server's own it ends the program. While a callback runs the context itself,
/// other connections wait for its end.
///
/// Destroy it before its context: on the context's thread, while the context does not run, or in any
/// callback. The server waits for callbacks that are running on threads of its own, then nothing is called
/// any more and its connections are gone. Only where one of those threads destroys it, a callback may still
/// be running on the context's. Handles of its connections may outlive all that: `send` then says `not_open`.
class server {
    detail::intrusive_ptr<detail::server_core> core_;

public:
    /// One connection; see `connection` for its thread rule. The reference ends with `on_close`; other
    /// threads and longer lives use `peer::handle()`.
    using peer = detail::server_core::peer;
    /// Refers to a connection from any thread and for any time; made by `peer::handle()`.
    using handle = peer::handle_type;

    /// Decides about a request before it is answered; nothing returned: accept. Optional.
    std::function<std::optional<rejection>(const server_handshake& request)>& on_request = core_->on_request;
    /// A connection is open. `peer.opening_outcome()` shows the request, in this callback only. To keep the
    /// peer use `peer.handle()`, to take it over use `on_connection`. One that is moved from belongs to
    /// whoever has it: the server reads it still, but calls nothing for it any more and does not stop it.
    std::function<void(peer&)>& on_open = core_->on_open;
    /// A message has come; it is a view that ends with the callback.
    std::function<void(peer&, const message&)>& on_message = core_->on_message;
    /// A connection that was open has ended; called exactly once for each.
    std::function<void(peer&, const close_result&)>& on_close = core_->on_close;
    /// What became of a message that was sent with a `message_options::tag`. Who sets it before `start` need
    /// not ask `next_fate`; fates of messages that were lost come before `on_close`.
    std::function<void(peer&, const told_fate&)>& on_fate = core_->on_fate;
    /// The peer's queue has come down to half of `limits::queue_watermark` after it was above it, or a
    /// message found no room: there is room again. To be set before `start`.
    std::function<void(peer&)>& on_low_water = core_->on_low_water;
    /// Takes an open connection over, for instance into a coroutine of its own; then the callbacks
    /// above are not called for it, and stopping the server leaves it alone. Set before `start` as all are.
    std::function<void(peer connection)>& on_connection = core_->on_connection;
    /// An opening handshake failed, or the system refused to accept. Rejections of the application's own are
    /// told too, as `errc::request_rejected`. The server goes on.
    std::function<void(std::error_code)>& on_error = core_->on_error;

    explicit server(asio::io_context& context, server_options options = {});
    server(const server&) = delete;
    server& operator=(const server&) = delete;
    ~server();

    /// Listens and begins to accept; once. Errors: those of the system's calls, those that the options call
    /// for (`errc::host_not_numeric`, `socket_path_invalid`, `origin_invalid`, `subprotocol_invalid`,
    /// `header_name_invalid`, `header_value_invalid`, `header_reserved`, `fragments_not_taken`),
    /// `errc::already_open`. After an error it may be tried again.
    void start(std::error_code& error);

#if defined(__cpp_exceptions)
    /// The same; throws `std::system_error`.
    void start() {
        std::error_code error;
        start(error);
        if (error) throw std::system_error{error, "duplex::server"};
    }
#endif

    /// The port it listens on; 0 before `start`, and on a unix socket.
    [[nodiscard]] std::uint16_t port() const noexcept { return port_; }

    /// Connections, those being opened included. Any thread; who sees zero sees what the callbacks did.
    [[nodiscard]] std::size_t peer_count() const noexcept {
        return core_->peers.load(std::memory_order_acquire);
    }

    /// What its connections share: that of its options, or its own. Any thread.
    [[nodiscard]] const duplex::budget& budget() const noexcept { return core_->options.connection.budget; }
    /// What it has had to do up to now. Any thread, at once; what has gone through connections that are open
    /// is not in it.
    [[nodiscard]] server_counters counters() const noexcept { return core_->census.now(); }

    /// The same with that: each thread is asked, then `done` called once, on the context's thread; not where
    /// the server or the context was destroyed before. With several threads one that ends meanwhile may be
    /// counted among both. Any thread.
    void counters(std::function<void(const server_counters&)> done);

    /// Stops accepting and closes every connection with `code` (`going_away` where that may not travel); each
    /// ends within `timeouts::close` (where that is 0 there is no bound: a peer that never answers is waited
    /// for), and then the context has nothing of the server's left to run. A second call changes nothing, and
    /// there is no second `start`. Any thread.
    void stop(close_code code = close_code::going_away);

    /// The same within bounds: what is queued for a connection still goes, then its closing handshake is
    /// carried out, for both of which it has `timeouts::close` as ever; after `within` (zero: no bound but
    /// that) those that are left are cut. Where slow peers are to have longer, both want to be longer. `done`
    /// is called once, when the last connection has ended and its `on_close` was called, on the context's
    /// thread; not where the server or the context was destroyed before. 1012 tells clients to come back, and
    /// those that behave spread themselves. Any thread.
    void drain(std::chrono::milliseconds within, std::function<void(const drain_result&)> done = {},
               close_code code = close_code::service_restart);

private:
    /// Whether the port is free.
    [[nodiscard]] std::error_code probe(listen_options where);

    std::error_code add_shard(asio::io_context& context, const listen_options& where);

    /// Ends everything on every thread; on other threads of the server's own it waits for that.
    void abort_shards();

    void give_back_threads();

    asio::io_context& context_;
    std::vector<detail::server_worker*> workers_;
    std::vector<detail::intrusive_ptr<detail::server_shard>> shards_;
    std::uint16_t port_ = 0;
};

} // namespace duplex

#if !defined(DUPLEX_COMPILED)
#include <duplex/impl/server.hpp>
#endif
