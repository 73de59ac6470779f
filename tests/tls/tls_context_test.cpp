#include <duplex/tls/tls_context.hpp>

#include "support/catch.hpp"
#include "support/certificates.hpp"
#include "support/tls_pair.hpp"

#include <asio/ssl/context.hpp>

#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

using namespace duplex;
using namespace duplex::testing;
using namespace std::string_literals;
using namespace std::string_view_literals;

namespace {

struct failure {
    std::error_code error;
    std::string why;
};

failure client_failure(const tls_client_options& options) {
    failure out;
    ERR_put_error(ERR_LIB_USER, 0, 1, "", 0); // of somebody else
    CHECK_FALSE(make_tls_client_context(options, out.error, &out.why));
    CHECK(ERR_peek_error() == 0);
    // The sentence is not asked for by everybody.
    std::error_code again;
    CHECK_FALSE(make_tls_client_context(options, again));
    CHECK(again == out.error);
    return out;
}

failure server_failure(const tls_server_options& options) {
    failure out;
    CHECK_FALSE(make_tls_server_context(options, out.error, &out.why));
    CHECK(ERR_peek_error() == 0);
    return out;
}

bool has(const std::string& text, std::string_view part) {
    UNSCOPED_INFO(text);
    return text.find(part) != std::string::npos;
}

} // namespace

// --- protocols, versions, options ---

TEST_CASE("a client that offers other protocols than http/1.1 is refused, one that offers none is not") {
    const auto server = server_with(as_localhost());
    const auto offering = [&](std::string_view protocols) {
        tls_pair pair{client_with(trusting()), server};
        REQUIRE_FALSE(prepare_tls_client(pair.client.ssl(), "localhost", 443));
        REQUIRE(SSL_set_alpn_protos(pair.client.ssl(),
                                    reinterpret_cast<const unsigned char*>(protocols.data()),
                                    static_cast<unsigned int>(protocols.size())) == 0);
        pair.pump();
        return pair.well() ? pair.client.protocol() : "refused: " + pair.client.text();
    };
    CHECK(offering("").empty());
    CHECK(offering("\x02h2\x08http/1.1") == "http/1.1");
    CHECK(offering("\x08http/1.1\x02h2") == "http/1.1");
    CHECK(has(offering("\x02h2"), "refused: the server does not speak http/1.1"));
    CHECK(has(offering("\x08http/1.0"), "refused"));
    CHECK(has(offering("\x09http/1.1x"), "refused"));
}

TEST_CASE("the offer of protocols is read within its bounds") {
    const auto choose = [](std::string_view offer) {
        const unsigned char* chosen = nullptr;
        unsigned char size = 0;
        // On the heap, where a sanitizer sees the end.
        const std::vector<unsigned char> bytes(offer.begin(), offer.end());
        const int result = detail::choose_protocol(nullptr, &chosen, &size, bytes.data(),
                                                   static_cast<unsigned int>(bytes.size()), nullptr);
        return result == SSL_TLSEXT_ERR_OK && size == 8;
    };
    CHECK(choose("\x08http/1.1"));
    CHECK_FALSE(choose(""));
    CHECK_FALSE(choose("\x08http/1."));
    CHECK_FALSE(choose("\xFFhttp/1.1"));
    CHECK_FALSE(choose("\x08"));
    CHECK_FALSE(choose("\x07http/1.1"));
    CHECK(choose("\x00\x08http/1.1"sv));
}

TEST_CASE("the oldest version is 1.2, or 1.3 where that is asked for") {
    auto client = trusting();
    auto server = as_localhost();
    client.minimum_version = tls_version::tls_1_3;
    CHECK(tls_pair(client_with(client), server_with(server), "localhost").well());
    const auto make_1_2 = [](const tls_context& of) {
        SSL_CTX_set_max_proto_version(of.native_handle(), TLS1_2_VERSION);
        return of;
    };
    CHECK_FALSE(tls_pair(client_with(client), make_1_2(server_with(server)), "localhost").well());
    server.minimum_version = tls_version::tls_1_3;
    CHECK_FALSE(tls_pair(make_1_2(client_with(trusting())), server_with(server), "localhost").well());
    tls_pair pair{client_with(trusting()), make_1_2(server_with(as_localhost())), "localhost"};
    CHECK(pair.well());
    CHECK(SSL_version(pair.client.ssl()) == TLS1_2_VERSION);
}

