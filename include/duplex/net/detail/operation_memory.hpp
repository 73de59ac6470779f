#pragma once

#include <duplex/net/detail/asio_compat.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <memory>
#include <type_traits>
#include <utility>

namespace duplex::detail {

/// Memory that whoever posts on this thread offers to what is posted.
struct offered_memory {
    void* memory;

    inline static thread_local constinit offered_memory* now = nullptr;
};

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
            , offered_{memory} {}
        room(const room&) = delete;
        room& operator=(const room&) = delete;
        ~room() { free(); }

        void free() noexcept {
            if (void* const mine = std::exchange(offered_.memory, nullptr))
                operation_memory::free(from_, mine);
        }

    private:
        friend operation_memory;

        const Allocator& from_;
        offered_memory offered_;
    };

    template <class Executor>
    static void post(const Executor& executor, Posted&& function, room& in) {
        if constexpr (std::is_same_v<Executor, asio::io_context::executor_type>) {
            struct offer {
                offered_memory* before;
                ~offer() { offered_memory::now = before; }
            };
            const offer during{std::exchange(offered_memory::now, &in.offered_)};
            asio::post(executor, in_room{std::move(function), in.from_});
        } else {
            in.free();
            asio::post(executor, std::move(function));
        }
    }

private:
    /// Gives what is offered to the first who asks, during `post`; later it only takes back. It has nothing
    /// but the handler's allocator in it, which mostly is nothing: what is posted is to be no larger than
    /// what it follows.
    template <class T>
    class allocator {
    public:
        using value_type = T;
        template <class U>
        struct rebind {
            using other = allocator<U>;
        };

        explicit allocator(const Allocator& from) noexcept
            : from_{from} {}
        template <class U>
        allocator(const allocator<U>& other) noexcept // NOLINT: implicit, as every allocator's
            : from_{other.from_} {}

        [[nodiscard]] T* allocate(std::size_t count) {
            if (fits(count)) {
                auto* const offered = offered_memory::now;
                void* const taken = offered ? std::exchange(offered->memory, nullptr) : nullptr;
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
    };

    /// The function, with the allocator that Asio is to ask.
    class in_room {
    public:
        using allocator_type = allocator<Posted>;

        in_room(Posted&& function, const Allocator& from)
            : function_{std::move(function)}
            , allocator_{from} {}

        [[nodiscard]] allocator_type get_allocator() const noexcept { return allocator_; }

        void operator()() { function_(); }

    private:
        Posted function_;
        [[no_unique_address]] allocator_type allocator_;
    };

    /// What Asio makes of it. Were it ever more, that would take memory of its own.
    struct posted_operation {
#if defined(_WIN32)
        std::array<void*, 8> links;
#else
        std::array<void*, 3> links;
#endif
        in_room function;
        allocator<Posted> to_free_it;
    };

    struct alignas(std::max(alignof(Op), alignof(posted_operation))) block {
        std::array<std::byte, std::max(sizeof(Op), sizeof(posted_operation))> bytes;
    };
};

} // namespace duplex::detail
