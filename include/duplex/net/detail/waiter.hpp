#pragma once

#include <duplex/net/detail/asio_compat.hpp>
#include <duplex/net/detail/operation_memory.hpp>

#include <cstdint>
#include <memory>
#include <tuple>
#include <utility>

namespace duplex::detail {

/// Operations come one after the other: where the handler has no allocator of its own, Asio's cache serves
/// them.
using default_allocator = asio::recycling_allocator<void>;

/// A completion handler with its arguments, posted or dispatched as one function. It shows the handler's
/// allocator.
template <class Handler, class Arguments>
class bound_handler {
public:
    using allocator_type = asio::associated_allocator_t<Handler, default_allocator>;

    bound_handler(Handler&& handler, Arguments&& arguments)
        : handler_{std::move(handler)}
        , arguments_{std::move(arguments)} {}

    [[nodiscard]] allocator_type get_allocator() const noexcept {
        return asio::get_associated_allocator(handler_, default_allocator{});
    }

    void operator()() { std::apply(std::move(handler_), std::move(arguments_)); }

private:
    Handler handler_;
    Arguments arguments_;
};

/// Goes to the handler's executor from the I/O executor, as completions of Asio's own objects do: a future,
/// say, is then ready in the thread that runs the context.
template <class Executor, class Bound>
class posted_handler {
public:
    using allocator_type = typename Bound::allocator_type;

    posted_handler(asio::executor_work_guard<Executor>&& work, Bound&& bound)
        : work_{std::move(work)}
        , bound_{std::move(bound)} {}

    [[nodiscard]] allocator_type get_allocator() const noexcept { return bound_.get_allocator(); }

    void operator()() { asio::dispatch(work_.get_executor(), std::move(bound_)); }

private:
    asio::executor_work_guard<Executor> work_; // the handler's context stays busy on the way
    Bound bound_;
};

/// How a waiter's handler is reached: never from inside the initiating function, and inline only from a point
/// where the connection is in order.
enum class completion { post, dispatch };

/// What a cancellation slot is given: one type, whatever waits.
class cancel_call {
public:
    using function = void (*)(void* of, void* which);

    cancel_call(function call, void* of, void* which) noexcept
        : call_{call}
        , of_{of}
        , which_{which} {}

    void operator()(asio::cancellation_type type) const {
        // All three kinds leave the connection as it was, so the strongest promise holds.
        if (type != asio::cancellation_type::none) call_(of_, which_);
    }

private:
    function call_;
    void* of_;
    void* which_;
};

/// Gives a slot what it calls, where there is a signal behind it.
template <class Slot, class Call>
void connect_slot(Slot slot, Call call) {
    if (slot.is_connected()) slot.assign(std::move(call));
}

template <class Slot>
void disconnect_slot(Slot slot) noexcept {
    if (slot.is_connected()) slot.clear();
}

/// An operation that waits, with its handler erased behind `Args`.
template <class... Args>
class waiter {
public:
    /// Frees the waiter and calls its handler.
    virtual void complete(completion how, Args... args) = 0;
    /// Frees the waiter without calling: its context is going away.
    virtual void abandon() noexcept = 0;

    /// What the handler is called with; a derived waiter may have more to give.
    [[nodiscard]] std::tuple<Args...> arguments(Args... args) { return {std::move(args)...}; }

protected:
    ~waiter() = default;
};

/// One that stands in a list.
template <class... Args>
class listed_waiter : public waiter<Args...> {
public:
    listed_waiter* next = nullptr;
    listed_waiter* previous = nullptr;
    std::uint64_t key = 0; ///< what is waited for, in the list's own terms

protected:
    ~listed_waiter() = default;
};

/// A list of waiters, first in first out. A waiter can leave from anywhere.
template <class... Args>
class waiter_list {
public:
    using waiter_type = listed_waiter<Args...>;

    waiter_list() noexcept = default;
    waiter_list(const waiter_list&) = delete;
    waiter_list& operator=(const waiter_list&) = delete;
    ~waiter_list() { abandon_all(); }

    [[nodiscard]] bool empty() const noexcept { return first_ == nullptr; }
    [[nodiscard]] waiter_type* front() const noexcept { return first_; }

    void push_back(waiter_type& added) noexcept {
        added.previous = last_;
        added.next = nullptr;
        (last_ ? last_->next : first_) = &added;
        last_ = &added;
    }

    void remove(waiter_type& gone) noexcept {
        if (near_ == &gone) near_ = gone.next ? gone.next : gone.previous;
        (gone.previous ? gone.previous->next : first_) = gone.next;
        (gone.next ? gone.next->previous : last_) = gone.previous;
    }

    [[nodiscard]] waiter_type* pop_front() noexcept {
        auto* popped = front();
        if (popped) remove(*popped);
        return popped;
    }

    /// The one with that key in a list whose keys grow; null where there is none. It is looked for from where
    /// the last one was found: in whatever order they come, the next is mostly not far.
    [[nodiscard]] waiter_type* find_ordered(std::uint64_t key) noexcept {
        if (empty() || key < first_->key || key > last_->key) return nullptr;
        if (!near_) near_ = first_;
        while (near_->key < key)
            near_ = near_->next;
        while (near_->key > key)
            near_ = near_->previous;
        return near_->key == key ? near_ : nullptr;
    }

