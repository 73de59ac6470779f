// What a client on TLS tells of its failures, and where redirects may lead it.

#include "support/catch.hpp"
#include "support/certificates.hpp"
#include "support/loopback.hpp"
#include "support/tls_pair.hpp"
#include "support/wss_server.hpp"

#include <duplex/net/connect.hpp>
#include <duplex/server.hpp>
#include <duplex/tls.hpp>
#include <duplex/websocket.hpp>

#include <asio/io_context.hpp>

#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

namespace {

using namespace duplex;
using namespace duplex::testing;

/// What an attempt came to.
struct attempt {
    attempt(asio::io_context& io, std::string_view url, connect_options options) {
        async_connect(io, url, std::move(options), [this](std::error_code failed, tcp_connection<> made) {
            error = failed;
            connection = std::move(made);
            over = true;
        });
    }
    const handshake_outcome& outcome(asio::io_context& io) {
        run_until(io, [&] { return over; });
        REQUIRE(connection.opening_outcome());
        return *connection.opening_outcome();
    }

    bool over = false;
    std::error_code error;
    tcp_connection<> connection;
};

/// A server that sends every client elsewhere.
void send_on(wss_server& server, std::string to) {
    server.it->on_request = [to = std::move(to)](const server_handshake&) -> std::optional<rejection> {
        return rejection{302, {{"Location", to}}, ""};
    };
}

/// The certificate of a server that is called otherwise.
[[nodiscard]] tls_server_options as_another() {
    const auto made = make_certificate({.names = {"another"}, .issuer = &test_authority()});
    return {.certificate_pem = made.pem, .key_pem = made.key};
}

} // namespace

TEST_CASE("a file that can't be read is named to a client") {
    asio::io_context io;
    connect_options options;
    options.tls.ca_file = "/no/such/ca.pem";
    SECTION("of a connection") {
        attempt it{io, "wss://localhost:1/", options};
        CHECK(it.outcome(io).why.find("ca_file '/no/such/ca.pem': No such file") != std::string::npos);
        CHECK(it.outcome(io).phase == phase::prepare);
        CHECK(it.error == errc::tls_ca_invalid);
    }
    SECTION("of a websocket") {
        watched client{io, "wss://localhost:1/", {}, options};
        run_until(io, [&] { return client.closed(); });
        CHECK(client.error == errc::tls_ca_invalid);
        CHECK(client.why.find("'/no/such/ca.pem'") != std::string::npos);
        CHECK(client.what.find("'/no/such/ca.pem'") != std::string::npos);
        CHECK(client.failed_in == phase::prepare);
    }
}

TEST_CASE("a handshake of TLS that fails is told from an upgrade that does") {
    asio::io_context io;
    wss_server server{io};
    SECTION("by a certificate for another host") {
        wss_server another{io, as_another()};
        attempt it{io, another.url(), trusted()};
        CHECK(it.outcome(io).phase == phase::tls);
        CHECK(it.error == errc::tls_certificate_mismatch);
        CHECK(it.outcome(io).why.find("another, not for localhost") != std::string::npos);
        CHECK(it.outcome(io).url == another.url());
    }
    SECTION("by a server that hangs up") {
        raw_server rude{io};
        attempt it{io, "wss://localhost:" + std::to_string(rude.port()), trusted()};
        run_until(io, [&] { return rude.connected() && !rude.peer().received().empty(); });
        rude.peer().drop();
        CHECK(it.outcome(io).phase == phase::tls);
        CHECK(it.error);
    }
    SECTION("by a refusal, whose words stay") {
        server.it->on_request = [](const server_handshake&) -> std::optional<rejection> {
            return rejection{403, {}, "members only\n"};
        };
        attempt it{io, server.url(), trusted()};
        CHECK(it.outcome(io).phase == phase::upgrade);
        CHECK(it.error == errc::upgrade_refused);
        CHECK(it.outcome(io).why == "server answered 403 Forbidden: members only");
    }
}

