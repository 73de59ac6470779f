#pragma once

// What a server has on each of its threads: a listener, and the connections that came by it.

#include <duplex/detail/server_core.hpp>
#include <duplex/detail/server_drain.hpp>
#include <duplex/detail/server_gate.hpp>
#include <duplex/net/detail/kept_call.hpp>
#include <duplex/net/listener.hpp>

#include <asio/executor_work_guard.hpp>
#include <asio/io_context.hpp>

#include <atomic>
#include <cstdint>
#include <memory>
#include <system_error>
#include <utility>
#include <vector>

namespace duplex {
namespace detail {

class server_shard;

/// One accepted connection, from its request to its end.
class server_peer {
public:
    server_peer(server_shard& shard, tcp_connection<>&& connection);
    server_peer(const server_peer&) = delete;
    server_peer& operator=(const server_peer&) = delete;
    ~server_peer();

    static void serve(std::unique_ptr<server_peer> self);

    void on_message(const message& received) {
        auto& shared = core();
        if (shared.on_message && tells()) shared.on_message(connection_, received);
    }

    void on_fate(const told_fate& told) {
        if (tells()) core().on_fate(connection_, told);
    }
    void on_low_water() {
        if (tells()) core().on_low_water(connection_);
    }

    [[nodiscard]] tcp_connection<>& connection() noexcept { return connection_; }

private:
    friend server_shard;

    static void decide(std::unique_ptr<server_peer> self, std::error_code error);
    static void opened(std::unique_ptr<server_peer> self, std::error_code error);
    static void apologise(std::unique_ptr<server_peer> self);
    static void refused(std::unique_ptr<server_peer> self, std::error_code error);
    static void run(std::unique_ptr<server_peer> self);
    static void ended(std::unique_ptr<server_peer> self, std::error_code error);

    /// What comes behind an operation: one type, whatever it is.
    struct step {
        std::unique_ptr<server_peer> self;
        void (*next)(std::unique_ptr<server_peer>, std::error_code);

        void operator()(std::error_code error) { next(std::move(self), error); }
    };

    [[nodiscard]] server_core& core() const noexcept;
    [[nodiscard]] bool tells() const noexcept {
        return connection_ && !open_threw_ && !core().gone.load(std::memory_order_relaxed);
    }
    void count_refused(const std::error_code& error) const noexcept;

    void stop(close_code code) {
        if (!connection_) return;
        if (connection_.is_open()) opened_ = true;
        // One that is closing already goes on with that.
        if (opened_)
            connection_.close(code);
        else
            connection_.abort();
    }

    intrusive_ptr<server_shard> shard_;
    server_peer* next_ = nullptr;
    server_peer* previous_ = nullptr;
    tcp_connection<> connection_; ///< none where a callback has moved it away
    bool opened_ = false;
    bool has_place_ = true;   ///< counts in `server::peer_count` and `server_options::max_connections`
    bool counted_ = false;    ///< among those that have ended
    bool open_threw_ = false; ///< `on_open` did, and what it should have prepared is missing
};

/// The connections of one context. Everything but the constructor and `open` runs on that context.
class server_shard final : public counted<server_shard> {
public:
    /// Keeps the run of `home`, where the server was made, from ending before all connections here have.
    server_shard(intrusive_ptr<server_core> core, asio::io_context& context, asio::io_context& home)
        : core_{std::move(core)}
        , context_{&context}
        , home_{home.get_executor()}
        , listener_{context.get_executor()}
        , gate_{*this, *core_} {}

    [[nodiscard]] std::error_code open(const listen_options& options) { return listener_.open(options); }
    [[nodiscard]] std::error_code share(const server_shard& first) {
        return listener_.share(first.listener_);
    }
    [[nodiscard]] std::uint16_t port() const { return listener_.local_endpoint().port(); }

    void start() {
        listener_.start(
            [self = intrusive_ptr<server_shard>{this}](listener<>::socket_type&& socket) {
                auto& census = self->core_->census;
                census.count([](server_counters& all) { ++all.accepted; });
                if (const auto& tls = self->core_->options.tls) {
                    std::error_code error;
                    auto layer = tls->secure(error);
                    if (error) {
                        census.count([](server_counters& all) { ++all.refused.failed; });
                        return self->core_->report(error);
                    }
                    socket.layers() = layer_stack{std::move(layer)};
                }
                auto peer = std::make_unique<server_peer>(
                    *self, tcp_connection<>{std::move(socket), self->core_->options.connection});
                peer->connection().count_handshake(self->gate_.use_handshake());
                server_peer::serve(std::move(peer));
            },
            [self = intrusive_ptr<server_shard>{this}](std::error_code error) {
                self->core_->census.count([](server_counters& all) { ++all.accept_errors; });
                self->core_->report(error);
            },
            at_gate{intrusive_ptr<server_shard>{this}});
    }

    /// There may be room again for those that wait.
    void resume() { listener_.resume(); }

    DUPLEX_RARE void stop(close_code code) {
        close();
        // Closing may end a connection at once and take it out of the list.
        for (server_peer* each = first_; each;) {
            server_peer* next = each->next_;
            each->stop(code);
            each = next;
        }
    }

