#include <duplex/tls.hpp>

#include "support/catch.hpp"
#include "support/certificates.hpp"
#include "support/loopback.hpp"
#include "support/tls_pair.hpp"
#include "support/tls_script.hpp"
#include "support/wss_server.hpp"

#include <duplex/net/connect.hpp>
#include <duplex/server.hpp>
#include <duplex/websocket.hpp>

#include <asio/io_context.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

namespace {

using namespace duplex;
using namespace duplex::testing;

/// What a client says of a server in the end.
struct verdict {
    std::error_code error;
    std::string why;
};

[[nodiscard]] verdict try_out(wss_server& server, asio::io_context& io, const connect_options& options,
                              std::string_view host = "localhost") {
    verdict found;
    bool over = false;
    async_connect(io, server.url(host), options, [&](std::error_code error, tcp_connection<> made) {
        found.error = error;
        if (made && made.opening_outcome()) found.why = made.opening_outcome()->why;
        over = true;
    });
    run_until(io, [&] { return over; });
    return found;
}

} // namespace

TEST_CASE("a client and a server talk by TLS, and both ends are clean") {
    asio::io_context io;
    wss_server server{io};
    std::string answer;
    std::optional<close_event> end;
    websocket socket{io, server.url(), {}, trusted()};
    socket.on_open = [&] { CHECK(accepted(socket.send("Hello"))); };
    socket.on_message = [&](const message& m) {
        answer = m.text();
        socket.close(close_code::normal, "bye");
    };
    socket.on_error = [](const error_event& e) { FAIL_CHECK(e.what()); };
    socket.on_close = [&](const close_event& e) { end = e; };
    run_until(io, [&] { return end && server.closed; });
    CHECK(answer == "Hello");
    CHECK(end->was_clean);
    CHECK(end->code == 1000);
    CHECK(server.closed->was_clean);
    CHECK(server.closed->reason == "bye");
    server.it->stop();
    run_out(io);
}

TEST_CASE("messages of all sizes come back by TLS, several at a time") {
    asio::io_context io;
    wss_server server{io};
    const std::size_t sizes[] = {0,     1,     125,   126,       4096, 16383, 16384,
                                 16385, 65536, 70000, 1U << 20U, 5,    300000};
    std::vector<std::string> sent;
    std::size_t came = 0;
    websocket socket{io, server.url(), {}, trusted()};
    socket.on_open = [&] {
        for (const auto size : sizes) {
            std::string text(size, 'x');
            for (std::size_t i = 0; i < size; ++i)
                text[i] = static_cast<char>('a' + (i * 31 + size) % 26);
            sent.push_back(text);
            CHECK(accepted(socket.send(text)));
        }
    };
    socket.on_message = [&](const message& m) {
        REQUIRE(came < sent.size());
        CHECK((m.text() == sent[came]));
        if (++came == sent.size()) socket.close();
    };
    bool over = false;
    socket.on_error = [](const error_event& e) { FAIL_CHECK(e.what()); };
    socket.on_close = [&](const close_event& e) {
        CHECK(e.was_clean);
        over = true;
    };
    run_until(io, [&] { return over; });
    CHECK(came == sent.size());
}

TEST_CASE("a connection of async_connect speaks TLS where the URL says so") {
    asio::io_context io;
    wss_server server{io};
    std::optional<tcp_connection<>> client;
    async_connect(io, server.url("127.0.0.1"), trusted(), [&](std::error_code error, tcp_connection<> made) {
        REQUIRE_FALSE(error);
        client.emplace(std::move(made));
    });
    run_until(io, [&] { return client.has_value(); });
    CHECK(accepted(client->send("one")));
    std::string answer;
    client->async_read([&](std::error_code error, message m) {
        CHECK_FALSE(error);
        answer = m.text();
    });
    run_until(io, [&] { return !answer.empty(); });
    CHECK(answer == "one");
    bool closed = false;
    client->async_close([&](std::error_code error) {
        CHECK_FALSE(error);
        closed = true;
    });
    run_until(io, [&] { return closed; });
}

