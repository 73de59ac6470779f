#pragma once

// Readiness of many sockets for the price of one wait: Linux only.

#if defined(__linux__)

#include <duplex/core/detail/nothrow.hpp>
#include <duplex/net/detail/asio_compat.hpp>
#include <duplex/net/detail/context_service.hpp>
#include <duplex/net/detail/loop_turns.hpp>
#include <duplex/net/detail/repeated_wait.hpp>

#include <sys/epoll.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <system_error>
#include <utility>

namespace duplex::detail {

/// Who waits in a poll set.
class poll_member : public turn_member {
public:
    /// Something has changed; `events` are those of epoll. Each kind of readiness is told once, when it
    /// begins: the member reads or writes until the socket has had enough. On the loop's thread; may throw
    /// what a callback throws.
    virtual void on_ready(std::uint32_t events) = 0;

    /// It may be written, or has broken.
    static constexpr std::uint32_t may_write = EPOLLOUT | EPOLLHUP | EPOLLERR;
    /// A read may stop early, at urgent data or before the end, and of what is behind it nothing more is
    /// told.
    static constexpr std::uint32_t read_on = EPOLLPRI | EPOLLRDHUP | EPOLLHUP | EPOLLERR;
    static constexpr std::uint32_t may_read = EPOLLIN | read_on;
    /// Both directions have ended, and in order.
    [[nodiscard]] static constexpr bool all_ended(std::uint32_t events) noexcept {
        return (events & (EPOLLHUP | EPOLLERR)) == EPOLLHUP;
    }

protected:
    ~poll_member() = default;
};

/// An epoll set of our own, whose one descriptor Asio waits for: a turn of the loop costs Asio's machinery
/// once, however many sockets are ready, and a socket has neither an operation nor any memory there.
/// Everything runs on the thread that runs the context.
class poll_set final : public asio::execution_context::service, private wait_owner {
public:
    using key_type = poll_set;
    inline static asio::execution_context::id id;

    explicit poll_set(asio::execution_context& context)
        : asio::execution_context::service{context}
        , context_{static_cast<asio::io_context&>(context)}
        , turns_{asio::use_service<context_service>(context).turns()}
        , set_{context_, *this} {}

    /// Begins to tell when the socket becomes readable.
    [[nodiscard]] std::error_code add(int socket, poll_member& member) {
        if (!set_.is_open()) {
            if (const auto error = open()) return error;
        }
        return control(EPOLL_CTL_ADD, socket, reads, &member);
    }

    /// Tells from now on when it becomes writable, too.
    void watch_writes(int socket, poll_member& member) noexcept {
        (void)control(EPOLL_CTL_MOD, socket, reads | EPOLLOUT, &member);
    }

    /// Before the socket is closed.
    void remove(int socket, poll_member& member) noexcept {
        if (!set_.is_open()) return;
        (void)control(EPOLL_CTL_DEL, socket, 0, nullptr);
        for (std::size_t i = next_; i < count_; ++i)
            if (events_[i].data.ptr == &member) events_[i].data.ptr = nullptr;
    }

    /// As long as somebody holds it, the context has something to run.
    void hold() {
        ++holders_;
        if (!armed_ && !running_ && set_.is_open()) arm();
    }

    void let_go() noexcept {
        if (--holders_ != 0 || !armed_) return;
        set_.cancel();
    }

private:
    /// What is told of each socket, once.
    static constexpr std::uint32_t reads = EPOLLIN | EPOLLPRI | EPOLLRDHUP | std::uint32_t{EPOLLET};
    /// Ready sockets that one system call tells.
    static constexpr std::size_t batch = 128;
    /// Calls between two visits to what else the context has to run.
    static constexpr int turns_in_row = 16;
    /// With fewer sockets ready than this, asking again at once would rarely find more.
    static constexpr std::size_t busy = 4;

    void shutdown() noexcept override {
        set_.close();
        count_ = next_ = 0;
    }

    [[nodiscard]] std::error_code open() {
        const int made = ::epoll_create1(EPOLL_CLOEXEC);
        if (made < 0) return {errno, asio::error::get_system_category()};
        return set_.assign(made);
    }

    std::error_code control(int what, int socket, std::uint32_t events, poll_member* member) noexcept {
        epoll_event wanted{};
        wanted.events = events;
        wanted.data.ptr = member;
        if (::epoll_ctl(set_.native_handle(), what, socket, &wanted) == 0) return {};
        return {errno, asio::error::get_system_category()};
    }

    void arm() {
        armed_ = true;
        set_.start();
    }

    void on_wait_over() override {
        armed_ = false;
        // Also after it was called off: somebody may have come since.
        run();
    }

    void run() {
        /// A callback may throw: those that are still to be told are told next time.
        struct on_exit {
            poll_set& self;
            ~on_exit() {
                self.running_ = false;
                if (self.next_ != self.count_ || self.more_)
                    self.run_again();
                else if (self.holders_ != 0 && !self.armed_ && self.set_.is_open())
                    self.arm_or_run_again();
            }
        };
        if (std::exchange(running_, true)) return;
        const on_exit rearm{*this};
        const loop_turns::scope inside{turns_, context_.get_executor()};
        for (int turn = 0; turn < turns_in_row; ++turn) {
            if (next_ == count_ && !wait()) break;
            while (next_ != count_) {
                // Once in a while: it takes a lock.
                if (next_ % 8 == 7 && context_.stopped()) return;
                const epoll_event& each = events_[next_++];
                // Gone since.
                if (!each.data.ptr) continue;
                static_cast<poll_member*>(each.data.ptr)->on_ready(each.events);
            }
            turns_.pass();
            if ((count_ < busy && turns_.empty()) || context_.stopped()) break;
        }
    }

    /// Where the wait asks for memory and there is none, the set is looked at until there is.
    void arm_or_run_again() noexcept {
        if (nothrow([this] { arm(); })) return;
        armed_ = false;
        run_again();
    }

    void run_again() noexcept {
        post_call(
            context_.get_executor(), *this, [](poll_set& set) { set.run(); }, room_);
    }

    /// Asks which sockets are ready; false: none.
    [[nodiscard]] bool wait() noexcept {
        int found = 0;
        do {
            found = ::epoll_wait(set_.native_handle(), events_.data(), static_cast<int>(batch), 0);
        } while (found < 0 && errno == EINTR);
        next_ = 0;
        count_ = found > 0 ? static_cast<std::size_t>(found) : 0;
        more_ = count_ == batch;
        return count_ != 0;
    }

    asio::io_context& context_;
    loop_turns& turns_;
    repeated_wait set_;
    call_storage room_;
    std::array<epoll_event, batch> events_;
    std::size_t next_ = 0;
    std::size_t count_ = 0;
    std::size_t holders_ = 0;
    bool more_ = false; ///< there may be some of whom nothing is told anew
    bool armed_ = false;
    bool running_ = false;
};

} // namespace duplex::detail

#endif
