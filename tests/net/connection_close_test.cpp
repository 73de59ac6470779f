#include <duplex/net/connection.hpp>

#include "support/any_role.hpp"
#include "support/connected.hpp"

#include <asio/bind_cancellation_slot.hpp>
#include <asio/cancellation_signal.hpp>

#include <array>
#include <chrono>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

using namespace duplex;
using namespace duplex::testing;
using namespace std::chrono_literals;

namespace {

/// A minute in which nothing happens but time.
void idle(scripted& one, std::chrono::seconds total) {
    for (auto passed = 0s; passed < total; ++passed)
        one.pass(1000ms);
}

} // namespace

TEST_CASE("both sides of a closing handshake end well") {
    connected_pair both;
    both.open();
    auto* const closer = GENERATE(values({0, 1})) == 1 ? &both.server : &both.client;
    auto* const other = closer == &both.server ? &both.client : &both.server;
    ending<> run;
    ending<> closed;
    std::string seen;
    other->async_run([&](const message& m) { seen += m.text(); }, run.handler());
    inside(both.io, [&] {
        closer->send("before");
        closer->async_close(close_code::going_away, "bye", closed.handler());
        CHECK_FALSE(closer->is_open());
        CHECK(closer->send("after") == send_status::not_open);
    });
    CHECK(closed.well());
    CHECK(run.well());
    CHECK(seen == "before");
    REQUIRE(closer->result());
    CHECK(closer->result()->was_clean);
    CHECK(closer->result()->code == close_code::going_away);
    REQUIRE(other->result());
    CHECK(other->result()->was_clean);
    CHECK(other->result()->code == close_code::going_away);
    CHECK(other->result()->reason == "bye");
    CHECK_FALSE(closer->stream().is_open());
    CHECK_FALSE(other->stream().is_open());
    ending<> again;
    closer->async_close(again.handler());
    both.run();
    CHECK(again.well());
}

TEST_CASE("both sides may close at once") {
    connected_pair both;
    both.open();
    ending<> at_server;
    ending<> at_client;
    both.server.async_close(close_code::normal, "s", at_server.handler());
    both.client.async_close(close_code::going_away, "c", at_client.handler());
    both.run();
    CHECK(at_server.well());
    CHECK(at_client.well());
    REQUIRE(both.server.result());
    CHECK(both.server.result()->code == close_code::going_away);
    REQUIRE(both.client.result());
    CHECK(both.client.result()->reason == "s");
}

TEST_CASE("the server ends the transport first") {
    scripted one{any_role()};
    one.open();
    ending<> closed;
    one.it->async_close(closed.handler());
    one.run();
    one.comes(opcode::close, close_payload(1000));
    CHECK(closed.calls == 0);
    std::array<char, 8> memory{};
    ending<std::size_t> at_end;
    CHECK(one.said() == said_frames{{8, close_payload(1000)}});
    one.peer.async_read_some(asio::buffer(memory), at_end.handler());
    one.run();
    CHECK(at_end.calls == (one.self == role::server ? 1 : 0));
    one.peer.close();
    one.run();
    CHECK(closed.well());
}

TEST_CASE("arguments that may not be sent close nothing") {
    scripted one{any_role()};
    one.open();
    const bool from_inside = GENERATE(values({0, 1})) == 1;
    const auto check = [&] {
        CHECK(one.it->close(static_cast<close_code>(999)) == errc::close_code_not_allowed);
        CHECK(one.it->close(close_code::abnormal) == errc::close_code_not_allowed);
        CHECK(one.it->close(close_code::no_status, "reason") == errc::close_code_not_allowed);
        CHECK(one.it->close(close_code::normal, std::string(124, 'r')) == errc::close_reason_too_long);
        CHECK(one.it->close(close_code::normal, "\xC3") == errc::text_not_utf8);
    };
    if (from_inside)
        inside(one.io, check);
    else
        check();
    ending<> closed;
    one.it->async_close(close_code::tls_handshake, "", closed.handler());
    one.run();
    CHECK(closed.failed_with(errc::close_code_not_allowed));
    CHECK(one.it->is_open());
    CHECK(one.said().empty());
    CHECK_FALSE(one.it->close(close_code::no_status));
    one.run();
    CHECK(one.said() == said_frames{{8, ""}});
}

