#include <duplex/tls/tls_error.hpp>

#include "support/catch.hpp"
#include "support/certificates.hpp"
#include "support/tls_pair.hpp"

#include <asio/ssl/error.hpp>

#include <cerrno>
#include <string>
#include <string_view>

using namespace duplex;
using namespace duplex::testing;

namespace {

bool has(const std::string& text, std::string_view part) {
    UNSCOPED_INFO(text);
    return text.find(part) != std::string::npos;
}

/// A client that trusts the tests' authority, and a server with this certificate.
struct against {
    tls_pair pair;
    explicit against(certificate_options options, std::string_view host = "localhost")
        : pair{client_with(trusting()), server_for(make_certificate(options)), host} {}
    [[nodiscard]] bool fails(errc error, std::string_view text) const {
        UNSCOPED_INFO(pair.client.error().message());
        return pair.client.error() == error && has(pair.client.text(), text);
    }
    /// The server learns it from an alert.
    [[nodiscard]] bool rejected() const { return pair.server.error() == errc::tls_certificate_rejected; }
};

/// A client whose server has answered with these bytes.
tls_error answered_with(std::string_view bytes, bool ended = false) {
    tls_end client{client_with(trusting())};
    REQUIRE_FALSE(prepare_tls_client(client.ssl(), "localhost", 443));
    client.step();
    static_cast<void>(client.take());
    client.give(bytes);
    if (ended) client.give_end();
    client.step();
    return {client.error(), client.text()};
}

/// A server whose client has said these bytes.
tls_error asked_with(std::string_view bytes, bool ended = false) {
    tls_end server{server_with(as_localhost())};
    SSL_set_accept_state(server.ssl());
    server.give(bytes);
    if (ended) server.give_end();
    server.step();
    return {server.error(), server.text()};
}

/// What TLS 1.1 still takes from a peer's OpenSSL.
tls_context only_1_1(tls_context context) {
    SSL_CTX* handle = context.native_handle();
    SSL_CTX_set_security_level(handle, 0);
    REQUIRE(SSL_CTX_set_min_proto_version(handle, TLS1_1_VERSION) == 1);
    REQUIRE(SSL_CTX_set_max_proto_version(handle, TLS1_1_VERSION) == 1);
    REQUIRE(SSL_CTX_set_cipher_list(handle, "ALL:@SECLEVEL=0") == 1);
    return context;
}

/// An alert that ends a handshake, as it comes before anything is encrypted.
std::string alert(int description) {
    return std::string("\x15\x03\x03\x00\x02\x02", 6) + static_cast<char>(description);
}

} // namespace

// --- certificates ---

TEST_CASE("a certificate for another host is told with the hosts it is for") {
    const against named{{.names = {"example.org", "www.example.org"}, .issuer = &test_authority()}};
    CHECK(named.fails(errc::tls_certificate_mismatch,
                      "the server's certificate is for example.org, www.example.org, not for localhost"));
    CHECK(named.rejected());
    const against address{{.ips = {"10.0.0.1", "2001:db8::1"}, .issuer = &test_authority()}, "127.0.0.1"};
    CHECK(address.fails(errc::tls_certificate_mismatch, "is for 10.0.0.1, 2001:db8::1, not for 127.0.0.1"));
    const against many{{.names = {"a.org", "b.org", "c.org", "d.org"}, .issuer = &test_authority()}};
    CHECK(many.fails(errc::tls_certificate_mismatch, "a.org, b.org, c.org and others, not for localhost"));
    const against none{{.common_name = "localhost", .issuer = &test_authority()}};
    CHECK(
        none.fails(errc::tls_certificate_mismatch, "names no host (a common name does not count), so it is"));
}

TEST_CASE("a certificate out of its time is told with the day") {
    const against old{{.names = {"localhost"},
                       .not_before_date = "20190102000000Z",
                       .not_after_date = "20200102030405Z",
                       .issuer = &test_authority()}};
    CHECK(old.fails(errc::tls_certificate_expired, "the server's certificate expired on 2020-01-02"));
    const against young{{.names = {"localhost"},
                         .not_before_date = "21230405000000Z",
                         .not_after_date = "21240102030405Z",
                         .issuer = &test_authority()}};
    CHECK(young.fails(errc::tls_certificate_expired, "is not valid before 2123-04-05: is the clock"));
    CHECK(
        against({.names = {"localhost"}, .not_after = std::chrono::seconds{-60}, .issuer = &test_authority()})
            .fails(errc::tls_certificate_expired, "expired on"));

    // An issuer's end is not the server's.
    const auto issuer = make_certificate({.common_name = "tired",
                                          .not_before_date = "20190102000000Z",
                                          .not_after_date = "20200102030405Z",
                                          .use = usage::authority});
    tls_pair pair{client_with({.ca_pem = issuer.pem}),
                  server_for(make_certificate({.names = {"localhost"}, .issuer = &issuer})), "localhost"};
    CHECK(pair.client.error() == errc::tls_certificate_expired);
    CHECK(has(pair.client.text(),
              "the certificate of 'tired', an issuer of the server's, expired on 2020-01-02"));
}

