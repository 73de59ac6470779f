// The way through proxies, whose bytes the tests write themselves.

#include "support/catch.hpp"
#include "support/loopback.hpp"

#include <duplex/net/connect.hpp>
#include <duplex/websocket.hpp>

#include <asio/io_context.hpp>

#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

namespace {

using namespace duplex;
using namespace duplex::testing;
using namespace std::string_view_literals;

/// A connection on its way to ws://far.example:9002 through a proxy on this machine.
struct journey {
    journey(asio::io_context& io, proxy_kind kind, std::string user = {}, std::string password = {})
        : way{io} {
        connect_options options;
        options.proxy = proxy{.kind = kind,
                              .host = "127.0.0.1",
                              .port = way.port(),
                              .user = std::move(user),
                              .password = std::move(password)};
        async_connect(io, "ws://far.example:9002/room", options,
                      [this](std::error_code e, tcp_connection<> made) {
                          error = e;
                          if (made && made.opening_outcome()) outcome = *made.opening_outcome();
                          connection = std::move(made);
                          over = true;
                      });
    }
    /// Runs until the proxy has got so many bytes, and takes them.
    [[nodiscard]] std::string await(asio::io_context& io, std::size_t size) {
        run_until(io, [&] { return way.connected() && way.peer().received().size() >= size; });
        return way.peer().take();
    }

    raw_server way;
    bool over = false;
    std::error_code error;
    handshake_outcome outcome;
    tcp_connection<> connection;
};

} // namespace

TEST_CASE("an HTTP proxy is asked for a tunnel, and the server's name is left to it") {
    asio::io_context io;
    journey here{io, proxy_kind::http, "user", "secret"};
    const auto asked = here.way.await_request(io);
    CHECK(asked.starts_with("CONNECT far.example:9002 HTTP/1.1\r\nHost: far.example:9002\r\n"));
    CHECK(asked.find("Proxy-Authorization: Basic dXNlcjpzZWNyZXQ=\r\n") != std::string::npos);
    here.way.peer().send("HTTP/1.1 200 Connection established\r\n\r\n");
    const auto request = here.way.await_request(io);
    CHECK(request.starts_with("GET /room HTTP/1.1\r\nHost: far.example:9002\r\n"));
    CHECK(request.find("Proxy-Authorization") == std::string::npos);
    here.way.peer().send(acceptance_of(request));
    run_until(io, [&] { return here.over; });
    CHECK_FALSE(here.error);
    CHECK(here.connection.is_open());
}

TEST_CASE("a proxy's refusal shows its status and body") {
    asio::io_context io;
    journey here{io, proxy_kind::http};
    (void)here.way.await_request(io);
    SECTION("no") {
        here.way.peer().send("HTTP/1.1 403 Forbidden\r\nContent-Length: 5\r\n\r\nnever");
        run_until(io, [&] { return here.over; });
        CHECK(here.error == errc::proxy_refused);
        CHECK(here.outcome.status == 403);
        CHECK(here.outcome.body == "never");
    }
    SECTION("who are you") {
        here.way.peer().send("HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n");
        run_until(io, [&] { return here.over; });
        CHECK(here.error == errc::proxy_authentication_required);
    }
    SECTION("nothing") {
        here.way.peer().drop();
        run_until(io, [&] { return here.over; });
        CHECK(here.error == errc::connection_lost);
    }
    SECTION("not even an end") {
        here.way.peer().reset();
        run_until(io, [&] { return here.over; });
        CHECK(here.error == asio::error::connection_reset);
        CHECK(here.outcome.why.find("through the proxy http://127.0.0.1:") != std::string::npos);
    }
    SECTION("more than was asked for") {
        here.way.peer().send("HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 101 Switching Protocols\r\n\r\n");
        run_until(io, [&] { return here.over; });
        CHECK(here.error == errc::proxy_answer_invalid);
    }
    CHECK(here.outcome.phase == phase::proxy);
    CHECK_FALSE(here.connection.is_open());
}

