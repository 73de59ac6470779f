#pragma once

#include <duplex/deflate/detail/whole_messages.hpp>
#include <duplex/deflate/detail/zlib_stream.hpp>

#include <array>
#include <cstddef>
#include <memory>
#include <utility>

namespace duplex::detail {

/// Streams that this thread has no use for at the moment: connections without context takeover borrow one
/// for the length of a message. Bounded.
class stream_pool {
public:
    /// Streams of each kind that are kept.
    static constexpr std::size_t kept = 4;
    /// The window of the inflaters in here, which is large enough for any peer.
    static constexpr int inflate_bits = 15;

    /// One that has seen nothing; null when memory ran out.
    [[nodiscard]] static std::unique_ptr<deflate_stream> take_deflate(const deflate_shape& shape) noexcept {
        if (auto* const pool = here(); pool != nullptr) {
            for (auto& each : pool->deflate_) {
                if (!each || each->shape() != shape) continue;
                each->reset();
                return std::move(each);
            }
        }
        return deflate_stream::make(shape);
    }
    [[nodiscard]] static std::unique_ptr<inflate_stream> take_inflate() noexcept {
        if (auto* const pool = here(); pool != nullptr) {
            for (auto& each : pool->inflate_) {
                if (!each) continue;
                each->reset();
                each->taken = each->given = 0;
                return std::move(each);
            }
        }
        return inflate_stream::make(inflate_bits);
    }

    /// What this thread has for messages that go in one call, which nobody borrows; null once it is gone.
    [[nodiscard]] static whole_messages* whole() noexcept {
        auto* const pool = here();
        return pool == nullptr ? nullptr : &pool->whole_;
    }

    static void give(std::unique_ptr<deflate_stream> stream) noexcept {
        auto* const pool = here();
        if (pool == nullptr || !stream) return;
        for (auto& each : pool->deflate_) {
            if (each) continue;
            each = std::move(stream);
            return;
        }
        // Shapes that nobody asks for any more must not stay for ever.
        pool->deflate_[pool->next_++ % kept] = std::move(stream);
    }
    static void give(std::unique_ptr<inflate_stream> stream) noexcept {
        auto* const pool = here();
        if (pool == nullptr) return;
        for (auto& each : pool->inflate_) {
            if (each) continue;
            each = std::move(stream);
            return;
        }
    }

    /// Bytes in the streams that this thread keeps.
    [[nodiscard]] static std::size_t memory() noexcept {
        std::size_t bytes = 0;
        auto* const pool = here();
        for (std::size_t i = 0; pool != nullptr && i < kept; ++i) {
            if (pool->deflate_[i]) bytes += pool->deflate_[i]->memory();
            if (pool->inflate_[i]) bytes += pool->inflate_[i]->memory();
        }
        return pool == nullptr ? bytes : bytes + pool->whole_.memory();
    }
    /// Frees them.
    static void clear() noexcept {
        auto* const pool = here();
        if (pool == nullptr) return;
        pool->deflate_ = {};
        pool->inflate_ = {};
        pool->whole_ = {};
    }

private:
    stream_pool() noexcept = default;
    ~stream_pool() { gone = true; }

    /// Null once the thread's pool is gone: objects with static storage are destroyed later.
    [[nodiscard]] static stream_pool* here() noexcept {
        if (gone) return nullptr;
        thread_local stream_pool pool;
        return &pool;
    }

    inline static thread_local bool gone = false;

    std::array<std::unique_ptr<deflate_stream>, kept> deflate_{};
    std::array<std::unique_ptr<inflate_stream>, kept> inflate_{};
    std::size_t next_ = 0;
    whole_messages whole_{};
};

} // namespace duplex::detail