TEST_CASE("a certificate that nobody vouches for is told with its issuer") {
    const against own{{.names = {"localhost"}}};
    CHECK(own.fails(errc::tls_certificate_untrusted, "self-signed and not in the trusted store"));
    CHECK(has(own.pair.client.text(), "tls_client_options::ca_file"));
    CHECK(own.rejected());

    const auto other = make_certificate({.common_name = "other authority", .use = usage::authority});
    const against unknown{{.names = {"localhost"}, .issuer = &other}};
    CHECK(unknown.fails(
        errc::tls_certificate_untrusted,
        "the server's certificate comes from 'other authority', which is not in the trusted store"));

    // With the whole chain sent, its root shows.
    const auto leaf = make_certificate({.names = {"localhost"}, .issuer = &other});
    tls_pair whole{client_with(trusting()),
                   server_with({.certificate_pem = leaf.pem + other.pem, .key_pem = leaf.key}), "localhost"};
    CHECK(whole.client.error() == errc::tls_certificate_untrusted);
    CHECK(has(whole.client.text(), "comes from 'other authority', which is not in the trusted store"));

    // One that only looks like the authority.
    const auto twin = make_certificate({.common_name = "duplex test authority", .use = usage::authority});
    CHECK(against({.names = {"localhost"}, .issuer = &twin}).pair.client.error() ==
          errc::tls_certificate_untrusted);
}

TEST_CASE("a certificate for another purpose is not trusted") {
    const against client_only{{.names = {"localhost"}, .use = usage::client, .issuer = &test_authority()}};
    CHECK(client_only.fails(errc::tls_certificate_untrusted, "extended key usage lacks serverAuth"));
    CHECK(against({.names = {"localhost"}, .use = usage::both, .issuer = &test_authority()}).pair.well());
    // A server's certificate issues no others.
    const against grown{{.names = {"localhost"}, .issuer = &localhost_certificate()}};
    CHECK(grown.pair.client.error() == errc::tls_certificate_untrusted);
}

TEST_CASE("what a certificate says is shown as text that does no harm") {
    const std::string wild = "a\r\nb\x1b[31m" + std::string(30, 'x') + "\xFF";
    const against odd{{.common_name = "plain", .names = {"line\nbreak.org"}, .issuer = &test_authority()}};
    CHECK(odd.fails(errc::tls_certificate_mismatch, "is for line?break.org, not for localhost"));
    CHECK(detail::printable(wild) == "a??b?[31m" + std::string(30, 'x') + "?");
    CHECK(detail::printable(std::string(1000, 'y')) == std::string(64, 'y') + "...");
    CHECK(detail::printable(std::string_view("a\0b", 3)) == "a?b");
}

// --- certificates of clients ---

TEST_CASE("a certificate of the client that is missing or not trusted is told on both sides") {
    const int version = GENERATE(values({TLS1_2_VERSION, TLS1_3_VERSION}));
    auto options = as_localhost();
    options.client_ca_pem = test_authority().pem;
    options.require_client_certificate = true;
    const auto server = up_to(version, server_with(options));
    tls_pair without{client_with(trusting()), server, "localhost"};
    CHECK(without.server.error() == errc::tls_certificate_required);
    CHECK(has(without.server.text(), "the client has sent no certificate"));
    CHECK(without.client.error() == errc::tls_certificate_required);
    CHECK(has(without.client.text(), "the server wants a certificate of the client: set certificate_file"));

    const auto old = make_certificate({.not_before_date = "20190102000000Z",
                                       .not_after_date = "20200102030405Z",
                                       .use = usage::client,
                                       .issuer = &test_authority()});
    auto late = trusting();
    late.certificate_pem = old.pem;
    late.key_pem = old.key;
    tls_pair tardy{client_with(late), server, "localhost"};
    CHECK(tardy.server.error() == errc::tls_certificate_expired);
    CHECK(has(tardy.server.text(), "the client's certificate expired on 2020-01-02"));
    CHECK(tardy.client.error() == errc::tls_certificate_rejected);

    const auto stranger = make_certificate({.use = usage::client});
    auto with = trusting();
    with.certificate_pem = stranger.pem;
    with.key_pem = stranger.key;
    tls_pair strange{client_with(with), server, "localhost"};
    CHECK(strange.server.error() == errc::tls_certificate_untrusted);
    CHECK(has(strange.server.text(), "the client's certificate is self-signed"));
    CHECK(has(strange.server.text(), "tls_server_options::client_ca_file"));
    CHECK(strange.client.error() == errc::tls_certificate_rejected);
    CHECK(has(strange.client.text(), "the server does not accept this side's certificate: unknown CA"));
}

