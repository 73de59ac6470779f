#pragma once

#include <duplex/http/fields.hpp>
#include <duplex/http/token.hpp>

#include <string_view>

namespace duplex::detail {

/// The fields of a request that an opening handshake is about (RFC 6455 4.2.1), found in one pass.
struct request_fields {
    /// A field that there has to be once.
    struct single {
        std::string_view value{}; ///< of the first
        unsigned count = 0;

        void see(std::string_view seen) noexcept {
            if (count++ == 0) value = seen;
        }
        /// Nothing where there is none or more than one.
        [[nodiscard]] std::string_view only() const noexcept {
            return count == 1 ? value : std::string_view{};
        }
    };

    single host;
    single version;
    single key;
    single origin;
    bool upgrade = false;    ///< Upgrade lists "websocket"
    bool connection = false; ///< Connection lists "upgrade"
    bool body = false;       ///< Transfer-Encoding, or a Content-Length that is not 0
    bool lists = false;      ///< Sec-WebSocket-Protocol or Sec-WebSocket-Extensions

    explicit request_fields(const fields& headers) noexcept {
        for (const auto [name, value] : headers) {
            const auto is = [seen = name](std::string_view other) {
                return equals_ignoring_case(seen, other);
            };
            switch (name.size()) {
            case 4:
                if (is("Host")) host.see(value);
                break;
            case 6:
                if (is("Origin")) origin.see(value);
                break;
            case 7:
                if (is("Upgrade")) upgrade = upgrade || list_contains_token(value, "websocket");
                break;
            case 10:
                if (is("Connection")) connection = connection || list_contains_token(value, "upgrade");
                break;
            case 14:
                if (is("Content-Length")) body = body || value != "0";
                break;
            case 17:
                if (is("Sec-WebSocket-Key"))
                    key.see(value);
                else if (is("Transfer-Encoding"))
                    body = true;
                break;
            case 21:
                if (is("Sec-WebSocket-Version")) version.see(value);
                break;
            case 22: lists = lists || is("Sec-WebSocket-Protocol"); break;
            case 24: lists = lists || is("Sec-WebSocket-Extensions"); break;
            default: break;
            }
        }
    }
};

} // namespace duplex::detail
