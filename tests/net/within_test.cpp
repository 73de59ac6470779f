#include <duplex/net/within.hpp>

#include "support/any_role.hpp"
#include "support/sockets.hpp"
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
#include <future>
#include <optional>
#include <string>
#include <system_error>
#include <thread>
#include <utility>

using namespace duplex;
using namespace duplex::testing;
using namespace std::chrono_literals;

namespace {

connection_options stuck_options() {
    connection_options made = without_deadlines();
    made.limits.commit_bytes = 1;
    return made;
}

} // namespace

TEST_CASE("a read that has no message in time loses nothing") {
    scripted one{any_role()};
    one.open();
    read_ending late;
    one.it->async_read(within(2s, late.handler()));
    const auto bytes = one.frame(opcode::text, "came late");
    one.peer.send(std::string_view{bytes}.substr(0, 5));
    one.run();
    one.pass(1999ms);
    CHECK(late.calls == 0);
    one.pass(251ms);
    CHECK(late.failed_with(errc::call_timeout));
    CHECK(late.error == condition::timeout);
    one.peer.send(std::string_view{bytes}.substr(5));
    one.run();
    read_ending read;
    one.it->async_read(within(2s, read.handler()));
    one.run();
    CHECK(read.well());
    CHECK(read.text() == "came late");
    // A deadline that was met means nothing to the next one.
    read_ending next;
    one.it->async_read(within(2s, next.handler()));
    one.pass(1900ms);
    one.comes(opcode::text, "in time");
    CHECK(next.text() == "in time");
    one.pass(5000ms);
    CHECK(next.calls == 1);
    CHECK(one.it->is_open());
}

TEST_CASE("a batch and a run end at their deadline, and the next read goes on") {
    scripted one{any_role()};
    one.open();
    ending<memory_connection::batch_type> batch;
    one.it->async_read_batch(within(1s, [&](std::error_code error, memory_connection::batch_type) {
        ++batch.calls;
        batch.error = error;
    }));
    one.pass(1250ms);
    CHECK(batch.failed_with(errc::call_timeout));
    std::string got;
    ending<> run;
    one.it->async_run([&](const message& m) { got += m.text(); }, within(1s, run.handler()));
    one.comes(opcode::text, "a");
    one.pass(1250ms);
    CHECK(run.failed_with(errc::call_timeout));
    one.comes(opcode::text, "b");
    read_ending read;
    one.it->async_read(read.handler());
    one.run();
    CHECK(got == "a");
    CHECK(read.text() == "b");
}

