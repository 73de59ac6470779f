#pragma once

#include <duplex/core/error.hpp>
#include <duplex/tls/detail/openssl.hpp>

#include <cerrno>
#include <climits>
#include <cstddef>
#include <cstring>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace duplex::detail {

/// Where a PEM comes from: a file or a text.
struct pem_source {
    std::string_view option; ///< as in `<option>_file` and `<option>_pem`
    const std::string& file;
    const std::string& text;

    [[nodiscard]] bool given() const noexcept { return !file.empty() || !text.empty(); }
    [[nodiscard]] std::string name() const {
        const std::string name{option};
        return file.empty() ? name + "_pem" : name + "_file '" + file + "'";
    }
};

/// Takes the sentence about what is wrong with the options, where somebody asked for it.
struct tls_reason {
    std::string* text = nullptr;

    errc give(errc error, std::string_view words) const {
        if (text) *text = words;
        return error;
    }
};

/// Reads certificates and keys into a context. A failure is an `errc` and a reason that names the option.
/// OpenSSL's errors are left to the caller.
class credentials {
public:
    credentials(SSL_CTX& context, tls_reason reason) noexcept
        : context_{context}
        , reason_{reason} {}

    /// The own certificate with its chain, and its key.
    [[nodiscard]] errc use(const pem_source& certificate, const pem_source& key,
                           const std::string& password) const {
        if (!certificate.given())
            return reason_.give(errc::tls_certificate_invalid, std::string{certificate.option} + "_file or " +
                                                                   std::string{certificate.option} +
                                                                   "_pem is needed");
        std::vector<x509_ptr> chain;
        if (const errc e = read_certificates(certificate, errc::tls_certificate_invalid, chain); e != errc{})
            return e;
        evp_pkey_ptr own;
        if (const errc e = read_key(key.given() ? key : certificate, key, password, own); e != errc{})
            return e;
        if (X509_check_private_key(chain.front().get(), own.get()) != 1)
            return reason_.give(errc::tls_key_mismatch,
                                "the key does not belong to the first certificate in " + certificate.name());

        if (SSL_CTX_use_certificate(&context_, chain.front().get()) != 1)
            return reason_.give(errc::tls_certificate_invalid,
                                certificate.name() + ": " + openssl_errors::last());
        for (std::size_t i = 1; i < chain.size(); ++i) {
            if (SSL_CTX_add0_chain_cert(&context_, chain[i].get()) != 1)
                return reason_.give(errc::tls_certificate_invalid,
                                    certificate.name() + ": " + openssl_errors::last());
            static_cast<void>(chain[i].release());
        }
        if (SSL_CTX_use_PrivateKey(&context_, own.get()) != 1)
            return reason_.give(errc::tls_key_invalid, openssl_errors::last());
        return {};
    }

    /// Certificates to trust; with `announce` clients are told of them, to choose one of their own by.
    [[nodiscard]] errc trust(const pem_source& source, bool announce) const {
        std::vector<x509_ptr> all;
        if (const errc e = read_certificates(source, errc::tls_ca_invalid, all); e != errc{}) return e;
        X509_STORE* store = SSL_CTX_get_cert_store(&context_);
        for (const auto& each : all)
            if (X509_STORE_add_cert(store, each.get()) != 1 ||
                (announce && SSL_CTX_add_client_CA(&context_, each.get()) != 1))
                return reason_.give(errc::tls_ca_invalid, source.name() + ": " + openssl_errors::last());
        // What is given is trusted, whether it stands at the top of a chain or not: else whoever trusts an
        // intermediate issuer would have to trust all the others of its root as well.
        X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN);
        return {};
    }

private:
    struct password_request {
        const std::string& password;
        bool asked = false;
    };

    /// Without a function of our own OpenSSL would ask on the terminal.
    static int give_password(char* to, int size, int /*writing*/, void* from) noexcept {
        auto& request = *static_cast<password_request*>(from);
        request.asked = true;
        const auto& password = request.password;
        if (password.empty() || size < 0 || password.size() > static_cast<std::size_t>(size)) return -1;
        std::memcpy(to, password.data(), password.size());
        return static_cast<int>(password.size());
    }

    [[nodiscard]] bio_ptr open(const pem_source& source, errc error, errc& result) const {
        bio_ptr opened;
        if (!source.file.empty() && !source.text.empty()) {
            const std::string option{source.option};
            result = reason_.give(errc::tls_options_invalid,
                                  option + "_file and " + option + "_pem are both given");
        } else if (source.file.empty()) {
            if (source.text.size() <= INT_MAX)
                opened.reset(BIO_new_mem_buf(source.text.data(), static_cast<int>(source.text.size())));
            if (!opened) result = reason_.give(error, source.name() + " is too long");
        } else if (source.file.find('\0') != std::string::npos) {
            result = reason_.give(error, "a file name has a NUL in it");
        } else {
            errno = 0;
            opened.reset(BIO_new_file(source.file.c_str(), "rb"));
            const std::error_code failed{errno, std::generic_category()};
            if (!opened)
                result = reason_.give(error, source.name() + ": " +
                                                 (failed ? failed.message() : "cannot be opened"));
        }
        return opened;
    }

    /// All certificates of a PEM, at least one; other things in it are passed over.
    [[nodiscard]] errc read_certificates(const pem_source& source, errc error,
                                         std::vector<x509_ptr>& all) const {
        errc result{};
        const bio_ptr from = open(source, error, result);
        if (!from) return result;
        const std::string no_password;
        password_request request{no_password};
        while (x509_ptr each{PEM_read_bio_X509(from.get(), nullptr, &give_password, &request)})
            all.push_back(std::move(each));
        // The end shows as one more certificate whose first line is missing.
        const auto last = ERR_peek_last_error();
        if (ERR_GET_LIB(last) != ERR_LIB_PEM || ERR_GET_REASON(last) != PEM_R_NO_START_LINE)
            return reason_.give(error,
                                source.name() + " has a damaged certificate: " + openssl_errors::last());
        if (all.empty()) return reason_.give(error, source.name() + " has no certificate in it");
        ERR_clear_error();
        return {};
    }

    [[nodiscard]] errc read_key(const pem_source& source, const pem_source& key, const std::string& password,
                                evp_pkey_ptr& own) const {
        errc result{};
        const bio_ptr from = open(source, errc::tls_key_invalid, result);
        if (!from) return result;
        password_request request{password};
        own.reset(PEM_read_bio_PrivateKey(from.get(), nullptr, &give_password, &request));
        if (own) return {};
        const std::string option{key.option};
        if (request.asked && password.empty())
            return reason_.give(errc::tls_key_invalid,
                                source.name() + " is encrypted and " + option + "_password is empty");
        if (request.asked)
            return reason_.give(errc::tls_key_invalid, option + "_password does not open " + source.name());
        return reason_.give(errc::tls_key_invalid, source.name() + " has no readable private key in it");
    }

    SSL_CTX& context_;
    tls_reason reason_;
};

} // namespace duplex::detail
