#include <duplex/websocket.hpp>

#include "support/reconnecting.hpp"
#include "support/wire.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace {

using namespace duplex;
using namespace duplex::testing;
using namespace std::chrono_literals;

/// A client that has lost its first connection and waits.
struct waiting_fixture : reconnecting_fixture {
    explicit waiting_fixture(const connect_options& options = each_second())
        : client{io, host.url(), options} {
        host.open();
        until(client, "open");
        host.peer().drop();
        until(client, "again 1");
    }
    lasting client;
};

[[nodiscard]] connect_options keeping() { return each_second({.keep_queue = true}); }

/// The payloads of the frames that have come to the host's latest peer.
[[nodiscard]] std::vector<std::string> payloads(raw_host& host) {
    auto frames = read_frames(host.peer().received());
    std::vector<std::string> all;
    if (frames)
        for (auto& each : *frames)
            all.push_back(each.payload);
    return all;
}

TEST_CASE("closing while it waits ends it at once", "[reconnect]") {
    waiting_fixture it;
    CHECK_FALSE(it.client.socket->close(1000));
    CHECK(it.client.socket->ready_state() == ready_state::closing);
    it.settle();
    CHECK(it.client.seen == history{"open", "again 1", "error", "close 1006"});
    CHECK(it.client.error == errc::aborted);
    CHECK(it.client.socket->ready_state() == ready_state::closed);
    it.advance(1h);
    CHECK(it.host.count() == 1);
    CHECK(it.client.seen.size() == 4);
}

TEST_CASE("closing when the wait is just over ends it as well", "[reconnect]") {
    waiting_fixture it;
    const bool destroyed = GENERATE(false, true);
    // The attempt is posted, and has not begun.
    it.time.advance(1250ms);
    if (destroyed)
        it.client.socket.reset();
    else
        CHECK_FALSE(it.client.socket->close(1000));
    it.settle();
    it.advance(1h);
    CHECK(it.host.count() == 1);
    CHECK(it.client.seen ==
          (destroyed ? history{"open", "again 1"} : history{"open", "again 1", "error", "close 1006"}));
}

TEST_CASE("closing in any state of the second attempt ends it", "[reconnect]") {
    waiting_fixture it;
    it.time.advance(1250ms);
    SECTION("while it connects") {
        run_until(it.io, [&] { return it.host.count() == 2; });
    }
    SECTION("while the answer is awaited") { REQUIRE_FALSE(it.host.await_request().empty()); }
    SECTION("when the answer is on its way") { it.host.open(); }
    CHECK_FALSE(it.client.socket->close(1000));
    run_until(it.io, [&] { return it.client.closed(); });
    CHECK(it.client.seen == history{"open", "again 1", "error", "close 1006"});
    CHECK(it.client.error == errc::aborted);
    it.advance(1h);
    CHECK(it.host.count() == 2);
}

TEST_CASE("a loss while it closes is the end", "[reconnect]") {
    reconnecting_fixture it;
    lasting client{it.io, it.host.url()};
    it.host.open();
    it.until(client, "open");
    CHECK_FALSE(client.socket->close(1000));
    it.host.peer().drop();
    run_until(it.io, [&] { return client.closed(); });
    CHECK(client.seen == history{"open", "error", "close 1006"});
    CHECK(client.attempts.empty());
}

TEST_CASE("may be closed while it is told of an attempt", "[reconnect]") {
    reconnecting_fixture it;
    lasting client{it.io, it.host.url()};
    const bool gives_up = GENERATE(false, true);
    client.then_again = [&](reconnect_event& e) {
        CHECK_FALSE(client.socket->close(1000));
        e.give_up = gives_up;
    };
    it.host.refuse("503 x");
    run_until(it.io, [&] { return client.closed(); });
    CHECK(client.seen == history{"again 1", "error", "close 1006"});
    CHECK(client.error == (gives_up ? errc::upgrade_refused : errc::aborted));
    it.advance(1h);
    CHECK(it.host.count() == 1);
    CHECK(client.seen.size() == 3);
}

