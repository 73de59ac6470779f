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
    // Frames and messages (RFC 6455 5, RFC 7692 7): the peer's fault.
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
    deflate_data_invalid,

    // Limits (core/limits.hpp).
    message_too_big,
    too_many_fragments,
    deflate_ratio_exceeded,
    queue_full,
    message_dropped,
    message_replaced,
    message_expired,
    budget_full,
    start_line_too_long,
    head_too_long,
    too_many_headers,

    // Time (core/limits.hpp).
    connect_timeout,
    tls_timeout,
    handshake_timeout,
    pong_timeout,
    idle_timeout,
    life_timeout,
    write_timeout,
    close_timeout,
    call_timeout,

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
    deflate_answer_invalid,
    redirect_invalid,
    redirect_insecure,
    too_many_redirects,

    // A proxy on the way to the server (RFC 9110 9.3.6, RFC 1928).
    proxy_refused,
    proxy_authentication_required,
    proxy_authentication_failed,
    proxy_answer_invalid,

    // The TLS handshake, in either role (RFC 8446).
    tls_not_spoken,
    tls_version_unsupported,
    tls_certificate_mismatch,
    tls_certificate_expired,
    tls_certificate_untrusted,
    tls_certificate_required,
    tls_certificate_rejected,
    tls_handshake_failed, ///< for any other reason

    // The caller's faults: reported to the caller, never to the peer.
    url_invalid,
    url_scheme_unsupported,
    url_host_invalid,
    url_port_invalid,
    url_has_fragment,
    socket_path_invalid,
    proxy_url_invalid,
    proxy_scheme_unsupported,
    proxy_credentials_invalid,
    credentials_invalid,
    tls_not_available,
    tls_options_invalid,
    tls_certificate_invalid,
    tls_key_invalid,
    tls_key_mismatch,
    tls_ca_invalid,
    deflate_not_available,
    deflate_option_invalid,
    tls_not_loaded,
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
    tag_too_large,
    ping_payload_too_long,
    not_open,
    already_open,
    operation_pending,
    fragments_not_taken,

    // The end of a connection.
    closed,          ///< both sides sent Close: the orderly end
    connection_lost, ///< the transport ended without a closing handshake (1006)
    tls_truncated,   ///< and without TLS's own end, too: perhaps somebody cut it off
    tls_record_invalid,
    aborted,        ///< ended by this side without a closing handshake
    callback_threw, ///< an exception left one of the application's callbacks
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

} // namespace duplex

#include <duplex/core/detail/inlining.hpp>
#include <duplex/core/impl/explained.hpp>
#include <duplex/core/impl/explanations.hpp>

namespace duplex {

namespace detail {

[[nodiscard]] constexpr const explained& explained_row(errc e) noexcept {
    const auto index = static_cast<std::size_t>(e) - 1;
    return explanations[index < explanations.size() ? index : 0];
}

} // namespace detail

/// Everything there is to say about `e`: the one table of the library.
[[nodiscard]] constexpr explanation explain(errc e) noexcept {
    const auto& row = detail::explained_row(e);
    const std::string_view words{row.words};
    const auto text = words.find('|') + 1;
    const auto source = words.find('|', text) + 1;
    return {row.error,           words.substr(0, text - 1), row.group,
            row.close,           row.http_status,           words.substr(text, source - text - 1),
            words.substr(source)};
}

/// The code of the Close frame that answers `e` (RFC 6455 7.1.7); `no_status` where none is sent.
[[nodiscard]] constexpr close_code close_code_for(errc e) noexcept { return detail::explained_row(e).close; }

/// The HTTP status with which a server answers `e` while connecting; 0 where it answers nothing.
[[nodiscard]] constexpr unsigned http_status_for(errc e) noexcept {
    return detail::explained_row(e).http_status;
}

namespace detail {

class error_category final : public std::error_category {
public:
    [[nodiscard]] const char* name() const noexcept override { return "duplex"; }

    [[nodiscard]] DUPLEX_RARE std::string message(int value) const override {
        const auto row = explain(static_cast<errc>(value));
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
    return make_error_condition(explained_row(static_cast<errc>(value)).group);
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
