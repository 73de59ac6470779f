#include <duplex/net/observe.hpp>

#include "support/connected.hpp"
#include "support/seen_event.hpp"

#include <duplex/protocol/replay.hpp>

#include <chrono>
#include <map>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

using namespace duplex;
using namespace duplex::testing;
using namespace std::chrono_literals;

namespace {

using lines = std::vector<std::string>;

connection_options tracing_to(lines& told) {
    auto options = without_deadlines();
    options.observer = trace_frames([&told](const traced_frame& frame) { told.push_back(to_string(frame)); });
    return options;
}

/// Captures of all connections, by their numbers.
using captures = std::map<std::uint64_t, octets>;
wire_observer recording_to(captures& all) {
    return record_wire([&all](const wire_start& start) -> capture_sink {
        return [&to = all[start.number]](std::span<const std::byte> bytes) { to += to_octets(bytes); };
    });
}

/// Runs, echoes, and keeps what it saw as a session tells it.
struct echoing_run {
    memory_connection& it;
    std::vector<seen_event>& seen;
    void on_message(const duplex::message& m) const {
        seen.push_back({.what = event::kind::message, .op = m.op(), .payload = octets{m.text()}});
        CHECK(accepted(it.send(m)));
    }
    void on_ping(std::span<std::byte> payload) const { seen.push_back(ping(to_octets(payload))); }
    void on_pong(std::span<std::byte> payload) const { seen.push_back(pong(to_octets(payload))); }
};

/// What a replay of an echo sees of what a run is told.
std::vector<seen_event> played(const octets& capture, replayed& result) {
    std::vector<seen_event> seen;
    result = replay(view(capture), [&](session& s, const event& e) {
        if (e.what != event::kind::closed && e.what != event::kind::failed) seen.push_back(see(e));
        if (e.what == event::kind::message) (void)s.send(e.op, e.payload);
    });
    return seen;
}

} // namespace

TEST_CASE("a connection shows its frames on both sides, in order") {
    lines server;
    lines client;
    connected_pair pair{tracing_to(server), tracing_to(client)};
    pair.open();
    std::vector<seen_event> seen;
    ending<> ended;
    ending<> client_ended;
    pair.server.async_run(echoing_run{pair.server, seen}, ended.handler());
    pair.client.async_run([](const duplex::message&) {}, client_ended.handler());
    CHECK(accepted(pair.client.send("Hello")));
    CHECK(accepted(pair.client.ping(view("?"))));
    pair.run();
    CHECK(accepted(pair.server.send(prepared_message::text("to all"))));
    CHECK_FALSE(pair.client.close(close_code::normal, "bye"));
    pair.run();
    CHECK(ended.well());
    CHECK(server == lines{"in  ping fin masked 1 3f", "in  text fin masked 5 \"Hello\"", "out pong fin 1 3f",
                          "out text fin 5 \"Hello\"", "out text fin 6 \"to all\"",
                          "in  close fin masked 5 code 1000 \"bye\"", "out close fin 2 code 1000"});
    REQUIRE(client.size() == server.size());
    CHECK(client[0] == "out ping fin masked 1 3f");
    CHECK(client.back() == "in  close fin 2 code 1000");
}

TEST_CASE("bytes that come right behind the handshake are shown") {
    lines told;
    scripted one{role::server, tracing_to(told)};
    ending<> opened;
    one.peer.send(std::string{plain_request} + one.frame(opcode::text, "early"));
    one.it->async_accept(opened.handler());
    one.run();
    REQUIRE(opened.well());
    read_ending read;
    one.it->async_read(read.handler());
    one.run();
    CHECK(read.text() == "early");
    CHECK(told == lines{"in  text fin masked 5 \"early\""});
    CHECK(one.it->counters().bytes_in == 11);
}

TEST_CASE("what a read leaves for the next is shown and counted once") {
    lines told;
    scripted one{role::server, tracing_to(told)};
    one.open();
    read_ending first;
    one.it->async_read(first.handler());
    one.peer.send(one.frame(opcode::text, "1") + one.frame(opcode::text, "2") + one.frame(opcode::text, "3"));
    one.run();
    REQUIRE(first.well());
    CHECK(told.size() == 3);
    read_ending second;
    one.it->async_read(second.handler());
    one.run();
    CHECK(second.text() == "2");
    CHECK(one.it->try_read()->text() == "3");
    CHECK(told.size() == 3);
    CHECK(one.it->counters().messages_in == 3);
    CHECK(one.it->counters().bytes_in == 21);
}

TEST_CASE("an observer that throws, or gives nothing, leaves the connection alone") {
    auto options = without_deadlines();
    SECTION("no tap") {
        options.observer = [](const wire_start&) -> std::unique_ptr<wire_tap> { return nullptr; };
    }
    SECTION("it throws") {
        options.observer = [](const wire_start&) -> std::unique_ptr<wire_tap> {
            throw std::runtime_error{"no"};
        };
    }
    SECTION("its callback throws") {
        options.observer = trace_frames([](const traced_frame&) { throw std::runtime_error{"no"}; });
    }
    SECTION("no callback") { options.observer = trace_frames({}); }
    SECTION("no place for a capture") {
        options.observer = record_wire([](const wire_start&) { return capture_sink{}; });
    }
    SECTION("neither of two") { options.observer = observe_both({}, {}); }
    scripted one{role::server, options};
    one.open();
    read_ending read;
    one.it->async_read(read.handler());
    one.comes(opcode::text, "on");
    CHECK(read.text() == "on");
    CHECK(accepted(one.it->send("and on")));
    one.run();
    CHECK(one.said() == said_frames{{1, "and on"}});
}

