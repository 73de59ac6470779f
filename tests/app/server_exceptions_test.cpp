#include <duplex/server.hpp>

// What becomes of an exception that leaves one of a server's callbacks.

#include "support/echoing.hpp"
#include "support/loopback.hpp"

#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

using namespace duplex;
using namespace duplex::testing;

TEST_CASE("an exception leaves the context's run and takes one connection with it") {
    asio::io_context io;
    echoing here{io};
    bool throwing = true;
    const auto thrower = [&] {
        if (std::exchange(throwing, false)) throw std::runtime_error{"mine"};
    };
    history expected{"open /", "close 1006"};
    std::string clients_end = "close 1011 clean";
    bool of_message = false;
    bool of_close = false;
    std::error_code closes_with{};
    std::error_code closed_with{};
    const auto opened = here.it.on_open;
    const auto closed = here.it.on_close;
    here.it.on_close = [&](server::peer& peer, const close_result& result) {
        if (here.seen.size() < 3) closed_with = result.error;
        closed(peer, result);
    };
    SECTION("from on_request") {
        here.it.on_request = [&](const server_handshake&) -> std::optional<rejection> {
            thrower();
            return std::nullopt;
        };
        expected = {};
        clients_end = "close 1006";
    }
    SECTION("from on_open") {
        here.it.on_open = [&](server::peer& peer) {
            opened(peer);
            thrower();
        };
        expected[1] = "close 1011 clean";
    }
    SECTION("from on_message") {
        here.it.on_message = [&](server::peer&, const message&) { thrower(); };
        of_message = true;
        closes_with = errc::callback_threw;
    }
    SECTION("from on_close") {
        here.it.on_close = [&](server::peer& peer, const close_result& result) {
            closed(peer, result);
            thrower();
        };
        of_close = true;
        expected[1] = clients_end = "close 1005 clean";
    }
    here.it.start();
    watched client{io, url_of(here.it)};
    client.then_open = [&] {
        if (of_message) client.socket->send("x");
        if (of_close) client.socket->close();
    };
    CHECK_THROWS_AS(run_out(io), std::runtime_error);
    run_until(io, [&] { return client.closed() && here.it.peer_count() == 0; });
    CHECK(client.seen.back() == clients_end);
    CHECK(here.seen == expected);
    CHECK(closed_with == closes_with);
    // The server goes on.
    watched next{io, url_of(here.it)};
    run_until(io, [&] { return next.saw("open"); });
    here.it.stop();
    run_out(io);
    CHECK(here.seen.back() == "close 1001 clean");
}

TEST_CASE("a connection whose on_open threw brings no messages, and is closed") {
    asio::io_context io;
    server here{io};
    int messages = 0;
    here.on_open = [](server::peer&) { throw std::runtime_error{"mine"}; };
    here.on_message = [&](server::peer&, const message&) { ++messages; };
    here.start();
    watched client{io, url_of(here)};
    client.then_open = [&] { client.socket->send("x"); };
    CHECK_THROWS_AS(run_out(io), std::runtime_error);
    run_until(io, [&] { return client.closed() && here.peer_count() == 0; });
    CHECK(messages == 0);
    CHECK(client.seen.back() == "close 1011 clean");
}