TEST_CASE("may be destroyed while it waits", "[reconnect]") {
    auto it = std::make_unique<waiting_fixture>(keeping());
    it->client.socket->send("kept");
    it->client.socket.reset();
    SECTION("and the context runs on") {
        it->advance(1h);
        CHECK(it->host.count() == 1);
    }
    SECTION("and the context goes, too") {}
    CHECK(it->client.seen == history{"open", "again 1"});
}

TEST_CASE("may be destroyed in each of its callbacks while it comes again", "[reconnect]") {
    reconnecting_fixture it;
    lasting client{it.io, it.host.url(), each_second({.backoff = {.attempts = 1}, .keep_queue = true})};
    const auto destroy = [&] { client.socket.reset(); };
    client.socket->send("kept");
    history expected;
    SECTION("before an attempt") {
        client.then_again = [&](reconnect_event& e) {
            destroy();
            // What it was given is the callback's to the end.
            e.url = "ws://elsewhere/";
            e.options.headers = {{"X", "y"}};
            CHECK(e.cause.response->status == 503);
        };
        expected = {"again 1"};
    }
    SECTION("in the second opening") {
        client.then_open = destroy;
        expected = {"again 1", "open"};
    }
    SECTION("by the last error") {
        client.then_error = destroy;
        expected = {"again 1", "open", "error"};
    }
    SECTION("by the last close") {
        client.then_close = destroy;
        expected = {"again 1", "open", "error", "close 1006"};
    }
    it.host.refuse("503 x");
    it.until(client, "again 1");
    it.pass();
    if (expected.size() > 1) {
        it.host.open();
        it.until(client, "open");
        it.host.peer().drop();
        run_until(it.io, [&] { return client.seen.size() >= expected.size(); });
    }
    it.advance(1h);
    CHECK(client.seen == expected);
    CHECK_FALSE(client.socket);
}

TEST_CASE("what leaves on_reconnect ends it", "[reconnect]") {
    reconnecting_fixture it;
    lasting client{it.io, it.host.url()};
    const bool destroyed = GENERATE(false, true);
    client.then_again = [&](reconnect_event&) {
        if (destroyed) client.socket.reset();
        throw std::runtime_error{"mine"};
    };
    it.host.refuse("503 x");
    CHECK_THROWS_AS(run_out(it.io), std::runtime_error);
    CHECK(client.seen == history{"again 1"});
    it.settle();
    it.advance(1h);
    CHECK(client.seen == (destroyed ? history{"again 1"} : history{"again 1", "error", "close 1006"}));
    if (!destroyed) CHECK(client.error == errc::callback_threw);
    CHECK(it.host.count() == 1);
}

TEST_CASE("what is sent without a connection is kept where that is asked for", "[reconnect]") {
    reconnecting_fixture it;
    lasting client{it.io, it.host.url(), keeping()};
    auto& socket = *client.socket;
    client.then_open = [&] { CHECK(socket.send("login") == send_status::ok); };
    CHECK(socket.send("first") == send_status::ok);
    CHECK(socket.send(view("second")) == send_status::ok);
    CHECK(socket.send("") == send_status::ok);
    CHECK(socket.send("\xff") == send_status::text_not_utf8);
    CHECK(socket.buffered_amount() == 6 + 5 + 6 + 6 + 6);
    it.host.open();
    run_until(it.io, [&] { return payloads(it.host).size() == 4; });
    CHECK(payloads(it.host) == std::vector<std::string>{"login", "first", "second", ""});
    auto frames = *read_frames(it.host.peer().take());
    CHECK(frames[1].op == 1);
    CHECK(frames[2].op == 2);
    CHECK(frames[3].masked);
    CHECK(socket.buffered_amount() == 0);

    it.host.peer().drop();
    it.until(client, "again 1");
    CHECK(socket.send("third") == send_status::ok);
    it.pass();
    CHECK(socket.send("fourth") == send_status::ok);
    it.host.open();
    run_until(it.io, [&] { return payloads(it.host).size() == 3; });
    // What a connection had taken is not sent again.
    CHECK(payloads(it.host) == std::vector<std::string>{"login", "third", "fourth"});
    CHECK(socket.send("then") == send_status::ok);
    run_until(it.io, [&] { return payloads(it.host).size() == 4; });
}

