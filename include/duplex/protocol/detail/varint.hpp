#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace duplex::detail {

/// Most bytes of a number, which is written seven bits a byte, the lowest first.
inline constexpr std::size_t longest_varint = 10;

/// Writes a number; returns its size.
inline std::size_t write_varint(std::byte* to, std::uint64_t value) noexcept {
    std::size_t size = 0;
    for (; value >= 0x80; value >>= 7U)
        to[size++] = static_cast<std::byte>((value & 0x7FU) | 0x80U);
    to[size++] = static_cast<std::byte>(value);
    return size;
}

/// Takes a number off the front; none where it is cut (`from` is empty then) or has more than 64 bits (`from`
/// is not).
[[nodiscard]] inline std::optional<std::uint64_t> read_varint(std::span<const std::byte>& from) noexcept {
    std::uint64_t value = 0;
    for (unsigned shift = 0; !from.empty(); shift += 7) {
        const auto each = std::to_integer<std::uint64_t>(from.front());
        if (shift == 63 && each > 1) return {};
        from = from.subspan(1);
        value |= (each & 0x7FU) << shift;
        if (each < 0x80) return value;
    }
    return {};
}

/// Small numbers of either sign as small ones without.
[[nodiscard]] constexpr std::uint64_t fold_sign(std::int64_t value) noexcept {
    return (static_cast<std::uint64_t>(value) << 1U) ^ (value < 0 ? ~std::uint64_t{0} : std::uint64_t{0});
}
[[nodiscard]] constexpr std::int64_t unfold_sign(std::uint64_t value) noexcept {
    return static_cast<std::int64_t>((value >> 1U) ^
                                     ((value & 1U) != 0 ? ~std::uint64_t{0} : std::uint64_t{0}));
}

} // namespace duplex::detail
