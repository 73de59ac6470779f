#pragma once

#include <duplex/core/detail/inlining.hpp>

#include <new>
#include <utility>

namespace duplex::detail {

/// Memory for one `T` that this thread gave back last, for objects that come and go with messages.
template <class T>
class warm_slot {
public:
    /// Null when memory ran out.
    [[nodiscard]] static void* take() noexcept {
        if (warm_.memory != nullptr) [[likely]]
            return std::exchange(warm_.memory, nullptr);
        return ::operator new(sizeof(T), std::nothrow);
    }

    static void give(void* memory) noexcept {
        if (warm_.open && warm_.memory == nullptr) [[likely]]
            warm_.memory = memory;
        else
            give_further(memory);
    }

private:
    /// Plain data costs less to reach than what has a destructor.
    struct slot {
        void* memory = nullptr;
        bool open = false; ///< the thread has an owner for it
        bool gone = false; ///< and that is gone: objects with static storage may still come
    };
    struct owner {
        ~owner() {
            ::operator delete(warm_.memory);
            warm_ = {nullptr, false, true};
        }
    };

    DUPLEX_NEVER_INLINE static void give_further(void* memory) noexcept {
        if (warm_.open || warm_.gone) return ::operator delete(memory);
        thread_local owner frees;
        (void)frees;
        warm_ = {memory, true, false};
    }

    inline static thread_local constinit slot warm_{};
};

} // namespace duplex::detail
