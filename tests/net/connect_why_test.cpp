// What a client that could not connect tells about it.

#include "support/catch.hpp"
#include "support/hanging_port.hpp"
#include "support/loopback.hpp"

#include <duplex/net/connect.hpp>
#include <duplex/test/manual_time.hpp>

#include <asio/bind_cancellation_slot.hpp>
#include <asio/cancellation_signal.hpp>
#include <asio/io_context.hpp>

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

namespace {

using namespace duplex;
using namespace duplex::testing;
using namespace std::chrono_literals;

/// What an attempt came to.
struct attempt {
    attempt(asio::io_context& context, std::string_view url, connect_options options = {})
        : io{context} {
        async_connect(io, url, std::move(options),
                      asio::bind_cancellation_slot(signal.slot(), [this](auto failed, auto made) {
                          error = failed;
                          connection = std::move(made);
                          over = true;
                      }));
    }
    const handshake_outcome& outcome() {
        run_until(io, [&] { return over; });
        CHECK(connection);
        CHECK_FALSE(connection.is_open());
        REQUIRE(connection.opening_outcome());
        CHECK(connection.opening_outcome()->error == error);
        return *connection.opening_outcome();
    }

    asio::io_context& io;
    asio::cancellation_signal signal;
    bool over = false;
    std::error_code error;
    tcp_connection<> connection;
};

[[nodiscard]] std::uint16_t unused_port(asio::io_context& io) { return raw_server{io}.port(); }

} // namespace

TEST_CASE("a mistake of the caller's is told as one") {
    asio::io_context io;
    connect_options options;
    SECTION("the URL") {
        attempt it{io, "nonsense"};
        CHECK(it.outcome().phase == phase::prepare);
        CHECK(it.error == errc::url_scheme_unsupported);
    }
    SECTION("an option") {
        options.headers = {{"Upgrade", "x"}};
        attempt it{io, "ws://h/x", options};
        CHECK(it.outcome().phase == phase::prepare);
        CHECK(it.outcome().url == "ws://h/x");
        CHECK(it.error == errc::header_reserved);
    }
    SECTION("one header of several") {
        options.headers = {{"X-One", "1"}, {"X Two", "2"}, {"X-Three", "3"}};
        attempt it{io, "ws://h/x", options};
        CHECK(it.outcome().why == "header 'X Two'");
        CHECK(it.error == errc::header_name_invalid);
    }
    SECTION("something else than the header that is wrong as well") {
        options.headers = {{"X Two", "2"}};
        options.subprotocols = {"not a token"};
        attempt it{io, "ws://h/x", options};
        CHECK(it.outcome().why.empty());
        CHECK(it.error == errc::subprotocol_invalid);
    }
    SECTION("a proxy without a host") {
        options.proxy = proxy{};
        attempt it{io, "ws://h/", options};
        CHECK(it.outcome().phase == phase::prepare);
        CHECK(it.error == errc::proxy_url_invalid);
    }
    SECTION("the environment's proxy") {
        REQUIRE(::setenv("ws_proxy", "gopher://x", 1) == 0);
        attempt it{io, "ws://h/"};
        REQUIRE(::unsetenv("ws_proxy") == 0);
        CHECK(it.outcome().phase == phase::prepare);
        CHECK(it.outcome().why == "the environment's ws_proxy names it");
        CHECK(it.error == errc::proxy_scheme_unsupported);
    }
}

TEST_CASE("a name that is not found is named") {
    asio::io_context io;
    SECTION("the server's") {
        attempt it{io, "ws://user:secret@no-such-host.invalid:81/x"};
        CHECK(it.outcome().phase == phase::resolve);
        CHECK(it.outcome().why == "name no-such-host.invalid could not be resolved");
        CHECK(it.outcome().url == "ws://no-such-host.invalid:81/x");
    }
    SECTION("the proxy's") {
        connect_options options;
        options.proxy = proxy{.host = "no-such-proxy.invalid", .port = 1};
        attempt it{io, "ws://far.example/", options};
        CHECK(it.outcome().phase == phase::resolve);
        CHECK(it.outcome().why == "name no-such-proxy.invalid, the proxy, could not be resolved");
    }
}

