#include <duplex/net/connection.hpp>

#include "support/sockets.hpp"

#include <asio/ip/tcp.hpp>
#include <asio/write.hpp>

#include <array>
#include <chrono>
#include <memory>
#include <string>
#include <utility>

using namespace duplex;
using namespace duplex::testing;
using namespace std::chrono_literals;

namespace {

template <class Stream>
void echo_over_sockets() {
    asio::io_context io;
    auto ends = socket_pair<plain_socket<Stream>>(io);
    connection server{Stream{std::move(ends.first)}};
    connection client{Stream{std::move(ends.second)}};
    ending<> accepted;
    ending<> shaken;
    ending<> run;
    ending<> closed;
    server.async_accept(accepted.handler());
    client.async_handshake(uri_of("ws://localhost/"), shaken.handler());
    run_until(io, [&] { return accepted.calls + shaken.calls == 2; });
    REQUIRE(accepted.well());
    REQUIRE(shaken.well());
    server.async_run([&](const message& m) { CHECK(duplex::accepted(server.send(m))); }, run.handler());
    for (const std::size_t size : {std::size_t{0}, std::size_t{1}, std::size_t{125}, std::size_t{65'536},
                                   std::size_t{300'000}, std::size_t{3'000'000}}) {
        const std::string text(size, 'x');
        CHECK(duplex::accepted(client.send(text)));
        read_ending echo;
        client.async_read(echo.handler());
        run_until(io, [&] { return echo.calls != 0; });
        REQUIRE(echo.text() == text);
    }
    client.async_close(closed.handler());
    run_until(io, [&] { return closed.calls + run.calls == 2; });
    CHECK(closed.well());
    CHECK(run.well());
    CHECK_FALSE(client.stream().is_open());
    CHECK_FALSE(server.stream().is_open());
    // Nothing is left that would keep the context running.
    io.restart();
    io.run();
}

template <class Stream>
void slow_peer() {
    connection_options options;
    options.limits.queue_watermark = 100'000;
    socket_fixture<Stream> one{options, 10'000};
    one.open();
    ending<> run;
    one.it->async_run([&](const message& m) { CHECK(accepted(one.it->send(m))); }, run.handler());
    // More than the sockets hold, so that writing has to wait and reading pauses.
    octets sent;
    octets echoed;
    octets wire;
    one.peer.non_blocking(true);
    for (int i = 0; i < 60; ++i) {
        const std::string text(30'000, static_cast<char>('a' + i % 26));
        sent += text;
        wire += frame_bytes(role::client, opcode::binary, text);
    }
    octets received;
    std::array<char, 10'000> memory;
    const std::size_t wanted = sent.size() + 60U * 4U;
    std::string_view rest = wire;
    while (received.size() < wanted) {
        std::error_code error;
        if (!rest.empty()) rest.remove_prefix(one.peer.write_some(asio::buffer(rest), error));
        one.io.poll();
        one.io.restart();
        // Read only when nothing more can be sent.
        if (!rest.empty() && !error) continue;
        received.append(memory.data(), one.peer.read_some(asio::buffer(memory), error));
    }
    const auto frames = read_frames(received);
    REQUIRE(frames);
    for (const auto& each : *frames)
        echoed += each.payload;
    CHECK(echoed == sent);
    CHECK(run.calls == 0);
}

template <class Stream>
void reset() {
    socket_fixture<Stream> one;
    one.open();
    ending<> run;
    ending<> sent;
    ending<std::chrono::nanoseconds> ping;
    one.it->async_run([](const message&) {}, run.handler());
    one.it->async_ping(ping.handler());
    one.peer.set_option(asio::socket_base::linger{true, 0});
    one.peer.close();
    run_until(one.io, [&] { return run.calls + ping.calls == 2; });
    CHECK(run.error);
    CHECK(ping.error);
    REQUIRE(one.it->result());
    CHECK(one.it->result()->error == run.error);
    CHECK_FALSE(one.it->result()->was_clean);
    one.it->async_send("late", sent.handler());
    run_until(one.io, [&] { return sent.calls != 0; });
    CHECK(sent.failed_with(errc::not_open));
    one.io.restart();
    one.io.run();
}

template <class Stream>
void half_end() {
    socket_fixture<Stream> one;
    one.open();
    ending<message> read;
    one.it->async_read(read.handler());
    one.peer.shutdown(asio::socket_base::shutdown_send);
    run_until(one.io, [&] { return read.calls != 0; });
    CHECK(read.failed_with(errc::connection_lost));
    std::error_code error;
    std::array<char, 16> memory;
    CHECK(one.peer.read_some(asio::buffer(memory), error) == 0);
    CHECK(error == asio::error::eof);
}

template <class Stream>
void orderly_end() {
    socket_fixture<Stream> one;
    one.open();
    ending<> closed;
    const std::string large(500'000, 'x');
    one.it->send(large);
    one.it->async_close(closed.handler());
    one.io.poll();
    one.io.restart();
    // The peer still talks while ours is on its way.
    one.send(frame_bytes(role::client, opcode::text, "unread") +
             frame_bytes(role::client, opcode::close, close_payload(1000)));
    octets received;
    std::array<char, 16'384> memory;
    one.peer.non_blocking(true);
    for (;;) {
        one.io.poll();
        one.io.restart();
        std::error_code error;
        received.append(memory.data(), one.peer.read_some(asio::buffer(memory), error));
        if (error == asio::error::would_block) continue;
        if (error) {
            CHECK(error == asio::error::eof);
            break;
        }
    }
    const auto frames = read_frames(received);
    REQUIRE(frames);
    REQUIRE(frames->size() == 2);
    CHECK(frames->front().payload == large);
    CHECK(frames->back().op == 8);
    one.peer.close();
    run_until(one.io, [&] { return closed.calls != 0; });
    CHECK(closed.well());
}

template <class Stream>
void destroyed_context() {
    const auto held = std::make_shared<int>();
    {
        asio::io_context io;
        struct both {
            connection<Stream> it;
            plain_socket<Stream> peer;
            std::shared_ptr<int> held;
        };
        auto ends = socket_pair<plain_socket<Stream>>(io);
        const auto owner = std::make_shared<both>(
            both{connection<Stream>{Stream{std::move(ends.first)}}, std::move(ends.second), held});
        asio::write(owner->peer, asio::buffer(plain_request));
        int opened = 0;
        owner->it.async_accept([owner, &opened](std::error_code) {
            ++opened;
            owner->it.async_run([](const message&) {}, [owner](std::error_code) {});
            owner->it.async_send(std::string(10'000'000, 'x'), [owner](std::error_code) {});
            owner->it.async_ping([owner](std::error_code, std::chrono::nanoseconds) {});
        });
        run_until(io, [&] { return opened != 0; });
        io.poll();
        CHECK(held.use_count() == 2);
    }
    CHECK(held.use_count() == 1);
}

} // namespace

TEST_CASE("opens, echoes and closes over loopback TCP") {
    SECTION("Asio's socket") { echo_over_sockets<asio_socket>(); }
    SECTION("a socket in the poll set") { echo_over_sockets<tcp_socket>(); }
}

TEST_CASE("opens, echoes and closes over a unix socket") { echo_over_sockets<local_socket>(); }

TEST_CASE("opens, echoes and closes over the sockets of any executor") {
    asio::io_context io;
    asio::ip::tcp::acceptor acceptor{io, {asio::ip::address_v4::loopback(), 0}};
    asio::ip::tcp::socket to_client{io};
    asio::ip::tcp::socket to_server{io};
    to_server.connect(acceptor.local_endpoint());
    acceptor.accept(to_client);
    connection server{std::move(to_client)};
    connection client{std::move(to_server)};
    ending<> accepted;
    ending<> shaken;
    server.async_accept(accepted.handler());
    client.async_handshake(uri_of("ws://localhost/"), shaken.handler());
    run_until(io, [&] { return accepted.calls + shaken.calls == 2; });
    ending<> run;
    server.async_run([&](const message& m) { server.send(m); }, run.handler());
    client.send("any");
    read_ending echo;
    client.async_read(echo.handler());
    run_until(io, [&] { return echo.calls != 0; });
    CHECK(echo.text() == "any");
}

TEST_CASE("an echo to a peer that is slow to read arrives unharmed") {
    SECTION("Asio's socket") { slow_peer<local_socket>(); }
    SECTION("a socket in the poll set") { slow_peer<tcp_socket>(); }
}

TEST_CASE("a connection whose socket is cancelled beneath it is lost") {
    socket_fixture<asio_socket> one;
    one.open();
    ending<> run;
    one.it->async_run([](const message&) {}, run.handler());
    one.io.restart();
    one.io.poll();
    one.it->stream().cancel();
    run_until(one.io, [&] { return run.calls != 0; });
    CHECK(run.failed_with(errc::connection_lost));
    CHECK_FALSE(one.it->stream().is_open());
}

TEST_CASE("a reset of the transport ends everything with an error") {
    SECTION("Asio's socket") { reset<asio_socket>(); }
    SECTION("a socket in the poll set") { reset<tcp_socket>(); }
}

TEST_CASE("a peer that only ended its own direction is told nothing and gone") {
    SECTION("Asio's socket") { half_end<asio_socket>(); }
    SECTION("a socket in the poll set") { half_end<tcp_socket>(); }
}

TEST_CASE("an orderly end loses nothing that was sent before it") {
    SECTION("Asio's socket") { orderly_end<asio_socket>(); }
    SECTION("a socket in the poll set") { orderly_end<tcp_socket>(); }
}

TEST_CASE("a context with waiting socket connections is destroyed without a trace") {
    SECTION("Asio's socket") { destroyed_context<asio_socket>(); }
    SECTION("a socket in the poll set") { destroyed_context<tcp_socket>(); }
}
