#include <duplex/net/tls_options.hpp>

#include "support/catch.hpp"

using namespace duplex;

TEST_CASE("a client checks the server's certificate against the system's store if nothing else is said") {
    const tls_client_options plain;
    CHECK_FALSE(plain.insecure_accept_any_certificate);
    CHECK(plain.ca_file.empty());
    CHECK(plain.ca_pem.empty());
    CHECK_FALSE(plain.add_system_store);
    CHECK(plain.server_name.empty());
    CHECK(plain.minimum_version == tls_version::tls_1_2);
    CHECK(plain.resume_sessions);
}

TEST_CASE("a server asks for no certificate of its clients and gives tickets if nothing else is said") {
    const tls_server_options plain;
    CHECK_FALSE(plain.require_client_certificate);
    CHECK(plain.client_ca_file.empty());
    CHECK(plain.client_ca_pem.empty());
    CHECK(plain.minimum_version == tls_version::tls_1_2);
    CHECK(plain.session_tickets);
}

TEST_CASE("options of TLS are named where they are given, and compare") {
    const tls_client_options client{.ca_file = "ca.pem", .minimum_version = tls_version::tls_1_3};
    CHECK(client.ca_file == "ca.pem");
    CHECK(client.minimum_version == tls_version::tls_1_3);
    CHECK(client != tls_client_options{});
    CHECK(client == tls_client_options(client));

    const tls_server_options server{.certificate_file = "chain.pem", .key_file = "key.pem"};
    CHECK(server.certificate_file == "chain.pem");
    CHECK(server.key_file == "key.pem");
    CHECK(server != tls_server_options{});
    CHECK(server == tls_server_options(server));
}

TEST_CASE("no version of TLS that is broken can be named") {
    STATIC_REQUIRE(static_cast<int>(tls_version::tls_1_2) == 0);
    STATIC_REQUIRE(static_cast<int>(tls_version::tls_1_3) == 1);
}
