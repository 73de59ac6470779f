#include <duplex/net/tcp_socket.hpp>

#include "support/connected.hpp"
#include "support/no_descriptors_left.hpp"

#include <duplex/net/connection.hpp>
#include <duplex/net/stream_traits.hpp>

#include <asio/ip/tcp.hpp>
#include <asio/post.hpp>
#include <asio/read.hpp>
#include <asio/write.hpp>

#include <array>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

using namespace duplex;
using namespace duplex::testing;

namespace {

using asio_socket = asio::basic_stream_socket<asio::ip::tcp, asio::io_context::executor_type>;

/// A socket and its peer.
struct ends {
    explicit ends(asio::io_context& io)
        : peer{io}
        , near{connected(io)} {}

    tcp_socket connected(asio::io_context& io) {
        asio::ip::tcp::acceptor acceptor{io, {asio::ip::address_v4::loopback(), 0}};
        peer.connect(acceptor.local_endpoint());
        asio_socket made{io};
        acceptor.accept(made);
        tcp_socket taken{std::move(made)};
        stream_traits<tcp_socket>::prepare(taken);
        return taken;
    }

    asio_socket peer;
    tcp_socket near;
};

/// Many open connections on one context.
struct crowd {
    explicit crowd(std::size_t count, const connection_options& options = {}) {
        for (std::size_t i = 0; i < count; ++i) {
            peers.push_back(std::make_unique<ends>(io));
            connections.emplace_back(std::move(peers.back()->near), options);
            asio::write(peers.back()->peer, asio::buffer(plain_request));
            connections.back().async_accept([this](std::error_code error) { opened += error ? 0U : 1U; });
        }
        run_until([&] { return opened == count; });
        io.restart();
    }

    /// Every connection gives its messages to `on_message`, and its end to `on_end`.
    template <class OnMessage, class OnEnd>
    void run_all(OnMessage on_message, OnEnd on_end) {
        for (auto& each : connections)
            each.async_run(on_message, on_end);
    }
    template <class OnMessage>
    void run_all(OnMessage on_message) {
        run_all(std::move(on_message), [](std::error_code) {});
    }
    /// Every peer sends a message.
    void say_to_all(std::string_view text) {
        for (auto& each : peers)
            asio::write(each->peer, asio::buffer(frame_bytes(role::client, opcode::text, text)));
    }
    template <class Done>
    void run_until(Done done) {
        while (!done())
            REQUIRE(io.run_one() == 1);
    }

    asio::io_context io;
    std::vector<std::unique_ptr<ends>> peers;
    std::vector<connection<tcp_socket>> connections;
    std::size_t opened = 0;
};

} // namespace

TEST_CASE("a tcp_socket knows its ends and takes options") {
    asio::io_context io;
    ends both{io};
    CHECK(both.near.is_open());
    CHECK(both.near.remote_endpoint() == both.peer.local_endpoint());
    CHECK(both.near.local_endpoint() == both.peer.remote_endpoint());
    CHECK((both.near.get_executor() == io.get_executor()));
    std::error_code error;
    both.near.set_option(asio::socket_base::keep_alive{true}, error);
    CHECK_FALSE(error);
    asio::socket_base::keep_alive kept;
    both.near.get_option(kept, error);
    CHECK_FALSE(error);
    CHECK(kept.value());
    asio::ip::tcp::no_delay no_delay;
    both.near.get_option(no_delay, error);
    CHECK(no_delay.value());
}

