#pragma once

#include <duplex/core/endian.hpp>

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>

namespace duplex {

namespace detail {

using sha1_state = std::array<std::uint32_t, 5>;
using sha1_words = std::array<std::uint32_t, 80>;

inline constexpr sha1_state sha1_begin{0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0};

/// The words that a block of 64 bytes is spread to (RFC 3174 6.1 a, b).
[[nodiscard]] constexpr sha1_words sha1_spread(const std::byte* block) noexcept {
    sha1_words w{};
    for (std::size_t t = 0; t < 16; ++t)
        w[t] = load_big<std::uint32_t>(block + 4 * t);
    for (std::size_t t = 16; t < 80; ++t)
        w[t] = std::rotl(w[t - 3] ^ w[t - 8] ^ w[t - 14] ^ w[t - 16], 1);
    return w;
}

/// Takes a block into the state (RFC 3174 6.1 c to e).
constexpr void sha1_block(sha1_state& state, const sha1_words& w) noexcept {
    std::uint32_t a = state[0];
    std::uint32_t b = state[1];
    std::uint32_t c = state[2];
    std::uint32_t d = state[3];
    std::uint32_t e = state[4];
    const auto step = [](std::uint32_t in, std::uint32_t& turned, std::uint32_t& out, std::uint32_t added) {
        out += std::rotl(in, 5) + added;
        turned = std::rotl(turned, 30);
    };
    // Five steps at a time, in which the words change their names instead of their places.
    const auto twenty = [&](std::size_t from, std::uint32_t k, auto f) {
        for (std::size_t t = from; t < from + 20; t += 5) {
            step(a, b, e, f(b, c, d) + k + w[t]);
            step(e, a, d, f(a, b, c) + k + w[t + 1]);
            step(d, e, c, f(e, a, b) + k + w[t + 2]);
            step(c, d, b, f(d, e, a) + k + w[t + 3]);
            step(b, c, a, f(c, d, e) + k + w[t + 4]);
        }
    };
    const auto choose = [](std::uint32_t x, std::uint32_t y, std::uint32_t z) { return z ^ (x & (y ^ z)); };
    const auto parity = [](std::uint32_t x, std::uint32_t y, std::uint32_t z) { return x ^ y ^ z; };
    const auto majority = [](std::uint32_t x, std::uint32_t y, std::uint32_t z) {
        return (x & y) | (z & (x | y));
    };
    twenty(0, 0x5A827999, choose);
    twenty(20, 0x6ED9EBA1, parity);
    twenty(40, 0x8F1BBCDC, majority);
    twenty(60, 0xCA62C1D6, parity);
    state[0] += a;
    state[1] += b;
    state[2] += c;
    state[3] += d;
    state[4] += e;
}

[[nodiscard]] constexpr std::array<std::byte, 20> sha1_digest(const sha1_state& state) noexcept {
    std::array<std::byte, 20> digest{};
    for (std::size_t i = 0; i < state.size(); ++i)
        store_big(digest.data() + 4 * i, state[i]);
    return digest;
}

} // namespace detail

/// The SHA-1 digest of `data` (RFC 3174). It proves that a server read a key (RFC 6455 4.2.2) and secures
/// nothing.
[[nodiscard]] constexpr std::array<std::byte, 20> sha1(std::span<const std::byte> data) noexcept {
    auto state = detail::sha1_begin;
    const auto bits = std::uint64_t{data.size()} * 8;
    for (; data.size() >= 64; data = data.subspan(64))
        detail::sha1_block(state, detail::sha1_spread(data.data()));

    // RFC 3174 4: a one bit, zeros, and the length in bits in the last eight bytes of a block
    std::array<std::byte, 128> last{};
    for (std::size_t i = 0; i < data.size(); ++i)
        last[i] = data[i];
    last[data.size()] = std::byte{0x80};
    const std::size_t size = data.size() < 56 ? 64 : 128;
    store_big(last.data() + size - 8, bits);
    for (std::size_t i = 0; i < size; i += 64)
        detail::sha1_block(state, detail::sha1_spread(last.data() + i));

    return detail::sha1_digest(state);
}

} // namespace duplex
