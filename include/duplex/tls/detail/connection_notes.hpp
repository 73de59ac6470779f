#pragma once

#include <duplex/core/detail/nothrow.hpp>
#include <duplex/tls/detail/certificate_fault.hpp>
#include <duplex/tls/detail/openssl.hpp>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

namespace duplex::detail {

/// Frees a `T` that lies with one of OpenSSL's objects, when that is freed.
template <class T>
void free_extra(void* /*parent*/, void* extra, CRYPTO_EX_DATA* /*all*/, int /*index*/, long /*number*/,
                void* /*pointer*/) noexcept {
    delete static_cast<T*>(extra);
}

/// A copy begins without; the pointer alone would have two owners.
inline int copy_no_extra(CRYPTO_EX_DATA* /*to*/, const CRYPTO_EX_DATA* /*from*/, void** extra, int /*index*/,
                         long /*number*/, void* /*pointer*/) noexcept {
    *extra = nullptr;
    return 1;
}

/// What is known of one connection and OpenSSL doesn't keep; lies with its `SSL` and is freed with it.
struct connection_notes {
    enum class first_record : std::uint8_t { none, tls, http, other };

    std::string name;   ///< client: what the server's certificate must be for
    std::string server; ///< client: the server's name in the session cache
    std::unique_ptr<certificate_fault> fault;
    first_record heard = first_record::none; ///< client: how the server's first answer began
    bool certificate_wanted = false;         ///< client: the server asked for a certificate

    [[nodiscard]] static int index() noexcept {
        static const int own =
            SSL_get_ex_new_index(0, nullptr, nullptr, &copy_no_extra, &free_extra<connection_notes>);
        return own;
    }

    [[nodiscard]] static connection_notes* find(const SSL* ssl) noexcept {
        return ssl ? static_cast<connection_notes*>(SSL_get_ex_data(ssl, index())) : nullptr;
    }

    /// Made where there were none; nothing where memory runs out.
    [[nodiscard]] static connection_notes* of(SSL* ssl) noexcept {
        if (auto* found = find(ssl)) return found;
        std::unique_ptr<connection_notes> made;
        if (!nothrow([&] { made = std::make_unique<connection_notes>(); })) return nullptr;
        if (SSL_set_ex_data(ssl, index(), made.get()) != 1) return nullptr;
        return made.release();
    }
};

/// Called for each certificate of the peer's chain: changes nothing, but keeps what is wrong with it.
inline int note_certificate(int good, X509_STORE_CTX* chain) noexcept {
    if (good == 1) return good;
    auto* ssl = static_cast<SSL*>(X509_STORE_CTX_get_ex_data(chain, SSL_get_ex_data_X509_STORE_CTX_idx()));
    if (auto* notes = ssl ? connection_notes::of(ssl) : nullptr)
        static_cast<void>(nothrow([&] { notes->fault = std::make_unique<certificate_fault>(chain); }));
    return good;
}

/// Called when the server asks for a certificate, which some older servers do not mention when they miss it.
inline int note_certificate_wanted(SSL* ssl, void* /*unused*/) noexcept {
    if (auto* notes = connection_notes::find(ssl)) notes->certificate_wanted = true;
    return 1;
}

/// Looks at the beginning of the server's first answer, then at nothing any more.
inline void note_first_record(int sent, int /*version*/, int type, const void* bytes, std::size_t size,
                              SSL* ssl, void* /*unused*/) noexcept {
    if (sent != 0 || type != SSL3_RT_HEADER) return;
    SSL_set_msg_callback(ssl, nullptr);
    auto* notes = connection_notes::find(ssl);
    if (!notes) return;
    const std::string_view text{static_cast<const char*>(bytes), size};
    // RFC 8446 5.1: behind the type of a record stands a version of 3 and something
    if (text.starts_with("HTTP/"))
        notes->heard = connection_notes::first_record::http;
    else if (text.size() > 1 && text[1] == SSL3_VERSION_MAJOR)
        notes->heard = connection_notes::first_record::tls;
    else
        notes->heard = connection_notes::first_record::other;
}

} // namespace duplex::detail