TEST_CASE("a close from outside the context counts at once") {
    scripted one{any_role()};
    one.open();
    CHECK(one.it->send("before") == send_status::ok);
    CHECK_FALSE(one.it->close(close_code::normal, "bye"));
    CHECK_FALSE(one.it->is_open());
    CHECK(one.it->send("after") == send_status::not_open);
    CHECK_FALSE(one.it->close(close_code::going_away));
    one.run();
    CHECK(one.said() == said_frames{{1, "before"}, {8, close_payload(1000, "bye")}});
}

TEST_CASE("async_close drops what comes where nobody reads") {
    scripted one{any_role()};
    one.open();
    ending<> closed;
    one.it->async_close(closed.handler());
    one.peer.send(one.frame(opcode::text, "dropped") + one.frame(opcode::ping, "") +
                  one.frame(opcode::close, close_payload(1000, "ok")));
    one.peer.shutdown_send();
    one.run();
    CHECK(closed.well());
    REQUIRE(one.it->result());
    CHECK(one.it->result()->reason == "ok");
    CHECK(one.said() == said_frames{{8, close_payload(1000)}});
}

TEST_CASE("async_close finds a Close that came with the message a read was waiting for") {
    scripted one{any_role()};
    one.open();
    read_ending read;
    ending<> closed;
    one.it->async_read(read.handler());
    one.it->async_close(closed.handler());
    one.run();
    one.peer.send(one.frame(opcode::text, "last words") + one.frame(opcode::text, "dropped") +
                  one.frame(opcode::close, close_payload(1000, "ok")));
    one.run();
    CHECK(read.text() == "last words");
    one.peer.shutdown_send();
    one.run();
    CHECK(closed.well());
    REQUIRE(one.it->result());
    CHECK(one.it->result()->was_clean);
}

TEST_CASE("a cancelled async_close leaves the closing handshake on its way") {
    scripted one{any_role()};
    one.open();
    asio::cancellation_signal signal;
    ending<> closed;
    one.it->async_close(asio::bind_cancellation_slot(signal.slot(), closed.handler()));
    one.run();
    signal.emit(asio::cancellation_type::terminal);
    one.run();
    CHECK(closed.failed_with(asio::error::operation_aborted));
    CHECK(one.said() == said_frames{{8, close_payload(1000)}});
    idle(one, 12s);
    CHECK_FALSE(one.it->stream().is_open());
    REQUIRE(one.it->result());
}

TEST_CASE("a peer that ignores our Close is gone at the close deadline") {
    scripted one{any_role()};
    one.open();
    // However long the connection was idle before.
    const auto before = GENERATE(values<int>({0, 1, 28}));
    idle(one, std::chrono::seconds{before});
    ending<> closed;
    inside(one.io, [&] { one.it->async_close(closed.handler()); });
    CHECK(one.said() == said_frames{{8, close_payload(1000)}});
    for (int i = 0; i < 9; ++i) {
        one.comes(opcode::text, "ignoring you");
        one.pass(1000ms);
    }
    CHECK(closed.calls == 0);
    one.pass(1300ms);
    CHECK(closed.failed_with(errc::close_timeout));
    CHECK_FALSE(one.it->stream().is_open());
    REQUIRE(one.it->result());
    CHECK(one.it->result()->error == errc::close_timeout);
    CHECK_FALSE(one.it->result()->was_clean);
}

TEST_CASE("a peer that closed and holds on to the transport is gone at the close deadline") {
    scripted one{any_role()};
    one.open();
    ending<> run;
    one.it->async_run([](const message&) {}, run.handler());
    one.comes(opcode::close, close_payload(1000));
    idle(one, 9s);
    CHECK(run.calls == 0);
    one.pass(1300ms);
    CHECK(run.well());
    CHECK_FALSE(one.it->stream().is_open());
}

