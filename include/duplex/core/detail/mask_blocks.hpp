#pragma once

#include <duplex/core/detail/cpu.hpp>
#include <duplex/core/detail/inlining.hpp>

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

// The widest blocks that a long payload is masked in, and what a function that uses them must be marked with.
// GCC for Windows does not align the stack for variables of 32 bytes.
#if defined(__GNUC__) && defined(__x86_64__) && !defined(__MINGW32__)
#define DUPLEX_MASK_WIDTH 32
#define DUPLEX_MASK_TARGET __attribute__((target("avx2")))
#elif defined(__GNUC__) && (defined(__x86_64__) || defined(__aarch64__))
#define DUPLEX_MASK_WIDTH 16
#define DUPLEX_MASK_TARGET
#endif

/// Masking in blocks (RFC 6455 5.3). A function here takes a key as four bytes in memory order, the first of
/// which belongs to the first byte of `from`; `to` is `from` or overlaps nothing of it.
namespace duplex::detail {

/// `key` turned so that it fits the bytes from `offset` on.
[[nodiscard]] constexpr std::uint32_t turn_key(std::uint32_t key, std::size_t offset) noexcept {
    const auto bits = static_cast<int>(offset % 4 * 8);
    return std::endian::native == std::endian::little ? std::rotr(key, bits) : std::rotl(key, bits);
}

/// `key` repeated over a `Block`, an unsigned integer or a vector of such.
template <class Block>
[[nodiscard]] inline Block spread_key(std::uint32_t key) noexcept {
    std::array<std::uint32_t, sizeof(Block) / 4> words;
    words.fill(key);
    return std::bit_cast<Block>(words);
}

template <class Block>
[[nodiscard]] inline Block load_block(const std::byte* from) noexcept {
    Block block;
    std::memcpy(&block, from, sizeof block);
    return block;
}

template <class Block>
inline void store_block(std::byte* to, Block block) noexcept {
    std::memcpy(to, &block, sizeof block);
}

/// For up to four bytes.
inline void mask_bytes(std::byte* to, const std::byte* from, std::size_t size, std::uint32_t key) noexcept {
    const auto bytes = std::bit_cast<std::array<std::byte, 4>>(key);
    for (std::size_t i = 0; i < size; ++i)
        to[i] = from[i] ^ bytes[i];
}

/// For one to two blocks: they may overlap, so both are read before either is written.
template <class Block>
inline void mask_ends(std::byte* to, const std::byte* from, std::size_t size, std::uint32_t key) noexcept {
    const std::size_t tail = size - sizeof(Block);
    const Block first = load_block<Block>(from) ^ spread_key<Block>(key);
    const Block last = load_block<Block>(from + tail) ^ spread_key<Block>(turn_key(key, tail));
    store_block(to, first);
    store_block(to + tail, last);
}

/// For two to four blocks, in the same way.
template <class Block>
inline void mask_pairs(std::byte* to, const std::byte* from, std::size_t size, std::uint32_t key) noexcept {
    constexpr std::size_t step = sizeof(Block);
    const std::size_t tail = size - 2 * step;
    const Block keys = spread_key<Block>(key);
    const Block end_keys = spread_key<Block>(turn_key(key, tail));
    const Block a = load_block<Block>(from) ^ keys;
    const Block b = load_block<Block>(from + step) ^ keys;
    const Block c = load_block<Block>(from + tail) ^ end_keys;
    const Block d = load_block<Block>(from + tail + step) ^ end_keys;
    store_block(to, a);
    store_block(to + step, b);
    store_block(to + tail, c);
    store_block(to + tail + step, d);
}

/// For one block or more. The last one ends where the data ends; it overlaps the one before it, so it is read
/// first and written last.
template <class Block>
inline void mask_blocks(std::byte* to, const std::byte* from, std::size_t size, std::uint32_t key) noexcept {
    constexpr std::size_t step = sizeof(Block);
    const std::size_t tail = size - step;
    const Block last = load_block<Block>(from + tail) ^ spread_key<Block>(turn_key(key, tail));
    const Block keys = spread_key<Block>(key);
    std::size_t i = 0;
    for (; tail - i >= 4 * step; i += 4 * step) {
        const Block a = load_block<Block>(from + i) ^ keys;
        const Block b = load_block<Block>(from + i + step) ^ keys;
        const Block c = load_block<Block>(from + i + 2 * step) ^ keys;
        const Block d = load_block<Block>(from + i + 3 * step) ^ keys;
        store_block(to + i, a);
        store_block(to + i + step, b);
        store_block(to + i + 2 * step, c);
        store_block(to + i + 3 * step, d);
    }
    for (; i < tail; i += step)
        store_block(to + i, load_block<Block>(from + i) ^ keys);
    store_block(to + tail, last);
}

/// For any size, without vectors.
inline void mask_portable(std::byte* to, const std::byte* from, std::size_t size,
                          std::uint32_t key) noexcept {
    if (size >= 8)
        mask_blocks<std::uint64_t>(to, from, size, key);
    else if (size >= 4)
        mask_ends<std::uint32_t>(to, from, size, key);
    else
        mask_bytes(to, from, size, key);
}

#if defined(DUPLEX_MASK_WIDTH)

/// SSE2 or NEON, which these targets always have.
using mask_vector = std::uint32_t __attribute__((vector_size(16)));

[[nodiscard]] inline bool mask_wide_usable() noexcept {
#if DUPLEX_MASK_WIDTH == 16 || defined(__AVX2__)
    return true;
#else
    return cpu.avx2;
#endif
}

/// For two blocks or more. Stores are aligned: those that cross cache lines cost half of the speed. The first
/// and the last block overlap their neighbours, so they are read first and written last.
DUPLEX_MASK_TARGET inline void mask_wide(std::byte* to, const std::byte* from, std::size_t size,
                                         std::uint32_t key) noexcept {
    // Vectors this wide are neither taken nor given by functions here: without AVX2 that has no fixed ABI.
    using block = std::uint32_t __attribute__((vector_size(DUPLEX_MASK_WIDTH)));
    constexpr std::size_t step = sizeof(block);
    const std::size_t tail = size - step;
    block first;
    block last;
    std::memcpy(&first, from, step);
    std::memcpy(&last, from + tail, step);
    first ^= key;
    last ^= turn_key(key, tail);

    std::size_t i = step - reinterpret_cast<std::uintptr_t>(to) % step;
    const block keys = block{} + turn_key(key, i);
    for (; tail - i >= 4 * step; i += 4 * step) {
        block a;
        block b;
        block c;
        block d;
        std::memcpy(&a, from + i, step);
        std::memcpy(&b, from + i + step, step);
        std::memcpy(&c, from + i + 2 * step, step);
        std::memcpy(&d, from + i + 3 * step, step);
        a ^= keys;
        b ^= keys;
        c ^= keys;
        d ^= keys;
        std::memcpy(to + i, &a, step);
        std::memcpy(to + i + step, &b, step);
        std::memcpy(to + i + 2 * step, &c, step);
        std::memcpy(to + i + 3 * step, &d, step);
    }
    for (; i < tail; i += step) {
        block a;
        std::memcpy(&a, from + i, step);
        a ^= keys;
        std::memcpy(to + i, &a, step);
    }
    std::memcpy(to, &first, step);
    std::memcpy(to + tail, &last, step);
}

#undef DUPLEX_MASK_TARGET
#undef DUPLEX_MASK_WIDTH

#else

using mask_vector = std::uint64_t;

[[nodiscard]] inline bool mask_wide_usable() noexcept { return false; }

inline void mask_wide(std::byte* to, const std::byte* from, std::size_t size, std::uint32_t key) noexcept {
    mask_blocks<mask_vector>(to, from, size, key);
}

#endif

/// For more than a few vectors; not inlined, so that the short payloads are.
DUPLEX_NEVER_INLINE inline void mask_long(std::byte* to, const std::byte* from, std::size_t size,
                                          std::uint32_t key) noexcept {
    if (size >= 512 && mask_wide_usable())
        mask_wide(to, from, size, key);
    else
        mask_blocks<mask_vector>(to, from, size, key);
}

} // namespace duplex::detail
