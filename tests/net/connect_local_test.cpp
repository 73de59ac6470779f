// This machine's side of a connection: the address, the port and the device it starts from.

#include <duplex/net/connect.hpp>

#include "support/loopback.hpp"

#include <cerrno>
#include <cstdint>
#include <string>
#include <system_error>
#include <utility>

namespace {

using namespace duplex;
using namespace duplex::testing;
using duplex::detail::is_system_error;

/// What an `async_connect` completed with.
struct connected {
    int calls = 0;
    std::error_code error = std::make_error_code(std::errc::operation_in_progress);
    tcp_connection<> connection;

    [[nodiscard]] auto handler() {
        return [this](std::error_code with, tcp_connection<> made) {
            ++calls;
            error = with;
            connection = std::move(made);
        };
    }
};

[[nodiscard]] std::error_code error_of(const std::string& url, connect_options options) {
    asio::io_context io;
    connected it;
    options.proxy_from_environment = false;
    async_connect(io, url, std::move(options), it.handler());
    CHECK(it.calls == 0);
    run_out(io);
    CHECK(it.calls == 1);
    return it.error;
}

TEST_CASE("connects from the address that the options name") {
    asio::io_context io;
    raw_server server{io};
    connect_options options;
    // All of 127/8 is this machine's on Linux; elsewhere it is one address.
#if defined(__linux__)
    options.local_address = "127.0.0.2";
#else
    options.local_address = "127.0.0.1";
#endif
    connected it;
    async_connect(io, server.url(), options, it.handler());
    server.open(io);
    run_until(io, [&] { return it.calls == 1; });
    REQUIRE_FALSE(it.error);
    const auto from = it.connection.stream().local_endpoint();
    CHECK(from.address() == asio::ip::make_address(options.local_address));
    CHECK(from.port() != 0);
}

TEST_CASE("connects from the port that the options name") {
    asio::io_context io;
    std::uint16_t port = 0;
    {
        tcp::socket free{io, tcp::endpoint{asio::ip::address_v4::loopback(), 0}};
        port = free.local_endpoint().port();
    }
    connect_options options;
    options.local_port = port;
    if (GENERATE(true, false)) options.local_address = "127.0.0.1";
    raw_server server{io};
    connected it;
    async_connect(io, server.url(), options, it.handler());
    server.open(io);
    run_until(io, [&] { return it.calls == 1; });
    REQUIRE_FALSE(it.error);
    CHECK(it.connection.stream().local_endpoint() == tcp::endpoint{asio::ip::address_v4::loopback(), port});

    // To another server the same port serves again.
    raw_server other{io};
    connected second;
    async_connect(io, other.url(), options, second.handler());
    other.open(io);
    run_until(io, [&] { return second.calls == 1; });
    REQUIRE_FALSE(second.error);
    CHECK(second.connection.stream().local_endpoint().port() == port);

    // To the same one there is a connection already.
    CHECK(error_of(server.url(), options));
}

TEST_CASE("tries only addresses of the local address's family") {
    asio::io_context io;
    raw_server server{io};
    connect_options options;
    options.local_address = "::1";
    const auto port = std::to_string(server.port());
    const auto error = error_of("ws://127.0.0.1:" + port, options);
    CHECK(error == asio::error::address_family_not_supported);
    options.local_address = "127.0.0.1";
    CHECK(error_of("ws://[::1]:" + port, options) == asio::error::address_family_not_supported);
    CHECK_FALSE(server.connected());
}

TEST_CASE("takes no local address but a numeric one of this machine") {
    asio::io_context io;
    raw_server server{io};
    connect_options options;
    SECTION("a name, or nonsense") {
        options.local_address =
            GENERATE(values<const char*>({"localhost", "127.0.0.1:80", "[::1]", " ", "1.2"}));
        const auto error = error_of(server.url(), options);
        CHECK(error == errc::host_not_numeric);
        CHECK(error == condition::misuse);
    }
    SECTION("another machine's") {
        // Of the network for documentation
        options.local_address = "192.0.2.1";
        CHECK(is_system_error(error_of(server.url(), options), std::errc::address_not_available));
    }
    CHECK_FALSE(server.connected());
}

TEST_CASE("goes out by the device that the options name") {
    asio::io_context io;
    raw_server server{io};
    connect_options options;
    options.local_device = "no-such-device";
    const auto error = error_of(server.url(), options);
#if defined(__linux__)
    // Older kernels ask for rights first.
    CHECK((is_system_error(error, std::errc::no_such_device) ||
           is_system_error(error, std::errc::operation_not_permitted)));
    options.local_device = "lo";
    connected it;
    async_connect(io, server.url(), options, it.handler());
    run_until(io, [&] { return it.calls == 1 || server.connected(); });
    CHECK((server.connected() || is_system_error(it.error, std::errc::operation_not_permitted)));
#else
    CHECK(error == asio::error::operation_not_supported);
#endif
}

} // namespace
