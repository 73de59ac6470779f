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
    struct block;
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

    /// The memory once the operation is gone from it, until somebody takes it.
    class room {
    public:
        room(const Allocator& from, void* memory) noexcept
            : from_{from}
            , memory_{memory} {}
        room(const room&) = delete;
        room& operator=(const room&) = delete;
        ~room() { free(); }

        void free() noexcept {
            if (void* const mine = take()) operation_memory::free(from_, mine);
        }
        /// Null where it was taken before.
        [[nodiscard]] void* take() noexcept { return std::exchange(memory_, nullptr); }
        [[nodiscard]] const Allocator& from() const noexcept { return from_; }

    private:
        const Allocator& from_;
        void* memory_;
    };

    template <class Executor>
    static void post(const Executor& executor, Posted&& function, room& in) {
        if constexpr (std::is_same_v<Executor, asio::io_context::executor_type>) {
            asio::post(executor, in_room{std::move(function), in});
        } else {
            in.free();
            asio::post(executor, std::move(function));
        }
    }

private:
    /// Gives the room to the first who asks, during `post`; later it only takes back.
    template <class T>
    class allocator {
    public:
        using value_type = T;
        template <class U>
        struct rebind {
            using other = allocator<U>;
        };

        explicit allocator(room& in) noexcept
            : from_{in.from()}
            , in_{&in} {}
        template <class U>
        allocator(const allocator<U>& other) noexcept // NOLINT: implicit, as every allocator's
            : from_{other.from_}
            , in_{other.in_} {}

        [[nodiscard]] T* allocate(std::size_t count) {
            if (fits(count)) {
                void* const taken = in_->take();
                return static_cast<T*>(taken ? taken : operation_memory::allocate(from_));
            }
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
            return from_ == other.from_;
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
        room* in_;
    };

    /// The function, with the allocator that Asio is to ask.
    class in_room {
    public:
        using allocator_type = allocator<Posted>;

        in_room(Posted&& function, room& in)
            : function_{std::move(function)}
            , allocator_{in} {}

        [[nodiscard]] allocator_type get_allocator() const noexcept { return allocator_; }

        void operator()() { function_(); }

    private:
        Posted function_;
        allocator_type allocator_;
    };

    /// What Asio makes of it, at most.
    struct posted_operation {
        std::array<void*, 8> links;
        in_room function;
        allocator<Posted> to_free_it;
    };

    struct alignas(std::max({alignof(Op), alignof(posted_operation), alignof(std::max_align_t)})) block {
        std::array<std::byte, std::max(sizeof(Op), sizeof(posted_operation))> bytes;
    };
};

} // namespace duplex::detail
