#include <duplex/websocket.hpp>

#include "support/reconnecting.hpp"
#include "support/wire.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace {

using namespace duplex;
using namespace duplex::testing;
using namespace std::chrono_literals;

TEST_CASE("connects again after a loss, and opens anew", "[reconnect]") {
    reconnecting_fixture it;
    lasting client{it.io, it.host.url()};
    auto& socket = *client.socket;
    std::vector<std::uint32_t> openings;
    client.then_open = [&] { openings.push_back(socket.openings()); };
    CHECK(socket.openings() == 0);
    it.host.open("Sec-WebSocket-Extensions:\r\n");
    it.until(client, "open");
    it.host.peer().drop();
    it.until(client, "again 1");
    CHECK(socket.ready_state() == ready_state::connecting);
    CHECK(socket.send("lost") == send_status::not_open);
    CHECK(socket.buffered_amount() == 0);
    REQUIRE(client.attempts.size() == 1);
    CHECK(client.attempts[0].error == errc::connection_lost);
    CHECK(client.attempts[0].close.code == 1006);
    CHECK_FALSE(client.attempts[0].close.was_clean);
    CHECK(client.attempts[0].delay == 1s);

    it.advance(750ms);
    CHECK(it.host.count() == 1);
    it.advance(500ms);
    it.host.open();
    it.host.peer().send(frame_bytes(role::server, opcode::text, "second life"));
    it.until(client, "message second life");
    CHECK(socket.send("on the second") == send_status::ok);
    run_until(it.io, [&] { return it.host.peer().received().size() == 6 + 13; });

    CHECK_FALSE(socket.close(1000));
    run_until(it.io, [&] { return it.host.peer().received().size() == 6 + 13 + 8; });
    it.host.peer().send(frame_bytes(role::server, opcode::close, close_payload(1001)));
    it.host.peer().shutdown_send();
    run_until(it.io, [&] { return client.closed(); });
    CHECK(client.seen == history{"open", "again 1", "open", "message second life", "close 1001 clean"});
    CHECK(client.states == std::vector{ready_state::open, ready_state::connecting, ready_state::open,
                                       ready_state::open, ready_state::closed});
    CHECK(openings == std::vector<std::uint32_t>{1, 2});
    it.advance(1h);
    CHECK(it.host.count() == 2);
    CHECK(client.seen.size() == 5);
}

TEST_CASE("without the option nothing is tried again", "[reconnect]") {
    reconnecting_fixture it;
    lasting client{it.io, it.host.url(), {}};
    it.host.open();
    it.until(client, "open");
    it.host.peer().drop();
    run_until(it.io, [&] { return client.closed(); });
    it.advance(1h);
    CHECK(client.seen == history{"open", "error", "close 1006"});
    CHECK(it.host.count() == 1);
}

TEST_CASE("needs no callback to connect again", "[reconnect]") {
    reconnecting_fixture it;
    websocket socket{it.io, it.host.url(), {}, each_second()};
    it.host.open();
    run_until(it.io, [&] { return socket.ready_state() == ready_state::open; });
    it.host.peer().drop();
    run_until(it.io, [&] { return socket.ready_state() == ready_state::connecting; });
    it.pass();
    it.host.open();
    run_until(it.io, [&] { return socket.openings() == 2; });
}

TEST_CASE("tries again where nobody listens, until its attempts are used up", "[reconnect]") {
    asio::io_context io;
    test::manual_time time{io};
    std::string url;
    {
        raw_server gone{io};
        url = gone.url();
    }
    lasting client{io, url, each_second({.backoff = {.attempts = 3}})};
    for (int i = 0; i < 5; ++i) {
        run_out(io);
        time.advance(1250ms);
    }
    CHECK(client.seen == history{"again 1", "again 2", "again 3", "error", "close 1006"});
    for (const auto& each : client.attempts)
        CHECK(each.error == asio::error::connection_refused);
    CHECK(client.error == asio::error::connection_refused);
    CHECK(client.socket->openings() == 0);
    CHECK(client.socket->ready_state() == ready_state::closed);
}

TEST_CASE("the last loss tells how it ended, a clean one without an error", "[reconnect]") {
    reconnecting_fixture it;
    lasting client{it.io, it.host.url(), each_second({.backoff = {.attempts = 1}})};
    for (int i = 0; i < 2; ++i) {
        it.host.open();
        it.host.peer().send(frame_bytes(role::server, opcode::close, close_payload(1001, "bye")));
        it.host.peer().shutdown_send();
        run_until(it.io, [&] { return client.attempts.size() == 1 && (i == 0 || client.closed()); });
        if (i == 0) it.pass();
    }
    CHECK(client.seen == history{"open", "again 1", "open", "close 1001 bye clean"});
    CHECK_FALSE(client.attempts[0].error);
    CHECK(client.attempts[0].close.was_clean);
    CHECK(client.attempts[0].close.code == 1001);
    CHECK(client.attempts[0].close.reason == "bye");
    CHECK(client.attempts[0].what == "closed by the server with 1001: bye");
}

