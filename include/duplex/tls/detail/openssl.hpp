#pragma once

// The one place that includes OpenSSL, with owners for what it allocates.

#include <openssl/asn1.h>
#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/opensslv.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

#include <memory>

#if OPENSSL_VERSION_NUMBER < 0x30000000L
#error "duplex::tls needs OpenSSL 3 or newer"
#endif

namespace duplex::detail {

template <auto Free>
struct openssl_free {
    template <class T>
    void operator()(T* object) const noexcept {
        Free(object);
    }
};

using bio_ptr = std::unique_ptr<BIO, openssl_free<&BIO_free>>;
using evp_pkey_ptr = std::unique_ptr<EVP_PKEY, openssl_free<&EVP_PKEY_free>>;
using ssl_ctx_ptr = std::unique_ptr<SSL_CTX, openssl_free<&SSL_CTX_free>>;
using ssl_session_ptr = std::unique_ptr<SSL_SESSION, openssl_free<&SSL_SESSION_free>>;
using x509_ptr = std::unique_ptr<X509, openssl_free<&X509_free>>;

/// Empties this thread's queue of OpenSSL errors at both ends of its scope: an old error would be taken for
/// one of ours, and ours for one of whoever comes next.
class openssl_errors {
public:
    openssl_errors() noexcept { clear(); }
    ~openssl_errors() { clear(); }
    openssl_errors(const openssl_errors&) = delete;
    openssl_errors& operator=(const openssl_errors&) = delete;

    /// What OpenSSL says of the last error, for people.
    [[nodiscard]] static const char* last() noexcept {
        const char* text = ERR_reason_error_string(ERR_peek_last_error());
        return text ? text : "unknown reason";
    }

    /// Mostly it is empty, and to look is cheaper than to empty it.
    static void clear() noexcept {
        if (ERR_peek_error() != 0) ERR_clear_error();
    }
};

} // namespace duplex::detail
