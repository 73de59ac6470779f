#pragma once

// Certificates made while the tests run: keys of P-256, each certificate and key a text in PEM.

#include "support/catch.hpp"

#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <stdlib.h>
#include <unistd.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace duplex::testing {

/// A certificate that can be used and, where it is an authority, issue others.
struct certificate {
    std::string pem; ///< the certificate alone
    std::string key; ///< its private key, not encrypted
    /// Owners of what the texts say, to issue others with.
    std::shared_ptr<X509> x509;
    std::shared_ptr<EVP_PKEY> pkey;

    /// The key as `openssl` keeps it under a password.
    [[nodiscard]] std::string encrypted_key(std::string_view password) const;
};

enum class usage { server, client, both, authority };

/// What to put into a certificate.
struct certificate_options {
    std::string common_name = "duplex test";
    std::vector<std::string> names{};       ///< subjectAltName, DNS
    std::vector<std::string> ips{};         ///< subjectAltName, addresses
    std::chrono::seconds not_before{-3600}; ///< from now
    std::chrono::seconds not_after{86400};  ///< from now
    /// As "YYYYMMDDHHMMSSZ", instead of the two above.
    std::string not_before_date{};
    std::string not_after_date{};
    usage use = usage::server;
    const certificate* issuer = nullptr; ///< none: self-signed
};

namespace certificates_detail {

inline std::string text_of(BIO* from) {
    char* bytes = nullptr;
    const long size = BIO_get_mem_data(from, &bytes);
    return {bytes, static_cast<std::size_t>(size)};
}

using bio = std::unique_ptr<BIO, decltype(&BIO_free)>;

inline void add_extension(X509* to, X509* issuer, int kind, const std::string& value) {
    X509V3_CTX context;
    X509V3_set_ctx(&context, issuer, to, nullptr, nullptr, 0);
    const std::unique_ptr<X509_EXTENSION, decltype(&X509_EXTENSION_free)> made{
        X509V3_EXT_conf_nid(nullptr, &context, kind, value.c_str()), &X509_EXTENSION_free};
    REQUIRE(made);
    REQUIRE(X509_add_ext(to, made.get(), -1) == 1);
}

inline void set_date(ASN1_TIME* time, std::chrono::seconds offset, const std::string& date) {
    if (date.empty())
        REQUIRE(X509_gmtime_adj(time, static_cast<long>(offset.count())));
    else
        REQUIRE(ASN1_TIME_set_string_X509(time, date.c_str()) == 1);
}

} // namespace certificates_detail

inline std::string certificate::encrypted_key(std::string_view password) const {
    const certificates_detail::bio to{BIO_new(BIO_s_mem()), &BIO_free};
    REQUIRE(PEM_write_bio_PKCS8PrivateKey(to.get(), pkey.get(), EVP_aes_256_cbc(), password.data(),
                                          static_cast<int>(password.size()), nullptr, nullptr) == 1);
    return certificates_detail::text_of(to.get());
}

[[nodiscard]] inline certificate make_certificate(const certificate_options& options) {
    using namespace certificates_detail;
    certificate made;
    made.pkey.reset(EVP_EC_gen("P-256"), &EVP_PKEY_free);
    made.x509.reset(X509_new(), &X509_free);
    X509* x509 = made.x509.get();
    REQUIRE((x509 && made.pkey));
    REQUIRE(X509_set_version(x509, 2) == 1); // means 3
    std::uint32_t serial = 0;
    REQUIRE(RAND_bytes(reinterpret_cast<unsigned char*>(&serial), sizeof serial) == 1);
    REQUIRE(ASN1_INTEGER_set_uint64(X509_get_serialNumber(x509), serial | 1u) == 1);
    set_date(X509_getm_notBefore(x509), options.not_before, options.not_before_date);
    set_date(X509_getm_notAfter(x509), options.not_after, options.not_after_date);
    REQUIRE(X509_set_pubkey(x509, made.pkey.get()) == 1);
    REQUIRE(X509_NAME_add_entry_by_txt(X509_get_subject_name(x509), "CN", MBSTRING_UTF8,
                                       reinterpret_cast<const unsigned char*>(options.common_name.data()),
                                       static_cast<int>(options.common_name.size()), -1, 0) == 1);
    X509* issuer = options.issuer ? options.issuer->x509.get() : x509;
    REQUIRE(X509_set_issuer_name(x509, X509_get_subject_name(issuer)) == 1);

    add_extension(x509, issuer, NID_subject_key_identifier, "hash");
    if (options.issuer) add_extension(x509, issuer, NID_authority_key_identifier, "keyid");
    const bool authority = options.use == usage::authority;
    add_extension(x509, issuer, NID_basic_constraints, authority ? "critical,CA:TRUE" : "critical,CA:FALSE");
    add_extension(x509, issuer, NID_key_usage,
                  authority ? "critical,keyCertSign,cRLSign" : "critical,digitalSignature");
    if (options.use == usage::server) add_extension(x509, issuer, NID_ext_key_usage, "serverAuth");
    if (options.use == usage::client) add_extension(x509, issuer, NID_ext_key_usage, "clientAuth");
    if (options.use == usage::both) add_extension(x509, issuer, NID_ext_key_usage, "serverAuth,clientAuth");
    std::string also;
    for (const auto& name : options.names)
        also.append(also.empty() ? "" : ",").append("DNS:").append(name);
    for (const auto& ip : options.ips)
        also.append(also.empty() ? "" : ",").append("IP:").append(ip);
    if (!also.empty()) add_extension(x509, issuer, NID_subject_alt_name, also);

    EVP_PKEY* signer = options.issuer ? options.issuer->pkey.get() : made.pkey.get();
    REQUIRE(X509_sign(x509, signer, EVP_sha256()) > 0);
    const bio to{BIO_new(BIO_s_mem()), &BIO_free};
    REQUIRE(PEM_write_bio_X509(to.get(), x509) == 1);
    made.pem = text_of(to.get());
    const bio key_to{BIO_new(BIO_s_mem()), &BIO_free};
    REQUIRE(PEM_write_bio_PrivateKey(key_to.get(), made.pkey.get(), nullptr, nullptr, 0, nullptr, nullptr) ==
            1);
    made.key = text_of(key_to.get());
    return made;
}

/// The authority that most tests trust.
[[nodiscard]] inline const certificate& test_authority() {
    static const certificate made =
        make_certificate({.common_name = "duplex test authority", .use = usage::authority});
    return made;
}

/// For localhost and both of its addresses, from that authority.
[[nodiscard]] inline const certificate& localhost_certificate() {
    static const certificate made = make_certificate({.common_name = "localhost",
                                                      .names = {"localhost"},
                                                      .ips = {"127.0.0.1", "::1"},
                                                      .issuer = &test_authority()});
    return made;
}

/// A file with a text in it, gone with this.
class pem_file {
public:
    explicit pem_file(const std::string& text) {
        std::string name = (std::filesystem::temp_directory_path() / "duplex-pem-XXXXXX").string();
        const int opened = ::mkstemp(name.data());
        REQUIRE(opened >= 0);
        path_ = name;
        const auto written = ::write(opened, text.data(), text.size());
        ::close(opened);
        REQUIRE(written == static_cast<ssize_t>(text.size()));
    }
    pem_file(const pem_file&) = delete;
    pem_file& operator=(const pem_file&) = delete;
    ~pem_file() { ::unlink(path_.c_str()); }

    [[nodiscard]] const std::string& path() const { return path_; }

private:
    std::string path_;
};

} // namespace duplex::testing
