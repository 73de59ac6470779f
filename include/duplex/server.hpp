#pragma once

#include <duplex/core/detail/inlining.hpp>
#include <duplex/detail/server_core.hpp>
#include <duplex/detail/server_threads.hpp>
#include <duplex/net/detail/kept_call.hpp>

#include <asio/io_context.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <system_error>
#include <utility>
#include <vector>

namespace duplex {

/// A WebSocket server on TCP, by callbacks:
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
    /// Takes an open connection over, for instance into a coroutine of its own; then the three callbacks
    /// above are not called for it, and stopping the server leaves it alone. Set before `start` as all are.
    std::function<void(peer connection)>& on_connection = core_->on_connection;
    /// An opening handshake failed, or the system refused to accept. Rejections of the application's own are
    /// told too, as `errc::request_rejected`. The server goes on.
    std::function<void(std::error_code)>& on_error = core_->on_error;

    explicit server(asio::io_context& context, server_options options = {})
        : core_{new detail::server_core{std::move(options)}}
        , context_{context} {}
    server(const server&) = delete;
    server& operator=(const server&) = delete;
    DUPLEX_RARE ~server() {
        core_->gone.store(true, std::memory_order_relaxed);
        abort_shards();
        give_back_threads();
    }

    /// Listens and begins to accept; once. Errors: those of the system's calls, those that the options call
    /// for (`errc::host_not_numeric`, `origin_invalid`, `subprotocol_invalid`, `header_name_invalid`,
    /// `header_value_invalid`, `header_reserved`, `fragments_not_taken`), `errc::already_open`. After an
    /// error it may be tried again.
    DUPLEX_RARE void start(std::error_code& error) {
        error = shards_.empty() ? core_->check() : make_error_code(errc::already_open);
        if (error) return;
        const auto& options = core_->options;
        listen_options where;
        where.host = options.host;
        where.port = options.port;
        where.reuse_port = options.threads > 1;
        // Listeners that share a port share it with those of any other program of the same user as well: a
        // port that is taken shows only to one that doesn't share.
        if (where.reuse_port && where.port != 0) error = probe(where);
        if (!error) error = add_shard(context_, where);
        for (unsigned i = 1; i < options.threads && !error; ++i) {
            where.port = shards_.front()->port();
            auto* worker = asio::use_service<detail::server_threads>(context_).take();
            if (!worker) {
                error = std::make_error_code(std::errc::resource_unavailable_try_again);
                break;
            }
            workers_.push_back(worker);
            error = add_shard(worker->context(), where);
        }
        if (error) {
            shards_.clear();
            return give_back_threads();
        }
        port_ = shards_.front()->port();
        for (auto& each : shards_) {
            if (&each->context() == &context_)
                each->start();
            else
                detail::post_call(each->context().get_executor(), each, [](auto& shard) { shard.start(); });
        }
    }

#if defined(__cpp_exceptions)
    /// The same; throws `std::system_error`.
    void start() {
        std::error_code error;
        start(error);
        if (error) throw std::system_error{error, "duplex::server"};
    }
#endif

    /// The port it listens on; 0 before `start`.
    [[nodiscard]] std::uint16_t port() const noexcept { return port_; }

    /// Connections, those being opened included. Any thread.
    [[nodiscard]] std::size_t peer_count() const noexcept {
        return core_->peers.load(std::memory_order_relaxed);
    }

    /// Stops accepting and closes every connection with `code` (`going_away` where that may not travel); each
    /// ends within `timeouts::close` (where that is 0 there is no bound: a peer that never answers is waited
    /// for), and then the context has nothing of the server's left to run. A second call changes nothing, and
    /// there is no second `start`. Any thread.
    void stop(close_code code = close_code::going_away) {
        if (check_close(code, {})) code = close_code::going_away;
        for (auto& each : shards_)
            each->stop_soon(code);
    }

private:
    /// Whether the port is free.
    [[nodiscard]] std::error_code probe(listen_options where) {
        where.reuse_port = false;
        return listener<>{context_.get_executor()}.open(where);
    }

    DUPLEX_RARE std::error_code add_shard(asio::io_context& context, const listen_options& where) {
        shards_.emplace_back(new detail::server_shard{core_, context, context_});
        return shards_.back()->open(where);
    }

    /// Ends everything on every thread; on other threads of the server's own it waits for that.
    DUPLEX_RARE void abort_shards() {
        bool on_worker = false;
        for (auto* each : workers_)
            on_worker = on_worker || runs_on(each->context());
        for (auto& each : shards_) {
            const bool elsewhere = &each->context() == &context_ ? on_worker : !runs_on(each->context());
            if (!elsewhere) {
                each->abort();
            } else if (&each->context() == &context_) {
                // Perhaps nobody runs it at the moment.
                detail::post_call(context_.get_executor(), each, [](auto& shard) { shard.abort(); });
            } else {
                core_->aborting.fetch_add(1, std::memory_order_relaxed);
                detail::post_call(each->context().get_executor(), each,
                                  [](auto& shard) { shard.abort_told(); });
            }
        }
        while (const auto left = core_->aborting.load(std::memory_order_acquire))
            core_->aborting.wait(left, std::memory_order_acquire);
    }

    DUPLEX_RARE void give_back_threads() {
        for (auto* each : workers_)
            asio::use_service<detail::server_threads>(context_).give_back(*each);
        workers_.clear();
    }

    [[nodiscard]] static bool runs_on(asio::io_context& context) noexcept {
        return context.get_executor().running_in_this_thread();
    }

    asio::io_context& context_;
    std::vector<detail::server_threads::worker*> workers_;
    std::vector<detail::intrusive_ptr<detail::server_shard>> shards_;
    std::uint16_t port_ = 0;
};

} // namespace duplex