TEST_CASE("a tcp_socket reads and writes without waiting") {
    asio::io_context io;
    ends both{io};
    std::error_code error;
    std::array<char, 100> memory{};
    CHECK(both.near.read_some(asio::buffer(memory), error) == 0);
    CHECK(error == asio::error::would_block);
    const std::array<asio::const_buffer, 3> parts{asio::buffer("one ", 4), asio::buffer("two ", 4),
                                                  asio::buffer("three", 5)};
    CHECK(both.near.write_some(parts, error) == 13);
    CHECK_FALSE(error);
    CHECK(both.near.write_some(asio::buffer("!", 1), error) == 1);
    CHECK(both.peer.read_some(asio::buffer(memory)) > 0);
    CHECK(std::string_view{memory.data(), 14} == "one two three!");
    const std::string large(64 << 20, 'x');
    CHECK(both.near.write_some(asio::buffer(large), error) < large.size());
    CHECK(both.near.write_some(asio::buffer(large), error) + 1 > 0);
    both.peer.shutdown(asio::socket_base::shutdown_send);
    while (both.near.read_some(asio::buffer(memory), error) == 0 && error == asio::error::would_block) {
    }
    CHECK(error == asio::error::eof);
    both.near.shutdown(asio::socket_base::shutdown_both, error);
    CHECK_FALSE(error);
    CHECK(both.near.write_some(asio::buffer("late"), error) == 0);
    CHECK(error == asio::error::broken_pipe);
}

#if defined(__linux__)
TEST_CASE("what a tcp_socket writes before its end leaves with it") {
    asio::io_context io;
    std::array<char, 100> memory{};
    // The system holds such bytes back for a while, not for ever: it may be over before we look.
    const auto is_held = [&] {
        ends both{io};
        std::error_code error;
        both.near.end_follows();
        tcp_socket moved{std::move(both.near)};
        CHECK(moved.write_some(asio::buffer("la", 2), error) == 2);
        const std::array<asio::const_buffer, 2> parts{asio::buffer("s", 1), asio::buffer("t", 1)};
        CHECK(moved.write_some(parts, error) == 2);
        both.peer.non_blocking(true);
        const bool held = both.peer.read_some(asio::buffer(memory), error) == 0;
        both.peer.non_blocking(false);
        CHECK(held == (error == asio::error::would_block));
        CHECK_FALSE(moved.shutdown(asio::socket_base::shutdown_send, error));
        if (!held) return false;
        CHECK(asio::read(both.peer, asio::buffer(memory), error) == 4);
        CHECK(error == asio::error::eof);
        CHECK(std::string_view{memory.data(), 4} == "last");
        return true;
    };
    int tries = 1;
    while (!is_held() && tries < 20)
        ++tries;
    CHECK(tries < 20);
}
#endif

TEST_CASE("a tcp_socket takes the first 64 of many buffers, and no empty one for the end") {
    asio::io_context io;
    ends both{io};
    std::error_code error;
    const std::string text(100, 'x');
    std::vector<asio::const_buffer> parts(2, asio::buffer(text));
    CHECK(both.near.write_some(parts, error) == 200);
    parts.assign(65, asio::buffer(text, 1));
    CHECK(both.near.write_some(parts, error) == 64);
    CHECK_FALSE(error);
    std::string received(264, ' ');
    asio::read(both.peer, asio::buffer(received));
    CHECK(received == std::string(264, 'x'));
    asio::write(both.peer, asio::buffer("y", 1));
    std::array<char, 2> memory{};
    do
        REQUIRE(both.near.read_some(asio::mutable_buffer{memory.data(), 0}, error) == 0);
    while (error == asio::error::would_block);
    CHECK_FALSE(error);
    CHECK(both.near.read_some(asio::buffer(memory), error) == 1);
    CHECK(memory[0] == 'y');
}

