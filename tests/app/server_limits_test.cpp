#include <duplex/server.hpp>

// A server at its limits: those that come wait in the backlog, and get in when there is room.

#include "support/echoing.hpp"
#include "support/loopback.hpp"
#include "support/wire.hpp"

#include <asio/executor_work_guard.hpp>

#include <atomic>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace {

using namespace duplex;
using namespace duplex::testing;

/// Some turns of the context, in which what is to happen has happened: an echo on a connection of its own.
template <class Echoed>
void settle(asio::io_context& io, raw_peer& open, Echoed size_before) {
    open.send(frame_bytes(role::client, opcode::text, "x"));
    run_until(io, [&] { return open.received().size() >= size_before + 3; });
}

[[nodiscard]] bool answered(const raw_peer& peer) { return peer.received().starts_with("HTTP/1.1 101 "); }

[[nodiscard]] std::unique_ptr<raw_peer> come(asio::io_context& io, const server& to) {
    auto made = std::make_unique<raw_peer>(io, to.port());
    made->send(request_for(to.port()));
    return made;
}

TEST_CASE("has a budget by default, and takes the one it is given") {
    asio::io_context io;
    server plain{io};
    server other{io};
    CHECK(plain.budget());
    CHECK(plain.budget().limits() == budget_limits{});
    CHECK_FALSE(plain.budget() == other.budget());
    server_options options;
    options.connection.budget = budget{{.handshakes = 3}};
    server one{io, options};
    server two{io, options};
    CHECK(one.budget() == options.connection.budget);
    CHECK(two.budget() == one.budget());
    CHECK(server_options{}.max_connections == 100'000);
}

TEST_CASE("accepts no more connections than it may have, and the next when one has gone") {
    asio::io_context io;
    server_options options;
    options.max_connections = 2;
    echoing here{io, options};
    here.it.start();
    auto first = come(io, here.it);
    auto second = come(io, here.it);
    run_until(io, [&] { return answered(*first) && answered(*second); });
    auto third = come(io, here.it);
    auto fourth = come(io, here.it);
    for (int i = 0; i < 3; ++i)
        settle(io, *first, first->received().size());
    CHECK(third->received().empty());
    CHECK(here.it.peer_count() == 2);
    SECTION("its client ends it") { second->drop(); }
    SECTION("in good order") { second->send(frame_bytes(role::client, opcode::close, "")); }
    run_until(io, [&] { return answered(*third); });
    for (int i = 0; i < 3; ++i)
        settle(io, *first, first->received().size());
    CHECK(fourth->received().empty());
    CHECK(here.it.peer_count() == 2);
    first->drop();
    run_until(io, [&] { return answered(*fourth); });
    here.it.stop();
    third->drop();
    fourth->drop();
    run_out(io);
    CHECK(here.it.peer_count() == 0);
    CHECK(here.errors.empty());
    CHECK(here.it.budget().use() == budget_use{});
}

TEST_CASE("any number may come where none is named") {
    asio::io_context io;
    server_options options;
    options.max_connections = 0;
    server here{io, options};
    here.start();
    auto first = come(io, here);
    auto second = come(io, here);
    run_until(io, [&] { return answered(*first) && answered(*second); });
    CHECK(here.peer_count() == 2);
}

TEST_CASE("begins no handshake beyond the budget, and the next when one is over") {
    asio::io_context io;
    server_options options;
    options.connection.budget = budget{{.handshakes = 1}};
    echoing here{io, options};
    here.it.start();
    auto open = come(io, here.it);
    run_until(io, [&] { return answered(*open); });
    CHECK(here.it.budget().use().handshakes == 0);
    raw_peer silent{io, here.it.port()};
    run_until(io, [&] { return here.it.budget().use().handshakes == 1; });
    auto waiting = come(io, here.it);
    for (int i = 0; i < 3; ++i)
        settle(io, *open, open->received().size());
    CHECK(waiting->received().empty());
    CHECK(here.it.peer_count() == 2);
    SECTION("well") {
        silent.send(request_for(here.it.port()));
        run_until(io, [&] { return answered(silent); });
    }
    SECTION("by its client") { silent.drop(); }
    SECTION("by a refusal, once that is read") {
        silent.send("GET / HTTP/1.1\r\n\r\n");
        run_until(io, [&] { return silent.received().starts_with("HTTP/1.1 400 "); });
        settle(io, *open, open->received().size());
        CHECK(waiting->received().empty());
        silent.drop();
    }
    run_until(io, [&] { return answered(*waiting); });
    CHECK(here.it.budget().use().handshakes == 0);
    here.it.stop();
    open->drop();
    waiting->drop();
    silent.drop();
    run_out(io);
}

TEST_CASE("a handshake that ends at one server lets another go on") {
    asio::io_context io;
    server_options options;
    options.connection.budget = budget{{.handshakes = 1}};
    std::optional<server> one{std::in_place, io, options};
    server two{io, options};
    one->start();
    two.start();
    raw_peer silent{io, one->port()};
    run_until(io, [&] { return options.connection.budget.use().handshakes == 1; });
    auto waiting = come(io, two);
    run_until(io, [&] { return true; });
    for (int i = 0; i < 20; ++i)
        io.poll();
    CHECK(waiting->received().empty());
    SECTION("over") { silent.send(request_for(one->port())); }
    SECTION("with its server") { one.reset(); }
    run_until(io, [&] { return answered(*waiting); });
}

TEST_CASE("a server that waits for room may be stopped and destroyed") {
    asio::io_context io;
    server_options options;
    options.connection.budget = budget{{.handshakes = 1}};
    options.max_connections = GENERATE(1U, 10U);
    std::optional<server> here{std::in_place, io, options};
    here->start();
    raw_peer silent{io, here->port()};
    run_until(io, [&] { return here->peer_count() == 1; });
    auto waiting = come(io, *here);
    for (int i = 0; i < 20; ++i)
        io.poll();
    SECTION("stopped") {
        here->stop();
        io.restart();
        // What has gone with the listener.
        run_until(io, [&] { return waiting->ended() && silent.ended(); });
        silent.drop();
        run_out(io);
    }
    here.reset();
    CHECK(options.connection.budget.use() == budget_use{});
}

TEST_CASE("threads share the limits, and everybody gets in at last") {
    constexpr std::size_t count = 40;
    asio::io_context io;
    server_options options;
    options.threads = 3;
    options.max_connections = 4;
    options.connection.budget = budget{{.handshakes = 2}};
    server here{io, options};
    std::atomic<bool> too_many{false};
    here.on_open = [&](server::peer&) {
        if (here.peer_count() > 4 || here.budget().use().handshakes > 2) too_many = true;
    };
    here.on_message = [](server::peer& peer, const message& m) { peer.send(m); };
    here.start();
    std::atomic<std::size_t> served{0};
    auto work = asio::make_work_guard(io);
    std::thread clients{[&] {
        asio::io_context outside;
        std::vector<std::unique_ptr<watched>> all;
        for (std::size_t i = 0; i < count; ++i) {
            auto& each = *all.emplace_back(std::make_unique<watched>(outside));
            each.then_open = [&each] { each.socket->send("hello"); };
            each.then_message = [&each](const message&) { each.socket->close(); };
            each.then_close = [&] { ++served; };
            (void)each.socket->open(url_of(here));
        }
        outside.run();
        for (const auto& each : all)
            if (!each->saw("message hello")) too_many = true;
        asio::post(io, [&] {
            work.reset();
            here.stop();
        });
    }};
    io.run();
    clients.join();
    CHECK(served == count);
    CHECK_FALSE(too_many);
    CHECK(here.peer_count() == 0);
    CHECK(here.budget().use() == budget_use{});
}

TEST_CASE("is told what becomes of messages, and of a queue's fall") {
    asio::io_context io;
    server_options options;
    options.connection.limits.queue_watermark = 1000;
    server here{io, options};
    std::vector<told_fate> told;
    int low_water = 0;
    const bool asks = GENERATE(false, true);
    if (!asks) {
        here.on_fate = [&](server::peer&, const told_fate& fate) { told.push_back(fate); };
        here.on_low_water = [&](server::peer&) { ++low_water; };
    }
    server::peer* peer = nullptr;
    here.on_open = [&](server::peer& opened) {
        peer = &opened;
        CHECK(opened.send(std::string(900, 'a'), {.tag = 1}) == send_status::ok);
        CHECK(opened.send(std::string(900, 'b'), {.tag = 2}) == send_status::above_watermark);
    };
    here.start();
    const auto client = come(io, here);
    run_until(io, [&] { return client->received().size() > 1800; });
    io.poll();
    if (asks) {
        REQUIRE(peer != nullptr);
        while (const auto fate = peer->next_fate())
            told.push_back(*fate);
    } else {
        CHECK(low_water == 1);
    }
    CHECK(told == std::vector<told_fate>{{1, message_fate::written}, {2, message_fate::written}});
}

} // namespace
