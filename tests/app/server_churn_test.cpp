#include <duplex/net/connect.hpp>
#include <duplex/server.hpp>

// Connections that come and go in every way, thousands of them, while others are written to from many
// threads: nothing of them stays. DUPLEX_TORTURE_CONNECTIONS says how many come.

#include "support/amount.hpp"
#include "support/heap_bytes.hpp"
#include "support/loopback.hpp"
#include "support/wire.hpp"

#include <asio/awaitable.hpp>
#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/read.hpp>
#include <asio/redirect_error.hpp>
#include <asio/use_awaitable.hpp>
#include <asio/write.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <iterator>
#include <mutex>
#include <random>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

namespace {

using namespace duplex;
using namespace duplex::testing;

/// Descriptors of this process, or 0 where nobody tells.
std::size_t descriptors() {
    std::error_code error;
    const std::filesystem::directory_iterator all{"/proc/self/fd", error};
    return error ? 0 : static_cast<std::size_t>(std::distance(begin(all), end(all)));
}

/// A server that echoes, and does to a connection what that asks for.
struct obliging {
    explicit obliging(asio::io_context& io, server_options options)
        : it{io, std::move(options)} {
        it.on_open = [this](server::peer& peer) {
            ++opened;
            const std::lock_guard lock{mutex};
            members.push_back(peer.handle());
        };
        it.on_message = [](server::peer& peer, const message& m) {
            if (m.text() == "close me")
                static_cast<void>(peer.close());
            else if (m.text() == "cut me")
                peer.abort();
            else
                peer.send(m);
        };
        it.on_close = [this](server::peer& peer, const close_result&) {
            ++closed;
            const std::lock_guard lock{mutex};
            std::erase(members, peer.handle());
        };
        it.start();
    }

    [[nodiscard]] std::vector<server::handle> everybody() {
        const std::lock_guard lock{mutex};
        return members;
    }

    std::atomic<std::size_t> opened{0};
    std::atomic<std::size_t> closed{0};
    std::mutex mutex;
    std::vector<server::handle> members;
    server it;
};

/// Clients that come one after the other, several at a time, and leave in ways drawn by lot.
class visitors {
public:
    visitors(asio::io_context& io, const server& to)
        : io_{io}
        , to_{asio::ip::address_v4::loopback(), to.port()}
        , url_{url_of(to)}
        , request_{request_for(to.port())} {}

    void come(std::size_t count, std::size_t at_once) {
        left_ = count;
        here_ = at_once;
        for (std::size_t i = 0; i < at_once; ++i)
            asio::co_spawn(io_, come_again(), asio::detached);
    }
    [[nodiscard]] bool gone() const noexcept { return here_ == 0; }

    std::size_t echoes = 0;
    std::size_t refusals = 0; ///< that nobody asked for

private:
    enum class way : std::uint8_t {
        closes,
        is_destroyed,
        aborts,
        asks_to_be_closed,
        asks_to_be_cut,
        leaves_much_unread,
        resets_before_it_asks,
        ends_amid_its_request,
        resets_when_it_is_open,
        ends_amid_a_frame,
        how_many,
    };

    asio::awaitable<void> come_again() {
        while (left_ != 0) {
            --left_;
            const auto how = way(random_() % static_cast<unsigned>(way::how_many));
            if (how < way::resets_before_it_asks)
                co_await speak(how);
            else
                co_await intrude(how);
        }
        --here_;
    }

