#include <duplex/net/connection.hpp>

#include "support/sockets.hpp"

#include <asio/post.hpp>
#include <asio/read.hpp>
#include <asio/write.hpp>

#include <array>
#include <chrono>
#include <string>
#include <string_view>
#include <utility>

using namespace duplex;
using namespace duplex::testing;
using namespace std::chrono_literals;

namespace {

template <class Stream>
void pings() {
    socket_fixture<Stream> one;
    one.open();
    ending<> run;
    one.it->async_run([](const message&) {}, run.handler());
    std::array<ending<std::chrono::nanoseconds>, 2> waiting;
    octets last;
    for (auto& each : waiting) {
        one.it->async_ping(each.handler());
        one.io.restart();
        one.io.poll();
        last = one.receive(10).substr(2);
    }
    CHECK(waiting[0].calls + waiting[1].calls == 0);
    // The answer to the latest answers both.
    one.send(frame_bytes(role::client, opcode::pong, last));
    run_until(one.io, [&] { return waiting[0].calls + waiting[1].calls == 2; });
    CHECK(waiting[0].well());
    CHECK(waiting[1].well());
    CHECK(std::get<0>(waiting[1].values) <= std::get<0>(waiting[0].values));
    CHECK(run.calls == 0);
}

/// More pieces at once than one write of the system takes.
template <class Stream>
void many_pieces() {
    socket_fixture<Stream> one;
    one.open();
    const std::string text(20'000, 'x');
    const auto prepared = prepared_message::text(text);
    asio::post(one.io, [&] {
        for (int i = 0; i < 100; ++i)
            CHECK(accepted(one.it->send(prepared)));
    });
    ending<> drained;
    asio::post(one.io, [&] { one.it->async_drain(drained.handler()); });
    octets received;
    std::array<char, 65'536> memory;
    one.peer.non_blocking(true);
    while (received.size() < 100U * (text.size() + 4U)) {
        one.io.poll();
        one.io.restart();
        std::error_code error;
        received.append(memory.data(), one.peer.read_some(asio::buffer(memory), error));
        REQUIRE((!error || error == asio::error::would_block));
    }
    run_until(one.io, [&] { return drained.calls != 0; });
    CHECK(drained.well());
    const auto frames = read_frames(received);
    REQUIRE(frames);
    CHECK(frames->size() == 100);
    for (const auto& each : *frames)
        CHECK(each.payload == text);
}

/// A peer that makes less room than the system calls writable.
void little_room() {
    asio::io_context io;
    test::manual_time time{io};
    auto ends = socket_pair<local_socket>(io);
    auto& peer = ends.second;
    connection<local_socket> it{std::move(ends.first)};
    ending<> opened;
    asio::write(peer, asio::buffer(plain_request));
    it.async_accept(opened.handler());
    run_until(io, [&] { return opened.calls != 0; });
    REQUIRE(opened.well());
    ending<> run;
    it.async_run([](const message&) {}, run.handler());
    const auto poll = [&] {
        io.restart();
        io.poll();
    };
    // As much as the sockets hold, and a little more.
    const std::string text(2000, 'x');
    std::size_t sent = 0;
    for (; it.buffered_amount() == 0; ++sent) {
        asio::post(io, [&] { it.send(text); });
        poll();
    }
    ending<std::chrono::nanoseconds> ping;
    it.async_ping(ping.handler());
    octets received(4000, '\0');
    asio::read(peer, asio::buffer(received));
    // The deadlines come by, and use the room.
    for (int i = 0; i < 10; ++i) {
        asio::write(peer, asio::buffer(frame_bytes(role::client, opcode::text, "alive")));
        time.advance(16s);
        poll();
    }
    CHECK(it.buffered_amount() == 0);
    CHECK(it.is_open());
    peer.non_blocking(true);
    std::array<char, 65'536> memory;
    for (std::error_code error; !error;) {
        received.append(memory.data(), peer.read_some(asio::buffer(memory), error));
        poll();
    }
    const auto frames = read_frames(std::string_view{received}.substr(received.find("\r\n\r\n") + 4));
    REQUIRE(frames);
    std::size_t texts = 0;
    for (const auto& each : *frames)
        texts += each.payload == text ? 1U : 0U;
    CHECK(texts == sent);
    CHECK(it.is_open());
    CHECK(run.calls == 0);
}

/// A request that the sockets don't hold.
template <class Stream>
void large_request() {
    asio::io_context io;
    auto ends = socket_pair<plain_socket<Stream>>(io);
    connection<Stream> it{Stream{std::move(ends.first)}};
    client_handshake_options options;
    const std::string value(8'000'000, 'x');
    options.headers.add("X-Large", value);
    ending<> shaken;
    it.async_handshake(uri_of("ws://localhost/"), options, shaken.handler());
    std::string request;
    std::array<char, 65'536> memory;
    ends.second.non_blocking(true);
    while (!request.ends_with("\r\n\r\n")) {
        io.poll();
        io.restart();
        std::error_code error;
        request.append(memory.data(), ends.second.read_some(asio::buffer(memory), error));
        REQUIRE((!error || error == asio::error::would_block));
    }
    CHECK(request.find(value) != std::string::npos);
    ends.second.non_blocking(false);
    asio::write(ends.second, asio::buffer(answer_to(request)));
    run_until(io, [&] { return shaken.calls != 0; });
    CHECK(shaken.well());
}

template <class Stream>
void gone_before_the_request() {
    asio::io_context io;
    auto ends = socket_pair<plain_socket<Stream>>(io);
    connection<Stream> it{Stream{std::move(ends.first)}};
    ends.second.set_option(asio::socket_base::linger{true, 0});
    ends.second.close();
    ending<> shaken;
    it.async_handshake(uri_of("ws://localhost/"), client_handshake_options{}, shaken.handler());
    io.run();
    CHECK(shaken.calls == 1);
    CHECK((shaken.error == asio::error::connection_reset || shaken.error == asio::error::broken_pipe));
    CHECK_FALSE(it.stream().is_open());
    REQUIRE(it.opening_outcome());
    CHECK(it.opening_outcome()->error == shaken.error);
}

} // namespace

TEST_CASE("sockets carry pings as any stream does") {
    SECTION("Asio's socket") { pings<asio_socket>(); }
    SECTION("a unix socket") { pings<local_socket>(); }
    SECTION("a socket in the poll set") { pings<tcp_socket>(); }
}

TEST_CASE("many large messages leave in as many writes as the system needs") {
    SECTION("Asio's socket") { many_pieces<asio_socket>(); }
    SECTION("a socket in the poll set") { many_pieces<tcp_socket>(); }
}

TEST_CASE("a peer that makes little room is sent what there is room for") { little_room(); }

TEST_CASE("a request that is larger than the sockets' buffers arrives whole") {
    SECTION("Asio's socket") { large_request<asio_socket>(); }
    SECTION("a socket in the poll set") { large_request<tcp_socket>(); }
}

TEST_CASE("a peer that is gone before the request is found out by its writing") {
    SECTION("a unix socket") { gone_before_the_request<local_socket>(); }
    SECTION("a socket in the poll set") { gone_before_the_request<tcp_socket>(); }
}
