#pragma once

#include <duplex/core/byte_buffer.hpp>
#include <duplex/core/opcode.hpp>
#include <duplex/protocol/event.hpp>

#include <cstddef>
#include <cstdlib>
#include <new>
#include <span>
#include <string_view>
#include <utility>

namespace duplex {

/// A received text or binary message. What a callback gets is a view that ends with the callback; a copy of
/// it, and what `async_read` returns, owns its bytes.
class message {
public:
    message() noexcept = default;

    /// A message that owns a copy of `payload`. Throws `std::bad_alloc` when memory ran out.
    [[nodiscard]] static message copy_of(opcode op, std::span<const std::byte> payload) {
        const message view{op, payload};
        return message{view};
    }

    /// A view: `payload` must outlive it.
    message(opcode op, std::span<const std::byte> payload, text_is text = text_is::unchecked) noexcept
        : payload_{payload}
        , op_{op}
        , text_{text} {}

    /// Owns `payload`.
    message(opcode op, byte_buffer&& payload, text_is text = text_is::unchecked) noexcept
        : own_{std::move(payload)}
        , payload_{own_.bytes()}
        , op_{op}
        , text_{text} {}

    /// The same for a message that was received: its text is known to be UTF-8, and need not be checked where
    /// it is sent again.
    [[nodiscard]] static message received(opcode op, std::span<const std::byte> payload) noexcept {
        return message{op, payload, known(op)};
    }
    [[nodiscard]] static message received(opcode op, byte_buffer&& payload) noexcept {
        return message{op, std::move(payload), known(op)};
    }

    message(message&& other) noexcept
        : own_{std::move(other.own_)}
        , payload_{std::exchange(other.payload_, {})}
        , op_{other.op_}
        , text_{other.text_} {}
    message& operator=(message&& other) noexcept {
        own_ = std::move(other.own_);
        payload_ = std::exchange(other.payload_, {});
        op_ = other.op_;
        text_ = other.text_;
        return *this;
    }
    /// Copies the bytes. Throws `std::bad_alloc` when memory ran out.
    message(const message& other)
        : op_{other.op_}
        , text_{other.text_} {
        if (!own_.append(other.payload_)) out_of_memory();
        payload_ = own_.bytes();
    }
    message& operator=(const message& other) { return *this = message{other}; }
    ~message() = default;

    [[nodiscard]] bool is_text() const noexcept { return op_ == opcode::text; }
    [[nodiscard]] bool is_binary() const noexcept { return op_ == opcode::binary; }
    [[nodiscard]] opcode op() const noexcept { return op_; }
    /// Whether it is known to be UTF-8, as what was received is.
    [[nodiscard]] text_is checked() const noexcept { return text_; }
    [[nodiscard]] std::size_t size() const noexcept { return payload_.size(); }
    [[nodiscard]] bool empty() const noexcept { return payload_.empty(); }

    /// The payload; of a text message it is valid UTF-8 (RFC 6455 8.1).
    [[nodiscard]] std::string_view text() const noexcept {
        return {reinterpret_cast<const char*>(payload_.data()), payload_.size()};
    }
    [[nodiscard]] std::span<const std::byte> bytes() const noexcept { return payload_; }

    /// Gives the owned bytes away; a view gives a copy. The message is empty then.
    [[nodiscard]] byte_buffer take() {
        if (own_.empty() && !payload_.empty() && !own_.append(payload_)) out_of_memory();
        payload_ = {};
        return std::move(own_);
    }

private:
    [[nodiscard]] static text_is known(opcode op) noexcept {
        return op == opcode::text ? text_is::utf8 : text_is::unchecked;
    }

    [[noreturn]] static void out_of_memory() {
#if defined(__cpp_exceptions)
        throw std::bad_alloc{};
#else
        std::abort();
#endif
    }

    byte_buffer own_;
    std::span<const std::byte> payload_;
    opcode op_ = opcode::binary;
    text_is text_ = text_is::unchecked;
};

} // namespace duplex
