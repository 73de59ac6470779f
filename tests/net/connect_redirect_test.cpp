// Redirects, from servers whose bytes the tests write themselves.

#include "support/catch.hpp"
#include "support/loopback.hpp"

#include <duplex/net/connect.hpp>
#include <duplex/test/manual_time.hpp>

#include <asio/bind_cancellation_slot.hpp>
#include <asio/cancellation_signal.hpp>
#include <asio/io_context.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace {

using namespace duplex;
using namespace duplex::testing;
using namespace std::chrono_literals;

/// A server that is come back to.
class raw_site {
public:
    explicit raw_site(asio::io_context& io)
        : io_{io}
        , acceptor_{io, tcp::endpoint{asio::ip::address_v4::loopback(), 0}} {
        accept();
    }
    [[nodiscard]] std::string port() const { return std::to_string(acceptor_.local_endpoint().port()); }
    [[nodiscard]] std::string url(std::string_view path = "/") const {
        return "ws://127.0.0.1:" + port() + std::string{path};
    }
    [[nodiscard]] std::size_t visits() const noexcept { return peers_.size(); }
    [[nodiscard]] raw_peer& peer() { return *peers_.back(); }
    /// Runs until the next request has come, on a connection of its own.
    [[nodiscard]] std::string await_request() {
        ++asked_;
        run_until(io_, [&] { return visits() == asked_ && peer().received().ends_with("\r\n\r\n"); });
        return peer().take();
    }
    /// Answers the next request with a redirect, and gives the request.
    std::string redirect(std::string_view location, unsigned status = 302) {
        auto request = await_request();
        peer().send("HTTP/1.1 " + std::to_string(status) +
                    " Elsewhere\r\nLocation: " + std::string{location} + "\r\nContent-Length: 3\r\n\r\nold");
        return request;
    }

private:
    void accept() {
        acceptor_.async_accept([this](std::error_code error, tcp::socket socket) {
            if (error) return;
            peers_.push_back(std::make_unique<raw_peer>(std::move(socket)));
            accept();
        });
    }

    asio::io_context& io_;
    tcp::acceptor acceptor_;
    std::vector<std::unique_ptr<raw_peer>> peers_;
    std::size_t asked_ = 0;
};

/// A client that may go astray.
struct wanderer {
    explicit wanderer(asio::io_context& context)
        : io{context} {
        options.max_redirects = 3;
        options.proxy_from_environment = false;
    }
    void start(std::string_view url) {
        async_connect(io, url, options,
                      asio::bind_cancellation_slot(signal.slot(), [this](auto failed, auto made) {
                          ++calls;
                          error = failed;
                          connection = std::move(made);
                      }));
    }
    void await() {
        run_until(io, [&] { return calls != 0; });
        REQUIRE(connection.opening_outcome());
    }
    [[nodiscard]] const handshake_outcome& outcome() const { return *connection.opening_outcome(); }

    asio::io_context& io;
    connect_options options;
    asio::cancellation_signal signal;
    int calls = 0;
    std::error_code error;
    tcp_connection<> connection;
};

[[nodiscard]] bool has(std::string_view text, std::string_view part) {
    return text.find(part) != std::string_view::npos;
}

} // namespace

TEST_CASE("a client goes where a server sends it, by a GET with all it asked for") {
    asio::io_context io;
    raw_site first{io};
    raw_site second{io};
    wanderer it{io};
    it.options.subprotocols = {"chat"};
    it.options.origin = "https://page.example";
    it.options.headers = {{"X-Mine", "1"}};
    const auto status = GENERATE(values<unsigned>({301, 302, 303, 307, 308}));
    CAPTURE(status);
    it.start(first.url("/old"));
    CHECK(first.redirect(second.url("/new?x"), status).starts_with("GET /old HTTP/1.1\r\n"));
    const auto request = second.await_request();
    CHECK(request.starts_with("GET /new?x HTTP/1.1\r\nHost: 127.0.0.1:" + second.port() + "\r\n"));
    for (const auto* line : {"\r\nSec-WebSocket-Protocol: chat\r\n", "\r\nX-Mine: 1\r\n",
                             "\r\nOrigin: https://page.example\r\n", "\r\nUpgrade: websocket\r\n"}) {
        CAPTURE(line);
        CHECK(has(request, line));
    }
    second.peer().send(acceptance_of(request, "Sec-WebSocket-Protocol: chat\r\n"));
    it.await();
    CHECK_FALSE(it.error);
    CHECK(it.connection.is_open());
    CHECK(it.outcome().url == second.url("/new?x"));
    CHECK(it.outcome().subprotocol == "chat");
    CHECK(first.visits() == 1);
    CHECK(it.calls == 1);
    run_until(io, [&] { return first.peer().ended(); });
}