TEST_CASE("a SOCKS5 proxy is asked in steps, with the login where there is one") {
    asio::io_context io;
    journey here{io, proxy_kind::socks5, "me", "pw"};
    CHECK(here.await(io, 4) == "\x05\x02\x00\x02"sv);
    here.way.peer().send("\x05\x02"sv);
    CHECK(here.await(io, 7) == "\x01\x02me\x02pw"sv);
    here.way.peer().send("\x01\x00"sv);
    CHECK(here.await(io, 18) == "\x05\x01\x00\x03\x0B"
                                "far.example\x23\x2A"sv);
    SECTION("and lets us through") {
        here.way.peer().send("\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00"sv);
        const auto request = here.way.await_request(io);
        CHECK(request.starts_with("GET /room HTTP/1.1\r\n"));
        here.way.peer().send(acceptance_of(request));
        run_until(io, [&] { return here.over; });
        CHECK_FALSE(here.error);
    }
    SECTION("or not") {
        here.way.peer().send("\x05\x05\x00\x01\x00\x00\x00\x00\x00\x00"sv);
        run_until(io, [&] { return here.over; });
        CHECK(here.error == errc::proxy_refused);
        CHECK(here.outcome.status == 5);
        CHECK_FALSE(here.outcome.reason.empty());
    }
}

TEST_CASE("a proxy that says nothing is given up, however that comes") {
    asio::io_context io;
    SECTION("the connection's owner goes") {
        bool called = false;
        raw_server way{io};
        {
            connect_options options;
            options.proxy = proxy{.host = "127.0.0.1", .port = way.port()};
            websocket socket{io, "ws://far.example/", {}, options};
            socket.on_close = [&](const close_event&) { called = true; };
            (void)way.await_request(io);
        }
        run_until(io, [&] { return way.peer().ended(); });
        CHECK_FALSE(called);
    }
    SECTION("the context goes") {
        auto own = std::make_unique<asio::io_context>();
        auto here = std::make_unique<journey>(*own, proxy_kind::http);
        (void)here->way.await_request(*own);
        here->connection = {};
        // The listening side belongs to the context as well.
        CHECK_FALSE(here->over);
        here.reset();
    }
    SECTION("time") {
        raw_server way{io};
        connect_options options;
        options.proxy = proxy{.host = "127.0.0.1", .port = way.port()};
        options.connection.timeouts.connect = std::chrono::milliseconds{1};
        std::optional<std::error_code> found;
        async_connect(io, "ws://far.example/", options,
                      [&](std::error_code e, tcp_connection<>) { found = e; });
        run_until(io, [&] { return found.has_value(); });
        CHECK(*found == errc::connect_timeout);
    }
}

TEST_CASE("mistakes about a proxy are found before anything is connected") {
    asio::io_context io;
    connect_options options;
    options.proxy = proxy{.kind = proxy_kind::socks5, .host = "127.0.0.1", .port = 1, .user = "no password"};
    std::optional<std::error_code> found;
    async_connect(io, "ws://far.example/", options, [&](std::error_code e, tcp_connection<>) { found = e; });
    run_out(io);
    CHECK(*found == errc::proxy_credentials_invalid);
}

TEST_CASE("the environment's proxy is used unless it is told not to be") {
    asio::io_context io;
    raw_server way{io};
    const bool asks = GENERATE(true, false);
    CAPTURE(asks);
    REQUIRE(::setenv("ws_proxy", ("127.0.0.1:" + std::to_string(way.port())).c_str(), 1) == 0);
    connect_options options;
    options.proxy_from_environment = asks;
    bool over = false;
    async_connect(io, way.url(), options, [&](std::error_code, tcp_connection<>) { over = true; });
    const auto request = way.await_request(io);
    REQUIRE(::unsetenv("ws_proxy") == 0);
    CHECK(request.starts_with(asks ? "CONNECT 127.0.0.1:" : "GET / HTTP/1.1\r\n"));
    way.peer().drop();
    run_until(io, [&] { return over; });
}
