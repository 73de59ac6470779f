#include <duplex/detail/server_counters.hpp>

#include "support/echoing.hpp"
#include "support/loopback.hpp"
#include "support/wire.hpp"

#include <duplex/server.hpp>
#include <duplex/test/manual_time.hpp>

#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace {

using namespace duplex;
using namespace duplex::testing;
using namespace std::chrono_literals;

server_counters asked(asio::io_context& io, server& of) {
    std::optional<server_counters> told;
    of.counters([&](const server_counters& all) { told = all; });
    CHECK_FALSE(told);
    run_until(io, [&] { return told.has_value(); });
    return *told;
}

/// An open connection whose bytes the test writes.
struct open_peer : raw_peer {
    open_peer(asio::io_context& io, server& of)
        : raw_peer{io, of.port()} {
        send(request_for(of.port()));
        run_until(io, [&] { return received().ends_with("\r\n\r\n"); });
        CHECK(take().starts_with("HTTP/1.1 101 "));
    }
    void send_frame(opcode op, std::string_view payload) { send(frame_bytes(role::client, op, payload)); }
};

closed_counters closed_by(std::error_code error, close_code code = close_code::abnormal, bool clean = false) {
    closed_counters all;
    detail::count_closed(all, {.error = error, .code = code, .was_clean = clean});
    CHECK(all.all() == 1);
    return all;
}

refused_counters refused_for(std::error_code error, phase where = phase::upgrade) {
    refused_counters all;
    detail::count_refused(all, error, where);
    CHECK(all.all() == 1);
    return all;
}

} // namespace

TEST_CASE("every end of a connection belongs to one class") {
    CHECK(closed_by({}, close_code::normal, true).normal == 1);
    CHECK(closed_by({}, close_code::going_away, true).normal == 1);
    CHECK(closed_by({}, close_code::no_status, true).normal == 1);
    CHECK(closed_by({}, close_code{3000}, true).application == 1);
    CHECK(closed_by({}, close_code{4999}, true).application == 1);
    CHECK(closed_by({}, close_code::policy_violation, true).other_code == 1);
    CHECK(closed_by(errc::invalid_utf8).violation == 1);
    CHECK(closed_by(errc::message_too_big).limit == 1);
    CHECK(closed_by(errc::queue_full, close_code::policy_violation, true).limit == 1);
    CHECK(closed_by(errc::pong_timeout).timed_out == 1);
    CHECK(closed_by(errc::idle_timeout, close_code::going_away, true).timed_out == 1);
    CHECK(closed_by(errc::callback_threw).failed == 1);
    CHECK(closed_by(errc::aborted).failed == 1);
    CHECK(closed_by(errc::connection_lost).lost == 1);
    CHECK(closed_by(asio::error::connection_reset).lost == 1);
}

TEST_CASE("every refusal belongs to one class") {
    CHECK(refused_for(errc::request_rejected).rejected == 1);
    CHECK(refused_for(errc::origin_not_allowed).rejected == 1);
    CHECK(refused_for(errc::method_not_get).malformed == 1);
    CHECK(refused_for(errc::head_too_long).malformed == 1);
    CHECK(refused_for(errc::http_header_invalid).malformed == 1);
    CHECK(refused_for(errc::handshake_timeout).timed_out == 1);
    CHECK(refused_for(errc::tls_timeout, phase::tls).timed_out == 1);
    CHECK(refused_for(errc::tls_certificate_required, phase::tls).tls == 1);
    CHECK(refused_for(asio::error::eof, phase::tls).tls == 1);
    CHECK(refused_for(asio::error::connection_reset).lost == 1);
    CHECK(refused_for(errc::connection_lost).lost == 1);
    CHECK(refused_for(errc::aborted).failed == 1);
    CHECK(refused_for(errc::out_of_memory).failed == 1);
}

TEST_CASE("a server that has not begun has counted nothing, and says so when it is asked") {
    asio::io_context io;
    server it{io};
    CHECK(it.counters() == server_counters{});
    CHECK(asked(io, it) == server_counters{});
    it.counters({});
    run_out(io);
}

TEST_CASE("counts connections from their beginning to their end, and what went through them") {
    asio::io_context io;
    echoing here{io};
    here.it.start();
    open_peer first{io, here.it};
    open_peer second{io, here.it};
    first.send_frame(opcode::text, "Hello");
    run_until(io, [&] { return first.received().size() == 7; });
    auto all = asked(io, here.it);
    CHECK(all.accepted == 2);
    CHECK(all.opened == 2);
    CHECK(all.open() == 2);
    CHECK(all.opening() == 0);
    CHECK(all.open_traffic.bytes_in == 11);
    CHECK(all.open_traffic.bytes_out == 7);
    CHECK(all.open_traffic.messages_in == 1);
    CHECK(all.ended_traffic == session_counters{});
    CHECK(here.it.counters().open_traffic == session_counters{});

    first.send_frame(opcode::close, close_payload(4000));
    run_until(io, [&] { return first.ended(); });
    first.drop();
    second.drop();
    run_until(io, [&] { return here.it.counters().closed.all() == 2; });
    all = asked(io, here.it);
    CHECK(all.open() == 0);
    CHECK(all.closed.application == 1);
    CHECK(all.closed.lost == 1);
    CHECK(all.ended_traffic.bytes_in == 11 + 8);
    CHECK(all.ended_traffic.bytes_out == 7 + 4);
    CHECK(all.ended_traffic.closes_in == 1);
    CHECK(all.open_traffic == session_counters{});
    here.it.stop();
    run_out(io);
}

