#include <duplex/net/socket_options.hpp>

#include "support/loopback.hpp"

#include <duplex/net/connect.hpp>
#include <duplex/net/listener.hpp>

#include <asio/ip/tcp.hpp>
#include <asio/strand.hpp>

#include <cstddef>
#include <limits>
#include <optional>
#include <system_error>
#include <utility>

namespace {

using namespace duplex;
using namespace duplex::testing;

template <class Option, class Socket>
auto value_of(Socket& socket) {
    Option option;
    std::error_code error;
    socket.get_option(option, error);
    CHECK_FALSE(error);
    return option.value();
}

/// Whether a buffer has the size that was asked for. Linux doubles it, and says so to those who don't ask by
/// way of Asio.
[[nodiscard]] bool is_size(int found, int asked) { return found == asked || found == 2 * asked; }

/// A client's connection, made with `options`, and the listener's end of it.
template <class Executor>
struct ends {
    ends(asio::io_context& io, const Executor& executor, const socket_options& at_client,
         const socket_options& at_server) {
        listener<Executor> accepting{executor};
        REQUIRE_FALSE(accepting.open({.host = "127.0.0.1", .socket = at_server}));
        accepting.start(
            [this](typename listener<Executor>::socket_type&& socket) {
                server.emplace(std::move(socket));
                server->async_accept([](std::error_code error) { CHECK_FALSE(error); });
            },
            [](std::error_code error) { CHECK_FALSE(error); });
        bool done = false;
        connect_options options;
        options.socket = at_client;
        async_connect(executor, "ws://127.0.0.1:" + std::to_string(accepting.local_endpoint().port()),
                      options, [&](std::error_code error, tcp_connection<Executor> made) {
                          CHECK_FALSE(error);
                          client = std::move(made);
                          done = true;
                      });
        run_until(io, [&] { return done && server && server->is_open(); });
    }

    tcp_connection<Executor> client;
    std::optional<tcp_connection<Executor>> server;
};

template <class Executor>
void check(asio::io_context& io, const Executor& executor) {
    using asio::socket_base;
    {
        ends<Executor> plain{io, executor, {}, {}};
        for (auto* each : {&plain.client, &*plain.server}) {
            CHECK(value_of<tcp::no_delay>(each->stream()));
            CHECK_FALSE(value_of<socket_base::keep_alive>(each->stream()));
        }
    }
    const socket_options first{.no_delay = false, .keep_alive = true, .receive_buffer_bytes = 30'000};
    const socket_options second{.send_buffer_bytes = 20'000};
    const bool client_first = GENERATE(true, false);
    ends<Executor> made{io, executor, client_first ? first : second, client_first ? second : first};
    auto& as_first = client_first ? made.client.stream() : made.server->stream();
    auto& as_second = client_first ? made.server->stream() : made.client.stream();
    CHECK_FALSE(value_of<tcp::no_delay>(as_first));
    CHECK(value_of<socket_base::keep_alive>(as_first));
    CHECK(is_size(value_of<socket_base::receive_buffer_size>(as_first), 30'000));
    CHECK_FALSE(is_size(value_of<socket_base::send_buffer_size>(as_first), 20'000));
    CHECK(value_of<tcp::no_delay>(as_second));
    CHECK_FALSE(value_of<socket_base::keep_alive>(as_second));
    CHECK_FALSE(is_size(value_of<socket_base::receive_buffer_size>(as_second), 30'000));
    CHECK(is_size(value_of<socket_base::send_buffer_size>(as_second), 20'000));
}

TEST_CASE("sockets of clients and listeners are as their options say, and else as the system has them") {
    asio::io_context io;
    SECTION("duplex's own") { check(io, io.get_executor()); }
    SECTION("Asio's") { check(io, asio::make_strand(io)); }
}

TEST_CASE("a buffer of any size is asked for, and the system bounds it") {
    asio::io_context io;
    tcp::socket socket{io, tcp::v4()};
    constexpr auto most = std::numeric_limits<std::size_t>::max();
    CHECK_FALSE(detail::set_options({.receive_buffer_bytes = most, .send_buffer_bytes = most}, socket));
    CHECK(value_of<asio::socket_base::receive_buffer_size>(socket) > 0);
    CHECK_FALSE(detail::set_options({.receive_buffer_bytes = 1, .send_buffer_bytes = 1}, socket));
    CHECK(value_of<asio::socket_base::receive_buffer_size>(socket) > 0);
}

TEST_CASE("an option that can't be set is an error") {
    asio::io_context io;
    tcp::socket closed{io};
    CHECK_FALSE(detail::set_options({}, closed));
    CHECK(detail::set_options({.keep_alive = true}, closed) == asio::error::bad_descriptor);
    CHECK(detail::set_options({.receive_buffer_bytes = 1}, closed) == asio::error::bad_descriptor);
    CHECK(detail::set_options({.send_buffer_bytes = 1}, closed) == asio::error::bad_descriptor);
}

} // namespace
