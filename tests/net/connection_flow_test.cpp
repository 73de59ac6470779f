#include <duplex/net/connection.hpp>

// Messages in pieces and from several places, closing at once, the end of a life, and how long answers take.

#include "support/any_role.hpp"
#include "support/sockets.hpp"

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

using namespace duplex;
using namespace duplex::testing;
using namespace std::chrono_literals;

namespace {

using strings = std::vector<std::string>;

strings payloads(scripted& one) {
    strings all;
    for (auto& [op, payload] : one.said())
        all.push_back(op == 8 ? "close" : payload);
    return all;
}

struct noting {
    std::vector<told_fate>& told;
    void on_message(const message&) const {}
    void on_fate(std::uint64_t tag, message_fate fate) const { told.push_back({tag, fate}); }
};

/// A connection whose peer has taken one byte of what was sent first, and takes no more.
struct stuck : scripted {
    explicit stuck(const connection_options& options = without_deadlines())
        : scripted{any_role(), options} {
        open();
        it->async_run(noting{told}, ended.handler());
        it->stream().capacity(1);
        it->send("begun");
        run();
    }
    void let_go() {
        it->stream().capacity(0);
        run();
    }

    std::vector<told_fate> told;
    ending<> ended;
};

} // namespace

TEST_CASE("a connection sends a message from several places as one, from any thread") {
    scripted one{any_role()};
    one.open();
    const octets large(40'000, 'l');
    const std::array<std::span<const std::byte>, 3> parts{view("head "), {}, view("body")};
    const std::array<std::span<const std::byte>, 2> large_parts{view(large), view("end")};
    inside(one.io, [&] {
        CHECK(one.it->send_parts(opcode::text, parts) == send_status::ok);
        CHECK(one.it->send_parts(opcode::binary, large_parts) == send_status::ok);
        CHECK(one.it->send_parts(opcode::ping, parts) == send_status::opcode_not_data);
        CHECK(one.it->buffered_amount() > 40'000);
    });
    CHECK((payloads(one) == strings{"head body", large + "end"}));
    std::thread{[handle = one.it->handle(), &parts] {
        CHECK(handle.send_parts(opcode::text, parts) == send_status::ok);
    }}.join();
    one.run();
    CHECK(payloads(one) == strings{"head body"});
    CHECK(memory_connection::handle_type{}.send_parts(opcode::text, parts) == send_status::not_open);
    one.it->abort();
    CHECK(one.it->send_parts(opcode::text, parts) == send_status::not_open);
}

TEST_CASE("a message goes out in pieces as it is made, and what others send meanwhile waits for its end") {
    scripted one{any_role()};
    one.open();
    ending<> sent;
    CHECK(one.it->send_fragment(opcode::text, view("Once "), false) == send_status::ok);
    one.run();
    CHECK(payloads(one) == strings{"Once "});
    std::thread{[handle = one.it->handle()] { CHECK(accepted(handle.send("from another thread"))); }}.join();
    CHECK(accepted(one.it->send("from here")));
    one.it->async_send("and with its fate", sent.handler());
    CHECK(one.it->ping(view("alive")) == send_status::ok);
    one.run();
    CHECK(payloads(one) == strings{"alive"});
    CHECK(sent.calls == 0);
    CHECK(one.it->is_open());
    CHECK(one.it->buffered_amount() > 30);
    CHECK(accepted(one.it->send_fragment(opcode::text, view("upon "), false)));
    CHECK(accepted(one.it->send_fragment(opcode::text, view("a time"), true)));
    one.run();
    CHECK(payloads(one) ==
          strings{"upon ", "a time", "from another thread", "from here", "and with its fate"});
    CHECK(sent.well());
    CHECK(one.it->buffered_amount() == 0);
}

TEST_CASE("closing in the middle of a message in pieces does not wait for its end") {
    scripted one{any_role()};
    one.open();
    ending<> run;
    ending<> sent;
    one.it->async_run([](const message&) {}, run.handler());
    CHECK(accepted(one.it->send_fragment(opcode::text, view("Once "), false)));
    one.it->async_send("never", sent.handler());
    one.run();
    CHECK_FALSE(one.it->close());
    one.run();
    CHECK(payloads(one) == strings{"Once ", "close"});
    CHECK(sent.failed_with(errc::message_dropped));
    CHECK(one.it->send_fragment(opcode::text, view("upon"), true) == send_status::not_open);
    one.comes(opcode::close, close_payload(1000));
    one.peer.close();
    one.run();
    CHECK(run.well());
}

TEST_CASE("a long message cut into frames keeps neither a Pong nor a Close at once waiting") {
    connection_options options = without_deadlines();
    options.fragment_bytes = 1000;
    options.limits.commit_bytes = 4000;
    scripted one{any_role(), options};
    one.open();
    ending<> run;
    one.it->async_run([](const message&) {}, run.handler());
    one.it->stream().capacity(1);
    CHECK(accepted(one.it->send(octets(200'000, 'l'))));
    one.run();
    one.comes(opcode::ping, "still there?");
    octets seen = one.peer.take_pending();
    const bool closes = GENERATE(false, true);
    if (closes) CHECK_FALSE(one.it->close(close_code::normal, {}, close_how::at_once));
    one.it->stream().capacity(0);
    one.run();
    seen += one.peer.take_pending();
    const auto frames = read_frames(seen);
    REQUIRE(frames);
    REQUIRE(frames->size() >= 3);
    // An asynchronous write holds what was gathered before.
    std::size_t pong = 0;
    while (pong < frames->size() && (*frames)[pong].op != 10)
        ++pong;
    CHECK(pong <= 5);
    CHECK((frames->back().op == 8) == closes);
    if (closes)
        CHECK(frames->size() <= 8);
    else
        CHECK(frames->size() == 201);
}

TEST_CASE("a close at once drops what has not begun to leave, and tells whose it was") {
    stuck one;
    ending<> first;
    ending<> second;
    one.it->async_send("one", first.handler());
    one.it->async_send(opcode::binary, view(octets(30'000, 'x')), second.handler());
    one.it->send("three");
    one.run();
    const auto how = GENERATE(values({0, 1, 2, 3}));
    switch (how) {
    case 0: CHECK_FALSE(one.it->close(close_code::going_away, "now", close_how::at_once)); break;
    case 1:
        // Also where a close waits already.
        CHECK_FALSE(one.it->close());
        one.run();
        CHECK_FALSE(one.it->close(close_code::going_away, "now", close_how::at_once));
        break;
    case 2:
        inside(one.io, [&] {
            CHECK_FALSE(one.it->close(close_code::going_away, "now", close_how::at_once));
            CHECK_FALSE(one.it->close(close_code::normal, "again", close_how::at_once));
        });
        break;
    default:
        std::thread{[handle = one.it->handle()] {
            CHECK_FALSE(handle.close(close_code::going_away, "now", close_how::at_once));
        }}.join();
    }
    CHECK_FALSE(one.it->is_open());
    one.run();
    CHECK(first.failed_with(errc::message_dropped));
    CHECK(second.failed_with(errc::message_dropped));
    one.let_go();
    CHECK(payloads(one) == strings{"begun", "close"});
    one.comes(opcode::close, close_payload(1001));
    one.peer.close();
    one.run();
    CHECK(one.ended.well());
    // It has ended; that cannot be done twice.
    (void)one.it->close(close_code::normal, {}, close_how::at_once);
    one.run();
    CHECK(one.ended.calls == 1);
}

TEST_CASE("a close at once tells the fates of messages with tags, and async_close may be at once too") {
    stuck one;
    for (std::uint64_t tag = 1; tag <= 3; ++tag)
        CHECK(accepted(one.it->send("tagged", {.tag = tag})));
    one.run();
    ending<> closed;
    one.it->async_close(close_code::normal, "now", close_how::at_once, closed.handler());
    one.run();
    CHECK((one.told == std::vector<told_fate>{{1, message_fate::dropped},
                                              {2, message_fate::dropped},
                                              {3, message_fate::dropped}}));
    one.let_go();
    CHECK(payloads(one) == strings{"begun", "close"});
    one.comes(opcode::close, close_payload(1000));
    one.peer.close();
    one.run();
    CHECK(closed.well());
}

TEST_CASE("a close at once with wrong arguments, or too early, drops nothing") {
    stuck one;
    CHECK(one.it->close(close_code::abnormal, {}, close_how::at_once) == errc::close_code_not_allowed);
    CHECK(one.it->is_open());
    one.let_go();
    CHECK(payloads(one) == strings{"begun"});
    unopened early;
    CHECK_FALSE(early.it->close(close_code::normal, {}, close_how::at_once));
    inside(early.io,
           [&] { CHECK(early.it->close(close_code::normal, {}, close_how::at_once) == errc::not_open); });
    early.ask();
}

TEST_CASE("a connection is closed in order at the end of its life, and that is told") {
    connection_options options;
    options.timeouts.life = 60s;
    options.life_code = close_code::service_restart;
    connected_pair both{options};
    // The opening takes its time, which does not count.
    both.pass(5000ms);
    both.open();
    ending<> at_server;
    ending<> at_client;
    int received = 0;
    both.server.async_run([&](const message&) { ++received; }, at_server.handler());
    both.client.async_run([](const message&) {}, at_client.handler());
    for (int i = 0; i < 59; ++i) {
        both.client.send("busy");
        both.pass(1000ms);
    }
    CHECK(at_server.calls == 0);
    both.pass(1000ms);
    both.pass(500ms);
    CHECK(received == 59);
    CHECK(at_server.calls == 1);
    REQUIRE(both.server.result());
    CHECK(both.server.result()->was_clean);
    CHECK(both.server.result()->error == errc::life_timeout);
    REQUIRE(both.client.result());
    CHECK(both.client.result()->was_clean);
    CHECK_FALSE(both.client.result()->error);
    CHECK(both.client.result()->code == close_code::service_restart);
    CHECK(both.client.result()->reason == "end of life");
}

TEST_CASE("a paused peer is not spared the end of its life") {
    connection_options options;
    options.timeouts.life = 60s;
    scripted one{any_role(), options};
    one.open();
    ending<> run;
    one.it->async_run([](const message&) {}, run.handler());
    one.it->pause();
    for (int i = 0; i < 80 && run.calls == 0; ++i)
        one.pass(1000ms);
    CHECK(run.failed_with(errc::life_timeout));
    CHECK(one.said().back().second == close_payload(1001, "end of life"));
}

TEST_CASE("how long answers take is known from async_ping") {
    scripted one{any_role()};
    one.open();
    ending<> run;
    one.it->async_run([](const message&) {}, run.handler());
    CHECK((one.it->latency() == latency{}));
    const auto ping = [&](std::chrono::milliseconds takes) {
        ending<std::chrono::nanoseconds> pinged;
        one.it->async_ping(pinged.handler());
        one.run();
        one.pass(takes);
        one.comes(opcode::pong, one.said().back().second);
        CHECK(std::get<0>(pinged.values) == takes);
    };
    ping(80ms);
    CHECK((one.it->latency() ==
           latency{.last = 80ms, .smoothed = 80ms, .variation = 40ms, .minimum = 80ms, .count = 1}));
    ping(160ms);
    CHECK((one.it->latency() ==
           latency{.last = 160ms, .smoothed = 90ms, .variation = 50ms, .minimum = 80ms, .count = 2}));
}

TEST_CASE("of pings that one answer serves only the one that it names is measured") {
    scripted one{any_role()};
    one.open();
    ending<> run;
    one.it->async_run([](const message&) {}, run.handler());
    ending<std::chrono::nanoseconds> first;
    ending<std::chrono::nanoseconds> second;
    one.it->async_ping(first.handler());
    one.run();
    one.pass(100ms);
    one.it->async_ping(second.handler());
    one.run();
    one.pass(50ms);
    one.comes(opcode::pong, one.said().back().second);
    CHECK(first.well());
    CHECK(second.well());
    CHECK(one.it->latency().count == 1);
    CHECK(one.it->latency().last == 50ms);
}

TEST_CASE("a ping is timed from when its last byte was written") {
    stuck one;
    ending<std::chrono::nanoseconds> pinged;
    one.it->async_ping(pinged.handler());
    one.run();
    one.pass(5000ms);
    one.let_go();
    one.pass(70ms);
    one.comes(opcode::pong, one.said().back().second);
    CHECK(std::get<0>(pinged.values) == 70ms);
    CHECK(one.it->latency().last == 70ms);
}

TEST_CASE("how long answers take is known from keepalive's Pings, once somebody asks") {
    connection_options options;
    options.timeouts.ping_interval = 10s;
    scripted one{any_role(), options};
    one.open();
    ending<> run;
    one.it->async_run([](const message&) {}, run.handler());
    const auto next_ping = [&] {
        int waited = 0;
        while (one.peer.pending().empty() && waited++ < 100)
            one.pass(250ms);
        REQUIRE(one.said() == said_frames{{9, ""}});
    };
    next_ping();
    one.pass(30ms);
    one.comes(opcode::pong, "");
    CHECK(one.it->latency().count == 0);
    next_ping();
    one.pass(30ms);
    one.comes(opcode::text, "anything first");
    one.pass(10ms);
    one.comes(opcode::pong, "");
    CHECK((one.it->latency() ==
           latency{.last = 40ms, .smoothed = 40ms, .variation = 20ms, .minimum = 40ms, .count = 1}));
    // A Pong that nobody asked for measures nothing.
    one.pass(10ms);
    one.comes(opcode::pong, "");
    CHECK(one.it->latency().count == 1);

    SECTION("not one that was answered while nobody read") {
        next_ping();
        one.it->pause();
        one.comes(opcode::pong, "");
        one.pass(3000ms);
        one.it->resume();
        one.run();
        CHECK(one.it->latency().count == 1);
        next_ping();
        one.pass(20ms);
        one.comes(opcode::pong, "");
        CHECK(one.it->latency().count == 2);
        CHECK(one.it->latency().minimum == 20ms);
    }
    SECTION("nor one that had to wait before it was written, from when it was queued") {
        one.it->stream().capacity(1);
        one.it->send("in the way");
        one.run();
        for (int i = 0; i < 50; ++i)
            one.pass(250ms);
        one.it->stream().capacity(0);
        one.run();
        CHECK(one.said().back().first == 9);
        one.pass(60ms);
        one.comes(opcode::pong, "");
        CHECK(one.it->latency().count == 2);
        CHECK(one.it->latency().last == 60ms);
    }
}

TEST_CASE("over sockets a message goes in pieces, answers are measured and a life ends") {
    connection_options options;
    options.timeouts.life = 1ms;
    socket_fixture<tcp_socket> one;
    one.open();
    ending<> run;
    one.it->async_run([](const message&) {}, run.handler());
    CHECK(accepted(one.it->send_fragment(opcode::text, view("a"), false)));
    CHECK(accepted(one.it->send("b")));
    CHECK(accepted(one.it->send_fragment(opcode::text, view("c"), true)));
    ending<> drained;
    one.it->async_drain(drained.handler());
    run_until(one.io, [&] { return drained.calls != 0; });
    CHECK(one.receive(9) == frame_bytes(role::server, opcode::text, "a", {.fin = false}) +
                                frame_bytes(role::server, opcode::continuation, "c") +
                                frame_bytes(role::server, opcode::text, "b"));
    ending<std::chrono::nanoseconds> pinged;
    one.it->async_ping(pinged.handler());
    one.io.restart();
    one.io.poll();
    const auto ping = one.receive(10);
    one.send(frame_bytes(role::client, opcode::pong, ping.substr(2)));
    run_until(one.io, [&] { return pinged.calls != 0; });
    CHECK(one.it->latency().count == 1);
    CHECK(one.it->latency().last == std::get<0>(pinged.values));

    socket_fixture<tcp_socket> brief{options};
    brief.open();
    ending<> over;
    brief.it->async_run([](const message&) {}, over.handler());
    run_until(brief.io, [&] { return !brief.it->is_open(); });
    brief.io.restart();
    brief.io.poll();
    CHECK(brief.receive(15) == frame_bytes(role::server, opcode::close, close_payload(1001, "end of life")));
    brief.send(frame_bytes(role::client, opcode::close, close_payload(1001)));
    brief.peer.shutdown(asio::socket_base::shutdown_send);
    run_until(brief.io, [&] { return over.calls != 0; });
    REQUIRE(brief.it->result());
    CHECK(brief.it->result()->error == errc::life_timeout);
}