TEST_CASE("a peer that goes on sending after a broken rule is gone at the close deadline") {
    scripted one{any_role()};
    one.open();
    ending<> run;
    int messages = 0;
    one.it->async_run([&](const message&) { ++messages; }, run.handler());
    one.peer.send(from_hex("ff ff ff ff"));
    one.run();
    CHECK(one.said() == said_frames{{8, close_payload(1002)}});
    for (int i = 0; i < 12; ++i) {
        one.comes(opcode::text, "more");
        one.pass(1000ms);
    }
    CHECK(run.failed_with(errc::reserved_bits_set));
    CHECK(messages == 0);
    CHECK_FALSE(one.it->stream().is_open());
}

TEST_CASE("a peer that never reads is given up at the write deadline") {
    connection_options options;
    options.timeouts.ping_interval = 0ms;
    scripted one{any_role(), options};
    one.open();
    // The deadline begins with the send, however long nothing was sent before.
    idle(one, std::chrono::seconds{GENERATE(values<int>({0, 100}))});
    one.it->stream().capacity(10);
    ending<> sent;
    ending<> run;
    one.it->async_run([](const message&) {}, run.handler());
    const bool from_inside = GENERATE(values({0, 1})) == 1;
    const auto send = [&] { one.it->async_send(std::string(1000, 'x'), sent.handler()); };
    if (from_inside)
        inside(one.io, send);
    else
        send();
    one.run();
    idle(one, 29s);
    CHECK(sent.calls == 0);
    // Progress counts.
    CHECK(one.peer.take_pending().size() == 10);
    idle(one, 29s);
    CHECK(sent.calls == 0);
    // Then the Close that stands behind it has its deadline.
    idle(one, 15s);
    CHECK(sent.failed_with(errc::write_timeout));
    CHECK(run.failed_with(errc::write_timeout));
    CHECK_FALSE(one.it->stream().is_open());
}

TEST_CASE("a silent peer is pinged, and gone when it does not answer") {
    scripted one{any_role()};
    one.open();
    ending<> run;
    one.it->async_run([](const message&) {}, run.handler());
    idle(one, 29s);
    CHECK(one.said().empty());
    idle(one, 2s);
    CHECK(one.said() == said_frames{{9, ""}});
    SECTION("any byte is a sign of life") {
        idle(one, 15s);
        one.peer.send(one.frame(opcode::text, "alive").substr(0, 1));
        idle(one, 25s);
        CHECK(run.calls == 0);
        CHECK(one.it->is_open());
        CHECK(one.said().empty());
    }
    SECTION("silence is not") {
        idle(one, 18s);
        CHECK(one.it->is_open());
        idle(one, 3s);
        CHECK_FALSE(one.it->is_open());
        CHECK(one.said() == said_frames{{8, close_payload(1011)}});
        idle(one, 11s);
        CHECK(run.failed_with(errc::pong_timeout));
        CHECK_FALSE(one.it->stream().is_open());
    }
}

TEST_CASE("a connection without messages is closed at the idle deadline") {
    connection_options options;
    options.timeouts.idle = 60'000ms;
    scripted one{any_role(), options};
    one.open();
    ending<> run;
    one.it->async_run([](const message&) {}, run.handler());
    for (int i = 0; i < 59; ++i) {
        one.comes(opcode::ping, "");
        one.pass(1000ms);
    }
    CHECK(one.it->is_open());
    static_cast<void>(one.said());
    idle(one, 2s);
    CHECK_FALSE(one.it->is_open());
    CHECK(one.said() == said_frames{{8, close_payload(1001, "idle")}});
    one.comes(opcode::close, close_payload(1001));
    one.peer.shutdown_send();
    one.run();
    CHECK(run.failed_with(errc::idle_timeout));
    REQUIRE(one.it->result());
    CHECK(one.it->result()->was_clean);
}

TEST_CASE("without deadlines nothing ends an idle connection") {
    scripted one{any_role(), without_deadlines()};
    one.open();
    ending<> run;
    one.it->async_run([](const message&) {}, run.handler());
    for (int day = 0; day < 60; ++day)
        one.pass(24h);
    CHECK(one.it->is_open());
    CHECK(one.said().empty());
    one.comes(opcode::close, "");
    one.peer.shutdown_send();
    one.run();
    CHECK(run.well());
}

