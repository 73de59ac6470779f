#pragma once

// Everything that differs between the Asio versions duplex supports (1.22.1 and newer) lives here.

#include <duplex/net/detail/asio_config.hpp>

#include <asio/any_io_executor.hpp>
#include <asio/associated_allocator.hpp>
#include <asio/associated_cancellation_slot.hpp>
#include <asio/associated_executor.hpp>
#include <asio/async_result.hpp>
#include <asio/cancellation_type.hpp>
#include <asio/dispatch.hpp>
#include <asio/error.hpp>
#include <asio/execution/context.hpp>
#include <asio/execution_context.hpp>
#include <asio/executor_work_guard.hpp>
#include <asio/io_context.hpp>
#include <asio/post.hpp>
#include <asio/query.hpp>
#include <asio/recycling_allocator.hpp>
#include <asio/strand.hpp>
#include <asio/version.hpp>

#include <system_error>
#include <type_traits>
#include <typeinfo>

#if ASIO_VERSION < 102201
#error "duplex needs Asio 1.22.1 or newer"
#endif

namespace duplex::detail {

// Standalone Asio reports through the standard's error codes, as duplex does.
static_assert(std::is_same_v<asio::error_code, std::error_code>);

/// True where an error of the system's is of a kind. Asio's own category, of which its sockets' errors are,
/// has its numbers from the system and, in older versions, leaves out what they stand for.
[[nodiscard]] inline bool is_system_error(const std::error_code& error, std::errc kind) noexcept {
    if (error.category() != asio::error::get_system_category()) return error == kind;
    return std::error_code{error.value(), std::system_category()} == kind;
}

/// The context behind an executor.
template <class Executor>
[[nodiscard]] asio::execution_context& context_of(const Executor& executor) noexcept {
    return asio::query(executor, asio::execution::context);
}

template <class Executor>
concept tells_its_thread = requires(const Executor& executor) {
    { executor.running_in_this_thread() } -> std::convertible_to<bool>;
};

/// What a type-erased executor holds, where that is a `Target`. Asio 1.22 would call anything one.
template <class Target>
[[nodiscard]] const Target* target_of(const asio::any_io_executor& executor) noexcept {
#if !defined(ASIO_NO_TYPEID)
    if (executor.target_type() == typeid(Target)) return executor.target<Target>();
#endif
    return nullptr;
}

/// True when the calling thread is inside `executor`, so that what the executor guards may be touched. False
/// where that can't be known: then work is posted, which is always right.
template <class Executor>
[[nodiscard]] bool runs_here(const Executor& executor) noexcept {
    if constexpr (tells_its_thread<Executor>) {
        return executor.running_in_this_thread();
    } else if constexpr (std::is_same_v<Executor, asio::any_io_executor>) {
        if (const auto* plain = target_of<asio::io_context::executor_type>(executor))
            return plain->running_in_this_thread();
        if (const auto* strand = target_of<asio::strand<asio::io_context::executor_type>>(executor))
            return strand->running_in_this_thread();
        if (const auto* any = target_of<asio::strand<asio::any_io_executor>>(executor))
            return any->running_in_this_thread();
        return false;
    } else {
        return false;
    }
}

} // namespace duplex::detail
