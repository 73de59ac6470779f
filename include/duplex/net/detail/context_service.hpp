#pragma once

#include <duplex/core/detail/inlining.hpp>
#include <duplex/core/detail/nothrow.hpp>
#include <duplex/net/detail/asio_compat.hpp>
#include <duplex/net/detail/context_member.hpp>
#include <duplex/net/detail/loop_turns.hpp>
#include <duplex/net/timer_wheel.hpp>
#include <duplex/protocol/session_options.hpp>

#include <asio/basic_waitable_timer.hpp>

#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <type_traits>

namespace duplex::detail {

class poll_set;

/// One per execution context: the timer wheel that serves all its connections, and the list of them, so that
/// handlers which are still waiting when the context goes away go with it. Thread-safe; the lock is taken
/// when a connection comes, goes, or moves a deadline forward, never for a message.
class context_service final : public asio::execution_context::service {
public:
    using key_type = context_service;
    inline static asio::execution_context::id id;

    explicit context_service(asio::execution_context& context)
        : asio::execution_context::service{context}
        , wheel_{std::chrono::steady_clock::now()}
        , now_{wheel_.now().time_since_epoch().count()} {}

    template <class Executor>
    [[nodiscard]] static context_service& of(const Executor& executor) {
        return asio::use_service<context_service>(context_of(executor));
    }

    /// The time as of the last tick, which costs two loads; while nothing ticks, as exactly as it is known.
    [[nodiscard]] DUPLEX_ALWAYS_INLINE time_point now() const noexcept {
        if (!ticking_.load(std::memory_order_acquire) && !manual_.load(std::memory_order_relaxed))
            return std::chrono::steady_clock::now();
        return time_point{time_point::duration{now_.load(std::memory_order_relaxed)}};
    }

    /// The time as exactly as it is known: for measuring.
    [[nodiscard]] time_point precise_now() const noexcept {
        return manual_.load(std::memory_order_relaxed) ? now() : std::chrono::steady_clock::now();
    }

    void join(context_member& member) noexcept {
        const std::lock_guard lock{mutex_};
        member.next_member_ = members_;
        if (members_) members_->previous_member_ = &member;
        members_ = &member;
    }

    void leave(context_member& member) noexcept {
        const std::lock_guard lock{mutex_};
        unlink(member);
        wheel_.cancel(member);
        stop_if_idle();
    }

    /// Schedules the member's deadline; `executor` runs the ticks.
    template <class Executor>
    void schedule(context_member& member, time_point due, const Executor& executor) {
        const std::lock_guard lock{mutex_};
        if (shut_down_) return;
        wheel_.schedule(member, due);
        if (wheel_.empty())
            stop_if_idle();
        else
            start(executor);
    }

    /// Before a deadline is looked at that has come: no other is known, unless one was scheduled since.
    void deadline_passed(context_member& member) noexcept {
        const std::lock_guard lock{mutex_};
        wheel_.forget(member);
    }

    void cancel(context_member& member) noexcept {
        const std::lock_guard lock{mutex_};
        wheel_.cancel(member);
        stop_if_idle();
    }

    /// What members put off to the end of the loop's turn, where the context is an `io_context`. On its
    /// thread.
    [[nodiscard]] loop_turns& turns() noexcept { return turns_; }

    /// The set that polled connections of an `io_context` wait in; made by the first of them. On its thread.
    void use(poll_set& polls) noexcept { polls_ = &polls; }
    [[nodiscard]] bool has_polls() const noexcept { return polls_ != nullptr; }
    [[nodiscard]] poll_set& polls() const noexcept { return *polls_; }

    /// Options that all connections share which have the same: most have.
    [[nodiscard]] shared_session_options shared(const session_options& options) {
        const std::lock_guard lock{mutex_};
        if (!options_ || !(**options_ == options)) options_.emplace(options);
        return *options_;
    }

    // --- time by hand, for tests ---

    /// From now on time only moves by `advance`.
    void use_manual_time() {
        const std::lock_guard lock{mutex_};
        manual_ = true;
        timer_.reset();
        ticking_ = false;
    }

