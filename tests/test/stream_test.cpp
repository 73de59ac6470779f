#include <duplex/test/stream.hpp>

#include "stream_fixture.hpp"
#include "support/catch.hpp"

#include <asio/any_io_executor.hpp>
#include <asio/bind_cancellation_slot.hpp>
#include <asio/cancellation_signal.hpp>
#include <asio/read.hpp>
#include <asio/write.hpp>

#include <array>
#include <cstddef>
#include <string>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

using duplex::test::basic_stream;
using duplex::test::fail_count;
using duplex::test::for_each_failure;
using duplex::test::make_stream_pair;
using duplex::test::run_ready;
using duplex::test::stream;
using stream_fixture::fixture;
using stream_fixture::outcome;
using stream_fixture::reading;

static_assert(std::is_nothrow_move_constructible_v<stream> && std::is_move_assignable_v<stream>);
static_assert(!std::is_copy_constructible_v<stream> && !std::is_copy_assignable_v<stream>);
static_assert(!std::is_default_constructible_v<stream>);
static_assert(std::is_same_v<stream::executor_type, asio::io_context::executor_type>);
static_assert(std::is_same_v<stream::rebind_executor<asio::any_io_executor>::other,
                             basic_stream<asio::any_io_executor>>);
static_assert(std::is_constructible_v<basic_stream<asio::any_io_executor>, stream>);
static_assert(!std::is_constructible_v<stream, basic_stream<asio::any_io_executor>>);

TEST_CASE_METHOD(fixture, "carries bytes in both directions at once") {
    reading back;
    read.start(there);
    back.start(here);
    here.async_write_some(asio::buffer("ping", 4), write.handler());
    outcome reply;
    there.async_write_some(asio::buffer("reply", 5), reply.handler());
    run_ready(context);
    CHECK(read.text() == "ping");
    CHECK(back.text() == "reply");
    CHECK((write.calls == 1 && write.bytes == 4 && !write.error));
    CHECK((reply.calls == 1 && reply.bytes == 5 && !reply.error));
}

TEST_CASE_METHOD(fixture, "never completes from within the initiating function") {
    there.send("ready");
    read.start(here);
    here.async_write_some(asio::buffer("now", 3), write.handler());
    CHECK(read.calls == 0);
    CHECK(write.calls == 0);
    here.close();
    outcome refused;
    here.async_write_some(asio::buffer("late", 4), refused.handler());
    CHECK(refused.calls == 0);
    run_ready(context);
    CHECK(read.text() == "ready");
    CHECK(write.calls == 1);
    CHECK(refused.error == asio::error::bad_descriptor);
}

TEST_CASE_METHOD(fixture, "splits reads and writes as the limits say") {
    here.write_limit(3);
    there.read_limit(2);
    asio::async_write(here, asio::buffer("abcdefgh", 8), write.handler());
    asio::async_read(there, asio::buffer(read.memory, 8), read.handler());
    run_ready(context);
    CHECK(write.bytes == 8);
    CHECK(read.text() == "abcdefgh");
    CHECK(here.writes() == 3);
    CHECK(here.bytes_written() == 8);
    CHECK(there.reads() >= 4);
    CHECK(there.bytes_read() == 8);

    there.read_limit(0);
    here.write_limit(0);
    here.async_write_some(asio::buffer("ijklmnop", 8), write.handler());
    read.start(there);
    run_ready(context);
    CHECK(read.text() == "ijklmnop");
}

TEST_CASE_METHOD(fixture, "gathers from and scatters into buffer sequences") {
    const std::array<asio::const_buffer, 3> parts{asio::buffer("ab", 2), asio::const_buffer(),
                                                  asio::buffer("cde", 3)};
    here.async_write_some(parts, write.handler());
    const std::array<asio::mutable_buffer, 2> into{asio::buffer(read.memory, 1),
                                                   asio::buffer(read.memory.data() + 10, 8)};
    there.async_read_some(into, read.handler());
    run_ready(context);
    CHECK(write.bytes == 5);
    CHECK(read.bytes == 5);
    CHECK(std::string(read.memory.data(), 1) == "a");
    CHECK(std::string(read.memory.data() + 10, 4) == "bcde");
}

TEST_CASE_METHOD(fixture, "completes an operation on no bytes at once") {
    here.capacity(1);
    here.send("full");
    here.async_write_some(asio::const_buffer(), write.handler());
    read.start(here, 0);
    run_ready(context);
    CHECK((write.calls == 1 && write.bytes == 0 && !write.error));
    CHECK((read.calls == 1 && read.bytes == 0 && !read.error));
}

