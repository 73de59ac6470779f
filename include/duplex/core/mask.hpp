#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace duplex {

/// The masking key of a frame, in wire order (RFC 6455 5.3).
using mask_key = std::array<std::byte, 4>;

namespace detail {

/// A key as four bytes in memory order, turned so that its first byte belongs to payload byte `offset`.
[[nodiscard]] constexpr std::uint32_t turn_key(std::uint32_t key, std::size_t offset) noexcept {
    const auto bits = static_cast<int>(offset % 4 * 8);
    return std::endian::native == std::endian::little ? std::rotr(key, bits) : std::rotl(key, bits);
}

/// `key` repeated over a `Block`, an unsigned integer or a compiler's vector type.
template <class Block>
[[nodiscard]] inline Block spread_key(std::uint32_t key) noexcept {
    std::uint32_t words[sizeof(Block) / 4];
    for (auto& word : words)
        word = key;
    Block block;
    std::memcpy(&block, words, sizeof block);
    return block;
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

/// For at most three bytes.
inline void mask_bytes(std::byte* to, const std::byte* from, std::size_t size, std::uint32_t key) noexcept {
    const auto bytes = std::bit_cast<mask_key>(key);
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

/// For one block or more. The last block ends where the data ends: it overlaps the one before it, so it is
/// read first and written last.
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

/// `mask_copy` without vectors.
inline void mask_copy_portable(std::byte* to, std::span<const std::byte> from, mask_key key,
                               std::size_t offset = 0) noexcept {
    const auto word = turn_key(std::bit_cast<std::uint32_t>(key), offset);
    if (from.size() >= 8)
        mask_blocks<std::uint64_t>(to, from.data(), from.size(), word);
    else if (from.size() >= 4)
        mask_ends<std::uint32_t>(to, from.data(), from.size(), word);
    else
        mask_bytes(to, from.data(), from.size(), word);
}

/// `mask` without vectors.
inline void mask_portable(std::span<std::byte> data, mask_key key, std::size_t offset = 0) noexcept {
    mask_copy_portable(data.data(), data, key, offset);
}

#if defined(__GNUC__)
/// Sixteen bytes: SSE2, NEON or what else the target has.
using vector_block = std::uint32_t __attribute__((vector_size(16)));
#else
using vector_block = std::uint64_t;
#endif

} // namespace detail

/// XORs `from` with `key` into `to` (RFC 6455 5.3); `offset` is the number of payload bytes of the frame that
/// came before. `to` has room for `from.size()` bytes and either is the start of `from` or overlaps nothing
/// of it.
inline void mask_copy(std::byte* to, std::span<const std::byte> from, mask_key key,
                      std::size_t offset = 0) noexcept {
    const std::size_t size = from.size();
    const auto word = detail::turn_key(std::bit_cast<std::uint32_t>(key), offset);
    if (size >= sizeof(detail::vector_block))
        detail::mask_blocks<detail::vector_block>(to, from.data(), size, word);
    else
        detail::mask_copy_portable(to, from, key, offset);
}

/// XORs `data` with `key` in place; doing it twice restores it. `offset` is the number of payload bytes of the
/// frame that came before (RFC 6455 5.3).
inline void mask(std::span<std::byte> data, mask_key key, std::size_t offset = 0) noexcept {
    mask_copy(data.data(), data, key, offset);
}

} // namespace duplex
