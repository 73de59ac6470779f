#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace duplex::detail {

// ChaCha20 as a source of random bytes (RFC 8439 2.3). `Word` is 32 bits, or a vector of such where several
// blocks are computed at once.

template <class Word>
inline void chacha20_rotate(Word& word, int bits) noexcept {
    word = (word << bits) | (word >> (32 - bits));
}

template <class Word>
inline void chacha20_quarter(Word& a, Word& b, Word& c, Word& d) noexcept {
    a += b, d ^= a, chacha20_rotate(d, 16);
    c += d, b ^= c, chacha20_rotate(b, 12);
    a += b, d ^= a, chacha20_rotate(d, 8);
    c += d, b ^= c, chacha20_rotate(b, 7);
}

/// Twenty rounds and the addition of the input (RFC 8439 2.3.1).
template <class Word>
inline void chacha20_rounds(const Word (&in)[16], Word (&out)[16]) noexcept {
    Word x[16];
    for (std::size_t i = 0; i < 16; ++i)
        x[i] = in[i];
    for (int round = 0; round < 20; round += 2) {
        chacha20_quarter(x[0], x[4], x[8], x[12]);
        chacha20_quarter(x[1], x[5], x[9], x[13]);
        chacha20_quarter(x[2], x[6], x[10], x[14]);
        chacha20_quarter(x[3], x[7], x[11], x[15]);
        chacha20_quarter(x[0], x[5], x[10], x[15]);
        chacha20_quarter(x[1], x[6], x[11], x[12]);
        chacha20_quarter(x[2], x[7], x[8], x[13]);
        chacha20_quarter(x[3], x[4], x[9], x[14]);
    }
    for (std::size_t i = 0; i < 16; ++i)
        out[i] = x[i] + in[i];
}

#if defined(__GNUC__)
using chacha20_word = std::uint32_t __attribute__((vector_size(16)));
inline constexpr std::size_t chacha20_lanes = 4;
#else
using chacha20_word = std::uint32_t;
inline constexpr std::size_t chacha20_lanes = 1;
#endif

/// Fills `out` with the key stream of `key` from block 0 and an all-zero nonce. The words of several blocks
/// are interleaved, which is as random, and the words are in the machine's byte order.
template <std::size_t Size>
inline void chacha20_fill(const std::byte (&key)[32], std::byte (&out)[Size]) noexcept {
    static_assert(Size % (64 * chacha20_lanes) == 0);
    std::uint32_t first[16] = {0x61707865, 0x3320646e, 0x79622d32, 0x6b206574};
    std::memcpy(first + 4, key, sizeof key);
    chacha20_word in[16];
    chacha20_word x[16];
    for (std::size_t i = 0; i < 16; ++i)
        in[i] = chacha20_word{} + first[i];
    for (std::size_t at = 0; at < Size; at += sizeof x) {
        std::uint32_t counters[chacha20_lanes];
        for (std::size_t lane = 0; lane < chacha20_lanes; ++lane)
            counters[lane] = static_cast<std::uint32_t>(at / 64 + lane);
        std::memcpy(in + 12, counters, sizeof counters);
        chacha20_rounds(in, x);
        std::memcpy(out + at, x, sizeof x);
    }
}

} // namespace duplex::detail
