#pragma once

#include <duplex/core/detail/intrusive_ptr.hpp>
#include <duplex/net/concepts.hpp>
#include <duplex/net/detail/asio_compat.hpp>
#include <duplex/net/detail/context_member.hpp>
#include <duplex/net/detail/context_service.hpp>
#include <duplex/net/detail/kept_call.hpp>
#include <duplex/net/detail/poll_set.hpp>

#include <asio/basic_socket_acceptor.hpp>
#include <asio/ip/tcp.hpp>

#include <cstdint>
#include <system_error>

namespace duplex::detail {

/// What a listener accepts with.
template <class Executor>
struct accepting_socket {
    explicit accepting_socket(const Executor& with)
        : service{context_service::of(with)}
        , executor{with}
        , acceptor{with} {}

    context_service& service;
    Executor executor;
    asio::basic_socket_acceptor<asio::ip::tcp, Executor> acceptor;
};

/// How a listener learns that somebody wants to connect: by an operation of Asio's. `State::connections_wait`
/// is told, again after each `await_connections`.
template <class State, class Executor, bool Polled>
class accept_readiness : public counted_member<State>, public accepting_socket<Executor> {
public:
    using accepting_socket<Executor>::accepting_socket;

    void await_connections() {
        this->acceptor.async_wait(asio::socket_base::wait_read,
                                  [self = intrusive_ptr<State>{static_cast<State*>(this)}](
                                      std::error_code error) { self->connections_wait(error); });
    }
    /// The same where some may be waiting already.
    void await_more() { await_connections(); }
    void await_after_pause() { await_connections(); }
    void stop_waiting() noexcept {}

protected:
    ~accept_readiness() = default;
};

#if defined(__linux__)
/// Or in the poll set of its context, where those that it accepts wait, too.
template <class State, class Executor>
class accept_readiness<State, Executor, true> : public counted_member<State, poll_member>,
                                                public accepting_socket<Executor> {
public:
    using accepting_socket<Executor>::accepting_socket;

    void await_connections() {
        if (polls_) return;
        auto& polls = asio::use_service<poll_set>(context_of(this->executor));
        wait_error_ = polls.add(this->acceptor.native_handle(), *this);
        if (wait_error_)
            return post_call(this->executor, intrusive_ptr<State>{static_cast<State*>(this)},
                             [](State& self) { self.connections_wait(self.wait_error_); });
        polls_ = &polls;
        polls.hold();
    }
    void await_more() {
        if (this->service.turns().add(*this, this->executor)) this->add_owner();
    }
    void await_after_pause() {
        await_connections();
        if (polls_) await_more();
    }
    /// Before the socket is closed.
    void stop_waiting() noexcept {
        if (!polls_) return;
        polls_->remove(this->acceptor.native_handle(), *this);
        polls_->let_go();
        polls_ = nullptr;
    }

protected:
    ~accept_readiness() = default;

private:
    void on_ready(std::uint32_t) final { tell(); }
    void on_turn() final {
        const intrusive_ptr<State> self{static_cast<State*>(this)};
        this->drop_owner();
        tell();
    }
    void on_turn_dropped() noexcept final { this->drop_owner(); }

    void tell() {
        const intrusive_ptr<State> self{static_cast<State*>(this)};
        self->connections_wait({});
    }

    poll_set* polls_ = nullptr;
    std::error_code wait_error_;
};
#endif

} // namespace duplex::detail
