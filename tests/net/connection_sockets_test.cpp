#include <duplex/net/connection.hpp>

#include "support/connected.hpp"

#include <asio/ip/tcp.hpp>
#include <asio/local/connect_pair.hpp>
#include <asio/local/stream_protocol.hpp>
#include <asio/read.hpp>
#include <asio/write.hpp>

#include <array>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <utility>

using namespace duplex;
using namespace duplex::testing;
using namespace std::chrono_literals;

namespace {

using executor = asio::io_context::executor_type;
using asio_socket = asio::basic_stream_socket<asio::ip::tcp, executor>;
using local_socket = asio::basic_stream_socket<asio::local::stream_protocol, executor>;

/// Two connected sockets of a kind.
template <class Socket>
std::pair<Socket, Socket> socket_pair(asio::io_context& io) {
    Socket first{io};
    Socket second{io};
    if constexpr (std::is_same_v<typename Socket::protocol_type, asio::ip::tcp>) {
        asio::ip::tcp::acceptor acceptor{io, {asio::ip::address_v4::loopback(), 0}};
        second.connect(acceptor.local_endpoint());
        acceptor.accept(first);
    } else {
        asio::local::connect_pair(first, second);
    }
    return {std::move(first), std::move(second)};
}

/// Runs the context until `done` says so. A test that hangs is ended by its runner.
template <class Done>
void run_until(asio::io_context& io, Done done) {
    io.restart();
    while (!done())
        REQUIRE(io.run_one() == 1);
}

/// The socket of Asio's that a stream is made from.
template <class Stream>
using plain_socket = std::conditional_t<std::is_same_v<Stream, tcp_socket>, asio_socket, Stream>;

template <class Stream>
struct socket_fixture {
    explicit socket_fixture(const connection_options& options = {}, int buffers = 0) {
        if (buffers != 0) {
            ends.first.set_option(asio::socket_base::send_buffer_size{buffers});
            ends.second.set_option(asio::socket_base::receive_buffer_size{buffers});
        }
        it.emplace(Stream{std::move(ends.first)}, options);
    }

    void open() {
        ending<> opened;
        asio::write(peer, asio::buffer(plain_request));
        it->async_accept(opened.handler());
        run_until(io, [&] { return opened.calls != 0; });
        REQUIRE(opened.well());
        std::string head;
        while (!head.ends_with("\r\n\r\n"))
            head += receive(1);
    }
    void send(std::string_view bytes) { asio::write(peer, asio::buffer(bytes)); }
    octets receive(std::size_t count) {
        octets bytes(count, '\0');
        asio::read(peer, asio::buffer(bytes));
        return bytes;
    }

    asio::io_context io;
    std::pair<plain_socket<Stream>, plain_socket<Stream>> ends = socket_pair<plain_socket<Stream>>(io);
    std::optional<connection<Stream>> it;
    plain_socket<Stream>& peer = ends.second;
};

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
