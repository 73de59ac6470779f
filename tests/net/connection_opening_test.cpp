#include <duplex/net/connection.hpp>

#include "support/connected.hpp"

#include <asio/bind_cancellation_slot.hpp>
#include <asio/cancellation_signal.hpp>

#include <chrono>
#include <optional>
#include <string>
#include <utility>

using namespace duplex;
using namespace duplex::testing;
using namespace std::chrono_literals;

namespace {

fields one_field(std::string_view name, std::string_view value) {
    fields made;
    made.add(name, value);
    return made;
}

} // namespace

TEST_CASE("both roles open and know what was agreed") {
    connected_pair both;
    ending<> accepted;
    ending<> shaken;
    server_handshake_options serve;
    serve.subprotocols = {"chat.v2", "chat.v1"};
    serve.headers.add("X-Server", "yes");
    client_handshake_options ask;
    ask.subprotocols = {"chat.v1"};
    ask.headers.add("X-Client", "yes");
    both.server.async_accept(serve, accepted.handler());
    both.client.async_handshake(uri_of("ws://localhost/chat?room=1"), ask, shaken.handler());
    CHECK(accepted.calls + shaken.calls == 0);
    both.run();
    REQUIRE(accepted.well());
    REQUIRE(shaken.well());
    REQUIRE(both.server.opening_outcome());
    CHECK(both.server.opening_outcome()->target == "/chat?room=1");
    CHECK(both.server.opening_outcome()->subprotocol == "chat.v1");
    CHECK(both.server.opening_outcome()->headers.find("X-Client") == "yes");
    REQUIRE(both.client.opening_outcome());
    CHECK(both.client.opening_outcome()->status == 101);
    CHECK(both.client.opening_outcome()->subprotocol == "chat.v1");
    CHECK(both.client.opening_outcome()->headers.find("X-Server") == "yes");
    both.client.forget_opening();
    CHECK_FALSE(both.client.opening_outcome());
    CHECK(both.client.is_open());
    CHECK(both.server.is_open());

    ending<> again;
    ending<> other_role;
    both.server.async_accept(again.handler());
    both.server.async_handshake(uri_of("ws://localhost/"), other_role.handler());
    both.run();
    CHECK(again.failed_with(errc::already_open));
    CHECK(other_role.failed_with(errc::already_open));
}

TEST_CASE("an opening that was forgotten before its end leaves nothing to look at, unless it fails") {
    SECTION("a good one") {
        connected_pair both;
        ending<> accepted;
        ending<> shaken;
        both.server.forget_opening();
        both.client.forget_opening();
        both.server.async_accept(accepted.handler());
        both.client.async_handshake(uri_of("ws://localhost/"), shaken.handler());
        both.run();
        REQUIRE(accepted.well());
        REQUIRE(shaken.well());
        CHECK_FALSE(both.server.opening_outcome());
        CHECK_FALSE(both.client.opening_outcome());
        both.server.forget_opening();
    }
    SECTION("a refused one") {
        connected_pair both;
        ending<> rejected;
        ending<> shaken;
        both.client.forget_opening();
        both.server.async_reject(403, {}, "no", rejected.handler());
        both.client.async_handshake(uri_of("ws://localhost/"), shaken.handler());
        both.run();
        REQUIRE(both.client.opening_outcome());
        CHECK(both.client.opening_outcome()->status == 403);
    }
}

TEST_CASE("bytes behind the head are the first of the WebSocket") {
    unopened one;
    ending<> opened;
    std::string bytes;
    const bool server = GENERATE(values({0, 1})) == 1;
    const auto self = server ? role::server : role::client;
    if (server) {
        one.it->async_accept(opened.handler());
        bytes = plain_request;
    } else {
        one.it->async_handshake(uri_of("ws://localhost/"), opened.handler());
        one.run();
        bytes = answer_to(one.peer.take_pending());
    }
    bytes += frame_bytes(peer_of(self), opcode::text, "first");
    const auto second = frame_bytes(peer_of(self), opcode::text, "second");
    one.peer.send(bytes + second.substr(0, 3));
    one.run();
    REQUIRE(opened.well());
    read_ending first;
    one.it->async_read(first.handler());
    one.run();
    CHECK(first.text() == "first");
    read_ending next;
    one.it->async_read(next.handler());
    one.run();
    CHECK(next.calls == 0);
    one.peer.send(second.substr(3));
    one.run();
    CHECK(next.text() == "second");
}