    template <class Visit>
    void for_each(Visit visit) {
        for (auto* each = first_; each; each = each->next)
            visit(*each);
    }

    void complete_all(completion how, Args... args) {
        while (auto* each = pop_front())
            each->complete(how, args...);
    }

    void abandon_all() noexcept {
        while (auto* each = pop_front())
            each->abandon();
    }

private:
    waiter_type* first_ = nullptr;
    waiter_type* last_ = nullptr;
    waiter_type* near_ = nullptr; ///< where `find_ordered` looked last, or beside it
};

/// A waiter that stays as long as its connection.
template <class Base>
concept lasting = requires {
    typename Base::lasts;
};

/// The concrete waiter: keeps both executors busy, honours the handler's allocator, executor and cancellation
/// slot. `Base` is a `waiter<Args...>` or derives from one.
template <class Base, class Handler, class IoExecutor, class... Args>
class waiter_op final : public Base {
    struct no_work {};
    /// Most handlers have no executor of their own: then the I/O executor's work is all there is.
    static constexpr bool has_executor =
        !std::is_same_v<asio::associated_executor_t<Handler, no_work>, no_work>;
    using handler_executor = asio::associated_executor_t<Handler, IoExecutor>;
    using handler_guard =
        std::conditional_t<has_executor, asio::executor_work_guard<handler_executor>, no_work>;
    /// One that lasts would keep a larger block from those that come and go.
    using own_allocator = std::conditional_t<lasting<Base>, std::allocator<void>, default_allocator>;
    using allocator = asio::associated_allocator_t<Handler, own_allocator>;
    using bound = bound_handler<Handler, decltype(std::declval<Base&>().arguments(std::declval<Args>()...))>;
    using posted = std::conditional_t<has_executor, posted_handler<handler_executor, bound>, bound>;
    /// Known where the waiter is complete.
    template <class Op>
    using memory_of = operation_memory<Op, posted, allocator>;

public:
    /// Allocates with the handler's allocator. `more` goes to the base.
    template <class... More>
    static waiter_op* make(Handler&& handler, const IoExecutor& executor, More&&... more) {
        const allocator from{asio::get_associated_allocator(handler, own_allocator{})};
        return ::new (memory_of<waiter_op>::allocate(from))
            waiter_op(std::move(handler), executor, std::forward<More>(more)...);
    }

    /// Lets the handler's cancellation slot call a function without captures, `OnCancel(Of&, Base&)`. `of`
    /// outlives the waiter.
    template <class Of, class OnCancel>
    void connect_cancellation(Of& of, OnCancel) {
        const auto call = [](void* to, void* which) {
            OnCancel{}(*static_cast<Of*>(to), *static_cast<Base*>(which));
        };
        connect_slot(asio::get_associated_cancellation_slot(handler_),
                     cancel_call{call, &of, static_cast<Base*>(this)});
    }

    void complete(completion how, Args... args) override {
        using memory = memory_of<waiter_op>;
        disconnect();
        const allocator from{get_allocator()};
        const auto io_work = std::move(io_work_);
        const handler_executor executor{asio::get_associated_executor(handler_, io_work.get_executor())};
        auto handler_work = std::move(handler_work_);
        auto arguments = Base::arguments(std::move(args)...);
        bound call{std::move(handler_), std::move(arguments)};
        this->~waiter_op();
        typename memory::room room{from, this};
        if (how == completion::dispatch) {
            room.free();
            asio::dispatch(executor, std::move(call));
        } else if constexpr (has_executor) {
            memory::post(io_work.get_executor(), posted{std::move(handler_work), std::move(call)}, room);
        } else {
            memory::post(io_work.get_executor(), std::move(call), room);
        }
    }

    void abandon() noexcept override {
        disconnect();
        const allocator from{get_allocator()};
        [[maybe_unused]] Handler dying{std::move(handler_)};
        this->~waiter_op();
        memory_of<waiter_op>::free(from, this);
    }

private:
    template <class... More>
    waiter_op(Handler&& handler, const IoExecutor& executor, More&&... more)
        : Base{std::forward<More>(more)...}
        , handler_{std::move(handler)}
        , io_work_{executor}
        , handler_work_{guard(handler_, executor)} {}
    ~waiter_op() = default;

    [[nodiscard]] static handler_guard guard([[maybe_unused]] const Handler& handler,
                                             [[maybe_unused]] const IoExecutor& executor) {
        if constexpr (has_executor)
            return handler_guard{asio::get_associated_executor(handler, executor)};
        else
            return {};
    }

    void disconnect() noexcept { disconnect_slot(asio::get_associated_cancellation_slot(handler_)); }

    [[nodiscard]] allocator get_allocator() const noexcept {
        return asio::get_associated_allocator(handler_, own_allocator{});
    }

    Handler handler_;
    asio::executor_work_guard<IoExecutor> io_work_;
    [[no_unique_address]] handler_guard handler_work_;
};

} // namespace duplex::detail
