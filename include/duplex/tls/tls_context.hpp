#pragma once

#include <duplex/core/detail/nothrow.hpp>
#include <duplex/core/error.hpp>
#include <duplex/net/tls_options.hpp>
#include <duplex/tls/detail/client_rules.hpp>
#include <duplex/tls/detail/connection_notes.hpp>
#include <duplex/tls/detail/credentials.hpp>
#include <duplex/tls/detail/openssl.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>

namespace duplex {

/// What connections with TLS are made from: a shared handle, as cheap to copy as a pointer, of an `SSL_CTX`
/// that nobody changes any more. Each connection keeps what it was made from, so a context may go before its
/// connections. A handle is used by one thread at a time, the context behind its copies by any number.
class tls_context {
public:
    tls_context() noexcept = default;
    tls_context(const tls_context& other) noexcept
        : context_{other.new_reference()} {}
    tls_context(tls_context&&) noexcept = default;
    tls_context& operator=(const tls_context& other) noexcept {
        context_.reset(other.new_reference());
        return *this;
    }
    tls_context& operator=(tls_context&&) noexcept = default;
    ~tls_context() = default;

    /// Takes over one reference.
    explicit tls_context(detail::ssl_ctx_ptr context) noexcept
        : context_{std::move(context)} {}

    /// False: made from nothing, or with an error.
    [[nodiscard]] explicit operator bool() const noexcept { return context_ != nullptr; }

    /// For `SSL_new`, which keeps a reference of its own.
    [[nodiscard]] SSL_CTX* native_handle() const noexcept { return context_.get(); }

    /// One more reference, owned by whoever asked, as `asio::ssl::context{context.new_reference()}` does.
    /// That object must not be changed: it is this context still.
    [[nodiscard]] SSL_CTX* new_reference() const noexcept {
        if (context_) SSL_CTX_up_ref(context_.get());
        return context_.get();
    }

    [[nodiscard]] friend bool operator==(const tls_context& a, const tls_context& b) noexcept {
        return a.context_ == b.context_;
    }

private:
    detail::ssl_ctx_ptr context_;
};

namespace detail {

/// RFC 6455 4.1 is a request of HTTP/1.1: that is the one protocol to agree on (RFC 7301 6).
inline constexpr std::string_view http_1_1 = "http/1.1";

/// Called with the protocols that a client offers, each behind its length.
inline int choose_protocol(SSL* /*ssl*/, const unsigned char** chosen, unsigned char* chosen_size,
                           const unsigned char* offered, unsigned int size, void* /*unused*/) noexcept {
    const std::string_view all{reinterpret_cast<const char*>(offered), size};
    for (std::size_t at = 0; at < all.size();) {
        const std::size_t length = static_cast<unsigned char>(all[at]);
        if (all.substr(at + 1, length) == http_1_1) {
            *chosen = offered + at + 1;
            *chosen_size = static_cast<unsigned char>(length);
            return SSL_TLSEXT_ERR_OK;
        }
        at += 1 + length;
    }
    // RFC 7301 3.2: no_application_protocol
    return SSL_TLSEXT_ERR_ALERT_FATAL;
}

/// Makes one context, by steps of which each is done while all before it went well.
class context_maker {
public:
    context_maker(const SSL_METHOD* method, tls_reason reason) noexcept
        : context_{SSL_CTX_new(method)}
        , reason_{reason} {
        if (!context_) error_ = reason_.give(errc::out_of_memory, openssl_errors::last());
    }

    /// `step` gets the context and where to give a reason to.
    template <class Step>
    context_maker& then(Step step) {
        if (error_ == errc{}) error_ = step(*context_, reason_);
        return *this;
    }

