#include <duplex/websocket.hpp>

#include "support/loopback.hpp"
#include "support/wire.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace {

using namespace duplex;
using namespace duplex::testing;

/// A websocket that is open to a server of bytes.
struct opened {
    explicit opened(connect_options options = {})
        : client{io, server.url(), {}, std::move(options)} {
        server.open(io);
        run_until(io, [&] { return client.saw("open"); });
    }
    /// A frame from the server.
    void comes(opcode op, std::string_view payload, const frame_shape& shape = {}) {
        server.peer().send(frame_bytes(role::server, op, payload, shape));
    }
    /// What the client has written, once it has ended its direction or was cut off.
    [[nodiscard]] std::vector<seen_frame> written() {
        auto frames = read_frames(server.peer().take());
        REQUIRE(frames.has_value());
        return *std::move(frames);
    }
    void await_bytes(std::size_t size) {
        run_until(io, [&] { return server.peer().received().size() >= size; });
    }

    asio::io_context io;
    raw_server server{io};
    watched client;
};

TEST_CASE("opens, carries messages and closes in the browser's order of events") {
    opened it;
    it.comes(opcode::text, "one");
    it.comes(opcode::binary, "two");
    it.comes(opcode::close, close_payload(1000, "bye"));
    run_until(it.io, [&] { return it.server.peer().received().size() == 8; });
    CHECK(it.client.socket->ready_state() == ready_state::closing);
    CHECK_FALSE(it.client.closed());
    it.server.peer().shutdown_send();
    run_out(it.io);
    CHECK(it.client.seen == history{"open", "message one", "message two", "close 1000 bye clean"});
    CHECK(it.client.states ==
          std::vector{ready_state::open, ready_state::open, ready_state::open, ready_state::closed});
    const auto frames = it.written();
    REQUIRE(frames.size() == 1);
    CHECK(frames[0].payload == close_payload(1000));
    CHECK(frames[0].masked);
}

TEST_CASE("shows its state at each moment") {
    asio::io_context io;
    raw_server server{io};
    watched client{io};
    auto& socket = *client.socket;
    CHECK(socket.ready_state() == ready_state::closed);
    CHECK(socket.url().empty());
    REQUIRE_FALSE(socket.open("ws://127.0.0.1:" + std::to_string(server.port()), {"a", "b"}));
    CHECK(socket.ready_state() == ready_state::connecting);
    CHECK(socket.open(server.url()) == errc::already_open);
    CHECK(socket.send("early") == send_status::not_open);
    const auto request = server.await_request(io);
    CHECK(request.find("Sec-WebSocket-Protocol: a, b\r\n") != std::string::npos);
    CHECK(socket.ready_state() == ready_state::connecting);
    CHECK(socket.url() == server.url("/"));
    CHECK(socket.send("early") == send_status::not_open);
    CHECK(socket.protocol().empty());
    CHECK(socket.buffered_amount() == 0);
    server.peer().send(acceptance_of(request, "Sec-WebSocket-Protocol: b\r\n"));
    run_until(io, [&] { return client.saw("open"); });
    CHECK(socket.ready_state() == ready_state::open);
    CHECK(socket.protocol() == "b");
    CHECK(socket.extensions().empty());
    CHECK_FALSE(socket.close());
    CHECK(socket.ready_state() == ready_state::closing);
    CHECK(socket.send("late") == send_status::not_open);
    run_until(io, [&] { return !server.peer().received().empty(); });
    server.peer().send(frame_bytes(role::server, opcode::close, ""));
    server.peer().shutdown_send();
    run_out(io);
    CHECK(socket.ready_state() == ready_state::closed);
    CHECK(client.seen == history{"open", "close 1005 clean"});
    CHECK_FALSE(socket.close());
    CHECK(socket.send("late") == send_status::not_open);
    CHECK(socket.ready_state() == ready_state::closed);
    CHECK(socket.protocol() == "b");
}

TEST_CASE("sends text and binary, masked and in order") {
    opened it;
    auto& socket = *it.client.socket;
    const std::vector<std::byte> bytes{std::byte{0}, std::byte{255}};
    CHECK(socket.send("text") == send_status::ok);
    CHECK(socket.send(bytes) == send_status::ok);
    CHECK(socket.send("\xff") == send_status::text_not_utf8);
    CHECK(socket.send("") == send_status::ok);
    it.await_bytes(10 + 8 + 6);
    const auto frames = it.written();
    REQUIRE(frames.size() == 3);
    CHECK(frames[0].payload == "text");
    CHECK(frames[0].op == 1);
    CHECK(frames[1].payload == std::string("\0\xff", 2));
    CHECK(frames[1].op == 2);
    CHECK(frames[2].payload.empty());
}

