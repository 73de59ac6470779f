#pragma once

#include <duplex/core/detail/inlining.hpp>
#include <duplex/core/endian.hpp>
#include <duplex/core/frame_header.hpp>
#include <duplex/core/role.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace duplex {

/// Finds frames in received bytes (RFC 6455 5.2): first the header, then the payload in as many pieces as the
/// windows cut it into. It checks what a header alone can break, and never copies payload.
class frame_decoder {
public:
    /// `allowed_rsv`: reserved bits that a negotiated extension uses.
    explicit frame_decoder(role self, std::uint8_t allowed_rsv = 0) noexcept
        : self_{self}
        , allowed_rsv_{allowed_rsv} {}

    /// Lends the bytes of one read; all earlier ones must have been consumed.
    void lend(std::span<std::byte> window) noexcept {
        at_ = window.data();
        end_ = window.data() + window.size();
    }

    /// Bytes of the window not yet looked at.
    [[nodiscard]] std::size_t unread() const noexcept { return static_cast<std::size_t>(end_ - at_); }

    [[nodiscard]] std::span<std::byte> unread_bytes() const noexcept { return {at_, unread()}; }

    enum class step : std::uint8_t { need_more, header, failed };

    /// Reads the next frame's header. Once it returns `header`, the payload is taken until `remaining()` is
    /// 0.
    [[nodiscard]] step next_header() noexcept {
        if (held_ == 0) [[likely]] {
            const auto parsed = parse_frame_header(at_, unread(), self_, allowed_rsv_, header_);
            if (parsed.size != 0) [[likely]] {
                at_ += parsed.size;
                remaining_ = header_.length;
                return step::header;
            }
            if (parsed.error != errc{}) return fail(parsed.error);
            hold(unread());
            return step::need_more;
        }
        return next_held_header();
    }

    /// True where a header was cut by the end of a window.
    [[nodiscard]] bool holds_header() const noexcept { return held_ != 0; }

    /// A whole message in one frame of less than 64 KiB: what most traffic is made of.
    struct whole_message {
        opcode op;
        std::span<std::byte> payload; ///< still masked
        mask_key key;                 ///< all zero where it is not masked
    };

    /// Takes such a message of at most `limit` bytes off the front of `window`, where a frame begins there
    /// and all of it has come; false, and nothing taken, where anything else comes next, right or wrong.
    [[nodiscard]] DUPLEX_ALWAYS_INLINE static bool
    take_whole(role self, std::span<std::byte>& window, whole_message& found, std::size_t limit) noexcept {
        return self == role::server ? take_whole<role::server>(window, found, limit)
                                    : take_whole<role::client>(window, found, limit);
    }

    [[nodiscard]] const frame_header& header() const noexcept { return header_; }

    /// Payload bytes of the current frame still to come.
    [[nodiscard]] std::uint64_t remaining() const noexcept { return remaining_; }

    /// How many payload bytes of the current frame came before the next piece: the masking offset.
    [[nodiscard]] std::size_t offset() const noexcept {
        return static_cast<std::size_t>(header_.length - remaining_);
    }

    /// The part of the current frame's payload that is in the window, still masked.
    [[nodiscard]] std::span<std::byte> take_payload() noexcept {
        const auto size = static_cast<std::size_t>(std::min<std::uint64_t>(remaining_, unread()));
        std::span<std::byte> piece{at_, size};
        at_ += size;
        remaining_ -= size;
        return piece;
    }

    /// Counts payload bytes that were received elsewhere than in a window.
    void skip_payload(std::size_t size) noexcept { remaining_ -= size; }

    [[nodiscard]] errc error() const noexcept { return error_; }

private:
    template <role Self>
    [[nodiscard]] DUPLEX_ALWAYS_INLINE static bool
    take_whole(std::span<std::byte>& window, whole_message& found, std::size_t limit) noexcept {
        constexpr std::size_t head = frame_header_size(0, Self == role::server);
        if (window.size() < head) return false;
        const std::byte* const at = window.data();
        // FIN, no reserved bit, text or binary; masked as it has to be.
        if (std::to_integer<unsigned>(at[0]) - 0x81U > 1U) return false;
        const std::size_t length = std::to_integer<unsigned>(at[1]) ^ (Self == role::server ? 0x80U : 0U);
        if (length <= max_short_length) [[likely]]
            return length <= limit && take_message<Self, head>(window, found, length);
        return length == max_short_length + 1 && take_longer<Self>(window, found, limit);
    }

    /// The length is in the two bytes that follow, and had to be. In line like the rest: what is found stays
    /// in registers then.
    template <role Self>
    [[nodiscard]] DUPLEX_ALWAYS_INLINE static bool
    take_longer(std::span<std::byte>& window, whole_message& found, std::size_t limit) noexcept {
        constexpr std::size_t head = frame_header_size(max_short_length + 1, Self == role::server);
        if (window.size() < head) return false;
        const std::size_t length = load_big<std::uint16_t>(window.data() + 2);
        return length > max_short_length && length <= limit &&
               take_message<Self, head>(window, found, length);
    }

    /// Where the window holds all of the message behind its header.
    template <role Self, std::size_t Head>
    [[nodiscard]] DUPLEX_ALWAYS_INLINE static bool
    take_message(std::span<std::byte>& window, whole_message& found, std::size_t length) noexcept {
        const std::size_t rest = window.size() - Head;
        if (length > rest) return false;
        std::byte* const at = window.data();
        found.op = static_cast<opcode>(std::to_integer<unsigned>(at[0]) & 0x0FU);
        found.payload = {at + Head, length};
        if constexpr (Self == role::server)
            std::memcpy(found.key.data(), at + Head - found.key.size(), found.key.size());
        else
            found.key = {};
        window = {at + Head + length, rest - length};
        return true;
    }

    step fail(errc error) noexcept {
        error_ = error;
        return step::failed;
    }

    void hold(std::size_t size) noexcept {
        if (size == 0) return;
        std::memcpy(stash_.data() + held_, at_, size);
        held_ = static_cast<std::uint8_t>(held_ + size);
        at_ += size;
    }

    /// A header that was cut by the end of a window is completed in the stash.
    [[nodiscard]] step next_held_header() noexcept {
        const std::size_t before = held_;
        const std::size_t more = std::min(unread(), stash_.size() - before);
        if (more == 0) return step::need_more;
        std::memcpy(stash_.data() + before, at_, more);
        const auto parsed = parse_frame_header(stash_.data(), before + more, self_, allowed_rsv_, header_);
        if (parsed.size != 0) {
            at_ += parsed.size - before;
            held_ = 0;
            remaining_ = header_.length;
            return step::header;
        }
        if (parsed.error != errc{}) return fail(parsed.error);
        held_ = static_cast<std::uint8_t>(before + more);
        at_ += more;
        return step::need_more;
    }

    std::byte* at_ = nullptr;
    std::byte* end_ = nullptr;
    std::uint64_t remaining_ = 0;
    frame_header header_{};
    role self_;
    std::uint8_t allowed_rsv_;
    errc error_{};
    std::uint8_t held_ = 0;
    std::array<std::byte, max_frame_header_size> stash_;
};

} // namespace duplex
