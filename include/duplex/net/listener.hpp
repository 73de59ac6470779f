#pragma once

#include <duplex/core/detail/inlining.hpp>
#include <duplex/core/detail/intrusive_ptr.hpp>
#include <duplex/net/detail/accept_readiness.hpp>
#include <duplex/net/detail/context_service.hpp>
#include <duplex/net/detail/kept_call.hpp>
#include <duplex/net/detail/unix_socket.hpp>
#include <duplex/net/socket_options.hpp>
#include <duplex/net/tcp_socket.hpp>

#include <asio/basic_socket_acceptor.hpp>
#include <asio/basic_stream_socket.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/ip/v6_only.hpp>
#include <asio/socket_base.hpp>

#if defined(__unix__) || defined(__APPLE__)
#include <sys/socket.h>
#endif

#include <cerrno>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <type_traits>
#include <utility>

namespace duplex {

/// Where and how a server listens.
struct listen_options {
    /// A numeric address; empty: every address, IPv6 and IPv4.
    std::string host{};
    /// 0: any free port, see `listener::local_endpoint`.
    std::uint16_t port = 0;
    /// A unix socket's path, which then counts instead of host and port; `@` and a name on Linux: one beside
    /// the file system. A socket file that is there and that nobody answers on is what a server left behind
    /// which was killed, and is removed first: by two that start at the same moment perhaps the other's, so
    /// have but one start. The file goes with `close`.
    std::string path{};
    /// Who may connect to `path`, as chmod takes it: 0600 is the own user. None: what umask leaves.
    std::optional<unsigned> permissions{};
    /// Several listeners share the port, and the kernel spreads connections over them.
    bool reuse_port = false;
    int backlog = asio::socket_base::max_listen_connections;
    /// Of the sockets that are accepted.
    socket_options socket{};
};

/// Asks nobody before a connection is accepted.
struct open_gate {
    /// Whether one may be. False: none is, until `listener::resume`; those that come wait in the backlog.
    [[nodiscard]] bool enter() noexcept { return true; }
    /// None came, although `enter` has said that it may.
    void leave() noexcept {}
};

/// Accepts TCP connections, or those to a unix socket: all that are waiting at each wake-up. Runs on its
/// executor; `close` ends it.
template <class Executor = asio::io_context::executor_type>
class listener {
public:
    using executor_type = Executor;
    /// What is accepted: the socket that `connection` is fastest with.
    using socket_type = detail::tcp_socket_for<Executor>;

    explicit listener(const Executor& executor)
        : state_{new state{executor}} {}
    listener(listener&&) noexcept = default;
    listener& operator=(listener&& other) noexcept {
        if (this != &other) {
            close();
            state_ = std::move(other.state_);
        }
        return *this;
    }
    ~listener() { close(); }

    /// Binds and listens. Errors are those of the socket calls; `asio::error::invalid_argument` for a host
    /// that is no address, `errc::socket_path_invalid`. `asio::error::address_in_use` for a path with
    /// somebody behind it, or with anything but a socket.
    [[nodiscard]] std::error_code open(const listen_options& options) { return state_->open(options); }

    /// Listens on the unix socket of another listener that is open, which goes on: with both at work, on
    /// two threads say, either takes what comes. Whose `open` it was removes the file.
    [[nodiscard]] std::error_code share(const listener& other) { return state_->share(*other.state_); }

    /// None for a unix socket.
    [[nodiscard]] asio::ip::tcp::endpoint local_endpoint() const { return state_->local_endpoint(); }

    /// Calls `accepted(socket_type&&)` for each connection until `close`, and `failed(std::error_code)` for
    /// errors of the system; when descriptors have run out it tries again a little later. Once, after `open`.
    /// `gate`, shaped as `open_gate`, is asked before each.
    template <class Accepted, class Failed, class Gate = open_gate>
    void start(Accepted accepted, Failed failed, Gate gate = {}) {
        accept_loop<Accepted, Failed, Gate>::start(*state_, std::move(accepted), std::move(failed),
                                                   std::move(gate));
    }

    /// Asks the gate again, where it has stopped the listener.
    void resume() { state_->resume(); }