TEST_CASE("a server's Close is final by its code", "[reconnect]") {
    struct row {
        unsigned code; ///< 0: none
        bool final;
    };
    const auto [code, final] = GENERATE(values<row>({{1000, true},
                                                     {0, true},
                                                     {1008, true},
                                                     {1001, false},
                                                     {1011, false},
                                                     {1012, false},
                                                     {1013, false},
                                                     {1014, false},
                                                     {4000, false}}));
    CAPTURE(code);
    reconnecting_fixture it;
    lasting client{it.io, it.host.url()};
    it.host.open();
    it.host.peer().send(frame_bytes(role::server, opcode::close, code == 0 ? "" : close_payload(code)));
    it.host.peer().shutdown_send();
    run_until(it.io, [&] { return client.closed() || !client.attempts.empty(); });
    const auto number = std::to_string(code == 0 ? 1005 : code);
    CHECK(client.seen ==
          (final ? history{"open", "close " + number + " clean"} : history{"open", "again 1"}));
}

TEST_CASE("the application names the codes that are final", "[reconnect]") {
    reconnecting_fixture it;
    lasting client{it.io, it.host.url(),
                   each_second({.final_codes = {close_code{4001}, close_code::abnormal}})};
    it.host.open();
    it.host.peer().send(frame_bytes(role::server, opcode::close, close_payload(1000)));
    it.host.peer().shutdown_send();
    it.until(client, "again 1");
    it.pass();
    it.host.open();
    it.host.peer().send(frame_bytes(role::server, opcode::close, close_payload(4001)));
    it.host.peer().shutdown_send();
    run_until(it.io, [&] { return client.closed(); });
    CHECK(client.seen == history{"open", "again 1", "open", "close 4001 clean"});
}

TEST_CASE("a closing of its own for silence is no goodbye, whatever the server answers", "[reconnect]") {
    reconnecting_fixture it;
    auto options = each_second();
    options.connection.timeouts.idle = 5s;
    lasting client{it.io, it.host.url(), options};
    it.host.open();
    it.until(client, "open");
    it.advance(6s);
    run_until(it.io, [&] { return !it.host.peer().received().empty(); });
    CHECK(read_frames(it.host.peer().take())->front().payload.starts_with(close_payload(1001)));
    it.host.peer().send(frame_bytes(role::server, opcode::close, close_payload(1000)));
    it.host.peer().shutdown_send();
    it.until(client, "again 1");
    CHECK_FALSE(client.closed());
}

TEST_CASE("a refusal is final by its status", "[reconnect]") {
    struct row {
        std::string_view status;
        bool final;
    };
    const auto [status, final] = GENERATE(values<row>({{"400 x", true},
                                                       {"401 x", true},
                                                       {"403 x", true},
                                                       {"404 x", true},
                                                       {"499 x", true},
                                                       {"408 x", false},
                                                       {"425 x", false},
                                                       {"429 x", false},
                                                       {"200 x", false},
                                                       {"302 x", false},
                                                       {"500 x", false},
                                                       {"503 x", false}}));
    CAPTURE(status);
    reconnecting_fixture it;
    lasting client{it.io, it.host.url()};
    it.host.refuse(status);
    run_until(it.io, [&] { return client.closed() || !client.attempts.empty(); });
    CHECK(client.seen == (final ? history{"error", "close 1006"} : history{"again 1"}));
    if (final) {
        CHECK(client.error == errc::upgrade_refused);
        REQUIRE(client.response.has_value());
        CHECK(std::to_string(client.response->status) == status.substr(0, 3));
    } else {
        CHECK(client.attempts[0].error == errc::upgrade_refused);
        CHECK(client.attempts[0].what.ends_with(": server answered " + std::string{status}));
        CHECK(std::to_string(client.attempts[0].status) == status.substr(0, 3));
        it.pass();
        it.host.open();
        it.until(client, "open");
    }
}

TEST_CASE("mistakes of the caller are final", "[reconnect]") {
    asio::io_context io;
    std::string url = "ws://127.0.0.1:1/";
    auto options = each_second();
    errc expected{};
    SECTION("a URL") {
        url = "ftp://x";
        expected = errc::url_scheme_unsupported;
    }
    SECTION("TLS that is not there") {
        url = "wss://127.0.0.1:1/";
        expected = errc::tls_not_available;
    }
    SECTION("a header") {
        options.headers = {{"X", "a\r\nb"}};
        expected = errc::header_value_invalid;
    }
    lasting client{io, url, options};
    run_out(io);
    CHECK(client.seen == history{"error", "close 1006"});
    CHECK(client.error == expected);
}

