#pragma once

#include <cstddef>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define DUPLEX_TESTING_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define DUPLEX_TESTING_SANITIZED 1
#endif
#endif

#if defined(DUPLEX_TESTING_SANITIZED)
extern "C" std::size_t __sanitizer_get_current_allocated_bytes();
#elif defined(__GLIBC__) || __has_include(<malloc.h>)
#include <malloc.h>
#endif

namespace duplex::testing {

/// Bytes of heap that this process holds now, or 0 where there is no way to ask.
[[nodiscard]] inline std::size_t heap_bytes() {
#if defined(DUPLEX_TESTING_SANITIZED)
    return __sanitizer_get_current_allocated_bytes();
#elif defined(__GLIBC__) && (__GLIBC__ > 2 || __GLIBC_MINOR__ >= 33)
    const auto info = ::mallinfo2();
    return info.uordblks + info.hblkhd;
#else
    return 0;
#endif
}

} // namespace duplex::testing
