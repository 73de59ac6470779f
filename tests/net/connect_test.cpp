#include <duplex/net/connect.hpp>

#include "support/loopback.hpp"
#include "support/wire.hpp"

#include <duplex/test/manual_time.hpp>

#include <asio/bind_cancellation_slot.hpp>
#include <asio/cancellation_signal.hpp>
#include <asio/use_future.hpp>

#if defined(ASIO_HAS_CO_AWAIT)
#include <asio/co_spawn.hpp>
#include <asio/use_awaitable.hpp>
#endif

#include <sys/socket.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace {

using namespace duplex;
using namespace duplex::testing;
using namespace std::chrono_literals;

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

/// A port that takes no connection: its queue is full and nobody accepts.
class full_port {
public:
    explicit full_port(asio::io_context& io)
        : acceptor_{io} {
        acceptor_.open(tcp::v4());
        acceptor_.bind({asio::ip::address_v4::loopback(), 0});
        acceptor_.listen(0);
        // The kernel takes one or two more than it was told.
        const auto to = acceptor_.local_endpoint();
        for (int i = 0; i < 4; ++i) {
            fillers_.emplace_back(io, tcp::v4());
            fillers_.back().native_non_blocking(true);
            (void)::connect(fillers_.back().native_handle(), to.data(), static_cast<socklen_t>(to.size()));
        }
    }
    [[nodiscard]] std::string url() const {
        return "ws://127.0.0.1:" + std::to_string(acceptor_.local_endpoint().port());
    }

private:
    tcp::acceptor acceptor_;
    std::vector<tcp::socket> fillers_;
};

TEST_CASE("connects with any token") {
    asio::io_context io;
    raw_server server{io};
    SECTION("a callback") {
        connected it;
        async_connect(io, server.url("/a?b"), it.handler());
        CHECK(it.calls == 0);
        const auto request = server.await_request(io);
        CHECK(request.starts_with("GET /a?b HTTP/1.1\r\nHost: 127.0.0.1:" + std::to_string(server.port()) +
                                  "\r\n"));
        server.peer().send(acceptance_of(request));
        run_until(io, [&] { return it.calls == 1; });
        CHECK_FALSE(it.error);
        CHECK(it.connection.is_open());
        REQUIRE(it.connection.opening_outcome());
        CHECK(it.connection.opening_outcome()->status == 101);
    }
    SECTION("a future, on an executor") {
        auto future = async_connect(io.get_executor(), server.url(), asio::use_future);
        server.open(io);
        // It may become ready on a thread of Asio's own.
        while (future.wait_for(0s) != std::future_status::ready)
            io.poll();
        CHECK(future.get().is_open());
    }
    SECTION("a future, refused") {
        auto future = async_connect(io, "ws://[", asio::use_future);
        while (future.wait_for(0s) != std::future_status::ready)
            io.poll();
        CHECK_THROWS_AS(future.get(), std::system_error);
    }
#if defined(ASIO_HAS_CO_AWAIT)
    SECTION("a coroutine") {
        bool open = false;
        const auto client = [&]() -> asio::awaitable<void> {
            const auto url = server.url();
            auto connection = co_await async_connect(io, url, asio::use_awaitable);
            open = connection.is_open();
        };
        std::exception_ptr failed;
        asio::co_spawn(io, client(), [&](std::exception_ptr with) { failed = with; });
        server.open(io);
        run_until(io, [&] { return server.peer().ended(); });
        CHECK(open);
        CHECK_FALSE(failed);
    }
#endif
}

TEST_CASE("sends what the options say") {
    asio::io_context io;
    raw_server server{io};
    connect_options options;
    options.subprotocols = {"v2", "v1"};
    options.headers = {{"Authorization", "Bearer abc"}, {"Cookie", "a=b"}};
    options.origin = "http://example.com";
    options.user_agent = "me/1";
    connected it;
    async_connect(io, server.url(), options, it.handler());
    const auto request = server.await_request(io);
    for (const std::string_view line :
         {"\r\nSec-WebSocket-Protocol: v2, v1\r\n", "\r\nAuthorization: Bearer abc\r\n",
          "\r\nCookie: a=b\r\n", "\r\nOrigin: http://example.com\r\n", "\r\nUser-Agent: me/1\r\n"}) {
        CAPTURE(line);
        CHECK(request.find(line) != std::string::npos);
    }
    server.peer().send(acceptance_of(request, "Sec-WebSocket-Protocol: v1\r\nX-Extra: 1\r\n"));
    run_until(io, [&] { return it.calls == 1; });
    REQUIRE_FALSE(it.error);
    CHECK(it.connection.opening_outcome()->subprotocol == "v1");
    CHECK(it.connection.opening_outcome()->headers.find("X-Extra") == "1");
}

