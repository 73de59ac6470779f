#pragma once

#include <duplex/detail/server_core.hpp>

#include <asio/io_context.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <system_error>
#include <thread>
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
/// one, on all of the server's threads); run the context itself from one thread. A callback may stop or
/// destroy the server. Once the server is destroyed nothing is called any more and its connections are gone.
class server {
    detail::intrusive_ptr<detail::server_core> core_;

public:
    /// One connection; see `connection` for its thread rule. The reference ends with `on_close`; other
    /// threads and longer lives use `peer::handle()`.
    using peer = detail::server_core::peer;

    /// Decides about a request before it is answered; nothing returned: accept. Optional.
    std::function<std::optional<rejection>(const server_handshake& request)>& on_request = core_->on_request;
    /// A connection is open. `peer.opening_outcome()` shows the request, in this callback only.
    std::function<void(peer&)>& on_open = core_->on_open;
    /// A message has come; it is a view that ends with the callback.
    std::function<void(peer&, const message&)>& on_message = core_->on_message;
    /// A connection that was open has ended; called exactly once for each.
    std::function<void(peer&, const close_result&)>& on_close = core_->on_close;
    /// Takes an open connection over, for instance into a coroutine of its own; then the three callbacks
    /// above are not called for it, and stopping the server leaves it alone.
    std::function<void(peer connection)>& on_connection = core_->on_connection;
    /// An opening handshake failed, or the system refused to accept. The server goes on.
    std::function<void(std::error_code)>& on_error = core_->on_error;

    explicit server(asio::io_context& context, server_options options = {})
        : core_{new detail::server_core{std::move(options)}}
        , context_{context} {}
    server(const server&) = delete;
    server& operator=(const server&) = delete;
    ~server() {
        core_->gone.store(true, std::memory_order_relaxed);
        for (auto& each : shards_)
            if (&each->context() == &context_) each->abort();
        stop_workers();
    }

    /// Listens and begins to accept. Errors are those of the system's calls.
    void start(std::error_code& error) {
        error = {};
        const auto& options = core_->options;
        listen_options where;
        where.host = options.host;
        where.port = options.port;
        where.reuse_port = options.threads > 1;
        error = add_shard(context_, where);
        if (error) return;
        where.port = port_ = shards_.front()->port();
        for (unsigned i = 1; i < options.threads && !error; ++i) {
            workers_.push_back(std::make_unique<worker>());
            error = add_shard(workers_.back()->context, where);
        }
        if (error) {
            for (auto& each : shards_)
                each->abort();
            shards_.clear();
            workers_.clear();
            return;
        }
        for (auto& each : shards_)
            each->start();
        for (auto& each : workers_)
            each->thread = std::thread{[&context = each->context] { context.run(); }};
    }

#if defined(__cpp_exceptions)
    /// The same; throws `std::system_error`.
    void start() {
        std::error_code error;
        start(error);
        if (error) throw std::system_error{error, "duplex::server"};
    }
#endif

    /// The port it listens on.
    [[nodiscard]] std::uint16_t port() const noexcept { return port_; }

    /// Connections, those being opened included. Any thread.
    [[nodiscard]] std::size_t peer_count() const noexcept {
        return core_->peers.load(std::memory_order_relaxed);
    }

    /// Stops accepting and closes every connection with `code`; each ends within `timeouts::close`, and then
    /// the context has nothing of the server's left to run. Any thread.
    void stop(close_code code = close_code::going_away) {
        for (auto& each : shards_)
            asio::post(each->context(), [each, code] { each->stop(code); });
    }

private:
    struct worker {
        asio::io_context context{1};
        std::thread thread;
    };

    std::error_code add_shard(asio::io_context& context, const listen_options& where) {
        shards_.emplace_back(new detail::server_shard{core_, context});
        return shards_.back()->open(where);
    }

    void stop_workers() {
        for (auto& each : shards_)
            if (&each->context() != &context_) asio::post(each->context(), [each] { each->abort(); });
        for (auto& each : workers_) {
            if (!each->thread.joinable()) continue;
            if (each->thread.get_id() == std::this_thread::get_id()) {
                // Destroyed by a callback on one of its own threads: that thread ends by itself and keeps its
                // context.
                std::thread own = std::move(each->thread);
                own.detach();
                (void)each.release();
            } else {
                each->thread.join();
            }
        }
    }

    asio::io_context& context_;
    std::vector<std::unique_ptr<worker>> workers_; // its contexts outlive the shards
    std::vector<detail::intrusive_ptr<detail::server_shard>> shards_;
    std::uint16_t port_ = 0;
};

} // namespace duplex
