#pragma once

#include <duplex/core/detail/inlining.hpp>
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

namespace detail {

/// Empty send queues beyond the one that is at hand.
struct queue_store {
    std::vector<send_queue_ptr> queues;
    std::size_t bytes = 0; ///< of memory in them
};

/// What is looked at for every message: plain data costs less to reach than what has a destructor.
struct warm_slots {
    std::array<std::byte*, 4> receive{};
    unsigned receive_count = 0;
    unsigned receive_limit = 0; ///< none before the thread has an owner for it all, and after
    send_queue* queue = nullptr;
    queue_store* further = nullptr;
    bool gone = false; ///< the thread is ending: objects with static storage may still come
};

/// What a thread keeps warm for the connections it serves: an idle connection holds neither of them.
class thread_buffers {
public:
    /// Bytes of a receive buffer.
    static constexpr std::size_t receive_size = std::size_t{64} * 1024;
    /// A message to all fills the queues of many connections before the first of them is written.
    static constexpr std::size_t kept_queues = 1024;
    /// Memory of the queue at hand at most, and of all others together; beyond it each keeps room for a few
    /// messages.
    static constexpr std::size_t kept_queue_bytes = std::size_t{1} << 20;
    static constexpr std::size_t small_block = 1024;

    /// Null when memory ran out.
    [[nodiscard]] static std::byte* take_receive() noexcept {
        auto& here = warm_;
        if (here.receive_count != 0) [[likely]]
            return here.receive[--here.receive_count];
        return new (std::nothrow) std::byte[receive_size];
    }

    DUPLEX_ALWAYS_INLINE static void keep_receive(std::byte* buffer) noexcept {
        auto& here = warm_;
        if (here.receive_count < here.receive_limit) [[likely]]
            here.receive[here.receive_count++] = buffer;
        else
            keep_further_receive(buffer);
    }

    /// Null when memory ran out.
    [[nodiscard]] static send_queue_ptr take_queue() noexcept {
        auto& here = warm_;
        if (here.queue != nullptr) [[likely]]
            return send_queue_ptr{std::exchange(here.queue, nullptr)};
        return take_further_queue();
    }

    /// Takes over an empty queue.
    DUPLEX_ALWAYS_INLINE static void keep_queue(send_queue* queue) noexcept {
        auto& here = warm_;
        if (here.receive_limit != 0 && here.queue == nullptr && queue->memory() <= kept_queue_bytes)
            [[likely]]
            here.queue = queue;
        else
            keep_further_queue(send_queue_ptr{queue});
    }

    /// Queues kept on this thread.
    [[nodiscard]] static std::size_t queues() noexcept {
        return (warm_.queue != nullptr ? 1 : 0) +
               (warm_.further != nullptr ? warm_.further->queues.size() : 0);
    }

    /// Frees the queues.
    static void drop_queues() noexcept {
        delete std::exchange(warm_.queue, nullptr);
        if (warm_.further != nullptr) {
            warm_.further->queues.clear();
            warm_.further->bytes = 0;
        }
    }

private:
    /// Owns what is warm, and frees it when the thread ends.
    struct owner : queue_store {
        ~owner() {
            auto& here = warm_;
            while (here.receive_count != 0)
                delete[] here.receive[--here.receive_count];
            delete std::exchange(here.queue, nullptr);
            here = {};
            here.gone = true;
        }
    };

    /// True where this thread keeps something from now on.
    [[nodiscard]] static bool open() noexcept {
        auto& here = warm_;
        if (here.gone || here.further != nullptr) return false;
        thread_local owner all;
        here.further = &all;
        here.receive_limit = static_cast<unsigned>(here.receive.size());
        return true;
    }

    DUPLEX_NEVER_INLINE static void keep_further_receive(std::byte* buffer) noexcept {
        if (!open()) return delete[] buffer;
        warm_.receive[warm_.receive_count++] = buffer;
    }

    [[nodiscard]] DUPLEX_NEVER_INLINE static send_queue_ptr take_further_queue() noexcept {
        auto* const all = warm_.further;
        if (all == nullptr || all->queues.empty()) return send_queue_ptr{new (std::nothrow) send_queue};
        auto taken = std::move(all->queues.back());
        all->queues.pop_back();
        all->bytes -= taken->memory();
        return taken;
    }

    DUPLEX_NEVER_INLINE static void keep_further_queue(send_queue_ptr queue) noexcept {
        queue->trim(kept_queue_bytes);
        if (open() || (warm_.receive_limit != 0 && warm_.queue == nullptr)) {
            warm_.queue = queue.release();
            return;
        }
        auto* const all = warm_.further;
        if (all == nullptr || all->queues.size() + 1 >= kept_queues) return queue.reset();
        if (all->bytes + queue->memory() > kept_queue_bytes) queue->trim(small_block);
        const std::size_t memory = queue->memory();
        if (nothrow([&] { all->queues.push_back(std::move(queue)); })) all->bytes += memory;
    }

    inline static thread_local constinit warm_slots warm_{};
};

} // namespace detail

/// A receive buffer lent by the thread it is taken from. Goes back, to the thread it is dropped on, by
/// itself.
class receive_lease {
public:
    /// Bytes of a buffer. One read fills at most this much.
    static constexpr std::size_t size = detail::thread_buffers::receive_size;

    receive_lease() noexcept = default;
    receive_lease(receive_lease&& other) noexcept
        : memory_{std::exchange(other.memory_, nullptr)} {}
    receive_lease& operator=(receive_lease&& other) noexcept {
        std::swap(memory_, other.memory_);
        return *this;
    }
    ~receive_lease() { give_back(); }

    /// Borrows a buffer; empty when memory ran out.
    [[nodiscard]] static receive_lease take() noexcept {
        return receive_lease{detail::thread_buffers::take_receive()};
    }
    /// The same where it holds none.
    void refill() noexcept {
        if (memory_ == nullptr) memory_ = detail::thread_buffers::take_receive();
    }
    DUPLEX_ALWAYS_INLINE void give_back() noexcept {
        if (memory_ != nullptr) detail::thread_buffers::keep_receive(std::exchange(memory_, nullptr));
    }

    [[nodiscard]] explicit operator bool() const noexcept { return memory_ != nullptr; }
    [[nodiscard]] std::span<std::byte> bytes() const noexcept {
        return {memory_, memory_ != nullptr ? size : 0};
    }

private:
    explicit receive_lease(std::byte* memory) noexcept
        : memory_{memory} {}

    std::byte* memory_ = nullptr;
};

} // namespace duplex
