#pragma once

#include <duplex/core/error.hpp>
#include <duplex/tls/detail/certificate_fault.hpp>
#include <duplex/tls/detail/client_rules.hpp>
#include <duplex/tls/detail/connection_notes.hpp>
#include <duplex/tls/detail/openssl.hpp>

#include <string>
#include <string_view>
#include <system_error>
#include <utility>

namespace duplex {

/// What went wrong in a TLS handshake.
struct tls_error {
    std::error_code error{}; ///< an `errc::tls_...` of `condition::handshake_failure`
    std::string text{};      ///< what it was this time, often with what to do about it; fit for logs
};

namespace detail {

/// Finds the words for one failed connection.
class tls_diagnosis {
public:
    /// `peer`: who is there; empty: what its role says.
    tls_diagnosis(const SSL* ssl, std::string_view peer)
        : ssl_{ssl}
        , notes_{connection_notes::find(ssl)}
        , client_{SSL_is_server(ssl) == 0}
        , peer_{!peer.empty() ? peer
                : client_     ? "the server"
                              : "the client"}
        , named_{!peer.empty()} {}

    /// `code`: one of OpenSSL's errors, of its part for TLS.
    [[nodiscard]] tls_error of(unsigned long code) const {
        const int reason = ERR_GET_REASON(code);
        if (reason >= SSL_AD_REASON_OFFSET) return alert(reason - SSL_AD_REASON_OFFSET);
        switch (reason) {
        case SSL_R_CERTIFICATE_VERIFY_FAILED: return certificate();
        case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
            return {errc::tls_certificate_required, peer_ + " has sent no certificate, and one is required"};
        case SSL_R_UNSUPPORTED_PROTOCOL:
        case SSL_R_VERSION_TOO_LOW: return version();
        case SSL_R_HTTP_REQUEST:
        case SSL_R_HTTPS_PROXY_REQUEST:
            return {errc::tls_not_spoken,
                    peer_ + " does not speak TLS: it sent a plain HTTP request, as ws:// does"};
        case SSL_R_WRONG_VERSION_NUMBER:
            if (!notes_ || notes_->heard != connection_notes::first_record::tls) return not_spoken();
            return version();
        case SSL_R_NO_APPLICATION_PROTOCOL:
            return failed(peer_ + " offers application protocols (ALPN) without http/1.1");
        case SSL_R_NO_SHARED_CIPHER: return failed(peer_ + " offers no cipher that is allowed here");
        case SSL_R_UNEXPECTED_EOF_WHILE_READING: return cut();
        default: break;
        }
        return other(code);
    }

    /// Some other of OpenSSL's errors, perhaps one of the system's.
    [[nodiscard]] tls_error other(unsigned long code) const {
        const char* words = ERR_reason_error_string(code);
        const std::string text = ERR_SYSTEM_ERROR(code)
                                     ? std::generic_category().message(ERR_GET_REASON(code))
                                 : words ? words
                                         : "";
        return failed("the TLS handshake with " + peer_ +
                      " failed: " + (text.empty() ? "unknown reason" : text));
    }

    /// Nothing is known of the reason.
    [[nodiscard]] tls_error cut() const {
        std::string text = peer_ + " closed the connection during the TLS handshake";
        if (client_ && notes_ && notes_->heard == connection_notes::first_record::none)
            text += " without an answer: perhaps it does not speak TLS";
        return failed(std::move(text));
    }

private:
    [[nodiscard]] static tls_error failed(std::string text) {
        return {errc::tls_handshake_failed, std::move(text)};
    }

    [[nodiscard]] tls_error not_spoken() const {
        std::string text = peer_ + " does not speak TLS";
        if (notes_ && notes_->heard == connection_notes::first_record::http)
            text += std::string{": it answered with plain HTTP. Is this a port for "} +
                    (named_ ? "http://?" : "ws://?");
        return {errc::tls_not_spoken, std::move(text)};
    }

    [[nodiscard]] static std::string version_name(int version) {
        switch (version) {
        case SSL3_VERSION: return "SSL 3";
        case TLS1_VERSION: return "TLS 1.0";
        case TLS1_1_VERSION: return "TLS 1.1";
        case TLS1_2_VERSION: return "TLS 1.2";
        case TLS1_3_VERSION: return "TLS 1.3";
        default: return "an unknown version";
        }
    }

    [[nodiscard]] tls_error version() const {
        const int oldest =
            static_cast<int>(SSL_ctrl(const_cast<SSL*>(ssl_), SSL_CTRL_GET_MIN_PROTO_VERSION, 0, nullptr));
        std::string text = peer_ + " speaks no version of TLS that is allowed here: at least " +
                           version_name(oldest) + " is wanted";
        if (const int offered = SSL_client_version(ssl_); !client_ && offered != 0)
            text += ", it offers " + version_name(offered);
        return {errc::tls_version_unsupported, std::move(text)};
    }

    [[nodiscard]] tls_error wants_certificate() const {
        return {errc::tls_certificate_required,
                peer_ + " wants a certificate of the client: set certificate_file and key_file"};
    }