TEST_CASE("sends a message on as it came") {
    opened it;
    it.client.then_message = [&](const message& m) { CHECK(accepted(it.client.socket->send(m))); };
    it.server.peer().send(frame_bytes(role::server, opcode::text, "text") +
                          frame_bytes(role::server, opcode::binary, std::string("\0\xff", 2)));
    it.await_bytes(10 + 8);
    const auto frames = it.written();
    REQUIRE(frames.size() == 2);
    CHECK(frames[0].payload == "text");
    CHECK(frames[0].op == 1);
    CHECK(frames[1].payload == std::string("\0\xff", 2));
    CHECK(frames[1].op == 2);
}

TEST_CASE("counts what the transport has not taken") {
    opened it;
    auto& socket = *it.client.socket;
    std::size_t inside = 0;
    it.client.then_message = [&](const message&) {
        socket.send("12345678");
        inside = socket.buffered_amount();
    };
    it.comes(opcode::text, "go");
    it.await_bytes(14);
    CHECK(inside == 14);
    CHECK(socket.buffered_amount() == 0);

    const std::string large(4 << 20, 'x');
    socket.send(large);
    CHECK(socket.buffered_amount() >= large.size());
    CHECK(socket.send(std::string(limits{}.queue_bytes, 'x')) == send_status::queue_full);
    it.await_bytes(14 + large.size() + 14);
    CHECK(socket.buffered_amount() == 0);
}

TEST_CASE("takes the codes and reasons that a browser takes") {
    opened it;
    auto& socket = *it.client.socket;
    const auto wrong =
        GENERATE(values<std::uint16_t>({0, 999, 1001, 1002, 1005, 1006, 1011, 1015, 2999, 5000, 65535}));
    CAPTURE(wrong);
    CHECK(socket.close(wrong, "x") == errc::close_code_not_allowed);
    CHECK(socket.close(1000, std::string(124, 'x')) == errc::close_reason_too_long);
    CHECK(socket.close(1000, "\xc3") == errc::text_not_utf8);
    CHECK(socket.close(close_code::no_status, "x") == errc::close_code_not_allowed);
    // Nothing has happened.
    CHECK(socket.ready_state() == ready_state::open);
    CHECK(socket.send("x") == send_status::ok);
    it.await_bytes(7);
    CHECK(it.written().size() == 1);
}

TEST_CASE("closes with code and reason, once") {
    opened it;
    auto& socket = *it.client.socket;
    const auto code = GENERATE(values<std::uint16_t>({1000, 3000, 4999}));
    socket.send("before");
    CHECK_FALSE(socket.close(code, std::string(123, 'r')));
    CHECK_FALSE(socket.close(3333, "again"));
    it.await_bytes(12 + 131);
    // Until the server has answered, its messages are no longer delivered.
    it.comes(opcode::text, "late");
    it.comes(opcode::close, close_payload(code, "their reason"));
    it.server.peer().shutdown_send();
    run_out(it.io);
    const auto frames = it.written();
    REQUIRE(frames.size() == 2);
    CHECK(frames[0].payload == "before");
    CHECK(frames[1].payload == close_payload(code, std::string(123, 'r')));
    CHECK(it.client.seen == history{"open", "close " + std::to_string(code) + " their reason clean"});
}

TEST_CASE("may be closed in any callback") {
    opened it;
    auto& socket = *it.client.socket;
    SECTION("of a message; those behind it are not delivered") {
        it.client.then_message = [&](const message&) { CHECK_FALSE(socket.close(3001)); };
        it.server.peer().send(frame_bytes(role::server, opcode::text, "1") +
                              frame_bytes(role::server, opcode::text, "2"));
        it.await_bytes(8);
        it.comes(opcode::close, close_payload(3001));
        it.server.peer().shutdown_send();
        run_out(it.io);
        CHECK(it.client.seen == history{"open", "message 1", "close 3001 clean"});
    }
    SECTION("of the end, without effect") {
        it.client.then_error = it.client.then_close = [&] { CHECK_FALSE(socket.close(3002)); };
        it.server.peer().drop();
        run_out(it.io);
        CHECK(it.client.seen == history{"open", "error", "close 1006"});
        CHECK(socket.ready_state() == ready_state::closed);
    }
}

