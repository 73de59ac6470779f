#include <duplex/tls/tls_context.hpp>

#include "support/catch.hpp"
#include "support/certificates.hpp"
#include "support/tls_pair.hpp"

#include <stdlib.h>

#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

using namespace duplex;
using namespace duplex::testing;
using namespace std::string_literals;
using namespace std::string_view_literals;

namespace {

/// A server whose certificate is for these, asked for `host`.
struct asked {
    tls_pair pair;
    asked(const std::vector<std::string>& names, const std::vector<std::string>& ips, std::string_view host)
        : pair{client_with(trusting()),
               server_for(make_certificate({.names = names, .ips = ips, .issuer = &test_authority()})),
               host} {}
    [[nodiscard]] bool accepted() const {
        if (!pair.well()) CHECK(pair.client.error() == errc::tls_certificate_mismatch);
        return pair.well();
    }
};

std::string announced(const SSL* ssl) {
    const char* name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    return name ? name : "";
}

std::error_code error_of(const tls_client_options& options) {
    std::error_code error;
    CHECK_FALSE(make_tls_client_context(options, error));
    return error;
}

} // namespace

// --- the handshake ---

TEST_CASE("a client and a server that trust each other's papers speak TLS 1.3 and http/1.1") {
    tls_pair pair{client_with(trusting()), server_with(as_localhost()), "localhost"};
    INFO(pair.client.text() << pair.server.text());
    REQUIRE(pair.well());
    CHECK(SSL_version(pair.client.ssl()) == TLS1_3_VERSION);
    CHECK(pair.client.protocol() == "http/1.1");
    CHECK(pair.server.protocol() == "http/1.1");
    CHECK(announced(pair.server.ssl()) == "localhost");
    CHECK(SSL_get_verify_result(pair.client.ssl()) == X509_V_OK);

    REQUIRE(SSL_write(pair.client.ssl(), "ping", 4) == 4);
    REQUIRE(SSL_write(pair.server.ssl(), "pong", 4) == 4);
    pair.pump();
    CHECK(pair.server.received() == "ping");
    CHECK(pair.client.received() == "pong");
}

TEST_CASE("a chain is sent whole and followed up to the issuer that is trusted") {
    const auto middle =
        make_certificate({.common_name = "middle", .use = usage::authority, .issuer = &test_authority()});
    const auto leaf = make_certificate({.names = {"localhost"}, .issuer = &middle});
    const auto whole = server_with({.certificate_pem = leaf.pem + middle.pem, .key_pem = leaf.key});
    CHECK(tls_pair(client_with(trusting()), whole, "localhost").well());
    const auto torn = server_with({.certificate_pem = leaf.pem, .key_pem = leaf.key});
    CHECK_FALSE(tls_pair(client_with(trusting()), torn, "localhost").well());
    // Whoever is named as trusted is, at any height.
    CHECK(tls_pair(client_with({.ca_pem = middle.pem}), torn, "localhost").well());
    CHECK(tls_pair(client_with({.ca_pem = leaf.pem}), torn, "localhost").well());
    CHECK(tls_pair(client_with({.ca_pem = localhost_certificate().pem + test_authority().pem}), whole,
                   "localhost")
              .well());
}

TEST_CASE("certificates to trust stand for the system's store, which is added only where asked") {
    // Neither makes a stranger trusted.
    const auto stranger = make_certificate({.names = {"localhost"}});
    CHECK_FALSE(tls_pair(client_with({}), server_for(stranger), "localhost").well());
    CHECK_FALSE(tls_pair(client_with({.ca_pem = test_authority().pem, .add_system_store = true}),
                         server_for(stranger), "localhost")
                    .well());
    auto both = trusting();
    both.add_system_store = true;
    CHECK(tls_pair(client_with(both), server_with(as_localhost()), "localhost").well());
    CHECK_FALSE(tls_pair(client_with({}), server_with(as_localhost()), "localhost").well());
}

TEST_CASE("the system's store is the one that OpenSSL's environment names") {
    const auto other = make_certificate({.common_name = "other authority", .use = usage::authority});
    const pem_file store{test_authority().pem};
    const auto server = server_with(as_localhost());
    REQUIRE(::setenv(X509_get_default_cert_file_env(), store.path().c_str(), 1) == 0);
    const auto by_system = client_with({});
    const auto by_other = client_with({.ca_pem = other.pem});
    const auto by_both = client_with({.ca_pem = other.pem, .add_system_store = true});
    REQUIRE(::unsetenv(X509_get_default_cert_file_env()) == 0);
    CHECK(tls_pair(by_system, server, "localhost").well());
    CHECK_FALSE(tls_pair(by_other, server, "localhost").well());
    CHECK(tls_pair(by_both, server, "localhost").well());
    CHECK_FALSE(tls_pair(client_with({}), server, "localhost").well());
}

