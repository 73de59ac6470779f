#include <duplex/server.hpp>

#include "support/loopback.hpp"

#include <asio/executor_work_guard.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

namespace {

using namespace duplex;
using namespace duplex::testing;

[[nodiscard]] server_options on_threads(unsigned count) {
    server_options options;
    options.threads = count;
    return options;
}

/// Clients on a context and thread of their own.
class clients {
public:
    clients(const server& to, std::size_t count, std::size_t messages)
        : messages_{messages} {
        for (std::size_t i = 0; i < count; ++i) {
            auto& each = *all_.emplace_back(std::make_unique<watched>(io_));
            each.then_open = [this, &each] {
                ++open;
                for (std::size_t n = 0; n < messages_; ++n)
                    each.socket->send(std::to_string(n));
            };
            each.then_message = [this](const message&) { ++received; };
            each.then_close = [this, &each] {
                if (each.last->code == 1001 && each.last->was_clean) ++sent_away;
                ++closed;
            };
            REQUIRE_FALSE(each.socket->open(url_of(to)));
        }
        thread_ = std::thread{[this] { io_.run(); }};
    }
    ~clients() { join(); }
    void join() {
        if (thread_.joinable()) thread_.join();
    }
    [[nodiscard]] const watched& at(std::size_t i) const { return *all_.at(i); }

