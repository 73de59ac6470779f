#pragma once

#include <duplex/core/budget.hpp>
#include <duplex/core/byte_buffer.hpp>
#include <duplex/core/close_code.hpp>
#include <duplex/core/opcode.hpp>
#include <duplex/net/detail/waiter.hpp>
#include <duplex/protocol/closing.hpp>
#include <duplex/protocol/event.hpp>
#include <duplex/protocol/keepalive.hpp>
#include <duplex/protocol/message_options.hpp>
#include <duplex/protocol/prepared_message.hpp>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <system_error>
#include <utility>

namespace duplex::detail {

/// What another thread wants of a connection.
struct inbox_item {
    enum class kind : std::uint8_t { message, prepared, ping, close };

    inbox_item* next = nullptr;
    kind what = kind::message;
    opcode op = opcode::binary;
    text_is text = text_is::unchecked;
    bool admitted = false; ///< there was room for it when it was sent
    message_options options;
    close_code code = close_code::normal;
    close_how how = close_how::after_queued;
    byte_buffer payload;
    prepared_message prepared;
    std::size_t size = 0;                           ///< of the payload, where it counts as queued
    listed_waiter<std::error_code>* sent = nullptr; ///< is told the message's fate
    time_point expires = no_deadline;               ///< while it waits for room
    send_charge charge;                             ///< for the payload, while it is on its way
};

/// Null when memory ran out.
[[nodiscard]] inline std::unique_ptr<inbox_item> new_inbox_item() noexcept {
    return std::unique_ptr<inbox_item>{new (std::nothrow) inbox_item};
}

/// So many times `limits::queue_bytes` and `limits::queue_messages` come from other threads before a message
/// is refused that is not to be: what can be dropped for it is only found on the connection's own.
inline constexpr std::size_t inbox_share = 4;

/// What lies in an inbox: how many items, and the bytes of those that count as queued. In one word, which an
/// idle connection has to spare: up to a TiB in 16 million items.
class inbox_load {
public:
    struct amount {
        std::uint64_t word = 0;
        [[nodiscard]] std::size_t bytes() const noexcept {
            return static_cast<std::size_t>(word & most_bytes);
        }
        [[nodiscard]] std::size_t items() const noexcept { return static_cast<std::size_t>(word >> bits); }
        void add(const inbox_item& item) noexcept { word += weight(item.size); }
    };
    static constexpr std::size_t most_items = (std::size_t{1} << 24U) - 1;
    /// Of `most_items`, for what closes a connection when there is room for nothing else.
    static constexpr std::size_t spare = 1024;

    /// How many items may lie there of a connection for so many messages. What is sent within one turn of its
    /// loop has no other limit than that of the queue it is for, as long as that is not many.
    static constexpr std::size_t room_for(std::size_t messages) noexcept {
        constexpr std::size_t few = 64;
        constexpr std::size_t many = std::size_t{1} << 20U;
        const std::size_t share = std::min(messages, many / inbox_share) * inbox_share;
        return std::min(std::max({share, messages, few}), most_items / 2);
    }

    /// What lay there before.
    amount add(std::size_t bytes) noexcept {
        return {word_.fetch_add(weight(bytes), std::memory_order_relaxed)};
    }
    void remove(std::size_t bytes) noexcept { remove(amount{weight(bytes)}); }
    void remove(amount some) noexcept { word_.fetch_sub(some.word, std::memory_order_relaxed); }
    [[nodiscard]] amount now() const noexcept { return {word_.load(std::memory_order_relaxed)}; }

private:
    static constexpr unsigned bits = 40;
    static constexpr std::uint64_t most_bytes = (std::uint64_t{1} << bits) - 1;
    static constexpr std::uint64_t weight(std::size_t bytes) noexcept {
        return (std::uint64_t{1} << bits) + std::min<std::uint64_t>(bytes, most_bytes);
    }

    std::atomic<std::uint64_t> word_{0};
};

/// Items on their way from the inbox. Those still in it when it goes are dropped.
class inbox_chain {
public:
    inbox_chain() noexcept = default;
    explicit inbox_chain(inbox_item* first) noexcept
        : first_{first} {}
    inbox_chain(const inbox_chain&) = delete;
    inbox_chain& operator=(const inbox_chain&) = delete;
    ~inbox_chain() {
        while (const auto item = pop())
            if (item->sent) item->sent->abandon();
    }

    void push(inbox_item* added) noexcept {
        added->next = first_;
        first_ = added;
    }
    [[nodiscard]] std::unique_ptr<inbox_item> pop() noexcept {
        std::unique_ptr<inbox_item> popped{first_};
        if (popped) first_ = popped->next;
        return popped;
    }

private:
    inbox_item* first_ = nullptr;
};

/// Messages that wait for room, the oldest first. Those still in it when it goes are dropped.
class room_queue {
public:
    room_queue() noexcept = default;
    room_queue(const room_queue&) = delete;
    room_queue& operator=(const room_queue&) = delete;
    ~room_queue() {
        while (const auto item = pop_front())
            item->sent->abandon();
    }

    void swap(room_queue& other) noexcept {
        std::swap(first_, other.first_);
        std::swap(last_, other.last_);
    }

    [[nodiscard]] bool empty() const noexcept { return first_ == nullptr; }
    [[nodiscard]] inbox_item* front() const noexcept { return first_; }
    void push_back(std::unique_ptr<inbox_item> added) noexcept {
        added->next = nullptr;
        inbox_item* const last = added.release();
        (last_ ? last_->next : first_) = last;
        last_ = last;
    }
    [[nodiscard]] std::unique_ptr<inbox_item> pop_front() noexcept {
        std::unique_ptr<inbox_item> popped{first_};
        if (popped) first_ = popped->next;
        if (first_ == nullptr) last_ = nullptr;
        return popped;
    }
    /// The one whose sender waits as `gone`; null where it is not here.
    [[nodiscard]] std::unique_ptr<inbox_item> remove(const listed_waiter<std::error_code>& gone) noexcept {
        inbox_item* before = nullptr;
        for (inbox_item* each = first_; each; before = each, each = each->next) {
            if (each->sent != &gone) continue;
            (before ? before->next : first_) = each->next;
            if (last_ == each) last_ = before;
            return std::unique_ptr<inbox_item>{each};
        }
        return nullptr;
    }

private:
    inbox_item* first_ = nullptr;
    inbox_item* last_ = nullptr;
};

} // namespace duplex::detail
