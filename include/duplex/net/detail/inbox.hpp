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

#include <cstddef>
#include <cstdint>
#include <memory>
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

/// So many times `limits::queue_bytes` come from other threads before a message is refused that is not to be:
/// what can be dropped for it is only found on the connection's own.
inline constexpr std::size_t inbox_share = 4;

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
