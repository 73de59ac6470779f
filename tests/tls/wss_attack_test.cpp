#include <duplex/tls.hpp>

#include "support/catch.hpp"
#include "support/loopback.hpp"
#include "support/tls_pair.hpp"
#include "support/wss_server.hpp"

#include <duplex/server.hpp>
#include <duplex/websocket.hpp>

#include <asio/io_context.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace {

using namespace duplex;
using namespace duplex::testing;
using namespace std::string_view_literals;

/// Nothing ends by itself: what hangs, hangs.
[[nodiscard]] connection_options patient() {
    using none = timeouts::duration;
    connection_options made;
    made.timeouts = {none{0}, none{0}, none{0}, none{0}, none{0}, none{0}, none{0}, none{0}};
    return made;
}

[[nodiscard]] server_options patient_server() {
    server_options options;
    options.connection = patient();
    return options;
}

/// A masked frame with a key of zeros.
[[nodiscard]] std::string masked(char first, std::string_view payload) {
    return std::string{first, static_cast<char>(0x80U | payload.size())} + std::string(4, '\0') +
           std::string{payload};
}

} // namespace

TEST_CASE("a client that is cut off at any byte of both handshakes is one error and no more") {
    const auto how = std::string{GENERATE("ends", "drops", "resets")};
    CAPTURE(how);
    asio::io_context io;
    wss_server server{io, as_localhost(), patient_server()};
    std::size_t whole = 0;
    {
        tls_client good{io, server.it->port()};
        good.open(server.it->port());
        whole = good.passed;
        good.wire.drop();
        run_until(io, [&] { return server.ends == 1; });
    }
    REQUIRE(whole > 300);
    server.ends = server.failures = 0;
    int expected = 0;
    for (std::size_t n = 0; n < whole - 1; n += n < 10 || how == "ends" ? 1 : 1 + n % 7) {
        CAPTURE(n);
        tls_client client{io, server.it->port()};
        client.left = n;
        client.deliver({});
        bool asked = false;
        client.pump_until([&] {
            if (client.end.done() && !std::exchange(asked, true))
                client.write(request_for(server.it->port()));
            return client.cut;
        });
        if (how == "drops") client.wire.drop();
        if (how == "resets") client.wire.reset();
        ++expected;
        run_until(io, [&] { return server.ends + server.failures >= expected; });
        REQUIRE(server.failures == expected);
        CHECK(server.failed);
        run_until(io, [&] { return server.it->peer_count() == 0; });
    }
    CHECK(server.ends == 0);
    server.it->stop();
    run_out(io);
}

TEST_CASE("a server that is cut off at any byte of both handshakes is one error and no more") {
    asio::io_context io;
    wss_server server{io, as_localhost(), patient_server()};
    // In between: it lets so many bytes of the server's through.
    bool opened = false;
    for (std::size_t n = 0; !opened; n += 1 + n % 13) {
        CAPTURE(n);
        raw_server between{io};
        auto options = trusted();
        options.connection = patient();
        watched client{io, "wss://localhost:" + std::to_string(between.port()) + "/", {}, options};
        run_until(io, [&] { return between.connected(); });
        raw_peer onward{io, server.it->port()};
        std::size_t left = n;
        bool cut = false;
        run_until(io, [&] {
            if (const auto there = between.peer().take(); !there.empty() && !cut) onward.send(there);
            auto back = onward.take();
            back.resize(std::min(back.size(), left));
            left -= back.size();
            if (!back.empty()) between.peer().send(back);
            if (left == 0 && !std::exchange(cut, true)) between.peer().shutdown_send();
            opened = client.saw("open");
            return client.closed() || opened;
        });
        if (opened) break;
        CHECK(client.seen == history{"error", "close 1006"});
        CHECK(client.error);
        between.peer().drop();
        onward.drop();
        run_until(io, [&] { return server.it->peer_count() == 0; });
    }
    CHECK(opened);
}

