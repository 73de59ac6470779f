#include <duplex/tls/tls_context.hpp>

#include "support/catch.hpp"
#include "support/certificates.hpp"
#include "support/tls_pair.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>

using namespace duplex;
using namespace duplex::testing;

TEST_CASE("a client that comes back goes on with its session") {
    const int version = GENERATE(values({TLS1_2_VERSION, TLS1_3_VERSION}));
    const auto client = client_with(trusting());
    const auto server = server_with(as_localhost());
    SSL_CTX_set_max_proto_version(client.native_handle(), version);
    tls_pair first{client, server, "localhost"};
    REQUIRE(first.well());
    CHECK(SSL_version(first.client.ssl()) == version);
    CHECK_FALSE(first.client.resumed());
    for (int again = 0; again < 3; ++again) {
        tls_pair next{client, server, "localhost"};
        REQUIRE(next.well());
        CHECK(next.client.resumed());
        CHECK(next.server.resumed());
        CHECK(next.client.protocol() == "http/1.1");
        CHECK(SSL_get_verify_result(next.client.ssl()) == X509_V_OK);
    }
    // Another host, another port, another context: another session.
    CHECK_FALSE(tls_pair(client, server, "127.0.0.1").client.resumed());
    CHECK_FALSE(tls_pair(client, server, "localhost", 444).client.resumed());
    CHECK_FALSE(tls_pair(client_with(trusting()), server, "localhost").client.resumed());
    CHECK(tls_pair(client, server, "LOCALHOST.").client.resumed());
    // Its keys are gone with the server's context.
    tls_pair elsewhere{client, server_with(as_localhost()), "localhost"};
    CHECK(elsewhere.well());
    CHECK_FALSE(elsewhere.client.resumed());
}

TEST_CASE("sessions are kept by neither side where they are not wanted") {
    const int version = GENERATE(values({TLS1_2_VERSION, TLS1_3_VERSION}));
    auto no_sessions = trusting();
    no_sessions.resume_sessions = false;
    auto no_tickets = as_localhost();
    no_tickets.session_tickets = false;
    const auto server = server_with(as_localhost());
    const auto client = client_with(no_sessions);
    SSL_CTX_set_max_proto_version(client.native_handle(), version);
    REQUIRE(tls_pair(client, server, "localhost").well());
    CHECK_FALSE(tls_pair(client, server, "localhost").client.resumed());

    const auto other = client_with(trusting());
    const auto without = server_with(no_tickets);
    SSL_CTX_set_max_proto_version(other.native_handle(), version);
    REQUIRE(tls_pair(other, without, "localhost").well());
    CHECK(detail::client_rules::find(other.native_handle())->sessions.size() == 0);
    tls_pair again{other, without, "localhost"};
    CHECK(again.well());
    CHECK_FALSE(again.client.resumed());
}

TEST_CASE("a session of TLS 1.3 is used once") {
    const auto client = client_with(trusting());
    const auto server = server_with(as_localhost());
    REQUIRE(tls_pair(client, server, "localhost").well());
    // Two at once: there is one session.
    tls_pair one{client, server};
    tls_pair two{client, server};
    REQUIRE_FALSE(prepare_tls_client(one.client.ssl(), "localhost", 443));
    REQUIRE_FALSE(prepare_tls_client(two.client.ssl(), "localhost", 443));
    one.pump();
    two.pump();
    CHECK(one.client.resumed());
    CHECK(two.well());
    CHECK_FALSE(two.client.resumed());
}

TEST_CASE("a client remembers a bounded number of servers, the newest") {
    const auto client = client_with(trusting());
    const auto server = server_with(as_localhost());
    const auto& cache = detail::client_rules::find(client.native_handle())->sessions;
    const auto most = static_cast<std::uint16_t>(cache.most);
    for (std::uint16_t port = 1; port <= most + 2; ++port) {
        REQUIRE(tls_pair(client, server, "localhost", port).well());
        CHECK(cache.size() == std::min<std::size_t>(port, most));
    }
    CHECK(tls_pair(client, server, "localhost", 3).client.resumed());
    CHECK(tls_pair(client, server, "localhost", static_cast<std::uint16_t>(most + 2)).client.resumed());
    CHECK_FALSE(tls_pair(client, server, "localhost", 2).client.resumed());
}

TEST_CASE("a session is dropped after a handshake that failed") {
    const auto client = client_with(trusting());
    SSL_CTX_set_max_proto_version(client.native_handle(), TLS1_2_VERSION);
    const auto& cache = detail::client_rules::find(client.native_handle())->sessions;
    REQUIRE(tls_pair(client, server_with(as_localhost()), "localhost").well());
    CHECK(cache.size() == 1);
    CHECK_FALSE(tls_pair(client, server_for(make_certificate({.names = {"localhost"}})), "localhost").well());
    CHECK(cache.size() == 0);
}

TEST_CASE("a server knows its client by certificate in a resumed session too") {
    auto server_options = as_localhost();
    server_options.client_ca_pem = test_authority().pem;
    server_options.require_client_certificate = true;
    const auto server = server_with(server_options);
    const auto known = make_certificate({.use = usage::client, .issuer = &test_authority()});
    auto options = trusting();
    options.certificate_pem = known.pem;
    options.key_pem = known.key;
    const auto client = client_with(options);
    REQUIRE(tls_pair(client, server, "localhost").well());
    tls_pair again{client, server, "localhost"};
    REQUIRE(again.well());
    CHECK(again.server.resumed());
    CHECK(SSL_get0_peer_certificate(again.server.ssl()) != nullptr);
}