TEST_CASE("what another thread sends while it opens goes behind what was kept", "[reconnect]") {
    reconnecting_fixture it;
    lasting client{it.io, it.host.url(), keeping()};
    CHECK(client.socket->send("first") == send_status::ok);
    client.then_open = [&] {
        std::thread{[&] { client.socket->send("second"); }}.join();
        client.socket->send("login");
    };
    it.host.open();
    run_until(it.io, [&] { return payloads(it.host).size() == 3; });
    CHECK(payloads(it.host) == std::vector<std::string>{"login", "first", "second"});
}

TEST_CASE("text that need not be checked is kept as it is", "[reconnect]") {
    reconnecting_fixture it;
    auto options = keeping();
    options.connection.check_outgoing_text = false;
    lasting client{it.io, it.host.url(), options};
    CHECK(client.socket->send("\xff") == send_status::ok);
    it.host.open();
    run_until(it.io, [&] { return payloads(it.host).size() == 1; });
    CHECK(payloads(it.host) == std::vector<std::string>{"\xff"});
}

TEST_CASE("no more is kept than the queue's limit", "[reconnect]") {
    reconnecting_fixture it;
    auto options = keeping();
    options.connection.limits.queue_bytes = 100;
    options.connection.limits.queue_watermark = 50;
    lasting client{it.io, it.host.url(), options};
    auto& socket = *client.socket;
    std::vector<std::string> expected;
    SECTION("of several messages") {
        CHECK(socket.send(std::string(44, 'a')) == send_status::ok);
        CHECK(socket.send(std::string(38, 'b')) == send_status::above_watermark);
        CHECK(socket.send("x") == send_status::queue_full);
        CHECK(socket.send("") == send_status::above_watermark);
        CHECK(socket.send("") == send_status::queue_full);
        CHECK(socket.buffered_amount() == 100);
        expected = {std::string(44, 'a'), std::string(38, 'b'), ""};
    }
    SECTION("but one is always kept") {
        CHECK(socket.send(std::string(1000, 'a')) == send_status::above_watermark);
        CHECK(socket.send("") == send_status::queue_full);
        expected = {std::string(1000, 'a')};
    }
    it.host.open();
    run_until(it.io, [&] { return payloads(it.host).size() == expected.size(); });
    CHECK(payloads(it.host) == expected);
    it.settle();
    CHECK(socket.buffered_amount() == 0);
    CHECK(socket.send("more") == send_status::ok);
    run_until(it.io, [&] { return payloads(it.host).size() == expected.size() + 1; });
}

TEST_CASE("much that was kept goes out piece by piece, and nothing overtakes it", "[reconnect]") {
    reconnecting_fixture it;
    auto options = keeping();
    options.connection.limits.queue_watermark = 1 << 16;
    lasting client{it.io, it.host.url(), options};
    auto& socket = *client.socket;
    constexpr std::size_t count = 256;
    const std::string padding(1 << 15, 'x');
    for (std::size_t i = 0; i < count; ++i)
        REQUIRE(accepted(socket.send(std::to_string(i) + padding)));
    client.then_message = [&](const message&) { CHECK(accepted(socket.send("answer"))); };
    const auto request = it.host.await_request();
    it.host.peer().send(acceptance_of(request) + frame_bytes(role::server, opcode::text, "question"));
    it.until(client, "message question");
    CHECK(socket.send("last") == send_status::above_watermark);
    // Closing waits for all of it.
    CHECK_FALSE(socket.close(1000));
    std::size_t size = 6 + 6 + 6 + 4 + 8;
    for (std::size_t i = 0; i < count; ++i)
        size += 8 + std::to_string(i).size() + padding.size();
    run_until(it.io, [&] { return it.host.peer().received().size() >= size; });
    const auto all = payloads(it.host);
    REQUIRE(all.size() == count + 3);
    for (std::size_t i = 0; i < count; ++i)
        REQUIRE(all[i] == std::to_string(i) + padding);
    CHECK(all[count] == "answer");
    CHECK(all[count + 1] == "last");
    CHECK(all[count + 2] == close_payload(1000));
}