TEST_CASE("a limit of zero or less is over at once, and one beyond all programs never") {
    scripted one{any_role()};
    one.open();
    const auto limit = GENERATE(values({0ms, -5ms, std::chrono::milliseconds::min()}));
    read_ending read;
    one.it->async_read(within(limit, read.handler()));
    one.run();
    one.pass(250ms);
    CHECK(read.failed_with(errc::call_timeout));
    read_ending endless;
    one.it->async_read(within(std::chrono::milliseconds::max(), endless.handler()));
    one.pass(100'000ms);
    CHECK(endless.calls == 0);
    one.comes(opcode::text, "at last");
    CHECK(endless.text() == "at last");
}

TEST_CASE("the handler's own slot still cancels, and that is not called a deadline") {
    scripted one{any_role()};
    one.open();
    asio::cancellation_signal signal;
    read_ending read;
    one.it->async_read(within(2s, asio::bind_cancellation_slot(signal.slot(), read.handler())));
    one.run();
    signal.emit(asio::cancellation_type::total);
    one.run();
    CHECK(read.failed_with(asio::error::operation_aborted));
    // Nothing of it is left in the slot.
    CHECK_FALSE(signal.slot().has_handler());
    one.pass(3000ms);
    CHECK(read.calls == 1);
}

TEST_CASE("a message that has not begun to leave by its deadline is not sent") {
    scripted one{any_role(), stuck_options()};
    one.open();
    one.it->stream().capacity(1);
    one.it->send("in the way", {.tag = 1});
    one.run();
    ending<> begun;
    ending<> waiting;
    ending<> stays;
    one.it->async_send("begun", within(1s, begun.handler()));
    one.it->async_send("waiting", message_options{.priority = message_priority::urgent},
                       within(1s, waiting.handler()));
    one.it->async_send("stays", stays.handler());
    one.run();
    one.pass(1250ms);
    CHECK(begun.failed_with(errc::call_timeout));
    CHECK(waiting.failed_with(errc::call_timeout));
    one.it->stream().capacity(0);
    one.run();
    CHECK(stays.well());
    std::string all;
    for (const auto& [op, payload] : one.said())
        all += payload + ";";
    CHECK(all == "in the way;stays;");
}

TEST_CASE("a drain, a ping and a close that are not over in time leave things as they are") {
    scripted one{any_role(), without_deadlines()};
    one.open();
    ending<> run;
    one.it->async_run([](const message&) {}, run.handler());
    one.it->stream().capacity(1);
    one.it->send("slow");
    ending<> drained;
    ending<std::chrono::nanoseconds> pinged;
    ending<> closed;
    inside(one.io, [&] {
        one.it->async_drain(within(1s, drained.handler()));
        one.it->async_ping(within(1s, pinged.handler()));
        one.it->async_close(within(1s, closed.handler()));
    });
    one.pass(1250ms);
    CHECK(drained.failed_with(errc::call_timeout));
    CHECK(pinged.failed_with(errc::call_timeout));
    CHECK(closed.failed_with(errc::call_timeout));
    one.it->stream().capacity(0);
    one.run();
    // The closing handshake goes on.
    CHECK(one.said().back().second == close_payload(1000));
    one.comes(opcode::close, close_payload(1000));
    one.peer.close();
    one.run();
    CHECK(run.well());
}

TEST_CASE("an operation that ends with its connection says why, whatever its deadline") {
    scripted one{any_role()};
    one.open();
    read_ending read;
    ending<> drained;
    one.it->async_read(within(1s, read.handler()));
    one.it->async_drain(within(1s, drained.handler()));
    one.run();
    one.it->abort();
    one.run();
    CHECK(read.failed_with(errc::aborted));
    CHECK(drained.well());
    one.pass(2000ms);
    CHECK(read.calls == 1);
    read_ending late;
    one.it->async_read(within(1s, late.handler()));
    one.run();
    CHECK(late.failed_with(errc::aborted));
}

TEST_CASE("an opening that is not over in time ends its connection") {
    unopened one{without_deadlines()};
    ending<> accepted;
    one.it->async_accept(within(1s, accepted.handler()));
    one.run();
    one.pass(1250ms);
    CHECK(accepted.failed_with(errc::call_timeout));
    CHECK_FALSE(one.it->stream().is_open());
}

TEST_CASE("every kind of completion token can have a deadline") {
    scripted one{any_role()};
    one.open();
    std::optional<std::tuple<std::error_code, message>> as_one;
    one.it->async_read(within(
        1s, as_tuple([&](std::tuple<std::error_code, message> got) { as_one.emplace(std::move(got)); })));
    one.pass(1250ms);
    REQUIRE(as_one);
    CHECK(std::get<0>(*as_one) == errc::call_timeout);

    auto future = one.it->async_read(within(1s, asio::use_future));
    one.pass(1250ms);
    try {
        (void)future.get();
        FAIL("a read without a message");
    } catch (const std::system_error& thrown) {
        CHECK(thrown.code() == errc::call_timeout);
    }

    // A deferred one has its time from when it begins.
    auto later = one.it->async_read(within(1s, deferred));
    one.pass(5000ms);
    read_ending read;
    std::move(later)(read.handler());
    one.pass(900ms);
    CHECK(read.calls == 0);
    one.pass(350ms);
    CHECK(read.failed_with(errc::call_timeout));

    std::error_code error;
    std::string text;
    asio::co_spawn(
        one.io,
        [&]() -> asio::awaitable<void> {
            auto& it = *one.it;
            (void)co_await it.async_read(within(1s, asio::redirect_error(asio::use_awaitable, error)));
            const message second = co_await it.async_read(within(1s, asio::use_awaitable));
            text = second.text();
        },
        asio::detached);
    one.run();
    one.pass(1250ms);
    CHECK(error == errc::call_timeout);
    one.comes(opcode::text, "awaited");
    CHECK(text == "awaited");

    one.it->async_read(within(1s, asio::detached));
    one.pass(1250ms);
    CHECK(one.it->is_open());
}

TEST_CASE("an operation with a deadline completes on its handler's executor") {
    asio::io_context other;
    scripted one{any_role()};
    one.open();
    read_ending read;
    one.it->async_read(within(1s, asio::bind_executor(other.get_executor(), read.handler())));
    one.pass(1250ms);
    CHECK(read.calls == 0);
    other.poll();
    CHECK(read.failed_with(errc::call_timeout));
}

TEST_CASE("a send from another thread may have a deadline") {
    scripted one{any_role(), stuck_options()};
    one.open();
    one.it->stream().capacity(1);
    one.it->send("in the way", {.tag = 1});
    one.run();
    ending<> late;
    std::thread{[&] { one.it->async_send("late", within(1s, late.handler())); }}.join();
    one.run();
    one.pass(1250ms);
    CHECK(late.failed_with(errc::call_timeout));
    one.it->stream().capacity(0);
    one.run();
    CHECK(one.said().size() == 1);
}

TEST_CASE("operations with deadlines are left to their context, and outlive their connection") {
    asio::cancellation_signal signal;
    read_ending read;
    ending<> drained;
    const bool destroyed = GENERATE(false, true);
    {
        scripted one{any_role()};
        one.open();
        one.it->async_read(within(1s, asio::bind_cancellation_slot(signal.slot(), read.handler())));
        one.run();
        if (destroyed) {
            one.it.reset();
            one.run();
            CHECK(read.failed_with(errc::aborted));
        }
    }
    CHECK(read.calls == (destroyed ? 1 : 0));
}

TEST_CASE("a deadline comes by itself over a socket, and keeps the context running no longer") {
    socket_fixture<tcp_socket> one;
    one.open();
    read_ending read;
    one.it->async_read(within(1ms, read.handler()));
    run_until(one.io, [&] { return read.calls != 0; });
    CHECK(read.failed_with(errc::call_timeout));
    one.send(frame_bytes(role::client, opcode::text, "late"));
    read_ending next;
    one.it->async_read(within(std::chrono::hours{1}, next.handler()));
    run_until(one.io, [&] { return next.calls != 0; });
    CHECK(next.text() == "late");
    one.it.reset();
    one.io.restart();
    one.io.run();
}