    std::atomic<std::size_t> open{0};
    std::atomic<std::size_t> received{0};
    std::atomic<std::size_t> sent_away{0};
    std::atomic<std::size_t> closed{0};

private:
    asio::io_context io_;
    std::vector<std::unique_ptr<watched>> all_;
    std::size_t messages_;
    std::thread thread_;
};

/// Runs the context on the calling thread while another one waits for something and then acts.
template <class Done, class Then>
void run_and(asio::io_context& io, Done done, Then then) {
    std::thread other{[&] {
        while (!done())
            std::this_thread::yield();
        then();
    }};
    io.run();
    other.join();
}

TEST_CASE("serves on several threads, and stops from any") {
    constexpr std::size_t count = 48;
    constexpr std::size_t messages = 20;
    asio::io_context io;
    server here{io, on_threads(3)};
    std::mutex mutex;
    std::set<std::thread::id> threads;
    std::atomic<std::size_t> opened{0};
    std::atomic<std::size_t> closed{0};
    here.on_open = [&](server::peer&) {
        ++opened;
        const std::lock_guard lock{mutex};
        threads.insert(std::this_thread::get_id());
    };
    here.on_message = [](server::peer& peer, const message& m) { peer.send(m); };
    here.on_close = [&](server::peer&, const close_result&) { ++closed; };
    here.start();
    clients all{here, count, messages};
    run_and(
        io, [&] { return all.received == count * messages; }, [&] { here.stop(); });
    // The context runs until all threads have seen their connections off.
    CHECK(closed == count);
    all.join();
    CHECK(opened == count);
    CHECK(all.sent_away == count);
    // The kernel spreads 48 connections by a hash: that one of three threads gets none has a chance of 1 in
    // 10^8.
    CHECK(threads.size() == 3);
}

TEST_CASE("drains the connections of all its threads, and tells once") {
    constexpr std::size_t count = 24;
    asio::io_context io;
    server here{io, on_threads(3)};
    std::atomic<std::size_t> closed{0};
    here.on_message = [](server::peer& peer, const message& m) { peer.send(m); };
    here.on_close = [&](server::peer&, const close_result&) { ++closed; };
    here.start();
    clients all{here, count, 3};
    std::optional<drain_result> result;
    std::size_t closed_by_then = 0;
    const auto home = std::this_thread::get_id();
    run_and(
        io, [&] { return all.received == count * 3; },
        [&] {
            here.drain(
                std::chrono::seconds{60},
                [&](const drain_result& how) {
                    CHECK_FALSE(result.has_value());
                    result = how;
                    closed_by_then = closed;
                    CHECK(std::this_thread::get_id() == home);
                },
                close_code::going_away);
        });
    all.join();
    REQUIRE(result.has_value());
    CHECK(result->connections == count);
    CHECK(result->forced == 0);
    CHECK(closed_by_then == count);
    CHECK(all.sent_away == count);
}

TEST_CASE("messages reach peers from other threads, also while they go") {
    asio::io_context io;
    server here{io, on_threads(2)};
    std::mutex mutex;
    std::vector<server::handle> peers;
    here.on_open = [&](server::peer& peer) {
        const std::lock_guard lock{mutex};
        peers.push_back(peer.handle());
    };
    here.on_message = [&](server::peer&, const message&) {
        // Everybody to everybody.
        const std::lock_guard lock{mutex};
        for (const auto& each : peers)
            (void)each.send("news");
    };
    here.start();
    constexpr std::size_t count = 8;
    clients all{here, count, 20};
    run_and(
        io, [&] { return all.open == count && all.received > 100; },
        [&] {
            here.stop();
            for (int i = 0; i < 1000; ++i) {
                const std::lock_guard lock{mutex};
                for (const auto& each : peers)
                    (void)each.send("late");
            }
        });
    all.join();
    CHECK(all.closed == count);
    for (const auto& each : peers)
        CHECK(each.send("later still") == send_status::not_open);
}

TEST_CASE("stopping in a callback of one thread stops all") {
    asio::io_context io;
    server here{io, on_threads(3)};
    std::atomic<std::size_t> opened{0};
    constexpr std::size_t count = 24;
    here.on_open = [&](server::peer&) {
        if (++opened == count) here.stop();
    };
    here.start();
    clients all{here, count, 0};
    io.run();
    all.join();
    CHECK(all.sent_away == count);
}

TEST_CASE("handles may be kept after the server is gone") {
    asio::io_context io;
    std::mutex mutex;
    std::vector<server::handle> peers;
    {
        server here{io, on_threads(3)};
        here.on_open = [&](server::peer& peer) {
            const std::lock_guard lock{mutex};
            peers.push_back(peer.handle());
        };
        here.start();
        clients all{here, 24, 0};
        run_and(
            io, [&] { return all.open == 24; }, [&] { here.stop(); });
        all.join();
    }
    CHECK(peers.size() == 24);
    for (const auto& each : peers) {
        CHECK_FALSE(each.is_open());
        CHECK(each.send("x") == send_status::not_open);
    }
}

TEST_CASE("destroying it waits for callbacks, and nothing is called after that") {
    for (int round = 0; round < 10; ++round) {
        asio::io_context io;
        auto here = std::make_unique<server>(io, on_threads(3));
        std::atomic<bool> gone{false};
        std::atomic<int> late{0};
        std::atomic<int> messages{0};
        const auto check = [&] {
            if (gone) ++late;
        };
        here->on_open = [&](server::peer&) { check(); };
        here->on_message = [&](server::peer& peer, const message& m) {
            check();
            ++messages;
            peer.send(m);
        };
        here->on_close = [&](server::peer&, const close_result&) { check(); };
        here->on_error = [&](std::error_code) { check(); };
        here->start();
        clients all{*here, 12, 50};
        while (messages < round * 20) {
            io.poll();
            std::this_thread::yield();
        }
        here.reset();
        gone = true;
        io.restart();
        io.run();
        all.join();
        CHECK(late == 0);
        CHECK(all.closed == 12);
    }
}

TEST_CASE("may be destroyed in a callback on any of its threads") {
    for (int round = 0; round < 10; ++round) {
        asio::io_context io;
        auto guard = std::make_optional(asio::make_work_guard(io));
        auto here = std::make_unique<server>(io, on_threads(3));
        std::atomic<int> opened{0};
        std::atomic<bool> destroyed{false};
        here->on_open = [&](server::peer&) {
            if (++opened != 12) return;
            here.reset();
            destroyed = true;
        };
        here->start();
        clients all{*here, 12, 0};
        run_and(
            io, [&] { return destroyed && all.closed == 12; }, [&] { guard.reset(); });
        all.join();
        CHECK_FALSE(here);
    }
}

TEST_CASE("connections given away live on their thread until the context goes") {
    asio::io_context io;
    std::mutex mutex;
    std::vector<server::peer::handle_type> kept;
    std::atomic<int> ended{0};
    auto here = std::make_unique<server>(io, on_threads(3));
    here->on_connection = [&](server::peer connection) {
        auto owned = std::make_shared<server::peer>(std::move(connection));
        {
            const std::lock_guard lock{mutex};
            kept.push_back(owned->handle());
        }
        auto& peer = *owned;
        peer.async_run([&peer](const message& m) { peer.send(m); },
                       [owned, &ended](std::error_code) { ++ended; });
    };
    here->start();
    clients all{*here, 24, 1};
    run_and(
        io, [&] { return all.received == 24; },
        [&] {
            here->stop();
            for (const auto& each : kept)
                each.send("on");
            while (all.received != 48)
                std::this_thread::yield();
            for (std::size_t i = 0; i < 12; ++i)
                kept[i].close();
            while (ended != 12)
                std::this_thread::yield();
            for (const auto& each : kept)
                each.close();
        });
    here.reset();
    all.join();
    CHECK(all.closed == 24);
    while (ended != 24)
        std::this_thread::yield();
}

TEST_CASE("threads are used again by the next server") {
    asio::io_context io;
    for (int round = 0; round < 5; ++round) {
        server here{io, on_threads(4)};
        here.start();
        clients all{here, 8, 0};
        run_and(
            io, [&] { return all.open == 8; }, [&] { here.stop(); });
        all.join();
        CHECK(all.sent_away == 8);
        io.restart();
    }
}

} // namespace
