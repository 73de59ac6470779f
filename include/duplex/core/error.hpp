#pragma once

#include <duplex/core/close_code.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>

namespace duplex {

/// Every rule that can be broken, by the peer, by the caller or by time. Each value names one rule; `explain`
/// tells the rule in words, its source and what goes to the peer.
enum class errc : std::uint8_t {
    // Frames and messages (RFC 6455 5): the peer's fault.
    reserved_bits_set = 1,
    reserved_opcode,
    unmasked_frame,
    masked_frame,
    control_frame_too_long,
    control_frame_fragmented,
    length_not_minimal,
    length_out_of_range,
    unexpected_continuation,
    expected_continuation,
    invalid_utf8,
    close_body_too_short,
    close_code_invalid,
    close_reason_not_utf8,

    // Limits (core/limits.hpp).
    message_too_big,
    too_many_fragments,
    queue_full,
    start_line_too_long,
    head_too_long,
    too_many_headers,

    // Time (core/limits.hpp).
    connect_timeout,
    handshake_timeout,
    pong_timeout,
    idle_timeout,
    write_timeout,
    close_timeout,

    // HTTP syntax (RFC 9112), either direction.
    http_start_line_invalid,
    http_header_invalid,
    http_bare_line_feed,
    http_obsolete_fold,
    http_version_unsupported,
    http_header_duplicated,

    // The opening handshake as the server sees it (RFC 6455 4.2).
    method_not_get,
    host_missing,
    upgrade_required,
    connection_upgrade_missing,
    key_invalid,
    version_unsupported,
    request_has_body,
    origin_not_allowed,
    subprotocol_list_invalid,
    extension_list_invalid,
    request_rejected,

    // The opening handshake as the client sees it (RFC 6455 4.1).
    upgrade_refused,
    upgrade_header_invalid,
    connection_header_invalid,
    accept_invalid,
    subprotocol_not_offered,
    extension_not_offered,

    // The caller's faults: reported to the caller, never to the peer.
    url_invalid,
    url_scheme_unsupported,
    url_host_invalid,
    url_port_invalid,
    url_has_fragment,
    tls_not_available,
    header_name_invalid,
    header_value_invalid,
    header_reserved,
    subprotocol_invalid,
    subprotocol_duplicated,
    origin_invalid,
    host_not_numeric,
    text_not_utf8,
    close_code_not_allowed,
    close_reason_too_long,
    opcode_not_data,
    ping_payload_too_long,
    not_open,
    already_open,
    operation_pending,
    fragments_not_taken,

