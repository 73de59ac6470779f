#pragma once

#include <duplex/net/detail/asio_compat.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <memory>
#include <type_traits>
#include <utility>

namespace duplex::detail {

/// The memory of a pending operation `Op`, which what posts its handler, `Posted`, takes over: whoever waits
/// is told also where no memory is left. `Allocator` is the handler's.
///
/// Executors that aren't an `io_context`'s own may ask for memory more than once, or not there: for them the
/// operation's is freed first, and posting takes new memory.
template <class Op, class Posted, class Allocator>
class operation_memory {
    /// What Asio adds to a function that it posts: links, the function's type, its allocator.
    static constexpr std::size_t added = 10 * sizeof(void*);
    static constexpr std::size_t size = std::max(sizeof(Op), sizeof(Posted) + added);

    struct alignas(std::max({alignof(Op), alignof(Posted), alignof(std::max_align_t)})) block {
        std::array<std::byte, size> bytes;
    };
    using block_allocator = typename std::allocator_traits<Allocator>::template rebind_alloc<block>;
    using block_traits = std::allocator_traits<block_allocator>;

public:
    [[nodiscard]] static void* allocate(const Allocator& from) {
        block_allocator allocator{from};
        return block_traits::allocate(allocator, 1);
    }

    static void free(const Allocator& from, void* memory) noexcept {
        block_allocator allocator{from};
        block_traits::deallocate(allocator, static_cast<block*>(memory), 1);
    }

    /// Posts in `memory`, where there is nothing any more, and sees to it that it is freed.
    template <class Executor>
    static void post(const Executor& executor, Posted&& function, const Allocator& from, void* memory) {
        if constexpr (std::is_same_v<Executor, asio::io_context::executor_type>) {
            asio::post(executor, in_memory{std::move(function), from, memory});
        } else {
            free(from, memory);
            asio::post(executor, std::move(function));
        }
    }

private:
    /// Gives the memory to the first who asks.
    template <class T>
    class allocator {
    public:
        using value_type = T;
        template <class U>
        struct rebind {
            using other = allocator<U>;
        };

        allocator(const Allocator& from, void* memory) noexcept
            : from_{from}
            , memory_{memory} {}
        template <class U>
        allocator(const allocator<U>& other) noexcept // NOLINT: implicit, as every allocator's
            : from_{other.from_}
            , memory_{other.memory_} {}

        [[nodiscard]] T* allocate(std::size_t count) {
            if (fits(count)) return static_cast<T*>(memory_);
            operation_memory::free(from_, memory_);
            rebound other{from_};
            return rebound_traits::allocate(other, count);
        }

        void deallocate(T* memory, std::size_t count) noexcept {
            if (fits(count)) return operation_memory::free(from_, memory);
            rebound other{from_};
            rebound_traits::deallocate(other, memory, count);
        }

        template <class U>
        bool operator==(const allocator<U>& other) const noexcept {
            return memory_ == other.memory_ && from_ == other.from_;
        }

    private:
        template <class>
        friend class allocator;
        using rebound = typename std::allocator_traits<Allocator>::template rebind_alloc<T>;
        using rebound_traits = std::allocator_traits<rebound>;

        [[nodiscard]] static constexpr bool fits(std::size_t count) noexcept {
            return count == 1 && sizeof(T) <= sizeof(block) && alignof(T) <= alignof(block);
        }

        [[no_unique_address]] Allocator from_;
        void* memory_;
    };

    /// The function, with the allocator that Asio is to ask.
    class in_memory {
    public:
        using allocator_type = allocator<Posted>;

        in_memory(Posted&& function, const Allocator& from, void* memory)
            : function_{std::move(function)}
            , allocator_{from, memory} {}

        [[nodiscard]] allocator_type get_allocator() const noexcept { return allocator_; }

        void operator()() { function_(); }

    private:
        Posted function_;
        allocator_type allocator_;
    };
};

} // namespace duplex::detail
