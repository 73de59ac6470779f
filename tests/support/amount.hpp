#pragma once

// How much of a test that can go on for as long as one likes is to be done.

#include "support/heap_bytes.hpp"

#include <cstddef>
#include <cstdlib>

namespace duplex::testing {

/// What the environment variable says, or `usual`; a sanitizer's share of that is a quarter.
[[nodiscard]] inline std::size_t amount(const char* variable, std::size_t usual) {
    if (const char* const asked = std::getenv(variable)) return std::strtoull(asked, nullptr, 10);
#if defined(DUPLEX_TESTING_SANITIZED)
    return usual / 4;
#else
    return usual;
#endif
}

} // namespace duplex::testing