    /// The same from any thread; the first code counts.
    void stop_soon(close_code code) {
        std::uint16_t none = 0;
        stop_code_.compare_exchange_strong(none, to_number(code), std::memory_order_relaxed);
        post_call(context_->get_executor(), intrusive_ptr<server_shard>{this}, [](server_shard& self) {
            self.stop(close_code{self.stop_code_.load(std::memory_order_relaxed)});
        });
    }

    /// The same as `stop`; `waits` is told when the last connection here has ended.
    DUPLEX_RARE void drain(close_code code, intrusive_ptr<server_drain> waits) {
        waits->found(open_peers());
        drains_.push_back(std::move(waits));
        stop(code);
    }

    /// The same from any thread.
    void drain_soon(close_code code, intrusive_ptr<server_drain> waits) {
        asio::post(context_->get_executor(),
                   [self = intrusive_ptr<server_shard>{this}, code, waits = std::move(waits)]() mutable {
                       self->drain(code, std::move(waits));
                   });
    }

    /// Ends at once those that a drain has waited for long enough.
    DUPLEX_RARE void cut() {
        for (const auto& each : drains_)
            each->forces(open_peers());
        abort();
    }

    /// One has ended as `timeouts::close` was over.
    void cut_itself() noexcept {
        for (const auto& each : drains_)
            each->forces(1);
    }

    /// The same as `abort`, and whoever waits for it is told.
    void abort_told() noexcept {
        const auto core = core_;
        abort();
        core->aborting.fetch_sub(1, std::memory_order_release);
        core->aborting.notify_all();
    }

    DUPLEX_RARE void abort() noexcept {
        close();
        for (server_peer* each = first_; each;) {
            server_peer* next = each->next_;
            if (each->connection_) each->connection_.leave();
            each = next;
        }
    }

    /// What has gone through the connections that are open here.
    [[nodiscard]] session_counters open_traffic() const noexcept {
        session_counters all;
        for (const server_peer* each = first_; each; each = each->next_)
            if (each->connection_ && each->opened_ && !each->counted_) all += each->connection_.counters();
        return all;
    }

    [[nodiscard]] asio::io_context& context() noexcept { return *context_; }

private:
    friend server_peer;

    /// What the listener asks.
    struct at_gate {
        intrusive_ptr<server_shard> shard;
        [[nodiscard]] bool enter() noexcept { return shard->gate_.enter(); }
        void leave() noexcept { shard->gate_.leave(); }
    };

    void close() noexcept {
        closed_ = true;
        listener_.close();
        gate_.stop();
        if (!first_) all_ended();
    }

    void all_ended() {
        for (const auto& each : std::exchange(drains_, {}))
            each->shard_ended();
        // Whoever has run the context to its end finds all of that done.
        home_.reset();
    }

    [[nodiscard]] std::size_t open_peers() const noexcept {
        std::size_t count = 0;
        for (const server_peer* each = first_; each; each = each->next_)
            if (each->connection_ && (each->opened_ || each->connection_.is_open())) ++count;
        return count;
    }

    void link(server_peer& added) noexcept {
        added.next_ = first_;
        if (first_) first_->previous_ = &added;
        first_ = &added;
        gate_.use_place();
        core_->peers.fetch_add(1, std::memory_order_relaxed);
    }

    void unlink(server_peer& gone) noexcept {
        (gone.previous_ ? gone.previous_->next_ : first_) = gone.next_;
        if (gone.next_) gone.next_->previous_ = gone.previous_;
        give_place(gone);
        if (closed_ && !first_) all_ended();
    }

    /// It counts no longer.
    void give_place(server_peer& gone) noexcept {
        if (!std::exchange(gone.has_place_, false)) return;
        // Who sees it go has seen all of it: `server::peer_count`.
        core_->peers.fetch_sub(1, std::memory_order_release);
        core_->give_place();
    }