TEST_CASE("a Location may be relative, and each request has a key of its own") {
    asio::io_context io;
    raw_site site{io};
    wanderer it{io};
    it.start(site.url("/a/b?c"));
    const auto asked = site.redirect("../d?e#f");
    const auto again = site.redirect("?g");
    const auto last = site.await_request();
    CHECK(asked.starts_with("GET /a/b?c HTTP/1.1\r\n"));
    CHECK(again.starts_with("GET /d?e HTTP/1.1\r\n"));
    CHECK(last.starts_with("GET /d?g HTTP/1.1\r\n"));
    const auto key = [](std::string_view request) {
        return request.substr(request.find("Sec-WebSocket-Key: "), 19 + handshake_key_size);
    };
    CHECK(key(asked) != key(again));
    CHECK(key(again) != key(last));
    site.peer().send(acceptance_of(last));
    it.await();
    CHECK_FALSE(it.error);
    CHECK(it.outcome().url == site.url("/d?g"));
}

TEST_CASE("secrets stay within the origin they are meant for") {
    asio::io_context io;
    raw_site first{io};
    raw_site second{io};
    wanderer it{io};
    it.options.headers = {{"Cookie", "a=b"}, {"X-Mine", "1"}};
    const bool by_url = GENERATE(true, false);
    CAPTURE(by_url);
    if (!by_url) it.options.headers.add("Authorization", "Basic bWU6c2VjcmV0");
    it.start(by_url ? "ws://me:secret@127.0.0.1:" + first.port() : first.url());
    const auto secrets_in = [](std::string_view request) {
        return (has(request, "Authorization: Basic bWU6c2VjcmV0\r\n") ? 1 : 0) +
               (has(request, "Cookie: a=b\r\n") ? 1 : 0);
    };
    CHECK(secrets_in(first.redirect("/within")) == 2);
    CHECK(secrets_in(first.redirect(second.url())) == 2);
    // Having left, they do not come back either.
    const auto abroad = second.redirect(first.url("/home"));
    CHECK_FALSE(has(abroad, "Authorization"));
    CHECK_FALSE(has(abroad, "Cookie"));
    CHECK(has(abroad, "X-Mine: 1\r\n"));
    const auto home = first.await_request();
    CHECK_FALSE(has(home, "Authorization"));
    CHECK_FALSE(has(home, "Cookie"));
    first.peer().send(acceptance_of(home));
    it.await();
    CHECK_FALSE(it.error);
    CHECK(it.outcome().url == first.url("/home"));
}

TEST_CASE("redirects are not followed unless that is asked for") {
    asio::io_context io;
    raw_site site{io};
    wanderer it{io};
    it.options.max_redirects = connect_options{}.max_redirects;
    it.start(site.url());
    (void)site.redirect("/b");
    it.await();
    CHECK(it.error == errc::upgrade_refused);
    CHECK(it.outcome().status == 302);
    CHECK(it.outcome().why == "server answered 302 with Location /b");
    CHECK(it.outcome().body == "old");
    CHECK(it.outcome().url == site.url());
    CHECK(site.visits() == 1);
}

TEST_CASE("a loop of redirects ends by their number") {
    asio::io_context io;
    raw_site site{io};
    wanderer it{io};
    it.start(site.url());
    for (int i = 0; i < 4; ++i)
        CHECK(site.redirect("/").starts_with("GET / HTTP/1.1\r\n"));
    it.await();
    CHECK(it.error == errc::too_many_redirects);
    CHECK(it.error == condition::handshake_failure);
    CHECK_FALSE(it.connection.is_open());
    CHECK(it.outcome().error == errc::too_many_redirects);
    CHECK(it.outcome().status == 302);
    CHECK(it.outcome().headers.find("Location") == "/");
    CHECK(it.outcome().body == "old");
    CHECK(it.outcome().phase == phase::upgrade);
    CHECK(it.outcome().why == "server answered 302 with Location /");
    CHECK(site.visits() == 4);
}

TEST_CASE("a redirect to nowhere tells what the server said") {
    asio::io_context io;
    raw_site site{io};
    wanderer it{io};
    it.start(site.url("/x"));
    std::string answer = "HTTP/1.1 301 Moved\r\nContent-Length: 0\r\n";
    std::string said;
    SECTION("no Location") { said = "missing"; }
    SECTION("another scheme") {
        answer += "Location: ftp://a/\r\n";
        said = "ftp://a/";
    }
    SECTION("two of them") {
        answer += "Location: /a\r\nLocation: /b\r\n";
        said = "/a";
    }
    SECTION("nothing that may be printed") {
        answer += "Location: \xC2\x9B b\r\n";
        said = "? b";
    }
    (void)site.await_request();
    site.peer().send(answer + "\r\n");
    it.await();
    CHECK(it.error == errc::redirect_invalid);
    CHECK(it.outcome().status == 301);
    CHECK(it.outcome().why == "server answered 301 with Location " + said);
    CHECK(it.outcome().url == site.url("/x"));
    CHECK(site.visits() == 1);
}

