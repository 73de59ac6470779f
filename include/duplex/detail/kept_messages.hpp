#pragma once

#include <duplex/core/byte_buffer.hpp>
#include <duplex/core/frame_header.hpp>
#include <duplex/core/limits.hpp>
#include <duplex/core/opcode.hpp>
#include <duplex/core/utf8.hpp>
#include <duplex/protocol/event.hpp>

#include <array>
#include <cstddef>
#include <cstring>
#include <span>
#include <utility>

namespace duplex::detail {

/// Messages that wait for a connection, one behind the other in one block. Counted, and refused, as those in
/// a connection's queue. One thread at a time.
class kept_messages {
public:
    struct kept {
        opcode op;
        compression how;
        std::span<const std::byte> payload;
    };

    kept_messages(const limits& most, bool check_text) noexcept
        : queue_bytes_{most.queue_bytes}
        , watermark_{most.queue_watermark}
        , check_text_{check_text} {}

    /// `ahead`: bytes that a connection has yet to send.
    [[nodiscard]] send_status keep(opcode op, std::span<const std::byte> payload, compression how,
                                   std::size_t ahead) noexcept {
        if (op == opcode::text && check_text_ && !is_valid_utf8(payload)) return send_status::text_not_utf8;
        const std::size_t before = bytes_ + ahead;
        const std::size_t size = on_the_wire(payload.size());
        if (before != 0 && (before >= queue_bytes_ || size > queue_bytes_ - before))
            return send_status::queue_full;
        if (at_ > block_.size() / 2 && !compact()) return send_status::out_of_memory;
        const head described{payload.size(), op, how};
        std::array<std::byte, sizeof(head)> raw{};
        std::memcpy(raw.data(), &described, sizeof(head));
        if (block_.prepare(raw.size() + payload.size()) == nullptr || !block_.append(raw) ||
            !block_.append(payload))
            return send_status::out_of_memory;
        bytes_ += size;
        return before + size > watermark_ ? send_status::above_watermark : send_status::ok;
    }

    [[nodiscard]] bool empty() const noexcept { return at_ == block_.size(); }
    /// As frames on the wire.
    [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; }

    /// The first message, which must be there: a view until the next change.
    [[nodiscard]] kept front() const noexcept {
        const head described = first();
        return {described.op, described.how, block_.bytes().subspan(at_ + sizeof(head), described.size)};
    }

    void pop() noexcept {
        const std::size_t size = first().size;
        at_ += sizeof(head) + size;
        bytes_ -= on_the_wire(size);
        if (empty()) clear();
    }

    void clear() noexcept {
        block_.release();
        at_ = bytes_ = 0;
    }

private:
    struct head {
        std::size_t size;
        opcode op;
        compression how;
    };

    [[nodiscard]] static std::size_t on_the_wire(std::size_t size) noexcept {
        return frame_header_size(size, true) + size;
    }

    [[nodiscard]] head first() const noexcept {
        head described{};
        std::memcpy(&described, block_.data() + at_, sizeof(head));
        return described;
    }

    /// Frees what was popped.
    [[nodiscard]] bool compact() noexcept {
        byte_buffer rest;
        if (!rest.append(std::as_const(block_).bytes().subspan(at_))) return false;
        block_ = std::move(rest);
        at_ = 0;
        return true;
    }

    std::size_t queue_bytes_;
    std::size_t watermark_;
    bool check_text_;
    byte_buffer block_;
    std::size_t at_ = 0; ///< where the first message begins
    std::size_t bytes_ = 0;
};

} // namespace duplex::detail
