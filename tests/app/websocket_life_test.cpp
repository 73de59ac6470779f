#include <duplex/websocket.hpp>

#include "support/loopback.hpp"
#include "support/wire.hpp"

#include <duplex/test/manual_time.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace {

using namespace duplex;
using namespace duplex::testing;
using namespace std::chrono_literals;

TEST_CASE("a websocket may be destroyed in each of its callbacks") {
    asio::io_context io;
    raw_server server{io};
    watched client{io, server.url()};
    const auto destroy = [&] { client.socket.reset(); };
    history expected;
    bool refuse = false;
    SECTION("open") {
        client.then_open = destroy;
        expected = {"open"};
    }
    SECTION("message") {
        client.then_message = [&](const message& m) {
            destroy();
            // The message is the callback's to the end.
            CHECK(m.text() == "first");
        };
        expected = {"open", "message first"};
    }
    SECTION("error") {
        client.then_error = destroy;
        refuse = true;
        expected = {"error"};
    }
    SECTION("close") {
        client.then_close = destroy;
        refuse = true;
        expected = {"error", "close 1006"};
    }
    const auto request = server.await_request(io);
    server.peer().send(refuse ? "HTTP/1.1 500 x\r\nContent-Length: 0\r\n\r\n"
                              : acceptance_of(request) + frame_bytes(role::server, opcode::text, "first") +
                                    frame_bytes(role::server, opcode::text, "second"));
    run_until(io, [&] { return server.peer().ended() && client.seen.size() >= expected.size(); });
    CHECK(client.seen == expected);
    if (!refuse) {
        // The server hears that the client went.
        const auto frames = read_frames(server.peer().take());
        REQUIRE(frames.has_value());
        REQUIRE(frames->size() == 1);
        CHECK(frames->front().payload == close_payload(1001));
    }
    server.peer().drop();
    run_out(io);
    CHECK(client.seen == expected);
}

TEST_CASE("may be destroyed at any moment from outside") {
    asio::io_context io;
    raw_server server{io};
    watched client{io, server.url()};
    SECTION("before anything was done") {}
    SECTION("while the name is resolved") { io.run_one(); }
    SECTION("while the answer is awaited") { REQUIRE_FALSE(server.await_request(io).empty()); }
    SECTION("when the answer is on its way") { server.open(io); }
    SECTION("open") {
        server.open(io);
        run_until(io, [&] { return client.saw("open"); });
    }
    SECTION("with much to send") {
        server.open(io);
        run_until(io, [&] { return client.saw("open"); });
        client.socket->send(std::string(8 << 20, 'x'));
    }
    SECTION("closing") {
        server.open(io);
        run_until(io, [&] { return client.saw("open"); });
        client.socket->close(1000);
    }
    SECTION("closing, the Close sent") {
        server.open(io);
        run_until(io, [&] { return client.saw("open"); });
        client.socket->close(1000);
        run_until(io, [&] { return !server.peer().received().empty(); });
        server.peer().shutdown_send();
    }
    const auto before = client.seen;
    client.socket.reset();
    SECTION("then the context runs on") {
        if (!server.connected()) {
            // It may never have come.
            io.poll();
            return;
        }
        run_until(io, [&] { return server.peer().ended(); });
        server.peer().drop();
        run_out(io);
    }
    SECTION("then the context goes, too") {}
    CHECK(client.seen == before);
}

TEST_CASE("may be closed or destroyed between any two steps of its opening") {
    const bool destroyed = GENERATE(false, true);
    bool opened = false;
    for (int steps = 0; !opened; ++steps) {
        CAPTURE(destroyed, steps);
        asio::io_context io;
        raw_server server{io};
        watched client{io, server.url()};
        server.open(io);
        for (int i = 0; i < steps && !opened; ++i) {
            REQUIRE(io.run_one() == 1);
            opened = client.saw("open");
        }
        if (destroyed)
            client.socket.reset();
        else
            CHECK_FALSE(client.socket->close(1000));
        run_until(io, [&] { return server.peer().ended() || !server.peer().received().empty(); });
        server.peer().drop();
        run_out(io);
        history expected = opened ? history{"open"} : history{};
        if (!destroyed) expected.insert(expected.end(), {"error", "close 1006"});
        CHECK(client.seen == expected);
        if (!destroyed && !opened) CHECK(client.error == errc::aborted);
    }
}

TEST_CASE("delivers nothing once it is destroyed, what came before included") {
    asio::io_context io;
    raw_server server{io};
    watched client{io, server.url()};
    server.open(io);
    run_until(io, [&] { return client.saw("open"); });
    const bool closing = GENERATE(false, true);
    server.peer().send(frame_bytes(role::server, opcode::text, "come already"));
    asio::post(io, [&] {
        if (closing) CHECK_FALSE(client.socket->close(1000));
        client.socket.reset();
    });
    run_until(io, [&] { return server.peer().ended(); });
    server.peer().drop();
    run_out(io);
    CHECK(client.seen == history{"open"});
}

