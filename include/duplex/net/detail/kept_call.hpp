#pragma once

#include <duplex/core/detail/intrusive_ptr.hpp>
#include <duplex/net/detail/asio_compat.hpp>
#include <duplex/net/detail/handler_storage.hpp>

#include <cstddef>
#include <utility>

namespace duplex::detail {

/// A function to be posted together with the object that it is called for, which it keeps alive. It is one
/// type whatever is called, so that a program carries Asio's part of posting once for each executor.
class kept_call {
public:
    /// `Call` is a function without captures.
    template <class T, class Call>
    kept_call(intrusive_ptr<T> object, Call) noexcept
        : object_{object.release()}
        , step_{[](void* of, bool call) {
            const auto kept = intrusive_ptr<T>::adopt(static_cast<T*>(of));
            if (call) Call{}(*kept);
        }} {}
    /// For an object that outlives what its context runs.
    template <class T, class Call>
    kept_call(T& object, Call) noexcept
        : object_{&object}
        , step_{[](void* of, bool call) {
            if (call) Call{}(*static_cast<T*>(of));
        }} {}
    kept_call(kept_call&& other) noexcept
        : object_{std::exchange(other.object_, nullptr)}
        , step_{other.step_} {}
    ~kept_call() {
        if (object_) step_(object_, false);
    }

    void operator()() { step_(std::exchange(object_, nullptr), true); }

private:
    void* object_;
    void (*step_)(void* of, bool call);
};

/// Calls `call(object)` later, on `executor`.
template <class Executor, class Object, class Call>
void post_call(const Executor& executor, Object&& object, Call call) {
    asio::post(executor, kept_call{std::forward<Object>(object), call});
}

/// Bytes for one posted call.
inline constexpr std::size_t call_room = 96;
using call_storage = handler_storage<call_room>;

/// A call that lies in a room of its own while it waits.
class roomy_call : public kept_call {
public:
    using allocator_type = storage_allocator<void, call_room>;

    roomy_call(kept_call&& call, call_storage& room) noexcept
        : kept_call{std::move(call)}
        , room_{&room} {}
    [[nodiscard]] allocator_type get_allocator() const noexcept { return allocator_type{*room_}; }

private:
    call_storage* room_;
};

/// The same without asking anybody for memory, one call at a time: it can't fail.
template <class Object, class Call>
void post_call(const asio::io_context::executor_type& executor, Object& object, Call call,
               call_storage& room) {
    asio::post(executor, roomy_call{kept_call{object, call}, room});
}

} // namespace duplex::detail