TEST_CASE("a callback that throws hears no more of that connection") {
    int calls = 0;
    auto options = without_deadlines();
    options.observer = trace_frames([&](const traced_frame&) {
        ++calls;
        throw std::runtime_error{"no"};
    });
    scripted one{role::server, options};
    one.open();
    ending<> run;
    one.it->async_run([](const duplex::message&) {}, run.handler());
    one.comes(opcode::text, "1");
    one.comes(opcode::text, "2");
    CHECK(calls == 1);
}

TEST_CASE("a recorded connection plays again: the same events, and the same bytes") {
    captures recorded;
    lines traced;
    connection_options options;
    options.timeouts.ping_interval = 30s;
    options.observer = observe_both(recording_to(recorded), tracing_to(traced).observer);
    scripted one{role::server, options};
    one.open();
    std::vector<seen_event> live;
    ending<> run;
    one.it->async_run(echoing_run{*one.it, live}, run.handler());
    one.comes(opcode::text, "one");
    one.comes(opcode::text, "f", {.fin = false});
    one.comes(opcode::ping, "between");
    one.comes(opcode::continuation, "g");
    const octets large = one.frame(opcode::binary, octets(100'000, 'b'));
    one.peer.send(large.substr(0, 30'001));
    one.run();
    one.peer.send(large.substr(30'001));
    one.run();
    octets out = one.peer.take_pending();
    one.pass(31s);
    one.comes(opcode::pong, "");
    one.peer.send(one.frame(opcode::text, "last") + one.frame(opcode::text, "\xff") +
                  one.frame(opcode::text, "x"));
    one.run();
    one.peer.shutdown_send();
    one.run();
    CHECK(run.failed_with(errc::invalid_utf8));
    out += one.peer.take_pending();

    REQUIRE(recorded.size() == 1);
    replayed result;
    CHECK((played(recorded.begin()->second, result) == live));
    CHECK((result.error == capture_error::none));
    CHECK(result.same_output());
    CHECK((to_octets(result.output.bytes()) == out));
    CHECK_FALSE(traced.empty());
}

TEST_CASE("both ends of a recorded conversation play again") {
    captures recorded;
    connection_options options;
    options.observer = recording_to(recorded);
    connected_pair pair{options, options};
    pair.open();
    std::vector<seen_event> seen;
    ending<> ended;
    ending<> client_ended;
    std::vector<seen_event> heard;
    pair.server.async_run(echoing_run{pair.server, seen}, ended.handler());
    const auto hear = [&](const duplex::message& m) { heard.push_back(testing::message(m.text())); };
    pair.client.async_run(hear, client_ended.handler());
    for (const char* each : {"one", "two", "three"}) {
        CHECK(accepted(pair.client.send(each)));
        pair.run();
    }
    REQUIRE(recorded.size() == 2);
    for (const auto& [number, capture] : recorded) {
        const auto self = capture_reader{view(capture)}.start().self;
        replayed result;
        if (self == role::server) {
            CHECK((played(capture, result) == seen));
            CHECK(result.same_output());
        } else {
            // What the application sent of its own accord it has to send again.
            std::vector<seen_event> again;
            result = replay(view(capture), [&](session&, const event& e) { again.push_back(see(e)); });
            CHECK((again == heard));
            CHECK(to_octets(result.recorded.bytes()).substr(6, 3) == "one");
        }
        CHECK((result.error == capture_error::none));
    }
}

TEST_CASE("counters of a connection go on behind its end") {
    connected_pair pair;
    CHECK(pair.server.counters() == session_counters{});
    pair.open();
    std::vector<seen_event> seen;
    ending<> ended;
    ending<> client_ended;
    pair.server.async_run(echoing_run{pair.server, seen}, ended.handler());
    pair.client.async_run([](const duplex::message&) {}, client_ended.handler());
    for (int i = 0; i < 5; ++i)
        CHECK(accepted(pair.client.send("Hello")));
    pair.run();
    CHECK_FALSE(pair.client.close());
    pair.run();
    CHECK(ended.well());
    const auto server = pair.server.counters();
    const auto client = pair.client.counters();
    CHECK(server.messages_in == 5);
    CHECK(server.messages_out == 5);
    CHECK(server.frames_in == 6);
    CHECK(server.bytes_in == 5 * 11 + 8);
    CHECK(server.bytes_out == 5 * 7 + 4);
    CHECK(server.closes_in == 1);
    CHECK(server.closes_out == 1);
    CHECK(client.bytes_in == server.bytes_out);
    CHECK(client.bytes_out == server.bytes_in);
    CHECK(client.frames_in == server.frames_out);
}
