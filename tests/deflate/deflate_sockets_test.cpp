#include <duplex/blocking_client.hpp>
#include <duplex/deflate.hpp>
#include <duplex/server.hpp>
#include <duplex/websocket.hpp>

// permessage-deflate between servers and clients over real sockets.

#include "support/loopback.hpp"
#include "support/running_context.hpp"
#include "support/wire.hpp"

#include <asio/post.hpp>

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

namespace {

using namespace duplex;
using namespace duplex::testing;

[[nodiscard]] server_options compressing(deflate_options options = {}) {
    server_options made;
    made.deflate = options;
    return made;
}

const std::string offer = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n";

TEST_CASE("a server and a client agree on compression, and it is seen on the wire") {
    asio::io_context io;
    server it{io, compressing({.threshold = 100})};
    std::vector<std::string> seen;
    it.on_open = [&](server::peer& peer) {
        REQUIRE(peer.opening_outcome());
        CHECK(peer.opening_outcome()->deflate.has_value());
    };
    it.on_message = [&](server::peer& peer, const message& m) {
        seen.emplace_back(m.text());
        peer.send(m);
        if (m.text() == "plain, please") peer.send(std::string(1000, 'p'), {.how = compression::none});
    };
    it.start();
    raw_peer client{io, it.port()};
    client.send(request_for(it.port(), offer));
    run_until(io, [&] { return client.received().ends_with("\r\n\r\n"); });
    CHECK(client.take().find("\r\nSec-WebSocket-Extensions: permessage-deflate;") != std::string::npos);
    const auto says = [&](std::string_view hex, unsigned rsv) {
        client.send(frame_bytes(role::client, opcode::text, from_hex(hex), {.rsv = rsv}));
    };
    const auto answered = [&](std::size_t count) {
        std::optional<std::vector<seen_frame>> frames;
        run_until(io, [&] { return (frames = read_frames(client.received())) && frames->size() == count; });
        (void)client.take();
        return *std::move(frames);
    };
    // "Hello", compressed; too short to be compressed on its way back.
    says("f2 48 cd c9 c9 07 00", 4);
    auto frames = answered(1);
    CHECK(frames[0].rsv == 0);
    CHECK(frames[0].payload == "Hello");
    client.send(frame_bytes(role::client, opcode::text, std::string(5000, 'x')));
    frames = answered(1);
    CHECK(frames[0].rsv == 4);
    CHECK(frames[0].payload.size() < 50);
    client.send(frame_bytes(role::client, opcode::text, "plain, please"));
    frames = answered(2);
    CHECK(frames[1].rsv == 0);
    CHECK(frames[1].payload == std::string(1000, 'p'));
    CHECK(seen == std::vector<std::string>{"Hello", std::string(5000, 'x'), "plain, please"});
    client.drop();
    it.stop();
    run_out(io);
}

TEST_CASE("messages of every size come back as they went, with and without windows that are kept") {
    const bool server_keeps = GENERATE(true, false);
    const bool client_keeps = GENERATE(true, false);
    asio::io_context io;
    const deflate_options of_server{.context_takeover = server_keeps, .peer_context_takeover = client_keeps};
    server it{io, compressing(of_server)};
    it.on_message = [](server::peer& peer, const message& m) { peer.send(m); };
    it.start();
    connect_options options;
    options.deflate =
        deflate_options{.context_takeover = client_keeps, .peer_context_takeover = server_keeps};
    websocket client{io};
    std::vector<std::string> sent;
    for (std::size_t size = 0; size < 400'000; size = size * 3 + 1) {
        std::string text;
        for (unsigned i = 0; text.size() < size; ++i)
            text += "{\"n\":" + std::to_string(i * size) + "},";
        text.resize(size);
        sent.push_back(text);
        sent.push_back(text);
    }
    std::vector<std::string> came;
    bool closed = false;
    client.on_open = [&] {
        for (const auto& each : sent)
            CHECK(accepted(client.send(each)));
    };
    client.on_message = [&](const message& m) {
        came.emplace_back(m.text());
        if (came.size() == sent.size()) client.close(close_code::normal);
    };
    client.on_close = [&](const auto& how) {
        closed = true;
        CHECK(how.was_clean);
    };
    REQUIRE_FALSE(client.open(url_of(it), {}, options));
    run_until(io, [&] { return closed; });
    CHECK(came == sent);
    it.stop();
    run_out(io);
}

TEST_CASE("whoever doesn't offer it, or doesn't take it, gets plain messages") {
    const bool offers = GENERATE(true, false);
    asio::io_context io;
    server it{io, offers ? server_options{} : compressing()};
    it.on_message = [](server::peer& peer, const message& m) { peer.send(m); };
    it.start();
    connect_options options;
    if (offers) options.deflate.emplace();
    websocket client{io};
    const std::string text(5000, 'x');
    std::string came;
    client.on_open = [&] { client.send(text); };
    client.on_message = [&](const message& m) { came = m.text(); };
    REQUIRE_FALSE(client.open(url_of(it), {}, options));
    run_until(io, [&] { return !came.empty(); });
    CHECK(came == text);
    CHECK(client.extensions().empty());
    it.stop();
    run_out(io);
}

/// A server that compresses, echoes, and notes the reserved bits of what comes.
struct noting_server {
    explicit noting_server(asio::io_context& io) {
        auto options = compressing();
        options.connection.observer = trace_frames([this](const traced_frame& frame) {
            if (frame.way == direction::in && !is_control(frame.header.op)) seen.push_back(frame.header.rsv);
        });
        it.emplace(io, options);
        it->on_message = [](server::peer& peer, const message& m) { peer.send(m); };
        it->start();
    }