    void advance(time_point::duration step) {
        const std::lock_guard lock{mutex_};
        tick(wheel_.now() + step);
    }

private:
    /// What ticks. The timer has the executor of the connection that came first; a type-erased one would
    /// bring its machinery into programs that use none.
    class ticker {
    public:
        virtual ~ticker() = default;
        virtual void wait(context_service& of) = 0;
        virtual void cancel() = 0;
    };
    template <class Executor>
    class ticker_on final : public ticker {
    public:
        explicit ticker_on(const Executor& executor)
            : timer_{executor} {}
        void wait(context_service& of) override {
            timer_.expires_at(of.wheel_.next_tick());
            timer_.async_wait([&of](const std::error_code& error) {
                if (!error) of.on_tick();
            });
        }
        void cancel() override { timer_.cancel(); }

    private:
        asio::basic_waitable_timer<std::chrono::steady_clock, asio::wait_traits<std::chrono::steady_clock>,
                                   Executor>
            timer_;
    };

    DUPLEX_RARE void shutdown() noexcept override {
        std::unique_lock lock{mutex_};
        shut_down_ = true;
        timer_.reset();
        while (members_) {
            context_member& each = *members_;
            const bool kept = each.keep();
            if (kept) {
                unlink(each);
                wheel_.cancel(each);
            }
            lock.unlock();
            if (kept) {
                each.on_shutdown();
                each.let_it_go();
            } else {
                // A handle on another thread was its last owner: it is about to leave.
                std::this_thread::yield();
            }
            lock.lock();
        }
        lock.unlock();
        // Last, since what was dropped may have put something off.
        turns_.drop_all();
    }

    void unlink(context_member& member) noexcept {
        if (members_ != &member && !member.previous_member_) return;
        (member.previous_member_ ? member.previous_member_->next_member_ : members_) = member.next_member_;
        if (member.next_member_) member.next_member_->previous_member_ = member.previous_member_;
        member.next_member_ = member.previous_member_ = nullptr;
    }

    /// Ticks serve all: a strand may be busy with what one connection does.
    template <class Executor>
    [[nodiscard]] static auto beneath(const Executor& executor) {
        if constexpr (requires { executor.get_inner_executor(); })
            return beneath(executor.get_inner_executor());
        else
            return executor;
    }

    template <class Executor>
    DUPLEX_RARE void start(const Executor& executor) {
        if (ticking_ || manual_) return;
        if (!timer_) {
            const auto base = beneath(executor);
            timer_ = std::make_unique<ticker_on<std::remove_const_t<decltype(base)>>>(base);
        }
        tick(std::chrono::steady_clock::now());
        ticking_ = true;
        timer_->wait(*this);
    }

    void on_tick() {
        const std::lock_guard lock{mutex_};
        if (!ticking_ || shut_down_) return;
        tick(std::chrono::steady_clock::now());
        if (!wheel_.empty())
            timer_->wait(*this);
        else
            ticking_ = false;
    }

    void tick(time_point now) {
        now_.store(now.time_since_epoch().count(), std::memory_order_relaxed);
        wheel_.advance(now, [&](timer_wheel::entry& due) {
            auto& member = static_cast<context_member&>(due);
            // What finds no memory comes with the next tick.
            if (!nothrow([&] { member.on_deadline(); }))
                wheel_.schedule(member, now + timer_wheel::resolution);
        });
    }

    /// Without deadlines no timer keeps the context running.
    void stop_if_idle() noexcept {
        if (!wheel_.empty() || !ticking_) return;
        ticking_ = false;
        if (timer_) timer_->cancel();
    }

    mutable std::mutex mutex_;
    loop_turns turns_;
    timer_wheel wheel_;
    std::atomic<time_point::duration::rep> now_;
    std::atomic<bool> manual_{false};
    std::unique_ptr<ticker> timer_;
    context_member* members_ = nullptr;
    poll_set* polls_ = nullptr;
    std::optional<shared_session_options> options_; ///< those that were used last
    std::atomic<bool> ticking_{false};
    bool shut_down_ = false;
};

} // namespace duplex::detail
