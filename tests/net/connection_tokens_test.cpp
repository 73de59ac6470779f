#include <duplex/net/connection.hpp>

#include "support/connected.hpp"
#include "support/tokens.hpp"

#include <asio/awaitable.hpp>
#include <asio/bind_cancellation_slot.hpp>
#include <asio/bind_executor.hpp>
#include <asio/cancellation_signal.hpp>
#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/redirect_error.hpp>
#include <asio/use_awaitable.hpp>
#include <asio/use_future.hpp>

#include <chrono>
#include <cstddef>
#include <exception>
#include <future>
#include <memory>
#include <string>
#include <tuple>
#include <utility>

using namespace duplex;
using namespace duplex::testing;

namespace {

enum class op { accept, read_request, reject, handshake, run, read, read_batch, send, drain, ping, close };

constexpr bool opens(op which) { return which <= op::handshake; }

/// Starts an operation at the end that it belongs to.
template <op Which, class Token>
auto start(connected_pair& on, Token&& token) {
    if constexpr (Which == op::accept) return on.server.async_accept(std::forward<Token>(token));
    if constexpr (Which == op::read_request) return on.server.async_read_request(std::forward<Token>(token));
    if constexpr (Which == op::reject)
        return on.server.async_reject(403, fields{}, std::string{}, std::forward<Token>(token));
    if constexpr (Which == op::handshake)
        return on.client.async_handshake(uri_of("ws://localhost/"), std::forward<Token>(token));
    if constexpr (Which == op::run)
        return on.client.async_run([](const message&) {}, std::forward<Token>(token));
    if constexpr (Which == op::read) return on.client.async_read(std::forward<Token>(token));
    if constexpr (Which == op::read_batch) return on.client.async_read_batch(std::forward<Token>(token));
    if constexpr (Which == op::send) return on.client.async_send("sent", std::forward<Token>(token));
    if constexpr (Which == op::drain) return on.client.async_drain(std::forward<Token>(token));
    if constexpr (Which == op::ping) return on.client.async_ping(std::forward<Token>(token));
    if constexpr (Which == op::close) return on.client.async_close(std::forward<Token>(token));
}

/// A pair in which an operation can be started, and what makes it complete.
struct stage {
    explicit stage(op which_op)
        : which{which_op} {
        if (!opens(which)) on.open();
        on.run();
    }

    void provoke() {
        switch (which) {
        case op::accept:
        case op::read_request: on.client.async_handshake(uri_of("ws://localhost/"), other.handler()); break;
        case op::handshake: on.server.async_accept(other.handler()); break;
        case op::run:
            static_cast<void>(on.server.close());
            on.server.async_run([](const message&) {}, other.handler());
            break;
        case op::read:
        case op::read_batch: on.server.send("read"); break;
        case op::ping:
            on.client.async_run([](const message&) {}, client_run.handler());
            on.server.async_run([](const message&) {}, other.handler());
            break;
        case op::close: on.server.async_run([](const message&) {}, other.handler()); break;
        case op::reject:
        case op::send:
        case op::drain: break;
        }
        on.run();
    }

    op which;
    ending<> other;
    ending<> client_run;
    connected_pair on;
};

template <class F, std::size_t... Index>
void each_operation(F check, std::index_sequence<Index...>) {
    (check.template operator()<static_cast<op>(Index)>(), ...);
}

template <class F>
void each_operation(F check) {
    each_operation(check, std::make_index_sequence<static_cast<std::size_t>(op::close) + 1>{});
}

/// Counts completions, with whatever values.
struct counting {
    int* calls;
    std::error_code* error;

    template <class... Values>
    void operator()(std::error_code with, Values&&...) const {
        ++*calls;
        *error = with;
    }
};

/// A handler with an allocator of its own.
struct usage {
    int allocations = 0;
    int live = 0;
};

template <class T>
struct counting_allocator {
    using value_type = T;

    explicit counting_allocator(usage& counts) noexcept
        : used{&counts} {}
    template <class U>
    counting_allocator(const counting_allocator<U>& other) noexcept
        : used{other.used} {}
    [[nodiscard]] T* allocate(std::size_t n) {
        ++used->allocations;
        ++used->live;
        return std::allocator<T>{}.allocate(n);
    }
    void deallocate(T* memory, std::size_t n) {
        --used->live;
        std::allocator<T>{}.deallocate(memory, n);
    }
    template <class U>
    bool operator==(const counting_allocator<U>& other) const noexcept {
        return used == other.used;
    }

    usage* used;
};

struct allocating : counting {
    using allocator_type = counting_allocator<void>;
    [[nodiscard]] allocator_type get_allocator() const noexcept { return allocator_type{*used}; }

    usage* used;
};

std::error_code expected(op which) {
    return which == op::reject ? make_error_code(errc::request_rejected) : std::error_code{};
}

} // namespace

TEST_CASE("every operation takes a callback, which is never called from inside") {
    each_operation([]<op Which>() {
        CAPTURE(static_cast<int>(Which));
        stage s{Which};
        int calls = 0;
        std::error_code error;
        inside(s.on.io, [&] {
            start<Which>(s.on, counting{&calls, &error});
            CHECK(calls == 0);
        });
        s.provoke();
        CHECK(calls == 1);
        CHECK(error == expected(Which));
    });
}