TEST_CASE("each address that was tried is told with what became of it") {
    asio::io_context io;
    const auto port = std::to_string(unused_port(io));
    SECTION("refused") {
        attempt it{io, "ws://127.0.0.1:" + port};
        CHECK(it.outcome().phase == phase::connect);
        CHECK(it.outcome().why == "no address of 127.0.0.1 could be connected: 127.0.0.1:" + port + " " +
                                      std::error_code{asio::error::connection_refused}.message());
    }
    SECTION("refused, by a name with perhaps several") {
        attempt it{io, "ws://localhost:" + port};
        CHECK(it.outcome().why.starts_with("no address of localhost could be connected: "));
        CHECK(it.outcome().why.find("127.0.0.1:" + port + " ") != std::string::npos);
    }
    SECTION("the proxy's") {
        connect_options options;
        options.proxy = proxy{.host = "127.0.0.1", .port = static_cast<std::uint16_t>(std::stoi(port))};
        attempt it{io, "ws://far.example/", options};
        CHECK(it.outcome().phase == phase::connect);
        CHECK(it.outcome().why.starts_with(
            "no address of 127.0.0.1, the proxy, could be connected: 127.0.0.1:"));
    }
}

TEST_CASE("an address that says nothing is told, too") {
    const bool by_deadline = GENERATE(true, false);
    CAPTURE(by_deadline);
    // How many steps resolving takes is Asio's own affair.
    for (int steps = 1;; ++steps) {
        REQUIRE(steps < 8);
        asio::io_context io;
        test::manual_time time{io};
        hanging_port port{io};
        const auto at = "127.0.0.1:" + std::to_string(port.endpoint().port());
        attempt it{io, "ws://" + at};
        for (int i = 0; i < steps; ++i)
            REQUIRE(io.run_one() == 1);
        if (by_deadline)
            time.advance(11s);
        else
            it.signal.emit(asio::cancellation_type::terminal);
        if (it.outcome().phase == phase::resolve) continue;
        CHECK(it.outcome().phase == phase::connect);
        CHECK(it.outcome().why == "no address of 127.0.0.1 could be connected: " + at + " no answer");
        CHECK(it.error == (by_deadline ? make_error_code(errc::connect_timeout)
                                       : make_error_code(asio::error::operation_aborted)));
        break;
    }
}

TEST_CASE("a name that takes too long is told as such") {
    asio::io_context io;
    test::manual_time time{io};
    attempt it{io, "ws://localhost:1/"};
    time.advance(11s);
    const auto& known = it.outcome();
    if (known.phase == phase::resolve) CHECK(known.why == "name localhost was not resolved in time");
    CHECK(it.error == errc::connect_timeout);
}

