#pragma once

// Part of error.hpp: what each error means.

namespace duplex {
namespace detail {

/// A row for each `errc`, in the order of the enumeration.
inline constexpr auto explanations = [] {
    using enum condition;
    using cc = close_code;
    constexpr auto none = cc::no_status;
    return std::array{
        explained{errc::reserved_bits_set, protocol_violation, cc::protocol_error, 0,
                  "reserved_bits_set|"
                  "a frame has a reserved bit set that no extension has claimed|"
                  "RFC 6455 5.2"},
        explained{errc::reserved_opcode, protocol_violation, cc::protocol_error, 0,
                  "reserved_opcode|"
                  "a frame has a reserved opcode|"
                  "RFC 6455 5.2"},
        explained{errc::unmasked_frame, protocol_violation, cc::protocol_error, 0,
                  "unmasked_frame|"
                  "a client sent a frame that is not masked|"
                  "RFC 6455 5.1"},
        explained{errc::masked_frame, protocol_violation, cc::protocol_error, 0,
                  "masked_frame|"
                  "a server sent a masked frame|"
                  "RFC 6455 5.1"},
        explained{errc::control_frame_too_long, protocol_violation, cc::protocol_error, 0,
                  "control_frame_too_long|"
                  "a control frame has more than 125 bytes of payload|"
                  "RFC 6455 5.5"},
        explained{errc::control_frame_fragmented, protocol_violation, cc::protocol_error, 0,
                  "control_frame_fragmented|"
                  "a control frame is fragmented|"
                  "RFC 6455 5.5"},
        explained{errc::length_not_minimal, protocol_violation, cc::protocol_error, 0,
                  "length_not_minimal|"
                  "a payload length is not in its shortest form|"
                  "RFC 6455 5.2"},
        explained{errc::length_out_of_range, protocol_violation, cc::protocol_error, 0,
                  "length_out_of_range|"
                  "a 64-bit payload length has its most significant bit set|"
                  "RFC 6455 5.2"},
        explained{errc::unexpected_continuation, protocol_violation, cc::protocol_error, 0,
                  "unexpected_continuation|"
                  "a continuation frame came with no message to continue|"
                  "RFC 6455 5.4"},
        explained{errc::expected_continuation, protocol_violation, cc::protocol_error, 0,
                  "expected_continuation|"
                  "a new message began inside a fragmented one|"
                  "RFC 6455 5.4"},
        explained{errc::invalid_utf8, protocol_violation, cc::invalid_payload, 0,
                  "invalid_utf8|"
                  "a text message is not UTF-8|"
                  "RFC 6455 8.1"},
        explained{errc::close_body_too_short, protocol_violation, cc::protocol_error, 0,
                  "close_body_too_short|"
                  "a Close frame has a body of one byte|"
                  "RFC 6455 5.5.1"},
        explained{errc::close_code_invalid, protocol_violation, cc::protocol_error, 0,
                  "close_code_invalid|"
                  "a Close frame carries a code that may not travel|"
                  "RFC 6455 7.4"},
        explained{errc::close_reason_not_utf8, protocol_violation, cc::invalid_payload, 0,
                  "close_reason_not_utf8|"
                  "the reason of a Close frame is not UTF-8|"
                  "RFC 6455 5.5.1"},
        explained{errc::deflate_data_invalid, protocol_violation, cc::invalid_payload, 0,
                  "deflate_data_invalid|"
                  "a compressed message is no DEFLATE data, or ends amid it|"
                  "RFC 7692 7.2.2"},

        explained{errc::message_too_big, limit_exceeded, cc::message_too_big, 0,
                  "message_too_big|"
                  "a message is larger than limits::message_bytes|"
                  "RFC 6455 7.4.1"},
        explained{errc::too_many_fragments, limit_exceeded, cc::policy_violation, 0,
                  "too_many_fragments|"
                  "a message has more frames than limits::message_fragments|"
                  "RFC 6455 10.4"},
        explained{errc::deflate_ratio_exceeded, limit_exceeded, cc::policy_violation, 0,
                  "deflate_ratio_exceeded|"
                  "a compressed message inflates to more than deflate_options::max_ratio times its size|"
                  "deflate_options::max_ratio"},
        explained{errc::queue_full, limit_exceeded, none, 0,
                  "queue_full|"
                  "the message would pass limits::queue_bytes; it was not queued|"
                  "limits::queue_bytes"},
        explained{errc::message_dropped, limit_exceeded, none, 0,
                  "message_dropped|"
                  "there was no room for the message, or the connection was closed without waiting for it|"
                  "overflow"},
        explained{errc::message_replaced, limit_exceeded, none, 0,
                  "message_replaced|"
                  "a later message with the same key took its place|"
                  "message_options::key"},
        explained{errc::message_expired, limit_exceeded, none, 0,
                  "message_expired|"
                  "the message could not begin to leave within its time to live|"
                  "message_options::time_to_live"},
        explained{errc::budget_full, limit_exceeded, cc::try_again_later, 0,
                  "budget_full|"
                  "the budget that connections share has nothing left|"
                  "budget_limits"},
        explained{errc::start_line_too_long, limit_exceeded, none, 414,
                  "start_line_too_long|"
                  "the start line is longer than http_limits::start_line_bytes|"
                  "RFC 9112 3"},
        explained{errc::head_too_long, limit_exceeded, none, 431,
                  "head_too_long|"
                  "the head is longer than http_limits::head_bytes|"
                  "RFC 6585 5"},
        explained{errc::too_many_headers, limit_exceeded, none, 431,
                  "too_many_headers|"
                  "the head has more fields than http_limits::header_count|"
                  "RFC 6585 5"},

        explained{errc::connect_timeout, timeout, none, 0,
                  "connect_timeout|"
                  "no connection in the time there was for it|"
                  "timeouts::connect, blocking_client::connect"},
        explained{errc::tls_timeout, timeout, none, 0,
                  "tls_timeout|"
                  "the TLS handshake did not end within timeouts::tls|"
                  "timeouts::tls"},
        explained{errc::handshake_timeout, timeout, none, 408,
                  "handshake_timeout|"
                  "the opening handshake did not end within timeouts::handshake|"
                  "timeouts::handshake"},
        explained{errc::pong_timeout, timeout, cc::internal_error, 0,
                  "pong_timeout|"
                  "nothing was received within timeouts::pong of a Ping|"
                  "timeouts::pong"},
        explained{errc::idle_timeout, timeout, cc::going_away, 0,
                  "idle_timeout|"
                  "no message was received within timeouts::idle|"
                  "timeouts::idle"},
        explained{errc::life_timeout, timeout, cc::going_away, 0,
                  "life_timeout|"
                  "the connection was open for timeouts::life|"
                  "timeouts::life"},
        explained{errc::write_timeout, timeout, none, 0,
                  "write_timeout|"
                  "the peer took no bytes for timeouts::write while some were queued|"
                  "timeouts::write"},
        explained{errc::close_timeout, timeout, none, 0,
                  "close_timeout|"
                  "the closing handshake did not end within timeouts::close|"
                  "timeouts::close"},
        explained{errc::call_timeout, timeout, none, 0,
                  "call_timeout|"
                  "a call had no result in the time it was given, and has lost nothing|"
                  "blocking_client, within"},

        explained{errc::http_start_line_invalid, handshake_failure, none, 400,
                  "http_start_line_invalid|"
                  "the start line is malformed|"
                  "RFC 9112 3, 4"},
        explained{errc::http_header_invalid, handshake_failure, none, 400,
                  "http_header_invalid|"
                  "a header field is malformed|"
                  "RFC 9112 5"},
        explained{errc::http_bare_line_feed, handshake_failure, none, 400,
                  "http_bare_line_feed|"
                  "a line ends without CR|"
                  "RFC 9112 2.2"},
        explained{errc::http_obsolete_fold, handshake_failure, none, 400,
                  "http_obsolete_fold|"
                  "a header field is folded over lines|"
                  "RFC 9112 5.2"},
        explained{errc::http_version_unsupported, handshake_failure, none, 505,
                  "http_version_unsupported|"
                  "the HTTP version is not 1.1|"
                  "RFC 6455 4.1"},
        explained{errc::http_header_duplicated, handshake_failure, none, 400,
                  "http_header_duplicated|"
                  "a header field that may occur once occurs more often|"
                  "RFC 6455 11.3"},

        explained{errc::method_not_get, handshake_failure, none, 405,
                  "method_not_get|"
                  "the request method is not GET|"
                  "RFC 6455 4.1"},
        explained{errc::host_missing, handshake_failure, none, 400,
                  "host_missing|"
                  "the request has no valid Host|"
                  "RFC 9112 3.2"},
        explained{errc::upgrade_required, handshake_failure, none, 426,
                  "upgrade_required|"
                  "the request does not ask for an upgrade to websocket|"
                  "RFC 6455 4.2.1"},
        explained{errc::connection_upgrade_missing, handshake_failure, none, 400,
                  "connection_upgrade_missing|"
                  "the Connection header has no upgrade token|"
                  "RFC 6455 4.2.1"},
        explained{errc::key_invalid, handshake_failure, none, 400,
                  "key_invalid|"
                  "Sec-WebSocket-Key is not 16 bytes in base64, exactly once|"
                  "RFC 6455 4.2.1"},
        explained{errc::version_unsupported, handshake_failure, none, 426,
                  "version_unsupported|"
                  "Sec-WebSocket-Version is not 13|"
                  "RFC 6455 4.4"},
        explained{errc::request_has_body, handshake_failure, none, 400,
                  "request_has_body|"
                  "the upgrade request announces a body|"
                  "RFC 6455 4.1"},
        explained{errc::origin_not_allowed, handshake_failure, none, 403,
                  "origin_not_allowed|"
                  "the Origin is not allowed|"
                  "RFC 6455 10.2"},
        explained{errc::subprotocol_list_invalid, handshake_failure, none, 400,
                  "subprotocol_list_invalid|"
                  "Sec-WebSocket-Protocol is not a list of tokens|"
                  "RFC 6455 11.3.4"},
        explained{errc::extension_list_invalid, handshake_failure, none, 400,
                  "extension_list_invalid|"
                  "Sec-WebSocket-Extensions is malformed|"
                  "RFC 6455 9.1"},
        explained{errc::request_rejected, handshake_failure, none, 403,
                  "request_rejected|"
                  "the application rejected the request|"
                  "RFC 6455 4.2.2"},

        explained{errc::upgrade_refused, handshake_failure, none, 0,
                  "upgrade_refused|"
                  "the server answered with a status other than 101|"
                  "RFC 6455 4.1"},
        explained{errc::upgrade_header_invalid, handshake_failure, none, 0,
                  "upgrade_header_invalid|"
                  "the answer has no Upgrade header that says websocket|"
                  "RFC 6455 4.1"},
        explained{errc::connection_header_invalid, handshake_failure, none, 0,
                  "connection_header_invalid|"
                  "the answer has no Connection header with an upgrade token|"
                  "RFC 6455 4.1"},
        explained{errc::accept_invalid, handshake_failure, none, 0,
                  "accept_invalid|"
                  "Sec-WebSocket-Accept does not prove that the server read our key|"
                  "RFC 6455 4.1"},
        explained{errc::subprotocol_not_offered, handshake_failure, none, 0,
                  "subprotocol_not_offered|"
                  "the server chose a subprotocol that was not offered|"
                  "RFC 6455 4.1"},
        explained{errc::extension_not_offered, handshake_failure, none, 0,
                  "extension_not_offered|"
                  "the server uses an extension that was not offered|"
                  "RFC 6455 4.1"},
        explained{errc::deflate_answer_invalid, handshake_failure, none, 0,
                  "deflate_answer_invalid|"
                  "the server's answer to the offer of permessage-deflate is malformed or grants too little|"
                  "RFC 7692 7.1"},
        explained{errc::redirect_invalid, handshake_failure, none, 0,
                  "redirect_invalid|"
                  "the server redirects without one Location that a WebSocket can go to|"
                  "RFC 9110 10.2.2"},
        explained{errc::redirect_insecure, handshake_failure, none, 0,
                  "redirect_insecure|"
                  "the server redirects from wss to ws|"
                  "RFC 6455 10.6"},
        explained{errc::too_many_redirects, handshake_failure, none, 0,
                  "too_many_redirects|"
                  "there are more redirects than connect_options::max_redirects|"
                  "RFC 9110 15.4"},

        explained{errc::proxy_refused, handshake_failure, none, 0,
                  "proxy_refused|"
                  "the proxy did not open a way to the server|"
                  "RFC 9110 9.3.6, RFC 1928 6"},
        explained{errc::proxy_authentication_required, handshake_failure, none, 0,
                  "proxy_authentication_required|"
                  "the proxy wants a login, or another one than was given|"
                  "RFC 9110 15.5.8, RFC 1928 3"},
        explained{errc::proxy_authentication_failed, handshake_failure, none, 0,
                  "proxy_authentication_failed|"
                  "the proxy did not accept the login|"
                  "RFC 1929 2"},
        explained{errc::proxy_answer_invalid, handshake_failure, none, 0,
                  "proxy_answer_invalid|"
                  "the proxy's answer is malformed or fits nothing that was asked|"
                  "RFC 9110 15.2, RFC 1928"},
        explained{errc::tls_not_spoken, handshake_failure, none, 0,
                  "tls_not_spoken|"
                  "the peer does not speak TLS|"
                  "RFC 8446 5.1"},
        explained{errc::tls_version_unsupported, handshake_failure, none, 0,
                  "tls_version_unsupported|"
                  "the two sides have no version of TLS in common|"
                  "RFC 8446 4.2.1"},
        explained{errc::tls_certificate_mismatch, handshake_failure, none, 0,
                  "tls_certificate_mismatch|"
                  "the certificate of the server is for another host|"
                  "RFC 9525 6"},
        explained{errc::tls_certificate_expired, handshake_failure, none, 0,
                  "tls_certificate_expired|"
                  "the certificate of the peer has expired or is not valid yet|"
                  "RFC 5280 4.1.2.5"},
        explained{errc::tls_certificate_untrusted, handshake_failure, none, 0,
                  "tls_certificate_untrusted|"
                  "the certificate of the peer is not trusted|"
                  "RFC 5280 6"},
        explained{errc::tls_certificate_required, handshake_failure, none, 0,
                  "tls_certificate_required|"
                  "the server requires a certificate of the client, which has sent none|"
                  "RFC 8446 4.4.2.4"},
        explained{errc::tls_certificate_rejected, handshake_failure, none, 0,
                  "tls_certificate_rejected|"
                  "the peer does not accept the certificate of this side|"
                  "RFC 8446 6.2"},
        explained{errc::tls_handshake_failed, handshake_failure, none, 0,
                  "tls_handshake_failed|"
                  "the TLS handshake failed|"
                  "RFC 8446 6.2"},

        explained{errc::url_invalid, misuse, none, 0,
                  "url_invalid|"
                  "the URL is malformed|"
                  "RFC 6455 3"},
        explained{errc::url_scheme_unsupported, misuse, none, 0,
                  "url_scheme_unsupported|"
                  "the URL's scheme is none of ws, wss, http, https and ws+unix|"
                  "RFC 6455 3"},
        explained{errc::url_host_invalid, misuse, none, 0,
                  "url_host_invalid|"
                  "the URL's host is missing or malformed|"
                  "RFC 3986 3.2.2"},
        explained{errc::url_port_invalid, misuse, none, 0,
                  "url_port_invalid|"
                  "the URL's port is not 1-65535|"
                  "RFC 3986 3.2.3"},
        explained{errc::url_has_fragment, misuse, none, 0,
                  "url_has_fragment|"
                  "a WebSocket URL has no fragment|"
                  "RFC 6455 3"},
        explained{errc::socket_path_invalid, misuse, none, 0,
                  "socket_path_invalid|"
                  "a unix socket's path is empty, has a NUL in it, or is longer than its address may be|"
                  "unix(7), sun_path"},
        explained{errc::proxy_url_invalid, misuse, none, 0,
                  "proxy_url_invalid|"
                  "the proxy's URL is malformed|"
                  "RFC 3986 3"},
        explained{errc::proxy_scheme_unsupported, misuse, none, 0,
                  "proxy_scheme_unsupported|"
                  "the proxy's scheme is none of http, https, socks5 and socks5h|"
                  "RFC 3986 3.1"},
        explained{errc::proxy_credentials_invalid, misuse, none, 0,
                  "proxy_credentials_invalid|"
                  "the login for the proxy has a length or a character that may not be sent|"
                  "RFC 7617 2, RFC 1929 2"},
        explained{errc::credentials_invalid, misuse, none, 0,
                  "credentials_invalid|"
                  "a user name, a password or a token has a character that may not be sent|"
                  "RFC 7617 2, RFC 6750 2.1"},
        explained{errc::tls_not_available, misuse, none, 0,
                  "tls_not_available|"
                  "wss needs duplex/tls.hpp, included in one source, and duplex::tls, linked to|"
                  "RFC 6455 3"},
        explained{errc::tls_options_invalid, misuse, none, 0,
                  "tls_options_invalid|"
                  "options of TLS contradict each other or have no meaning|"
                  "tls_client_options, tls_server_options"},
        explained{errc::tls_certificate_invalid, misuse, none, 0,
                  "tls_certificate_invalid|"
                  "the own certificate is missing or no readable PEM|"
                  "certificate_file, certificate_pem"},
        explained{errc::tls_key_invalid, misuse, none, 0,
                  "tls_key_invalid|"
                  "the own private key is missing, no readable PEM or needs another password|"
                  "key_file, key_pem, key_password"},
        explained{errc::tls_key_mismatch, misuse, none, 0,
                  "tls_key_mismatch|"
                  "the own private key does not belong to the own certificate|"
                  "certificate_file, key_file"},
        explained{errc::tls_ca_invalid, misuse, none, 0,
                  "tls_ca_invalid|"
                  "the certificates to trust are missing or no readable PEM|"
                  "ca_file, client_ca_file"},
        explained{
            errc::deflate_not_available, misuse, none, 0,
            "deflate_not_available|"
            "compression needs duplex/deflate.hpp, included in one source, and duplex::deflate, linked to|"
            "RFC 7692"},
        explained{errc::deflate_option_invalid, misuse, none, 0,
                  "deflate_option_invalid|"
                  "a number among the options of permessage-deflate is out of its range|"
                  "deflate_options"},
        explained{errc::tls_not_loaded, misuse, none, 0,
                  "tls_not_loaded|"
                  "the server's TLS has no certificate yet|"
                  "tls_server_context::reload"},
        explained{errc::header_name_invalid, misuse, none, 0,
                  "header_name_invalid|"
                  "a header name is not a token|"
                  "RFC 9110 5.1"},
        explained{errc::header_value_invalid, misuse, none, 0,
                  "header_value_invalid|"
                  "a header value has CR, LF or NUL in it|"
                  "RFC 9110 5.5"},
        explained{errc::header_reserved, misuse, none, 0,
                  "header_reserved|"
                  "the header belongs to the handshake itself|"
                  "RFC 6455 4.1"},
        explained{errc::subprotocol_invalid, misuse, none, 0,
                  "subprotocol_invalid|"
                  "a subprotocol is not a token|"
                  "RFC 6455 4.1"},
        explained{errc::subprotocol_duplicated, misuse, none, 0,
                  "subprotocol_duplicated|"
                  "a subprotocol is named twice|"
                  "RFC 6455 4.1"},
        explained{errc::origin_invalid, misuse, none, 0,
                  "origin_invalid|"
                  "an allowed origin is not scheme://host[:port], null or *|"
                  "RFC 6454 6.2"},
        explained{errc::host_not_numeric, misuse, none, 0,
                  "host_not_numeric|"
                  "an address to listen on, or to connect from, is numeric|"
                  "server_options::host, connect_options::local_address"},
        explained{errc::text_not_utf8, misuse, none, 0,
                  "text_not_utf8|"
                  "a text message or a close reason must be UTF-8|"
                  "RFC 6455 5.6"},
        explained{errc::close_code_not_allowed, misuse, none, 0,
                  "close_code_not_allowed|"
                  "the close code may not be sent|"
                  "RFC 6455 7.4"},
        explained{errc::close_reason_too_long, misuse, none, 0,
                  "close_reason_too_long|"
                  "a close reason is at most 123 bytes of UTF-8|"
                  "RFC 6455 5.5"},
        explained{errc::opcode_not_data, misuse, none, 0,
                  "opcode_not_data|"
                  "a message to send is text or binary|"
                  "RFC 6455 5.6"},
        explained{errc::tag_too_large, misuse, none, 0,
                  "tag_too_large|"
                  "the tag of a message is 2^63 or more|"
                  "message_options::tag"},
        explained{errc::ping_payload_too_long, misuse, none, 0,
                  "ping_payload_too_long|"
                  "a ping payload is at most 125 bytes|"
                  "RFC 6455 5.5"},
        explained{errc::not_open, misuse, none, 0,
                  "not_open|"
                  "the connection is not open|"
                  "RFC 6455 7.1"},
        explained{errc::already_open, misuse, none, 0,
                  "already_open|"
                  "it was opened or started before; that can be done once|"
                  "connection, websocket, server"},
        explained{errc::operation_pending, misuse, none, 0,
                  "operation_pending|"
                  "an operation of this kind is already under way|"
                  "one at a time"},
        explained{errc::fragments_not_taken, misuse, none, 0,
                  "fragments_not_taken|"
                  "connection_options::deliver_fragments needs an async_run whose handlers have on_fragment|"
                  "connection_options::deliver_fragments"},

        explained{errc::closed, ended, none, 0,
                  "closed|"
                  "the connection was closed|"
                  "RFC 6455 7.1.4"},
        explained{errc::connection_lost, ended, none, 0,
                  "connection_lost|"
                  "the transport ended without a closing handshake|"
                  "RFC 6455 7.1.5"},
        explained{errc::tls_truncated, ended, none, 0,
                  "tls_truncated|"
                  "the transport ended without TLS's close_notify, so that something may be missing|"
                  "RFC 8446 6.1"},
        explained{errc::tls_record_invalid, ended, none, 0,
                  "tls_record_invalid|"
                  "a TLS record could not be read|"
                  "RFC 8446 5.2"},
        explained{errc::aborted, ended, none, 0,
                  "aborted|"
                  "this side ended the connection without a closing handshake|"
                  "RFC 6455 7.1.7"},
        explained{errc::callback_threw, ended, cc::internal_error, 500,
                  "callback_threw|"
                  "an exception left a callback of the application|"
                  "RFC 6455 7.4.1"},
        explained{errc::out_of_memory, ended, cc::internal_error, 503,
                  "out_of_memory|"
                  "memory ran out|"
                  "RFC 6455 7.4.1"},
        explained{errc::random_source_failed, ended, cc::internal_error, 500,
                  "random_source_failed|"
                  "the operating system gave no random bytes|"
                  "RFC 6455 10.3"},
    };
}();

} // namespace detail
} // namespace duplex