TEST_CASE("a tcp_socket is moved, given away and closed") {
    asio::io_context io;
    ends both{io};
    tcp_socket moved{std::move(both.near)};
    CHECK_FALSE(both.near.is_open());
    CHECK(moved.is_open());
    tcp_socket other{io.get_executor(), moved.release()};
    CHECK_FALSE(moved.is_open());
    moved = std::move(other);
    auto& same = moved;
    moved = std::move(same);
    std::error_code error;
    CHECK(moved.write_some(asio::buffer("x", 1), error) == 1);
    moved.close(error);
    CHECK_FALSE(error);
    CHECK_FALSE(moved.is_open());
    moved.close(error);
    CHECK_FALSE(error);
    std::array<char, 10> memory;
    CHECK(moved.read_some(asio::buffer(memory), error) == 0);
    CHECK(error == asio::error::bad_descriptor);
    CHECK_THROWS_AS(moved.remote_endpoint(), std::system_error);
    asio::socket_base::keep_alive keep{true};
    CHECK(moved.set_option(keep, error) == asio::error::bad_descriptor);
    CHECK(moved.get_option(keep, error) == asio::error::bad_descriptor);
    CHECK(keep.value());
    CHECK(both.peer.read_some(asio::buffer(memory), error) == 1);
    CHECK(both.peer.read_some(asio::buffer(memory), error) == 0);
    CHECK(error == asio::error::eof);
}

TEST_CASE("a socket that Asio can't give up is not taken over") {
    asio::io_context io;
    asio_socket closed{io};
    const tcp_socket none{std::move(closed)};
    CHECK_FALSE(none.is_open());
}

TEST_CASE("a connection on a socket that is not open ends with the system's error") {
    asio::io_context io;
    connection<tcp_socket> it{tcp_socket{io.get_executor(), -1}};
    ending<> opened;
    it.async_accept(opened.handler());
    io.run();
    CHECK(opened.failed_with(asio::error::bad_descriptor));
}

TEST_CASE("a connection that no descriptor was left to wait with ends, and harms no later one") {
    asio::io_context io;
    ends both{io};
    std::optional<connection<tcp_socket>> it;
    {
        const no_descriptors_left none;
        it.emplace(std::move(both.near));
    }
    ending<> opened;
    it->async_accept(opened.handler());
    io.run();
    CHECK(opened.failed_with(asio::error::no_descriptors));
    CHECK_FALSE(it->stream().is_open());
    io.restart();
    ends others{io};
    connection<tcp_socket> next{std::move(others.near)};
    ending<> served;
    next.async_accept(served.handler());
    asio::write(others.peer, asio::buffer(plain_request));
    while (served.calls == 0)
        REQUIRE(io.run_one() == 1);
    CHECK(served.well());
}

TEST_CASE("hundreds of sockets that are ready at once are all served") {
    crowd all{300};
    std::size_t messages = 0;
    all.run_all([&](const message&) { ++messages; });
    all.say_to_all("now");
    all.run_until([&] { return messages >= all.connections.size(); });
    CHECK(messages == all.connections.size());
}

TEST_CASE("an exception from one connection's callback keeps no other from being served") {
    crowd all{20};
    std::size_t messages = 0;
    std::size_t ended = 0;
    all.run_all(
        [&](const message&) {
            if (++messages % 3 == 0) throw std::runtime_error{"callback"};
        },
        [&](std::error_code) { ++ended; });
    all.say_to_all("now");
    std::size_t thrown = 0;
    while (messages < 20) {
        try {
            all.io.run_one();
        } catch (const std::runtime_error&) {
            ++thrown;
        }
    }
    CHECK(thrown == 6);
    for (auto& each : all.peers)
        each->peer.close();
    for (auto& each : all.connections)
        each.abort();
    all.io.run();
    CHECK(ended == 20);
}

TEST_CASE("a connection may end others that are ready in the same turn") {
    crowd all{10};
    std::size_t messages = 0;
    std::size_t ended = 0;
    all.run_all(
        [&](const message&) {
            if (++messages == 1) all.connections.clear();
        },
        [&](std::error_code error) {
            CHECK(error == errc::aborted);
            ++ended;
        });
    all.say_to_all("now");
    all.io.run();
    CHECK(messages == 1);
    CHECK(ended == 10);
}