TEST_CASE("each thing that is wrong with a certificate has its own error and words") {
    asio::io_context io;
    SECTION("another name") {
        const auto other =
            make_certificate({.common_name = "o", .names = {"example.org"}, .issuer = &test_authority()});
        wss_server server{io, {.certificate_pem = other.pem, .key_pem = other.key}};
        const auto found = try_out(server, io, trusted());
        CHECK(found.error == errc::tls_certificate_mismatch);
        CHECK(found.why == "the server's certificate is for example.org, not for localhost");
    }
    SECTION("an unknown issuer") {
        wss_server server{io};
        connect_options options;
        options.tls.ca_pem = make_certificate({.common_name = "another", .use = usage::authority}).pem;
        CHECK(try_out(server, io, options).error == errc::tls_certificate_untrusted);
    }
    SECTION("the system's store does not know it either") {
        wss_server server{io};
        CHECK(try_out(server, io, {}).error == errc::tls_certificate_untrusted);
    }
    SECTION("nobody looks") {
        wss_server server{io};
        connect_options options;
        options.tls.insecure_accept_any_certificate = true;
        CHECK_FALSE(try_out(server, io, options).error);
    }
    SECTION("a client without the certificate that is required") {
        auto with = as_localhost();
        with.client_ca_pem = test_authority().pem;
        with.require_client_certificate = true;
        wss_server server{io, with};
        CHECK(try_out(server, io, trusted()).error == errc::tls_certificate_required);
        run_until(io, [&] { return bool{server.failed}; });
        CHECK(server.failed == errc::tls_certificate_required);
    }
    SECTION("a client with it") {
        auto with = as_localhost();
        with.client_ca_pem = test_authority().pem;
        with.require_client_certificate = true;
        wss_server server{io, with};
        const auto own =
            make_certificate({.common_name = "a client", .use = usage::client, .issuer = &test_authority()});
        auto options = trusted();
        options.tls.certificate_pem = own.pem;
        options.tls.key_pem = own.key;
        CHECK_FALSE(try_out(server, io, options).error);
    }
    SECTION("options that don't work are told at once") {
        wss_server server{io};
        connect_options options;
        options.tls.ca_pem = "nonsense";
        CHECK(try_out(server, io, options).error == errc::tls_ca_invalid);
    }
}

TEST_CASE("a chain of certificates may be long, and is nothing to hold against who sent it") {
    const int newest = GENERATE(TLS1_2_VERSION, TLS1_3_VERSION);
    auto server = as_localhost();
    // OpenSSL takes up to 100 KiB of them.
    while (server.certificate_pem.size() < 100'000)
        server.certificate_pem += test_authority().pem;
    scripted_pair pair{up_to(newest, client_with(trusting())), server_with(server)};
    pair.run();
    CHECK(pair.to_client.passed.size() > 65'536);
    REQUIRE(pair.established());
    pair.server.send("well");
    pair.run();
    CHECK(pair.client.received == "well");
    CHECK_FALSE(pair.client.error);
}

TEST_CASE("TLS spoken by one side only fails with words on both") {
    asio::io_context io;
    SECTION("the server speaks none") {
        server plain{io, {.host = "127.0.0.1"}};
        plain.start();
        std::optional<verdict> found;
        async_connect(io, "wss://localhost:" + std::to_string(plain.port()), trusted(),
                      [&](std::error_code error, tcp_connection<> made) {
                          REQUIRE(made.opening_outcome());
                          found = {error, made.opening_outcome()->why};
                      });
        run_until(io, [&] { return found.has_value(); });
        CHECK(found->error == errc::tls_not_spoken);
        CHECK(found->why ==
              "the server does not speak TLS: it answered with plain HTTP. Is this a port for ws://?");
    }
    SECTION("the client speaks none") {
        wss_server server{io};
        std::optional<std::error_code> found;
        async_connect(io, "ws://localhost:" + std::to_string(server.it->port()),
                      [&](std::error_code error, tcp_connection<>) { found = error; });
        run_until(io, [&] { return found.has_value() && server.failed; });
        CHECK(*found);
        CHECK(server.failed == errc::tls_not_spoken);
    }
}

TEST_CASE("the end of a socket without TLS's own end is told apart from a clean one") {
    asio::io_context io;
    wss_server server{io};
    const bool says_end = GENERATE(false, true);
    CAPTURE(says_end);
    tls_client client{io, server.it->port()};
    client.open(server.it->port());
    if (says_end) SSL_shutdown(client.end.ssl());
    client.deliver(client.end.take());
    client.wire.shutdown_send();
    run_until(io, [&] { return server.closed.has_value(); });
    CHECK_FALSE(server.closed->was_clean);
    CHECK(server.closed->error == (says_end ? errc::connection_lost : errc::tls_truncated));
}

TEST_CASE("a peer that says nothing is given up when the time for TLS is over") {
    asio::io_context io;
    server_options options;
    options.connection.timeouts.tls = std::chrono::milliseconds{1};
    wss_server server{io, as_localhost(), options};
    raw_peer silent{io, server.it->port()};
    run_until(io, [&] { return bool{server.failed}; });
    CHECK(server.failed == errc::tls_timeout);
}

TEST_CASE("a certificate that was renewed serves those that come from then on") {
    asio::io_context io;
    wss_server server{io};
    CHECK_FALSE(try_out(server, io, trusted()).error);
    const auto other =
        make_certificate({.common_name = "o", .names = {"example.org"}, .issuer = &test_authority()});
    REQUIRE_FALSE(server.tls.reload({.certificate_pem = other.pem, .key_pem = other.key}));
    CHECK(try_out(server, io, trusted()).error == errc::tls_certificate_mismatch);
}
