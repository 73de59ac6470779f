#pragma once

#include <duplex/core/backoff.hpp>
#include <duplex/core/close_code.hpp>
#include <duplex/core/error.hpp>
#include <duplex/handshake/outcome.hpp>
#include <duplex/http/retry_after.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <system_error>
#include <vector>

namespace duplex {

/// When a `websocket` connects again by itself, and when it lets go.
///
/// Tried again is what time may mend: names that are not found, refused connections, deadlines, statuses 5xx,
/// lost connections, a server's mistakes. What nobody but a person mends is final: `is_final` tells.
struct reconnect_options {
    /// The waits, and how many attempts there are.
    backoff_options backoff{};
    /// Codes of the server's Close that are final. By default those with which it says that it is done, the
    /// missing one included, and that it does not want this client. 1001, 1011 and the like are a server's
    /// own trouble.
    std::vector<close_code> final_codes{close_code::normal, close_code::no_status,
                                        close_code::policy_violation};
    /// A refusal with a status 4xx is final, but for these. Who renews a login in `on_reconnect` adds 401.
    std::vector<std::uint16_t> passing_statuses{408, 425, 429};
    /// Messages sent while there is no connection, also before the first, are kept up to
    /// `limits::queue_bytes`, and go out behind what `on_open` sends. What a connection had taken when it was
    /// lost is not sent again: nobody knows what arrived. Without it `send` says `not_open`.
    bool keep_queue = false;

    /// Whether a closing handshake with this code is the end.
    [[nodiscard]] bool is_final(close_code code) const noexcept {
        return std::find(final_codes.begin(), final_codes.end(), code) != final_codes.end();
    }

    /// Whether this error is. `status`: of the answer, where there was one.
    [[nodiscard]] bool is_final(const std::error_code& error, unsigned status = 0) const noexcept {
        if (error == condition::misuse) return true;
        switch (errc_of(error, errc::connection_lost)) {
        case errc::tls_certificate_mismatch:
        case errc::tls_certificate_expired:
        case errc::tls_certificate_untrusted:
        case errc::tls_certificate_required:
        case errc::tls_certificate_rejected:
        case errc::proxy_authentication_required:
        case errc::proxy_authentication_failed:
        case errc::aborted:
        // Another connection would bring the same message.
        case errc::callback_threw: return true;
        case errc::upgrade_refused:
        case errc::proxy_refused:
            return status >= 400 && status <= 499 &&
                   std::find(passing_statuses.begin(), passing_statuses.end(), status) ==
                       passing_statuses.end();
        default: return false;
        }
    }
};

/// What an answer that opens no connection asks of those who come again: its Retry-After.
[[nodiscard]] inline reconnect_wish wish_of(const handshake_outcome& refusal,
                                            std::chrono::system_clock::time_point now) {
    const auto value = refusal.headers.find("Retry-After");
    if (!value) return {};
    return {parse_retry_after(*value, now).value_or(std::chrono::seconds{0}), {}};
}

} // namespace duplex
