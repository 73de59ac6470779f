#pragma once

#include <duplex/core/byte_buffer.hpp>
#include <duplex/core/error.hpp>
#include <duplex/core/frame_header.hpp>
#include <duplex/core/mask.hpp>
#include <duplex/core/utf8.hpp>
#include <duplex/deflate/message_codec.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <utility>

namespace duplex {

/// Puts data messages together out of frames (RFC 6455 5.4): order of fragments, limits, UTF-8 as it arrives
/// (8.1), and the bytes themselves where a message does not lie whole in one window. Memory follows what has
/// arrived, never what a header announces.
class message_assembler {
public:
    message_assembler(std::size_t max_bytes, std::size_t max_fragments) noexcept
        : max_bytes_{max_bytes}
        , max_fragments_{max_fragments} {}

    /// Admits the header of a data frame, or names the rule it breaks.
    [[nodiscard]] errc begin_frame(const frame_header& header) noexcept {
        if (header.op == opcode::continuation) {
            // RFC 6455 5.4: a continuation frame continues a message.
            if (!in_message_) return errc::unexpected_continuation;
            if (++fragments_ > max_fragments_) return errc::too_many_fragments;
        } else {
            // RFC 6455 5.4: fragments of one message are not interleaved with another's.
            if (in_message_) return errc::expected_continuation;
            in_message_ = true;
            compressed_ = (header.rsv & rsv_compressed) != 0;
            op_ = header.op;
            size_ = 0;
            fragments_ = 1;
        }
        if (header.length > most_bytes() - size_) return errc::message_too_big;
        size_ += static_cast<std::size_t>(header.length);
        return errc{};
    }

    /// Unmasks a piece of payload where it lies and checks it. A message that is one frame and lies whole in
    /// the window needs nothing more.
    [[nodiscard]] errc check_in_place(std::span<std::byte> piece, const frame_header& header,
                                      std::size_t offset, bool message_ends) noexcept {
        if (op_ == opcode::text) {
            if (header.masked) {
                if (!unmask_and_validate(piece, header.key, offset, utf8_)) return errc::invalid_utf8;
            } else if (!utf8_.feed(piece)) {
                return errc::invalid_utf8;
            }
            // RFC 6455 5.6, 8.1: the message as a whole is UTF-8, fragments may cut a code point.
            if (message_ends && !utf8_.complete()) return errc::invalid_utf8;
        } else if (header.masked) {
            mask(piece, header.key, offset);
        }
        return errc{};
    }

    /// Unmasks a piece of a compressed message where it lies, and appends what it expands to, which is
    /// checked. `affordable`: most bytes that there may be then; passed: `errc::budget_full`.
    [[nodiscard]] errc expand(std::span<std::byte> piece, const frame_header& header, std::size_t offset,
                              bool message_ends, message_codec& codec,
                              std::size_t affordable = static_cast<std::size_t>(-1)) noexcept {
        if (header.masked) mask(piece, header.key, offset);
        const std::size_t before = buffer_.size();
        const std::size_t room = max_bytes_ - expanded_;
        const std::size_t limit = room > static_cast<std::size_t>(-1) - before ? room : before + room;
        if (const errc broken = codec.expand(piece, message_ends, buffer_, std::min(limit, affordable));
            broken != errc{})
            return broken == errc::message_too_big && affordable < limit ? errc::budget_full : broken;
        const auto expanded = buffer_.bytes().subspan(before);
        expanded_ += expanded.size();
        if (op_ == opcode::text && (!utf8_.feed(expanded) || (message_ends && !utf8_.complete())))
            return errc::invalid_utf8;
        return errc{};
    }

    /// Appends a piece of payload to the message, unmasking and checking it. `rest` is how much of the frame
    /// is still to come.
    [[nodiscard]] errc append(std::span<const std::byte> piece, const frame_header& header,
                              std::size_t offset, std::uint64_t rest) noexcept {
        if (!piece.empty()) {
            std::byte* to = room_for(piece.size(), rest, header.fin);
            if (to == nullptr) return errc::out_of_memory;
            if (header.masked)
                mask_copy(to, piece, header.key, offset);
            else
                std::memcpy(to, piece.data(), piece.size());
            buffer_.commit(piece.size());
        }
        if (op_ == opcode::text) {
            if (!utf8_.feed(buffer_.bytes().last(piece.size()))) return errc::invalid_utf8;
            if (rest == 0 && header.fin && !utf8_.complete()) return errc::invalid_utf8;
        }
        return errc{};
    }

