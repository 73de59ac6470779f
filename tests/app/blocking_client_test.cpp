#include <duplex/blocking_client.hpp>

#include "support/hanging_port.hpp"
#include "support/loopback.hpp"
#include "support/temporary_directory.hpp"
#include "support/wire.hpp"

#include <asio/io_context.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/read.hpp>
#include <asio/read_until.hpp>
#include <asio/write.hpp>

#include <chrono>
#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>

namespace {

using namespace duplex;
using namespace duplex::testing;
using namespace std::chrono_literals;

/// Longer than any test may take: nothing waits for it to pass.
constexpr auto ample = 60s;

/// Does something beside the test, and is waited for.
class meanwhile {
public:
    explicit meanwhile(std::function<void()> what)
        : thread_{std::move(what)} {}
    ~meanwhile() { thread_.join(); }
    meanwhile(const meanwhile&) = delete;
    meanwhile& operator=(const meanwhile&) = delete;

private:
    std::thread thread_;
};

/// A server whose bytes the test writes itself, by calls that block.
struct scripted_server {
    scripted_server() = default;

    [[nodiscard]] std::string url() const {
        return "ws://127.0.0.1:" + std::to_string(acceptor.local_endpoint().port());
    }
    /// Reads the request of the client that comes next, and answers it.
    void serve(std::string_view answer = {}) {
        peer = tcp::socket{io};
        acceptor.accept(peer);
        std::string request;
        asio::read_until(peer, asio::dynamic_buffer(request), "\r\n\r\n");
        send(answer.empty() ? acceptance_of(request) : std::string{answer});
    }
    /// Lets the client connect.
    void open(blocking_client& client, const connect_options& options = {}) {
        const meanwhile serving{[this] { serve(); }};
        client.connect(url(), options, ample);
    }
    void send(std::string_view bytes) { asio::write(peer, asio::buffer(bytes)); }
    void say(std::string_view text) { send(frame_bytes(role::server, opcode::text, text)); }
    /// So many bytes of the client's, or what comes until it ends.
    [[nodiscard]] std::string receive(std::size_t count) {
        std::string bytes(count, '\0');
        std::error_code error;
        bytes.resize(asio::read(peer, asio::buffer(bytes), error));
        return bytes;
    }