TEST_CASE("ciphers can be chosen, and a name without meaning is told") {
    auto client = trusting();
    client.ciphers_1_3 = "TLS_CHACHA20_POLY1305_SHA256";
    tls_pair pair{client_with(client), server_with(as_localhost()), "localhost"};
    REQUIRE(pair.well());
    CHECK(SSL_get_cipher_name(pair.server.ssl()) == client.ciphers_1_3);
    client.ciphers_1_2 = "ECDHE-ECDSA-AES128-GCM-SHA256";
    const auto context = client_with(client);
    SSL_CTX_set_max_proto_version(context.native_handle(), TLS1_2_VERSION);
    tls_pair older{context, server_with(as_localhost()), "localhost"};
    REQUIRE(older.well());
    CHECK(SSL_get_cipher_name(older.server.ssl()) == client.ciphers_1_2);

    for (const auto& bad : {"NO-SUCH-CIPHER"s, "ECDHE-ECDSA-AES128-GCM-SHA256\0x"s}) {
        CHECK(client_failure({.ciphers_1_2 = bad}).error == errc::tls_options_invalid);
        CHECK(has(client_failure({.ciphers_1_3 = bad}).why, "ciphers_1_3"));
        auto server = as_localhost();
        server.ciphers_1_2 = bad;
        CHECK(server_failure(server).error == errc::tls_options_invalid);
    }
}

TEST_CASE("neither role compresses, renegotiates, or takes a cut for an end") {
    for (const auto& context : {client_with({}), server_with(as_localhost())}) {
        const auto options = SSL_CTX_get_options(context.native_handle());
        CHECK((options & SSL_OP_NO_COMPRESSION) != 0);
        CHECK((options & SSL_OP_NO_RENEGOTIATION) != 0);
        CHECK((options & SSL_OP_IGNORE_UNEXPECTED_EOF) == 0);
        const auto mode = SSL_CTX_get_mode(context.native_handle());
        CHECK((mode & SSL_MODE_RELEASE_BUFFERS) != 0);
        CHECK((mode & SSL_MODE_ENABLE_PARTIAL_WRITE) != 0);
        CHECK((mode & SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER) != 0);
        // Nothing that asio::ssl would take for its own.
        CHECK(SSL_CTX_get_app_data(context.native_handle()) == nullptr);
        CHECK(SSL_CTX_get_default_passwd_cb_userdata(context.native_handle()) == nullptr);
    }
    const bool client_asks = GENERATE(values({0, 1})) == 1;
    const auto client = client_with(trusting());
    SSL_CTX_set_max_proto_version(client.native_handle(), TLS1_2_VERSION);
    tls_pair pair{client, server_with(as_localhost()), "localhost"};
    REQUIRE(pair.well());
    CHECK(SSL_renegotiate(client_asks ? pair.client.ssl() : pair.server.ssl()) == 0);
    ERR_clear_error();
}

TEST_CASE("an end of the stream without close_notify is an error, one with it is not") {
    const bool polite = GENERATE(values({0, 1})) == 1;
    tls_pair pair{client_with(trusting()), server_with(as_localhost()), "localhost"};
    REQUIRE(pair.well());
    if (polite) SSL_shutdown(pair.server.ssl());
    pair.client.give(pair.server.take());
    pair.client.give_end();
    char byte = 0;
    const int result = SSL_read(pair.client.ssl(), &byte, 1);
    CHECK(SSL_get_error(pair.client.ssl(), result) == (polite ? SSL_ERROR_ZERO_RETURN : SSL_ERROR_SSL));
    ERR_clear_error();
}

// --- what is given as PEM ---