TEST_CASE("a context with idle connections on which nothing is under way has nothing to run") {
    // A deadline would be something to run for.
    crowd all{3, without_deadlines()};
    all.io.run();
    CHECK(all.io.stopped());
    CHECK(all.connections[0].is_open());
    // And serves them again when something is.
    all.io.restart();
    ending<message> read;
    all.connections[1].async_read(read.handler());
    asio::write(all.peers[1]->peer, asio::buffer(frame_bytes(role::client, opcode::text, "still here")));
    all.io.run();
    CHECK(std::get<0>(read.values).text() == "still here");
}

TEST_CASE("what else a context has to run comes in between, however busy its sockets are") {
    crowd all{8};
    std::size_t messages = 0;
    const octets frame = frame_bytes(role::client, opcode::text, "again");
    for (std::size_t i = 0; i < all.connections.size(); ++i) {
        // Each message brings the next one, so the sockets never run dry.
        all.connections[i].async_run(
            [&, i](const message&) {
                ++messages;
                asio::write(all.peers[i]->peer, asio::buffer(frame));
            },
            [](std::error_code) {});
        asio::write(all.peers[i]->peer, asio::buffer(frame));
    }
    all.run_until([&] { return messages != 0; });
    bool posted = false;
    asio::post(all.io, [&] { posted = true; });
    const std::size_t before = messages;
    all.run_until([&] { return posted; });
    CHECK(messages - before < 1000);
    // So does the end.
    asio::post(all.io, [&] { all.io.stop(); });
    all.io.run();
    CHECK(all.io.stopped());
}

TEST_CASE("a large message stays readable in its callback when its connection is gone") {
    const auto how = GENERATE(0, 1, 2);
    crowd all{1};
    std::string seen;
    all.connections[0].async_run(
        [&](const message& m) {
            CHECK(accepted(all.connections[0].send(m)));
            if (how == 0) all.connections[0].abort();
            if (how == 1) all.connections.clear();
            seen = m.text();
        },
        [](std::error_code) {});
    const std::string large(300'000, 'x');
    std::string wire = frame_bytes(role::client, opcode::text, large);
    std::string_view rest = wire;
    all.peers[0]->peer.non_blocking(true);
    while (seen.empty()) {
        std::error_code error;
        if (!rest.empty()) rest.remove_prefix(all.peers[0]->peer.write_some(asio::buffer(rest), error));
        all.io.poll();
        all.io.restart();
    }
    CHECK(seen == large);
}

TEST_CASE("urgent data holds nothing up that comes behind it") {
    crowd all{1};
    std::size_t messages = 0;
    all.run_all([&](const message&) { ++messages; });
    const octets frame = frame_bytes(role::client, opcode::text, "text");
    auto& peer = all.peers[0]->peer;
    asio::write(peer, asio::buffer(frame));
    peer.send(asio::buffer("!", 1), asio::socket_base::message_out_of_band);
    asio::write(peer, asio::buffer(frame));
    all.run_until([&] { return messages >= 2; });
    CHECK(messages == 2);
}

TEST_CASE("a callback may stop the context, and the sockets it left are served when it runs again") {
    crowd all{40};
    std::size_t messages = 0;
    all.run_all([&](const message&) {
        if (++messages == 1) all.io.stop();
    });
    all.say_to_all("now");
    while (!all.io.stopped())
        all.io.run_one();
    CHECK(messages <= 8);
    all.io.restart();
    all.run_until([&] { return messages >= 40; });
    CHECK(messages == 40);
}

TEST_CASE("a handle outlives its context") {
    connection<tcp_socket>::handle_type handle;
    std::vector<connection<tcp_socket>> connections;
    {
        crowd all{1};
        handle = all.connections[0].handle();
        CHECK(handle.is_open());
        connections = std::move(all.connections);
    }
    CHECK_FALSE(handle.is_open());
    CHECK(handle.send("late") == send_status::not_open);
    CHECK(handle.ping() == send_status::not_open);
    CHECK(handle.close() == errc::not_open);
    CHECK(handle.buffered_amount() == 0);
}
