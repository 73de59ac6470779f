#pragma once

#include <cstdint>
#include <string>

namespace duplex {

/// The oldest version of TLS to speak. What is older than 1.2 is broken (RFC 8996) and not offered here.
enum class tls_version : std::uint8_t { tls_1_2, tls_1_3 };

/// How a client speaks TLS. The defaults are right for servers on the internet: the server's certificate must
/// be for the host of the URL and come from an issuer that the system trusts. Nobody is
/// asked whether it was revoked since.
///
/// Files and texts are PEM. Of a pair such as `ca_file` and `ca_pem` at most one is given; they are read when
/// the context is made, and not kept.
struct tls_client_options {
    /// Whom to trust *instead of* the system's store: one certificate or several, each of them an issuer, at
    /// any height of the chain, or the server's own certificate. Neither given: the system's store.
    std::string ca_file{};
    std::string ca_pem{};
    /// Trusts the system's store in addition to the certificates above.
    bool add_system_store = false;
    /// ACCEPTS ANY SERVER: no certificate is checked, so anybody on the way can read and change everything.
    /// For experiments; a server with a certificate of its own making is better served by `ca_file`.
    bool insecure_accept_any_certificate = false;

    /// The client's own certificate, for servers that ask for one: it first, then its issuers up to the one
    /// that the server knows.
    std::string certificate_file{};
    std::string certificate_pem{};
    /// Its private key; neither given: it stands beside the certificate.
    std::string key_file{};
    std::string key_pem{};
    std::string key_password{}; ///< of an encrypted key; at most 1024 bytes

    /// The name (or address) to ask the server for and to expect in its certificate, instead of the URL's
    /// host.
    std::string server_name{};

    tls_version minimum_version = tls_version::tls_1_2;
    std::string ciphers_1_2{}; ///< in OpenSSL's notation; empty: OpenSSL's own choice
    std::string ciphers_1_3{}; ///< the same for TLS 1.3, which names its own
    /// Goes on with the keys of an earlier connection to the same host where the server allows it.
    bool resume_sessions = true;

    bool operator==(const tls_client_options&) const = default;
};

/// How a server speaks TLS; a certificate and its key are all it takes.
///
/// Files and texts are PEM. Of a pair such as `key_file` and `key_pem` at most one is given; they are read
/// when the context is made, and not kept.
struct tls_server_options {
    /// The server's certificate first, then its issuers up to one that clients know.
    std::string certificate_file{};
    std::string certificate_pem{};
    /// Its private key; neither given: it stands beside the certificate.
    std::string key_file{};
    std::string key_pem{};
    std::string key_password{}; ///< of an encrypted key; at most 1024 bytes

    /// Asks clients for a certificate, and trusts those from these issuers. The system's store is never
    /// trusted for that.
    std::string client_ca_file{};
    std::string client_ca_pem{};
    /// Refuses clients that have none; without it those go on unknown.
    bool require_client_certificate = false;

    tls_version minimum_version = tls_version::tls_1_2;
    std::string ciphers_1_2{}; ///< in OpenSSL's notation; empty: OpenSSL's own choice
    std::string ciphers_1_3{}; ///< the same for TLS 1.3, which names its own
    /// Gives clients tickets with which they come back faster (RFC 8446 2.2, RFC 5077). Their keys are those
    /// of the context: tickets from before a reload mean a full handshake.
    bool session_tickets = true;

    bool operator==(const tls_server_options&) const = default;
};

} // namespace duplex