TEST_CASE("other answers are final, at whatever step they come") {
    asio::io_context io;
    raw_site first{io};
    raw_site second{io};
    wanderer it{io};
    it.start(first.url());
    const auto status = GENERATE(values<unsigned>({200, 300, 304, 305, 403, 500}));
    CAPTURE(status);
    (void)first.redirect(second.url("/b"));
    (void)second.await_request();
    second.peer().send("HTTP/1.1 " + std::to_string(status) +
                       " No\r\nLocation: /elsewhere\r\nContent-Length: 5\r\n\r\nnever");
    it.await();
    CHECK(it.error == errc::upgrade_refused);
    CHECK(it.outcome().status == status);
    CHECK(it.outcome().url == second.url("/b"));
    CHECK(second.visits() == 1);
}

TEST_CASE("a step that can't be made is the error") {
    asio::io_context io;
    raw_site site{io};
    wanderer it{io};
    it.start(site.url());
    SECTION("nobody is there") {
        std::uint16_t port = 0;
        {
            raw_server gone{io};
            port = gone.port();
        }
        const auto url = "ws://127.0.0.1:" + std::to_string(port) + "/";
        (void)site.redirect(url);
        it.await();
        CHECK(it.error == asio::error::connection_refused);
        CHECK(it.outcome().phase == phase::connect);
        CHECK(it.outcome().url == url);
        CHECK(it.outcome().status == 0);
    }
    SECTION("without TLS in the program") {
        (void)site.redirect("https://127.0.0.1:" + site.port());
        it.await();
        CHECK(it.error == errc::tls_not_available);
        CHECK(it.outcome().phase == phase::prepare);
    }
}

TEST_CASE("each step has its proxy asked for a way of its own") {
    asio::io_context io;
    raw_site way{io};
    wanderer it{io};
    it.options.proxy = proxy{.host = "127.0.0.1", .port = static_cast<std::uint16_t>(std::stoi(way.port()))};
    it.start("ws://one.example/");
    for (const auto* host : {"one.example", "two.example"}) {
        CHECK(way.await_request().starts_with("CONNECT " + std::string{host} + ":80 HTTP/1.1\r\n"));
        way.peer().send("HTTP/1.1 200 OK\r\n\r\n");
        run_until(io, [&] { return way.peer().received().ends_with("\r\n\r\n"); });
        const auto request = way.peer().take();
        CHECK(has(request, "\r\nHost: " + std::string{host} + "\r\n"));
        if (std::string_view{host} == "one.example")
            way.peer().send("HTTP/1.1 307 x\r\nLocation: //two.example/\r\nContent-Length: 0\r\n\r\n");
        else
            way.peer().send(acceptance_of(request));
    }
    it.await();
    CHECK_FALSE(it.error);
    CHECK(it.outcome().url == "ws://two.example/");
}

TEST_CASE("each step has its timeouts for itself") {
    asio::io_context io;
    test::manual_time time{io};
    raw_site site{io};
    wanderer it{io};
    it.options.connection.timeouts.connect = 2s;
    it.options.connection.timeouts.handshake = 3s;
    it.start(site.url());
    for (int i = 0; i < 3; ++i) {
        const auto request = site.await_request();
        time.advance(2500ms);
        io.poll();
        REQUIRE(it.calls == 0);
        site.peer().send("HTTP/1.1 302 x\r\nLocation: /\r\nContent-Length: 0\r\n\r\n");
    }
    (void)site.await_request();
    time.advance(3500ms);
    it.await();
    CHECK(it.error == errc::handshake_timeout);
    CHECK(it.outcome().phase == phase::upgrade);
    CHECK(it.outcome().why.empty());
}

TEST_CASE("a client is cancelled between two servers as well") {
    asio::io_context io;
    raw_site first{io};
    raw_site second{io};
    wanderer it{io};
    it.start(first.url());
    (void)first.redirect(second.url());
    SECTION("on its way") {
        for (int i = GENERATE(range(0, 12)); i > 0 && it.calls == 0; --i)
            io.poll_one();
    }
    SECTION("at the second") { (void)second.await_request(); }
    it.signal.emit(asio::cancellation_type::terminal);
    it.await();
    CHECK(it.error == asio::error::operation_aborted);
    CHECK_FALSE(it.connection.is_open());
    io.poll();
    CHECK(it.calls == 1);
}

TEST_CASE("a client that was sent on goes with its context") {
    auto io = std::make_unique<asio::io_context>();
    auto first = std::make_unique<raw_site>(*io);
    auto second = std::make_unique<raw_site>(*io);
    const auto held = std::make_shared<int>(1);
    connect_options options;
    options.max_redirects = 1;
    async_connect(*io, first->url(), options, [held](std::error_code, tcp_connection<>) { CHECK(false); });
    (void)first->redirect(second->url());
    (void)second->await_request();
    first.reset();
    second.reset();
    io.reset();
    CHECK(held.use_count() == 1);
}
