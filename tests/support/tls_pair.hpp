#pragma once

// Two ends of TLS in one thread, joined by memory: what one writes the other reads, when it is pumped.

#include "support/catch.hpp"
#include "support/certificates.hpp"

#include <duplex/tls/tls_context.hpp>
#include <duplex/tls/tls_error.hpp>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace duplex::testing {

/// One end.
class tls_end {
public:
    explicit tls_end(SSL_CTX* context)
        : ssl_{SSL_new(context), &SSL_free} {
        REQUIRE(ssl_);
        from_ = BIO_new(BIO_s_mem());
        to_ = BIO_new(BIO_s_mem());
        BIO_set_mem_eof_return(from_, -1);
        BIO_set_mem_eof_return(to_, -1);
        SSL_set_bio(ssl_.get(), from_, to_);
    }
    explicit tls_end(const tls_context& context)
        : tls_end{context.native_handle()} {}

    [[nodiscard]] SSL* ssl() const { return ssl_.get(); }

    /// Goes on with the handshake as far as there are bytes, then with reading.
    void step() {
        if (failed()) return;
        ERR_clear_error();
        int result = SSL_do_handshake(ssl());
        if (result == 1) {
            done_ = true;
            char bytes[256];
            while ((result = SSL_read(ssl(), bytes, sizeof bytes)) > 0)
                received_.append(bytes, static_cast<std::size_t>(result));
        }
        const int error = SSL_get_error(ssl(), result);
        if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_ZERO_RETURN) return;
        error_ = explain_tls_error(ssl());
        CHECK(ERR_peek_error() == 0);
    }

    /// What was written since the last call.
    [[nodiscard]] std::string take() {
        char bytes[4096];
        std::string out;
        for (int n = 0; (n = BIO_read(to_, bytes, sizeof bytes)) > 0;)
            out.append(bytes, static_cast<std::size_t>(n));
        return out;
    }
    void give(std::string_view bytes) {
        if (!bytes.empty()) REQUIRE(BIO_write(from_, bytes.data(), static_cast<int>(bytes.size())) > 0);
    }
    /// The other end hung up.
    void give_end() { BIO_set_mem_eof_return(from_, 0); }

    [[nodiscard]] bool failed() const { return static_cast<bool>(error_.error); }
    [[nodiscard]] bool done() const { return done_ && !failed(); }
    [[nodiscard]] const std::error_code& error() const { return error_.error; }
    [[nodiscard]] const std::string& text() const { return error_.text; }
    [[nodiscard]] const std::string& received() const { return received_; }
    [[nodiscard]] bool resumed() const { return SSL_session_reused(ssl()) == 1; }
    [[nodiscard]] std::string protocol() const {
        const unsigned char* bytes = nullptr;
        unsigned int size = 0;
        SSL_get0_alpn_selected(ssl(), &bytes, &size);
        return {reinterpret_cast<const char*>(bytes), size};
    }

private:
    std::unique_ptr<SSL, decltype(&SSL_free)> ssl_;
    BIO* from_ = nullptr;
    BIO* to_ = nullptr;
    bool done_ = false;
    tls_error error_;
    std::string received_;
};

/// A client and a server that have said to each other all there was to say.
struct tls_pair {
    tls_end client;
    tls_end server;

    template <class Client, class Server>
    tls_pair(const Client& client_context, const Server& server_context)
        : client{client_context}
        , server{server_context} {
        SSL_set_connect_state(client.ssl());
        SSL_set_accept_state(server.ssl());
    }

    template <class Client, class Server>
    tls_pair(const Client& client_context, const Server& server_context, std::string_view host,
             std::uint16_t port = 443)
        : tls_pair{client_context, server_context} {
        REQUIRE_FALSE(prepare_tls_client(client.ssl(), host, port));
        pump();
    }

    void pump() {
        bool moved = true;
        while (moved) {
            client.step();
            const std::string out = client.take();
            server.give(out);
            server.step();
            const std::string in = server.take();
            client.give(in);
            moved = !out.empty() || !in.empty();
        }
    }

    [[nodiscard]] bool well() const { return client.done() && server.done(); }
};

[[nodiscard]] inline tls_context client_with(const tls_client_options& options) {
    std::error_code error;
    std::string why;
    auto made = make_tls_client_context(options, error, &why);
    INFO(why);
    REQUIRE_FALSE(error);
    REQUIRE(made);
    return made;
}

[[nodiscard]] inline tls_context server_with(const tls_server_options& options) {
    std::error_code error;
    std::string why;
    auto made = make_tls_server_context(options, error, &why);
    INFO(why);
    REQUIRE_FALSE(error);
    REQUIRE(made);
    return made;
}

/// Trusts those certificates that the tests' authority issued.
[[nodiscard]] inline tls_client_options trusting() { return {.ca_pem = test_authority().pem}; }

[[nodiscard]] inline tls_server_options as_localhost() {
    return {.certificate_pem = localhost_certificate().pem, .key_pem = localhost_certificate().key};
}

[[nodiscard]] inline tls_context server_for(const certificate& own) {
    return server_with({.certificate_pem = own.pem, .key_pem = own.key});
}

/// As if there were no newer version than this one, such as TLS1_2_VERSION.
[[nodiscard]] inline tls_context up_to(int version, tls_context context) {
    SSL_CTX_set_max_proto_version(context.native_handle(), version);
    return context;
}

} // namespace duplex::testing
