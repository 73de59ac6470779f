#pragma once

#include <duplex/net/security.hpp>
#include <duplex/tls/detail/tls_layer.hpp>
#include <duplex/tls/tls_context.hpp>

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

namespace duplex {
namespace detail {

class tls_client_security final : public client_security {
public:
    explicit tls_client_security(tls_context context) noexcept
        : context_{std::move(context)} {}

    [[nodiscard]] std::unique_ptr<transport_layer> secure(std::string_view host, std::uint16_t port,
                                                          std::error_code& error) const override {
        const openssl_errors errors;
        ssl_ptr ssl{SSL_new(context_.native_handle())};
        error = ssl ? prepare_tls_client(ssl.get(), host, port) : make_error_code(errc::out_of_memory);
        if (error) return nullptr;
        auto made = tls_layer::make(std::move(ssl));
        if (!made) error = errc::out_of_memory;
        return made;
    }

private:
    tls_context context_;
};

} // namespace detail

/// Makes what secures a client's connections, for `connect_options::security`; null after an error, of which
/// `why` tells more, as `make_tls_client_context` says. Reads files. Any thread.
[[nodiscard]] inline std::shared_ptr<const client_security>
make_client_security(const tls_client_options& options, std::error_code& error, std::string* why = nullptr) {
    auto context = make_tls_client_context(options, error, why);
    if (error) return nullptr;
    return std::make_shared<detail::tls_client_security>(std::move(context));
}

namespace detail {

/// The same, and for options that name no file the one that was made last is given again: reading the
/// system's store takes longer than a handshake, and sessions are resumed.
[[nodiscard]] inline std::shared_ptr<const client_security>
shared_client_security(const tls_client_options& options, std::error_code& error, std::string* why) {
    if (!options.ca_file.empty() || !options.certificate_file.empty() || !options.key_file.empty())
        return make_client_security(options, error, why);
    struct kept {
        std::mutex mutex;
        tls_client_options options;
        std::shared_ptr<const client_security> made;
    };
    static kept last;
    const std::lock_guard lock{last.mutex};
    error.clear();
    if (last.made && last.options == options) return last.made;
    auto made = make_client_security(options, error, why);
    if (made) {
        last.options = options;
        last.made = made;
    }
    return made;
}

/// Programs that include this have wss.
inline const bool tls_is_available = (default_security = &shared_client_security, true);

} // namespace detail
} // namespace duplex