// --- versions and ciphers ---

TEST_CASE("a server that knows only TLS 1.1 is told by its alert or its choice") {
    tls_pair pair{client_with(trusting()), only_1_1(server_with(as_localhost())), "localhost"};
    CHECK(pair.client.error() == errc::tls_version_unsupported);
    CHECK(has(pair.client.text(), "none of the versions of TLS that were offered"));

    // One that answers with 1.1 to an offer that has no such thing.
    std::string hello("\x16\x03\x02\x00\x2A\x02\x00\x00\x26\x03\x02", 11);
    hello += std::string(32, 'r') + std::string("\x00\x00\x2F\x00", 4);
    const auto chosen = answered_with(hello);
    CHECK(chosen.error == errc::tls_version_unsupported);
    CHECK(has(chosen.text, "at least TLS 1.2 is wanted"));
}

TEST_CASE("a client that knows only TLS 1.1 is told with its version") {
    tls_pair pair{only_1_1(client_with(trusting())), server_with(as_localhost()), "localhost"};
    CHECK(pair.server.error() == errc::tls_version_unsupported);
    CHECK(has(pair.server.text(), "at least TLS 1.2 is wanted, it offers TLS 1.1"));
    CHECK(pair.client.error() == errc::tls_version_unsupported);
}

TEST_CASE("sides without a common cipher are told") {
    auto options = trusting();
    options.ciphers_1_2 = "ECDHE-ECDSA-AES128-GCM-SHA256";
    auto other = as_localhost();
    other.ciphers_1_2 = "ECDHE-ECDSA-AES256-GCM-SHA384";
    tls_pair pair{up_to(TLS1_2_VERSION, client_with(options)), server_with(other), "localhost"};
    CHECK(pair.server.error() == errc::tls_handshake_failed);
    CHECK(has(pair.server.text(), "the client offers no cipher"));
    CHECK(pair.client.error() == errc::tls_handshake_failed);
    CHECK(has(pair.client.text(), "the server accepts none of the ciphers or parameters"));
}

TEST_CASE("a client of another protocol is told on both sides") {
    tls_pair pair{client_with(trusting()), server_with(as_localhost())};
    REQUIRE_FALSE(prepare_tls_client(pair.client.ssl(), "localhost", 443));
    REQUIRE(SSL_set_alpn_protos(pair.client.ssl(), reinterpret_cast<const unsigned char*>("\x02h2"), 3) == 0);
    pair.pump();
    CHECK(pair.server.error() == errc::tls_handshake_failed);
    CHECK(has(pair.server.text(), "without http/1.1"));
    CHECK(has(pair.client.text(), "the server does not speak http/1.1"));
}

// --- not TLS ---

TEST_CASE("a server that answers with HTTP does not speak TLS") {
    const auto http = answered_with("HTTP/1.1 400 Bad Request\r\n\r\n");
    CHECK(http.error == errc::tls_not_spoken);
    CHECK(has(http.text, "the server does not speak TLS: it answered with plain HTTP"));
}

TEST_CASE("a server that answers with anything else does not speak TLS either") {
    for (const std::string_view bytes :
         {"SSH-2.0-OpenSSH_9.2\r\n", "220 mail.example.org ESMTP\r\n", "\x81\x05hello",
          "HTTX/1.1 200 OK\r\n\r\n", "\xFF\xFF\xFF\xFF\xFF\xFF\xFF"}) {
        const auto other = answered_with(bytes);
        CHECK(other.error == errc::tls_not_spoken);
        CHECK(other.text == "the server does not speak TLS");
    }
}

TEST_CASE("a client that speaks HTTP does not speak TLS") {
    for (const std::string_view bytes : {"GET /chat HTTP/1.1\r\nHost: localhost\r\n\r\n",
                                         "POST / HTTP/1.1\r\n\r\n", "HEAD / HTTP/1.1\r\n\r\n"}) {
        const auto http = asked_with(bytes);
        CHECK(http.error == errc::tls_not_spoken);
        CHECK(has(http.text, "the client does not speak TLS: it sent a plain HTTP request"));
    }
    CHECK(asked_with(std::string("\x05\x01\x00\x05\x01\x00\x05\x01\x00\x05\x01", 11)).error ==
          errc::tls_not_spoken);
    CHECK(asked_with("CONNECT example.org:443 HTTP/1.1\r\n\r\n").error == errc::tls_not_spoken);
}

// --- alerts and ends ---

