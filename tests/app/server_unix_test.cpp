// Servers on unix sockets.

#include <duplex/server.hpp>

#include "support/loopback.hpp"
#include "support/temporary_directory.hpp"

#include <asio/local/stream_protocol.hpp>

#include <sys/stat.h>

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <vector>

namespace {

using namespace duplex;
using namespace duplex::testing;

TEST_CASE("serves on a unix socket, with as many threads as it is told, until it is stopped") {
    asio::io_context io;
    const temporary_directory directory;
    server_options options;
    options.path = directory / "socket";
    options.permissions = 0600;
    options.threads = GENERATE(1U, 3U);
    // Not looked at.
    options.host = "nonsense";
    options.port = 1;
    std::optional<server> it{std::in_place, io, options};
    std::atomic<int> opened = 0;
    std::atomic<int> closed = 0;
    it->on_request = [](const server_handshake& request) -> std::optional<rejection> {
        if (request.target() == "/room") return std::nullopt;
        return rejection{404, {}, "no\n"};
    };
    it->on_open = [&](server::peer&) { ++opened; };
    it->on_message = [](server::peer& peer, const message& m) { peer.send(m); };
    it->on_close = [&](server::peer&, const close_result&) { ++closed; };
    it->start();
    CHECK(it->port() == 0);
    CHECK(directory.count() == 1);
    struct stat found {};
    REQUIRE(::stat(options.path.c_str(), &found) == 0);
    CHECK((found.st_mode & 0777U) == 0600U);

    const auto url = "ws+unix:" + options.path;
    watched refused{io, url + ":/elsewhere"};
    std::vector<std::unique_ptr<watched>> clients;
    for (int i = 0; i < 10; ++i) {
        auto& client = *clients.emplace_back(std::make_unique<watched>(io, url + ":/room"));
        client.then_open = [&client] { client.socket->send("echo"); };
    }
    const auto all = [&](std::string_view what) {
        for (const auto& each : clients)
            if (!each->saw(what)) return false;
        return true;
    };
    run_until(io, [&] { return all("message echo") && refused.closed(); });
    CHECK(refused.response->status == 404);
    CHECK(opened == 10);
    it->stop();
    run_out(io);
    CHECK(all("close 1001 clean"));
    CHECK(closed == 10);
    CHECK(directory.count() == 0);
    it.reset();
    // The next server finds the path free.
    server next{io, options};
    next.start();
    CHECK(directory.count() == 1);
}

TEST_CASE("says what keeps it from starting on a path, and then may be tried again") {
    asio::io_context io;
    const temporary_directory directory;
    server_options options;
    options.threads = GENERATE(1U, 3U);
    options.path = directory / "socket";
    std::error_code error;
    SECTION("another server is there") {
        std::optional<server> first{std::in_place, io, options};
        first->start();
        server second{io, options};
        second.start(error);
        CHECK(error == asio::error::address_in_use);
        CHECK_THROWS_AS(second.start(), std::system_error);
        CHECK(directory.count() == 1);
        first.reset();
        CHECK(directory.count() == 0);
        second.start(error);
        CHECK_FALSE(error);
        CHECK(directory.count() == 1);
    }
    SECTION("the path can't be one") {
        options.path += std::string(200, 'x');
        server it{io, options};
        it.start(error);
        CHECK(error == errc::socket_path_invalid);
        CHECK(directory.count() == 0);
    }
    SECTION("one that was killed was there") {
        { const asio::local::stream_protocol::acceptor gone{io, {options.path}}; }
        server it{io, options};
        it.start(error);
        CHECK_FALSE(error);
        watched client{io, "ws+unix:" + options.path};
        run_until(io, [&] { return client.saw("open"); });
    }
}

TEST_CASE("a server that is destroyed takes its file along") {
    asio::io_context io;
    const temporary_directory directory;
    server_options options;
    options.path = directory / "socket";
    options.threads = GENERATE(1U, 3U);
    {
        server it{io, options};
        it.start();
        CHECK(directory.count() == 1);
        watched client{io, "ws+unix:" + options.path};
        run_until(io, [&] { return client.saw("open"); });
    }
    CHECK(directory.count() == 0);
}

TEST_CASE("pages may connect to a unix socket from its own origin alone") {
    asio::io_context io;
    const temporary_directory directory;
    server_options options;
    options.path = directory / "socket";
    server it{io, options};
    it.start();
    const auto connect = [&](const char* origin) {
        connect_options with;
        with.origin = origin;
        return std::make_unique<watched>(io, "ws+unix:" + options.path, std::vector<std::string>{}, with);
    };
    const auto own = connect("http://localhost");
    const auto other = connect("http://example.com");
    run_until(io, [&] { return own->saw("open") && other->closed(); });
    CHECK(other->response->status == 403);
}

} // namespace
