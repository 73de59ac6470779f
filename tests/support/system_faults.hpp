#pragma once

// Memory that is counted, and memory and randomness that run out when a test says so. The C library's own
// functions are replaced for it; where a sanitizer replaces them itself there is none of this, and
// DUPLEX_TESTING_FAULTS is not defined.

#include "support/heap_bytes.hpp"

#if defined(__linux__) && defined(__GLIBC__) && !defined(DUPLEX_TESTING_SANITIZED)
#define DUPLEX_TESTING_FAULTS 1

#include <cerrno>
#include <climits>
#include <cstddef>
#include <cstdlib>

#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace duplex::testing {

/// While it lives, this thread has memory for `enough` allocations, then none for `missing`, then again.
class scarce_memory {
public:
    explicit scarce_memory(long enough, long missing = LONG_MAX) noexcept
        : enough_{enough}
        , missing_{missing} {
        here = this;
    }
    ~scarce_memory() { here = nullptr; }
    scarce_memory(const scarce_memory&) = delete;
    scarce_memory& operator=(const scarce_memory&) = delete;

    /// Whether an allocation has failed.
    [[nodiscard]] bool ran_out() const noexcept { return ran_out_; }

    /// Whether the next allocation of this thread succeeds.
    [[nodiscard]] static bool next() noexcept {
        if (here == nullptr || here->enough_-- > 0 || here->missing_-- <= 0) return true;
        here->ran_out_ = true;
        errno = ENOMEM;
        return false;
    }

private:
    static inline thread_local constinit scarce_memory* here = nullptr;

    long enough_;
    long missing_;
    bool ran_out_ = false;
};

/// What this thread allocates and frees while `on`.
struct allocation_counts {
    bool on = false;
    long made = 0;
    long live = 0;

    static void count_made() noexcept;
    static void count_freed(const void* memory) noexcept;

    static thread_local constinit allocation_counts here;
};
inline thread_local constinit allocation_counts allocation_counts::here{};

inline void allocation_counts::count_made() noexcept {
    if (!here.on) return;
    ++here.made;
    ++here.live;
}
inline void allocation_counts::count_freed(const void* memory) noexcept {
    if (here.on && memory != nullptr) --here.live;
}

/// What `what` gives where no memory is left. It must not make an assertion: that takes memory.
template <class F>
auto without_memory(F what) {
    const scarce_memory none{0};
    return what();
}

/// While it lives, the system's randomness comes to this thread from a function of the test.
class scripted_random {
public:
    using source = ssize_t (*)(void* to, std::size_t size);

    explicit scripted_random(source from) noexcept { here = from; }
    ~scripted_random() { here = nullptr; }
    scripted_random(const scripted_random&) = delete;
    scripted_random& operator=(const scripted_random&) = delete;

    /// A system that gives none.
    static ssize_t none(void*, std::size_t) {
        errno = ENOSYS;
        return -1;
    }

    static inline thread_local constinit source here = nullptr;
};

} // namespace duplex::testing

extern "C" {
void* __libc_malloc(std::size_t) noexcept;
void* __libc_calloc(std::size_t, std::size_t) noexcept;
void* __libc_realloc(void*, std::size_t) noexcept;
void* __libc_memalign(std::size_t, std::size_t) noexcept;
void __libc_free(void*) noexcept;

// Weak, so that several test files of one binary may include this.
[[gnu::weak]] void* malloc(std::size_t size) noexcept {
    if (!duplex::testing::scarce_memory::next()) return nullptr;
    duplex::testing::allocation_counts::count_made();
    return __libc_malloc(size);
}
[[gnu::weak]] void* calloc(std::size_t count, std::size_t size) noexcept {
    duplex::testing::allocation_counts::count_made();
    return __libc_calloc(count, size);
}
[[gnu::weak]] void* realloc(void* memory, std::size_t size) noexcept {
    if (!duplex::testing::scarce_memory::next()) return nullptr;
    duplex::testing::allocation_counts::count_freed(memory);
    duplex::testing::allocation_counts::count_made();
    return __libc_realloc(memory, size);
}
// Whether Asio asks here or calls `operator new` depends on what is included before it.
[[gnu::weak]] void* aligned_alloc(std::size_t alignment, std::size_t size) noexcept {
    if (!duplex::testing::scarce_memory::next()) return nullptr;
    duplex::testing::allocation_counts::count_made();
    return __libc_memalign(alignment, size);
}
[[gnu::weak]] void free(void* memory) noexcept {
    duplex::testing::allocation_counts::count_freed(memory);
    __libc_free(memory);
}
[[gnu::weak]] ssize_t getrandom(void* to, std::size_t size, unsigned flags) {
    const auto from = duplex::testing::scripted_random::here;
    return from != nullptr ? from(to, size) : ::syscall(SYS_getrandom, to, size, flags);
}
}

#endif
