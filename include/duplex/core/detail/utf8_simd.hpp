#pragma once

#include <duplex/core/detail/cpu.hpp>
#include <duplex/core/detail/mask_blocks.hpp>

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

#if defined(__GNUC__) && defined(__x86_64__)
#include <tmmintrin.h>
#define DUPLEX_UTF8_SIMD 1
#define DUPLEX_UTF8_KERNEL __attribute__((target("ssse3")))
#define DUPLEX_UTF8_TARGET __attribute__((target("ssse3"), always_inline))
#elif defined(__GNUC__) && defined(__aarch64__) && !defined(__AARCH64EB__)
#include <arm_neon.h>
#define DUPLEX_UTF8_SIMD 1
#define DUPLEX_UTF8_KERNEL
#define DUPLEX_UTF8_TARGET __attribute__((always_inline))
#else
#define DUPLEX_UTF8_SIMD 0
#endif

/// UTF-8 by table look-up, sixteen bytes at a time: J. Keiser, D. Lemire, "Validating UTF-8 In Less Than One
/// Instruction Per Byte", Software: Practice and Experience 51 (2021). Each nibble that takes part in an
/// error of two bytes, the high and the low one of the first and the high one of the second, has a table of
/// the errors it allows; an error has happened where all three allow it.
namespace duplex::detail {

/// One error of two adjacent bytes, as the sets of nibbles that make it: bit n stands for nibble n.
struct utf8_pair_error {
    std::uint16_t first_high;
    std::uint16_t first_low;
    std::uint16_t second_high;
};

/// Bit n of the tables below is row n. The last row is an error only where no third or fourth byte is due.
inline constexpr std::array<utf8_pair_error, 8> utf8_pair_errors{{
    {0xF000, 0xFFFF, 0xF0FF}, // a lead byte with no continuation after it
    {0x00FF, 0xFFFF, 0x0F00}, // a continuation after ASCII
    {0x1000, 0x0003, 0x0F00}, // C0, C1: two bytes where one would do
    {0x4000, 0x0001, 0x0300}, // E0 80-9F: three bytes where two would do
    {0x4000, 0x2000, 0x0C00}, // ED A0-BF: a surrogate
    {0x8000, 0xFFF0, 0x0E00}, // F4 90-BF and F5-FF 90-BF: above U+10FFFF
    {0x8000, 0xFFE1, 0x0100}, // F0 80-8F: four bytes where three would do; F5-FF 80-8F: above U+10FFFF
    {0x0F00, 0xFFFF, 0x0F00}, // two continuations
}};

using utf8_table = std::array<std::uint8_t, 16>;

[[nodiscard]] constexpr utf8_table make_utf8_table(std::uint16_t utf8_pair_error::*nibbles) noexcept {
    utf8_table table{};
    for (std::size_t row = 0; row < utf8_pair_errors.size(); ++row)
        for (std::size_t nibble = 0; nibble < table.size(); ++nibble)
            if ((utf8_pair_errors[row].*nibbles >> nibble & 1) != 0)
                table[nibble] = static_cast<std::uint8_t>(table[nibble] | 1U << row);
    return table;
}

inline constexpr utf8_table utf8_first_high = make_utf8_table(&utf8_pair_error::first_high);
inline constexpr utf8_table utf8_first_low = make_utf8_table(&utf8_pair_error::first_low);
inline constexpr utf8_table utf8_second_high = make_utf8_table(&utf8_pair_error::second_high);

#if DUPLEX_UTF8_SIMD

using utf8_block = std::uint8_t __attribute__((vector_size(16)));

[[nodiscard]] inline bool utf8_simd_usable() noexcept {
#if defined(__SSSE3__) || defined(__aarch64__)
    return true;
#else
    return cpu.ssse3;
#endif
}

#if defined(__aarch64__)

using utf8_native = uint8x16_t;

[[nodiscard]] DUPLEX_UTF8_TARGET inline utf8_block utf8_look_up(utf8_block table, utf8_block index) noexcept {
    return utf8_block(vqtbl1q_u8(utf8_native(table), utf8_native(index)));
}

/// The sixteen bytes that end `Back` bytes before the end of `block`.
template <int Back>
[[nodiscard]] DUPLEX_UTF8_TARGET inline utf8_block utf8_before(utf8_block previous,
                                                               utf8_block block) noexcept {
    return utf8_block(vextq_u8(utf8_native(previous), utf8_native(block), 16 - Back));
}

/// The difference, or zero where it would be negative.
[[nodiscard]] DUPLEX_UTF8_TARGET inline utf8_block utf8_subtract(utf8_block from, utf8_block what) noexcept {
    return utf8_block(vqsubq_u8(utf8_native(from), utf8_native(what)));
}

[[nodiscard]] DUPLEX_UTF8_TARGET inline bool utf8_is_ascii(utf8_block block) noexcept {
    return vmaxvq_u8(utf8_native(block)) < 0x80;
}

[[nodiscard]] DUPLEX_UTF8_TARGET inline bool utf8_is_zero(utf8_block block) noexcept {
    return vmaxvq_u8(utf8_native(block)) == 0;
}

#else

using utf8_native = __m128i;

[[nodiscard]] DUPLEX_UTF8_TARGET inline utf8_block utf8_look_up(utf8_block table, utf8_block index) noexcept {
    return utf8_block(_mm_shuffle_epi8(utf8_native(table), utf8_native(index)));
}

/// The sixteen bytes that end `Back` bytes before the end of `block`.
template <int Back>
[[nodiscard]] DUPLEX_UTF8_TARGET inline utf8_block utf8_before(utf8_block previous,
                                                               utf8_block block) noexcept {
    return utf8_block(_mm_alignr_epi8(utf8_native(block), utf8_native(previous), 16 - Back));
}

/// The difference, or zero where it would be negative.
[[nodiscard]] DUPLEX_UTF8_TARGET inline utf8_block utf8_subtract(utf8_block from, utf8_block what) noexcept {
    return utf8_block(_mm_subs_epu8(utf8_native(from), utf8_native(what)));
}

[[nodiscard]] DUPLEX_UTF8_TARGET inline bool utf8_is_ascii(utf8_block block) noexcept {
    return _mm_movemask_epi8(utf8_native(block)) == 0;
}

[[nodiscard]] DUPLEX_UTF8_TARGET inline bool utf8_is_zero(utf8_block block) noexcept {
    return _mm_movemask_epi8(_mm_cmpeq_epi8(utf8_native(block), _mm_setzero_si128())) == 0xFFFF;
}

#endif

/// Non-zero where `block` has an error; the others are the text one, two and three bytes before it.
[[nodiscard]] DUPLEX_UTF8_TARGET inline utf8_block
utf8_errors(utf8_block block, utf8_block before1, utf8_block before2, utf8_block before3) noexcept {
    const auto first_high = std::bit_cast<utf8_block>(utf8_first_high);
    const auto first_low = std::bit_cast<utf8_block>(utf8_first_low);
    const auto second_high = std::bit_cast<utf8_block>(utf8_second_high);
    const utf8_block pair = utf8_look_up(first_high, before1 >> 4) & utf8_look_up(first_low, before1 & 0x0F) &
                            utf8_look_up(second_high, block >> 4);
    // The top bit says that a third or fourth byte is due: two bytes after E0-FF, three after F0-FF. There
    // the two continuations of the last row are right, and their absence is the error.
    const utf8_block due = utf8_subtract(before2, utf8_block{} + (0xE0 - 0x80)) |
                           utf8_subtract(before3, utf8_block{} + (0xF0 - 0x80));
    return pair ^ (due & 0x80);
}

[[nodiscard]] DUPLEX_UTF8_TARGET inline utf8_block utf8_errors(utf8_block block,
                                                               utf8_block previous) noexcept {
    return utf8_errors(block, utf8_before<1>(previous, block), utf8_before<2>(previous, block),
                       utf8_before<3>(previous, block));
}

/// Non-zero where `block` ends inside a character.
[[nodiscard]] DUPLEX_UTF8_TARGET inline utf8_block utf8_unfinished(utf8_block block) noexcept {
    constexpr utf8_block most{0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF,
                              0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xEF, 0xDF, 0xBF};
    return utf8_subtract(block, most);
}

/// The block `at` bytes into `from`; with `Unmask` it goes through `keys` and also to `to`.
template <bool Unmask>
[[nodiscard]] DUPLEX_UTF8_TARGET inline utf8_block utf8_next(std::byte* to, const std::byte* from,
                                                             std::size_t at, utf8_block keys) noexcept {
    auto block = load_block<utf8_block>(from + at);
    if constexpr (Unmask) {
        block ^= keys;
        store_block(to + at, block);
    }
    return block;
}

inline constexpr auto utf8_bad = static_cast<std::size_t>(-1);

/// Checks a text of 16 bytes or more that starts with a character; with `Unmask` all of it is masked from
/// `from` to `to` (which may be the same), else `to` is not used. Gives how many bytes were checked, at most
/// two fewer than `size`, or `utf8_bad`. That the checked bytes end inside a character is no error.
template <bool Unmask>
[[nodiscard]] DUPLEX_UTF8_KERNEL inline std::size_t
utf8_check_blocks(std::byte* to, const std::byte* from, std::size_t size, std::uint32_t key) noexcept {
    constexpr std::size_t step = sizeof(utf8_block);
    const std::size_t tail = size - step;
    // The last block ends where the text ends and overlaps the one before it: read first, before that one may
    // be changed, with the three bytes before it, and written last.
    auto last = load_block<utf8_block>(from + tail);
    utf8_block before{};
    if (tail >= 3) before = load_block<utf8_block>(from + tail - 3);
    const auto keys = spread_key<utf8_block>(key);
    if constexpr (Unmask) {
        last ^= spread_key<utf8_block>(turn_key(key, tail));
        before ^= spread_key<utf8_block>(turn_key(key, tail + 1)); // - 3, which turns as + 1 does
    }
    utf8_block errors{};
    utf8_block previous{};
    std::size_t i = 0;
    for (; size - i >= 4 * step; i += 4 * step) {
        const auto a = utf8_next<Unmask>(to, from, i, keys);
        const auto b = utf8_next<Unmask>(to, from, i + step, keys);
        const auto c = utf8_next<Unmask>(to, from, i + 2 * step, keys);
        const auto d = utf8_next<Unmask>(to, from, i + 3 * step, keys);
        if (utf8_is_ascii(a | b | c | d))
            errors |= utf8_unfinished(previous);
        else
            errors |= utf8_errors(a, previous) | utf8_errors(b, a) | utf8_errors(c, b) | utf8_errors(d, c);
        previous = d;
    }
    for (; size - i >= step; i += step) {
        const auto block = utf8_next<Unmask>(to, from, i, keys);
        errors |= utf8_errors(block, previous);
        previous = block;
    }
    if (size - i >= 3) {
        errors |= utf8_errors(last, utf8_before<13>(utf8_block{}, before));
        i = size;
    }
    if constexpr (Unmask) store_block(to + tail, last);
    return utf8_is_zero(errors) ? i : utf8_bad;
}

#undef DUPLEX_UTF8_TARGET
#undef DUPLEX_UTF8_KERNEL

#endif

} // namespace duplex::detail