TEST_CASE("only the loud option accepts any certificate") {
    const auto stranger =
        make_certificate({.common_name = "stranger", .not_after = std::chrono::seconds{-60}});
    CHECK_FALSE(tls_pair(client_with(trusting()), server_for(stranger), "localhost").well());
    tls_pair pair{client_with({.insecure_accept_any_certificate = true}), server_for(stranger), "localhost"};
    CHECK(pair.well());
    CHECK(announced(pair.server.ssl()) == "localhost");
    const auto both = error_of({.ca_pem = test_authority().pem, .insecure_accept_any_certificate = true});
    CHECK(both == errc::tls_options_invalid);
}

// --- names ---

TEST_CASE("a certificate must be for the host") {
    CHECK(asked({"localhost"}, {}, "localhost").accepted());
    CHECK(asked({"other", "localhost"}, {}, "LOCALHOST").accepted());
    CHECK(asked({"Example.ORG"}, {}, "example.org").accepted());
    CHECK(asked({"example.org"}, {}, "example.org.").accepted());
    CHECK_FALSE(asked({"example.org"}, {}, "localhost").accepted());
    CHECK_FALSE(asked({"example.org"}, {}, "www.example.org").accepted());
    CHECK_FALSE(asked({"www.example.org"}, {}, "example.org").accepted());
    CHECK_FALSE(asked({"example.org.evil.com"}, {}, "example.org").accepted());
}

TEST_CASE("a star stands for one whole label, the first") {
    CHECK(asked({"*.example.org"}, {}, "www.example.org").accepted());
    CHECK_FALSE(asked({"*.example.org"}, {}, "example.org").accepted());
    CHECK_FALSE(asked({"*.example.org"}, {}, "a.b.example.org").accepted());
    CHECK_FALSE(asked({"w*.example.org"}, {}, "www.example.org").accepted());
    CHECK_FALSE(asked({"*w.example.org"}, {}, "www.example.org").accepted());
    CHECK_FALSE(asked({"www.*.org"}, {}, "www.example.org").accepted());
    CHECK_FALSE(asked({"*"}, {}, "localhost").accepted());
    CHECK_FALSE(asked({"*.1"}, {}, "127.0.0.1").accepted());
}

TEST_CASE("an address is looked for among addresses only, and never announced") {
    CHECK(asked({}, {"127.0.0.1"}, "127.0.0.1").accepted());
    CHECK(asked({}, {"::1"}, "::1").accepted());
    CHECK(asked({}, {"2001:db8::ff"}, "2001:DB8:0:0:0:0:0:FF").accepted());
    CHECK_FALSE(asked({}, {"127.0.0.2"}, "127.0.0.1").accepted());
    CHECK_FALSE(asked({}, {"::2"}, "::1").accepted());
    CHECK_FALSE(asked({"127.0.0.1"}, {}, "127.0.0.1").accepted());
    CHECK_FALSE(asked({"localhost"}, {"127.0.0.1"}, "::1").accepted());
    for (const auto host : {"127.0.0.1", "::1"}) {
        tls_pair pair{client_with(trusting()), server_with(as_localhost()), host};
        CHECK(pair.well());
        CHECK(announced(pair.server.ssl()).empty());
    }
}

TEST_CASE("a common name names no host") {
    const auto old = make_certificate({.common_name = "localhost", .issuer = &test_authority()});
    CHECK(tls_pair(client_with(trusting()), server_for(old), "localhost").client.error() ==
          errc::tls_certificate_mismatch);
}

TEST_CASE("another name can be asked for and expected than the host's") {
    auto options = trusting();
    options.server_name = "LocalHost.";
    tls_pair pair{client_with(options), server_with(as_localhost()), "10.1.2.3"};
    CHECK(pair.well());
    CHECK(announced(pair.server.ssl()) == "localhost");
    options.server_name = "127.0.0.1";
    tls_pair by_address{client_with(options), server_with(as_localhost()), "example.org"};
    CHECK(by_address.well());
    CHECK(announced(by_address.server.ssl()).empty());
    options.server_name = "example.org";
    CHECK_FALSE(tls_pair(client_with(options), server_with(as_localhost()), "localhost").well());
    for (const auto& bad : {"two words"s, "a\0b"s, "."s, "[::1]"s, "*.example.org"s}) {
        options.server_name = bad;
        CHECK(error_of(options) == errc::tls_options_invalid);
    }
}