TEST_CASE("may be closed as soon as it is open") {
    asio::io_context io;
    raw_server server{io};
    watched client{io, server.url()};
    client.then_open = [&] {
        CHECK(client.socket->send("hello") == send_status::ok);
        CHECK_FALSE(client.socket->close());
        CHECK(client.socket->ready_state() == ready_state::closing);
    };
    // The server's first message comes together with its answer.
    const auto request = server.await_request(io);
    server.peer().send(acceptance_of(request) + frame_bytes(role::server, opcode::text, "welcome"));
    run_until(io, [&] { return server.peer().received().size() == 11 + 6; });
    server.peer().send(frame_bytes(role::server, opcode::close, ""));
    server.peer().shutdown_send();
    run_out(io);
    CHECK(client.seen == history{"open", "close 1005 clean"});
}

TEST_CASE("closing while it connects fails the connection") {
    asio::io_context io;
    raw_server server{io};
    watched client{io, server.url()};
    auto& socket = *client.socket;
    SECTION("before anything was done") {}
    SECTION("while the name is resolved") { io.run_one(); }
    SECTION("while TCP connects") {
        run_until(io, [&] { return server.connected(); });
    }
    SECTION("while the answer is awaited") { REQUIRE_FALSE(server.await_request(io).empty()); }
    SECTION("when the answer is on its way") { server.open(io); }
    CHECK_FALSE(socket.close(1000));
    CHECK(socket.ready_state() == ready_state::closing);
    CHECK_FALSE(socket.close(1000));
    run_until(io, [&] { return client.closed(); });
    CHECK(client.seen == history{"error", "close 1006"});
    CHECK(client.error == errc::aborted);
    CHECK_FALSE(client.response.has_value());
    CHECK(client.states == std::vector{ready_state::closed, ready_state::closed});
    io.poll();
    CHECK(client.seen.size() == 2);
}

TEST_CASE("tells what is wrong with the arguments as an error event") {
    struct row {
        std::string_view url;
        std::vector<std::string> protocols;
        errc error;
    };
    const auto [url, protocols, error] = GENERATE(values<row>({
        {"", {}, errc::url_invalid},
        {"localhost:80", {}, errc::url_scheme_unsupported},
        {"ftp://localhost/", {}, errc::url_scheme_unsupported},
        {"ws://", {}, errc::url_host_invalid},
        {"ws://localhost:99999/", {}, errc::url_port_invalid},
        {"ws://localhost/#top", {}, errc::url_has_fragment},
        {"wss://localhost/", {}, errc::tls_not_available},
        {"ws://127.0.0.1:1/", {"a b"}, errc::subprotocol_invalid},
        {"ws://127.0.0.1:1/", {"a", "a"}, errc::subprotocol_duplicated},
    }));
    CAPTURE(url);
    asio::io_context io;
    watched client{io, url, protocols};
    run_out(io);
    CHECK(client.seen == history{"error", "close 1006"});
    CHECK(client.error == error);
    CHECK(client.error == condition::misuse);
    CHECK(client.what == make_error_code(error).message());
    CHECK_FALSE(client.response.has_value());
}

TEST_CASE("takes no options that would lose its messages") {
    connect_options options;
    options.connection.deliver_fragments = true;
    asio::io_context io;
    SECTION("where it is opened") {
        watched client{io};
        CHECK(client.socket->open("ws://127.0.0.1:1/", {}, options) == errc::fragments_not_taken);
        CHECK(io.poll() == 0);
        // Nothing has happened: it may be opened yet.
        CHECK_FALSE(client.socket->open("ftp://x"));
    }
    SECTION("where it is made: by an error event") {
        websocket socket{io, "ws://127.0.0.1:1/", {}, options};
        std::vector<std::error_code> seen;
        socket.on_error = [&](const error_event& event) { seen.push_back(event.error); };
        bool closed = false;
        socket.on_close = [&](const close_event&) { closed = true; };
        run_out(io);
        CHECK(seen == std::vector{make_error_code(errc::fragments_not_taken)});
        CHECK(closed);
    }
}

TEST_CASE("a websocket needs no callback") {
    asio::io_context io;
    raw_server server{io};
    websocket socket{io, server.url()};
    const bool clean = GENERATE(false, true);
    server.open(io);
    server.peer().send(frame_bytes(role::server, opcode::text, "into the void"));
    run_until(io, [&] { return socket.ready_state() == ready_state::open; });
    if (clean) server.peer().send(frame_bytes(role::server, opcode::close, close_payload(1000)));
    server.peer().shutdown_send();
    run_out(io);
    CHECK(socket.ready_state() == ready_state::closed);
    CHECK(server.peer().ended());
}

