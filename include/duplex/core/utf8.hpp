#pragma once

#include <duplex/core/detail/utf8_simd.hpp>
#include <duplex/core/mask.hpp>

#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace duplex {

namespace detail {

/// The length of the character at `at`, from where four bytes are readable; 0 where it is not valid.
[[nodiscard]] inline std::size_t utf8_length(const std::byte* at) noexcept {
    const auto byte = [at](std::size_t i) { return std::to_integer<std::uint32_t>(at[i]); };
    const auto continues = [at](std::size_t i) { return (at[i] & std::byte{0xC0}) == std::byte{0x80}; };
    const std::uint32_t first = byte(0);
    if (first < 0x80) return 1;
    if (first < 0xC2 || first > 0xF4 || !continues(1)) return 0;
    if (first < 0xE0) return 2;
    if (!continues(2)) return 0;
    if (first < 0xF0) {
        const std::uint32_t top = (first & 0x0F) << 6 | (byte(1) & 0x3F); // the code point without 6 bits
        return top >= 0x800 >> 6 && (top < 0xD800 >> 6 || top > 0xDFFF >> 6) ? 3 : 0;
    }
    const std::uint32_t top = (first & 0x07) << 6 | (byte(1) & 0x3F); // the code point without 12 bits
    return continues(3) && top >= 0x10000 >> 12 && top <= 0x10FFFF >> 12 ? 4 : 0;
}

} // namespace detail

/// Checks that a text which arrives in pieces is UTF-8 (RFC 6455 8.1, RFC 3629: no overlong forms, no
/// surrogates, nothing above U+10FFFF). An invalid sequence is reported with its first impossible byte,
/// though its character be unfinished.
class utf8_validator {
public:
    /// Takes the next piece; false once the text is invalid, and from then on.
    [[nodiscard]] bool feed(std::span<const std::byte> data) noexcept {
        return take<false>(nullptr, data.data(), data.size(), 0);
    }

    /// True when the text so far is valid and does not end inside a character.
    [[nodiscard]] bool complete() const noexcept { return !invalid_ && left_ == 0; }

    /// Starts a new text.
    void reset() noexcept { *this = {}; }

    /// `feed` without vectors.
    [[nodiscard]] bool feed_portable(std::span<const std::byte> data) noexcept;

private:
    friend bool unmask_and_validate(std::span<std::byte>, mask_key, std::size_t, utf8_validator&) noexcept;

    bool step(std::uint8_t byte) noexcept;

    template <bool Unmask>
    bool take(std::byte* to, const std::byte* from, std::size_t size, std::uint32_t key) noexcept;

    std::uint8_t left_ = 0; // continuation bytes to come, the next of them between low_ and high_
    std::uint8_t low_ = 0x80;
    std::uint8_t high_ = 0xBF;
    bool invalid_ = false;
};

/// Takes one byte of a valid text.
inline bool utf8_validator::step(std::uint8_t byte) noexcept {
    if (left_ != 0) {
        if (byte < low_ || byte > high_) {
            invalid_ = true;
            return false;
        }
        low_ = 0x80;
        high_ = 0xBF;
        --left_;
    } else if (byte >= 0x80) {
        // RFC 3629 4: which second bytes a first byte allows
        if (byte < 0xC2 || byte > 0xF4) {
            invalid_ = true;
            return false;
        }
        left_ = byte < 0xE0 ? 1 : byte < 0xF0 ? 2 : 3;
        low_ = byte == 0xE0 ? 0xA0 : byte == 0xF0 ? 0x90 : 0x80;
        high_ = byte == 0xED ? 0x9F : byte == 0xF4 ? 0x8F : 0xBF;
    }
    return true;
}

inline bool utf8_validator::feed_portable(std::span<const std::byte> data) noexcept {
    if (invalid_) return false;
    const std::byte* next = data.data();
    const std::byte* const end = next + data.size();
    utf8_validator state = *this; // in registers
    bool valid = true;
    while (valid && next != end) {
        std::size_t taken = 0;
        if (state.left_ == 0) {
            if (end - next >= 8 && (detail::load_block<std::uint64_t>(next) & 0x8080808080808080) == 0)
                taken = 8;
            else if (end - next >= 4)
                taken = detail::utf8_length(next);
        }
        if (taken == 0) {
            valid = state.step(std::to_integer<std::uint8_t>(*next));
            taken = 1;
        }
        next += taken;
    }
    *this = state;
    return valid;
}

template <bool Unmask>
inline bool utf8_validator::take(std::byte* to, const std::byte* from, std::size_t size,
                                 std::uint32_t key) noexcept {
#if DUPLEX_UTF8_SIMD
    if (!invalid_ && size >= 16U + left_ && detail::utf8_simd_usable()) {
        // What an earlier piece left unfinished, so that the rest starts with a character.
        std::size_t head = 0;
        if (left_ != 0) {
            const auto keys = std::bit_cast<mask_key>(key);
            for (; left_ != 0; ++head) {
                if constexpr (Unmask) to[head] = from[head] ^ keys[head];
                const std::byte byte = Unmask ? to[head] : from[head];
                if (!step(std::to_integer<std::uint8_t>(byte))) return false;
            }
            key = detail::turn_key(key, head);
        }
        to = Unmask ? to + head : nullptr;
        from += head;
        size -= head;
        std::size_t checked = detail::utf8_check_blocks<Unmask>(to, from, size, key);
        if (checked == detail::utf8_bad) {
            invalid_ = true;
            return false;
        }
        // Back to the start of the character that the checked bytes end with, if they do not end it.
        const std::byte* text = Unmask ? to : from;
        for (std::size_t back = 1; back <= 3; ++back) {
            const auto byte = std::to_integer<std::uint8_t>(text[checked - back]);
            if (byte >= 0xC0) {
                const std::size_t length = byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
                if (length > back) checked -= back;
            }
            if (byte < 0x80 || byte >= 0xC0) break;
        }
        return feed_portable({text + checked, size - checked});
    }
#endif
    if constexpr (Unmask) {
        mask_copy(to, {from, size}, std::bit_cast<mask_key>(key));
        from = to;
    }
    return feed_portable({from, size});
}

/// True if all of `data` is UTF-8 (RFC 3629).
[[nodiscard]] inline bool is_valid_utf8(std::span<const std::byte> data) noexcept {
    utf8_validator validator;
    return validator.feed(data) && validator.complete();
}

[[nodiscard]] inline bool is_valid_utf8(std::string_view text) noexcept {
    return is_valid_utf8(std::as_bytes(std::span(text)));
}

/// Unmasks `data` in place as `mask` does and feeds it to `validator`, in one pass; gives what
/// `utf8_validator::feed` gives. After false the bytes of `data` are unspecified.
[[nodiscard]] inline bool unmask_and_validate(std::span<std::byte> data, mask_key key, std::size_t offset,
                                              utf8_validator& validator) noexcept {
    const auto word = detail::turn_key(std::bit_cast<std::uint32_t>(key), offset);
    return validator.take<true>(data.data(), data.data(), data.size(), word);
}

} // namespace duplex
