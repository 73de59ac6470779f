#pragma once

#include <cstddef>
#include <cstdint>

namespace duplex {

/// Big-endian (network order) loads and stores on unaligned bytes. Compilers turn each into one instruction.
template <class Unsigned>
[[nodiscard]] constexpr Unsigned load_big(const std::byte* from) noexcept {
    Unsigned value = 0;
    for (std::size_t i = 0; i < sizeof(Unsigned); ++i)
        value = static_cast<Unsigned>((std::uint64_t{value} << 8) | std::to_integer<std::uint8_t>(from[i]));
    return value;
}

template <class Unsigned>
constexpr void store_big(std::byte* to, Unsigned value) noexcept {
    for (std::size_t i = 0; i < sizeof(Unsigned); ++i)
        to[i] = static_cast<std::byte>(static_cast<std::uint8_t>(value >> (8 * (sizeof(Unsigned) - 1 - i))));
}

} // namespace duplex