TEST_CASE("an error is explained with the answer only where there is one to speak of") {
    error_event event;
    event.error = errc::upgrade_refused;
    const auto plain = event.error.message();
    CHECK(event.what() == plain);
    handshake_outcome outcome;
    event.response = &outcome;
    CHECK(event.what() == plain);
    outcome.status = 101;
    CHECK(event.what() == plain);
    outcome.status = 404;
    outcome.reason = "Not Found";
    CHECK(event.what() == plain + ": server answered 404 Not Found");
}

TEST_CASE("tells that nobody listens") {
    asio::io_context io;
    std::uint16_t port = 0;
    {
        raw_server gone{io};
        port = gone.port();
    }
    watched client{io, "ws://127.0.0.1:" + std::to_string(port)};
    run_out(io);
    CHECK(client.seen == history{"error", "close 1006"});
    CHECK(client.error == asio::error::connection_refused);
}

TEST_CASE("shows the answer with which a server refuses") {
    asio::io_context io;
    raw_server server{io};
    watched client{io, server.url()};
    REQUIRE_FALSE(server.await_request(io).empty());
    server.peer().send("HTTP/1.1 403 Not For You\r\nX-Why: closed\r\nContent-Length: 4\r\n\r\nsoon");
    run_until(io, [&] { return client.closed(); });
    CHECK(client.seen == history{"error", "close 1006"});
    CHECK(client.error == errc::upgrade_refused);
    REQUIRE(client.response.has_value());
    CHECK(client.response->status == 403);
    CHECK(client.response->reason == "Not For You");
    CHECK(client.response->headers.find("x-why") == "closed");
    CHECK(client.response->body == "soon");
    CHECK(client.what.ends_with(": server answered 403 Not For You: soon"));
}

TEST_CASE("tells in which phase it failed, and why") {
    asio::io_context io;
    raw_server server{io};
    SECTION("before anything was sent") {
        watched client{io, "nonsense"};
        run_until(io, [&] { return client.closed(); });
        CHECK(client.failed_in == phase::prepare);
        CHECK_FALSE(client.response);
    }
    SECTION("in an option") {
        connect_options options;
        options.headers = {{"Upgrade", "x"}};
        watched client{io, server.url(), {}, options};
        run_until(io, [&] { return client.closed(); });
        CHECK(client.failed_in == phase::prepare);
    }
    SECTION("resolving") {
        watched client{io, "ws://no-such-host.invalid/"};
        run_until(io, [&] { return client.closed(); });
        CHECK(client.failed_in == phase::resolve);
        CHECK(client.what.ends_with(": name no-such-host.invalid could not be resolved"));
        CHECK_FALSE(client.response);
    }
    SECTION("connecting") {
        std::uint16_t port = 0;
        {
            raw_server gone{io};
            port = gone.port();
        }
        watched client{io, "ws://127.0.0.1:" + std::to_string(port)};
        run_until(io, [&] { return client.closed(); });
        CHECK(client.failed_in == phase::connect);
        CHECK(client.why.starts_with("no address of 127.0.0.1 could be connected: 127.0.0.1:"));
        CHECK_FALSE(client.response);
    }
    SECTION("upgrading") {
        watched client{io, server.url()};
        (void)server.await_request(io);
        server.peer().drop();
        run_until(io, [&] { return client.closed(); });
        CHECK(client.failed_in == phase::upgrade);
        CHECK_FALSE(client.response);
    }
    SECTION("given up by the application") {
        watched client{io, server.url()};
        (void)server.await_request(io);
        client.socket->close();
        run_until(io, [&] { return client.closed(); });
        CHECK(client.error == errc::aborted);
        CHECK(client.failed_in == phase::upgrade);
    }
}

TEST_CASE("tells a connection that breaks from one that breaks while it is closed") {
    opened it;
    SECTION("open") {
        it.server.peer().drop();
        run_until(it.io, [&] { return it.client.closed(); });
        CHECK(it.client.failed_in == phase::open);
    }
    SECTION("against the rules") {
        it.comes(opcode::continuation, "x");
        it.await_bytes(8);
        it.server.peer().shutdown_send();
        run_until(it.io, [&] { return it.client.closed(); });
        CHECK(it.client.error == errc::unexpected_continuation);
        CHECK(it.client.failed_in == phase::open);
    }
    SECTION("being closed") {
        it.client.socket->close(1000);
        it.await_bytes(8);
        it.server.peer().drop();
        run_until(it.io, [&] { return it.client.closed(); });
        CHECK(it.client.failed_in == phase::closing);
    }
}

