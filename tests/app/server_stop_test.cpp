#include <duplex/server.hpp>

#include "support/loopback.hpp"
#include "support/wire.hpp"

#include <duplex/test/manual_time.hpp>

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

namespace {

using namespace duplex;
using namespace duplex::testing;
using namespace std::chrono_literals;

/// A server with clients in every state: a TCP connection, half a request, open, closing from either side,
/// and open with more to send than the kernel takes.
struct crowd {
    explicit crowd(server_options options = {})
        : it{std::make_unique<server>(io, std::move(options))} {
        it->on_message = [this](server::peer& peer, const message& m) {
            if (m.text() == "close me") peer.close(close_code::normal, "as you wish");
            if (m.text() == "flood me") peer.send(std::string(8 << 20, 'x'));
            if (then_message) then_message();
        };
        it->on_open = [this](server::peer& peer) {
            ++opened;
            handles.push_back(peer.handle());
            if (then_open) then_open();
        };
        it->on_close = [this](server::peer&, const close_result& result) {
            ++closed;
            ends.push_back(result);
            if (then_close) then_close();
        };
        it->on_error = [this](std::error_code error) {
            errors.push_back(error);
            if (then_error) then_error();
        };
        it->start();
    }

    raw_peer& connect() { return *clients.emplace_back(std::make_unique<raw_peer>(io, it->port())); }
    raw_peer& open() {
        auto& client = connect();
        client.send(request_for(it->port()));
        run_until(io, [&] { return client.received().ends_with("\r\n\r\n"); });
        (void)client.take();
        return client;
    }

    void gather() {
        connect();
        connect().send("GET / HTTP/1.1\r\n");
        open();
        auto& asked = open();
        asked.send(frame_bytes(role::client, opcode::text, "close me"));
        run_until(io, [&] { return !asked.received().empty(); });
        auto& flooded = open();
        flooded.send(frame_bytes(role::client, opcode::text, "flood me"));
        run_until(io, [&] { return !flooded.received().empty(); });
        run_until(io, [&] { return it->peer_count() == clients.size() && opened == 3; });
    }