    /// RFC 8446 6: what the peer found wrong.
    [[nodiscard]] tls_error alert(int description) const {
        const bool has_certificate = SSL_get_certificate(ssl_) != nullptr;
        const bool missed = client_ && !has_certificate && notes_ && notes_->certificate_wanted;
        const std::string words = SSL_alert_desc_string_long(description);
        switch (description) {
        case SSL_AD_CERTIFICATE_REQUIRED: return wants_certificate();
        case SSL_AD_PROTOCOL_VERSION:
            return {errc::tls_version_unsupported,
                    peer_ + " speaks none of the versions of TLS that were offered"};
        case SSL_AD_HANDSHAKE_FAILURE:
            // RFC 5246 7.4.6: how TLS 1.2 says that a certificate is missing
            if (missed) return wants_certificate();
            return failed(peer_ + " accepts none of the ciphers or parameters offered, or misses something "
                                  "that it does not name (alert: handshake failure)");
        case SSL_AD_NO_APPLICATION_PROTOCOL:
            return failed(peer_ + " does not speak http/1.1, which WebSockets need");
        case SSL_AD_UNRECOGNIZED_NAME:
            return failed(peer_ + " knows no host of the name " + (notes_ ? notes_->name : std::string{}));
        case SSL3_AD_NO_CERTIFICATE:
        case SSL_AD_BAD_CERTIFICATE:
        case SSL_AD_UNSUPPORTED_CERTIFICATE:
        case SSL_AD_CERTIFICATE_REVOKED:
        case SSL_AD_CERTIFICATE_EXPIRED:
        case SSL_AD_CERTIFICATE_UNKNOWN:
        case SSL_AD_UNKNOWN_CA:
        case SSL_AD_ACCESS_DENIED:
            if (missed) return wants_certificate();
            return {errc::tls_certificate_rejected,
                    peer_ + " does not accept this side's certificate: " + words};
        default: return failed(peer_ + " ended the TLS handshake: " + words);
        }
    }

    [[nodiscard]] tls_error certificate() const {
        certificate_fault fault;
        if (notes_ && notes_->fault)
            fault = *notes_->fault;
        else
            fault.code = static_cast<int>(SSL_get_verify_result(ssl_));
        const std::string whose =
            fault.own ? peer_ + "'s certificate"
                      : "the certificate of '" + fault.subject + "', an issuer of " + peer_ + "'s,";
        const std::string trust =
            client_ ? "tls_client_options::ca_file" : "tls_server_options::client_ca_file";
        switch (fault.code) {
        case X509_V_ERR_HOSTNAME_MISMATCH:
        case X509_V_ERR_IP_ADDRESS_MISMATCH:
            return {errc::tls_certificate_mismatch,
                    whose +
                        (fault.names.empty() ? " names no host (a common name does not count), so it is"
                                             : " is for " + fault.names + ",") +
                        " not for " + (notes_ ? notes_->name : "this host")};
        case X509_V_ERR_CERT_HAS_EXPIRED:
            return {errc::tls_certificate_expired, whose + " expired on " + fault.ends};
        case X509_V_ERR_CERT_NOT_YET_VALID:
            return {errc::tls_certificate_expired,
                    whose + " is not valid before " + fault.begins + ": is the clock of this machine right?"};
        case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
            return untrusted(
                whose + " is self-signed and not in the trusted store: to trust it, give it as " + trust);
        case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
            return untrusted(peer_ + "'s certificate comes from '" + fault.subject +
                             "', which is not in the trusted store: to trust that issuer, give its "
                             "certificate as " +
                             trust);
        case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
        case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
        case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
            return untrusted(whose + " comes from '" + fault.issuer +
                             "', which is not in the trusted store: either " + peer_ +
                             " should send its issuer's certificate along, or that should be in " + trust);
        case X509_V_ERR_INVALID_PURPOSE:
            return untrusted(whose + " is not made for that: its extended key usage lacks " +
                             (client_ ? "serverAuth" : "clientAuth"));
        default: break;
        }
        return untrusted(whose + " is not trusted: " + X509_verify_cert_error_string(fault.code));
    }

    [[nodiscard]] static tls_error untrusted(std::string text) {
        return {errc::tls_certificate_untrusted, std::move(text)};
    }

    const SSL* ssl_;
    const connection_notes* notes_;
    bool client_;
    std::string peer_;
    bool named_; ///< and is no server of WebSockets
};

} // namespace detail

/// Tells why the handshake of `ssl` failed, or in TLS 1.3, where a client learns of it late, the first read
/// behind it. `code` is what `ERR_get_error` gave, such as the value of an error of Asio's SSL category; 0:
/// it is still in this thread's queue, which is empty afterwards. Call it once, before `ssl` is freed: it
/// also drops the session with the server, which may have been the reason. `peer` is what the other side is
/// called in the text where that is neither "the server" nor "the client".
[[nodiscard]] inline tls_error explain_tls_error(SSL* ssl, unsigned long code = 0,
                                                 std::string_view peer = {}) {
    // The first error of TLS itself is the telling one.
    const unsigned long first = code != 0 ? code : ERR_peek_error();
    while (ERR_GET_LIB(code) != ERR_LIB_SSL) {
        code = ERR_get_error();
        if (code == 0) break;
    }
    const detail::openssl_errors errors;
    const auto* notes = detail::connection_notes::find(ssl);
    if (auto* rules = detail::client_rules::find(SSL_get_SSL_CTX(ssl)); rules && notes)
        rules->sessions.drop(notes->server);
    const detail::tls_diagnosis diagnosis{ssl, peer};
    if (code != 0) return diagnosis.of(code);
    return first == 0 ? diagnosis.cut() : diagnosis.other(first);
}

} // namespace duplex