TEST_CASE("every operation gives a future") {
    each_operation([]<op Which>() {
        CAPTURE(static_cast<int>(Which));
        stage s{Which};
        auto future = start<Which>(s.on, asio::use_future);
        s.provoke();
        REQUIRE(future.wait_for(std::chrono::seconds{0}) == std::future_status::ready);
        if (Which == op::reject)
            CHECK_THROWS_AS(future.get(), std::system_error);
        else
            static_cast<void>(future.get());
    });
}

TEST_CASE("every operation can be detached") {
    each_operation([]<op Which>() {
        stage s{Which};
        start<Which>(s.on, asio::detached);
        s.provoke();
        CHECK(s.on.server.is_open() ==
              (Which != op::run && Which != op::close && Which != op::reject && Which != op::read_request));
    });
}

TEST_CASE("every operation completes on its handler's executor and keeps that busy") {
    each_operation([]<op Which>() {
        CAPTURE(static_cast<int>(Which));
        asio::io_context elsewhere;
        stage s{Which};
        int calls = 0;
        std::error_code error;
        start<Which>(s.on, asio::bind_executor(elsewhere.get_executor(), counting{&calls, &error}));
        elsewhere.poll();
        CHECK_FALSE(elsewhere.stopped());
        s.provoke();
        CHECK(calls == 0);
        CHECK_FALSE(elsewhere.stopped());
        elsewhere.poll();
        CHECK(calls == 1);
        CHECK(error == expected(Which));
        elsewhere.poll();
        CHECK(elsewhere.stopped());
    });
}

TEST_CASE("every operation can be cancelled and completes once") {
    each_operation([]<op Which>() {
        CAPTURE(static_cast<int>(Which));
        stage s{Which};
        int calls = 0;
        std::error_code error;
        asio::cancellation_signal signal;
        start<Which>(s.on, asio::bind_cancellation_slot(signal.slot(), counting{&calls, &error}));
        signal.emit(asio::cancellation_type::none);
        const auto when = 0;
        if (when == 0) {
            signal.emit(asio::cancellation_type::terminal);
            CHECK(calls == 0);
            s.on.run();
            CHECK(calls == 1);
            if (Which != op::send && Which != op::drain) CHECK(error == asio::error::operation_aborted);
            s.provoke();
        } else {
            s.provoke();
            CHECK(calls == 1);
            CHECK(error == expected(Which));
            signal.emit(asio::cancellation_type::terminal);
            s.on.run();
        }
        signal.emit(asio::cancellation_type::total);
        s.on.run();
        CHECK(calls == 1);
    });
}

TEST_CASE("every operation uses its handler's allocator and gives all of it back") {
    each_operation([]<op Which>() {
        CAPTURE(static_cast<int>(Which));
        usage used;
        int calls = 0;
        std::error_code error;
        {
            stage s{Which};
            start<Which>(s.on, allocating{{&calls, &error}, &used});
            CHECK(used.live > 0);
            s.provoke();
            CHECK(calls == 1);
            CHECK(used.live == 0);
        }
        CHECK(used.allocations > 0);
        stage s{Which};
        start<Which>(s.on, allocating{{&calls, &error}, &used});
        CHECK(used.live > 0);
    });
}

TEST_CASE("every operation can be deferred and starts when it is called") {
    each_operation([]<op Which>() {
        CAPTURE(static_cast<int>(Which));
        stage s{Which};
        int calls = 0;
        std::error_code error;
        auto later = start<Which>(s.on, deferred);
        s.on.run();
        std::move(later)(counting{&calls, &error});
        s.provoke();
        CHECK(calls == 1);
        CHECK(error == expected(Which));
    });
}

#if defined(ASIO_HAS_CO_AWAIT)
TEST_CASE("every operation can be awaited") {
    each_operation([]<op Which>() {
        CAPTURE(static_cast<int>(Which));
        stage s{Which};
        bool threw = false;
        bool done = false;
        const auto wait = [&]() -> asio::awaitable<void> {
            auto token = asio::use_awaitable;
            co_await start<Which>(s.on, token);
            done = true;
        };
        asio::co_spawn(s.on.io, wait(), [&](const std::exception_ptr& error) { threw = error != nullptr; });
        s.on.run();
        s.provoke();
        CHECK(done == (Which != op::reject));
        CHECK(threw == (Which == op::reject));
    });
}

TEST_CASE("every operation can be awaited with its error apart") {
    each_operation([]<op Which>() {
        CAPTURE(static_cast<int>(Which));
        stage s{Which};
        std::error_code redirected = std::make_error_code(std::errc::operation_in_progress);
        std::error_code first = redirected;
        const auto wait = [&]() -> asio::awaitable<void> {
            auto token = asio::redirect_error(asio::use_awaitable, redirected);
            co_await start<Which>(s.on, token);
        };
        asio::co_spawn(s.on.io, wait(), asio::detached);
        s.on.run();
        s.provoke();
        CHECK(redirected == expected(Which));

        stage again{Which};
        const auto wait_for_all = [&]() -> asio::awaitable<void> {
            auto token = as_tuple(asio::use_awaitable);
            auto all = co_await start<Which>(again.on, token);
            first = std::get<0>(all);
        };
        asio::co_spawn(again.on.io, wait_for_all(), asio::detached);
        again.on.run();
        again.provoke();
        CHECK(first == expected(Which));
    });
}
#endif
