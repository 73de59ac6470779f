#include <duplex/tls/tls_server_context.hpp>

#include "support/catch.hpp"
#include "support/certificates.hpp"
#include "support/tls_pair.hpp"

#include <duplex/server.hpp>

#include <asio/io_context.hpp>

#include <atomic>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

using namespace duplex;
using namespace duplex::testing;

namespace {

tls_server_options renewed() {
    const auto made = make_certificate({.names = {"renewed"}, .issuer = &test_authority()});
    return {.certificate_pem = made.pem, .key_pem = made.key};
}

} // namespace

TEST_CASE("a server's context is empty before it was loaded") {
    tls_server_context server;
    CHECK_FALSE(server.current());
    CHECK(server.reload({}) == errc::tls_certificate_invalid);
    CHECK_FALSE(server.current());
    CHECK_FALSE(server.reload(as_localhost()));
    CHECK(tls_pair(client_with(trusting()), server.current(), "localhost").well());
}

TEST_CASE("a server does not start on a context that was never loaded") {
    asio::io_context io;
    tls_server_context tls;
    CHECK(tls.security()->check() == errc::tls_not_loaded);
    server_options options;
    options.host = "127.0.0.1";
    options.tls = tls.security();
    server it{io, options};
    std::error_code error;
    it.start(error);
    CHECK(error == errc::tls_not_loaded);
    CHECK(error == condition::misuse);
    CHECK(it.port() == 0);
    CHECK(tls.security()->secure(error) == nullptr);
    CHECK(error == errc::tls_not_loaded);
    // It can be started later, through the same handle.
    CHECK(tls.reload({}) == errc::tls_certificate_invalid);
    it.start(error);
    CHECK(error == errc::tls_not_loaded);
    REQUIRE_FALSE(tls.reload(as_localhost()));
    CHECK_FALSE(tls.security()->check());
    it.start(error);
    CHECK_FALSE(error);
    CHECK(it.port() != 0);
}

TEST_CASE("a certificate is renewed for new connections, and old ones go on") {
    tls_server_context server;
    const tls_server_context copy = server;
    REQUIRE_FALSE(server.reload(as_localhost()));
    const auto client = client_with(trusting());
    tls_pair open{client, copy.current(), "localhost"};
    tls_pair opening{client, copy.current()};
    REQUIRE_FALSE(prepare_tls_client(opening.client.ssl(), "localhost", 443));
    opening.client.step();
    opening.server.give(opening.client.take());
    opening.server.step();

    REQUIRE_FALSE(server.reload(renewed()));
    CHECK(tls_pair(client, copy.current(), "renewed").well());
    CHECK(tls_pair(client, copy.current(), "localhost").client.error() == errc::tls_certificate_mismatch);
    opening.client.give(opening.server.take());
    opening.pump();
    CHECK(opening.well());
    REQUIRE(SSL_write(open.client.ssl(), "still here", 10) == 10);
    open.pump();
    CHECK(open.server.received() == "still here");
}

TEST_CASE("a client with a session from before a reload shakes hands in full") {
    tls_server_context server;
    REQUIRE_FALSE(server.reload(as_localhost()));
    const auto client = client_with(trusting());
    REQUIRE(tls_pair(client, server.current(), "localhost").well());
    REQUIRE_FALSE(server.reload(as_localhost()));
    tls_pair after{client, server.current(), "localhost"};
    CHECK(after.well());
    CHECK_FALSE(after.client.resumed());
}

TEST_CASE("a reload that fails changes nothing and says why") {
    tls_server_context server;
    REQUIRE_FALSE(server.reload(as_localhost()));
    const auto before = server.current();
    auto options = renewed();
    options.key_pem = localhost_certificate().key;
    std::string why;
    CHECK(server.reload(options, &why) == errc::tls_key_mismatch);
    CHECK(why.find("certificate_pem") != std::string::npos);
    CHECK(server.reload({.certificate_file = "/no/such/file"}) == errc::tls_certificate_invalid);
    CHECK(server.current() == before);
    CHECK(tls_pair(client_with(trusting()), server.current(), "localhost").well());
}

TEST_CASE("contexts are taken on other threads while one is reloaded") {
    tls_server_context server;
    REQUIRE_FALSE(server.reload(as_localhost()));
    std::atomic<bool> stop{false};
    std::atomic<int> empty{0};
    std::vector<std::thread> threads;
    for (int i = 0; i < 2; ++i)
        threads.emplace_back([&] {
            do {
                SSL* made = SSL_new(server.current().native_handle());
                if (!made) ++empty;
                SSL_free(made);
            } while (!stop);
        });
    const auto options = as_localhost();
    for (int i = 0; i < 20; ++i)
        CHECK_FALSE(server.reload(options));
    stop = true;
    for (auto& each : threads)
        each.join();
    CHECK(empty == 0);
}
