#pragma once

#include <duplex/handshake/client_handshake.hpp>

#include "handshake/feeding.hpp"
#include "support/catch.hpp"

#include <array>
#include <cstddef>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

/// What the tests of the client have in common.
namespace client_script {

using duplex::client_handshake;
using duplex::client_handshake_options;
using duplex::errc;
using duplex::handshake_outcome;
using progress = client_handshake::progress;

// RFC 6455 1.3: the nonce "the sample nonce" and its accept value
inline constexpr std::string_view sample_nonce = "the sample nonce";
inline const std::string upgrade = "Upgrade: websocket\r\n";
inline const std::string connection = "Connection: Upgrade\r\n";
inline const std::string accept = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";
inline const std::string status_101 = "HTTP/1.1 101 Switching Protocols\r\n";
inline const std::string good_head = status_101 + upgrade + connection + accept;

inline duplex::uri uri_of(std::string_view text) {
    duplex::uri result;
    REQUIRE_FALSE(parse_uri(text, result));
    return result;
}

inline std::error_code start(client_handshake& handshake, const client_handshake_options& options = {},
                             const duplex::uri& to = uri_of("ws://server.example.com/chat")) {
    return handshake.start(to, options, feeding::bytes(sample_nonce).first<16>());
}

/// The request for these options.
inline std::string request_for(const client_handshake_options& options = {},
                               std::string_view url = "ws://server.example.com/chat") {
    client_handshake handshake;
    REQUIRE_FALSE(start(handshake, options, uri_of(url)));
    return std::string(handshake.request());
}

inline bool has(std::string_view text, std::string_view part) {
    return text.find(part) != std::string_view::npos;
}

/// What `options` cannot be started with; the request must have stayed empty.
inline std::error_code refusal_of(const client_handshake_options& options,
                                  const duplex::uri& to = uri_of("ws://server.example.com/chat")) {
    client_handshake handshake;
    REQUIRE_FALSE(start(handshake)); // what an earlier start has left must go
    const auto error = start(handshake, options, to);
    CHECK(handshake.request().empty());
    CHECK(handshake.receive(feeding::bytes(good_head + "\r\n")) == progress::done);
    CHECK(handshake.outcome().error == errc::not_open);
    return error;
}

/// Checks the outcome of `answer` in every cut.
template <class Check>
inline void for_each_cut(const std::string& answer, const client_handshake_options& options, Check check) {
    for (const auto& cut : feeding::all_cuts(answer)) {
        CAPTURE(answer, cut.size(), cut.front().size());
        client_handshake handshake;
        REQUIRE_FALSE(start(handshake, options));
        const auto rest = feeding::feed(handshake, cut);
        handshake.eof();
        auto outcome = handshake.take_outcome();
        for (const char c : rest)
            outcome.leftover.push_back(static_cast<std::byte>(c));
        check(outcome);
    }
}

inline void check_error(const std::string& answer, errc error, const client_handshake_options& options = {}) {
    for_each_cut(answer, options, [&](const handshake_outcome& outcome) {
        CHECK(outcome.error == error);
        CHECK(outcome.subprotocol.empty());
        CHECK(outcome.extensions.empty());
    });
}

inline void check_open(const std::string& answer, const client_handshake_options& options = {},
                       std::string_view subprotocol = {}) {
    for_each_cut(answer, options, [&](const handshake_outcome& outcome) {
        CHECK_FALSE(outcome.error);
        CHECK(outcome.status == 101);
        CHECK(outcome.subprotocol == subprotocol);
        CHECK(outcome.leftover.empty());
    });
}

/// Checks a refusal in every cut; the stream ends behind `answer`.
inline void check_refusal(const std::string& answer, unsigned status, std::string_view body,
                          std::size_t body_limit = 16384) {
    client_handshake_options options;
    options.limits.refusal_body_bytes = body_limit;
    for_each_cut(answer, options, [&](const handshake_outcome& outcome) {
        CHECK(outcome.error == errc::upgrade_refused);
        CHECK(outcome.status == status);
        CHECK(outcome.body == body);
    });
}

/// Whether the refusal is over behind `answer` although the stream goes on.
inline bool complete(const std::string& answer) {
    client_handshake handshake;
    REQUIRE_FALSE(start(handshake));
    return handshake.receive(feeding::bytes(answer)) == progress::done;
}

inline client_handshake_options with_subprotocols(std::vector<std::string> list) {
    client_handshake_options options;
    options.subprotocols = std::move(list);
    return options;
}

inline client_handshake_options with_headers(duplex::fields headers) {
    client_handshake_options options;
    options.headers = std::move(headers);
    return options;
}

inline client_handshake_options with_extensions(std::string extensions) {
    client_handshake_options options;
    options.extensions = std::move(extensions);
    return options;
}

} // namespace client_script