    // The end of a connection.
    closed,          ///< both sides sent Close: the orderly end
    connection_lost, ///< the transport ended without a closing handshake (1006)
    aborted,         ///< ended by this side without a closing handshake
    callback_threw,  ///< an exception left one of the application's callbacks
    out_of_memory,
    random_source_failed,
};

/// Groups of `errc`, for `ec == condition::timeout`.
enum class condition : std::uint8_t {
    protocol_violation = 1, ///< the peer broke RFC 6455 after the connection was open
    handshake_failure,      ///< the opening handshake did not succeed
    limit_exceeded,
    timeout,
    misuse, ///< the caller's argument or moment was wrong; nothing was sent
    ended,  ///< the connection is over
};

/// What there is to say about an `errc`.
struct explanation {
    errc error{};
    std::string_view name; ///< the enumerator
    condition group{};
    close_code close = close_code::no_status; ///< sent to the peer; `no_status` where nothing is sent
    std::uint16_t http_status = 0;            ///< a server's answer while connecting; 0 where there is none
    std::string_view text;                    ///< one sentence
    std::string_view source;                  ///< the rule's section
};

namespace detail {

inline constexpr auto explanations = [] {
    using enum condition;
    using cc = close_code;
    constexpr auto none = cc::no_status;
    return std::array{
        explanation{errc::reserved_bits_set, "reserved_bits_set", protocol_violation, cc::protocol_error, 0,
                    "a frame has a reserved bit set that no extension has claimed", "RFC 6455 5.2"},
        explanation{errc::reserved_opcode, "reserved_opcode", protocol_violation, cc::protocol_error, 0,
                    "a frame has a reserved opcode", "RFC 6455 5.2"},
        explanation{errc::unmasked_frame, "unmasked_frame", protocol_violation, cc::protocol_error, 0,
                    "a client sent a frame that is not masked", "RFC 6455 5.1"},
        explanation{errc::masked_frame, "masked_frame", protocol_violation, cc::protocol_error, 0,
                    "a server sent a masked frame", "RFC 6455 5.1"},
        explanation{errc::control_frame_too_long, "control_frame_too_long", protocol_violation,
                    cc::protocol_error, 0, "a control frame has more than 125 bytes of payload",
                    "RFC 6455 5.5"},
        explanation{errc::control_frame_fragmented, "control_frame_fragmented", protocol_violation,
                    cc::protocol_error, 0, "a control frame is fragmented", "RFC 6455 5.5"},
        explanation{errc::length_not_minimal, "length_not_minimal", protocol_violation, cc::protocol_error, 0,
                    "a payload length is not in its shortest form", "RFC 6455 5.2"},
        explanation{errc::length_out_of_range, "length_out_of_range", protocol_violation, cc::protocol_error,
                    0, "a 64-bit payload length has its most significant bit set", "RFC 6455 5.2"},
        explanation{errc::unexpected_continuation, "unexpected_continuation", protocol_violation,
                    cc::protocol_error, 0, "a continuation frame came with no message to continue",
                    "RFC 6455 5.4"},
        explanation{errc::expected_continuation, "expected_continuation", protocol_violation,
                    cc::protocol_error, 0, "a new message began inside a fragmented one", "RFC 6455 5.4"},
        explanation{errc::invalid_utf8, "invalid_utf8", protocol_violation, cc::invalid_payload, 0,
                    "a text message is not UTF-8", "RFC 6455 8.1"},
        explanation{errc::close_body_too_short, "close_body_too_short", protocol_violation,
                    cc::protocol_error, 0, "a Close frame has a body of one byte", "RFC 6455 5.5.1"},
        explanation{errc::close_code_invalid, "close_code_invalid", protocol_violation, cc::protocol_error, 0,
                    "a Close frame carries a code that may not travel", "RFC 6455 7.4"},
        explanation{errc::close_reason_not_utf8, "close_reason_not_utf8", protocol_violation,
                    cc::invalid_payload, 0, "the reason of a Close frame is not UTF-8", "RFC 6455 5.5.1"},

        explanation{errc::message_too_big, "message_too_big", limit_exceeded, cc::message_too_big, 0,
                    "a message is larger than limits::message_bytes", "RFC 6455 7.4.1"},
        explanation{errc::too_many_fragments, "too_many_fragments", limit_exceeded, cc::policy_violation, 0,
                    "a message has more frames than limits::message_fragments", "RFC 6455 10.4"},
        explanation{errc::queue_full, "queue_full", limit_exceeded, none, 0,
                    "the message would pass limits::queue_bytes; it was not queued", "limits::queue_bytes"},
        explanation{errc::start_line_too_long, "start_line_too_long", limit_exceeded, none, 414,
                    "the start line is longer than http_limits::start_line_bytes", "RFC 9112 3"},
        explanation{errc::head_too_long, "head_too_long", limit_exceeded, none, 431,
                    "the head is longer than http_limits::head_bytes", "RFC 6585 5"},
        explanation{errc::too_many_headers, "too_many_headers", limit_exceeded, none, 431,
                    "the head has more fields than http_limits::header_count", "RFC 6585 5"},

        explanation{errc::connect_timeout, "connect_timeout", timeout, none, 0,
                    "no connection within timeouts::connect", "timeouts::connect"},
        explanation{errc::handshake_timeout, "handshake_timeout", timeout, none, 408,
                    "the opening handshake did not end within timeouts::handshake", "timeouts::handshake"},
        explanation{errc::pong_timeout, "pong_timeout", timeout, cc::internal_error, 0,
                    "nothing was received within timeouts::pong of a Ping", "timeouts::pong"},
        explanation{errc::idle_timeout, "idle_timeout", timeout, cc::going_away, 0,
                    "no message was received within timeouts::idle", "timeouts::idle"},
        explanation{errc::write_timeout, "write_timeout", timeout, none, 0,
                    "the peer took no bytes for timeouts::write while some were queued", "timeouts::write"},
        explanation{errc::close_timeout, "close_timeout", timeout, none, 0,
                    "the closing handshake did not end within timeouts::close", "timeouts::close"},

        explanation{errc::http_start_line_invalid, "http_start_line_invalid", handshake_failure, none, 400,
                    "the start line is malformed", "RFC 9112 3, 4"},
        explanation{errc::http_header_invalid, "http_header_invalid", handshake_failure, none, 400,
                    "a header field is malformed", "RFC 9112 5"},
        explanation{errc::http_bare_line_feed, "http_bare_line_feed", handshake_failure, none, 400,
                    "a line ends without CR", "RFC 9112 2.2"},
        explanation{errc::http_obsolete_fold, "http_obsolete_fold", handshake_failure, none, 400,
                    "a header field is folded over lines", "RFC 9112 5.2"},
        explanation{errc::http_version_unsupported, "http_version_unsupported", handshake_failure, none, 505,
                    "the HTTP version is not 1.1", "RFC 6455 4.1"},
        explanation{errc::http_header_duplicated, "http_header_duplicated", handshake_failure, none, 400,
                    "a header field that may occur once occurs more often", "RFC 6455 11.3"},

        explanation{errc::method_not_get, "method_not_get", handshake_failure, none, 405,
                    "the request method is not GET", "RFC 6455 4.1"},
        explanation{errc::host_missing, "host_missing", handshake_failure, none, 400,
                    "the request has no valid Host", "RFC 9112 3.2"},
        explanation{errc::upgrade_required, "upgrade_required", handshake_failure, none, 426,
                    "the request does not ask for an upgrade to websocket", "RFC 6455 4.2.1"},
        explanation{errc::connection_upgrade_missing, "connection_upgrade_missing", handshake_failure, none,
                    400, "the Connection header has no upgrade token", "RFC 6455 4.2.1"},
        explanation{errc::key_invalid, "key_invalid", handshake_failure, none, 400,
                    "Sec-WebSocket-Key is not 16 bytes in base64, exactly once", "RFC 6455 4.2.1"},
        explanation{errc::version_unsupported, "version_unsupported", handshake_failure, none, 426,
                    "Sec-WebSocket-Version is not 13", "RFC 6455 4.4"},
        explanation{errc::request_has_body, "request_has_body", handshake_failure, none, 400,
                    "the upgrade request announces a body", "RFC 6455 4.1"},
        explanation{errc::origin_not_allowed, "origin_not_allowed", handshake_failure, none, 403,
                    "the Origin is not allowed", "RFC 6455 10.2"},
        explanation{errc::subprotocol_list_invalid, "subprotocol_list_invalid", handshake_failure, none, 400,
                    "Sec-WebSocket-Protocol is not a list of tokens", "RFC 6455 11.3.4"},
        explanation{errc::extension_list_invalid, "extension_list_invalid", handshake_failure, none, 400,
                    "Sec-WebSocket-Extensions is malformed", "RFC 6455 9.1"},
        explanation{errc::request_rejected, "request_rejected", handshake_failure, none, 403,
                    "the application rejected the request", "RFC 6455 4.2.2"},

        explanation{errc::upgrade_refused, "upgrade_refused", handshake_failure, none, 0,
                    "the server answered with a status other than 101", "RFC 6455 4.1"},
        explanation{errc::upgrade_header_invalid, "upgrade_header_invalid", handshake_failure, none, 0,
                    "the answer has no Upgrade header that says websocket", "RFC 6455 4.1"},
        explanation{errc::connection_header_invalid, "connection_header_invalid", handshake_failure, none, 0,
                    "the answer has no Connection header with an upgrade token", "RFC 6455 4.1"},
        explanation{errc::accept_invalid, "accept_invalid", handshake_failure, none, 0,
                    "Sec-WebSocket-Accept does not prove that the server read our key", "RFC 6455 4.1"},
        explanation{errc::subprotocol_not_offered, "subprotocol_not_offered", handshake_failure, none, 0,
                    "the server chose a subprotocol that was not offered", "RFC 6455 4.1"},
        explanation{errc::extension_not_offered, "extension_not_offered", handshake_failure, none, 0,
                    "the server uses an extension that was not offered", "RFC 6455 4.1"},

        explanation{errc::url_invalid, "url_invalid", misuse, none, 0, "the URL is malformed", "RFC 6455 3"},
        explanation{errc::url_scheme_unsupported, "url_scheme_unsupported", misuse, none, 0,
                    "the URL's scheme is none of ws, wss, http and https", "RFC 6455 3"},
        explanation{errc::url_host_invalid, "url_host_invalid", misuse, none, 0,
                    "the URL's host is missing or malformed", "RFC 3986 3.2.2"},
        explanation{errc::url_port_invalid, "url_port_invalid", misuse, none, 0,
                    "the URL's port is not 1-65535", "RFC 3986 3.2.3"},
        explanation{errc::url_has_fragment, "url_has_fragment", misuse, none, 0,
                    "a WebSocket URL has no fragment", "RFC 6455 3"},
        explanation{errc::tls_not_available, "tls_not_available", misuse, none, 0,
                    "wss needs TLS, which is not available here", "RFC 6455 3"},
        explanation{errc::header_name_invalid, "header_name_invalid", misuse, none, 0,
                    "a header name is not a token", "RFC 9110 5.1"},
        explanation{errc::header_value_invalid, "header_value_invalid", misuse, none, 0,
                    "a header value has CR, LF or NUL in it", "RFC 9110 5.5"},
        explanation{errc::header_reserved, "header_reserved", misuse, none, 0,
                    "the header belongs to the handshake itself", "RFC 6455 4.1"},
        explanation{errc::subprotocol_invalid, "subprotocol_invalid", misuse, none, 0,
                    "a subprotocol is not a token", "RFC 6455 4.1"},
        explanation{errc::subprotocol_duplicated, "subprotocol_duplicated", misuse, none, 0,
                    "a subprotocol is named twice", "RFC 6455 4.1"},
        explanation{errc::origin_invalid, "origin_invalid", misuse, none, 0,
                    "an allowed origin is not scheme://host[:port], null or *", "RFC 6454 6.2"},
        explanation{errc::host_not_numeric, "host_not_numeric", misuse, none, 0,
                    "a server listens on a numeric address", "server_options::host"},
        explanation{errc::text_not_utf8, "text_not_utf8", misuse, none, 0,
                    "a text message or a close reason must be UTF-8", "RFC 6455 5.6"},
        explanation{errc::close_code_not_allowed, "close_code_not_allowed", misuse, none, 0,
                    "the close code may not be sent", "RFC 6455 7.4"},
        explanation{errc::close_reason_too_long, "close_reason_too_long", misuse, none, 0,
                    "a close reason is at most 123 bytes of UTF-8", "RFC 6455 5.5"},
        explanation{errc::opcode_not_data, "opcode_not_data", misuse, none, 0,
                    "a message to send is text or binary", "RFC 6455 5.6"},
        explanation{errc::ping_payload_too_long, "ping_payload_too_long", misuse, none, 0,
                    "a ping payload is at most 125 bytes", "RFC 6455 5.5"},
        explanation{errc::not_open, "not_open", misuse, none, 0, "the connection is not open",
                    "RFC 6455 7.1"},
        explanation{errc::already_open, "already_open", misuse, none, 0,
                    "it was opened or started before; that can be done once",
                    "connection, websocket, server"},
        explanation{errc::operation_pending, "operation_pending", misuse, none, 0,
                    "an operation of this kind is already under way", "one at a time"},
        explanation{
            errc::fragments_not_taken, "fragments_not_taken", misuse, none, 0,
            "connection_options::deliver_fragments needs an async_run whose handlers have on_fragment",
            "connection_options::deliver_fragments"},

        explanation{errc::closed, "closed", ended, none, 0, "the connection was closed", "RFC 6455 7.1.4"},
        explanation{errc::connection_lost, "connection_lost", ended, none, 0,
                    "the transport ended without a closing handshake", "RFC 6455 7.1.5"},
        explanation{errc::aborted, "aborted", ended, none, 0,
                    "this side ended the connection without a closing handshake", "RFC 6455 7.1.7"},
        explanation{errc::callback_threw, "callback_threw", ended, cc::internal_error, 500,
                    "an exception left a callback of the application", "RFC 6455 7.4.1"},
        explanation{errc::out_of_memory, "out_of_memory", ended, cc::internal_error, 503, "memory ran out",
                    "RFC 6455 7.4.1"},
        explanation{errc::random_source_failed, "random_source_failed", ended, cc::internal_error, 500,
                    "the operating system gave no random bytes", "RFC 6455 10.3"},
    };
}();

} // namespace detail

/// Everything there is to say about `e`: the one table of the library.
[[nodiscard]] constexpr const explanation& explain(errc e) noexcept {
    const auto index = static_cast<std::size_t>(e) - 1;
    return detail::explanations[index < detail::explanations.size() ? index : 0];
}

/// The code of the Close frame that answers `e` (RFC 6455 7.1.7); `no_status` where none is sent.
[[nodiscard]] constexpr close_code close_code_for(errc e) noexcept { return explain(e).close; }

/// The HTTP status with which a server answers `e` while connecting; 0 where it answers nothing.
[[nodiscard]] constexpr unsigned http_status_for(errc e) noexcept { return explain(e).http_status; }

namespace detail {

class error_category final : public std::error_category {
public:
    [[nodiscard]] const char* name() const noexcept override { return "duplex"; }

