#include <duplex/server.hpp>

#include "support/loopback.hpp"

#include <optional>
#include <string>
#include <system_error>
#include <vector>

namespace {

using namespace duplex;
using namespace duplex::testing;

[[nodiscard]] std::error_code start_with(const server_options& options) {
    asio::io_context io;
    server it{io, options};
    std::error_code error;
    it.start(error);
    CHECK((it.port() == 0) == bool{error});
    return error;
}

TEST_CASE("says what keeps it from starting") {
    asio::io_context io;
    server first{io};
    first.start();
    CHECK_THROWS_AS(first.start(), std::system_error);
    std::error_code error;
    first.start(error);
    CHECK(error == errc::already_open);
    server_options options;
    options.threads = GENERATE(1U, 3U);
    SECTION("a subprotocol is no token") {
        options.subprotocols = {"a b"};
        CHECK(start_with(options) == errc::subprotocol_invalid);
    }
    SECTION("a header is none, or the handshake's") {
        options.headers = {{"X\n", "a"}};
        CHECK(start_with(options) == errc::header_name_invalid);
        options.headers = {{"Upgrade", "a"}};
        CHECK(start_with(options) == errc::header_reserved);
    }
    SECTION("compression is asked for in a program that has none") {
        options.deflate.emplace();
        CHECK(start_with(options) == errc::deflate_not_available);
    }
    // The first one is as it was.
    watched client{io, url_of(first)};
    run_until(io, [&] { return client.saw("open"); });
    first.stop();
    run_out(io);
    first.start(error);
    CHECK(error == errc::already_open);
}

TEST_CASE("does not start on a port that another server has") {
    asio::io_context io;
    server_options options;
    options.threads = GENERATE(1U, 3U);
    options.host = GENERATE("", "127.0.0.1");
    std::optional<server> first{std::in_place, io, options};
    first->start();
    std::error_code error;
    server_options same;
    same.threads = GENERATE(1U, 3U);
    same.port = first->port();
    server second{io, same};
    CHECK_THROWS_AS(second.start(), std::system_error);
    second.start(error);
    CHECK(error == asio::error::address_in_use);
    CHECK(second.port() == 0);
    watched client{io, url_of(*first)};
    run_until(io, [&] { return client.saw("open"); });
    // Connections that this side has ended don't keep the port from the next server.
    first->stop();
    run_out(io);
    CHECK(client.closed());
    CHECK(first->peer_count() == 0);
    first.reset();
    second.start(error);
    CHECK_FALSE(error);
    CHECK(second.port() == same.port);
    watched next{io, url_of(second)};
    run_until(io, [&] { return next.saw("open"); });
}

TEST_CASE("listens on numeric addresses alone") {
    server_options options;
    options.host = GENERATE(values<const char*>({"localhost", "example.com", "127.0.0.1:80", "[::1]", " "}));
    CHECK(start_with(options) == errc::host_not_numeric);
    options.host = "127.0.0.1";
    CHECK_FALSE(start_with(options));
}

TEST_CASE("takes no origin that could never match") {
    server_options options;
    options.origins = {"https://example.com", "http://localhost:8080", "null", "*"};
    CHECK_FALSE(start_with(options));
    options.origins.push_back(GENERATE(values<const char*>(
        {"", "example.com", "https://example.com/", "*.example.com", "https://*.example.com"})));
    CHECK(start_with(options) == errc::origin_invalid);
}

TEST_CASE("delivers fragments to those alone who take connections over") {
    asio::io_context io;
    server_options options;
    options.connection.deliver_fragments = true;
    server it{io, options};
    std::error_code error;
    it.start(error);
    CHECK(error == errc::fragments_not_taken);
    it.on_connection = [](server::peer) {};
    it.start(error);
    CHECK_FALSE(error);
}

} // namespace