TEST_CASE("goes with a context that never ran, or stopped in the middle") {
    // What callbacks hold is freed with them: the leak checker watches.
    auto io = std::make_unique<asio::io_context>();
    auto server = std::make_unique<raw_server>(*io);
    const auto held = std::make_shared<int>(1);
    auto socket = std::make_unique<websocket>(*io, server->url());
    socket->on_open = [held] {};
    socket->on_close = [held](const close_event&) {};
    SECTION("never ran") {}
    SECTION("connecting") { REQUIRE_FALSE(server->await_request(*io).empty()); }
    SECTION("open") {
        server->open(*io);
        run_until(*io, [&] { return socket->ready_state() == ready_state::open; });
        socket->send("unsent");
    }
    socket.reset();
    server.reset();
    io.reset();
    CHECK(held.use_count() == 1);
}

TEST_CASE("callbacks may share what they need, the socket included") {
    asio::io_context io;
    raw_server server{io};
    struct session_of_ours {
        explicit session_of_ours(asio::io_context& with)
            : socket{with} {}
        websocket socket;
        int messages = 0;
    };
    auto ours = std::make_shared<session_of_ours>(io);
    const std::weak_ptr<session_of_ours> watcher = ours;
    ours->socket.on_message = [weak = watcher](const message&) {
        if (const auto self = weak.lock()) ++self->messages;
    };
    ours->socket.on_close = [&ours](const close_event&) { ours.reset(); };
    REQUIRE_FALSE(ours->socket.open(server.url()));
    server.open(io);
    server.peer().send(frame_bytes(role::server, opcode::text, "x"));
    run_until(io, [&] { return ours->messages == 1; });
    server.peer().drop();
    run_out(io);
    CHECK(watcher.expired());
}

TEST_CASE("an exception leaves the context's run, and the end comes all the same") {
    asio::io_context io;
    raw_server server{io};
    watched client{io, server.url()};
    const auto thrower = [] { throw std::runtime_error{"mine"}; };
    SECTION("from on_open: it fails with 1011") {
        client.then_open = thrower;
        const bool answers = GENERATE(false, true);
        server.open(io);
        server.peer().send(frame_bytes(role::server, opcode::text, "x"));
        CHECK_THROWS_AS(run_out(io), std::runtime_error);
        CHECK(client.socket->ready_state() == ready_state::closing);
        CHECK(client.socket->send("late") == send_status::not_open);
        run_until(io, [&] { return !server.peer().received().empty(); });
        CHECK(read_frames(server.peer().take())->front().payload == close_payload(1011));
        if (answers) server.peer().send(frame_bytes(role::server, opcode::close, close_payload(1011)));
        server.peer().shutdown_send();
        run_out(io);
        CHECK(client.seen == history{"open", "error", "close 1006"});
        CHECK(client.error == errc::callback_threw);
    }
    SECTION("from on_open, after the socket is destroyed") {
        client.then_open = [&] {
            client.socket.reset();
            thrower();
        };
        server.open(io);
        CHECK_THROWS_AS(run_out(io), std::runtime_error);
        run_until(io, [&] { return server.peer().ended(); });
        server.peer().drop();
        run_out(io);
        CHECK(client.seen == history{"open"});
    }
    SECTION("from on_message: it fails with 1011") {
        client.then_message = [&](const message&) { thrower(); };
        server.open(io);
        server.peer().send(frame_bytes(role::server, opcode::text, "x"));
        CHECK_THROWS_AS(run_out(io), std::runtime_error);
        run_until(io, [&] { return !server.peer().received().empty(); });
        server.peer().shutdown_send();
        run_out(io);
        CHECK(client.seen == history{"open", "message x", "error", "close 1006"});
        CHECK(client.error == errc::callback_threw);
        CHECK(read_frames(server.peer().take())->front().payload == close_payload(1011));
    }
    SECTION("from on_error: the close event still comes, once") {
        client.then_error = thrower;
        const bool opens = GENERATE(false, true);
        if (opens) server.open(io);
        if (!opens) REQUIRE_FALSE(server.await_request(io).empty());
        server.peer().drop();
        CHECK_THROWS_AS(run_out(io), std::runtime_error);
        CHECK_FALSE(client.closed());
        CHECK(client.socket->ready_state() == ready_state::closed);
        run_out(io);
        CHECK(client.seen ==
              (opens ? history{"open", "error", "close 1006"} : history{"error", "close 1006"}));
    }
    SECTION("from on_error, after the socket is destroyed: nothing comes") {
        client.then_error = [&] {
            client.socket.reset();
            thrower();
        };
        REQUIRE_FALSE(server.await_request(io).empty());
        server.peer().drop();
        CHECK_THROWS_AS(run_out(io), std::runtime_error);
        run_out(io);
        CHECK(client.seen == history{"error"});
    }
    SECTION("from on_close: it was the last thing") {
        client.then_close = thrower;
        REQUIRE_FALSE(server.await_request(io).empty());
        server.peer().drop();
        CHECK_THROWS_AS(run_out(io), std::runtime_error);
        run_out(io);
        CHECK(client.seen == history{"error", "close 1006"});
    }
}