    [[nodiscard]] std::string message(int value) const override {
        const auto& row = explain(static_cast<errc>(value));
        return std::string(row.text).append(" (").append(row.source).append(")");
    }

    [[nodiscard]] std::error_condition default_error_condition(int value) const noexcept override;
};

class condition_category final : public std::error_category {
public:
    [[nodiscard]] const char* name() const noexcept override { return "duplex.condition"; }

    [[nodiscard]] std::string message(int value) const override {
        switch (static_cast<condition>(value)) {
        case condition::protocol_violation: return "protocol violation";
        case condition::handshake_failure: return "handshake failure";
        case condition::limit_exceeded: return "limit exceeded";
        case condition::timeout: return "timeout";
        case condition::misuse: return "misuse";
        case condition::ended: return "connection ended";
        }
        return "unknown";
    }
};

} // namespace detail

[[nodiscard]] inline const std::error_category& error_category() noexcept {
    static const detail::error_category instance;
    return instance;
}

[[nodiscard]] inline const std::error_category& condition_category() noexcept {
    static const detail::condition_category instance;
    return instance;
}

[[nodiscard]] inline std::error_code make_error_code(errc e) noexcept {
    return {static_cast<int>(e), error_category()};
}

[[nodiscard]] inline std::error_condition make_error_condition(condition c) noexcept {
    return {static_cast<int>(c), condition_category()};
}

inline std::error_condition detail::error_category::default_error_condition(int value) const noexcept {
    return make_error_condition(explain(static_cast<errc>(value)).group);
}

/// The `errc` inside `ec`, or `fallback` where `ec` is of another category.
[[nodiscard]] inline errc errc_of(const std::error_code& ec, errc fallback) noexcept {
    return ec.category() == error_category() ? static_cast<errc>(ec.value()) : fallback;
}

} // namespace duplex

template <>
struct std::is_error_code_enum<duplex::errc> : std::true_type {};
template <>
struct std::is_error_condition_enum<duplex::condition> : std::true_type {};
