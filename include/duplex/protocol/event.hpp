#pragma once

#include <duplex/core/close_code.hpp>
#include <duplex/core/error.hpp>
#include <duplex/core/opcode.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <system_error>

namespace duplex {

/// What `session::next` found in the received bytes.
struct event {
    enum class kind : std::uint8_t {
        need_more, ///< everything received has been looked at
        message,   ///< a whole data message
        fragment,  ///< a piece of a data message, where the session delivers pieces
        ping,      ///< a Ping; its Pong is already queued
        pong,      ///< a Pong
        closed,    ///< the peer's Close; nothing follows
        failed,    ///< the connection is broken; nothing follows
    };

    kind what = kind::need_more;
    opcode op = opcode::binary; ///< message, fragment: text or binary
    bool last = true;           ///< fragment: it ends the message
    bool answered = false;      ///< closed: the peer's Close is the first, and ours the answer
    errc error{};               ///< failed: the rule that was broken
    /// closed: the peer's code, `no_status` where it gave none. failed: the code that is sent to the peer, or
    /// `abnormal` where none can be.
    close_code code = close_code::no_status;
    /// message, fragment, ping, pong: the payload; closed: the reason. Valid until the session is used again.
    std::span<std::byte> payload{};

    /// The payload as characters.
    [[nodiscard]] std::string_view text() const noexcept {
        return {reinterpret_cast<const char*>(payload.data()), payload.size()};
    }

    /// False for `need_more`: `while (auto e = session.next()) …`
    explicit operator bool() const noexcept { return what != kind::need_more; }
};

/// What became of a call to send. The first two mean that the message is queued.
enum class send_status : std::uint8_t {
    ok,
    above_watermark, ///< queued, and `limits::queue_watermark` is passed: better to wait for the queue to
                     ///< drain
    not_open,
    queue_full,
    text_not_utf8,
    opcode_not_data, ///< a message is text or binary
    control_payload_too_long,
    out_of_memory,
    no_random,     ///< the system gave no bytes for a masking key
    dropped,       ///< there is no room for it, and that is what was asked for then (`overflow`)
    would_wait,    ///< there is no room for it, and it was asked to wait for some: try again
    tag_too_large, ///< `message_options::tag` is 2^63 or more
};

/// Whether a message is compressed, where permessage-deflate was agreed (RFC 7692).
enum class compression : std::uint8_t {
    automatic, ///< where it is long enough, and gets shorter (`deflate_options`)
    none,      ///< it travels plain: it has been compressed before, or holds a secret next to a peer's words
    always,    ///< however short it is and whatever became of the last ones
};

/// What is known of a text to send. One that was received, or checked before, need not be looked at again.
enum class text_is : std::uint8_t { unchecked, utf8 };

/// True where the message was queued.
[[nodiscard]] constexpr bool accepted(send_status status) noexcept {
    return status == send_status::ok || status == send_status::above_watermark;
}

/// The error that `status` stands for; none where the message was queued.
[[nodiscard]] inline std::error_code to_error_code(send_status status) noexcept {
    switch (status) {
    case send_status::ok:
    case send_status::above_watermark: break;
    case send_status::not_open: return errc::not_open;
    case send_status::queue_full:
    case send_status::dropped:
    case send_status::would_wait: return errc::queue_full;
    case send_status::text_not_utf8: return errc::text_not_utf8;
    case send_status::opcode_not_data: return errc::opcode_not_data;
    case send_status::control_payload_too_long: return errc::ping_payload_too_long;
    case send_status::out_of_memory: return errc::out_of_memory;
    case send_status::no_random: return errc::random_source_failed;
    case send_status::tag_too_large: return errc::tag_too_large;
    }
    return {};
}

} // namespace duplex