    asio::io_context io;
    test::manual_time time{io};
    std::unique_ptr<server> it;
    std::vector<std::unique_ptr<raw_peer>> clients;
    std::vector<server::peer::handle_type> handles;
    int opened = 0;
    int closed = 0;
    std::vector<close_result> ends;
    std::vector<std::error_code> errors;
    std::function<void()> then_open;
    std::function<void()> then_message;
    std::function<void()> then_close;
    std::function<void()> then_error;
};

const std::string going_away = frame_bytes(role::server, opcode::close, close_payload(1001));

TEST_CASE("stopping closes every peer with 1001, and the context has nothing left to do") {
    crowd all;
    all.gather();
    all.it->stop();
    if (GENERATE(false, true)) {
        // A second time changes nothing.
        all.io.poll();
        all.it->stop();
    }
    for (auto& client : all.clients)
        run_until(all.io, [&] {
            return client->ended() || client->received().ends_with(going_away) || client == all.clients[3];
        });
    CHECK(all.clients[0]->received().empty());
    CHECK(all.clients[0]->ended());
    CHECK(all.clients[1]->ended());
    CHECK(all.clients[2]->take() == going_away);
    // This one was closed before; it still has its time to answer.
    CHECK(all.clients[3]->take() ==
          frame_bytes(role::server, opcode::close, close_payload(1000, "as you wish")));
    CHECK_FALSE(all.clients[3]->ended());
    // What was sent before is not lost.
    CHECK(all.clients[4]->received().size() == 10 + (8 << 20) + going_away.size());
    for (std::size_t i = 2; i < 5; ++i) {
        all.clients[i]->send(frame_bytes(role::client, opcode::close, close_payload(i == 3 ? 1000 : 1001)));
        run_until(all.io, [&] { return all.clients[i]->ended(); });
        all.clients[i]->drop();
    }
    run_out(all.io);
    CHECK(all.opened == 3);
    CHECK(all.closed == 3);
    for (const auto& end : all.ends)
        CHECK(end.was_clean);
    CHECK(all.errors == std::vector<std::error_code>(2, errc::aborted));
    CHECK(all.it->peer_count() == 0);
    tcp::socket late{all.io};
    std::error_code error;
    late.connect({asio::ip::address_v4::loopback(), all.it->port()}, error);
    CHECK(error == asio::error::connection_refused);
}

TEST_CASE("stopping ends peers that don't answer at the deadline") {
    crowd all;
    all.gather();
    all.it->stop(close_code::service_restart);
    run_until(all.io, [&] { return !all.clients[2]->received().empty(); });
    CHECK(all.clients[2]->received() == frame_bytes(role::server, opcode::close, close_payload(1012)));
    all.time.advance(11s);
    run_until(all.io, [&] { return all.closed == 3; });
    for (auto& client : all.clients)
        client->drop();
    run_out(all.io);
    for (const auto& end : all.ends)
        CHECK_FALSE(end.was_clean);
    CHECK(all.it->peer_count() == 0);
}

TEST_CASE("draining ends when the last peer has, and says that none was forced") {
    crowd all;
    all.gather();
    std::vector<drain_result> results;
    int closed_by_then = 0;
    all.it->drain(60s, [&](const drain_result& result) {
        results.push_back(result);
        closed_by_then = all.closed;
    });
    for (std::size_t i = 2; i < 5; ++i) {
        auto& client = *all.clients[i];
        const auto code = i == 3 ? 1000U : 1012U;
        const auto says = frame_bytes(role::server, opcode::close,
                                      i == 3 ? close_payload(1000, "as you wish") : close_payload(1012));
        run_until(all.io, [&] { return client.received().ends_with(says); });
        // What was queued went first.
        CHECK(client.received().size() == (i == 4 ? 10 + (8 << 20) : 0) + says.size());
        CHECK(results.empty());
        client.send(frame_bytes(role::client, opcode::close, close_payload(code)));
        run_until(all.io, [&] { return client.ended(); });
        client.drop();
    }
    run_until(all.io, [&] { return !results.empty(); });
    run_out(all.io);
    REQUIRE(results.size() == 1);
    CHECK(results[0].connections == 3);
    CHECK(results[0].forced == 0);
    CHECK(closed_by_then == 3);
}

TEST_CASE("draining cuts those at its deadline that have not ended, and counts them") {
    // Each connection has a deadline of its own, which may come first.
    const bool their_own = GENERATE(false, true);
    server_options options;
    options.connection.timeouts.close = their_own ? 2s : 10s;
    crowd all{std::move(options)};
    all.gather();
    std::vector<drain_result> results;
    const auto note = [&](const drain_result& result) { results.push_back(result); };
    all.it->drain(their_own ? 20s : 2s, note, close_code::going_away);
    if (GENERATE(false, true)) all.it->drain(30s, note);
    run_until(all.io, [&] { return !all.clients[2]->received().empty(); });
    CHECK(all.clients[2]->received() == going_away);
    all.clients[2]->send(frame_bytes(role::client, opcode::close, close_payload(1001)));
    run_until(all.io, [&] { return all.clients[2]->ended(); });
    all.clients[2]->drop();
    run_until(all.io, [&] { return all.closed == 1; });
    all.time.advance(1s);
    all.io.poll();
    CHECK(results.empty());
    all.time.advance(2s);
    run_until(all.io, [&] { return !results.empty(); });
    for (auto& client : all.clients)
        client->drop();
    run_out(all.io);
    for (const auto& each : results) {
        CHECK(each.connections == 3);
        CHECK(each.forced == 2);
    }
    CHECK(all.closed == 3);
    CHECK(all.it->peer_count() == 0);
}

TEST_CASE("a client that was refused and does not go ends with the server") {
    const auto how = GENERATE(0, 1, 2, 3);
    CAPTURE(how);
    server_options options;
    // Nobody else ends it.
    options.connection.timeouts.close = 0s;
    crowd all{std::move(options)};
    all.it->on_request = [&](const server_handshake&) -> std::optional<rejection> {
        if (how == 3) throw std::runtime_error{"no answer"};
        return rejection{.status = 404};
    };
    auto& client = all.connect();
    client.send(request_for(all.it->port()));
    const auto answered = [&] { return client.received().ends_with("\r\n\r\n"); };
    if (how == 3) CHECK_THROWS_AS(run_out(all.io), std::runtime_error);
    run_until(all.io, [&] { return answered() && all.it->peer_count() == 0; });
    int drained = 0;
    if (how == 0)
        all.it->stop();
    else if (how == 1)
        all.it->drain(30s, [&](const drain_result&) { ++drained; });
    else
        all.it.reset();
    run_until(all.io, [&] { return client.ended(); });
    // The client has not gone, and yet there is nothing left to run.
    for (int i = 0; i < 100 && !all.io.stopped(); ++i)
        all.io.poll();
    CHECK(all.io.stopped());
    client.drop();
    run_out(all.io);
    if (all.it) CHECK(all.it->peer_count() == 0);
    CHECK(drained == (how == 1 ? 1 : 0));
}

TEST_CASE("may be stopped between any two steps of an opening, about which the application is asked") {
    for (int steps = 0;; ++steps) {
        REQUIRE(steps < 100);
        CAPTURE(steps);
        crowd all;
        all.it->on_request = [](const server_handshake& request) -> std::optional<rejection> {
            CHECK(request.target() == "/chat");
            return std::nullopt;
        };
        auto& client = all.connect();
        client.send(request_for(all.it->port()));
        for (int i = 0; i < steps; ++i)
            all.io.poll_one();
        all.it->stop();
        client.drop();
        run_out(all.io);
        CHECK(all.it->peer_count() == 0);
        if (all.opened != 0) break;
    }
}

TEST_CASE("draining what has no connections is over at once") {
    const bool started = GENERATE(false, true);
    asio::io_context io;
    server it{io};
    if (started) it.start();
    int done = 0;
    it.drain(0s, [&](const drain_result& result) {
        ++done;
        CHECK(result.connections == 0);
        CHECK(result.forced == 0);
    });
    it.drain(0s);
    run_out(io);
    CHECK(done == 1);
}

TEST_CASE("a server may be destroyed while it drains, and its context as well") {
    auto all = std::make_unique<crowd>();
    all->gather();
    bool called = false;
    all->it->drain(GENERATE(0s, 5s), [&](const drain_result&) { called = true; });
    if (GENERATE(false, true)) all->io.poll();
    if (GENERATE(false, true)) {
        all->it.reset();
        all->time.advance(20s);
        run_out(all->io);
    }
    all.reset();
    CHECK_FALSE(called);
}

TEST_CASE("takes a code that may not travel for 1001") {
    crowd all;
    auto& client = all.open();
    all.it->stop(GENERATE(close_code::abnormal, close_code::tls_handshake, static_cast<close_code>(7)));
    run_until(all.io, [&] { return !client.received().empty(); });
    CHECK(client.received() == going_away);
}

TEST_CASE("may be stopped in each of its callbacks") {
    crowd all;
    auto& bystander = all.open();
    const auto stop = [&] { all.it->stop(); };
    SECTION("on_request") {
        all.it->on_request = [&](const server_handshake&) -> std::optional<rejection> {
            stop();
            return std::nullopt;
        };
    }
    SECTION("on_request, with a rejection") {
        all.it->on_request = [&](const server_handshake&) -> std::optional<rejection> {
            stop();
            return rejection{};
        };
    }
    SECTION("on_open") { all.then_open = stop; }
    SECTION("on_message") { all.then_message = stop; }
    SECTION("on_close") { all.then_close = stop; }
    SECTION("on_error") { all.then_error = stop; }
    SECTION("on_connection") {
        all.it->on_connection = [&](server::peer) { stop(); };
    }
    auto& client = all.connect();
    client.send(request_for(all.it->port()));
    client.send(frame_bytes(role::client, opcode::text, "x"));
    client.send(frame_bytes(role::client, opcode::close, close_payload(1000)));
    client.shutdown_send();
    all.connect().send("nonsense\r\n\r\n");
    run_until(all.io, [&] { return bystander.received() == going_away; });
    bystander.send(frame_bytes(role::client, opcode::close, close_payload(1001)));
    run_until(all.io, [&] {
        for (auto& each : all.clients)
            if (!each->ended()) return false;
        return true;
    });
    for (auto& each : all.clients)
        each->drop();
    run_out(all.io);
    CHECK(all.opened == all.closed);
    CHECK(all.it->peer_count() == 0);
}

TEST_CASE("a server may be destroyed in each of its callbacks") {
    crowd all;
    all.open();
    int calls = 0;
    // Nothing is called any more.
    const auto destroy = [&] {
        ++calls;
        all.it.reset();
    };
    const auto port = all.it->port();
    SECTION("on_request") {
        all.it->on_request = [&](const server_handshake& request) -> std::optional<rejection> {
            destroy();
            CHECK(request.target() == "/chat");
            return std::nullopt;
        };
    }
    SECTION("on_request, with a rejection") {
        all.it->on_request = [&](const server_handshake&) -> std::optional<rejection> {
            destroy();
            return rejection{};
        };
    }
    SECTION("on_open") {
        all.it->on_open = [&](server::peer& peer) {
            destroy();
            CHECK_FALSE(peer.is_open());
            CHECK(peer.send("x") == send_status::not_open);
        };
    }
    SECTION("on_message") {
        all.it->on_message = [&](server::peer& peer, const message& m) {
            destroy();
            CHECK(m.text() == "x");
            CHECK_FALSE(peer.is_open());
        };
    }
    SECTION("on_close") {
        all.it->on_close = [&](server::peer&, const close_result& result) {
            destroy();
            CHECK(result.was_clean);
        };
    }
    SECTION("on_error") {
        all.it->on_error = [&](std::error_code error) {
            destroy();
            CHECK(error == errc::http_start_line_invalid);
        };
    }
    SECTION("on_connection") {
        all.it->on_connection = [&](server::peer peer) {
            destroy();
            // This one is the application's.
            CHECK(peer.is_open());
        };
    }
    auto& second = all.connect();
    second.send(request_for(port));
    second.send(frame_bytes(role::client, opcode::text, "x"));
    second.send(frame_bytes(role::client, opcode::close, close_payload(1000)));
    second.shutdown_send();
    run_until(all.io, [&] { return !second.received().empty() || second.ended(); });
    if (calls == 0) all.connect().send("nonsense\r\n\r\n");
    run_until(all.io, [&] {
        for (auto& each : all.clients)
            if (!each->ended()) return false;
        return true;
    });
    for (auto& each : all.clients)
        each->drop();
    run_out(all.io);
    CHECK(calls == 1);
    CHECK_FALSE(all.it);
    // What handles were for is gone.
    for (const auto& handle : all.handles) {
        CHECK_FALSE(handle.is_open());
        CHECK(handle.send("x") == send_status::not_open);
    }
}

TEST_CASE("may be destroyed between any two steps of an opening") {
    int asked = 0;
    for (int steps = 0; asked == 0; ++steps) {
        CAPTURE(steps);
        crowd all;
        all.it->on_request = [&](const server_handshake&) -> std::optional<rejection> {
            ++asked;
            return std::nullopt;
        };
        auto& client = all.connect();
        client.send(request_for(all.it->port()));
        for (int i = 0; i < steps && asked == 0; ++i)
            REQUIRE(all.io.run_one() == 1);
        const int before = asked;
        all.it.reset();
        run_until(all.io, [&] { return client.ended(); });
        client.drop();
        run_out(all.io);
        CHECK(asked == before);
        CHECK(all.opened == 0);
        CHECK(all.errors.empty());
    }
}

TEST_CASE("a server that is destroyed tells its peers 1001") {
    crowd all;
    auto& client = all.open();
    SECTION("outside") { all.it.reset(); }
    SECTION("in a callback") {
        all.then_message = [&] { all.it.reset(); };
        client.send(frame_bytes(role::client, opcode::text, "x"));
    }
    run_until(all.io, [&] { return client.ended(); });
    CHECK(client.received() == going_away);
}

TEST_CASE("may be destroyed with peers in every state") {
    crowd all;
    all.gather();
    SECTION("as it is") {}
    SECTION("while it stops") { all.it->stop(); }
    SECTION("while it stops, with Close frames on their way") {
        all.it->stop();
        all.io.poll();
    }
    const auto before = all.closed;
    all.it.reset();
    SECTION("then the context runs on") {
        for (auto& client : all.clients)
            run_until(all.io, [&] { return client->ended(); });
        for (auto& client : all.clients)
            client->drop();
        run_out(all.io);
    }
    SECTION("then the context goes, too") {}
    CHECK(all.closed == before);
    all.handles.clear();
}

TEST_CASE("goes with a context that never runs") {
    const auto held = std::make_shared<int>(1);
    {
        asio::io_context io;
        server_options options;
        options.threads = GENERATE(1U, 2U);
        server it{io, options};
        it.on_open = [held](server::peer&) {};
        it.on_error = [held](std::error_code) {};
        SECTION("not started") {}
        SECTION("started") { it.start(); }
        SECTION("stopped") {
            it.start();
            it.stop();
        }
        SECTION("with a client that waits") {
            it.start();
            const raw_peer client{io, it.port()};
        }
    }
    CHECK(held.use_count() == 1);
}

TEST_CASE("handles outlive their connections") {
    crowd all;
    auto& client = all.open();
    run_until(all.io, [&] { return all.handles.size() == 1; });
    const auto handle = all.handles.front();
    CHECK(handle.is_open());
    CHECK(handle.send("hello") == send_status::ok);
    run_until(all.io, [&] { return client.received() == frame_bytes(role::server, opcode::text, "hello"); });
    client.drop();
    run_until(all.io, [&] { return all.closed == 1; });
    CHECK_FALSE(handle.is_open());
    CHECK(handle.send("late") == send_status::not_open);
    CHECK(handle.ping() == send_status::not_open);
    CHECK_FALSE(handle.close());
    CHECK(handle.buffered_amount() == 0);
    all.it->stop();
    run_out(all.io);
}

} // namespace