    std::vector<unsigned> seen;
    std::optional<server> it;
};

TEST_CASE("a client chooses for each message whether it travels compressed, also of what is kept") {
    asio::io_context io;
    noting_server to{io};
    const std::string text(1000, 'x');
    connect_options compressed;
    compressed.deflate.emplace();
    compressed.reconnect.emplace();
    compressed.reconnect->keep_queue = true;
    websocket client{io};
    int came = 0;
    client.on_open = [&] {
        CHECK(accepted(client.send(text, compression::none)));
        CHECK(accepted(client.send(text)));
    };
    client.on_message = [&](const message&) {
        if (++came == 4) client.close();
    };
    REQUIRE_FALSE(client.open(url_of(*to.it), {}, compressed));
    CHECK(accepted(client.send(text, compression::none)));
    CHECK(accepted(client.send(view(text))));
    run_until(io, [&] { return client.ready_state() == ready_state::closed; });
    CHECK(to.seen == std::vector<unsigned>{0, 4, 0, 4});
    to.it->stop();
    run_out(io);
}

TEST_CASE("a client that waits chooses for each message, too") {
    running_context serving;
    noting_server to{serving.io};
    serving.start();
    const std::string text(1000, 'x');
    connect_options compressed;
    compressed.deflate.emplace();
    std::error_code error;
    {
        blocking_client client;
        constexpr auto ample = std::chrono::seconds{30};
        client.connect(url_of(*to.it), compressed, ample, error);
        for (const auto how : {compression::none, compression::automatic}) {
            if (!error) client.send(text, ample, error, how);
            if (!error) (void)client.read(ample, error);
        }
    }
    asio::post(serving.io, [&] { to.it->stop(); });
    serving.join();
    CHECK_FALSE(error);
    CHECK(to.seen == std::vector<unsigned>{0, 4});
}

TEST_CASE("options of compression that mean nothing are refused before anything happens") {
    asio::io_context io;
    server it{io, compressing({.level = 10})};
    std::error_code error;
    it.start(error);
    CHECK(error == errc::deflate_option_invalid);
    websocket client{io};
    connect_options options;
    options.deflate = deflate_options{.max_window_bits = 7};
    std::optional<std::error_code> why;
    client.on_error = [&](const error_event& e) { why = e.error; };
    REQUIRE_FALSE(client.open("ws://127.0.0.1:1/", {}, options));
    run_out(io);
    CHECK(why == std::error_code{errc::deflate_option_invalid});
}

TEST_CASE("an answer that was not offered so ends the client's opening") {
    asio::io_context io;
    raw_server server{io};
    websocket client{io};
    connect_options options;
    options.deflate.emplace();
    std::optional<std::error_code> why;
    client.on_error = [&](const error_event& e) { why = e.error; };
    REQUIRE_FALSE(client.open(server.url(), {}, options));
    const auto request = server.await_request(io);
    CHECK(request.find("\r\nSec-WebSocket-Extensions: permessage-deflate") != std::string::npos);
    server.peer().send(acceptance_of(
        request, "Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=16\r\n"));
    run_until(io, [&] { return why.has_value(); });
    CHECK(why == std::error_code{errc::deflate_answer_invalid});
    server.peer().drop();
    run_out(io);
}

} // namespace