TEST_CASE("certificates and keys are read from files and from texts") {
    const auto& own = localhost_certificate();
    const pem_file chain{own.pem};
    const pem_file key{own.key};
    const pem_file both{own.key + own.pem};
    const pem_file ca{"Some words before.\n" + test_authority().pem};
    const auto client = client_with({.ca_file = ca.path()});
    const auto well = [&](const tls_server_options& options) {
        return tls_pair(client, server_with(options), "localhost").well();
    };
    CHECK(well({.certificate_file = chain.path(), .key_file = key.path()}));
    CHECK(well({.certificate_file = chain.path(), .key_pem = own.key}));
    CHECK(well({.certificate_pem = own.pem, .key_file = key.path()}));
    CHECK(well({.certificate_file = both.path()}));
    CHECK(well({.certificate_pem = own.pem + own.key}));
    CHECK(well({.certificate_pem = own.key + own.pem}));
    CHECK(
        well({.certificate_pem = own.pem, .key_pem = own.encrypted_key("geheim"), .key_password = "geheim"}));
}

TEST_CASE("a certificate that cannot be read is told, in both roles") {
    const auto& own = localhost_certificate();
    const auto cut = own.pem.substr(0, own.pem.size() / 2);
    auto damaged = own.pem;
    damaged.replace(damaged.find('\n') + 1, 8, "AAAAAAAA");
    for (const auto& bad : {""s, "garbage"s, cut, damaged, own.key, own.pem + cut, own.pem + damaged,
                            "\0\0\0"s, "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"s}) {
        CAPTURE(bad);
        CHECK(server_failure({.certificate_pem = bad, .key_pem = own.key}).error ==
              errc::tls_certificate_invalid);
        CHECK(client_failure({.certificate_pem = bad, .key_pem = own.key}).error ==
              errc::tls_certificate_invalid);
        if (!bad.empty()) CHECK(client_failure({.ca_pem = bad}).error == errc::tls_ca_invalid);
        if (bad.empty()) continue;
        auto server = as_localhost();
        server.client_ca_pem = bad;
        CHECK(server_failure(server).error == errc::tls_ca_invalid);
    }
    CHECK(server_failure({}).error == errc::tls_certificate_invalid);
    CHECK(has(server_failure({}).why, "certificate_file or certificate_pem"));
    CHECK(has(client_failure({.ca_pem = "garbage"}).why, "ca_pem has no certificate"));
    CHECK(has(client_failure({.ca_pem = damaged}).why, "ca_pem has a damaged certificate"));
}

TEST_CASE("a file that cannot be read is told by name") {
    const auto missing = client_failure({.ca_file = "/no/such/ca.pem"});
    CHECK(missing.error == errc::tls_ca_invalid);
    CHECK(has(missing.why, "ca_file '/no/such/ca.pem': No such file"));
    CHECK(server_failure({.certificate_file = "/no/such/chain.pem"}).error == errc::tls_certificate_invalid);
    auto no_key = as_localhost();
    no_key.key_pem.clear();
    no_key.key_file = "/no/such/key.pem";
    CHECK(server_failure(no_key).error == errc::tls_key_invalid);
    CHECK(has(server_failure(no_key).why, "key_file '/no/such/key.pem'"));
    CHECK(client_failure({.ca_file = "/"}).error == errc::tls_ca_invalid);
    const pem_file ca{test_authority().pem};
    CHECK(client_failure({.ca_file = ca.path() + "\0x"s}).error == errc::tls_ca_invalid);
    CHECK(has(client_failure({.ca_file = "a", .ca_pem = "b"}).why, "ca_file and ca_pem are both given"));
    CHECK(client_failure({.ca_file = "a", .ca_pem = "b"}).error == errc::tls_options_invalid);
}

