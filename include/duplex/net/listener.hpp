#pragma once

#include <duplex/net/detail/context_service.hpp>
#include <duplex/net/detail/intrusive_ptr.hpp>
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
    /// Several listeners share the port, and the kernel spreads connections over them.
    bool reuse_port = false;
    int backlog = asio::socket_base::max_listen_connections;
};

/// Accepts TCP connections: all that are waiting at each wake-up. Runs on its executor; `close` ends it.
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
    /// that is no address.
    [[nodiscard]] std::error_code open(const listen_options& options) { return state_->open(options); }

    [[nodiscard]] asio::ip::tcp::endpoint local_endpoint() const {
        std::error_code ignored;
        return state_->acceptor.local_endpoint(ignored);
    }

    /// Calls `accepted(socket_type&&)` for each connection until `close`, and `failed(std::error_code)` for
    /// errors of the system; when descriptors have run out it tries again a little later. Once, after `open`.
    template <class Accepted, class Failed>
    void start(Accepted accepted, Failed failed) {
        accept_loop<Accepted, Failed>::start(state_, std::move(accepted), std::move(failed));
    }

    void close() noexcept {
        if (state_) state_->close();
    }

private:
    struct state final : detail::counted_member<state> {
        explicit state(const Executor& with)
            : service{detail::context_service::of(with)}
            , executor{with}
            , acceptor{with} {
            service.join(*this);
        }
        ~state() { service.leave(*this); }

        std::error_code open(const listen_options& options);

        /// Accepts one; none where none waits, or with an error.
        [[nodiscard]] std::optional<socket_type> accept(std::error_code& error) {
#if defined(__linux__)
            if constexpr (std::is_same_v<socket_type, tcp_socket>) {
                const int made =
                    ::accept4(acceptor.native_handle(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
                if (made >= 0) return tcp_socket{executor, made};
                error.assign(errno, asio::error::get_system_category());
                return std::nullopt;
            } else
#endif
            {
                socket_type made{executor};
                acceptor.accept(made, error);
                if (error) return std::nullopt;
                return made;
            }
        }

        void close() noexcept {
            // Once closed, it may be destroyed on any thread.
            if (closed) return;
            closed = true;
            std::error_code ignored;
            acceptor.close(ignored);
            service.cancel(*this);
            loop.reset();
        }

        void on_deadline() noexcept override {
            asio::post(executor, [self = detail::intrusive_ptr<state>{this}] {
                if (!self->closed && self->resume) self->resume(*self);
            });
        }
        void on_shutdown() noexcept override {
            closed = true;
            loop.reset();
        }

        detail::context_service& service;
        Executor executor;
        asio::basic_socket_acceptor<asio::ip::tcp, Executor> acceptor;
        void (*resume)(state&) = nullptr; ///< accepts again after a pause
        std::shared_ptr<void> loop;
        bool closed = false;
    };

    template <class Accepted, class Failed>
    struct accept_loop {
        Accepted accepted;
        Failed failed;

        static void start(const detail::intrusive_ptr<state>& with, Accepted&& accepted, Failed&& failed) {
            if (with->closed || with->loop) return;
            with->loop = std::make_shared<accept_loop>(accept_loop{std::move(accepted), std::move(failed)});
            with->resume = [](state& self) { wait(detail::intrusive_ptr<state>{&self}); };
            wait(with);
        }

        static void wait(detail::intrusive_ptr<state> self) {
            auto& acceptor = self->acceptor;
            acceptor.async_wait(asio::socket_base::wait_read,
                                [self = std::move(self)](std::error_code error) {
                                    if (self->closed) return;
                                    const auto keep = self->loop;
                                    if (error)
                                        static_cast<accept_loop*>(keep.get())->failed(error);
                                    else
                                        accept_all(self);
                                });
        }

        static void accept_all(const detail::intrusive_ptr<state>& self) {
            const auto keep = self->loop;
            auto& loop = *static_cast<accept_loop*>(keep.get());
            // What a callback throws doesn't end the listening.
            struct on_exit {
                const detail::intrusive_ptr<state>& self;
                bool waits = true;
                ~on_exit() {
                    if (waits && !self->closed) wait(self);
                }
            } exit{self};
            // Bounded, so that a flood of connections does not starve those that are open.
            for (int count = 0; count < 64 && !self->closed; ++count) {
                std::error_code error;
                if (auto socket = self->accept(error)) {
                    loop.accepted(std::move(*socket));
                    continue;
                }
                if (error == asio::error::would_block || error == asio::error::try_again) break;
                if (error == asio::error::connection_aborted || error == asio::error::interrupted) continue;
                if (self->closed) return;
                // Out of descriptors or memory: waiting for readiness would spin. First the retry, then the
                // application, which may throw.
                exit.waits = false;
                self->service.schedule(*self, self->service.precise_now() + timer_wheel::resolution,
                                       self->executor);
                return loop.failed(error);
            }
        }
    };

    detail::intrusive_ptr<state> state_;
};

template <class Executor>
std::error_code listener<Executor>::state::open(const listen_options& options) {
    using asio::ip::tcp;
    std::error_code error;
    asio::ip::address address = asio::ip::address_v6::any();
    if (!options.host.empty()) address = asio::ip::make_address(options.host, error);
    if (error) return error;
    tcp::endpoint endpoint{address, options.port};
    acceptor.open(endpoint.protocol(), error);
    if (error && options.host.empty()) {
        // A machine without IPv6.
        endpoint = {asio::ip::address_v4::any(), options.port};
        acceptor.open(endpoint.protocol(), error);
    }
    if (error) return error;
    std::error_code ignored;
    if (options.host.empty() && endpoint.address().is_v6())
        acceptor.set_option(asio::ip::v6_only{false}, ignored);
    acceptor.set_option(asio::socket_base::reuse_address{true}, ignored);
    if (options.reuse_port) {
#if defined(SO_REUSEPORT)
        const int on = 1;
        if (::setsockopt(acceptor.native_handle(), SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) != 0)
            error = std::error_code{errno, asio::error::get_system_category()};
#else
        error = asio::error::operation_not_supported;
#endif
    }
    if (!error) acceptor.bind(endpoint, error);
    if (!error) acceptor.listen(options.backlog, error);
    if (!error) acceptor.non_blocking(true, error);
    if (error) acceptor.close(ignored);
    return error;
}

} // namespace duplex
