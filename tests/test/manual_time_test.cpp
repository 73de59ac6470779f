#include <duplex/test/manual_time.hpp>

#include "support/catch.hpp"
#include "support/connected.hpp"

#include <asio/io_context.hpp>

#include <chrono>
#include <utility>

using namespace duplex;
using namespace duplex::testing;
using namespace std::chrono_literals;

TEST_CASE("time stands still until it is moved") {
    asio::io_context io;
    test::manual_time time{io};
    const auto start = time.now();
    io.run();
    CHECK(time.now() == start);
    time.advance(90s);
    CHECK(time.now() == start + 90s);
    time.advance(0s);
    CHECK(time.now() == start + 90s);
}

TEST_CASE("deadlines come by hand, and no timer keeps the context running") {
    asio::io_context io;
    test::manual_time time{io};
    auto ends = test::make_stream_pair(io);
    connection server{std::move(ends.first), {.timeouts = {.handshake = 1000ms}}};
    ending<> accepted;
    server.async_accept(accepted.handler());
    run_ready(io);
    time.advance(999ms);
    run_ready(io);
    CHECK(accepted.calls == 0);
    time.advance(251ms);
    // Due, but delivered only by the context.
    CHECK(accepted.calls == 0);
    run_ready(io);
    CHECK(accepted.failed_with(errc::handshake_timeout));
}

TEST_CASE("each context has a time of its own") {
    asio::io_context first;
    asio::io_context second;
    test::manual_time here{first};
    test::manual_time there{second};
    const auto before = there.now();
    here.advance(1h);
    CHECK(there.now() == before);
}

TEST_CASE("without it, the clock ticks for the context's connections alone, also for later ones") {
    asio::io_context io;
    for (int life = 0; life < 2; ++life) {
        auto ends = test::make_stream_pair(io);
        memory_connection it{std::move(ends.first)};
        ending<> accepted;
        it.async_accept(accepted.handler());
        run_ready(io);
        CHECK(accepted.calls == 0);
        ends.second.close();
        // Nothing keeps it running when the connection has ended.
        io.restart();
        io.run();
        CHECK(accepted.failed_with(errc::connection_lost));
    }
}

TEST_CASE("without it, time is the clock's, however long nothing ticked") {
    asio::io_context io;
    auto& service = asio::use_service<duplex::detail::context_service>(io);
    const auto before = std::chrono::steady_clock::now();
    CHECK(service.now() >= before);
    CHECK(service.precise_now() >= before);
}