TEST_CASE("a key must be there, be readable, and belong to the certificate") {
    const auto& own = localhost_certificate();
    const auto with = [&](std::string key, std::string password = {}) {
        return server_failure(
            {.certificate_pem = own.pem, .key_pem = std::move(key), .key_password = std::move(password)});
    };
    CHECK(with("").error == errc::tls_key_invalid);
    CHECK(has(with("").why, "certificate_pem has no readable private key"));
    CHECK(with("garbage").error == errc::tls_key_invalid);
    CHECK(with(own.key.substr(0, own.key.size() / 2)).error == errc::tls_key_invalid);
    CHECK(with(own.pem).error == errc::tls_key_invalid);
    CHECK(with(test_authority().key).error == errc::tls_key_mismatch);
    CHECK(has(with(test_authority().key).why, "first certificate"));

    const auto locked = own.encrypted_key("geheim");
    CHECK(with(locked).error == errc::tls_key_invalid);
    CHECK(has(with(locked).why, "key_password is empty"));
    CHECK(has(with(locked, "falsch").why, "key_password does not open key_pem"));
    CHECK(with(locked, std::string(5000, 'x')).error == errc::tls_key_invalid);

    // The same of a client, and a key without a certificate.
    CHECK(client_failure({.certificate_pem = own.pem, .key_pem = locked}).error == errc::tls_key_invalid);
    CHECK(client_failure({.key_pem = own.key}).error == errc::tls_certificate_invalid);
}

TEST_CASE("requiring certificates of clients takes somebody who issues them") {
    auto options = as_localhost();
    options.require_client_certificate = true;
    CHECK(server_failure(options).error == errc::tls_ca_invalid);
    CHECK(has(server_failure(options).why, "client_ca_file"));
}

// --- the handle ---

TEST_CASE("a context is a shared handle that connections outlive") {
    tls_context client = client_with(trusting());
    tls_context copy = client;
    CHECK(copy == client);
    CHECK(copy.native_handle() == client.native_handle());
    tls_context moved = std::move(copy);
    CHECK(moved == client);
    copy = moved;
    copy = *&copy;
    CHECK(copy == client);
    copy = tls_context{};
    CHECK_FALSE(copy);
    CHECK(copy.native_handle() == nullptr);
    CHECK(copy.new_reference() == nullptr);
    CHECK(tls_context{copy} == copy);

    tls_context server = server_with(as_localhost());
    tls_pair pair{client, server};
    REQUIRE_FALSE(prepare_tls_client(pair.client.ssl(), "localhost", 443));
    client = {};
    moved = {};
    server = {};
    pair.pump();
    CHECK(pair.well());
}

TEST_CASE("Asio's context is made from a reference and changes nothing when it goes") {
    const tls_context server = server_with(as_localhost());
    {
        asio::ssl::context for_asio{server.new_reference()};
        CHECK(for_asio.native_handle() == server.native_handle());
        tls_end end{for_asio.native_handle()};
    }
    CHECK(tls_pair(client_with(trusting()), server, "localhost").well());
}

TEST_CASE("contexts are used by several threads at once") {
    const auto client = client_with(trusting());
    const auto server = server_with(as_localhost());
    std::vector<int> well(4, 0);
    std::vector<std::thread> threads;
    for (int& each : well)
        threads.emplace_back([&each, client, server] {
            for (int i = 0; i < 10; ++i) {
                // No assertions: those of Catch2 are for one thread.
                SSL* pair[2] = {SSL_new(client.native_handle()), SSL_new(server.native_handle())};
                BIO* ends[2];
                BIO_new_bio_pair(&ends[0], 0, &ends[1], 0);
                SSL_set_bio(pair[0], ends[0], ends[0]);
                SSL_set_bio(pair[1], ends[1], ends[1]);
                const bool prepared = !prepare_tls_client(pair[0], "localhost", 443);
                SSL_set_accept_state(pair[1]);
                int done = 0;
                for (int step = 0; step < 10 && done != 2; ++step)
                    done = (SSL_do_handshake(pair[0]) == 1) + (SSL_do_handshake(pair[1]) == 1);
                char byte;
                SSL_read(pair[0], &byte, 1);
                each += prepared && done == 2 ? 1 : 0;
                SSL_free(pair[0]);
                SSL_free(pair[1]);
            }
            ERR_clear_error();
        });
    for (auto& each : threads)
        each.join();
    for (const int each : well)
        CHECK(each == 10);
}
