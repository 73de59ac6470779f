#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace duplex {

namespace detail {

inline constexpr std::string_view base64_alphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

inline constexpr std::uint8_t base64_invalid = 0xFF;

/// The six bits of each character, or `base64_invalid`.
inline constexpr auto base64_values = [] {
    std::array<std::uint8_t, 256> values{};
    values.fill(base64_invalid);
    for (std::uint8_t i = 0; i < 64; ++i)
        values[static_cast<unsigned char>(base64_alphabet[i])] = i;
    return values;
}();

} // namespace detail

/// The length of `size` bytes in base64, padding included; `size` is at most 3/4 of what a `size_t` holds.
[[nodiscard]] constexpr std::size_t base64_size(std::size_t size) noexcept {
    return size / 3 * 4 + (size % 3 != 0 ? 4 : 0);
}

/// Writes `data` in base64 with padding (RFC 4648 4) and gives the number of characters, `base64_size` of its
/// size. Where `out` is smaller nothing is written and the answer is 0.
constexpr std::size_t base64_encode(std::span<const std::byte> data, std::span<char> out) noexcept {
    const std::size_t size = base64_size(data.size());
    if (out.size() < size) return 0;
    std::size_t to = 0;
    for (; !data.empty(); data = data.subspan(data.size() < 3 ? data.size() : 3)) {
        std::uint32_t group = 0;
        for (std::size_t i = 0; i < 3; ++i)
            group = group << 8 | (i < data.size() ? std::to_integer<std::uint32_t>(data[i]) : 0);
        for (std::size_t i = 0; i < 4; ++i)
            out[to++] = i <= data.size() ? detail::base64_alphabet[group >> (18 - 6 * i) & 0x3F] : '=';
    }
    return size;
}

/// `data` in base64 with padding (RFC 4648 4).
[[nodiscard]] inline std::string to_base64(std::span<const std::byte> data) {
    std::string text(base64_size(data.size()), '\0');
    base64_encode(data, text);
    return text;
}

/// Reads base64 into `out` and gives the number of bytes. Strict: nothing but the alphabet, padding that is
/// complete and final, and unused bits that are zero (RFC 4648 3.2, 3.3, 3.5); otherwise, and where `out` is
/// too small, nothing. The bytes of `out` are unspecified then.
[[nodiscard]] constexpr std::optional<std::size_t> base64_decode(std::string_view text,
                                                                 std::span<std::byte> out) noexcept {
    if (text.size() % 4 != 0) return std::nullopt;
    const std::size_t padding = text.ends_with("==") ? 2 : text.ends_with('=') ? 1 : 0;
    const std::size_t size = text.size() / 4 * 3 - padding;
    if (out.size() < size) return std::nullopt;

    std::size_t to = 0;
    for (; !text.empty(); text.remove_prefix(4)) {
        const std::size_t missing = text.size() == 4 ? padding : 0;
        std::uint32_t group = 0;
        for (std::size_t i = 0; i < 4; ++i) {
            const bool pad = i >= 4 - missing;
            const std::uint8_t value = pad ? 0 : detail::base64_values[static_cast<unsigned char>(text[i])];
            if (value == detail::base64_invalid) return std::nullopt;
            group = group << 6 | value;
        }
        for (std::size_t i = 0; i < 3 - missing; ++i)
            out[to++] = static_cast<std::byte>(group >> (16 - 8 * i) & 0xFF);
        // RFC 4648 3.5: the bits that padding leaves over are zero
        if ((group & ((std::uint32_t{1} << 8 * missing) - 1)) != 0) return std::nullopt;
    }
    return size;
}

} // namespace duplex