    [[nodiscard]] tls_context finish(std::error_code& error) noexcept {
        error.clear();
        if (error_ == errc{}) return tls_context{std::move(context_)};
        error = error_;
        return {};
    }

private:
    ssl_ctx_ptr context_;
    tls_reason reason_;
    errc error_{};
};

/// What contexts for both roles have in common.
template <class Options>
[[nodiscard]] errc set_common_rules(SSL_CTX& context, const Options& options, tls_reason reason) {
    SSL_CTX_clear_options(&context, SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_options(&context, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
    // A record in one piece, not its header before the rest.
    SSL_CTX_set_read_ahead(&context, 1);
    // Buffers go while nothing is read or written; a write may take part of what it is given, and may be
    // repeated from another place.
    SSL_CTX_set_mode(&context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                   SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    const int oldest = options.minimum_version == tls_version::tls_1_2 ? TLS1_2_VERSION : TLS1_3_VERSION;
    // The system's configuration may ask for more already.
    if (SSL_CTX_get_min_proto_version(&context) < oldest &&
        SSL_CTX_set_min_proto_version(&context, oldest) != 1)
        return reason.give(errc::tls_options_invalid, "minimum_version is not available");
    const auto has_nul = [](const std::string& text) { return text.find('\0') != std::string::npos; };
    if (!options.ciphers_1_2.empty() &&
        (has_nul(options.ciphers_1_2) || SSL_CTX_set_cipher_list(&context, options.ciphers_1_2.c_str()) != 1))
        return reason.give(errc::tls_options_invalid, "ciphers_1_2 names no cipher that OpenSSL knows");
    if (!options.ciphers_1_3.empty() &&
        (has_nul(options.ciphers_1_3) ||
         SSL_CTX_set_ciphersuites(&context, options.ciphers_1_3.c_str()) != 1))
        return reason.give(errc::tls_options_invalid,
                           "ciphers_1_3 names a cipher that OpenSSL does not know");
    return {};
}

/// The own certificate and its key, which a client need not have.
template <class Options>
[[nodiscard]] errc set_own_certificate(SSL_CTX& context, const Options& options, tls_reason reason) {
    const pem_source certificate{"certificate", options.certificate_file, options.certificate_pem};
    const pem_source key{"key", options.key_file, options.key_pem};
    if constexpr (std::is_same_v<Options, tls_client_options>)
        if (!certificate.given() && !key.given()) return {};
    return credentials{context, reason}.use(certificate, key, options.key_password);
}

[[nodiscard]] inline errc set_client_trust(SSL_CTX& context, const tls_client_options& options,
                                           tls_reason reason) {
    const pem_source ca{"ca", options.ca_file, options.ca_pem};
    if (options.insecure_accept_any_certificate) {
        // Somebody who names an issuer wants it checked.
        if (ca.given() || options.add_system_store)
            return reason.give(
                errc::tls_options_invalid,
                "insecure_accept_any_certificate would make the certificates to trust useless");
        SSL_CTX_set_verify(&context, SSL_VERIFY_NONE, nullptr);
        return {};
    }
    SSL_CTX_set_verify(&context, SSL_VERIFY_PEER, &note_certificate);
    if ((!ca.given() || options.add_system_store) && SSL_CTX_set_default_verify_paths(&context) != 1)
        return reason.give(errc::tls_ca_invalid, "the system's store cannot be used");
    return ca.given() ? credentials{context, reason}.trust(ca, false) : errc{};
}

[[nodiscard]] inline errc set_client_rules(SSL_CTX& context, const tls_client_options& options,
                                           tls_reason reason) {
    std::unique_ptr<client_rules> rules;
    if (!nothrow([&] { rules = std::make_unique<client_rules>(); })) return errc::out_of_memory;
    if (!options.server_name.empty()) {
        tls_name name;
        if (!name.parse(options.server_name))
            return reason.give(errc::tls_options_invalid, "server_name is neither a name nor an address");
        rules->server_name = name.text;
    }
    rules->verify = !options.insecure_accept_any_certificate;
    if (SSL_CTX_set_ex_data(&context, client_rules::index(), rules.get()) != 1) return errc::out_of_memory;
    static_cast<void>(rules.release());
    SSL_CTX_set_cert_cb(&context, &note_certificate_wanted, nullptr);
    if (options.resume_sessions) {
        SSL_CTX_set_session_cache_mode(&context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
        SSL_CTX_sess_set_new_cb(&context, &keep_session);
    } else {
        SSL_CTX_set_session_cache_mode(&context, SSL_SESS_CACHE_OFF);
    }
    std::string offer(1, static_cast<char>(http_1_1.size()));
    offer += http_1_1;
    // This one function says 0 when all is well.
    const bool offered =
        SSL_CTX_set_alpn_protos(&context, reinterpret_cast<const unsigned char*>(offer.data()),
                                static_cast<unsigned int>(offer.size())) == 0;
    return offered ? errc{} : errc::out_of_memory;
}

[[nodiscard]] inline errc set_server_rules(SSL_CTX& context, const tls_server_options& options,
                                           tls_reason reason) {
    const pem_source ca{"client_ca", options.client_ca_file, options.client_ca_pem};
    if (options.require_client_certificate && !ca.given())
        return reason.give(errc::tls_ca_invalid,
                           "require_client_certificate needs client_ca_file or client_ca_pem");
    if (ca.given()) {
        const int strictly = options.require_client_certificate ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0;
        SSL_CTX_set_verify(&context, SSL_VERIFY_PEER | strictly, &note_certificate);
        if (const errc e = credentials{context, reason}.trust(ca, true); e != errc{}) return e;
    }
    // A ticket carries all there is to know of a session: nothing grows here with the number of clients.
    SSL_CTX_set_session_cache_mode(&context, SSL_SESS_CACHE_OFF);
    static constexpr unsigned char id[] = "duplex";
    if (SSL_CTX_set_session_id_context(&context, id, sizeof id - 1) != 1) return errc::out_of_memory;
    if (!options.session_tickets) {
        SSL_CTX_set_options(&context, SSL_OP_NO_TICKET);
        SSL_CTX_set_num_tickets(&context, 0);
    }
    SSL_CTX_set_alpn_select_cb(&context, &choose_protocol, nullptr);
    return {};
}

} // namespace detail

/// Makes what a client's connections are made from; empty after an error, of which `why` then tells more than
/// the code: which option it was, and what OpenSSL or the system said. Reads files, so do it at the start.
/// Errors: `errc::tls_options_invalid`, `tls_ca_invalid`, `tls_certificate_invalid`, `tls_key_invalid`,
/// `tls_key_mismatch`, `out_of_memory`. Any thread.
[[nodiscard]] inline tls_context make_tls_client_context(const tls_client_options& options,
                                                         std::error_code& error, std::string* why = nullptr) {
    const detail::openssl_errors errors;
    using namespace detail;
    return context_maker{TLS_client_method(), {why}}
        .then([&](SSL_CTX& made, tls_reason reason) { return set_common_rules(made, options, reason); })
        .then([&](SSL_CTX& made, tls_reason reason) { return set_client_trust(made, options, reason); })
        .then([&](SSL_CTX& made, tls_reason reason) { return set_own_certificate(made, options, reason); })
        .then([&](SSL_CTX& made, tls_reason reason) { return set_client_rules(made, options, reason); })
        .finish(error);
}

/// Makes what a server's connections are made from; otherwise as `make_tls_client_context`. For certificates
/// that are renewed while the server runs see `tls_server_context`.
[[nodiscard]] inline tls_context make_tls_server_context(const tls_server_options& options,
                                                         std::error_code& error, std::string* why = nullptr) {
    const detail::openssl_errors errors;
    using namespace detail;
    return context_maker{TLS_server_method(), {why}}
        .then([&](SSL_CTX& made, tls_reason reason) { return set_common_rules(made, options, reason); })
        .then([&](SSL_CTX& made, tls_reason reason) { return set_own_certificate(made, options, reason); })
        .then([&](SSL_CTX& made, tls_reason reason) { return set_server_rules(made, options, reason); })
        .finish(error);
}

/// Before the handshake of a client's connection that was made from a `make_tls_client_context`: says which
/// host it is for. `host` is a name or an address without brackets, as in `uri::host`. The certificate must
/// be for that host, which is announced to the server where it is a name (RFC 6066 3), and a session with the
/// same host and port is gone on with. Errors: `errc::url_host_invalid`, `tls_options_invalid` (a context for
/// servers), `out_of_memory`; the connection must not be used then.
[[nodiscard]] inline std::error_code prepare_tls_client(SSL* ssl, std::string_view host, std::uint16_t port) {
    const detail::openssl_errors errors;
    auto* rules = detail::client_rules::find(SSL_get_SSL_CTX(ssl));
    if (!rules) return errc::tls_options_invalid;
    detail::tls_name to;
    if (!to.parse(host)) return errc::url_host_invalid;
    auto* notes = detail::connection_notes::of(ssl);
    if (!notes) return errc::out_of_memory;
    notes->server = to.text + ' ' + std::to_string(port);
    if (!rules->server_name.empty()) {
        to = {};
        static_cast<void>(to.parse(rules->server_name));
    }
    SSL_set_connect_state(ssl);
    SSL_set_verify(ssl, rules->verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE,
                   rules->verify ? &detail::note_certificate : nullptr);
    SSL_set_msg_callback(ssl, &detail::note_first_record);
    if (!to.expect_of(ssl) || !to.announce_by(ssl)) return errc::out_of_memory;
    if (const auto session = rules->sessions.take(notes->server)) SSL_set_session(ssl, session.get());
    notes->name = std::move(to.text);
    return {};
}

} // namespace duplex