TEST_CASE("finds the caller's mistakes before anybody is called") {
    asio::io_context io;
    raw_server server{io};
    connect_options options;
    auto url = server.url();
    errc expected{};
    SECTION("no URL") {
        url = "nonsense";
        expected = errc::url_scheme_unsupported;
    }
    SECTION("TLS") {
        url = "wss://localhost";
        expected = errc::tls_not_available;
    }
    SECTION("a subprotocol") {
        options.subprotocols = {"a,b"};
        expected = errc::subprotocol_invalid;
    }
    SECTION("a header") {
        options.headers = {{"X", "a\r\nEvil: 1"}};
        expected = errc::header_value_invalid;
    }
    SECTION("a header of the handshake's own") {
        options.headers = {{"Sec-WebSocket-Key", "x"}};
        expected = errc::header_reserved;
    }
    SECTION("an origin") {
        options.origin = "a\nb";
        expected = errc::header_value_invalid;
    }
    connected it;
    async_connect(io, url, options, it.handler());
    CHECK(it.calls == 0);
    run_until(io, [&] { return it.calls == 1; });
    CHECK(it.error == expected);
    CHECK(it.error == condition::misuse);
    CHECK_FALSE(it.connection.is_open());
    io.poll();
    CHECK_FALSE(server.connected());
}

TEST_CASE("tells which step failed") {
    asio::io_context io;
    connected it;
    SECTION("the name") {
        async_connect(io, "ws://no-such-host.invalid/", it.handler());
        run_out(io);
        CHECK(it.error.category() != duplex::error_category());
    }
    SECTION("the connection") {
        std::uint16_t port = 0;
        {
            raw_server gone{io};
            port = gone.port();
        }
        async_connect(io, "ws://127.0.0.1:" + std::to_string(port), it.handler());
        run_out(io);
        CHECK(it.error == asio::error::connection_refused);
    }
    CHECK(it.calls == 1);
    CHECK_FALSE(it.connection.is_open());
}

TEST_CASE("gives the connection of a refused upgrade, to show the answer") {
    asio::io_context io;
    raw_server server{io};
    connected it;
    async_connect(io, server.url(), it.handler());
    REQUIRE_FALSE(server.await_request(io).empty());
    server.peer().send("HTTP/1.1 302 Found\r\nLocation: ws://elsewhere/\r\nContent-Length: 2\r\n\r\nno");
    run_until(io, [&] { return it.calls == 1; });
    CHECK(it.error == errc::upgrade_refused);
    REQUIRE(it.connection);
    CHECK_FALSE(it.connection.is_open());
    const auto* outcome = it.connection.opening_outcome();
    REQUIRE(outcome);
    CHECK(outcome->status == 302);
    CHECK(outcome->headers.find("Location") == "ws://elsewhere/");
    CHECK(outcome->body == "no");
    run_until(io, [&] { return server.peer().ended(); });
}

TEST_CASE("keeps its deadlines") {
    asio::io_context io;
    test::manual_time time{io};
    connected it;
    connect_options options;
    options.connection.timeouts.connect = 2s;
    options.connection.timeouts.handshake = 3s;
    SECTION("up to the transport") {
        full_port port{io};
        async_connect(io, port.url(), options, it.handler());
        REQUIRE(io.run_one() == 1); // resolved
        time.advance(1900ms);
        io.poll();
        CHECK(it.calls == 0);
        time.advance(500ms);
        run_out(io);
        CHECK(it.calls == 1);
        CHECK(it.error == errc::connect_timeout);
        CHECK(it.error == condition::timeout);
        CHECK_FALSE(it.connection.is_open());
    }
    SECTION("resolving counts, too") {
        raw_server server{io};
        async_connect(io, server.url(), options, it.handler());
        time.advance(3s);
        run_until(io, [&] { return it.calls == 1; });
        CHECK(it.error == errc::connect_timeout);
    }
    SECTION("for the answer, which has its own") {
        raw_server server{io};
        async_connect(io, server.url(), options, it.handler());
        REQUIRE_FALSE(server.await_request(io).empty());
        time.advance(2900ms);
        io.poll();
        CHECK(it.calls == 0);
        server.peer().send("HTTP/1.1 101 Switching");
        time.advance(500ms);
        run_until(io, [&] { return it.calls == 1; });
        CHECK(it.error == errc::handshake_timeout);
        run_until(io, [&] { return server.peer().ended(); });
    }
    SECTION("unless they are off") {
        options.connection.timeouts.connect = 0s;
        options.connection.timeouts.handshake = 0s;
        raw_server server{io};
        async_connect(io, server.url(), options, it.handler());
        time.advance(1h);
        const auto request = server.await_request(io);
        time.advance(1h);
        server.peer().send(acceptance_of(request));
        run_until(io, [&] { return it.calls == 1; });
        CHECK_FALSE(it.error);
    }
}