    /// Where the next `rest` bytes of the frame may be received directly: as much room as has arrived before,
    /// so memory at most doubles. Empty when memory ran out.
    [[nodiscard]] std::span<std::byte> direct(std::uint64_t rest, bool fin) noexcept {
        std::byte* to = room_for(0, rest, fin);
        if (to == nullptr) return {};
        const auto room = buffer_.capacity() - buffer_.size();
        return {to, static_cast<std::size_t>(std::min<std::uint64_t>(rest, room))};
    }

    /// Takes `size` bytes that were received in `direct()`.
    [[nodiscard]] errc commit_direct(std::size_t size, const frame_header& header, std::size_t offset,
                                     bool message_ends) noexcept {
        std::span<std::byte> piece{buffer_.data() + buffer_.size(), size};
        buffer_.commit(size);
        return check_in_place(piece, header, offset, message_ends);
    }

    /// Ends the message; its op() and bytes() stay until the next one begins.
    void end_message() noexcept {
        in_message_ = false;
        expanded_ = 0;
        utf8_.reset();
    }

    [[nodiscard]] opcode op() const noexcept { return op_; }
    [[nodiscard]] bool in_message() const noexcept { return in_message_; }
    /// Whether the message goes through `expand`.
    [[nodiscard]] bool compressed() const noexcept { return compressed_; }
    [[nodiscard]] bool first_frame() const noexcept { return fragments_ == 1; }
    [[nodiscard]] bool holds_bytes() const noexcept { return !buffer_.empty(); }
    /// Bytes held for the message.
    [[nodiscard]] std::size_t memory() const noexcept { return buffer_.capacity(); }
    [[nodiscard]] std::span<std::byte> bytes() noexcept { return buffer_.bytes(); }

    /// Gives the assembled bytes away.
    [[nodiscard]] byte_buffer take() noexcept { return std::move(buffer_); }

    /// Frees the assembled bytes: between messages a connection holds none.
    void release() noexcept {
        if (buffer_.capacity() != 0) buffer_.release();
    }

private:
    static constexpr std::size_t first_room = 4096;

    /// What of a message may come. One that deflate could not shrink has grown by no more than this, with the
    /// smallest blocks that zlib makes (its deflateBound).
    [[nodiscard]] std::size_t most_bytes() const noexcept {
        const std::size_t grown = max_bytes_ + max_bytes_ / 8 + max_bytes_ / 64 + 64;
        return compressed_ ? std::max(grown, max_bytes_) : max_bytes_;
    }

    [[nodiscard]] std::byte* room_for(std::size_t more, std::uint64_t rest, bool message_ends) noexcept {
        const std::size_t needed = buffer_.size() + more;
        if (buffer_.capacity() < needed || (rest > 0 && buffer_.capacity() == needed)) {
            // Twice what has arrived; where the end of the message is known, not more than it will need.
            std::uint64_t wanted = std::max(first_room, 2 * needed);
            if (message_ends) wanted = std::min<std::uint64_t>(wanted, needed + rest);
            const auto wish = static_cast<std::size_t>(std::min<std::uint64_t>(needed + rest, max_bytes_));
            if (!buffer_.reserve(static_cast<std::size_t>(wanted), wish)) return nullptr;
        }
        return buffer_.prepare(more);
    }

    std::size_t max_bytes_;
    std::size_t max_fragments_;
    std::size_t size_ = 0; ///< of the message, as far as headers have announced it
    std::size_t fragments_ = 0;
    std::size_t expanded_ = 0; ///< bytes of a compressed message so far
    byte_buffer buffer_;
    utf8_validator utf8_;
    opcode op_ = opcode::binary;
    bool in_message_ = false;
    bool compressed_ = false;
};

} // namespace duplex