TEST_CASE("follows redirects where its options say so, and shows where they led") {
    asio::io_context io;
    raw_server first{io};
    raw_server second{io};
    connect_options options;
    options.max_redirects = 1;
    watched client{io, first.url("/a"), {}, options};
    (void)first.await_request(io);
    CHECK(client.socket->url() == first.url("/a"));
    first.peer().send("HTTP/1.1 302 x\r\nLocation: " + second.url("/b") + "\r\nContent-Length: 0\r\n\r\n");
    const auto request = second.await_request(io);
    CHECK(request.starts_with("GET /b HTTP/1.1\r\n"));
    SECTION("to a server that takes it") {
        second.peer().send(acceptance_of(request));
        run_until(io, [&] { return client.saw("open"); });
        CHECK(client.socket->url() == second.url("/b"));
        second.peer().drop();
    }
    SECTION("to one that sends it on again") {
        second.peer().send("HTTP/1.1 302 x\r\nLocation: /c\r\nContent-Length: 0\r\n\r\n");
        run_until(io, [&] { return client.closed(); });
        CHECK(client.error == errc::too_many_redirects);
        CHECK(client.what.ends_with(": server answered 302 with Location /c"));
        REQUIRE(client.response);
        CHECK(client.response->url == second.url("/b"));
        CHECK(client.socket->url() == first.url("/a"));
    }
    run_until(io, [&] { return client.closed(); });
}

TEST_CASE("logs in with the user and the password of its URL, and does not show them") {
    asio::io_context io;
    raw_server server{io};
    watched client{io, "ws://me:secret@127.0.0.1:" + std::to_string(server.port())};
    const auto request = server.await_request(io);
    CHECK(request.find("\r\nAuthorization: Basic bWU6c2VjcmV0\r\n") != std::string::npos);
    CHECK(client.socket->url() == server.url());
    server.peer().send(acceptance_of(request));
    run_until(io, [&] { return client.saw("open"); });
    CHECK(client.socket->url() == server.url());
}

TEST_CASE("fails where the answer does not open a connection") {
    asio::io_context io;
    raw_server server{io};
    watched client{io, server.url(), {"chat"}};
    const auto request = server.await_request(io);
    SECTION("the key was not answered") {
        server.peer().send("HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                           "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n");
        run_until(io, [&] { return client.closed(); });
        CHECK(client.error == errc::accept_invalid);
        CHECK(client.response.has_value());
    }
    SECTION("the subprotocol was not offered") {
        server.peer().send(acceptance_of(request, "Sec-WebSocket-Protocol: other\r\n"));
        run_until(io, [&] { return client.closed(); });
        CHECK(client.error == errc::subprotocol_not_offered);
    }
    SECTION("an extension was not offered") {
        server.peer().send(acceptance_of(request, "Sec-WebSocket-Extensions: permessage-deflate\r\n"));
        run_until(io, [&] { return client.closed(); });
        CHECK(client.error == errc::extension_not_offered);
    }
    SECTION("it never comes") {
        server.peer().shutdown_send();
        run_until(io, [&] { return client.closed(); });
        CHECK(client.error == errc::connection_lost);
        CHECK_FALSE(client.response.has_value());
    }
    CHECK(client.seen == history{"error", "close 1006"});
    run_until(io, [&] { return server.peer().ended(); });
}

TEST_CASE("tells how the connection was lost") {
    opened it;
    SECTION("ended without a Close") { it.server.peer().drop(); }
    SECTION("reset") { it.server.peer().reset(); }
    SECTION("in the middle of a message") {
        it.comes(opcode::text, "half", {.fin = false});
        it.server.peer().shutdown_send();
    }
    run_out(it.io);
    CHECK(it.client.seen == history{"open", "error", "close 1006"});
    CHECK((it.client.error == errc::connection_lost || it.client.error == asio::error::connection_reset));
    CHECK_FALSE(it.client.last->was_clean);
}

TEST_CASE("answers a server's mistake with a Close and reports it") {
    opened it;
    it.server.peer().send(frame_bytes(role::server, opcode::text, "good") +
                          frame_bytes(role::server, opcode::text, "bad", {.rsv = 4}) +
                          frame_bytes(role::server, opcode::text, "ignored"));
    it.await_bytes(8);
    it.server.peer().shutdown_send();
    run_out(it.io);
    CHECK(it.client.seen == history{"open", "message good", "error", "close 1006"});
    CHECK(it.client.error == errc::reserved_bits_set);
    const auto frames = it.written();
    REQUIRE(frames.size() == 1);
    CHECK(frames[0].payload == close_payload(1002));
}

} // namespace