TEST_CASE("what was clean stays clean when the transport is cut, and what was not stays so") {
    scripted one{any_role()};
    one.open();
    const bool clean = GENERATE(values({0, 1})) == 1;
    ending<> run;
    one.it->async_run([](const message&) {}, run.handler());
    if (clean) one.comes(opcode::close, close_payload(1000));
    one.it->abort();
    ending<> closed;
    one.it->async_close(closed.handler());
    one.run();
    CHECK(run.calls == 1);
    REQUIRE(one.it->result());
    CHECK(one.it->result()->was_clean == clean);
    CHECK(one.it->result()->error == (clean ? std::error_code{} : make_error_code(errc::aborted)));
    CHECK(closed.error == one.it->result()->error);
}

TEST_CASE("a deadline that comes with the end changes nothing") {
    scripted one{any_role()};
    one.open();
    ending<> run;
    one.it->async_run([](const message&) {}, run.handler());
    one.run();
    one.time.advance(31s);
    one.it->abort();
    one.run();
    CHECK(run.failed_with(errc::aborted));
    CHECK(one.said().empty());
}

TEST_CASE("a connection whose stream is cancelled beneath it is lost") {
    scripted one{any_role()};
    one.open();
    ending<> run;
    one.it->async_run([](const message&) {}, run.handler());
    one.run();
    one.it->stream().cancel();
    one.run();
    CHECK(run.failed_with(errc::connection_lost));
    CHECK_FALSE(one.it->stream().is_open());
}

TEST_CASE("data after a Close, a second Close and a Close inside a message change nothing") {
    scripted one{any_role()};
    one.open();
    ending<> run;
    int messages = 0;
    one.it->async_run([&](const message&) { ++messages; }, run.handler());
    one.peer.send(one.frame(opcode::text, "begun", {.fin = false}) +
                  one.frame(opcode::close, close_payload(3000, "first")) + one.frame(opcode::text, "late") +
                  one.frame(opcode::close, close_payload(3001, "second")));
    one.peer.shutdown_send();
    one.run();
    CHECK(run.well());
    CHECK(messages == 0);
    CHECK(one.it->result()->reason == "first");
    CHECK(one.said() == said_frames{{8, close_payload(3000)}});
}

TEST_CASE("it is known who began to close") {
    connected_pair pair;
    pair.open();
    ending<> server_end;
    ending<> client_end;
    pair.server.async_run([](const message&) {}, server_end.handler());
    pair.client.async_run([](const message&) {}, client_end.handler());
    pair.run();
    auto servers = initiator::peer;
    auto clients = initiator::self;
    SECTION("the client did") {
        inside(pair.io, [&] { CHECK_FALSE(pair.client.close()); });
    }
    SECTION("the server did") {
        inside(pair.io, [&] { CHECK_FALSE(pair.server.close()); });
        std::swap(servers, clients);
    }
    SECTION("the client's end of the line broke") {
        inside(pair.io, [&] { pair.client.abort(); });
        servers = clients = initiator::neither;
    }
    SECTION("the client went") {
        inside(pair.io, [&] { pair.client.leave(); });
    }
    REQUIRE(pair.server.result());
    REQUIRE(pair.client.result());
    CHECK(pair.server.result()->begun_by == servers);
    CHECK(pair.client.result()->begun_by == clients);
}

TEST_CASE("a connection that is closed from another thread while it is being opened does not open") {
    connected_pair pair;
    ending<> shaken;
    ending<> accepted;
    pair.client.async_handshake(uri_of("ws://localhost/chat"), shaken.handler());
    const auto how = GENERATE(values({close_how::after_queued, close_how::at_once}));
    const auto handle = pair.client.handle();
    std::thread{[&] { CHECK_FALSE(handle.close(close_code::normal, {}, how)); }}.join();
    pair.server.async_accept(accepted.handler());
    pair.run();
    CHECK(shaken.failed_with(errc::aborted));
    CHECK_FALSE(pair.client.is_open());
}
