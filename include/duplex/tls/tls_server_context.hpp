#pragma once

#include <duplex/net/security.hpp>
#include <duplex/net/tls_options.hpp>
#include <duplex/tls/detail/tls_layer.hpp>
#include <duplex/tls/tls_context.hpp>

#include <memory>
#include <mutex>
#include <string>
#include <system_error>
#include <utility>

namespace duplex {

/// A server's context that can be replaced while the server runs, as when its certificate was renewed:
///
///     duplex::tls_server_context tls;
///     auto error = tls.reload({.certificate_file = "chain.pem", .key_file = "key.pem"});
///
/// A shared handle: copies see what is reloaded through any of them. Any thread.
class tls_server_context {
public:
    tls_server_context()
        : shared_{std::make_shared<shared>()} {}

    /// Makes a new context, for connections that are accepted from now on; those that are open go on as they
    /// are. After an error, as of `make_tls_server_context`, everything is as it was.
    [[nodiscard]] std::error_code reload(const tls_server_options& options, std::string* why = nullptr) {
        std::error_code error;
        tls_context made = make_tls_server_context(options, error, why);
        if (error) return error;
        const std::lock_guard lock{shared_->mutex};
        std::swap(shared_->current, made);
        return {};
    }

    /// What the next connection is made from; empty before the first `reload`.
    [[nodiscard]] tls_context current() const noexcept {
        const std::lock_guard lock{shared_->mutex};
        return shared_->current;
    }

    /// For `server_options::tls`; goes along with reloads. A server does not start before the first one:
    /// `errc::tls_not_loaded`.
    [[nodiscard]] std::shared_ptr<const server_security> security() const { return shared_; }

private:
    struct shared final : server_security {
        mutable std::mutex mutex;
        tls_context current;

        [[nodiscard]] std::error_code check() const override {
            const std::lock_guard lock{mutex};
            return current ? std::error_code{} : errc::tls_not_loaded;
        }

        [[nodiscard]] std::unique_ptr<detail::transport_layer> secure(std::error_code& error) const override {
            const detail::openssl_errors errors;
            tls_context from;
            {
                const std::lock_guard lock{mutex};
                from = current;
            }
            error.clear();
            if (!from)
                error = errc::tls_not_loaded;
            else if (detail::ssl_ptr ssl{SSL_new(from.native_handle())}) {
                SSL_set_accept_state(ssl.get());
                if (auto made = detail::tls_layer::make(std::move(ssl))) return made;
            }
            if (!error) error = errc::out_of_memory;
            return nullptr;
        }
    };

    std::shared_ptr<shared> shared_;
};

} // namespace duplex
