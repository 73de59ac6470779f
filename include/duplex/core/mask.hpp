#pragma once

#include <duplex/core/detail/mask_blocks.hpp>

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>

namespace duplex {

/// The masking key of a frame, in wire order (RFC 6455 5.3).
using mask_key = std::array<std::byte, 4>;

/// XORs `from` with `key` into `to` (RFC 6455 5.3); `offset` is the number of payload bytes of the frame that
/// came before. `to` has room for `from.size()` bytes and either is the start of `from` or overlaps nothing
/// of it.
inline void mask_copy(std::byte* to, std::span<const std::byte> from, mask_key key,
                      std::size_t offset = 0) noexcept {
    const auto turned = detail::turn_key(std::bit_cast<std::uint32_t>(key), offset);
    constexpr std::size_t vector = sizeof(detail::mask_vector);
    if (from.size() > 4 * vector)
        detail::mask_long(to, from.data(), from.size(), turned);
    else if (from.size() > 2 * vector)
        detail::mask_pairs<detail::mask_vector>(to, from.data(), from.size(), turned);
    else if (from.size() >= vector)
        detail::mask_ends<detail::mask_vector>(to, from.data(), from.size(), turned);
    else
        detail::mask_portable(to, from.data(), from.size(), turned);
}

namespace detail {

/// `mask` for a whole payload that is most likely short.
DUPLEX_ALWAYS_INLINE void mask_short(std::span<std::byte> data, mask_key key) noexcept {
    constexpr std::size_t vector = sizeof(mask_vector);
    if (data.size() > 2 * vector && data.size() <= 4 * vector)
        mask_pairs<mask_vector>(data.data(), data.data(), data.size(), std::bit_cast<std::uint32_t>(key));
    else
        mask_copy(data.data(), data, key);
}

} // namespace detail

/// XORs `data` with `key` in place; doing it twice restores it. `offset` is the number of payload bytes of
/// the frame that came before (RFC 6455 5.3).
inline void mask(std::span<std::byte> data, mask_key key, std::size_t offset = 0) noexcept {
    mask_copy(data.data(), data, key, offset);
}

} // namespace duplex