    asio::awaitable<void> speak(way how) {
        std::error_code error;
        auto token = asio::redirect_error(asio::use_awaitable, error);
        auto it = co_await async_connect(io_, url_, token);
        if (error) {
            ++refusals;
            co_return;
        }
        if (how == way::is_destroyed) co_return;
        if (how == way::leaves_much_unread) {
            it.send(std::string(200'000, 'x'));
            co_await it.async_drain(token);
            co_return;
        }
        co_await it.async_send("hello", token);
        if (how == way::aborts) co_return it.abort();
        const message echo = co_await it.async_read(token);
        if (!error && echo.text() == "hello") ++echoes;
        if (how == way::closes) co_return co_await it.async_close(token);
        it.send(how == way::asks_to_be_closed ? "close me" : "cut me");
        while (!error)
            co_await it.async_read(token);
    }

    /// Below the library.
    asio::awaitable<void> intrude(way how) {
        std::error_code error;
        auto token = asio::redirect_error(asio::use_awaitable, error);
        tcp::socket socket{io_};
        co_await socket.async_connect(to_, token);
        if (error) {
            ++refusals;
            co_return;
        }
        std::string_view bytes = request_;
        if (how == way::ends_amid_its_request) bytes = bytes.substr(0, random_() % bytes.size());
        if (how != way::resets_before_it_asks) co_await asio::async_write(socket, asio::buffer(bytes), token);
        if (how == way::resets_when_it_is_open || how == way::ends_amid_a_frame) {
            std::array<char, 1> first;
            co_await asio::async_read(socket, asio::buffer(first), token);
        }
        if (how == way::ends_amid_a_frame) {
            const auto frame = frame_bytes(role::client, opcode::binary, std::string(1000, 'f'));
            const auto part = std::string_view{frame}.substr(0, random_() % frame.size());
            co_await asio::async_write(socket, asio::buffer(part), token);
        }
        if (how == way::resets_before_it_asks || how == way::resets_when_it_is_open)
            socket.set_option(asio::socket_base::linger{true, 0}, error);
    }

    asio::io_context& io_;
    tcp::endpoint to_;
    std::string url_;
    std::string request_;
    std::mt19937 random_{25};
    std::size_t left_ = 0;
    std::size_t here_ = 0;
};

/// Until nobody is left on either side, on whatever thread.
void see_off(asio::io_context& io, const visitors& all, const obliging& here) {
    while (!all.gone() || here.it.peer_count() != 0) {
        io.poll();
        std::this_thread::yield();
    }
}

} // namespace

TEST_CASE("thousands of connections come and go in every way, and leave nothing behind") {
    const auto count = amount("DUPLEX_TORTURE_CONNECTIONS", 600);
    const auto before = descriptors();
    std::size_t opened = 0;
    std::size_t closed = 0;
    {
        asio::io_context io;
        server_options options;
        options.threads = 2;
        obliging here{io, std::move(options)};
        visitors all{io, here.it};
        // Caches fill in the first rounds, and differ from moment to moment: the most of one half against the
        // least of the other.
        std::size_t open_then = 0;
        std::size_t most_then = 0;
        std::size_t least_now = SIZE_MAX;
        for (int round = 0; round < 8; ++round) {
            all.come(count / 8, 50);
            see_off(io, all, here);
            if (round == 0) open_then = descriptors();
            if (round < 4)
                most_then = std::max(most_then, heap_bytes());
            else
                least_now = std::min(least_now, heap_bytes());
        }
        CHECK(descriptors() == open_then);
        CHECK(least_now < most_then + (std::size_t{1} << 18));
        CHECK(all.refusals == 0);
        CHECK(all.echoes > count / 10);
        CHECK(here.members.empty());
        here.it.stop();
        // No timer and nothing else keeps the context busy.
        run_out(io);
        opened = here.opened;
        closed = here.closed;
    }
    CHECK(opened > count / 3);
    CHECK(closed == opened);
    CHECK(descriptors() == before);
}

TEST_CASE("eight threads broadcast through handles while clients come and go, and each one's order is kept") {
    constexpr std::size_t senders = 8;
    const auto rounds = amount("DUPLEX_TORTURE_MESSAGES", 16'000) / senders / 8;
    asio::io_context io;
    server_options options;
    options.threads = 2;
    options.connection.limits.queue_bytes = 256 * 1024;
    obliging here{io, std::move(options)};
    visitors others{io, here.it};
    others.come(100, 5);
    // Those who stay and listen, on a thread of their own.
    asio::io_context listening;
    std::array<std::array<long, senders>, 6> last{};
    std::size_t received = 0;
    std::size_t ended_well = 0;
    bool in_order = true;
    std::atomic<std::size_t> listeners{0};
    const auto listen = [&](std::size_t number) -> asio::awaitable<void> {
        std::error_code error;
        auto token = asio::redirect_error(asio::use_awaitable, error);
        auto it = co_await async_connect(listening, url_of(here.it), token);
        ++listeners;
        while (!error) {
            auto batch = co_await it.async_read_batch(token);
            for (const message& each : batch) {
                const std::string_view text = each.text();
                std::size_t sender = 0;
                long at = 0;
                const auto* const next = std::from_chars(text.data(), text.data() + text.size(), sender).ptr;
                std::from_chars(next + 1, text.data() + text.size(), at);
                in_order = in_order && at > last.at(number).at(sender);
                last.at(number).at(sender) = at;
                ++received;
            }
        }
        if (error == errc::closed) ++ended_well;
    };
    for (std::size_t i = 0; i < last.size(); ++i)
        asio::co_spawn(listening, listen(i), asio::detached);
    std::thread listeners_thread{[&] { listening.run(); }};
    std::atomic<std::size_t> sent{0};
    std::vector<std::thread> threads;
    for (std::size_t sender = 0; sender < senders; ++sender)
        threads.emplace_back([&, sender] {
            while (listeners != last.size())
                std::this_thread::yield();
            for (std::size_t i = 1; i <= rounds; ++i) {
                const auto news = prepared_message::text(std::to_string(sender) + ' ' + std::to_string(i));
                for (const auto& each : here.everybody())
                    if (accepted(each.send(news))) ++sent;
            }
        });
    std::thread stopper{[&] {
        for (auto& each : threads)
            each.join();
        here.it.stop();
    }};
    run_out(io);
    stopper.join();
    listeners_thread.join();
    CHECK(in_order);
    CHECK(ended_well == last.size());
    CHECK(received > 0);
    CHECK(received <= sent);
    CHECK(here.opened == here.closed);
    CHECK(here.members.empty());
    CHECK(here.it.peer_count() == 0);
}
