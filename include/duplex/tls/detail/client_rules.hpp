#pragma once

#include <duplex/core/error.hpp>
#include <duplex/http/token.hpp>
#include <duplex/http/uri.hpp>
#include <duplex/tls/detail/connection_notes.hpp>
#include <duplex/tls/detail/openssl.hpp>
#include <duplex/tls/detail/session_cache.hpp>

#include <array>
#include <cstddef>
#include <string>
#include <string_view>

namespace duplex::detail {

/// What a client's connections have in common; lies with their `SSL_CTX` and is freed with it.
struct client_rules {
    std::string server_name; ///< instead of the host; may be empty
    bool verify = true;
    tls_session_cache sessions{};

    [[nodiscard]] static int index() noexcept {
        static const int own =
            SSL_CTX_get_ex_new_index(0, nullptr, nullptr, &copy_no_extra, &free_extra<client_rules>);
        return own;
    }
    [[nodiscard]] static client_rules* find(const SSL_CTX* context) noexcept {
        return context ? static_cast<client_rules*>(SSL_CTX_get_ex_data(context, index())) : nullptr;
    }
};

/// Called with each session that a server offers to go on with later. 0: the reference was not taken over.
inline int keep_session(SSL* ssl, SSL_SESSION* session) noexcept {
    auto* rules = client_rules::find(SSL_get_SSL_CTX(ssl));
    const auto* notes = connection_notes::find(ssl);
    if (rules && notes && SSL_SESSION_is_resumable(session) == 1) rules->sessions.put(notes->server, session);
    return 0;
}

/// Whom a certificate must be for: a DNS name or an address.
struct tls_name {
    std::string text;                        ///< a name in lower case, without a dot at its end
    std::array<unsigned char, 16> address{}; ///< in network order
    std::size_t address_size = 0;            ///< 4, 16, or 0 for a name

    /// False where `host` is neither; a NUL, for one, is never part of a name.
    [[nodiscard]] bool parse(std::string_view host) {
        if (const auto v4 = parse_ipv4(host)) {
            for (std::size_t i = 0; i < 4; ++i)
                address[i] = static_cast<unsigned char>(*v4 >> (24 - 8 * i));
            address_size = 4;
        } else if (const auto v6 = parse_ipv6(host)) {
            for (std::size_t i = 0; i < v6->size(); ++i) {
                address[2 * i] = static_cast<unsigned char>((*v6)[i] >> 8);
                address[2 * i + 1] = static_cast<unsigned char>((*v6)[i] & 0xFF);
            }
            address_size = 16;
        } else {
            // RFC 6066 3: without the dot that ends an absolute name. RFC 1035 2.3.4: 253 characters at most
            if (host.ends_with('.')) host.remove_suffix(1);
            if (!is_host_name(host) || host.size() > 253) return false;
        }
        text.clear();
        for (const char c : host)
            text += to_lower(c);
        return true;
    }

    /// Tells OpenSSL to accept no certificate but one for this.
    [[nodiscard]] bool expect_of(SSL* ssl) const noexcept {
        X509_VERIFY_PARAM* rules = SSL_get0_param(ssl);
        // RFC 9525 6.3: "*" stands for one whole label, the first. 6.4: the common name is not looked at.
        X509_VERIFY_PARAM_set_hostflags(rules, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS |
                                                   X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
        const bool name = address_size == 0;
        return X509_VERIFY_PARAM_set1_host(rules, name ? text.data() : nullptr, name ? text.size() : 0) ==
                   1 &&
               X509_VERIFY_PARAM_set1_ip(rules, name ? nullptr : address.data(), address_size) == 1;
    }

    /// Tells the server which name is meant. RFC 6066 3: an address never is.
    [[nodiscard]] bool announce_by(SSL* ssl) const noexcept {
        const char* name = address_size == 0 ? text.c_str() : nullptr;
        return SSL_set_tlsext_host_name(ssl, name) == 1;
    }
};

} // namespace duplex::detail