TEST_CASE_METHOD(fixture, "lets writes wait while the peer does not read") {
    here.capacity(4);
    here.async_write_some(asio::buffer("abcdef", 6), write.handler());
    outcome second;
    here.async_write_some(asio::buffer("gh", 2), second.handler());
    run_ready(context);
    CHECK(write.bytes == 4);
    CHECK(second.calls == 0);
    CHECK(there.pending() == "abcd");

    SECTION("until it reads") {
        read.start(there, 1);
        run_ready(context);
        CHECK((second.calls == 1 && second.bytes == 1));
        CHECK(there.pending() == "bcdg");
    }
    SECTION("until its bytes are taken") {
        CHECK(here.take_sent() == "abcd");
        run_ready(context);
        CHECK(second.bytes == 2);
        CHECK(here.take_sent() == "gh");
    }
    SECTION("until the capacity grows") {
        here.capacity(0);
        run_ready(context);
        CHECK(second.bytes == 2);
    }
    SECTION("until it closes") {
        there.close();
        run_ready(context);
        CHECK(second.error == asio::error::broken_pipe);
    }
    SECTION("until this end stops sending") {
        here.shutdown_send();
        run_ready(context);
        CHECK(second.error == asio::error::broken_pipe);
        CHECK(there.pending() == "abcd");
    }
}

TEST_CASE_METHOD(fixture, "serves waiting operations in the order in which they began") {
    reading first, second;
    first.start(here);
    second.start(here);
    there.send("1");
    there.send("2");
    run_ready(context);
    CHECK(first.text() == "1");
    CHECK(second.text() == "2");
}

TEST_CASE_METHOD(fixture, "reads eof after everything that was sent") {
    const bool half = GENERATE(values({0, 1})) == 1;
    CAPTURE(half);
    there.send("last");
    if (half) {
        there.shutdown_send();
    } else {
        there.close();
    }
    CHECK(there.is_open() == half);
    read.start(here, 3);
    run_ready(context);
    CHECK(read.text() == "las");
    read.start(here);
    run_ready(context);
    CHECK(read.text() == "t");
    read.start(here);
    run_ready(context);
    CHECK(read.error == asio::error::eof);
    CHECK(here.is_open());

    here.async_write_some(asio::buffer("x", 1), write.handler());
    run_ready(context);
    if (half) {
        CHECK_FALSE(write.error);
        CHECK(there.pending() == "x");
    } else {
        CHECK(write.error == asio::error::broken_pipe);
    }
}

TEST_CASE_METHOD(fixture, "ends a waiting read with eof when the peer goes") {
    read.start(here);
    SECTION("by a half close") { there.shutdown_send(); }
    SECTION("by closing") { there.close(); }
    SECTION("by its end") { const auto gone = std::move(there); }
    SECTION("by injection") { here.inject_eof(); }
    run_ready(context);
    CHECK(read.error == asio::error::eof);
}

TEST_CASE_METHOD(fixture, "aborts its own operations when it closes") {
    here.capacity(1);
    here.send("x");
    read.start(here);
    here.async_write_some(asio::buffer("y", 1), write.handler());
    here.close();
    CHECK(read.calls + write.calls == 0);
    run_ready(context);
    CHECK(read.error == asio::error::operation_aborted);
    CHECK(write.error == asio::error::operation_aborted);
    CHECK(there.pending() == "x");
    here.close();
    run_ready(context);
    CHECK(read.calls + write.calls == 2);
}

TEST_CASE_METHOD(fixture, "refuses operations once it is closed") {
    here.close();
    CHECK_FALSE(here.is_open());
    CHECK(there.is_open());
    read.start(here);
    here.async_write_some(asio::buffer("x", 1), write.handler());
    run_ready(context);
    CHECK(read.error == asio::error::bad_descriptor);
    CHECK(write.error == asio::error::bad_descriptor);
}

TEST_CASE_METHOD(fixture, "refuses to write after its half close and reads on") {
    here.shutdown_send();
    here.async_write_some(asio::buffer("x", 1), write.handler());
    there.async_write_some(asio::buffer("still", 5), [](std::error_code, std::size_t) {});
    read.start(here);
    run_ready(context);
    CHECK(write.error == asio::error::broken_pipe);
    CHECK(read.text() == "still");
}

TEST_CASE_METHOD(fixture, "cancels all of its operations and stays open") {
    here.capacity(1);
    here.send("x");
    read.start(here);
    here.async_write_some(asio::buffer("y", 1), write.handler());
    here.cancel();
    CHECK(read.calls + write.calls == 0);
    run_ready(context);
    CHECK(read.error == asio::error::operation_aborted);
    CHECK(write.error == asio::error::operation_aborted);
    CHECK(there.pending() == "x");
    there.send("more");
    read.start(here);
    run_ready(context);
    CHECK(read.text() == "more");
}

TEST_CASE_METHOD(fixture, "cancels one operation through its slot and loses no bytes") {
    const auto type = GENERATE(values({asio::cancellation_type::total, asio::cancellation_type::partial,
                                       asio::cancellation_type::terminal, asio::cancellation_type::all}));
    asio::cancellation_signal signal;
    here.async_read_some(asio::buffer(read.memory),
                         asio::bind_cancellation_slot(signal.slot(), read.handler()));
    reading other;
    other.start(here);
    signal.emit(asio::cancellation_type::none);
    run_ready(context);
    CHECK(read.calls == 0);
    signal.emit(type);
    CHECK(read.calls == 0);
    there.send("kept");
    run_ready(context);
    CHECK((read.calls == 1 && read.error == asio::error::operation_aborted && read.bytes == 0));
    CHECK(other.text() == "kept");
}