    asio::io_context io;
    tcp::acceptor acceptor{io, tcp::endpoint{asio::ip::address_v4::loopback(), 0}};
    tcp::socket peer{io};
};

/// A server of duplex's own, on a thread.
class threaded_server {
public:
    explicit threaded_server(server_options options = {})
        : server_{io_, std::move(options)} {
        server_.on_message = [](server::peer& peer, const message& m) {
            if (m.text() == "close")
                peer.close(close_code{4000}, "asked for");
            else
                peer.send(m);
        };
        server_.start();
        thread_ = std::thread{[this] { io_.run(); }};
    }
    ~threaded_server() {
        server_.stop();
        thread_.join();
    }
    [[nodiscard]] std::string url() const { return url_of(server_); }

private:
    asio::io_context io_;
    server server_;
    std::thread thread_;
};

[[nodiscard]] std::error_code error_of_reading(blocking_client& client, blocking_client::duration timeout) {
    std::error_code error;
    const auto got = client.read(timeout, error);
    CHECK(bool{error} >= got.empty());
    return error;
}

TEST_CASE("connects, sends, reads and closes, each by a call") {
    const threaded_server server;
    blocking_client client;
    CHECK_FALSE(client.is_open());
    client.connect(server.url(), {}, ample);
    CHECK(client.is_open());
    CHECK_FALSE(client.result());
    REQUIRE(client.opening_outcome());
    CHECK(client.opening_outcome()->status == 101);
    client.send("text", ample);
    const auto text = client.read(ample);
    CHECK(text.is_text());
    CHECK(text.text() == "text");
    const std::string large(5 << 20, 'b');
    client.send(view(large), ample);
    const auto binary = client.read(ample);
    CHECK(binary.is_binary());
    CHECK((binary.text() == large));
    client.send(binary, ample);
    CHECK(client.read(ample).size() == large.size());
    client.close(close_code::normal, "done", ample);
    CHECK_FALSE(client.is_open());
    REQUIRE(client.result());
    CHECK(client.result()->was_clean);
    CHECK(client.result()->code == close_code::normal);
    CHECK(error_of_reading(client, ample) == errc::closed);

    // And again.
    client.connect(server.url(), {}, ample);
    CHECK_FALSE(client.result());
    client.send("again", ample);
    CHECK(client.read(ample).text() == "again");
}

TEST_CASE("talks over a unix socket, too") {
    const temporary_directory directory;
    server_options options;
    options.path = directory / "socket";
    const threaded_server server{options};
    blocking_client client;
    client.connect("ws+unix:" + options.path, {}, ample);
    client.send("echo", ample);
    CHECK(client.read(ample).text() == "echo");
}

TEST_CASE("a read that runs out of time loses nothing") {
    scripted_server server;
    blocking_client client;
    server.open(client);
    CHECK(error_of_reading(client, 0ms) == errc::call_timeout);
    CHECK(error_of_reading(client, 0ms) == condition::timeout);
    CHECK(error_of_reading(client, -1ms) == errc::call_timeout);
    CHECK_THROWS_AS(client.read(0ms), std::system_error);
    server.say("first");
    CHECK(client.read(ample).text() == "first");
    SECTION("in the middle of a message") {
        const auto frame = frame_bytes(role::server, opcode::text, "piecemeal");
        for (const char c : frame) {
            CHECK(error_of_reading(client, 1ms) == errc::call_timeout);
            server.send({&c, 1});
        }
        CHECK(client.read(ample).text() == "piecemeal");
    }
    SECTION("with what comes during another call") {
        server.say("second");
        client.send("anything", ample);
        CHECK(client.read(ample).text() == "second");
    }
    SECTION("with many messages at once") {
        std::string frames;
        for (int i = 0; i < 300; ++i)
            frames += frame_bytes(role::server, opcode::text, std::to_string(i));
        server.send(frames);
        for (int i = 0; i < 300; ++i)
            CHECK(client.read(ample).text() == std::to_string(i));
        CHECK(error_of_reading(client, 0ms) == errc::call_timeout);
    }
    CHECK(client.is_open());
}

TEST_CASE("takes what is there without waiting for it") {
    scripted_server server;
    blocking_client client;
    server.open(client);
    server.say("there");
    server.peer.wait(tcp::socket::wait_write);
    std::error_code error = errc::call_timeout;
    // On the loopback interface what is written has come.
    message got;
    for (int i = 0; i < 100 && error == errc::call_timeout; ++i)
        got = client.read(0ms, error);
    CHECK_FALSE(error);
    CHECK(got.text() == "there");
}

TEST_CASE("answers Pings while it reads and while it sends") {
    scripted_server server;
    blocking_client client;
    server.open(client);
    server.send(frame_bytes(role::server, opcode::ping, "one"));
    server.say("behind");
    CHECK(client.read(ample).text() == "behind");
    CHECK(server.receive(9)[0] == '\x8a');
    server.send(frame_bytes(role::server, opcode::ping, "two"));
    CHECK(error_of_reading(client, 1ms) == errc::call_timeout);
    std::string heard;
    {
        const meanwhile hearing{[&] { heard = server.receive(9 + 10); }};
        client.send("text", ample);
        server.say("end");
        CHECK(client.read(ample).text() == "end");
    }
    CHECK(heard.find('\x8a') != heard.npos);
    CHECK(heard.find('\x81') != heard.npos);
}

TEST_CASE("sends no Pings of its own") {
    connect_options options;
    options.connection.timeouts.ping_interval = 1ms;
    scripted_server server;
    blocking_client client;
    server.open(client, options);
    // The wheel's step is what it would be late by.
    CHECK(error_of_reading(client, 600ms) == errc::call_timeout);
    CHECK(server.peer.available() == 0);
}

TEST_CASE("a send that runs out of time goes on during other calls") {
    scripted_server server;
    blocking_client client;
    server.open(client);
    // Less than the queue takes, more than the system.
    const std::string large(24 << 20, 'x');
    std::error_code error;
    client.send(large, 0ms, error);
    CHECK(error == errc::call_timeout);
    CHECK(client.is_open());
    std::size_t heard = 0;
    {
        const meanwhile hearing{[&] {
            heard = server.receive(14 + large.size() + 10).size();
            server.say("got it");
        }};
        client.send("next", ample, error);
        CHECK_FALSE(error);
        CHECK(client.read(ample).text() == "got it");
    }
    CHECK(heard == 14 + large.size() + 10);
}

TEST_CASE("tells why a message was not sent") {
    scripted_server server;
    blocking_client client;
    std::error_code error;
    server.open(client);
    client.send("\xFF", ample, error);
    CHECK(error == errc::text_not_utf8);
    CHECK_THROWS_AS(client.send("\xFF", ample), std::system_error);
    client.send(opcode::ping, {}, ample, error);
    CHECK(error == errc::opcode_not_data);
    CHECK(client.is_open());
    server.peer.close();
    CHECK(error_of_reading(client, ample) == errc::connection_lost);
    client.send("late", ample, error);
    CHECK(error);
    CHECK(error != condition::timeout);
    CHECK(error_of_reading(client, ample) == errc::connection_lost);
}

TEST_CASE("hears of the peer's Close behind the messages before it") {
    const threaded_server server;
    blocking_client client;
    client.connect(server.url(), {}, ample);
    client.send("last", ample);
    client.send("close", ample);
    CHECK(client.read(ample).text() == "last");
    CHECK(error_of_reading(client, ample) == errc::closed);
    REQUIRE(client.result());
    CHECK(client.result()->code == close_code{4000});
    CHECK(client.result()->reason == "asked for");
    std::error_code error;
    client.send("late", ample, error);
    CHECK(error == errc::not_open);
}

TEST_CASE("a close that is not answered in time ends the connection all the same") {
    scripted_server server;
    blocking_client client;
    server.open(client);
    std::error_code error;
    client.close(close_code::normal, "bye", 0ms, error);
    CHECK(error == errc::close_timeout);
    CHECK(error_of_reading(client, ample) == errc::aborted);
    CHECK_FALSE(client.is_open());
    // The Close, and the end
    CHECK(server.receive(1000).size() == 11);
}

TEST_CASE("closes with what it is told, and leaves out what may not be sent") {
    scripted_server server;
    blocking_client client;
    server.open(client);
    std::error_code error;
    client.close(close_code{1006}, {}, ample, error);
    CHECK(error == errc::close_code_not_allowed);
    client.close(close_code::normal, std::string(124, 'x'), ample, error);
    CHECK(error == errc::close_reason_too_long);
    CHECK(client.is_open());
    // The peer closes at the same time, behind a message that nobody reads any more.
    server.say("unread");
    server.send(frame_bytes(role::server, opcode::close, "\x03\xe8"));
    server.peer.shutdown(tcp::socket::shutdown_send);
    client.close(close_code{3000}, "bye", ample, error);
    CHECK_FALSE(error);
    CHECK(client.result()->was_clean);
    CHECK(server.receive(11).size() == 11);
}

TEST_CASE("tells why it could not connect") {
    asio::io_context io;
    blocking_client client;
    std::error_code error;
    SECTION("the URL is none") {
        client.connect("nonsense", {}, ample, error);
        CHECK(error == errc::url_scheme_unsupported);
        CHECK_THROWS_AS(client.connect("nonsense", {}, ample), std::system_error);
    }
    SECTION("fragments are asked for") {
        connect_options options;
        options.connection.deliver_fragments = true;
        client.connect("ws://localhost", options, ample, error);
        CHECK(error == errc::fragments_not_taken);
    }
    SECTION("nobody listens") {
        const auto port =
            tcp::acceptor{io, tcp::endpoint{asio::ip::address_v4::loopback(), 0}}.local_endpoint().port();
        client.connect("ws://127.0.0.1:" + std::to_string(port), {}, ample, error);
        CHECK(error == asio::error::connection_refused);
    }
    SECTION("nobody answers, in the time of the call or in that of the options") {
        const hanging_port port{io};
        const auto url = "ws://127.0.0.1:" + std::to_string(port.endpoint().port());
        client.connect(url, {}, 0ms, error);
        CHECK(error == errc::connect_timeout);
        client.connect(url, {}, 1ms, error);
        CHECK(error == errc::connect_timeout);
        connect_options options;
        options.connection.timeouts.connect = 1ms;
        client.connect(url, options, ample, error);
        CHECK(error == errc::connect_timeout);
    }
    SECTION("nobody answers the handshake") {
        const tcp::acceptor silent{io, tcp::endpoint{asio::ip::address_v4::loopback(), 0}};
        client.connect("ws://127.0.0.1:" + std::to_string(silent.local_endpoint().port()), {}, 1ms, error);
        CHECK(error == errc::connect_timeout);
    }
    SECTION("the server refuses, and says why") {
        scripted_server server;
        const meanwhile serving{
            [&] { server.serve("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno"); }};
        std::string text;
        try {
            client.connect(server.url(), {}, ample);
        } catch (const std::system_error& caught) {
            error = caught.code();
            text = caught.what();
        }
        CHECK(text.find("server answered 403 Forbidden: no") != std::string::npos);
        CHECK(error == errc::upgrade_refused);
        REQUIRE(client.opening_outcome());
        CHECK(client.opening_outcome()->status == 403);
        CHECK(client.opening_outcome()->body == "no");
    }
    CHECK_FALSE(client.is_open());
    CHECK(error_of_reading(client, 0ms));
    // It is as good as new.
    scripted_server server;
    server.open(client);
    server.say("well");
    CHECK(client.read(ample).text() == "well");
}

TEST_CASE("does nothing without a connection, and has but one") {
    blocking_client client;
    std::error_code error;
    CHECK(error_of_reading(client, ample) == errc::not_open);
    client.send("x", ample, error);
    CHECK(error == errc::not_open);
    client.close(close_code::normal, {}, ample, error);
    CHECK(error == errc::not_open);
    CHECK_FALSE(client.result());
    CHECK_FALSE(client.opening_outcome());
    CHECK_THROWS_AS(client.close(close_code::normal, {}, ample), std::system_error);
    scripted_server server;
    server.open(client);
    client.connect(server.url(), {}, ample, error);
    CHECK(error == errc::already_open);
    server.say("the first");
    CHECK(client.read(blocking_client::forever).text() == "the first");
}

TEST_CASE("may be destroyed with everything under way") {
    scripted_server server;
    {
        blocking_client client;
        server.open(client);
        std::error_code error;
        client.send(std::string(40 << 20, 'x'), 0ms, error);
        CHECK(error == errc::call_timeout);
        CHECK(error_of_reading(client, 0ms) == errc::call_timeout);
    }
    CHECK(server.receive(50 << 20).size() < 40 << 20);
}

} // namespace
