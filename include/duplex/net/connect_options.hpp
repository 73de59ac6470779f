#pragma once

#include <duplex/handshake/client_handshake.hpp>
#include <duplex/http/fields.hpp>
#include <duplex/http/proxy_settings.hpp>
#include <duplex/net/connection_options.hpp>
#include <duplex/net/reconnect_options.hpp>
#include <duplex/net/security.hpp>
#include <duplex/net/socket_options.hpp>
#include <duplex/net/tls_options.hpp>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace duplex {

/// How a client connects.
struct connect_options {
    std::vector<std::string> subprotocols{}; ///< offered, in order of preference; each a token
    fields headers{};                        ///< added to the request
    std::string origin{};                    ///< sent as Origin where not empty
    std::string user_agent = "duplex";
    /// How many redirects are followed; more are `errc::too_many_redirects`. 0: none, and each is an
    /// `errc::upgrade_refused`. To another origin go neither `headers` that are Authorization, Cookie,
    /// Proxy-Authorization or Host nor the URL's user and password; all else here goes along. Each step has
    /// the whole of each timeout.
    std::uint32_t max_redirects = 0;
    /// What to go through; none: what the environment says, if that is asked.
    std::optional<duplex::proxy> proxy{};
    /// Asks `http_proxy`, `https_proxy`, `all_proxy` and `no_proxy`, as `duplex::proxy_from_environment`
    /// says.
    bool proxy_from_environment = true;
    /// For wss:// URLs, and for https:// proxies.
    tls_client_options tls{};
    /// Made beforehand, for many connections; then `tls` is not looked at.
    std::shared_ptr<const client_security> security{};
    /// Offers permessage-deflate (RFC 7692); none: it doesn't. See duplex/deflate.hpp.
    std::optional<deflate_options> deflate{};
    /// The numeric address of this machine to connect from; empty: the system's choice. The server's
    /// addresses of the other family are not tried then: `asio::error::address_family_not_supported` where it
    /// has no others. This, the port and the device are those of the way to a proxy, where there is one, and
    /// unix sockets know nothing of them.
    std::string local_address{};
    /// The port to connect from; 0: any. The system may keep it for a while after a connection has ended.
    std::uint16_t local_port = 0;
    /// The network device to go out by, as `eth0` (Linux, SO_BINDTODEVICE); empty: any.
    std::string local_device{};
    socket_options socket{};
    connection_options connection{};
    /// A `websocket` that is given them connects again by itself; `async_connect` does not look at them.
    std::optional<reconnect_options> reconnect{};

    [[nodiscard]] client_handshake_options for_handshake() const {
        client_handshake_options made;
        made.subprotocols = subprotocols;
        made.headers = headers;
        made.origin = origin;
        made.user_agent = user_agent;
        made.deflate = deflate;
        made.limits = connection.http;
        return made;
    }
};

} // namespace duplex