TEST_CASE("an end behind a part of a record, or behind what gives nothing to read, is seen") {
    const auto what = std::string{GENERATE("half a record", "new keys", "an empty record")};
    CAPTURE(what);
    asio::io_context io;
    wss_server server{io, as_localhost(), patient_server()};
    tls_client client{io, server.it->port()};
    client.open(server.it->port());
    std::string last;
    if (what == "half a record") {
        const auto frame = masked('\x81', "Hello");
        REQUIRE(SSL_write(client.end.ssl(), frame.data(), static_cast<int>(frame.size())) > 0);
        last = client.end.take();
        last.resize(last.size() / 2);
    } else if (what == "new keys") {
        REQUIRE(SSL_key_update(client.end.ssl(), SSL_KEY_UPDATE_REQUESTED) == 1);
        client.end.step();
        last = client.end.take();
    } else {
        std::size_t none = 0;
        (void)SSL_write_ex(client.end.ssl(), "", 0, &none);
        last = client.end.take();
    }
    if (!last.empty()) client.wire.send(last);
    client.wire.shutdown_send();
    run_until(io, [&] { return server.closed.has_value(); });
    CHECK(server.closed->error == errc::tls_truncated);
    CHECK(server.ends == 1);
}

TEST_CASE("a Close is answered and clean, although the peer's TLS ends with it") {
    const int newest = GENERATE(TLS1_2_VERSION, TLS1_3_VERSION);
    CAPTURE(newest);
    asio::io_context io;
    auto options = as_localhost();
    wss_server server{io, options, patient_server()};
    tls_client client{io, server.it->port()};
    SSL_set_max_proto_version(client.end.ssl(), newest);
    client.open(server.it->port());
    const auto before = client.end.received().size();
    const auto frame = masked('\x88', "\x03\xE8"sv);
    REQUIRE(SSL_write(client.end.ssl(), frame.data(), static_cast<int>(frame.size())) > 0);
    SSL_shutdown(client.end.ssl());
    // One segment.
    client.wire.send(client.end.take());
    run_until(io, [&] {
        if (!client.wire.received().empty()) client.end.give(client.wire.take());
        client.end.step();
        return client.wire.ended();
    });
    CHECK(client.end.received().substr(before) == "\x88\x02\x03\xE8"sv);
    client.wire.drop();
    run_until(io, [&] { return server.closed.has_value(); });
    CHECK(server.closed->was_clean);
    CHECK_FALSE(server.closed->error);
}

