#pragma once

// What a budget is made of: amounts of bytes and numbers of places that many threads share.

#include <duplex/core/detail/intrusive_ptr.hpp>
#include <duplex/core/limits.hpp>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <mutex>
#include <utility>

namespace duplex::detail {

/// Bytes in use, up to a limit. Any thread.
class shared_amount {
public:
    explicit shared_amount(std::size_t limit) noexcept
        : limit_{limit} {}

    /// False, and nothing done, where the limit would be passed.
    [[nodiscard]] bool try_add(std::size_t more) noexcept {
        std::size_t used = used_.load(std::memory_order_relaxed);
        do {
            if (used > limit_ || more > limit_ - used) return false;
        } while (!used_.compare_exchange_weak(used, used + more, std::memory_order_relaxed));
        return true;
    }
    /// Also beyond the limit.
    void add(std::size_t more) noexcept { used_.fetch_add(more, std::memory_order_relaxed); }
    void subtract(std::size_t less) noexcept { used_.fetch_sub(less, std::memory_order_relaxed); }

    [[nodiscard]] std::size_t limit() const noexcept { return limit_; }
    [[nodiscard]] std::size_t used() const noexcept { return used_.load(std::memory_order_relaxed); }
    [[nodiscard]] std::size_t left() const noexcept { return limit_ - std::min(limit_, used()); }

private:
    std::size_t limit_;
    std::atomic<std::size_t> used_{0};
};

/// Places, up to a limit. Who finds none may wait to be told that there may be one again. Any thread.
class shared_places {
public:
    /// Waits. It must have left before it is destroyed.
    class waiter {
    protected:
        waiter() noexcept = default;
        waiter(const waiter&) = delete;
        waiter& operator=(const waiter&) = delete;
        ~waiter() = default;

    private:
        friend shared_places;
        /// On any thread, and not to come back from within; false: it could not be told, and waits on.
        [[nodiscard]] virtual bool tell() noexcept = 0;

        waiter* next_ = nullptr;
        bool waits_ = false;
    };

    explicit shared_places(std::size_t limit) noexcept
        : limit_{limit} {}

    /// False where there is none; then `waiting`, if any, is told once some may be there.
    [[nodiscard]] bool take(waiter* waiting = nullptr) noexcept {
        const std::lock_guard lock{mutex_};
        const std::size_t used = used_.load(std::memory_order_relaxed);
        if (used < limit_) {
            used_.store(used + 1, std::memory_order_relaxed);
            return true;
        }
        if (waiting != nullptr && !std::exchange(waiting->waits_, true))
            waiting->next_ = std::exchange(first_, waiting);
        return false;
    }

    /// Gives one back. All that wait are told: one that has no use for it any more must not keep it from the
    /// others.
    void give() noexcept {
        const std::lock_guard lock{mutex_};
        used_.store(used_.load(std::memory_order_relaxed) - 1, std::memory_order_relaxed);
        waiter* each = std::exchange(first_, nullptr);
        while (each != nullptr) {
            waiter* const next = each->next_;
            each->waits_ = !each->tell();
            if (each->waits_) each->next_ = std::exchange(first_, each);
            each = next;
        }
    }

    /// It is not told any more.
    void leave(waiter& gone) noexcept {
        const std::lock_guard lock{mutex_};
        if (!std::exchange(gone.waits_, false)) return;
        waiter** at = &first_;
        while (*at != &gone)
            at = &(*at)->next_;
        *at = gone.next_;
    }

    [[nodiscard]] std::size_t limit() const noexcept { return limit_; }
    [[nodiscard]] std::size_t used() const noexcept { return used_.load(std::memory_order_relaxed); }

private:
    std::mutex mutex_;
    const std::size_t limit_;
    std::atomic<std::size_t> used_{0}; ///< changes under the lock
    waiter* first_ = nullptr;
};

/// What those share that have the same budget.
struct budget_state final : counted<budget_state> {
    explicit budget_state(const budget_limits& with) noexcept
        : limits{with}
        , sending{with.send_bytes}
        , receiving{with.receive_bytes}
        , handshakes{with.handshakes} {}

    const budget_limits limits;
    // Threads that send don't disturb those that receive.
    alignas(64) shared_amount sending;
    alignas(64) shared_amount receiving;
    alignas(64) shared_places handshakes;
};

/// The part of one of its amounts that somebody holds. Goes back by itself.
template <shared_amount budget_state::*Amount>
class budget_charge {
public:
    /// Charges are taken and given back in such steps.
    static constexpr std::size_t granule = 4096;

    budget_charge() noexcept = default;
    budget_charge(budget_charge&& other) noexcept
        : of_{std::move(other.of_)}
        , bytes_{std::exchange(other.bytes_, 0)} {}
    budget_charge& operator=(budget_charge&& other) noexcept {
        budget_charge taken{std::move(other)};
        std::swap(of_, taken.of_);
        std::swap(bytes_, taken.bytes_);
        return *this;
    }
    ~budget_charge() { release(); }

    /// Holds at least `size` bytes of `from` from now on. False, and nothing changed: there are not so many.
    [[nodiscard]] bool raise(const intrusive_ptr<budget_state>& from, std::size_t size) noexcept {
        if (size <= bytes_) return true;
        auto& all = (*from).*Amount;
        std::size_t wanted = rounded(size);
        if (!all.try_add(wanted - bytes_)) {
            wanted = size;
            if (!all.try_add(wanted - bytes_)) return false;
        }
        hold(from, wanted);
        return true;
    }
    /// The same for one that holds nothing, to the byte.
    [[nodiscard]] bool take(const intrusive_ptr<budget_state>& from, std::size_t size) noexcept {
        if (size == 0 || !((*from).*Amount).try_add(size)) return size == 0;
        hold(from, size);
        return true;
    }
    /// Holds what `size` bytes take, be there enough or not.
    void set(const intrusive_ptr<budget_state>& from, std::size_t size) noexcept {
        const std::size_t wanted = rounded(size);
        if (wanted > bytes_) {
            ((*from).*Amount).add(wanted - bytes_);
            hold(from, wanted);
        } else {
            lower(size);
        }
    }
    /// Holds no more than `size` bytes take.
    void lower(std::size_t size) noexcept {
        const std::size_t wanted = rounded(size);
        if (wanted >= bytes_) return;
        ((*of_).*Amount).subtract(bytes_ - wanted);
        bytes_ = wanted;
        if (bytes_ == 0) of_.reset();
    }
    void release() noexcept { lower(0); }

    [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; }
    [[nodiscard]] explicit operator bool() const noexcept { return bytes_ != 0; }

private:
    [[nodiscard]] static constexpr std::size_t rounded(std::size_t size) noexcept {
        return size > static_cast<std::size_t>(-1) - granule ? size
                                                             : (size + granule - 1) / granule * granule;
    }
    void hold(const intrusive_ptr<budget_state>& from, std::size_t bytes) noexcept {
        if (!of_) of_ = from;
        bytes_ = bytes;
    }

    intrusive_ptr<budget_state> of_;
    std::size_t bytes_ = 0;
};

using send_charge = budget_charge<&budget_state::sending>;
using receive_charge = budget_charge<&budget_state::receiving>;

} // namespace duplex::detail
