#include <duplex/net/connection.hpp>

#include "support/any_role.hpp"
#include "support/connected.hpp"

#include <asio/bind_cancellation_slot.hpp>
#include <asio/cancellation_signal.hpp>

#include <algorithm>
#include <chrono>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

using namespace duplex;
using namespace duplex::testing;
using namespace std::chrono_literals;

namespace {

using strings = std::vector<std::string>;

struct all_handlers {
    strings& seen;

    void on_message(const message& m) const { seen.push_back("message " + std::string{m.text()}); }
    void on_ping(std::span<std::byte> payload) const { seen.push_back("ping " + to_octets(payload)); }
    void on_pong(std::span<std::byte> payload) const { seen.push_back("pong " + to_octets(payload)); }
    void on_fragment(const message& m, bool last) const {
        seen.push_back((last ? "last " : "piece ") + std::string{m.text()});
    }
};

std::string pattern(std::size_t size, unsigned seed) {
    std::string made(size, ' ');
    for (std::size_t i = 0; i < size; ++i)
        made[i] = static_cast<char>('a' + (i * 7 + seed * i / 13 + seed) % 26);
    return made;
}

} // namespace

TEST_CASE("a run gives every message to a callable until the peer closes") {
    scripted one{any_role()};
    one.open();
    strings seen;
    ending<> run;
    one.it->async_run([&](const message& m) { seen.emplace_back(m.text()); }, run.handler());
    CHECK(seen.empty());
    one.peer.send(one.frame(opcode::text, "a") + one.frame(opcode::text, "b"));
    one.run();
    one.comes(opcode::binary, "c");
    CHECK(seen == strings{"a", "b", "c"});
    CHECK(run.calls == 0);
    one.comes(opcode::close, close_payload(1000, "done"));
    one.peer.shutdown_send();
    one.run();
    CHECK(run.well());
    REQUIRE(one.it->result());
    CHECK(one.it->result()->was_clean);
    CHECK(one.it->result()->reason == "done");
}

TEST_CASE("a run tells its handlers of pings, pongs and messages in order") {
    scripted one{any_role()};
    one.open();
    strings seen;
    ending<> run;
    one.it->async_run(all_handlers{seen}, run.handler());
    one.peer.send(one.frame(opcode::ping, "1") + one.frame(opcode::text, "2") + one.frame(opcode::pong, "3"));
    one.run();
    CHECK(seen == strings{"ping 1", "message 2", "pong 3"});
    CHECK(one.said() == said_frames{{10, "1"}});
}

TEST_CASE("a run gives fragments as they come where that is asked for") {
    connection_options options;
    options.deliver_fragments = true;
    scripted one{any_role(), options};
    one.open();
    strings seen;
    ending<> run;
    one.it->async_run(all_handlers{seen}, run.handler());
    one.comes(opcode::text, "hel", {.fin = false});
    one.comes(opcode::ping, "mid");
    one.comes(opcode::continuation, "lo");
    CHECK(seen == strings{"piece hel", "ping mid", "last lo"});
}

TEST_CASE("a message stays as it is while its callback runs the context, whatever comes meanwhile") {
    scripted one{any_role()};
    one.open();
    strings seen;
    ending<> run;
    ending<> drained;
    one.it->async_run(
        [&](const message& m) {
            seen.emplace_back(m.text());
            if (seen.size() != 1) return;
            // Each of these makes the connection look at what there is to do.
            auto handle = one.it->handle();
            std::thread{[&] { handle.send("from elsewhere"); }}.join();
            one.comes(opcode::text, "second");
            one.it->async_drain(drained.handler());
            for (int i = 0; i < 10; ++i)
                one.io.poll();
            seen.emplace_back(m.text());
        },
        run.handler());
    one.comes(opcode::text, "first");
    one.run();
    CHECK(seen == strings{"first", "first", "second"});
    CHECK(drained.well());
    CHECK(one.said() == said_frames{{1, "from elsewhere"}});
}

TEST_CASE("the echo of pipelined messages costs one read and one write") {
    scripted one{any_role()};
    one.open();
    ending<> run;
    one.it->async_run([&](const message& m) { one.it->send(m); }, run.handler());
    one.run();
    for (int round = 0; round < 3; ++round) {
        const auto reads = one.it->stream().reads();
        const auto writes = one.it->stream().writes();
        octets bytes;
        said_frames wanted;
        for (int i = 0; i < 100; ++i) {
            bytes += one.frame(opcode::text, "message " + std::to_string(i));
            wanted.emplace_back(1, "message " + std::to_string(i));
        }
        one.peer.send(bytes);
        one.run();
        CHECK(one.it->stream().reads() == reads + 1);
        CHECK(one.it->stream().writes() == writes + 1);
        CHECK(one.said() == wanted);
    }
}

