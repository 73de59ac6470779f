#include <duplex/server.hpp>

#include "support/echoing.hpp"
#include "support/loopback.hpp"
#include "support/wire.hpp"

#include <duplex/net/connect.hpp>
#include <duplex/test/manual_time.hpp>

#if defined(ASIO_HAS_CO_AWAIT)
#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/use_awaitable.hpp>
#endif

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace {

using namespace duplex;
using namespace duplex::testing;
using namespace std::chrono_literals;

TEST_CASE("calls back in order, and tells of each end once") {
    asio::io_context io;
    echoing here{io};
    CHECK(here.it.port() == 0);
    here.it.start();
    REQUIRE(here.it.port() != 0);
    watched client{io, url_of(here.it, "/room?id=7")};
    client.then_open = [&] {
        client.socket->send("one");
        client.socket->send("two");
    };
    client.then_message = [&](const message& m) {
        if (m.text() == "two") client.socket->close(3000, "done");
    };
    client.then_close = [&] { here.it.stop(); };
    run_out(io);
    CHECK(here.seen == history{"open /room?id=7", "message one", "message two", "close 3000 done clean"});
    CHECK(client.seen == history{"open", "message one", "message two", "close 3000 clean"});
    CHECK(here.errors.empty());
    CHECK(here.it.peer_count() == 0);
}

TEST_CASE("tells how a client went") {
    asio::io_context io;
    echoing here{io};
    here.it.start();
    raw_peer client{io, here.it.port()};
    client.send(request_for(here.it.port()));
    run_until(io, [&] { return !here.seen.empty() && !client.received().empty(); });
    const auto answer = client.take();
    CHECK(answer.starts_with("HTTP/1.1 101 "));
    CHECK(here.it.peer_count() == 1);
    std::string expected;
    SECTION("closed without a code") {
        client.send(frame_bytes(role::client, opcode::close, ""));
        expected = "close 1005 clean";
    }
    SECTION("ended without a Close") {
        client.shutdown_send();
        expected = "close 1006";
    }
    SECTION("reset") {
        client.reset();
        expected = "close 1006";
    }
    SECTION("broke the protocol") {
        client.send(frame_bytes(role::client, opcode::text, "x", {.masked = false}));
        expected = "close 1006";
    }
    run_until(io, [&] { return here.seen.size() == 2 || client.received().size() >= 4; });
    client.drop();
    here.it.stop();
    run_out(io);
    CHECK(here.seen == history{"open /chat", expected});
    CHECK(here.it.peer_count() == 0);
}

TEST_CASE("needs no callback") {
    asio::io_context io;
    server here{io};
    here.start();
    watched client{io, url_of(here)};
    client.then_open = [&] {
        client.socket->send("into the void");
        client.socket->close();
    };
    client.then_close = [&] { here.stop(); };
    run_out(io);
    CHECK(client.seen == history{"open", "close 1005 clean"});
}

TEST_CASE("lets the application decide about a request") {
    asio::io_context io;
    echoing here{io};
    std::string asked;
    here.it.on_request = [&](const server_handshake& request) -> std::optional<rejection> {
        asked = std::string{request.target()} + " from " + std::string{request.origin().value_or("nowhere")};
        if (request.target() == "/secret" && request.headers().find("Authorization") != "Bearer me")
            return rejection{
                .status = 401, .headers = {{"WWW-Authenticate", "Bearer"}}, .body = "who are you?"};
        return std::nullopt;
    };
    here.it.start();
    connect_options options;
    SECTION("accepted") {
        options.headers = {{"Authorization", "Bearer me"}};
        watched client{io, url_of(here.it, "/secret"), {}, options};
        run_until(io, [&] { return client.saw("open"); });
        CHECK(asked == "/secret from nowhere");
        CHECK(here.errors.empty());
    }
    SECTION("rejected") {
        watched client{io, url_of(here.it, "/secret"), {}, options};
        run_until(io, [&] { return client.closed(); });
        CHECK(client.seen == history{"error", "close 1006"});
        REQUIRE(client.response);
        CHECK(client.response->status == 401);
        CHECK(client.response->headers.find("WWW-Authenticate") == "Bearer");
        CHECK(client.response->body == "who are you?");
        CHECK(here.seen.empty());
        CHECK(here.errors == std::vector{make_error_code(errc::request_rejected)});
    }
    SECTION("with a status that refuses nothing: 500") {
        here.it.on_request = [](const server_handshake&) { return rejection{.status = 101}; };
        watched client{io, url_of(here.it), {}, options};
        run_until(io, [&] { return client.closed(); });
        REQUIRE(client.response);
        CHECK(client.response->status == 500);
    }
    SECTION("with a header that may not be sent: 500") {
        here.it.on_request = [](const server_handshake&) {
            return rejection{.headers = {{"X", "a\r\nEvil: b"}}};
        };
        watched client{io, url_of(here.it), {}, options};
        run_until(io, [&] { return client.closed(); });
        REQUIRE(client.response);
        CHECK(client.response->status == 500);
        CHECK(here.errors == std::vector{make_error_code(errc::header_value_invalid)});
    }
    SECTION("by throwing: 500, and the exception goes on to whoever runs the context") {
        here.it.on_request = [](const server_handshake&) -> std::optional<rejection> {
            throw std::runtime_error{"no database"};
        };
        watched client{io, url_of(here.it), {}, options};
        bool thrown = false;
        try {
            io.run();
        } catch (const std::runtime_error&) {
            thrown = true;
        }
        CHECK(thrown);
        run_until(io, [&] { return client.closed(); });
        REQUIRE(client.response);
        CHECK(client.response->status == 500);
    }
    here.it.stop();
    run_out(io);
    CHECK(here.it.peer_count() == 0);
}

TEST_CASE("chooses the subprotocol by its own preference") {
    asio::io_context io;
    server_options options;
    options.subprotocols = {"v3", "v2", "v1"};
    server here{io, options};
    std::string agreed = "?";
    here.on_open = [&](server::peer& peer) { agreed = peer.opening_outcome()->subprotocol; };
    here.start();
    struct row {
        std::vector<std::string> offered;
        std::string agreed;
    };
    const auto row = GENERATE(values<struct row>({
        {{"v1", "v2"}, "v2"},
        {{"other", "v3", "v1"}, "v3"},
        {{"other"}, ""},
        {{}, ""},
    }));
    watched client{io, url_of(here), row.offered};
    run_until(io, [&] { return client.saw("open") && agreed != "?"; });
    CHECK(agreed == row.agreed);
    CHECK(client.socket->protocol() == row.agreed);
}

TEST_CASE("lets pages from its own origin in, and from those it is told") {
    asio::io_context io;
    server_options options;
    struct row {
        std::vector<std::string> allowed;
        std::string origin;
        bool welcome;
        bool secure = false;
    };
    const auto row = GENERATE(values<struct row>({
        {{}, "", true},
        {{}, "own", true},
        {{}, "http://evil.example", false},
        {{}, "null", false},
        {{}, "own", false, true},
        {{}, "own by https", true, true},
        {{}, "own by https", false},
        {{"https://app.example"}, "https://app.example", true},
        {{"https://app.example"}, "https://app.example.evil", false},
        {{"https://app.example"}, "http://app.example", false},
        {{"https://app.example"}, "own", false},
        {{"*"}, "http://evil.example", true},
        {{"https://app.example"}, "", true},
    }));
    options.origins = row.allowed;
    options.secure = row.secure;
    echoing here{io, options};
    here.it.start();
    connect_options with;
    const auto host = "127.0.0.1:" + std::to_string(here.it.port());
    with.origin = row.origin == "own"            ? "http://" + host
                  : row.origin == "own by https" ? "https://" + host
                                                 : row.origin;
    CAPTURE(row.allowed, with.origin, row.secure);
    watched client{io, url_of(here.it), {}, with};
    run_until(io, [&] { return client.saw("open") || client.closed(); });
    CHECK(client.saw("open") == row.welcome);
    if (!row.welcome) {
        REQUIRE(client.response);
        CHECK(client.response->status == 403);
        CHECK(here.errors == std::vector{make_error_code(errc::origin_not_allowed)});
    }
}

TEST_CASE("passes headers both ways") {
    asio::io_context io;
    server_options options;
    options.headers = {{"Set-Cookie", "a=b"}, {"X-Node", "7"}};
    server here{io, options};
    std::string cookie;
    here.on_open = [&](server::peer& peer) {
        cookie = peer.opening_outcome()->headers.find("Cookie").value_or("");
    };
    here.start();
    connect_options with;
    with.headers = {{"Cookie", "c=d"}};
    tcp_connection<> client;
    async_connect(io, url_of(here), with, [&](std::error_code error, tcp_connection<> made) {
        CHECK_FALSE(error);
        client = std::move(made);
    });
    run_until(io, [&] { return client && !cookie.empty(); });
    CHECK(cookie == "c=d");
    CHECK(client.opening_outcome()->headers.find("Set-Cookie") == "a=b");
    CHECK(client.opening_outcome()->headers.find("X-Node") == "7");
}

TEST_CASE("answers what is no WebSocket request, and goes on") {
    asio::io_context io;
    test::manual_time time{io};
    echoing here{io};
    const bool with_hook = GENERATE(false, true);
    int asked = 0;
    if (with_hook)
        here.it.on_request = [&](const server_handshake&) -> std::optional<rejection> {
            ++asked;
            return std::nullopt;
        };
    here.it.start();
    raw_peer client{io, here.it.port()};
    std::string_view answer;
    errc error{};
    SECTION("a page") {
        client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        answer = "HTTP/1.1 426 ";
        error = errc::upgrade_required;
    }
    SECTION("garbage") {
        client.send("\x16\x03\x01\x02\x00\x01\r\n\r\n");
        answer = "HTTP/1.1 400 ";
        error = errc::http_start_line_invalid;
    }
    SECTION("too much") {
        client.send("GET / HTTP/1.1\r\nX: " + std::string(20'000, 'x'));
        answer = "HTTP/1.1 431 ";
        error = errc::head_too_long;
    }
    SECTION("nothing, for too long") {
        run_until(io, [&] { return here.it.peer_count() == 1; });
        time.advance(11s);
        answer = "HTTP/1.1 408 ";
        error = errc::handshake_timeout;
    }
    SECTION("half a request, then the end") {
        client.send("GET / HTTP/1.1\r\n");
        client.shutdown_send();
        error = errc::connection_lost;
    }
    run_until(io, [&] { return client.ended() && here.it.peer_count() == 0; });
    CHECK(client.received().starts_with(answer));
    CHECK(here.errors == std::vector{make_error_code(error)});
    CHECK(asked == 0);
    CHECK(here.seen.empty());
    watched next{io, url_of(here.it)};
    run_until(io, [&] { return next.saw("open"); });
}

TEST_CASE("ends a connection whose message is too big") {
    asio::io_context io;
    server_options options;
    options.connection.limits.message_bytes = 100;
    echoing here{io, options};
    here.it.start();
    watched client{io, url_of(here.it)};
    client.then_open = [&] { client.socket->send(std::string(100, 'x')); };
    client.then_message = [&](const message&) { client.socket->send(std::string(101, 'y')); };
    client.then_close = [&] { here.it.stop(); };
    run_out(io);
    CHECK(client.seen == history{"open", "message " + std::string(100, 'x'), "close 1009 clean"});
    CHECK(here.seen == history{"open /", "message " + std::string(100, 'x'), "close 1006"});
}

TEST_CASE("gives a connection away whole") {
    asio::io_context io;
    server here{io};
    int others = 0;
    here.on_open = [&](server::peer&) { ++others; };
    here.on_message = [&](server::peer&, const message&) { ++others; };
    here.on_close = [&](server::peer&, const close_result&) { ++others; };
    SECTION("to be kept") {
        std::optional<server::peer> kept;
        here.on_connection = [&](server::peer connection) {
            CHECK(here.peer_count() == 0);
            CHECK(connection.is_open());
            CHECK(connection.opening_outcome()->target == "/x");
            kept = std::move(connection);
        };
        here.start();
        watched client{io, url_of(here, "/x")};
        run_until(io, [&] { return client.saw("open") && kept; });
        here.stop();
        io.poll();
        CHECK(kept->is_open());
        kept->send("still here");
        run_until(io, [&] { return client.saw("message still here"); });
        kept.reset();
        run_out(io);
        CHECK(client.seen.back() == "close 1001 clean");
    }
    SECTION("to be dropped") {
        here.on_connection = [&](server::peer) {};
        here.start();
        watched client{io, url_of(here)};
        client.then_close = [&] { here.stop(); };
        run_out(io);
        CHECK(client.seen == history{"open", "close 1001 clean"});
    }
#if defined(ASIO_HAS_CO_AWAIT)
    SECTION("to a coroutine") {
        const auto echo = [](server::peer connection) -> asio::awaitable<void> {
            try {
                for (;;)
                    connection.send(co_await connection.async_read(asio::use_awaitable));
            } catch (const std::system_error& end) {
                CHECK(end.code() == errc::closed);
            }
            co_await connection.async_close(asio::use_awaitable);
        };
        here.on_connection = [&](server::peer connection) {
            const auto executor = connection.get_executor();
            asio::co_spawn(executor, echo(std::move(connection)), asio::detached);
        };
        here.start();
        watched client{io, url_of(here)};
        client.then_open = [&] { client.socket->send("a"); };
        client.then_message = [&](const message&) { client.socket->close(1000); };
        client.then_close = [&] { here.stop(); };
        run_out(io);
        CHECK(client.seen == history{"open", "message a", "close 1000 clean"});
    }
#endif
    CHECK(others == 0);
}

TEST_CASE("a peer that is moved away belongs to whoever has it") {
    asio::io_context io;
    echoing here{io};
    std::vector<server::peer> kept;
    const bool of_open = GENERATE(true, false);
    bool throwing = false;
    const auto take = [&](server::peer& peer) {
        kept.push_back(std::move(peer));
        if (throwing) throw std::runtime_error{"mine"};
    };
    if (of_open)
        here.it.on_open = take;
    else
        here.it.on_message = [&](server::peer& peer, const message&) { take(peer); };
    here.it.start();
    watched client{io, url_of(here.it)};
    client.then_open = [&] { client.socket->send("x"); };
    SECTION("and lives on beside the server, which still reads it") {
        run_until(io, [&] { return !kept.empty() && client.saw("open"); });
        client.socket->send("nobody is told");
        kept.front().send("still here");
        run_until(io, [&] { return client.saw("message still here"); });
        here.it.stop();
        io.poll();
        CHECK(kept.front().is_open());
        client.socket->close(1000);
        run_out(io);
        REQUIRE(kept.front().result());
        CHECK(kept.front().result()->code == close_code::normal);
        CHECK(client.seen.back() == "close 1000 clean");
    }
    SECTION("and may be dropped") {
        run_until(io, [&] { return !kept.empty(); });
        kept.clear();
        here.it.stop();
        run_out(io);
        CHECK(client.seen.back() == "close 1001 clean");
    }
    SECTION("and may outlive the server") {
        std::optional<server> gone{std::in_place, io};
        std::optional<server::peer> one;
        gone->on_open = [&](server::peer& peer) { one = std::move(peer); };
        gone->start();
        watched second{io, url_of(*gone)};
        run_until(io, [&] { return one && second.saw("open") && !kept.empty(); });
        gone.reset();
        one->send("still here");
        run_until(io, [&] { return second.saw("message still here"); });
        second.socket->close(1000);
        client.socket->close(1000);
        here.it.stop();
        run_out(io);
        CHECK(second.seen.back() == "close 1000 clean");
    }
    SECTION("and is closed by an exception all the same") {
        throwing = true;
        CHECK_THROWS_AS(run_out(io), std::runtime_error);
        here.it.stop();
        run_out(io);
        CHECK(client.seen.back().starts_with("close 1011"));
    }
    CHECK(here.it.peer_count() == 0);
    CHECK(here.seen == (of_open ? history{} : history{"open /"}));
}

} // namespace
