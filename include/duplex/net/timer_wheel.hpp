#pragma once

#include <duplex/protocol/keepalive.hpp>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>

namespace duplex {

/// Deadlines of many connections in one coarse wheel: setting, moving and dropping one is O(1), a tick costs
/// only what is due. Pure: it is told the time. One thread at a time.
class timer_wheel {
public:
    /// Deadlines are met at most this much late, never early, where `advance` is called at each `next_tick`.
    static constexpr std::chrono::milliseconds resolution{250};

    /// One deadline. It must be cancelled before it is destroyed.
    class entry {
    public:
        entry() noexcept = default;
        entry(const entry&) = delete;
        entry& operator=(const entry&) = delete;

        [[nodiscard]] bool scheduled() const noexcept { return next_ != nullptr; }
        /// The deadline it was scheduled for last, until that is forgotten.
        [[nodiscard]] time_point due() const noexcept { return due_; }

    protected:
        ~entry() = default;

    private:
        friend timer_wheel;
        entry* next_ = nullptr;
        entry* previous_ = nullptr;
        time_point due_ = no_deadline;
    };

    explicit timer_wheel(time_point now = {}) noexcept
        : now_{now}
        , tick_{tick_of(now)} {}
    timer_wheel(const timer_wheel&) = delete;
    timer_wheel& operator=(const timer_wheel&) = delete;

    [[nodiscard]] time_point now() const noexcept { return now_; }
    /// When the next deadlines can be met.
    [[nodiscard]] time_point next_tick() const noexcept { return time_point{(tick_ + 1) * resolution}; }
    [[nodiscard]] bool empty() const noexcept { return count_ == 0; }
    [[nodiscard]] std::size_t size() const noexcept { return count_; }

    /// Sets or moves a deadline. `no_deadline` cancels.
    void schedule(entry& which, time_point due) noexcept {
        cancel(which);
        if (due == no_deadline) return;
        which.due_ = due;
        // The tick in which the deadline has passed, at the earliest the next one.
        std::int64_t tick = tick_of(due) + 1;
        if (tick <= tick_) tick = tick_ + 1;
        link(slots_[static_cast<std::size_t>(tick) % slot_count].head, which);
        ++count_;
    }

    void cancel(entry& which) noexcept {
        if (!which.scheduled()) return;
        which.next_->previous_ = which.previous_;
        which.previous_->next_ = which.next_;
        which.next_ = which.previous_ = nullptr;
        --count_;
    }

    /// Forgets the deadline of one that is not scheduled.
    void forget(entry& which) noexcept {
        if (!which.scheduled()) which.due_ = no_deadline;
    }

    /// Moves the time on and calls `expired(entry&)` for each entry that is due, unscheduled before the call.
    /// It may schedule and cancel.
    template <class Expired>
    void advance(time_point now, Expired expired) {
        if (now < now_) return;
        now_ = now;
        const std::int64_t last = tick_of(now);
        // After a long sleep one turn of the wheel sees every slot.
        std::int64_t from = tick_ + 1;
        if (last - from >= static_cast<std::int64_t>(slot_count))
            from = last - static_cast<std::int64_t>(slot_count) + 1;
        for (std::int64_t tick = from; tick <= last; ++tick) {
            entry& head = slots_[static_cast<std::size_t>(tick) % slot_count].head;
            // What stays is moved aside first, so that an entry rescheduled into this slot isn't met twice.
            slot pending;
            pending.take(head);
            while (pending.head.next_ != &pending.head) {
                entry& each = *pending.head.next_;
                const time_point due = each.due_;
                cancel(each);
                if (due <= now) {
                    tick_ = tick;
                    expired(each);
                } else {
                    link(head, each);
                    ++count_;
                }
            }
        }
        tick_ = last;
    }

private:
    static constexpr std::size_t slot_count = 256;

    struct slot_head : entry {};
    struct slot {
        slot_head head;
        slot() noexcept { head.next_ = head.previous_ = &head; }
        void take(entry& from) noexcept {
            if (from.next_ == &from) return;
            head.next_ = from.next_;
            head.previous_ = from.previous_;
            head.next_->previous_ = &head;
            head.previous_->next_ = &head;
            from.next_ = from.previous_ = &from;
        }
    };

    static void link(entry& head, entry& which) noexcept {
        which.next_ = &head;
        which.previous_ = head.previous_;
        head.previous_->next_ = &which;
        head.previous_ = &which;
    }

    [[nodiscard]] static std::int64_t tick_of(time_point at) noexcept {
        return std::chrono::floor<std::chrono::milliseconds>(at.time_since_epoch()) / resolution;
    }

    std::array<slot, slot_count> slots_;
    time_point now_;
    std::int64_t tick_;
    std::size_t count_ = 0;
};

} // namespace duplex
