#pragma once

#include <duplex/core/detail/budget_state.hpp>
#include <duplex/core/detail/intrusive_ptr.hpp>
#include <duplex/core/limits.hpp>

#include <algorithm>
#include <cstddef>
#include <utility>

namespace duplex {

/// What of a budget is in use.
struct budget_use {
    std::size_t send_bytes = 0;
    std::size_t receive_bytes = 0;
    std::size_t handshakes = 0;

    bool operator==(const budget_use&) const = default;
};

/// What all connections together may cost that are given the same one, on whatever threads and by whatever
/// servers. Copies are the same budget, which lives as long as any of them and any connection that has it.
/// Any thread.
///
/// What is written at once costs nothing: only what is left when the transport takes no more counts, and what
/// a connection sends beyond `turn_bytes()` in one turn of its loop. Of one that has anything counted each
/// further byte counts, in steps of `granule`; so the bytes queued pass the limit by no more than
/// `turn_bytes()` a connection. Of messages that are received in pieces the memory counts that holds them,
/// from the second `granule` on.
class budget {
public:
    static constexpr std::size_t granule = detail::send_charge::granule;

    /// None: nothing counts.
    constexpr budget() noexcept = default;
    /// Throws `std::bad_alloc` when memory ran out.
    explicit budget(const budget_limits& limits)
        : state_{new detail::budget_state{limits}} {}

    [[nodiscard]] constexpr explicit operator bool() const noexcept { return bool{state_}; }
    /// Whether both are the same one.
    [[nodiscard]] constexpr bool operator==(const budget& other) const noexcept {
        return state_.get() == other.state_.get();
    }

    /// Of none: nothing at all.
    [[nodiscard]] budget_limits limits() const noexcept {
        return state_ ? state_->limits : budget_limits{0, 0, 0};
    }
    /// Each value as it was at some moment of the call. For a moment, or where nothing else could be done
    /// with bytes that were there already, it may be more than the limit.
    [[nodiscard]] budget_use use() const noexcept {
        if (!state_) return {};
        return {state_->sending.used(), state_->receiving.used(), state_->handshakes.used()};
    }
    /// Bytes that a connection may queue in one turn of its loop before they count: 64 KiB, but no more than
    /// a sixteenth of `budget_limits::send_bytes`.
    [[nodiscard]] constexpr std::size_t turn_bytes() const noexcept {
        return state_ ? std::min(std::size_t{64} << 10U, state_->limits.send_bytes / 16)
                      : static_cast<std::size_t>(-1);
    }

    /// The place of one opening handshake, given back with it.
    class handshake {
    public:
        handshake() noexcept = default;
        handshake(handshake&&) noexcept = default;
        handshake& operator=(handshake&& other) noexcept {
            handshake taken{std::move(other)};
            of_.swap(taken.of_);
            return *this;
        }
        ~handshake() { end(); }

        [[nodiscard]] explicit operator bool() const noexcept { return bool{of_}; }
        void end() noexcept {
            if (!of_) return;
            of_->handshakes.give();
            of_.reset();
        }

    private:
        friend budget;
        explicit handshake(const detail::intrusive_ptr<detail::budget_state>& of) noexcept
            : of_{of} {}

        detail::intrusive_ptr<detail::budget_state> of_;
    };

    /// Takes the place of one handshake; empty where all are taken, or there is no budget. For those who
    /// accept connections themselves: see `connection::count_handshake`.
    [[nodiscard]] handshake begin_handshake() const noexcept { return begin_handshake(nullptr); }
    /// The same; where it is empty `waiting` is told once there may be one. It must leave with
    /// `stop_waiting` before it is destroyed.
    [[nodiscard]] handshake begin_handshake(detail::shared_places::waiter* waiting) const noexcept {
        return state_ && state_->handshakes.take(waiting) ? handshake{state_} : handshake{};
    }
    void stop_waiting(detail::shared_places::waiter& gone) const noexcept {
        if (state_) state_->handshakes.leave(gone);
    }

    /// What sessions charge.
    [[nodiscard]] const detail::intrusive_ptr<detail::budget_state>& shared() const noexcept {
        return state_;
    }

private:
    detail::intrusive_ptr<detail::budget_state> state_;
};

} // namespace duplex