TEST_CASE("gives up on a server that says nothing") {
    asio::io_context io;
    test::manual_time time{io};
    raw_server server{io};
    watched client{io, server.url()};
    SECTION("to the request") {
        REQUIRE_FALSE(server.await_request(io).empty());
        time.advance(9'900ms);
        io.poll();
        CHECK(client.seen.empty());
        time.advance(1s);
        run_until(io, [&] { return client.closed(); });
        CHECK(client.seen == history{"error", "close 1006"});
        CHECK(client.error == errc::handshake_timeout);
    }
    SECTION("to a Ping") {
        server.open(io);
        run_until(io, [&] { return client.saw("open"); });
        time.advance(31s);
        run_until(io, [&] { return !server.peer().received().empty(); });
        CHECK(read_frames(server.peer().take())->front().op == 9);
        time.advance(21s);
        run_until(io, [&] { return !server.peer().received().empty(); });
        CHECK(client.socket->ready_state() == ready_state::closing);
        time.advance(11s);
        run_until(io, [&] { return client.closed(); });
        CHECK(client.seen == history{"open", "error", "close 1006"});
        CHECK(client.error == errc::pong_timeout);
    }
    SECTION("to a Close") {
        server.open(io);
        run_until(io, [&] { return client.saw("open"); });
        CHECK_FALSE(client.socket->close(1000));
        run_until(io, [&] { return !server.peer().received().empty(); });
        time.advance(11s);
        run_until(io, [&] { return client.closed(); });
        CHECK(client.seen == history{"open", "error", "close 1006"});
        CHECK(client.error == errc::close_timeout);
    }
}

TEST_CASE("is used from many threads while many run its context") {
    constexpr int senders = 4;
    constexpr int each = 200;
    asio::io_context io;
    server echo{io};
    std::atomic<int> echoed{0};
    echo.on_message = [](auto& peer, const message& m) { peer.send(m); };
    asio::io_context client_io;
    websocket socket{client_io};
    std::array<int, senders> next{};
    bool in_order = true;
    int running = 0; // callbacks run one at a time: no lock
    socket.on_message = [&](const message& m) {
        CHECK(++running == 1);
        const auto text = std::string{m.text()};
        const auto who = static_cast<std::size_t>(text.at(0) - 'a');
        in_order = in_order && std::stoi(text.substr(1)) == next.at(who)++;
        if (echoed.fetch_add(1) + 1 == senders * each) socket.close(1000);
        --running;
    };
    std::optional<close_event> last;
    std::atomic<bool> open{false};
    socket.on_open = [&] { open = true; };
    socket.on_close = [&](const close_event& e) {
        last = e;
        echo.stop();
    };
    echo.start();
    REQUIRE_FALSE(socket.open(url_of(echo)));

    std::vector<std::thread> threads;
    threads.emplace_back([&] { io.run(); });
    for (int i = 0; i < 2; ++i)
        threads.emplace_back([&] { client_io.run(); });
    for (int i = 0; i < senders; ++i)
        threads.emplace_back([&, who = static_cast<char>('a' + i)] {
            while (!open)
                std::this_thread::yield();
            for (int n = 0; n < each; ++n) {
                while (!accepted(socket.send(who + std::to_string(n))))
                    std::this_thread::yield();
                (void)socket.buffered_amount();
                (void)socket.ready_state();
            }
        });
    for (auto& thread : threads)
        thread.join();
    CHECK(in_order);
    CHECK(echoed == senders * each);
    REQUIRE(last.has_value());
    CHECK(last->code == 1000);
    CHECK(last->was_clean);
    CHECK(socket.ready_state() == ready_state::closed);
}

TEST_CASE("closing from one thread while another one connects ends in exactly one close") {
    for (int round = 0; round < 50; ++round) {
        asio::io_context io;
        server other{io};
        std::atomic<int> peers{0};
        other.on_open = [&](auto&) { ++peers; };
        other.on_close = [&](auto&, const close_result&) { --peers; };
        other.start();
        watched client{io};
        client.then_close = [&] { other.stop(); };
        REQUIRE_FALSE(client.socket->open(url_of(other)));
        std::thread closing{[&, round] {
            for (int i = 0; i < round * 20; ++i)
                std::this_thread::yield();
            CHECK_FALSE(client.socket->close(1000));
        }};
        io.run();
        closing.join();
        CAPTURE(client.seen);
        if (client.saw("open"))
            CHECK(client.seen == history{"open", "close 1000 clean"});
        else
            CHECK(client.seen == history{"error", "close 1006"});
        CHECK(client.socket->ready_state() == ready_state::closed);
        CHECK(peers == 0);
    }
}

} // namespace
