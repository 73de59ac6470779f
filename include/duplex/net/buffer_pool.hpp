#pragma once

#include <duplex/core/detail/nothrow.hpp>
#include <duplex/protocol/send_queue.hpp>

#include <array>
#include <cstddef>
#include <memory>
#include <new>
#include <span>
#include <utility>
#include <vector>

namespace duplex {

/// A receive buffer lent by the thread it is taken from. Goes back, to the thread it is dropped on, by
/// itself.
class receive_lease {
public:
    /// Bytes of a buffer. One read fills at most this much.
    static constexpr std::size_t size = std::size_t{64} * 1024;

    receive_lease() noexcept = default;
    receive_lease(receive_lease&& other) noexcept
        : memory_{std::move(other.memory_)} {}
    receive_lease& operator=(receive_lease&& other) noexcept {
        std::swap(memory_, other.memory_);
        return *this;
    }
    ~receive_lease() { give_back(); }

    /// Borrows a buffer; empty when memory ran out.
    [[nodiscard]] static receive_lease take() noexcept;
    void give_back() noexcept;

    [[nodiscard]] explicit operator bool() const noexcept { return memory_ != nullptr; }
    [[nodiscard]] std::span<std::byte> bytes() const noexcept {
        return memory_ ? std::span<std::byte>{memory_.get(), size} : std::span<std::byte>{};
    }

private:
    std::unique_ptr<std::byte[]> memory_;
};

namespace detail {

/// What a thread keeps warm for the connections it serves: an idle connection holds neither of them.
struct thread_buffers {
    /// Set when the thread's warm buffers are gone: objects with static storage are destroyed later.
    inline static thread_local bool gone = false;

    thread_buffers() noexcept = default;
    thread_buffers(const thread_buffers&) = delete;
    thread_buffers& operator=(const thread_buffers&) = delete;
    ~thread_buffers() { gone = true; }

    static constexpr std::size_t kept = 4;
    /// A message to all fills the queues of many connections before the first of them is written.
    static constexpr std::size_t kept_queues = 1024;
    /// Memory of all kept queues together; beyond it each keeps room for a few messages.
    static constexpr std::size_t kept_queue_bytes = std::size_t{1} << 20;
    static constexpr std::size_t small_block = 1024;

    std::array<std::unique_ptr<std::byte[]>, kept> receive;
    std::vector<std::unique_ptr<send_queue>> queues;
    std::size_t receive_count = 0;
    std::size_t queue_bytes = 0;

    [[nodiscard]] static thread_buffers& here() noexcept {
        // Set once a thread: a plain pointer costs less to look at than a guarded object.
        constinit thread_local static thread_buffers* found = nullptr;
        if (found == nullptr) [[unlikely]] {
            thread_local thread_buffers buffers;
            found = &buffers;
        }
        return *found;
    }

    [[nodiscard]] std::unique_ptr<send_queue> take_queue() noexcept {
        if (gone || queues.empty()) return std::unique_ptr<send_queue>{new (std::nothrow) send_queue};
        auto taken = std::move(queues.back());
        queues.pop_back();
        queue_bytes -= taken->memory();
        return taken;
    }

    void keep_queue(std::unique_ptr<send_queue>&& queue) noexcept {
        if (gone || !queue || queues.size() == kept_queues) return;
        if (queue_bytes + queue->memory() > kept_queue_bytes) queue->trim(small_block);
        const std::size_t memory = queue->memory();
        if (nothrow([&] { queues.push_back(std::move(queue)); })) queue_bytes += memory;
    }
};

} // namespace detail

inline receive_lease receive_lease::take() noexcept {
    auto& here = detail::thread_buffers::here();
    receive_lease lease;
    if (!here.gone && here.receive_count != 0)
        lease.memory_ = std::move(here.receive[--here.receive_count]);
    else
        lease.memory_.reset(new (std::nothrow) std::byte[size]);
    return lease;
}

inline void receive_lease::give_back() noexcept {
    if (!memory_) return;
    auto& here = detail::thread_buffers::here();
    if (!here.gone && here.receive_count != detail::thread_buffers::kept)
        here.receive[here.receive_count++] = std::move(memory_);
    else
        memory_.reset();
}

} // namespace duplex