TEST_CASE("a refusal reaches the client whole") {
    connected_pair both;
    ending<> read;
    ending<> shaken;
    CHECK_FALSE(both.server.request());
    both.server.async_read_request(read.handler());
    CHECK_FALSE(both.server.request());
    both.client.async_handshake(uri_of("ws://localhost/room"), shaken.handler());
    both.run();
    REQUIRE(read.well());
    REQUIRE(both.server.request());
    CHECK(both.server.request()->target() == "/room");

    ending<> rejected;
    both.server.async_reject(503, one_field("Retry-After", "7"), std::string(5000, 'x'), rejected.handler());
    CHECK_FALSE(both.server.request());
    both.run();
    CHECK(rejected.failed_with(errc::request_rejected));
    CHECK(shaken.failed_with(errc::upgrade_refused));
    REQUIRE(both.client.opening_outcome());
    CHECK(both.client.opening_outcome()->status == 503);
    CHECK(both.client.opening_outcome()->headers.find("Retry-After") == "7");
    CHECK(both.client.opening_outcome()->body == std::string(5000, 'x'));
    CHECK_FALSE(both.server.request());
    CHECK_FALSE(both.server.is_open());
    CHECK_FALSE(both.client.is_open());

    ending<> too_late;
    ending<message> reading;
    both.client.async_handshake(uri_of("ws://localhost/"), too_late.handler());
    both.client.async_read(reading.handler());
    both.run();
    CHECK(too_late.calls == 1);
    CHECK(too_late.error == condition::misuse);
    CHECK(reading.failed_with(errc::not_open));
}

TEST_CASE("a request can be rejected before it was read") {
    unopened one;
    ending<> rejected;
    one.it->async_reject(503, {}, "full", rejected.handler());
    one.run();
    CHECK(rejected.failed_with(errc::request_rejected));
    CHECK(one.peer.take_pending().starts_with("HTTP/1.1 503 "));
}

TEST_CASE("the server's own mistakes leave the request to be answered") {
    connected_pair both;
    ending<> shaken;
    both.client.async_handshake(uri_of("ws://localhost/"), shaken.handler());
    server_handshake_options wrong;
    wrong.subprotocols = {"not a token"};
    ending<> mistaken;
    both.server.async_accept(wrong, mistaken.handler());
    both.run();
    CHECK(mistaken.failed_with(errc::subprotocol_invalid));
    CHECK(shaken.calls == 0);
    ending<> mistaken_again;
    both.server.async_reject(400, one_field("X-Bad", "a\r\nb"), "", mistaken_again.handler());
    both.run();
    CHECK(mistaken_again.failed_with(errc::header_value_invalid));
    REQUIRE(both.server.request());
    ending<> wrong_role;
    both.server.async_handshake(uri_of("ws://localhost/"), wrong_role.handler());
    both.run();
    CHECK(wrong_role.failed_with(errc::already_open));
    CHECK(shaken.calls == 0);
    ending<> accepted;
    both.server.async_accept(accepted.handler());
    both.run();
    CHECK(accepted.well());
    CHECK(shaken.well());
}

TEST_CASE("the client's own mistakes send nothing and leave the connection to be opened") {
    connected_pair both;
    client_handshake_options wrong;
    wrong.headers.add("Upgrade", "mine");
    ending<> mistaken;
    both.client.async_handshake(uri_of("ws://localhost/"), wrong, mistaken.handler());
    both.run();
    CHECK(mistaken.failed_with(errc::header_reserved));
    CHECK(both.server.stream().pending().empty());
    both.open();
}

TEST_CASE("a second opening has to wait for the first") {
    unopened one;
    ending<> first;
    ending<> second;
    ending<> third;
    one.it->async_read_request(first.handler());
    one.it->async_accept(second.handler());
    one.it->async_reject(400, {}, "", third.handler());
    one.run();
    CHECK(first.calls == 0);
    CHECK(second.failed_with(errc::operation_pending));
    CHECK(third.failed_with(errc::operation_pending));
    one.peer.send(plain_request);
    one.run();
    CHECK(first.well());
}