TEST_CASE("counts what was refused, by its reason") {
    asio::io_context io;
    test::manual_time time{io};
    server it{io};
    bool throws = false;
    it.on_request = [&](const server_handshake&) -> std::optional<rejection> {
        if (throws) throw std::runtime_error{"no answer"};
        return rejection{};
    };
    it.start();
    {
        raw_peer rejected{io, it.port()};
        rejected.send(request_for(it.port()));
        raw_peer malformed{io, it.port()};
        malformed.send("POST / HTTP/1.1\r\nHost: x\r\n\r\n");
        run_until(io, [&] { return it.counters().refused.all() == 2; });
        CHECK(it.counters().refused.rejected == 1);
        CHECK(it.counters().refused.malformed == 1);
    }
    raw_peer gone{io, it.port()};
    run_until(io, [&] { return it.counters().accepted == 3; });
    CHECK(it.counters().opening() == 1);
    gone.reset();
    run_until(io, [&] { return it.counters().refused.lost == 1; });

    raw_peer slow{io, it.port()};
    run_until(io, [&] { return it.counters().accepted == 4; });
    time.advance(11s);
    run_until(io, [&] { return it.counters().refused.timed_out == 1; });

    throws = true;
    raw_peer unlucky{io, it.port()};
    unlucky.send(request_for(it.port()));
    CHECK_THROWS_AS(run_out(io), std::runtime_error);
    CHECK(it.counters().refused.failed == 1);
    CHECK(it.counters().opened == 0);
    CHECK(it.counters().opening() == 0);
    it.stop();
    unlucky.drop();
    slow.drop();
    time.advance(20s);
    run_out(io);
}

TEST_CASE("a connection that is being opened when the server stops has failed") {
    asio::io_context io;
    server it{io};
    it.start();
    raw_peer waiting{io, it.port()};
    run_until(io, [&] { return it.counters().accepted == 1; });
    it.stop();
    run_out(io);
    CHECK(it.counters().refused.failed == 1);
    CHECK(it.counters().opening() == 0);
}

TEST_CASE("connections that the application takes are counted, and not followed") {
    asio::io_context io;
    server it{io};
    std::optional<server::peer> taken;
    SECTION("by on_connection") {
        it.on_connection = [&](server::peer peer) { taken.emplace(std::move(peer)); };
    }
    SECTION("in on_open") {
        it.on_open = [&](server::peer& peer) { taken.emplace(std::move(peer)); };
    }
    it.start();
    open_peer client{io, it};
    run_until(io, [&] { return taken.has_value(); });
    CHECK(it.counters().opened == 1);
    client.drop();
    taken.reset();
    run_until(io, [&] { return it.counters().taken_over == 1; });
    CHECK(it.counters().open() == 0);
    CHECK(it.counters().closed.all() == 0);
    it.stop();
    run_out(io);
}

TEST_CASE("asks all threads, from any thread") {
    asio::io_context io;
    echoing here{io, {.threads = 3}};
    here.it.on_open = nullptr;
    here.it.on_message = [](server::peer& peer, const message& m) { (void)peer.send(m); };
    here.it.on_close = nullptr;
    here.it.start();
    std::vector<std::unique_ptr<open_peer>> peers;
    for (int i = 0; i < 8; ++i)
        peers.push_back(std::make_unique<open_peer>(io, here.it));
    for (auto& each : peers)
        each->send_frame(opcode::text, "Hello");
    run_until(io, [&] {
        return std::all_of(peers.begin(), peers.end(),
                           [](auto& each) { return each->received().size() == 7; });
    });
    const auto all = asked(io, here.it);
    CHECK(all.open() == 8);
    CHECK(all.open_traffic.messages_in == 8);
    CHECK(all.open_traffic.bytes_out == 8 * 7);
    here.it.stop();
    peers.clear();
    run_out(io);
    CHECK(here.it.counters().closed.all() == 8);
}

TEST_CASE("nobody is told when the server is gone") {
    asio::io_context io;
    bool told = false;
    {
        server it{io};
        it.counters([&](const server_counters&) { told = true; });
    }
    run_out(io);
    CHECK_FALSE(told);
}