TEST_CASE("a client may be destroyed between any two steps, and the server has nothing left") {
    bool done = false;
    for (int steps = 0; !done; ++steps) {
        CAPTURE(steps);
        asio::io_context io;
        wss_server server{io, as_localhost(), patient_server()};
        server.it->on_message = [](server::peer& peer, const message& m) { (void)peer.send(m); };
        auto options = trusted();
        options.connection = patient();
        watched client{io, server.url(), {}, options};
        client.then_open = [&] { CHECK(accepted(client.socket->send(std::string(100'000, 'x')))); };
        for (int i = 0; i < steps && !done; ++i) {
            REQUIRE(io.run_one() == 1);
            done = client.seen.size() > 1;
        }
        const auto before = client.seen;
        client.socket.reset();
        server.it->stop();
        run_out(io);
        CHECK(client.seen == before);
        CHECK(server.it->peer_count() == 0);
        CHECK(server.ends + server.failures <= 1);
    }
}

TEST_CASE("a server may be destroyed between any two steps, and the client is told once") {
    bool done = false;
    for (int steps = 0; !done; ++steps) {
        CAPTURE(steps);
        asio::io_context io;
        auto server = std::make_unique<wss_server>(io, as_localhost(), patient_server());
        auto options = trusted();
        options.connection = patient();
        watched client{io, server->url(), {}, options};
        client.then_open = [&] { CHECK(accepted(client.socket->send(std::string(100'000, 'x')))); };
        for (int i = 0; i < steps && !done; ++i) {
            REQUIRE(io.run_one() == 1);
            done = client.seen.size() > 1;
        }
        const auto ended = server->ends + server->failures;
        server->it.reset();
        run_until(io, [&] { return client.closed(); });
        run_out(io);
        CHECK(server->ends + server->failures == ended);
        int closes = 0;
        for (const auto& each : client.seen)
            closes += each.starts_with("close") ? 1 : 0;
        CHECK(closes == 1);
    }
}

TEST_CASE("both ends may be destroyed in each of their callbacks") {
    const auto where = std::string{GENERATE("client open", "client message", "client error", "client close",
                                            "server request", "server open", "server message", "server close",
                                            "server error")};
    CAPTURE(where);
    asio::io_context io;
    wss_server server{io, as_localhost(), patient_server()};
    auto options = trusted();
    options.connection = patient();
    if (where == "client error" || where == "server error")
        options.tls.ca_pem = make_certificate({.use = usage::authority}).pem;
    watched client{io, server.url(), {}, options};
    bool gone = false;
    const auto drop = [&](std::string_view here) {
        if (here != where) return false;
        gone = true;
        if (here.starts_with("client"))
            client.socket.reset();
        else
            server.it.reset();
        return true;
    };
    client.then_open = [&] {
        if (!drop("client open")) client.socket->send("one");
    };
    client.then_message = [&](const message&) {
        if (!drop("client message")) client.socket->close(1000);
    };
    client.then_error = [&] { drop("client error"); };
    client.then_close = [&] { drop("client close"); };
    server.it->on_request = [&](const server_handshake&) -> std::optional<rejection> {
        drop("server request");
        return std::nullopt;
    };
    server.it->on_open = [&](server::peer&) { drop("server open"); };
    server.it->on_message = [&](server::peer& peer, const message& m) {
        if (!drop("server message")) (void)peer.send(m);
    };
    server.it->on_close = [&](server::peer&, const close_result&) { drop("server close"); };
    server.it->on_error = [&](std::error_code) { drop("server error"); };
    run_until(io, [&] { return gone; });
    client.socket.reset();
    if (server.it) server.it->stop();
    run_out(io);
}

TEST_CASE("a refusal whose body is cut off is a refusal still") {
    asio::io_context io;
    raw_server between{io};
    watched client{io, "wss://localhost:" + std::to_string(between.port()) + "/", {}, trusted()};
    run_until(io, [&] { return between.connected(); });
    tls_end server{server_with(as_localhost())};
    SSL_set_accept_state(server.ssl());
    run_until(io, [&] {
        if (const auto in = between.peer().take(); !in.empty()) server.give(in);
        server.step();
        if (const auto out = server.take(); !out.empty()) between.peer().send(out);
        return server.received().ends_with("\r\n\r\n");
    });
    const auto answer = "HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain\r\n\r\nnot today"sv;
    REQUIRE(SSL_write(server.ssl(), answer.data(), static_cast<int>(answer.size())) > 0);
    between.peer().send(server.take());
    between.peer().shutdown_send();
    run_until(io, [&] { return client.closed(); });
    CHECK(client.error == errc::upgrade_refused);
    REQUIRE(client.response);
    CHECK(client.response->status == 403);
}

TEST_CASE("a wss client whose context many threads run gets all that was sent, in order") {
    constexpr int count = 300;
    asio::io_context io;
    server_options options;
    options.threads = 2;
    wss_server server{io, as_localhost(), options};
    server.it->on_message = [](server::peer& peer, const message& m) { (void)peer.send(m); };
    server.it->on_close = [](server::peer&, const close_result&) {};
    asio::io_context client_io;
    std::vector<std::unique_ptr<websocket>> clients;
    std::atomic<int> over{0};
    std::atomic<int> clean{0};
    struct tally {
        int came = 0;
        int running = 0;
        bool in_order = true;
    };
    std::vector<tally> tallies(4);
    for (std::size_t i = 0; i < tallies.size(); ++i) {
        auto& socket = *clients.emplace_back(std::make_unique<websocket>(client_io));
        auto& mine = tallies[i];
        socket.on_open = [&socket] {
            for (int n = 0; n < count; ++n)
                (void)socket.send(std::to_string(n) +
                                  std::string(static_cast<std::size_t>(n) * 37 % 5000, '.'));
        };
        socket.on_message = [&socket, &mine](const message& m) {
            mine.in_order =
                mine.in_order && mine.running++ == 0 && std::stoi(std::string{m.text()}) == mine.came;
            if (++mine.came == count) socket.close(1000);
            --mine.running;
        };
        socket.on_close = [&](const close_event& e) {
            if (e.was_clean) ++clean;
            if (++over == static_cast<int>(tallies.size())) server.it->stop();
        };
        REQUIRE_FALSE(socket.open(server.url(), {}, trusted()));
    }
    std::vector<std::thread> threads;
    threads.emplace_back([&] { io.run(); });
    for (int i = 0; i < 3; ++i)
        threads.emplace_back([&] { client_io.run(); });
    for (auto& thread : threads)
        thread.join();
    CHECK(clean == static_cast<int>(tallies.size()));
    for (const auto& each : tallies) {
        CHECK(each.in_order);
        CHECK(each.came == count);
    }
}
