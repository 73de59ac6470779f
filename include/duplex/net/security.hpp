#pragma once

#include <duplex/net/detail/transport_layer.hpp>
#include <duplex/net/tls_options.hpp>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>

namespace duplex {

/// What secures a server's connections: `tls_server_context::security()` gives one. Any thread.
class server_security {
public:
    virtual ~server_security() = default;
    /// Why no connection could be secured, asked when a server starts; none: it can go on.
    [[nodiscard]] virtual std::error_code check() const { return {}; }
    /// What goes between a connection and its socket; null after an error.
    [[nodiscard]] virtual std::unique_ptr<detail::transport_layer> secure(std::error_code& error) const = 0;
};

/// What secures a client's connections to wss:// URLs: `make_client_security` gives one. Any thread.
class client_security {
public:
    virtual ~client_security() = default;
    [[nodiscard]] virtual std::unique_ptr<detail::transport_layer>
    secure(std::string_view host, std::uint16_t port, std::error_code& error) const = 0;
};

namespace detail {

/// How clients get TLS from options alone. Set where a source of the program includes duplex/tls.hpp; others
/// go without OpenSSL.
using security_maker = std::shared_ptr<const client_security> (*)(const tls_client_options& options,
                                                                  std::error_code& error, std::string* why);
inline security_maker default_security = nullptr;

} // namespace detail
} // namespace duplex
