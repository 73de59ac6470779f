#pragma once

#include <duplex/core/phase.hpp>
#include <duplex/deflate/params.hpp>
#include <duplex/http/fields.hpp>

#include <cstddef>
#include <optional>
#include <string>
#include <system_error>
#include <vector>

namespace duplex {

/// How an opening handshake ended, for either role, or a client's way through a proxy. Without an error the
/// WebSocket or the proxy's tunnel is open.
struct handshake_outcome {
    std::error_code error{};   ///< none where it is open
    std::string subprotocol{}; ///< agreed; empty where there is none
    /// Agreed, as in the answer's Sec-WebSocket-Extensions; empty where there is none.
    std::string extensions{};
    /// Agreed of permessage-deflate (RFC 7692); none where messages are not compressed.
    std::optional<deflate_params> deflate{};

    /// Of the answer: 101 where a WebSocket is open, 2xx where an HTTP proxy's tunnel is; 0 where there was
    /// no answer. Of a SOCKS5 proxy: the number of its reply.
    unsigned status = 0;
    /// The server's words for the status; only a client fills it.
    std::string reason{};
    /// What the peer sent: the answer's headers for a client, the request's for a server.
    fields headers{};
    /// What the server said with a refusal, at most `http_limits::refusal_body_bytes`; only a client fills
    /// it.
    std::string body{};
    /// What is known of the error beyond its code: what a server said, whom a certificate is for, which
    /// addresses did not answer. For people: one line of at most 512 bytes, without control characters.
    std::string why{};
    /// Where it failed.
    duplex::phase phase = duplex::phase::upgrade;
    /// Bytes that came behind the head and are the first of the open WebSocket or tunnel.
    std::vector<std::byte> leftover{};
    /// The path and query of the request; only a server fills it.
    std::string target{};
    /// What was asked for, as `uri::to_string` gives it; behind redirects the last of their URLs. Only a
    /// client fills it.
    std::string url{};
};

} // namespace duplex