    intrusive_ptr<server_core> core_;
    asio::io_context* context_;
    asio::executor_work_guard<asio::io_context::executor_type> home_;
    listener<> listener_;
    server_gate<server_shard> gate_;
    std::atomic<std::uint16_t> stop_code_{0};
    std::vector<intrusive_ptr<server_drain>> drains_;
    bool closed_ = false;
    server_peer* first_ = nullptr;
};

inline server_peer::server_peer(server_shard& shard, tcp_connection<>&& connection)
    : shard_{&shard}
    , connection_{std::move(connection)} {
    shard.link(*this);
}

inline server_core& server_peer::core() const noexcept { return *shard_->core_; }

DUPLEX_RARE inline void server_peer::count_refused(const std::error_code& error) const noexcept {
    const auto* const outcome = connection_.opening_outcome();
    core().census.count([&](server_counters& all) {
        detail::count_refused(all.refused, error, outcome ? outcome->phase : phase::upgrade);
    });
}

inline server_peer::~server_peer() { shard_->unlink(*this); }

inline void server_peer::serve(std::unique_ptr<server_peer> self) {
    auto& connection = self->connection_;
    auto& core = self->core();
    if (core.on_request) {
        connection.async_read_request(step{std::move(self), &decide});
    } else {
        if (!core.on_open && !core.on_connection) connection.forget_opening();
        connection.async_accept(core.handshake, step{std::move(self), &opened});
    }
}

/// The application looks at the request.
inline void server_peer::decide(std::unique_ptr<server_peer> self, std::error_code error) {
    auto& connection = self->connection_;
    auto& core = self->core();
    // It may have been ended meanwhile.
    if (!error && !connection.request()) error = errc::aborted;
    if (error || core.gone) return opened(std::move(self), error);
    struct on_exit {
        std::unique_ptr<server_peer>& self;
        bool returned = false;
        ~on_exit() {
            if (!returned) apologise(std::move(self));
        }
    } exit{self};
    auto refused = core.on_request(*connection.request());
    exit.returned = true;
    step done{std::move(self), &opened};
    if (refused)
        connection.async_reject(refused->status, std::move(refused->headers), std::move(refused->body),
                                std::move(done));
    else
        connection.async_accept(core.handshake, std::move(done));
}

/// The application could not answer, and its client is told so.
DUPLEX_RARE inline void server_peer::apologise(std::unique_ptr<server_peer> self) {
    auto& connection = self->connection_;
    self->core().census.count([](server_counters& all) { ++all.refused.failed; });
    connection.async_reject(500, {}, {}, step{std::move(self), &refused});
}

/// The client reads its answer and goes. It is no connection any more, but stays here until then, so that the
/// end of the server is its end, too.
DUPLEX_RARE inline void server_peer::refused(std::unique_ptr<server_peer> self, std::error_code) {
    auto& connection = self->connection_;
    self->shard_->give_place(*self);
    connection.async_close(step{std::move(self), [](auto, auto) {}});
}

inline void server_peer::opened(std::unique_ptr<server_peer> self, std::error_code error) {
    auto& core = self->core();
    const intrusive_ptr<server_core> keep{core};
    if (core.gone.load(std::memory_order_relaxed)) return;
    if (error) {
        // An answer that can't be sent: nothing of it has left.
        if (self->connection_.request()) {
            apologise(std::move(self));
        } else {
            self->count_refused(error);
            refused(std::move(self), error);
        }
        return core.report(error);
    }
    core.census.count([&](server_counters& all) {
        ++all.opened;
        if (core.on_connection) ++all.taken_over;
    });
    if (core.on_connection) {
        auto connection = std::move(self->connection_);
        self.reset();
        return core.on_connection(std::move(connection));
    }
    auto& peer = *self;
    peer.opened_ = true;
    // The run is under way before the callback, so that the connection has its end whatever happens there. It
    // delivers nothing before this function is left.
    auto& connection = peer.connection_;
    run(std::move(self));
    if (!core.on_open) return connection.forget_opening();
    struct on_exit {
        server_peer& peer;
        tcp_connection<>::handle_type handle; ///< reaches the connection wherever it was moved to
        bool returned = false;
        ~on_exit() {
            // The request has been seen: an open connection doesn't carry it along.
            if (peer.connection_) peer.connection_.forget_opening();
            if (returned) return;
            peer.open_threw_ = true;
            handle.close(close_code::internal_error);
        }
    } exit{peer, connection.handle()};
    core.on_open(connection);
    exit.returned = true;
}

inline void server_peer::run(std::unique_ptr<server_peer> self) {
    struct handlers {
        server_peer* peer;
        void on_message(const message& received) const { peer->on_message(received); }
        void on_fate(std::uint64_t tag, message_fate fate) const { peer->on_fate({tag, fate}); }
        void on_low_water() const { peer->on_low_water(); }
        [[nodiscard]] bool takes_fates() const { return static_cast<bool>(peer->core().on_fate); }
        [[nodiscard]] bool takes_low_water() const { return static_cast<bool>(peer->core().on_low_water); }
    };
    /// Less than a `step`, for each open connection has one.
    struct at_end {
        std::unique_ptr<server_peer> self;
        void operator()(std::error_code error) { ended(std::move(self), error); }
    };
    auto& connection = self->connection_;
    const handlers calls{self.get()};
    connection.async_run(calls, at_end{std::move(self)});
}

inline void server_peer::ended(std::unique_ptr<server_peer> self, std::error_code) {
    auto& core = self->core();
    const bool here = static_cast<bool>(self->connection_);
    const auto* const known = here ? self->connection_.result() : nullptr;
    const close_result without_memory{.error = errc::out_of_memory};
    const auto& result = known ? *known : without_memory;
    core.census.count([&](server_counters& all) {
        if (here) {
            count_closed(all.closed, result);
            all.ended_traffic += self->connection_.counters();
        } else {
            ++all.taken_over;
        }
    });
    self->counted_ = true;
    if (result.error == errc::close_timeout) self->shard_->cut_itself();
    if (core.on_close && here && !core.gone.load(std::memory_order_relaxed))
        core.on_close(self->connection_, result);
}

} // namespace detail
} // namespace duplex
