#pragma once

#include <duplex/core/close_code.hpp>
#include <duplex/core/endian.hpp>
#include <duplex/core/error.hpp>
#include <duplex/core/frame_header.hpp>
#include <duplex/core/utf8.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <system_error>

namespace duplex {

/// What the transport under a session has to do.
enum class transport_step : std::uint8_t {
    keep,      ///< nothing: go on reading and writing
    finish,    ///< once everything is written, end our direction, then wait for the peer to end
    await_end, ///< once everything is written, wait for the peer to end (RFC 6455 7.1.1: the server ends
               ///< first)
    abort,     ///< end now
};

/// What becomes of the messages that are queued when a connection is closed.
enum class close_how : std::uint8_t {
    after_queued, ///< they go first
    at_once,      ///< those that have not begun to leave are dropped
};

/// The longest reason of a Close frame, in bytes of UTF-8: 125 less the two of the code (RFC 6455 5.5.1).
inline constexpr std::size_t max_close_reason = max_control_payload - 2;

/// What a Close frame says (RFC 6455 5.5.1).
struct close_body {
    close_code code = close_code::no_status;
    std::string_view reason{}; ///< view into the parsed payload
    errc error{};              ///< set where the body breaks a rule
};

/// Reads the body of a received Close frame.
[[nodiscard]] inline close_body parse_close_body(std::span<const std::byte> payload) noexcept {
    // RFC 6455 7.1.5: no body means that no status code was received.
    if (payload.empty()) return {};
    // RFC 6455 5.5.1: a body begins with a two-byte code.
    if (payload.size() == 1) return {.error = errc::close_body_too_short};
    const auto code = load_big<std::uint16_t>(payload.data());
    // RFC 6455 7.4.1, 7.4.2: codes without a meaning on the wire.
    if (!may_travel(code)) return {.error = errc::close_code_invalid};
    const auto reason = payload.subspan(2);
    // RFC 6455 5.5.1: the reason is UTF-8.
    if (!is_valid_utf8(reason)) return {.error = errc::close_reason_not_utf8};
    return {.code = static_cast<close_code>(code),
            .reason = {reinterpret_cast<const char*>(reason.data()), reason.size()}};
}

/// The body of a Close frame to send; empty for `no_status`.
class encoded_close_body {
public:
    encoded_close_body(close_code code, std::string_view reason) noexcept {
        if (code == close_code::no_status) return;
        store_big(bytes_.data(), to_number(code));
        const std::size_t length = reason.size() < max_close_reason ? reason.size() : max_close_reason;
        if (length != 0) std::memcpy(bytes_.data() + 2, reason.data(), length);
        size_ = 2 + length;
    }

    [[nodiscard]] std::span<const std::byte> bytes() const noexcept { return {bytes_.data(), size_}; }

private:
    std::array<std::byte, max_control_payload> bytes_;
    std::size_t size_ = 0;
};

/// Checks what a caller wants to close with, before a byte of it is queued. `no_status` sends an empty body,
/// which has no room for a reason.
[[nodiscard]] inline std::error_code check_close(close_code code, std::string_view reason) noexcept {
    if (code == close_code::no_status ? !reason.empty() : !may_travel(code))
        return errc::close_code_not_allowed;
    if (reason.size() > max_close_reason) return errc::close_reason_too_long;
    if (!is_valid_utf8(reason)) return errc::text_not_utf8;
    return {};
}

/// The closing handshake (RFC 6455 7.1.2-7.1.4) as two facts: has each side's Close passed?
class closing {
public:
    enum class state : std::uint8_t {
        open,           ///< neither
        close_sent,     ///< ours is queued or sent, the peer's is awaited
        close_received, ///< never lasts: the answer is queued at once
        done,           ///< both
        failed,         ///< the connection broke; at most our Close goes out (RFC 6455 7.1.7)
    };

    [[nodiscard]] state now() const noexcept { return state_; }

    /// RFC 6455 5.5.1: after a Close frame no more data is sent.
    [[nodiscard]] bool may_send() const noexcept { return state_ == state::open; }

    /// Data is still delivered until the peer's Close has come.
    [[nodiscard]] bool may_receive() const noexcept {
        return state_ == state::open || state_ == state::close_sent;
    }

    /// RFC 6455 5.5.1: true when the Close just received still has to be answered; a Close is answered once.
    [[nodiscard]] bool close_received() noexcept {
        const bool answer = state_ == state::open;
        state_ = answer ? state::close_received : state::done;
        return answer;
    }

    void close_sent() noexcept { state_ = state_ == state::close_received ? state::done : state::close_sent; }

    void fail() noexcept { state_ = state::failed; }

private:
    state state_ = state::open;
};

} // namespace duplex
