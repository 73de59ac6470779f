#pragma once

#include <duplex/net/detail/asio_compat.hpp>
#include <duplex/net/detail/context_member.hpp>
#include <duplex/net/detail/context_service.hpp>
#include <duplex/net/detail/kept_call.hpp>
#include <duplex/net/detail/waiter.hpp>

#include <asio/cancellation_signal.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <optional>
#include <system_error>
#include <type_traits>
#include <utility>

namespace duplex::detail {

/// Cancels one operation when its time is over, by the wheel of the connection's context.
template <class Executor>
class call_deadline final : public counted_member<call_deadline<Executor>> {
public:
    using pointer = intrusive_ptr<call_deadline>;

    call_deadline(context_service& service, const Executor& executor)
        : service_{&service}
        , executor_{executor} {
        service.join(*this);
    }
    ~call_deadline() {
        // The context waits for those who have not left it.
        executor_.reset();
        if (service_) service_->leave(*this);
    }

    /// What the operation is cancelled by.
    [[nodiscard]] asio::cancellation_slot slot() noexcept { return signal_.slot(); }
    void cancel(asio::cancellation_type type) { signal_.emit(type); }

    void begin(std::chrono::milliseconds limit) {
        limit = std::max(limit, std::chrono::milliseconds{0});
        const time_point now = service_->precise_now();
        const time_point due = limit.count() == 0 ? now : deadline_after(now, limit);
        service_->schedule(*this, due, *executor_);
    }
    /// The operation has begun, on whatever thread, and may be cancelled.
    void begun() noexcept { begun_.store(true, std::memory_order_release); }

    /// The operation is over. True where the deadline was before.
    [[nodiscard]] bool end() noexcept {
        over_ = true;
        if (service_) service_->cancel(*this);
        return passed_;
    }

private:
    void on_deadline() override {
        if (this->add_owner_if_any()) post_pass(pointer::adopt(this));
    }
    void on_shutdown() noexcept override { service_ = nullptr; }

    void post_pass(pointer self) {
        post_call(*executor_, std::move(self), [](call_deadline& of) { of.pass(); });
    }
    void pass() {
        if (over_) return;
        // Another thread is still about to begin it.
        if (!begun_.load(std::memory_order_acquire)) return post_pass(pointer{this});
        passed_ = true;
        signal_.emit(asio::cancellation_type::terminal);
    }

    context_service* service_; ///< null when the context has gone away
    std::optional<Executor> executor_;
    asio::cancellation_signal signal_;
    std::atomic<bool> begun_{false};
    // The handler may have an executor of its own.
    std::atomic<bool> over_{false};
    std::atomic<bool> passed_{false};
};

/// The handler of an operation with a deadline.
template <class Handler, class Executor>
class timed_handler {
public:
    using pointer = typename call_deadline<Executor>::pointer;
    using cancellation_slot_type = asio::cancellation_slot;
    using allocator_type = asio::associated_allocator_t<Handler, default_allocator>;

    timed_handler(Handler&& handler, pointer deadline)
        : handler_{std::move(handler)}
        , deadline_{std::move(deadline)} {
        // What would have cancelled the operation by itself still does.
        connect_slot(asio::get_associated_cancellation_slot(handler_),
                     [of = deadline_](asio::cancellation_type type) { of->cancel(type); });
    }

    [[nodiscard]] cancellation_slot_type get_cancellation_slot() const noexcept { return deadline_->slot(); }
    [[nodiscard]] allocator_type get_allocator() const noexcept {
        return asio::get_associated_allocator(handler_, default_allocator{});
    }
    [[nodiscard]] const Handler& inner() const noexcept { return handler_; }

    template <class... Args>
    void operator()(std::error_code error, Args&&... args) {
        disconnect_slot(asio::get_associated_cancellation_slot(handler_));
        const bool passed = std::exchange(deadline_, {})->end();
        if (passed && error == asio::error::operation_aborted) error = errc::call_timeout;
        std::move(handler_)(error, std::forward<Args>(args)...);
    }

private:
    Handler handler_;
    pointer deadline_;
};

/// Begins an operation of a connection, whose state is what it is begun with first, under a deadline.
template <class Initiation>
class timed_initiation {
public:
    template <class From>
    timed_initiation(std::chrono::milliseconds limit, From&& begins)
        : limit_{limit}
        , initiation_{std::forward<From>(begins)} {}

    template <class Handler, class State, class... Args>
    void operator()(Handler&& handler, State state, Args&&... args) {
        using executor = std::decay_t<decltype(state->get_executor())>;
        using deadline = call_deadline<executor>;
        const typename deadline::pointer limited{new deadline{*state->service_, state->get_executor()}};
        timed_handler<std::decay_t<Handler>, executor> timed{std::forward<Handler>(handler), limited};
        limited->begin(limit_);
        initiation_(std::move(timed), std::move(state), std::forward<Args>(args)...);
        limited->begun();
    }

private:
    std::chrono::milliseconds limit_;
    Initiation initiation_;
};

} // namespace duplex::detail

/// An operation with a deadline runs where it would without.
template <class Handler, class Own, class Candidate>
struct asio::associated_executor<duplex::detail::timed_handler<Handler, Own>, Candidate>
    : asio::associated_executor<Handler, Candidate> {
    using type = asio::associated_executor_t<Handler, Candidate>;
    using timed = duplex::detail::timed_handler<Handler, Own>;

    [[nodiscard]] static type get(const timed& of) noexcept {
        return asio::associated_executor<Handler, Candidate>::get(of.inner());
    }
    [[nodiscard]] static type get(const timed& of, const Candidate& candidate) noexcept {
        return asio::associated_executor<Handler, Candidate>::get(of.inner(), candidate);
    }
};
