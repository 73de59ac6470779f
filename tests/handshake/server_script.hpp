#pragma once

#include <duplex/handshake/server_handshake.hpp>

#include "handshake/feeding.hpp"
#include "support/catch.hpp"

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

/// What the tests of the server have in common.
namespace server_script {

using duplex::errc;
using duplex::server_handshake;
using duplex::server_handshake_options;
using progress = server_handshake::progress;

inline const std::string get = "GET /chat HTTP/1.1\r\n";
inline const std::string host = "Host: server.example.com\r\n";
inline const std::string upgrade = "Upgrade: websocket\r\n";
inline const std::string connection = "Connection: Upgrade\r\n";
inline const std::string key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
inline const std::string version = "Sec-WebSocket-Version: 13\r\n";
inline const std::string good = get + host + upgrade + connection + key + version;

inline bool has(std::string_view text, std::string_view part) {
    return text.find(part) != std::string_view::npos;
}

/// A handshake that has read all of `request`.
inline server_handshake ready(const std::string& request) {
    server_handshake handshake;
    CAPTURE(request);
    REQUIRE(handshake.receive(feeding::bytes(request)) == progress::request_ready);
    return handshake;
}

/// Checks a request that must be taken, in every cut.
template <class Check>
inline void for_each_cut(const std::string& request, Check check) {
    for (const auto& cut : feeding::all_cuts(request)) {
        CAPTURE(request, cut.size(), cut.front().size());
        server_handshake handshake;
        const auto rest = feeding::feed(handshake, cut);
        REQUIRE(handshake.receive({}) == progress::request_ready);
        CHECK(handshake.response().empty());
        check(handshake, rest);
    }
}

inline void check_ready(const std::string& request) {
    for_each_cut(request, [](server_handshake& handshake, const std::string&) {
        CHECK_FALSE(handshake.accept({}));
        CHECK(handshake.response().starts_with("HTTP/1.1 101 Switching Protocols\r\n"));
        CHECK_FALSE(handshake.outcome().error);
    });
}

/// Checks that `response` is one whole HTTP answer of that status, after which the connection ends.
inline void check_complete_refusal(std::string_view response, unsigned status) {
    CHECK(response.starts_with("HTTP/1.1 " + std::to_string(status) + " "));
    CHECK(has(response, status == 426 ? "\r\nConnection: Upgrade, close\r\n" : "\r\nConnection: close\r\n"));
    const auto end = response.find("\r\n\r\n");
    REQUIRE(end != std::string_view::npos);
    const auto body = response.substr(end + 4);
    CHECK(has(response.substr(0, end + 2), "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n"));
    CHECK_FALSE(has(response, "Sec-WebSocket-Accept"));
}

inline void check_refused(const std::string& request, errc error, unsigned status,
                          const duplex::http_limits& limits = {}) {
    for (const auto& cut : feeding::all_cuts(request)) {
        CAPTURE(request, cut.size(), cut.front().size());
        server_handshake handshake(limits);
        feeding::feed(handshake, cut);
        REQUIRE(handshake.receive({}) == progress::failed);
        CHECK(handshake.outcome().error == error);
        CHECK(handshake.outcome().status == status);
        CHECK(handshake.outcome().leftover.empty());
        check_complete_refusal(handshake.response(), status);
        // one line that says why
        CHECK(handshake.response().ends_with(std::string("\r\n\r\n") + make_error_code(error).message() +
                                             "\n"));
        CHECK(handshake.accept({}) == errc::already_open);
    }
}

inline server_handshake_options speaking(std::vector<std::string> subprotocols) {
    server_handshake_options options;
    options.subprotocols = std::move(subprotocols);
    return options;
}

inline server_handshake_options with_headers(duplex::fields headers) {
    server_handshake_options options;
    options.headers = std::move(headers);
    return options;
}

inline server_handshake_options with_origins(std::vector<std::string> origins) {
    server_handshake_options options;
    options.origins = std::move(origins);
    return options;
}

inline std::string offer(std::string_view value) {
    return "Sec-WebSocket-Protocol: " + std::string(value) + "\r\n";
}

/// The subprotocol agreed on; the response must say the same.
inline std::string agreed(const std::string& headers, const server_handshake_options& options) {
    auto handshake = ready(good + headers + "\r\n");
    REQUIRE_FALSE(handshake.accept(options));
    const auto& result = handshake.outcome().subprotocol;
    CHECK(has(handshake.response(), "Sec-WebSocket-Protocol") == !result.empty());
    if (!result.empty()) CHECK(has(handshake.response(), "\r\nSec-WebSocket-Protocol: " + result + "\r\n"));
    return result;
}

} // namespace server_script