TEST_CASE("large echoes arrive unharmed while the peer is slow to read") {
    scripted one{any_role()};
    one.open();
    one.it->stream().capacity(5000);
    ending<> run;
    one.it->async_run([&](const message& m) { one.it->send(m); }, run.handler());
    octets sent;
    octets echoed;
    for (unsigned i = 0; i < 12; ++i) {
        sent += pattern(20'000 + 1000 * i, i);
        one.comes(opcode::binary, pattern(20'000 + 1000 * i, i));
    }
    octets wire;
    for (octets some; !(some = one.peer.take_pending()).empty(); one.run())
        wire += some;
    const auto frames = read_frames(wire);
    REQUIRE(frames);
    for (const auto& each : *frames)
        echoed += each.payload;
    CHECK(echoed == sent);
}

TEST_CASE("both ends may send more than their watermarks at once") {
    connection_options options;
    options.limits.queue_watermark = 10'000;
    connected_pair pair{options, options};
    pair.open();
    pair.server.stream().capacity(1000);
    pair.client.stream().capacity(1000);
    std::size_t arrived = 0;
    const bool echoes = GENERATE(true, false);
    ending<> server_end;
    ending<> client_end;
    pair.server.async_run(
        [&](const message& m) {
            if (echoes)
                CHECK(accepted(pair.server.send(m)));
            else
                ++arrived;
        },
        server_end.handler());
    pair.client.async_run([&](const message&) { ++arrived; }, client_end.handler());
    inside(pair.io, [&] {
        for (int i = 0; i < 100; ++i) {
            CHECK(accepted(pair.client.send(std::string(1000, 'c'))));
            if (!echoes) CHECK(accepted(pair.server.send(std::string(1000, 's'))));
        }
    });
    pair.run();
    CHECK(arrived == (echoes ? 100 : 200));
    CHECK(pair.client.buffered_amount() == 0);
    CHECK(pair.server.buffered_amount() == 0);
}

TEST_CASE("a server's run reads no faster than its answers leave") {
    connection_options options;
    options.limits.queue_watermark = 10'000;
    scripted one{role::server, options};
    one.open();
    one.it->stream().capacity(1000);
    one.it->stream().read_limit(4096);
    ending<> run;
    one.it->async_run([&](const message& m) { CHECK(accepted(one.it->send(m))); }, run.handler());
    octets bytes;
    for (int i = 0; i < 200; ++i)
        bytes += one.frame(opcode::binary, std::string(1000, static_cast<char>('a' + i % 26)));
    const auto reads = one.it->stream().reads();
    one.peer.send(bytes);
    one.run();
    CHECK(one.it->stream().reads() <= reads + 4);
    CHECK(one.it->buffered_amount() < 20'000);
    CHECK(one.it->stream().pending().size() > 180'000);
    octets wire = one.peer.take_pending();
    std::size_t most = 0;
    for (int quiet = 0; quiet < 3; ++quiet) {
        one.run();
        most = std::max(most, one.it->buffered_amount());
        if (const auto some = one.peer.take_pending(); !some.empty()) {
            wire += some;
            quiet = 0;
        }
    }
    CHECK(most < 20'000);
    const auto frames = read_frames(wire);
    REQUIRE(frames);
    CHECK(frames->size() == 200);
    CHECK(frames->back().payload == std::string(1000, static_cast<char>('a' + 199 % 26)));
    CHECK(one.it->is_open());
}

TEST_CASE("a run ends with the reason for which the connection failed") {
    scripted one{any_role()};
    one.open();
    ending<> run;
    one.it->async_run([](const message&) {}, run.handler());
    SECTION("a broken rule") {
        one.peer.send(one.frame(opcode::continuation, "what"));
        one.run();
        CHECK(run.calls == 0);
        one.peer.shutdown_send();
        one.run();
        CHECK(run.failed_with(errc::unexpected_continuation));
        CHECK(one.said() == said_frames{{8, close_payload(1002)}});
    }
    SECTION("the end of the transport") {
        one.peer.close();
        one.run();
        CHECK(run.failed_with(errc::connection_lost));
    }
    SECTION("abort") {
        one.it->abort();
        one.run();
        CHECK(run.failed_with(errc::aborted));
        CHECK(one.said().empty());
        one.it->abort();
    }
    CHECK(run.calls == 1);
    REQUIRE(one.it->result());
    CHECK(one.it->result()->error == run.error);
    CHECK_FALSE(one.it->stream().is_open());
}

TEST_CASE("a run that is cancelled loses nothing of what came") {
    scripted one{any_role()};
    one.open();
    asio::cancellation_signal signal;
    const bool from_inside = GENERATE(values({0, 1})) == 1;
    strings seen;
    ending<> run;
    one.it->async_run(
        [&](const message& m) {
            seen.emplace_back(m.text());
            if (from_inside && m.text() == "b") {
                signal.emit(asio::cancellation_type::terminal);
                // Once is enough: the second one finds nothing to stop.
                signal.emit(asio::cancellation_type::terminal);
                CHECK(run.calls == 0);
                // The view is still good.
                CHECK(m.text() == "b");
                one.it->send(m);
            }
        },
        asio::bind_cancellation_slot(signal.slot(), run.handler()));
    one.peer.send(one.frame(opcode::text, "a") + one.frame(opcode::text, "b") + one.frame(opcode::text, "c"));
    if (!from_inside) {
        signal.emit(asio::cancellation_type::terminal);
        one.run();
    }
    one.run();
    CHECK(run.failed_with(asio::error::operation_aborted));
    CHECK(seen == (from_inside ? strings{"a", "b"} : strings{}));
    one.comes(opcode::text, "d");
    strings rest;
    while (rest.empty() || rest.back() != "d") {
        read_ending read;
        one.it->async_read(read.handler());
        one.run();
        REQUIRE(read.well());
        rest.push_back(read.text());
    }
    CHECK(rest == (from_inside ? strings{"c", "d"} : strings{"a", "b", "c", "d"}));
    CHECK(one.said() == (from_inside ? said_frames{{1, "b"}} : said_frames{}));
}

TEST_CASE("a callback may end its run and start the next reader at once") {
    scripted one{any_role()};
    one.open();
    asio::cancellation_signal signal;
    ending<> run;
    read_ending next;
    const auto then = GENERATE(values({0, 1, 2, 3}));
    CAPTURE(then);
    one.it->async_run(
        [&](const message&) {
            signal.emit(asio::cancellation_type::terminal);
            one.it->async_read(next.handler());
            if (then == 1) one.it->abort();
            if (then == 2) one.it.reset();
            if (then == 3) throw std::runtime_error{"callback"};
        },
        asio::bind_cancellation_slot(signal.slot(), run.handler()));
    one.peer.send(one.frame(opcode::text, "a") + one.frame(opcode::text, "b"));
    if (then == 3) CHECK_THROWS(one.run());
    one.run();
    one.peer.shutdown_send();
    one.run();
    CHECK(run.failed_with(asio::error::operation_aborted));
    CHECK(next.calls == 1);
    if (then == 0) CHECK(next.text() == "b");
    if (then == 1 || then == 2) CHECK(next.error == errc::aborted);
    if (then == 3) CHECK(next.error == errc::callback_threw);
}

TEST_CASE("a callback that throws takes its connection with it and nothing else") {
    scripted one{any_role()};
    one.open();
    ending<> run;
    int calls = 0;
    one.it->async_run(
        [&](const message&) {
            ++calls;
            throw std::runtime_error{"callback"};
        },
        run.handler());
    one.peer.send(one.frame(opcode::text, "a") + one.frame(opcode::text, "b"));
    CHECK_THROWS_AS(one.run(), std::runtime_error);
    one.run();
    CHECK(calls == 1);
    CHECK(one.said() == said_frames{{8, close_payload(1011)}});
    CHECK_FALSE(one.it->is_open());
    one.peer.shutdown_send();
    one.run();
    CHECK(run.failed_with(errc::callback_threw));
    CHECK(calls == 1);
}

TEST_CASE("what is asked for between an exception and the end it brings is told of it") {
    scripted one{any_role()};
    one.open();
    asio::cancellation_signal signal;
    ending<> run;
    one.it->async_run(
        [&](const message&) {
            signal.emit(asio::cancellation_type::terminal);
            throw std::runtime_error{"callback"};
        },
        asio::bind_cancellation_slot(signal.slot(), run.handler()));
    one.peer.send(one.frame(opcode::text, "a"));
    CHECK_THROWS_AS(one.run(), std::runtime_error);
    ending<message> read;
    one.it->async_read(read.handler());
    one.run();
    CHECK(run.failed_with(asio::error::operation_aborted));
    CHECK(read.failed_with(errc::callback_threw));
    CHECK(one.said() == said_frames{{8, close_payload(1011)}});
}

TEST_CASE("a callback may destroy its connection") {
    scripted one{any_role()};
    one.open();
    ending<> run;
    const bool and_throw = GENERATE(values({0, 1})) == 1;
    strings seen;
    one.it->async_run(
        [&](const message& m) {
            one.it->send("farewell");
            one.it.reset();
            seen.emplace_back(m.text());
            if (and_throw) throw std::runtime_error{"callback"};
        },
        run.handler());
    one.peer.send(one.frame(opcode::text, "a") + one.frame(opcode::text, "b"));
    if (and_throw) CHECK_THROWS_AS(one.run(), std::runtime_error);
    one.run();
    CHECK(run.failed_with(errc::aborted));
    CHECK(seen == strings{"a"});
    CHECK(one.said() == said_frames{{1, "farewell"}, {8, close_payload(1001)}});
}

TEST_CASE("a callback may close its connection and sees what still comes") {
    scripted one{any_role()};
    one.open();
    ending<> run;
    ending<> closed;
    strings seen;
    one.it->async_run(
        [&](const message& m) {
            seen.emplace_back(m.text());
            if (m.text() == "a") {
                one.it->send("last");
                one.it->async_close(close_code::normal, "enough", closed.handler());
                CHECK(one.it->send("too late") == send_status::not_open);
            }
        },
        run.handler());
    one.peer.send(one.frame(opcode::text, "a") + one.frame(opcode::text, "b"));
    one.run();
    CHECK(seen == strings{"a", "b"});
    CHECK(one.said() == said_frames{{1, "last"}, {8, close_payload(1000, "enough")}});
    one.comes(opcode::close, close_payload(1000));
    one.peer.shutdown_send();
    one.run();
    CHECK(run.well());
    CHECK(closed.well());
}