TEST_CASE("a message that its callback can't take is final", "[reconnect]") {
    reconnecting_fixture it;
    lasting client{it.io, it.host.url()};
    const bool in_open = GENERATE(false, true);
    if (in_open)
        client.then_open = [] { throw std::runtime_error{"mine"}; };
    else
        client.then_message = [](const message&) { throw std::runtime_error{"mine"}; };
    it.host.open();
    it.host.peer().send(frame_bytes(role::server, opcode::text, "x"));
    CHECK_THROWS_AS(run_out(it.io), std::runtime_error);
    it.host.peer().shutdown_send();
    it.until(client, "close 1006");
    CHECK(client.error == errc::callback_threw);
    CHECK(client.attempts.empty());
}

TEST_CASE("waits as long as the server asks", "[reconnect]") {
    reconnecting_fixture it;
    lasting client{it.io, it.host.url()};
    SECTION("by a Retry-After") {
        it.host.refuse("503 x", "Retry-After: 120\r\n");
        it.until(client, "again 1");
        CHECK(client.attempts[0].delay >= 120s);
        CHECK(client.attempts[0].delay <= 121s);
        it.advance(119s);
        CHECK(it.host.count() == 1);
        it.advance(2250ms);
        it.host.open();
        it.until(client, "open");
    }
    SECTION("by a Retry-After, but not for ever") {
        it.host.refuse("429 x", "Retry-After: Fri, 31 Dec 9999 23:59:59 GMT\r\n");
        it.until(client, "again 1");
        CHECK(client.attempts[0].delay >= 1h);
        CHECK(client.attempts[0].delay <= 1h + 1s);
    }
    SECTION("by one that says nothing") {
        it.host.refuse("503 x", "Retry-After: soon\r\n");
        it.until(client, "again 1");
        CHECK(client.attempts[0].delay == 1s);
    }
    SECTION("by a service restart") {
        it.host.open();
        it.host.peer().send(frame_bytes(role::server, opcode::close, close_payload(1012)));
        it.host.peer().shutdown_send();
        it.until(client, "again 1");
        CHECK(client.attempts[0].delay >= 5s);
        CHECK(client.attempts[0].delay <= 30s);
    }
    SECTION("by try again later") {
        it.host.open();
        it.host.peer().send(frame_bytes(role::server, opcode::close, close_payload(1013)));
        it.host.peer().shutdown_send();
        it.until(client, "again 1");
        CHECK(client.attempts[0].delay >= 30s);
        CHECK(client.attempts[0].delay <= 60s);
    }
}

TEST_CASE("clients of a server that restarts come back spread", "[reconnect]") {
    reconnecting_fixture it;
    std::vector<std::unique_ptr<lasting>> clients;
    std::vector<std::chrono::milliseconds> delays;
    for (int i = 0; i < 16; ++i) {
        auto& client = *clients.emplace_back(std::make_unique<lasting>(it.io, it.host.url()));
        it.host.open();
        it.host.peer().send(frame_bytes(role::server, opcode::close, close_payload(1012)));
        it.host.peer().shutdown_send();
        it.until(client, "again 1");
        delays.push_back(client.attempts[0].delay);
    }
    std::sort(delays.begin(), delays.end());
    // Sixteen equal draws of 25000 values, or all within a second, do not happen.
    CHECK(delays.back() - delays.front() > 1s);
}

TEST_CASE("the waits grow, and begin anew after a connection that stayed", "[reconnect]") {
    reconnecting_fixture it;
    connect_options options;
    options.reconnect.emplace();
    options.reconnect->backoff.stable = 10s;
    options.connection.timeouts.ping_interval = 0ms;
    lasting client{it.io, it.host.url(), options};
    const auto longest = [&](std::size_t index) { return client.attempts.at(index).delay; };
    for (std::size_t i = 0; i < 3; ++i) {
        it.host.open();
        run_until(it.io, [&] { return client.socket->openings() == i + 1; });
        // Not long enough
        it.advance(9s);
        it.host.peer().drop();
        run_until(it.io, [&] { return client.attempts.size() == i + 1; });
        CHECK(client.attempts[i].number == i + 1);
        CHECK(longest(i) <= 1s * (1 << i));
        it.advance(longest(i) + 250ms);
    }
    it.host.open();
    run_until(it.io, [&] { return client.socket->openings() == 4; });
    it.advance(10s);
    it.host.peer().drop();
    run_until(it.io, [&] { return client.attempts.size() == 4; });
    CHECK(client.attempts[3].number == 1);
    CHECK(longest(3) <= 1s);
}

