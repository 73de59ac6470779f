#pragma once

#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>
#endif

namespace duplex::detail {

/// What the processor can do beyond what the program was compiled for. Asked by ourselves: the compiler's own
/// question brings a table of all processors, 4.5 KB, into each program.
struct cpu_features {
    bool ssse3 = false;
    bool avx2 = false;
    bool sha = false; ///< SHA-1 and SHA-256
};

#if defined(__x86_64__) || defined(__i386__)
[[nodiscard]] inline cpu_features ask_cpu() noexcept {
    cpu_features known;
    unsigned a = 0;
    unsigned b = 0;
    unsigned c = 0;
    unsigned d = 0;
    if (__get_cpuid(1, &a, &b, &c, &d) == 0) return known;
    known.ssse3 = (c & bit_SSSE3) != 0;
    // The wide registers also take an operating system that saves them.
    bool wide = false;
    if ((c & bit_OSXSAVE) != 0) {
        unsigned saved = 0;
        __asm__ __volatile__("xgetbv" : "=a"(saved), "=d"(d) : "c"(0));
        constexpr unsigned xmm_and_ymm = 6;
        wide = (saved & xmm_and_ymm) == xmm_and_ymm;
    }
    if (__get_cpuid_count(7, 0, &a, &b, &c, &d) == 0) return known;
    known.avx2 = wide && (b & bit_AVX2) != 0;
    known.sha = (b & bit_SHA) != 0;
    return known;
}
#else
[[nodiscard]] inline cpu_features ask_cpu() noexcept { return {}; }
#endif

inline const cpu_features cpu = ask_cpu();

} // namespace duplex::detail