TEST_CASE("is cancelled at any stage") {
    asio::io_context io;
    raw_server server{io};
    full_port port{io};
    asio::cancellation_signal signal;
    connected it;
    const auto kind = GENERATE(values({asio::cancellation_type::terminal, asio::cancellation_type::total}));
    const auto start = [&](const std::string& url) {
        async_connect(io, url, asio::bind_cancellation_slot(signal.slot(), it.handler()));
    };
    SECTION("resolving") { start(server.url()); }
    SECTION("connecting") {
        start(port.url());
        REQUIRE(io.run_one() == 1);
    }
    SECTION("in the handshake") {
        start(server.url());
        REQUIRE_FALSE(server.await_request(io).empty());
    }
    SECTION("in the middle of the answer") {
        start(server.url());
        const auto request = server.await_request(io);
        server.peer().send(acceptance_of(request).substr(0, 40));
        io.poll();
    }
    SECTION("before it has found the URL wrong") { start("nonsense"); }
    signal.emit(kind);
    run_until(io, [&] { return it.calls == 1; });
    CHECK((it.error == asio::error::operation_aborted || it.error == errc::url_scheme_unsupported));
    CHECK((!it.connection || !it.connection.is_open()));
    signal.emit(kind);
    if (server.connected()) run_until(io, [&] { return server.peer().ended(); });
    io.poll();
    CHECK(it.calls == 1);
}

TEST_CASE("a deadline that comes behind the end of its wait changes nothing") {
    asio::io_context io;
    test::manual_time time{io};
    tcp::acceptor acceptor{io, {asio::ip::address_v4::loopback(), 0}};
    asio::cancellation_signal signal;
    connected it;
    connect_options options;
    options.connection.timeouts.connect = 2s;
    async_connect(io, "ws://127.0.0.1:" + std::to_string(acceptor.local_endpoint().port()), options,
                  asio::bind_cancellation_slot(signal.slot(), it.handler()));
    SECTION("by cancellation") {
        time.advance(3s);
        signal.emit(asio::cancellation_type::terminal);
        run_out(io);
        CHECK(it.calls == 1);
        CHECK(it.error == asio::error::operation_aborted);
    }
    SECTION("by the connection") {
        REQUIRE(io.run_one() == 1); // resolved
        acceptor.wait(tcp::acceptor::wait_read);
        // The context hears of the connection before it runs this.
        asio::post(io, [&] { time.advance(3s); });
        raw_peer peer{acceptor.accept()};
        run_until(io, [&] { return peer.received().ends_with("\r\n\r\n") || it.calls == 1; });
        REQUIRE(it.calls == 0);
        peer.send(acceptance_of(peer.take()));
        run_until(io, [&] { return it.calls == 1; });
        CHECK_FALSE(it.error);
        CHECK(it.connection.is_open());
    }
}

TEST_CASE("a connect operation goes with its context") {
    auto io = std::make_unique<asio::io_context>();
    auto server = std::make_unique<raw_server>(*io);
    auto port = std::make_unique<full_port>(*io);
    const auto held = std::make_shared<int>(1);
    bool called = false;
    const auto start = [&](const std::string& url) {
        async_connect(*io, url, [held, &called](std::error_code, tcp_connection<>) { called = true; });
    };
    SECTION("resolving") { start(server->url()); }
    SECTION("connecting") {
        start(port->url());
        REQUIRE(io->run_one() == 1);
    }
    SECTION("in the handshake") {
        start(server->url());
        REQUIRE_FALSE(server->await_request(*io).empty());
    }
    SECTION("with the result not yet delivered") { start("nonsense"); }
    server.reset();
    port.reset();
    io.reset();
    CHECK_FALSE(called);
    CHECK(held.use_count() == 1);
}

TEST_CASE("survives a server that cuts the connection at any byte of its answer") {
    asio::io_context io;
    for (std::size_t cut = 0; cut < 129; cut += 8) {
        CAPTURE(cut);
        raw_server server{io};
        connected it;
        async_connect(io, server.url(), it.handler());
        const auto answer = acceptance_of(server.await_request(io));
        REQUIRE(answer.size() == 129);
        server.peer().send(answer.substr(0, cut));
        if (cut % 16 == 0)
            server.peer().shutdown_send();
        else
            server.peer().reset();
        run_until(io, [&] { return it.calls == 1; });
        CHECK((it.error == errc::connection_lost || it.error == asio::error::connection_reset));
    }
}

} // namespace