TEST_CASE("a refusal is told in the server's words") {
    asio::io_context io;
    raw_server server{io};
    attempt it{io, server.url("/x")};
    (void)server.await_request(io);
    std::string expected = "server answered 403 Forbidden";
    const auto answer = [&](std::string_view body) {
        server.peer().send("HTTP/1.1 403 Forbidden\r\nContent-Length: " + std::to_string(body.size()) +
                           "\r\n\r\n" + std::string{body});
    };
    SECTION("none") { answer(""); }
    SECTION("a line") {
        answer("\n members only \nask for a key");
        expected += ": members only";
    }
    SECTION("what would move a terminal's cursor") {
        answer("a\x1B[2Jb");
        expected += ": a?[2Jb";
    }
    SECTION("a page") { answer("<!DOCTYPE html>\n<title>403</title>"); }
    SECTION("a long line") {
        answer(std::string(20'000, 'x'));
        expected += ": ";
        expected += std::string(512 - 3 - expected.size(), 'x') + "...";
    }
    CHECK(it.outcome().why == expected);
    CHECK(it.outcome().phase == phase::upgrade);
    CHECK(it.outcome().url == server.url("/x"));
    CHECK(it.error == errc::upgrade_refused);
}

TEST_CASE("a server that answers nothing, or half of it, is told from one that is slow") {
    asio::io_context io;
    test::manual_time time{io};
    raw_server server{io};
    attempt it{io, server.url("/x")};
    (void)server.await_request(io);
    SECTION("it ends") {
        server.peer().send("HTTP/1.1 101 Swi");
        server.peer().shutdown_send();
        CHECK(it.outcome().why == "the server ended the connection before its answer was complete");
        CHECK(it.error == errc::connection_lost);
    }
    SECTION("it ends without a word, as one that waits for TLS") {
        server.peer().shutdown_send();
        CHECK(it.outcome().why ==
              "the server ended the connection without an answer. Is this a port for wss://?");
        CHECK(it.error == errc::connection_lost);
    }
    SECTION("it resets") {
        server.peer().reset();
        CHECK(it.outcome().why.empty());
        CHECK(it.error == asio::error::connection_reset);
    }
    SECTION("it takes its time") {
        time.advance(11s);
        CHECK(it.outcome().why.empty());
        CHECK(it.error == errc::handshake_timeout);
    }
    SECTION("we give up") {
        it.signal.emit(asio::cancellation_type::terminal);
        CHECK(it.outcome().why.empty());
        CHECK(it.error == asio::error::operation_aborted);
    }
    CHECK(it.outcome().phase == phase::upgrade);
    CHECK(it.outcome().url == server.url("/x"));
}

TEST_CASE("a proxy in the way is named") {
    asio::io_context io;
    raw_server way{io};
    connect_options options;
    options.proxy = proxy{.host = "127.0.0.1", .port = way.port(), .user = "me", .password = "secret"};
    attempt it{io, "ws://far.example/", options};
    (void)way.await_request(io);
    const auto named = "on the way through the proxy http://127.0.0.1:" + std::to_string(way.port());
    SECTION("it refuses") {
        way.peer().send("HTTP/1.1 403 Forbidden\r\nContent-Length: 6\r\n\r\nnever\n");
        CHECK(it.outcome().why == "proxy answered 403 Forbidden: never");
        CHECK(it.outcome().status == 403);
    }
    SECTION("it ends") {
        way.peer().drop();
        CHECK(it.outcome().why == "the proxy http://127.0.0.1:" + std::to_string(way.port()) +
                                      " ended the connection before its answer was complete");
    }
    SECTION("we give up") {
        it.signal.emit(asio::cancellation_type::terminal);
        CHECK(it.outcome().why == named);
    }
    CHECK(it.outcome().phase == phase::proxy);
    CHECK(it.outcome().url == "ws://far.example/");
}

TEST_CASE("a SOCKS proxy's number is told in words") {
    asio::io_context io;
    raw_server way{io};
    connect_options options;
    options.proxy = proxy{.kind = proxy_kind::socks5, .host = "127.0.0.1", .port = way.port()};
    attempt it{io, "ws://far.example/", options};
    run_until(io, [&] { return way.connected() && way.peer().received().size() == 3; });
    way.peer().send({"\x05\x00", 2});
    run_until(io, [&] { return way.peer().received().size() > 3; });
    way.peer().send({"\x05\x05\x00\x01\x00\x00\x00\x00\x00\x00", 10});
    CHECK(it.outcome().why == "proxy answered: connection refused");
    CHECK(it.outcome().phase == phase::proxy);
}

TEST_CASE("a connection that never was may be kept and dropped, also behind its context") {
    auto io = std::make_unique<asio::io_context>();
    auto it = std::make_unique<attempt>(*io, "nonsense");
    (void)it->outcome();
    CHECK(it->connection.send("x") == send_status::not_open);
    CHECK_FALSE(it->connection.try_read());
    std::optional<std::error_code> read;
    it->connection.async_read([&](std::error_code error, const message&) { read = error; });
    run_out(*io);
    CHECK((read && *read));
    const auto kept = std::move(it->connection);
    it.reset();
    CHECK(kept.opening_outcome()->error == errc::url_scheme_unsupported);
}
