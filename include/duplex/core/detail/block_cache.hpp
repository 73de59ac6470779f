#pragma once

#include <array>
#include <cstddef>
#include <cstdlib>
#include <utility>

namespace duplex::detail {

/// Large blocks of memory that this thread has no use for at the moment. Without them a stream of large
/// messages would give its memory back to the system after each, and have every page of it cleared anew for
/// the next. Bounded.
class block_cache {
public:
    struct block {
        std::byte* data = nullptr; ///< from malloc
        std::size_t capacity = 0;
    };

    static constexpr std::size_t smallest = std::size_t{64} << 10;
    static constexpr std::size_t most_bytes = std::size_t{8} << 20;

    /// A block of at least so many bytes, none where there is none: the smallest that has room for `wish`,
    /// else the largest.
    [[nodiscard]] static block take(std::size_t at_least, std::size_t wish) noexcept {
        if (at_least < smallest) return {};
        auto* kept = here();
        if (kept == nullptr) return {};
        block* best = nullptr;
        for (block& each : kept->blocks_) {
            if (each.capacity < at_least) continue;
            if (best == nullptr || fits_better(each.capacity, best->capacity, wish)) best = &each;
        }
        if (best == nullptr) return {};
        kept->bytes_ -= best->capacity;
        return std::exchange(*best, {});
    }

    /// Takes a block over, or frees it.
    static void give(block given) noexcept {
        auto* kept = given.capacity < smallest ? nullptr : here();
        if (kept != nullptr && kept->bytes_ + given.capacity <= most_bytes) {
            for (block& each : kept->blocks_) {
                if (each.data != nullptr) continue;
                kept->bytes_ += given.capacity;
                each = given;
                return;
            }
        }
        std::free(given.data);
    }

private:
    block_cache() noexcept = default;
    ~block_cache() {
        gone = true;
        for (const block& each : blocks_)
            std::free(each.data);
    }

    [[nodiscard]] static bool fits_better(std::size_t one, std::size_t than, std::size_t wish) noexcept {
        return than >= wish ? one >= wish && one < than : one > than;
    }

    /// Null once the thread's cache is gone: objects with static storage are destroyed later. Null also where
    /// a sanitizer watches what is used after it was freed.
    [[nodiscard]] static block_cache* here() noexcept {
#if defined(__SANITIZE_ADDRESS__)
        return nullptr;
#else
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
        return nullptr;
#endif
#endif
        if (gone) return nullptr;
        thread_local block_cache cache;
        return &cache;
#endif
    }

    inline static thread_local bool gone = false;

    std::array<block, 8> blocks_{};
    std::size_t bytes_ = 0;
};

} // namespace duplex::detail