TEST_CASE("a redirect from ws to wss is followed, and leaves the secrets behind") {
    asio::io_context io;
    wss_server server{io};
    std::optional<bool> secrets;
    server.it->on_request = [&](const server_handshake& request) -> std::optional<rejection> {
        secrets = request.headers().find("Authorization") || request.headers().find("Cookie");
        return std::nullopt;
    };
    raw_server plain{io};
    auto options = trusted();
    options.max_redirects = 1;
    options.headers = {{"Authorization", "Bearer me"}, {"Cookie", "a=b"}};
    attempt it{io, plain.url("/x"), options};
    CHECK(plain.await_request(io).find("Bearer me") != std::string::npos);
    plain.peer().send("HTTP/1.1 301 x\r\nLocation: https" + server.url().substr(3) +
                      "x\r\nContent-Length: 0\r\n\r\n");
    CHECK(it.outcome(io).url == server.url() + "x");
    CHECK_FALSE(it.error);
    CHECK(secrets == false);
    it.connection.close();
    it.connection.async_run([](const message&) {}, [](std::error_code) {});
    run_until(io, [&] { return server.ends == 1; });
    server.it->stop();
    run_out(io);
}

TEST_CASE("what is wrong with the TLS of a proxy is not taken for the server's") {
    asio::io_context io;
    auto options = trusted();
    SECTION("a certificate for another host") {
        wss_server another{io, as_another()};
        options.proxy = proxy{.kind = proxy_kind::https, .host = "localhost", .port = another.it->port()};
        attempt it{io, "ws://far.example/", options};
        CHECK(it.outcome(io).phase == phase::proxy);
        CHECK(it.error == errc::tls_certificate_mismatch);
        CHECK(it.outcome(io).why.starts_with("the proxy's certificate is for another"));
    }
    SECTION("none at all") {
        raw_server plain{io};
        options.proxy = proxy{.kind = proxy_kind::https, .host = "localhost", .port = plain.port()};
        attempt it{io, "wss://far.example/", options};
        run_until(io, [&] { return plain.connected() && !plain.peer().received().empty(); });
        plain.peer().send("HTTP/1.1 400 Bad Request\r\n\r\n");
        CHECK(it.outcome(io).phase == phase::proxy);
        CHECK(it.error == errc::tls_not_spoken);
        CHECK(it.outcome(io).why ==
              "the proxy does not speak TLS: it answered with plain HTTP. Is this a port for http://?");
    }
}

TEST_CASE("a redirect from wss to ws is not followed") {
    asio::io_context io;
    wss_server server{io};
    raw_server plain{io};
    const auto scheme = std::string{GENERATE("ws", "http", "HTTP")};
    CAPTURE(scheme);
    send_on(server, scheme + plain.url().substr(2));
    auto options = trusted();
    options.max_redirects = 5;
    attempt it{io, server.url(), options};
    CHECK(it.outcome(io).status == 302);
    CHECK(it.error == errc::redirect_insecure);
    CHECK(it.error == condition::handshake_failure);
    CHECK(it.outcome(io).url == server.url());
    CHECK(it.outcome(io).why.starts_with("server answered 302 with Location " + scheme + "://"));
    io.poll();
    CHECK_FALSE(plain.connected());
}

TEST_CASE("redirects between servers on TLS verify each of them") {
    asio::io_context io;
    wss_server first{io};
    wss_server second{io};
    auto options = trusted();
    options.max_redirects = 5;
    SECTION("for the name that was said") {
        send_on(first, second.url());
        attempt it{io, first.url(), options};
        CHECK(it.outcome(io).url == second.url());
        CHECK_FALSE(it.error);
        it.connection.abort();
        run_until(io, [&] { return second.ends == 1; });
    }
    SECTION("and no other") {
        wss_server another{io, as_another()};
        send_on(first, another.url());
        attempt it{io, first.url(), options};
        CHECK(it.outcome(io).phase == phase::tls);
        CHECK(it.error == errc::tls_certificate_mismatch);
        CHECK(it.outcome(io).status == 0);
    }
}
