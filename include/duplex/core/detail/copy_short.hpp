#pragma once

#include <duplex/core/detail/inlining.hpp>

#include <array>
#include <cstddef>
#include <cstring>

namespace duplex::detail {

/// Copies one to two times `Size` bytes: both ends, which may overlap.
template <std::size_t Size>
DUPLEX_ALWAYS_INLINE void copy_ends(std::byte* to, const std::byte* from, std::size_t size) noexcept {
    std::array<std::byte, Size> first;
    std::array<std::byte, Size> last;
    std::memcpy(first.data(), from, Size);
    std::memcpy(last.data(), from + size - Size, Size);
    std::memcpy(to, first.data(), Size);
    std::memcpy(to + size - Size, last.data(), Size);
}

/// Apart, so that the compiler doesn't warn where it sees that a source is shorter than this is called for.
DUPLEX_NEVER_INLINE inline void copy_long(std::byte* to, const std::byte* from, std::size_t size) noexcept {
    std::memcpy(to, from, size);
}

/// `memcpy` for what is mostly shorter than 64 bytes: there a call would cost more than the copy.
DUPLEX_ALWAYS_INLINE void copy_short(std::byte* to, const std::byte* from, std::size_t size) noexcept {
    if (size > 64)
        copy_long(to, from, size);
    else if (size >= 32) {
        // Sixteen at a time stay in registers; pieces of thirty-two would go by way of the stack.
        copy_ends<16>(to, from, 32);
        copy_ends<16>(to + size - 32, from + size - 32, 32);
    } else if (size >= 16)
        copy_ends<16>(to, from, size);
    else if (size >= 8)
        copy_ends<8>(to, from, size);
    else if (size >= 4)
        copy_ends<4>(to, from, size);
    else
        for (std::size_t i = 0; i < size; ++i)
            to[i] = from[i];
}

} // namespace duplex::detail