TEST_CASE_METHOD(fixture, "cancels a waiting write through its slot") {
    here.capacity(1);
    here.send("x");
    asio::cancellation_signal signal;
    here.async_write_some(asio::buffer("y", 1), asio::bind_cancellation_slot(signal.slot(), write.handler()));
    signal.emit(asio::cancellation_type::total);
    run_ready(context);
    CHECK(write.error == asio::error::operation_aborted);
    CHECK(here.take_sent() == "x");
    CHECK(here.take_sent().empty());
}

TEST_CASE_METHOD(fixture, "lets a late cancellation pass") {
    asio::cancellation_signal signal;
    here.async_read_some(asio::buffer(read.memory),
                         asio::bind_cancellation_slot(signal.slot(), read.handler()));
    there.send("done");
    signal.emit(asio::cancellation_type::terminal);
    run_ready(context);
    CHECK(read.text() == "done");
    reading next;
    next.start(here);
    signal.emit(asio::cancellation_type::terminal);
    run_ready(context);
    CHECK((read.calls == 1 && next.calls == 0));
    { const auto gone = std::move(here); }
    signal.emit(asio::cancellation_type::terminal);
    run_ready(context);
    CHECK(next.error == asio::error::operation_aborted);
}

TEST_CASE_METHOD(fixture, "shows, takes and forges what is under way") {
    here.inject("forged");
    CHECK(here.pending() == "forged");
    CHECK(here.take_pending() == "forged");
    CHECK(here.pending().empty());

    here.send("direct");
    CHECK(there.pending() == "direct");
    CHECK(here.take_sent() == "direct");
    CHECK(there.pending().empty());

    read.start(here);
    here.inject("to a waiting read");
    run_ready(context);
    CHECK(read.text() == "to a waiting read");
    CHECK((here.reads() == 1 && here.bytes_read() == 17));
    CHECK((there.writes() == 0 && there.bytes_written() == 0));
}

TEST_CASE_METHOD(fixture, "gives bytes that were read in part once only") {
    std::string all;
    for (int i = 0; i < 200; ++i) {
        there.send(std::to_string(i) + " ");
        all += std::to_string(i) + " ";
    }
    std::string got;
    while (!here.pending().empty()) {
        read.start(here, 7);
        run_ready(context);
        got += read.text();
        if (got.size() < all.size()) CHECK(here.pending() == all.substr(got.size()));
    }
    CHECK(got == all);
}

TEST_CASE_METHOD(fixture, "fails the chosen operation of the ends it is attached to") {
    fail_count failure{3};
    here.fail_with(failure);
    there.fail_with(failure);
    read.start(there);
    here.async_write_some(asio::buffer("a", 1), write.handler());
    outcome failed;
    here.async_write_some(asio::buffer("b", 1), failed.handler());
    outcome after;
    here.async_write_some(asio::buffer("c", 1), after.handler());
    run_ready(context);
    CHECK((failed.error == asio::error::connection_reset && failed.bytes == 0));
    CHECK((!read.error && !write.error && !after.error));
    CHECK(read.text() == "a");
    CHECK(there.pending() == "c");
    CHECK(failure.count() == 4);
    CHECK(here.writes() == 2);
}

TEST_CASE("fails every operation of an exchange in turn") {
    std::vector<std::string> arrived;
    const auto operations = for_each_failure([&](fail_count& failure) {
        fixture run;
        run.here.write_limit(2);
        run.here.fail_with(failure);
        run.there.fail_with(failure);
        asio::async_write(run.here, asio::buffer("abcd", 4), run.write.handler());
        run_ready(run.context);
        run.read.start(run.there);
        run_ready(run.context);
        CHECK(run.write.calls == 1);
        CHECK(run.read.calls == (run.write.bytes > 0 ? 1 : 0));
        arrived.push_back(run.read.text());
    });
    CHECK(operations == 3);
    CHECK(arrived == std::vector<std::string>{"", "ab", "", "abcd"});
}

TEST_CASE("moves with its operations pending") {
    fixture f;
    f.read.start(f.here);
    stream moved = std::move(f.here);
    CHECK(moved.is_open());
    CHECK_FALSE(f.here.is_open());
    f.here.close();
    f.here.cancel();
    f.there.send("found");
    run_ready(f.context);
    CHECK(f.read.text() == "found");

    auto other = make_stream_pair(f.context);
    reading aborted;
    aborted.start(other.first);
    other.first = std::move(moved);
    auto& same = other.first;
    other.first = std::move(same);
    run_ready(f.context);
    CHECK(aborted.error == asio::error::operation_aborted);
    reading eof;
    eof.start(other.second);
    f.there.send("again");
    f.read.start(other.first);
    run_ready(f.context);
    CHECK(eof.error == asio::error::eof);
    CHECK(f.read.text() == "again");
}
