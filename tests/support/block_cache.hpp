#pragma once

#include <duplex/core/detail/block_cache.hpp>

#include <cstddef>
#include <cstdlib>

namespace duplex::testing {

/// Empties this thread's cache of large blocks; returns how many bytes it held.
inline std::size_t forget_blocks() {
    using cache = duplex::detail::block_cache;
    std::size_t bytes = 0;
    for (;;) {
        const auto block = cache::take(cache::smallest, 0);
        if (block.data == nullptr) return bytes;
        bytes += block.capacity;
        std::free(block.data);
    }
}

} // namespace duplex::testing
