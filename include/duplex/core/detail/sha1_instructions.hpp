#pragma once

#include <duplex/core/detail/cpu.hpp>
#include <duplex/core/endian.hpp>

#include <array>
#include <cstddef>
#include <cstdint>

namespace duplex::detail {

#if defined(__GNUC__) && defined(__x86_64__)

/// Whether the processor has instructions for SHA-1.
[[nodiscard]] inline bool has_sha1_instructions() noexcept { return cpu.sha; }

/// Takes a block of 64 bytes into the state (RFC 3174 6.1), four steps an instruction. Only where the
/// processor has them.
__attribute__((target("sha"))) inline void sha1_by_instructions(std::array<std::uint32_t, 5>& state,
                                                                const std::byte* block) noexcept {
    // They want the first of four words in the highest place.
    using four = int __attribute__((vector_size(16)));
    using unsigned_four = unsigned __attribute__((vector_size(16)));
    const auto put = [](std::uint32_t a, std::uint32_t b, std::uint32_t c, std::uint32_t d) {
        return four{static_cast<int>(d), static_cast<int>(c), static_cast<int>(b), static_cast<int>(a)};
    };
    const auto sum = [](four a, four b) {
        return reinterpret_cast<four>(reinterpret_cast<unsigned_four>(a) +
                                      reinterpret_cast<unsigned_four>(b));
    };
    std::array<four, 20> w;
    for (std::size_t i = 0; i < 4; ++i) {
        const std::byte* const at = block + 16 * i;
        w[i] = put(load_big<std::uint32_t>(at), load_big<std::uint32_t>(at + 4),
                   load_big<std::uint32_t>(at + 8), load_big<std::uint32_t>(at + 12));
    }
    for (std::size_t i = 4; i < 20; ++i)
        w[i] = __builtin_ia32_sha1msg2(__builtin_ia32_sha1msg1(w[i - 4], w[i - 3]) ^ w[i - 2], w[i - 1]);

    const four begin = put(state[0], state[1], state[2], state[3]);
    const four begin_e = put(state[4], 0, 0, 0);
    four abcd = begin;
    four before = begin;
    four added = sum(begin_e, w[0]);
    // E is what A was four steps ago, turned.
    for (std::size_t i = 0; i < 20; ++i) {
        if (i != 0) added = __builtin_ia32_sha1nexte(before, w[i]);
        before = abcd;
        switch (i / 5) {
        case 0: abcd = __builtin_ia32_sha1rnds4(abcd, added, 0); break;
        case 1: abcd = __builtin_ia32_sha1rnds4(abcd, added, 1); break;
        case 2: abcd = __builtin_ia32_sha1rnds4(abcd, added, 2); break;
        default: abcd = __builtin_ia32_sha1rnds4(abcd, added, 3); break;
        }
    }
    const four end = sum(begin, abcd);
    const four end_e = __builtin_ia32_sha1nexte(before, begin_e);
    for (std::size_t i = 0; i < 4; ++i)
        state[i] = static_cast<std::uint32_t>(end[3 - i]);
    state[4] = static_cast<std::uint32_t>(end_e[3]);
}

#else

[[nodiscard]] inline bool has_sha1_instructions() noexcept { return false; }
inline void sha1_by_instructions(std::array<std::uint32_t, 5>&, const std::byte*) noexcept {}

#endif

} // namespace duplex::detail
