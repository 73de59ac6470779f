#pragma once

#include <duplex/http/fields.hpp>

#include <cstddef>
#include <string>
#include <system_error>
#include <vector>

namespace duplex {

/// How an opening handshake ended, for either role.
struct handshake_outcome {
    std::error_code error{};   ///< none where the connection is open
    std::string subprotocol{}; ///< agreed; empty where there is none
    /// Agreed, as in the answer's Sec-WebSocket-Extensions; empty where there is none.
    std::string extensions{};

    /// Of the answer: 101 where the connection is open; 0 where there was no answer.
    unsigned status = 0;
    /// The server's words for the status; only a client fills it.
    std::string reason{};
    /// What the peer sent: the answer's headers for a client, the request's for a server.
    fields headers{};
    /// What the server said with a refusal, at most `http_limits::refusal_body_bytes`; only a client fills
    /// it.
    std::string body{};
    /// Bytes that came behind the head and are the first of the open WebSocket.
    std::vector<std::byte> leftover{};
    /// The path and query of the request; only a server fills it.
    std::string target{};
};

} // namespace duplex