TEST_CASE("answers a malformed request and ends") {
    unopened one;
    const auto request = GENERATE(values<std::string>(
        {"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "nonsense\r\n\r\n", "POST / HTTP/1.1\r\nHost: x\r\n\r\n"}));
    const std::string_view status = request.starts_with("GET")    ? "426"
                                    : request.starts_with("POST") ? "405"
                                                                  : "400";
    ending<> read;
    one.it->async_read_request(read.handler());
    one.peer.send(request);
    one.run();
    CHECK(read.calls == 1);
    CHECK(read.error == condition::handshake_failure);
    CHECK_FALSE(one.it->request());
    CHECK(one.peer.take_pending().starts_with("HTTP/1.1 " + std::string{status}));
    REQUIRE(one.it->opening_outcome());
    CHECK(one.it->opening_outcome()->error == read.error);
    // The transport stays until the peer has seen the answer.
    CHECK(one.it->stream().is_open());
    ending<> late;
    one.it->async_accept(late.handler());
    SECTION("when the peer ends, the transport does") { one.peer.shutdown_send(); }
    SECTION("when the peer doesn't, at the close deadline") {
        one.peer.send("more and more");
        one.pass(9900ms);
        CHECK(one.it->stream().is_open());
        one.pass(400ms);
    }
    SECTION("without its owner as well") {
        auto dying = std::move(one.it);
        const auto handle = dying->handle();
        dying.reset();
        one.run();
        CHECK(one.peer.is_open());
        one.peer.shutdown_send();
        one.run();
        return;
    }
    one.run();
    CHECK_FALSE(one.it->stream().is_open());
    CHECK(late.failed_with(errc::already_open));
}

TEST_CASE("an origin that may not connect is told 403") {
    connected_pair both;
    ending<> accepted;
    ending<> shaken;
    client_handshake_options ask;
    ask.origin = "http://evil.example";
    both.server.async_accept(accepted.handler());
    both.client.async_handshake(uri_of("ws://localhost/"), ask, shaken.handler());
    both.run();
    CHECK(accepted.failed_with(errc::origin_not_allowed));
    CHECK(shaken.failed_with(errc::upgrade_refused));
    REQUIRE(both.client.opening_outcome());
    CHECK(both.client.opening_outcome()->status == 403);
}

TEST_CASE("a client that says nothing is told 408 at the handshake deadline") {
    unopened one;
    ending<> accepted;
    one.it->async_accept(accepted.handler());
    one.run();
    one.pass(9900ms);
    CHECK(accepted.calls == 0);
    one.pass(400ms);
    CHECK(accepted.failed_with(errc::handshake_timeout));
    CHECK(one.peer.take_pending().starts_with("HTTP/1.1 408 "));
    one.pass(10'300ms);
    CHECK_FALSE(one.it->stream().is_open());
    CHECK(accepted.calls == 1);
}

TEST_CASE("a byte now and then does not put the handshake deadline off") {
    unopened one;
    ending<> accepted;
    one.it->async_accept(accepted.handler());
    std::size_t sent = 0;
    while (accepted.calls == 0 && sent < 30) {
        one.peer.send(plain_request.substr(sent++, 1));
        one.run();
        one.pass(1000ms);
    }
    CHECK(accepted.failed_with(errc::handshake_timeout));
    CHECK(sent <= 11);
    CHECK(one.peer.take_pending().starts_with("HTTP/1.1 408 "));
}

TEST_CASE("a peer that reads no 408 is gone all the same") {
    unopened one;
    one.it->stream().capacity(1);
    ending<> accepted;
    one.it->async_accept(accepted.handler());
    one.pass(10'300ms);
    CHECK(one.peer.pending() == "H");
    ending<> late;
    one.it->async_accept(late.handler());
    one.run();
    for (int i = 0; i < 4; ++i)
        one.pass(10'300ms);
    CHECK(accepted.failed_with(errc::handshake_timeout));
    CHECK(late.calls == 1);
    CHECK(late.error == condition::misuse);
    CHECK_FALSE(one.it->stream().is_open());
}

TEST_CASE("a server that says nothing is given up at the handshake deadline") {
    unopened one;
    ending<> shaken;
    one.it->async_handshake(uri_of("ws://localhost/"), shaken.handler());
    one.run();
    one.peer.send("HTTP/1.1 101 Switching");
    one.run();
    one.pass(9900ms);
    CHECK(shaken.calls == 0);
    one.pass(400ms);
    CHECK(shaken.failed_with(errc::handshake_timeout));
    CHECK_FALSE(one.it->stream().is_open());
}

TEST_CASE("without a handshake deadline the opening waits for ever") {
    connection_options options;
    options.timeouts.handshake = 0ms;
    unopened one{options};
    ending<> accepted;
    one.it->async_accept(accepted.handler());
    for (int day = 0; day < 3; ++day)
        one.pass(24h);
    CHECK(accepted.calls == 0);
    one.peer.send(plain_request);
    one.run();
    CHECK(accepted.well());
    one.pass(1000ms);
    CHECK(one.it->is_open());
}

TEST_CASE("a request that is looked at for too long is answered with 408") {
    unopened one;
    one.ask();
    one.pass(10'300ms);
    CHECK(one.peer.take_pending().starts_with("HTTP/1.1 408 "));
    ending<> accepted;
    one.it->async_accept(accepted.handler());
    one.run();
    CHECK(accepted.failed_with(errc::already_open));
    CHECK_FALSE(one.it->request());
    CHECK(one.peer.take_pending().empty());
}

TEST_CASE("cancellation ends an opening at any point") {
    unopened one;
    const bool server = GENERATE(values({0, 1})) == 1;
    const auto bytes = GENERATE(values<std::size_t>({0, 10}));
    ending<> opened;
    asio::cancellation_signal signal;
    auto handler = asio::bind_cancellation_slot(signal.slot(), opened.handler());
    if (server)
        one.it->async_accept(std::move(handler));
    else
        one.it->async_handshake(uri_of("ws://localhost/"), std::move(handler));
    one.run();
    one.peer.send(std::string_view{server ? "GET / HTTP/1.1\r\n" : "HTTP/1.1 101 x\r\n"}.substr(0, bytes));
    one.run();
    signal.emit(GENERATE(values({asio::cancellation_type::terminal, asio::cancellation_type::total})));
    CHECK(opened.calls == 0);
    one.run();
    CHECK(opened.failed_with(asio::error::operation_aborted));
    CHECK_FALSE(one.it->stream().is_open());
    signal.emit(asio::cancellation_type::terminal);
    one.run();
    CHECK(opened.calls == 1);
}

TEST_CASE("a transport that is cut at any byte of the opening ends it once") {
    const bool server = GENERATE(values({0, 1})) == 1;
    const bool reset = GENERATE(values({0, 1})) == 1;
    std::size_t whole = server ? plain_request.size() : 1;
    for (std::size_t cut = 0; cut < whole; ++cut) {
        CAPTURE(server, reset, cut);
        unopened one;
        ending<> opened;
        std::string bytes{plain_request};
        if (server) {
            one.it->async_accept(opened.handler());
        } else {
            one.it->async_handshake(uri_of("ws://localhost/"), opened.handler());
            one.run();
            bytes = answer_to(one.peer.take_pending());
            whole = bytes.size();
        }
        one.peer.send(std::string_view{bytes}.substr(0, cut));
        one.run();
        CHECK(opened.calls == 0);
        if (reset)
            one.peer.close();
        else
            one.peer.shutdown_send();
        one.run();
        CHECK(opened.failed_with(errc::connection_lost));
        CHECK_FALSE(one.it->stream().is_open());
        CHECK_FALSE(one.it->is_open());
    }
}

TEST_CASE("opens over streams that give and take a byte at a time") {
    connected_pair both;
    for (auto* each : {&both.server, &both.client}) {
        each->stream().read_limit(1);
        each->stream().write_limit(1);
        each->stream().capacity(1);
    }
    both.open();
    read_ending read;
    both.server.async_read(read.handler());
    both.client.send("byte by byte");
    both.run();
    CHECK(read.text() == "byte by byte");
}

TEST_CASE("an answer that comes when the peer has left ends cleanly") {
    unopened one;
    one.ask();
    one.peer.close();
    one.run();
    ending<> answered;
    const bool accept = GENERATE(values({0, 1})) == 1;
    if (accept)
        one.it->async_accept(answered.handler());
    else
        one.it->async_reject(403, {}, "", answered.handler());
    one.run();
    CHECK(answered.calls == 1);
    CHECK(answered.error);
    CHECK_FALSE(one.it->is_open());
    CHECK_FALSE(one.it->stream().is_open());
}