TEST_CASE("each alert of a server has its words") {
    const auto of = [](int description) { return answered_with(alert(description)); };
    CHECK(of(SSL_AD_PROTOCOL_VERSION).error == errc::tls_version_unsupported);
    CHECK(of(SSL_AD_UNRECOGNIZED_NAME).error == errc::tls_handshake_failed);
    CHECK(has(of(SSL_AD_UNRECOGNIZED_NAME).text, "the server knows no host of the name localhost"));
    CHECK(of(SSL_AD_HANDSHAKE_FAILURE).error == errc::tls_handshake_failed);
    CHECK(of(SSL_AD_CERTIFICATE_REQUIRED).error == errc::tls_certificate_required);
    CHECK(of(SSL_AD_ACCESS_DENIED).error == errc::tls_certificate_rejected);
    CHECK(has(of(SSL_AD_INTERNAL_ERROR).text, "the server ended the TLS handshake: internal error"));
    CHECK(of(SSL_AD_INTERNAL_ERROR).error == errc::tls_handshake_failed);
    // One that nobody has defined.
    CHECK(of(200).error == errc::tls_handshake_failed);
    CHECK_FALSE(of(200).text.empty());
}

TEST_CASE("an end in the middle of the handshake is told") {
    const auto silent = answered_with("", true);
    CHECK(silent.error == errc::tls_handshake_failed);
    CHECK(has(silent.text, "closed the connection during the TLS handshake without an answer"));
    const auto started = answered_with(std::string_view("\x16\x03\x03\x00\x50\x02", 6), true);
    CHECK(started.error == errc::tls_handshake_failed);
    CHECK(has(started.text, "the server closed the connection during the TLS handshake"));
    CHECK_FALSE(has(started.text, "without an answer"));
    const auto client = asked_with("", true);
    CHECK(client.error == errc::tls_handshake_failed);
    CHECK(has(client.text, "the client closed the connection"));
}

TEST_CASE("bytes that make no sense are an error of the handshake, in either role") {
    CHECK(asked_with(std::string("\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00", 10)).error ==
          errc::tls_handshake_failed);
    CHECK(answered_with(std::string("\x17\x03\x03\x00\x05hello", 10)).error == errc::tls_handshake_failed);
    CHECK_FALSE(answered_with(std::string("\x17\x03\x03\x00\x05hello", 10)).text.empty());
}

// --- how it is asked ---

TEST_CASE("an error that was taken from the queue before is explained too") {
    const tls_end end{client_with(trusting())};
    const auto code = ERR_PACK(ERR_LIB_SSL, 0, SSL_R_NO_SHARED_CIPHER);
    const std::error_code asio{static_cast<int>(code), asio::error::get_ssl_category()};
    const auto explained = explain_tls_error(end.ssl(), static_cast<unsigned int>(asio.value()));
    CHECK(has(explained.text, "no cipher"));
    CHECK(explained.error == condition::handshake_failure);
}

TEST_CASE("the error of TLS is found behind others, and the queue is empty then") {
    const tls_end end{client_with(trusting())};
    ERR_raise(ERR_LIB_PEM, PEM_R_NO_START_LINE);
    ERR_raise(ERR_LIB_SSL, SSL_R_NO_SHARED_CIPHER);
    ERR_raise(ERR_LIB_SSL, SSL_R_HTTP_REQUEST);
    CHECK(has(explain_tls_error(end.ssl()).text, "no cipher"));
    CHECK(ERR_peek_error() == 0);
}

TEST_CASE("an error of another part of OpenSSL, of the system, or none has words as well") {
    const tls_end end{client_with(trusting())};
    ERR_raise(ERR_LIB_PEM, PEM_R_NO_START_LINE);
    const auto other = explain_tls_error(end.ssl());
    CHECK(other.error == errc::tls_handshake_failed);
    CHECK(has(other.text, "no start line"));
    ERR_raise(ERR_LIB_SYS, ECONNRESET);
    CHECK(has(explain_tls_error(end.ssl()).text, "reset"));
    CHECK(explain_tls_error(end.ssl()).error == errc::tls_handshake_failed);
    CHECK(has(explain_tls_error(end.ssl(), ERR_PACK(ERR_LIB_SSL, 0, 990)).text, "unknown reason"));
}

TEST_CASE("a connection that nobody prepared is explained without names") {
    // A context of somebody else's: nothing was noted.
    const std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> plain{SSL_CTX_new(TLS_client_method()),
                                                                  &SSL_CTX_free};
    SSL_CTX_set_verify(plain.get(), SSL_VERIFY_PEER, nullptr);
    tls_pair pair{plain.get(), server_with(as_localhost())};
    pair.pump();
    CHECK(pair.client.error() == errc::tls_certificate_untrusted);
    CHECK_FALSE(pair.client.text().empty());
    CHECK(pair.server.error() == errc::tls_certificate_rejected);
}