TEST_CASE("what a lost connection had not been given stays for the next", "[reconnect]") {
    reconnecting_fixture it;
    auto options = keeping();
    options.connection.limits.queue_watermark = 0;
    lasting client{it.io, it.host.url(), options};
    auto& socket = *client.socket;
    // Far more than a socket's buffers take: the second message waits.
    const std::string large(std::size_t{24} << 20, 'x');
    CHECK(accepted(socket.send(large)));
    CHECK(accepted(socket.send("second")));
    const auto request = it.host.await_request();
    it.host.peer().send(acceptance_of(request));
    it.until(client, "open");
    it.host.peer().reset();
    it.until(client, "again 1");
    CHECK(socket.buffered_amount() == 12);
    it.pass();
    it.host.open();
    run_until(it.io, [&] { return payloads(it.host).size() == 1; });
    CHECK(payloads(it.host) == std::vector<std::string>{"second"});
}

TEST_CASE("what is sent while the server closes is kept", "[reconnect]") {
    reconnecting_fixture it;
    lasting client{it.io, it.host.url(), keeping()};
    it.host.open();
    it.until(client, "open");
    it.host.peer().send(frame_bytes(role::server, opcode::close, close_payload(1001)));
    run_until(it.io, [&] { return client.socket->ready_state() == ready_state::closing; });
    CHECK(client.socket->send("kept") == send_status::ok);
    it.host.peer().shutdown_send();
    it.until(client, "again 1");
    it.pass();
    it.host.open();
    run_until(it.io, [&] { return payloads(it.host).size() == 1; });
    CHECK(payloads(it.host) == std::vector<std::string>{"kept"});
}

TEST_CASE("kept messages come out as they went in, whenever they are taken", "[reconnect]") {
    detail::kept_messages kept{limits{}, true};
    std::size_t in = 0;
    std::size_t out = 0;
    const auto text = [](std::size_t n) { return std::string(n % 300, 'x') + std::to_string(n); };
    const auto how = [](std::size_t n) { return n % 2 == 0 ? compression::none : compression::automatic; };
    for (int round = 0; round < 50; ++round) {
        for (int i = 0; i < round % 7 + 3; ++i, ++in)
            REQUIRE(kept.keep(opcode::text, view(text(in)), how(in), 0) == send_status::ok);
        for (int i = 0; i < round % 5 + 3 && !kept.empty(); ++i) {
            REQUIRE(std::ranges::equal(kept.front().payload, view(text(out))));
            REQUIRE(kept.front().how == how(out++));
            kept.pop();
        }
    }
    std::size_t bytes = 0;
    for (std::size_t n = out; n < in; ++n)
        bytes += frame_header_size(text(n).size(), true) + text(n).size();
    CHECK(kept.bytes() == bytes);
    // What another queue has yet to send counts.
    CHECK(kept.keep(opcode::binary, {}, compression::automatic, limits{}.queue_bytes) ==
          send_status::queue_full);
    CHECK(kept.keep(opcode::binary, {}, compression::automatic, limits{}.queue_watermark) ==
          send_status::above_watermark);
    kept.clear();
    CHECK(kept.empty());
    CHECK(kept.bytes() == 0);
    CHECK(kept.keep(opcode::binary, {}, compression::automatic, limits{}.queue_bytes) ==
          send_status::queue_full);
}