TEST_CASE("may be given another way before each attempt", "[reconnect]") {
    reconnecting_fixture it;
    raw_host other{it.io};
    auto options = each_second({.passing_statuses = {401}});
    options.headers = {{"Authorization", "old"}};
    lasting client{it.io, it.host.url(), options};
    SECTION("a header") {
        client.then_again = [](reconnect_event& e) { e.options.headers = {{"Authorization", "new"}}; };
        it.host.refuse("401 x");
        it.until(client, "again 1");
        CHECK(client.attempts[0].status == 401);
        it.pass();
        CHECK(it.host.await_request().find("\r\nAuthorization: new\r\n") != std::string::npos);
        it.host.peer().drop();
        run_until(it.io, [&] { return client.attempts.size() == 2; });
        client.then_again = {};
        it.pass();
        // It stays.
        CHECK(it.host.await_request().find("\r\nAuthorization: new\r\n") != std::string::npos);
    }
    SECTION("a URL") {
        client.then_again = [&](reconnect_event& e) {
            CHECK(e.url == it.host.url());
            e.url = other.url("/elsewhere");
        };
        it.host.refuse("503 x");
        it.until(client, "again 1");
        CHECK(client.socket->url() == other.url("/elsewhere"));
        it.pass();
        CHECK(other.await_request().starts_with("GET /elsewhere "));
        CHECK(it.host.count() == 1);
    }
    SECTION("a bad URL: that is final") {
        client.then_again = [&](reconnect_event& e) { e.url = "nonsense"; };
        it.host.refuse("503 x");
        it.until(client, "again 1");
        it.pass();
        it.until(client, "close 1006");
        CHECK(client.error == errc::url_scheme_unsupported);
    }
    SECTION("another wait") {
        const auto delay = GENERATE(values({0ms, -5000ms, std::chrono::milliseconds::min()}));
        client.then_again = [&](reconnect_event& e) { e.delay = delay; };
        it.host.refuse("503 x", "Retry-After: 100\r\n");
        it.until(client, "again 1");
        it.advance(250ms);
        it.host.open();
        it.until(client, "open");
    }
    SECTION("a wait too long to be counted") {
        client.then_again = [&](reconnect_event& e) { e.delay = std::chrono::milliseconds::max(); };
        it.host.refuse("503 x");
        it.until(client, "again 1");
        it.advance(23h);
        CHECK(it.host.count() == 1);
        it.advance(2h);
        it.host.open();
        it.until(client, "open");
    }
    SECTION("none at all") {
        client.then_again = [](reconnect_event& e) { e.give_up = true; };
        it.host.refuse("503 x");
        run_until(it.io, [&] { return client.closed(); });
        CHECK(client.seen == history{"again 1", "error", "close 1006"});
        CHECK(client.error == errc::upgrade_refused);
        CHECK(client.response->status == 503);
        it.advance(1h);
        CHECK(it.host.count() == 1);
    }
}

TEST_CASE("shows nothing of a connection that is gone", "[reconnect]") {
    reconnecting_fixture it;
    auto options = each_second();
    options.subprotocols = {"a", "b"};
    lasting client{it.io, it.host.url(), options};
    it.host.open("Sec-WebSocket-Protocol: a\r\n");
    it.until(client, "open");
    CHECK(client.socket->protocol() == "a");
    it.host.peer().drop();
    it.until(client, "again 1");
    CHECK(client.socket->protocol().empty());
    it.pass();
    it.host.open("Sec-WebSocket-Protocol: b\r\n");
    run_until(it.io, [&] { return client.socket->openings() == 2; });
    CHECK(client.socket->protocol() == "b");
}

TEST_CASE("a mistake of the server's is told, and tried again", "[reconnect]") {
    reconnecting_fixture it;
    lasting client{it.io, it.host.url()};
    it.host.open();
    it.host.peer().send(frame_bytes(role::server, opcode::text, "bad", {.rsv = 4}));
    it.host.peer().shutdown_send();
    it.until(client, "again 1");
    CHECK(client.attempts[0].error == errc::reserved_bits_set);
    CHECK(client.attempts[0].close.code == 1006);
    it.pass();
    // And one that never answers
    REQUIRE_FALSE(it.host.await_request().empty());
    it.advance(11s);
    run_until(it.io, [&] { return client.attempts.size() == 2; });
    CHECK(client.attempts[1].error == errc::handshake_timeout);
}

} // namespace
