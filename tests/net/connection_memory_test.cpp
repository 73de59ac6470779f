#include <duplex/net/connection.hpp>

// What operations do where memory runs out while they begin: each ends once, or threw.

#include "support/connected.hpp"
#include "support/fault_life.hpp"
#include "support/system_faults.hpp"

#if defined(DUPLEX_TESTING_FAULTS)

#include <chrono>
#include <cstddef>
#include <memory>
#include <new>
#include <system_error>
#include <thread>
#include <utility>

using namespace duplex;
using namespace duplex::testing;
using namespace std::chrono_literals;

namespace {

/// Begins something, and takes memory away from it once, after `enough` allocations. False where it threw.
template <class F>
bool begins(long enough, F what) {
    const scarce_memory memory{enough, 1};
    try {
        what();
    } catch (const std::bad_alloc&) {
        return false;
    }
    return true;
}

struct running_pair : connected_pair {
    running_pair() {
        open();
        server.async_run([this](const message&) { ++received; }, server_end.handler());
        client.async_run([](const message&) {}, client_end.handler());
        run();
    }

    int received = 0;
    ending<> server_end;
    ending<> client_end;
};

constexpr long many = 16;

} // namespace

TEST_CASE("an operation that finds no memory for those that wait says so, and leaves nothing behind") {
    ending<> sent;
    ending<std::chrono::nanoseconds> pinged;
    ending<> closed;
    bool refused = false;
    // What an earlier operation gave back is not there for this one.
    for (long enough = 0; enough < many; ++enough) {
        CAPTURE(enough);
        sent = {};
        pinged = {};
        closed = {};
        running_pair pair;
        const bool send_began = begins(enough, [&] { pair.client.async_send("sent", sent.handler()); });
        pair.run();
        CHECK(sent.calls <= 1);
        CHECK((sent.calls == 1 || !send_began));
        if (sent.calls != 0) CHECK((!sent.error || sent.error == errc::out_of_memory));
        refused = refused || sent.error == errc::out_of_memory;
        const bool ping_began = begins(enough, [&] { pair.client.async_ping(pinged.handler()); });
        pair.run();
        CHECK(pinged.calls <= 1);
        CHECK((pinged.calls == 1 || !ping_began));
        const bool close_began = begins(enough, [&] { pair.client.async_close(closed.handler()); });
        pair.run();
        pair.client.abort();
        pair.server.abort();
        pair.run();
        CHECK(closed.calls <= 1);
        CHECK((closed.calls == 1 || !close_began));
        CHECK(pair.client_end.calls == 1);
        CHECK(pair.server_end.calls == 1);
    }
    CHECK(refused);
}

TEST_CASE("an async_send with wishes that finds no memory ends, or threw, and its handler is not kept") {
    const bool from_here = GENERATE(true, false);
    const auto alive = std::make_shared<int>(0);
    for (long enough = 0; enough < many; ++enough) {
        CAPTURE(enough, from_here);
        int calls = 0;
        bool began = false;
        {
            running_pair pair;
            const auto send = [&] {
                began = begins(enough, [&] {
                    pair.client.async_send("sent", message_options{.time_to_live = 1s},
                                           [alive, &calls](std::error_code) { ++calls; });
                });
            };
            if (from_here)
                inside(pair.io, send);
            else
                send();
            pair.run();
            CHECK(calls == (began ? 1 : 0));
            pair.client.abort();
            pair.server.abort();
            pair.run();
        }
        CHECK(alive.use_count() == 1);
    }
}

TEST_CASE("the end of a connection needs no memory, and who waits for something is told") {
    enum class way { abort, destroy, destroy_closing };
    const auto how = GENERATE(way::abort, way::destroy, way::destroy_closing);
    const bool from_here = GENERATE(true, false);
    CAPTURE(int(how), from_here);
    for (long enough = 0; enough < many; ++enough) {
        CAPTURE(enough);
        ending<> sent;
        ending<std::chrono::nanoseconds> pinged;
        ending<> drained;
        ending<> closed;
        running_pair pair;
        // Nothing more goes out.
        pair.server.stream().capacity(1);
        pair.server.async_send("sent", sent.handler());
        pair.server.async_ping(pinged.handler());
        pair.server.async_drain(drained.handler());
        if (how == way::destroy_closing) pair.server.async_close(closed.handler());
        pair.run();
        const auto end = [&] {
            const scarce_memory memory{enough, 1};
            if (how == way::abort)
                pair.server.abort();
            else
                pair.server = {};
        };
        if (from_here)
            inside(pair.io, end);
        else
            end();
        pair.run();
        pair.pass(10s);
        CHECK(pair.server_end.calls == 1);
        CHECK(pair.client_end.calls == 1);
        CHECK(sent.calls == 1);
        CHECK(pinged.calls == 1);
        CHECK(drained.calls == 1);
        CHECK(closed.calls == (how == way::destroy_closing ? 1 : 0));
    }
}

TEST_CASE("a Close that finds no memory leaves the connection open, to be closed again") {
    running_pair pair;
    std::error_code error;
    inside(pair.io, [&] {
        detail::thread_buffers::drop_queues();
        error = without_memory([&] { return pair.client.close(); });
    });
    CHECK(error == errc::out_of_memory);
    CHECK(pair.client.is_open());
    CHECK((pair.client.send("still there") == send_status::ok));
    pair.run();
    CHECK(pair.received == 1);
    CHECK_FALSE(pair.client.close());
    pair.run();
    CHECK(pair.client_end.well());
    CHECK(pair.server_end.well());
}

TEST_CASE(
    "whatever allocation fails in a life, each operation ends at most once, and the ends can be destroyed") {
    fault_plan plan;
    plan.sizes = {5, 30'000};
    plan.capacity = GENERATE(values<std::size_t>({0, 10'000}));
    plan.closes = GENERATE(fault_plan::closer::client, fault_plan::closer::server);
    if (GENERATE(false, true)) {
        plan.client.limits.queue_bytes = 40'000;
        plan.client.limits.commit_bytes = 5'000;
        plan.client.when_full = overflow::wait;
    }
    bool well = false;
    long enough = 0;
    for (bool ran_out = true; ran_out; ++enough) {
        CAPTURE(enough);
        fault_life life{plan, test::fail_count{0}};
        {
            const scarce_memory memory{enough, 1};
            bool begun = false;
            for (bool again = true; again;) {
                again = false;
                try {
                    if (!std::exchange(begun, true)) life.begin();
                    life.go_on();
                } catch (const std::bad_alloc&) {
                    again = true;
                }
            }
            ran_out = memory.ran_out();
        }
        well = life.went_well();
        life.check_destroyed();
    }
    CHECK(well);
    CHECK(enough > 20);
}

#endif
