#pragma once

// What tests of connecting again need: a server that many clients come to one after the other, and a client
// that writes down its attempts.

#include "support/loopback.hpp"

#include <duplex/test/manual_time.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace duplex::testing {

/// Takes one client after the other; the test writes the bytes itself.
class raw_host {
public:
    explicit raw_host(asio::io_context& io, std::uint16_t port = 0)
        : io_{io}
        , acceptor_{io, tcp::endpoint{asio::ip::address_v4::loopback(), port}} {
        accept();
    }

    [[nodiscard]] std::uint16_t port() const { return acceptor_.local_endpoint().port(); }
    [[nodiscard]] std::string url(std::string_view path = "/") const {
        return "ws://127.0.0.1:" + std::to_string(port()) + std::string{path};
    }
    /// How many have come.
    [[nodiscard]] std::size_t count() const noexcept { return peers_.size(); }
    /// The latest.
    [[nodiscard]] raw_peer& peer() {
        REQUIRE_FALSE(peers_.empty());
        return *peers_.back();
    }

    /// Runs the context until the request of the next client has come, and takes it.
    [[nodiscard]] std::string await_request() {
        ++awaited_;
        run_until(io_, [&] { return count() == awaited_ && peer().received().ends_with("\r\n\r\n"); });
        return peer().take();
    }
    void open(std::string_view more = {}) {
        const auto request = await_request();
        peer().send(acceptance_of(request, more));
    }
    /// Answers the next client so, and ends.
    void refuse(std::string_view status, std::string_view more = {}) {
        (void)await_request();
        peer().send("HTTP/1.1 " + std::string{status} + "\r\nContent-Length: 0\r\n" + std::string{more} +
                    "\r\n");
        peer().shutdown_send();
    }

private:
    void accept() {
        acceptor_.async_accept([this](std::error_code error, tcp::socket socket) {
            if (error) return;
            peers_.push_back(std::make_unique<raw_peer>(std::move(socket)));
            accept();
        });
    }

    asio::io_context& io_;
    tcp::acceptor acceptor_;
    std::vector<std::unique_ptr<raw_peer>> peers_;
    std::size_t awaited_ = 0;
};

/// Options with which each wait is one second, a wish of the server's aside.
[[nodiscard]] inline connect_options each_second(reconnect_options again = {}) {
    using namespace std::chrono_literals;
    again.backoff.initial = again.backoff.most = again.backoff.least = 1s;
    connect_options options;
    options.reconnect = std::move(again);
    return options;
}

/// A `watched` that writes down attempts, too: "again 1".
struct lasting : watched {
    lasting(asio::io_context& io, std::string_view url, connect_options options = each_second())
        : watched{io} {
        socket->on_reconnect = [this](reconnect_event& e) {
            attempts.push_back({e.attempt, e.cause.error, e.close, e.delay,
                                e.cause.response ? e.cause.response->status : 0, e.what()});
            states.push_back(socket->ready_state());
            seen.push_back("again " + std::to_string(e.attempt));
            if (then_again) then_again(e);
        };
        REQUIRE_FALSE(socket->open(url, {}, std::move(options)));
    }

    struct attempt {
        std::uint32_t number;
        std::error_code error;
        close_event close;
        std::chrono::milliseconds delay;
        unsigned status;
        std::string what;
    };
    std::vector<attempt> attempts;
    std::function<void(reconnect_event&)> then_again;
};

/// All of them over the hand-driven clock.
struct reconnecting_fixture {
    asio::io_context io;
    test::manual_time time{io};
    raw_host host{io};

    void until(const lasting& client, std::string_view seen) {
        run_until(io, [&] { return client.saw(seen); });
    }
    /// Runs what is ready.
    void settle() {
        io.restart();
        io.poll();
    }
    void advance(std::chrono::milliseconds step) {
        time.advance(step);
        settle();
    }
    /// Lets the wait of a second pass, with the wheel's resolution.
    void pass() {
        using namespace std::chrono_literals;
        advance(1250ms);
    }
};

} // namespace duplex::testing
