#pragma once

#include <duplex/core/detail/chacha20.hpp>
#include <duplex/core/mask.hpp>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#if defined(_WIN32)
#ifndef WIN32_LEAN_AND_MEAN
#define WIN32_LEAN_AND_MEAN
#endif
#ifndef NOMINMAX
#define NOMINMAX
#endif
#include <windows.h>
// <bcrypt.h> needs the types of <windows.h>.
#include <bcrypt.h>
#if defined(_MSC_VER)
#pragma comment(lib, "bcrypt")
#endif
#else
#include <pthread.h>
#include <unistd.h>
#if defined(__linux__) || defined(__APPLE__)
#include <sys/random.h>
#endif
#endif

namespace duplex {

namespace detail {

/// Random bytes of the operating system, at most 256 a call; false where it gives none.
struct os_entropy {
    [[nodiscard]] bool operator()(std::span<std::byte> out) const noexcept {
#if defined(_WIN32)
        return BCryptGenRandom(nullptr, reinterpret_cast<PUCHAR>(out.data()), static_cast<ULONG>(out.size()),
                               BCRYPT_USE_SYSTEM_PREFERRED_RNG) >= 0;
#elif defined(__linux__)
        while (!out.empty()) {
            const ssize_t got = ::getrandom(out.data(), out.size(), 0);
            if (got > 0)
                out = out.subspan(static_cast<std::size_t>(got));
            else if (got == 0 || errno != EINTR)
                return false;
        }
        return true;
#else
        return ::getentropy(out.data(), out.size()) == 0;
#endif
    }
};

/// How many forks lie between this process and the one that began to count. When it changes, what a generator
/// holds is worthless: the parent draws the same.
inline std::atomic<std::uint32_t> fork_count{0};

/// Has `fork_count` count. A fork that goes around the C library (a bare `clone` call) is not seen.
[[nodiscard]] inline bool count_forks() noexcept {
#if defined(_WIN32)
    return true;
#else
    static const bool counting =
        ::pthread_atfork(nullptr, nullptr, [] { fork_count.fetch_add(1, std::memory_order_relaxed); }) == 0;
    return counting;
#endif
}

/// A ChaCha20 generator with fast key erasure: each refill first replaces the key with the start of its own
/// output, and a byte is erased when it is drawn, so that what was given out cannot be found in memory.
/// `Entropy` is a function object that fills a span and says whether it could. One thread at a time.
template <class Entropy>
class random_generator {
public:
    [[nodiscard]] bool fill(std::span<std::byte> out) noexcept {
        while (!out.empty()) {
            if (!has(1) && !refill()) return false;
            const std::size_t left = buffer_size - next_;
            const std::size_t size = out.size() < left ? out.size() : left;
            take(out.data(), size);
            out = out.subspan(size);
        }
        return true;
    }

    /// `fill` for a few bytes, in a few instructions.
    template <std::size_t Size>
    [[nodiscard]] bool draw(std::array<std::byte, Size>& out) noexcept {
        static_assert(Size <= buffer_size - key_size);
        if (!has(Size) && !refill()) return false;
        take(out.data(), Size);
        return true;
    }

private:
    static constexpr std::size_t key_size = 32;
    static constexpr std::size_t buffer_size = 512;

    [[nodiscard]] bool has(std::size_t size) const noexcept {
        return buffer_size - next_ >= size && forks_ == fork_count.load(std::memory_order_relaxed);
    }

    void take(std::byte* out, std::size_t size) noexcept {
        std::memcpy(out, buffer_ + next_, size);
        std::memset(buffer_ + next_, 0, size);
        next_ += size;
    }

    [[nodiscard]] bool refill() noexcept {
        if (!seeded_ || forks_ != fork_count.load(std::memory_order_relaxed)) {
            // RFC 6455 10.3, RFC 4086: the seed comes from the operating system, again after a fork
            seeded_ = false;
            next_ = buffer_size;
            if (!count_forks()) return false;
            const auto forks = fork_count.load(std::memory_order_relaxed);
            if (!Entropy{}(std::span(buffer_, key_size))) return false;
            forks_ = forks;
            seeded_ = true;
            std::memcpy(key_, buffer_, key_size);
        }
        chacha20_fill(key_, buffer_);
        std::memcpy(key_, buffer_, key_size);
        std::memset(buffer_, 0, key_size);
        next_ = key_size;
        return true;
    }

    alignas(16) std::byte buffer_[buffer_size]{};
    std::byte key_[key_size]{};
    std::size_t next_ = buffer_size;
    std::uint32_t forks_ = 0;
    bool seeded_ = false;
};

/// Each thread has its own, so no draw waits.
inline thread_local constinit random_generator<os_entropy> thread_random;

} // namespace detail

/// Fills `out` with bytes nobody can foretell (RFC 6455 10.3). False: the operating system gave no seed, and
/// `out` is not to be used. Any thread; a child of `fork` draws other bytes than its parent.
[[nodiscard]] inline bool fill_random(std::span<std::byte> out) noexcept {
    return detail::thread_random.fill(out);
}

/// A fresh key for one frame (RFC 6455 5.3: unpredictable, chosen anew for each). False as for `fill_random`.
[[nodiscard]] inline bool random_mask_key(mask_key& key) noexcept { return detail::thread_random.draw(key); }

} // namespace duplex