TEST_CASE("what is kept goes with the end", "[reconnect]") {
    waiting_fixture it{keeping()};
    auto& socket = *it.client.socket;
    CHECK(socket.send("kept") == send_status::ok);
    CHECK_FALSE(socket.close());
    CHECK(socket.send("late") == send_status::not_open);
    it.settle();
    CHECK(socket.buffered_amount() == 0);
    CHECK(socket.send("late") == send_status::not_open);
}

TEST_CASE("sends from many threads are kept in their order while connections come and go", "[reconnect]") {
    constexpr int senders = 3;
    constexpr int each = 300;
    asio::io_context server_io;
    server other{server_io};
    std::array<int, senders> next{};
    bool in_order = true;
    other.on_message = [&](auto& peer, const message& m) {
        const auto text = std::string{m.text()};
        auto& expected = next.at(static_cast<std::size_t>(text.at(0) - 'a'));
        const int number = std::stoi(text.substr(1));
        // Some go with a connection that is lost; none overtakes another.
        in_order = in_order && number >= expected;
        expected = number + 1;
        if (number % 50 == 49 && number != each - 1) peer.close(close_code::going_away);
    };
    other.start();
    asio::io_context io;
    auto options = keeping();
    options.reconnect->backoff = {.initial = 1ms, .most = 1ms, .least = 0ms};
    websocket socket{io};
    socket.on_reconnect = [](reconnect_event& e) { e.delay = 0ms; };
    int closes = 0;
    socket.on_close = [&](const close_event&) {
        ++closes;
        other.stop();
    };
    REQUIRE_FALSE(socket.open(url_of(other), {}, options));
    std::vector<std::thread> threads;
    threads.emplace_back([&] { server_io.run(); });
    for (int i = 0; i < 2; ++i)
        threads.emplace_back([&] { io.run(); });
    std::atomic<int> finished{0};
    for (int i = 0; i < senders; ++i)
        threads.emplace_back([&, who = static_cast<char>('a' + i)] {
            for (int n = 0; n < each; ++n) {
                while (!accepted(socket.send(who + std::to_string(n))))
                    std::this_thread::yield();
                (void)socket.buffered_amount();
                (void)socket.ready_state();
                (void)socket.openings();
                (void)socket.url();
            }
            if (++finished == senders) socket.close(1000);
        });
    for (auto& thread : threads)
        thread.join();
    CHECK(in_order);
    CHECK(closes == 1);
    CHECK(socket.ready_state() == ready_state::closed);
}

TEST_CASE("closing or destroying from another thread while it comes again ends it", "[reconnect]") {
    for (int round = 0; round < 60; ++round) {
        asio::io_context server_io;
        server other{server_io};
        // No connection stays.
        other.on_open = [](auto& peer) { peer.close(close_code::going_away); };
        other.start();
        asio::io_context io;
        auto socket = std::make_unique<websocket>(io);
        std::atomic<int> attempts{0};
        int closes = 0;
        socket->on_reconnect = [&](reconnect_event& e) {
            e.delay = round % 3 == 0 ? 1h : 0ms;
            ++attempts;
        };
        socket->on_close = [&](const close_event&) { ++closes; };
        REQUIRE_FALSE(socket->open(url_of(other), {}, keeping()));
        std::thread serving{[&] { server_io.run(); }};
        std::vector<std::thread> running;
        for (int i = 0; i < 2; ++i)
            running.emplace_back([&] { io.run(); });
        while (attempts == 0)
            std::this_thread::yield();
        for (int i = 0; i < round * 20; ++i)
            std::this_thread::yield();
        const bool destroyed = round % 2 == 0;
        if (destroyed)
            socket.reset();
        else
            CHECK_FALSE(socket->close(1000));
        // Nothing keeps the context busy any more, whatever the wait was.
        for (auto& each : running)
            each.join();
        other.stop();
        serving.join();
        CHECK(closes == (destroyed ? 0 : 1));
    }
}

} // namespace