    void close() noexcept {
        if (state_) state_->close();
    }

private:
    struct state;
    using readiness = detail::accept_readiness<state, Executor, detail::waits_in_set<socket_type>>;

    struct state final : readiness {
        explicit state(const Executor& with)
            : readiness{with} {
            this->service.join(*this);
        }
        ~state() { this->service.leave(*this); }

        std::error_code open(const listen_options& options);
        std::error_code open_path(const listen_options& options);
        std::error_code share(state& other);

        [[nodiscard]] asio::ip::tcp::endpoint local_endpoint() const {
            // Asio throws where an address has no room in its own.
            if (is_unix) return {};
            std::error_code ignored;
            return this->acceptor.local_endpoint(ignored);
        }

        /// Accepts one; none where none waits, or with an error.
        [[nodiscard]] std::optional<socket_type> accept(std::error_code& error) {
#if defined(__linux__)
            if constexpr (std::is_same_v<socket_type, tcp_socket>) {
                const int made =
                    ::accept4(this->acceptor.native_handle(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
                if (made >= 0) return prepared(tcp_socket{this->executor, made});
                error.assign(errno, asio::error::get_system_category());
                return std::nullopt;
            } else
#endif
            {
                socket_type made{this->executor};
                this->acceptor.accept(made, error);
                if (error) return std::nullopt;
                return prepared(std::move(made));
            }
        }
        [[nodiscard]] socket_type prepared(socket_type made) const {
            made.keep_delay(keeps_delay);
            // Those of TCP have what their listener has.
            if (is_unix) (void)detail::set_options(socket, made);
            return made;
        }

        /// Those that wait are accepted, as the loop does it.
        void connections_wait(std::error_code error) {
            if (closed || paused || held) return;
            const auto keep = loop;
            accept_all(*this, error);
        }

        /// Out of descriptors or memory: waiting for readiness would spin, or can't begin.
        DUPLEX_RARE void pause() {
            paused = true;
            this->service.schedule(*this, this->service.precise_now() + timer_wheel::resolution,
                                   this->executor);
        }

        void resume() {
            // After a pause it goes on by itself.
            if (std::exchange(held, false) && !closed && !paused) this->await_after_pause();
        }

        void close() noexcept {
            // Once closed, it may be destroyed on any thread.
            if (closed) return;
            closed = true;
            this->stop_waiting();
            remove_file();
            std::error_code ignored;
            this->acceptor.close(ignored);
            this->service.cancel(*this);
            loop.reset();
        }

        void on_deadline() noexcept override {
            detail::post_call(this->executor, detail::intrusive_ptr<state>{this}, [](state& self) {
                if (!std::exchange(self.paused, false) || self.closed) return;
                self.await_after_pause();
            });
        }
        void on_shutdown() noexcept override {
            closed = true;
            this->stop_waiting();
            loop.reset();
        }

        void (*accept_all)(state&, std::error_code) = nullptr;
        std::shared_ptr<void> loop; ///< what `accept_all` calls
        bool paused = false;
        bool held = false; ///< by the gate
        bool closed = false;
        bool is_unix = false;
        bool keeps_delay = false;
        socket_options socket;
#if defined(__unix__) || defined(__APPLE__)
        detail::socket_file file;
        void remove_file() noexcept { file.remove(); }
#else
        void remove_file() noexcept {}
#endif
    };

    template <class Accepted, class Failed, class Gate>
    struct accept_loop {
        Accepted accepted;
        Failed failed;
        Gate gate;

        static void start(state& with, Accepted&& accepted, Failed&& failed, Gate&& gate) {
            if (with.closed || with.loop) return;
            with.loop = std::make_shared<accept_loop>(
                accept_loop{std::move(accepted), std::move(failed), std::move(gate)});
            with.accept_all = &accept_all;
            with.await_connections();
        }

        static void accept_all(state& self, std::error_code error) {
            auto& loop = *static_cast<accept_loop*>(self.loop.get());
            if (error) {
                // There is nothing to wait for where it was never opened.
                if (self.acceptor.is_open()) self.pause();
                return loop.failed(error);
            }
            // What a callback throws doesn't end the listening.
            struct on_exit {
                state& self;
                Gate& gate;
                bool drained = false;
                ~on_exit() {
                    gate.leave();
                    if (self.closed || self.paused || self.held) return;
                    if (drained)
                        self.await_connections();
                    else
                        self.await_more();
                }
            } exit{self, loop.gate};
            // Bounded, so that a flood of connections does not starve those that are open.
            for (int count = 0; count < 64 && !self.closed; ++count) {
                self.held = !loop.gate.enter();
                if (self.held) return;
                if (auto socket = self.accept(error)) {
                    loop.accepted(std::move(*socket));
                    continue;
                }
                exit.drained = error == asio::error::would_block || error == asio::error::try_again;
                if (exit.drained) return;
                if (error == asio::error::connection_aborted || error == asio::error::interrupted) continue;
                if (self.closed) return;
                // First the retry, then the application, which may throw.
                self.pause();
                return loop.failed(error);
            }
        }
    };

    detail::intrusive_ptr<state> state_;
};

template <class Executor>
DUPLEX_RARE std::error_code listener<Executor>::state::open(const listen_options& options) {
    using asio::ip::tcp;
    if (!options.path.empty()) return open_path(options);
    auto& listening = this->acceptor;
    std::error_code error;
    asio::ip::address address = asio::ip::address_v6::any();
    if (!options.host.empty()) address = asio::ip::make_address(options.host, error);
    if (error) return error;
    tcp::endpoint endpoint{address, options.port};
    listening.open(endpoint.protocol(), error);
    if (error && options.host.empty()) {
        // A machine without IPv6.
        endpoint = {asio::ip::address_v4::any(), options.port};
        listening.open(endpoint.protocol(), error);
    }
    if (error) return error;
    std::error_code ignored;
    if (options.host.empty() && endpoint.address().is_v6())
        listening.set_option(asio::ip::v6_only{false}, ignored);
    listening.set_option(asio::socket_base::reuse_address{true}, ignored);
    if (options.reuse_port) {
#if defined(SO_REUSEPORT)
        const int on = 1;
        if (::setsockopt(listening.native_handle(), SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) != 0)
            error = std::error_code{errno, asio::error::get_system_category()};
#else
        error = asio::error::operation_not_supported;
#endif
    }
    keeps_delay = !options.socket.no_delay;
#if defined(__linux__)
    // There those that are accepted inherit it: a system call less for each.
    if (!keeps_delay) {
        listening.set_option(tcp::no_delay{true}, ignored);
        keeps_delay = !ignored;
    }
#endif
    // Before it listens, so that a receive buffer counts in the handshake of TCP (RFC 7323 2.3).
    if (!error) error = detail::set_options(options.socket, listening);
    if (!error) listening.bind(endpoint, error);
    if (!error) listening.listen(options.backlog, error);
    if (!error) listening.non_blocking(true, error);
    if (error) listening.close(ignored);
    return error;
}

template <class Executor>
DUPLEX_RARE std::error_code
listener<Executor>::state::open_path([[maybe_unused]] const listen_options& options) {
#if defined(__unix__) || defined(__APPLE__)
    if (this->acceptor.is_open()) return asio::error::already_open;
    std::error_code error;
    auto made = detail::listen_unix(options.path, options.permissions, options.backlog, file, error);
    if (!error) detail::hand_over(std::move(made), this->acceptor, error);
    if (error) file.remove();
    is_unix = keeps_delay = !error;
    socket = options.socket;
    return error;
#else
    return asio::error::operation_not_supported;
#endif
}

template <class Executor>
DUPLEX_RARE std::error_code listener<Executor>::state::share([[maybe_unused]] state& other) {
#if defined(__unix__) || defined(__APPLE__)
    if (!other.is_unix) return asio::error::operation_not_supported;
    std::error_code error;
    auto made = detail::unix_socket::copy_of(other.acceptor.native_handle(), error);
    if (!error) detail::hand_over(std::move(made), this->acceptor, error);
    is_unix = keeps_delay = !error;
    socket = other.socket;
    return error;
#else
    return asio::error::operation_not_supported;
#endif
}

} // namespace duplex