TEST_CASE("a host that is no name is refused before anything is sent") {
    const auto context = client_with(trusting());
    for (const auto host : {""sv, "."sv, "localhost\0"sv, "local\0host"sv, "\0"sv, "a b"sv, "a\r\nb"sv,
                            "[::1]"sv, "*.example.org"sv, "1.2.3"sv, "0x7f.1"sv, "a..b"sv, "caf\xC3\xA9"sv}) {
        CAPTURE(std::string{host});
        tls_end end{context};
        CHECK(prepare_tls_client(end.ssl(), host, 443) == errc::url_host_invalid);
    }
    tls_end end{context};
    CHECK(prepare_tls_client(end.ssl(), std::string(254, 'a'), 443) == errc::url_host_invalid);
    CHECK_FALSE(prepare_tls_client(end.ssl(), std::string(253, 'a'), 443));
    CHECK(ERR_peek_error() == 0);
}

TEST_CASE("the last host that a connection is prepared for counts") {
    tls_pair pair{client_with(trusting()), server_with(as_localhost())};
    REQUIRE_FALSE(prepare_tls_client(pair.client.ssl(), "10.0.0.1", 443));
    REQUIRE_FALSE(prepare_tls_client(pair.client.ssl(), "example.org", 443));
    REQUIRE_FALSE(prepare_tls_client(pair.client.ssl(), "127.0.0.1", 443));
    pair.pump();
    CHECK(pair.well());
    CHECK(announced(pair.server.ssl()).empty());
}

TEST_CASE("a server's context prepares no client") {
    tls_end end{server_with(as_localhost())};
    CHECK(prepare_tls_client(end.ssl(), "localhost", 443) == errc::tls_options_invalid);
}

// --- certificates of clients ---

TEST_CASE("a server that requires a certificate gets to know its clients, or refuses them") {
    auto server_options = as_localhost();
    server_options.client_ca_pem = test_authority().pem;
    server_options.require_client_certificate = true;
    const auto server = server_with(server_options);
    const auto known =
        make_certificate({.common_name = "known", .use = usage::client, .issuer = &test_authority()});
    auto options = trusting();
    options.certificate_pem = known.pem;
    options.key_pem = known.key;
    tls_pair pair{client_with(options), server, "localhost"};
    REQUIRE(pair.well());
    const std::unique_ptr<X509, decltype(&X509_free)> seen{SSL_get1_peer_certificate(pair.server.ssl()),
                                                           &X509_free};
    REQUIRE(seen);
    CHECK(X509_cmp(seen.get(), known.x509.get()) == 0);

    tls_pair without{client_with(trusting()), server, "localhost"};
    CHECK(without.server.error() == errc::tls_certificate_required);
    CHECK(without.client.error() == errc::tls_certificate_required);

    const auto stranger = make_certificate({.use = usage::client});
    options.certificate_pem = stranger.pem;
    options.key_pem = stranger.key;
    tls_pair strange{client_with(options), server, "localhost"};
    CHECK(strange.server.error() == errc::tls_certificate_untrusted);
    CHECK(strange.client.error() == errc::tls_certificate_rejected);

    // One made for servers is none for clients.
    options.certificate_pem = localhost_certificate().pem;
    options.key_pem = localhost_certificate().key;
    CHECK(tls_pair(client_with(options), server, "localhost").server.error() ==
          errc::tls_certificate_untrusted);
}

TEST_CASE("a server that only asks takes clients without a certificate, but none with a bad one") {
    auto server_options = as_localhost();
    server_options.client_ca_pem = test_authority().pem;
    const auto server = server_with(server_options);
    CHECK(tls_pair(client_with(trusting()), server, "localhost").well());
    const auto stranger = make_certificate({.use = usage::client});
    auto options = trusting();
    options.certificate_pem = stranger.pem;
    options.key_pem = stranger.key;
    CHECK_FALSE(tls_pair(client_with(options), server, "localhost").well());
    // Nobody asks for it here.
    CHECK(tls_pair(client_with(options), server_with(as_localhost()), "localhost").well());
}
