#pragma once

#include <duplex/core/limits.hpp>
#include <duplex/handshake/outcome.hpp>
#include <duplex/handshake/proxy_connect.hpp>
#include <duplex/handshake/socks5.hpp>
#include <duplex/http/proxy_settings.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>

namespace duplex::detail {

/// What is said to a proxy, of whichever kind, to get to a server.
class proxy_dialogue {
public:
    enum class progress : std::uint8_t { need_more, send, done };

    /// Errors: what is wrong with the host, the port or the login; `errc::proxy_url_invalid` for a proxy
    /// without a host.
    [[nodiscard]] std::error_code start(const proxy& through, std::string_view host, std::uint16_t port,
                                        const std::string& user_agent, const http_limits& limits) {
        if (through.host.empty()) return errc::proxy_url_invalid;
        if (through.kind == proxy_kind::socks5)
            return socks_.emplace().start(host, port, {through.user, through.password});
        proxy_connect_options options;
        options.user = through.user;
        options.password = through.password;
        options.user_agent = user_agent;
        options.limits = limits;
        return http_.emplace().start(host, port, options);
    }

    /// What to send now; valid until the next call.
    [[nodiscard]] std::span<const std::byte> request() const noexcept {
        return socks_ ? socks_->request() : std::as_bytes(std::span{http_->request()});
    }

    [[nodiscard]] progress receive(std::span<const std::byte> bytes) {
        if (socks_) {
            switch (socks_->receive(bytes)) {
            case socks5_connect::progress::need_more: return progress::need_more;
            case socks5_connect::progress::send: return progress::send;
            case socks5_connect::progress::done: return progress::done;
            }
        }
        const bool more = http_->receive(bytes) == proxy_connect::progress::need_more;
        return more ? progress::need_more : progress::done;
    }

    /// The proxy ended the stream: no more comes.
    void eof() {
        if (socks_)
            socks_->eof();
        else
            http_->eof();
    }

    [[nodiscard]] handshake_outcome take_outcome() {
        auto made = socks_ ? socks_->take_outcome() : http_->take_outcome();
        // RFC 6455 4.1, RFC 8446 4: the client speaks first, so this is nothing that a server said.
        if (!made.error && !made.leftover.empty()) made.error = errc::proxy_answer_invalid;
        return made;
    }

private:
    std::optional<proxy_connect> http_; ///< started: this one or the other
    std::optional<socks5_connect> socks_;
};

} // namespace duplex::detail
