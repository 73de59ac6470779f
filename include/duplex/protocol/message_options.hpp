#pragma once

#include <duplex/protocol/event.hpp>

#include <chrono>
#include <cstdint>
#include <string_view>

namespace duplex {

/// What happens to a message for which the queue has no room (`limits::queue_bytes`,
/// `limits::queue_messages`). Of one sent from another thread the connection's own decides when it comes
/// there, by the same policy: `send` may have said `ok` to one that is dropped then. Only where four times as
/// much is on its way, is it refused at once whatever is said here.
enum class overflow : std::uint8_t {
    by_default,  ///< what the connection does (`session_options::when_full`)
    fail,        ///< it is refused: `send_status::queue_full`
    drop_newest, ///< it is dropped: `send_status::dropped`
    drop_oldest, ///< the oldest normal messages that have not begun to leave are dropped until it fits; where
                 ///< all of them would not be enough it is dropped itself
    close,       ///< the connection is closed with `session_options::overflow_code`
    wait,        ///< it is not taken: `send_status::would_wait`. For callers that can wait for room.
};

/// Which of the messages that have not begun to leave goes first. Within a priority the order is kept.
enum class message_priority : std::uint8_t {
    normal,
    urgent, ///< ahead of all normal ones; behind control frames
};

/// What a message to send may ask for. One that asks for nothing costs nothing.
struct message_options {
    compression how = compression::automatic;
    overflow when_full = overflow::by_default;
    /// Where so much time has passed before its first byte is handed on, the message is dropped. Zero: never;
    /// less: it is not to wait at all.
    std::chrono::milliseconds time_to_live{0};
    /// Of the messages with the same key the latest counts: one that has not begun to leave is replaced, in
    /// its place where both have the same priority. Zero: none.
    std::uint64_t key = 0;
    message_priority priority = message_priority::normal;
    /// Names the message to the one who wants to know its fate (`session::next_fate`), or to withdraw it.
    /// Zero: nobody does.
    std::uint64_t tag = 0;

    bool operator==(const message_options&) const = default;
};

/// Whether anything but the way it is compressed is asked for.
[[nodiscard]] constexpr bool asks_for_more(const message_options& options) noexcept {
    return options != message_options{.how = options.how};
}

/// What became of a message in the end.
enum class message_fate : std::uint8_t {
    written,  ///< the transport took all its bytes. Whether the peer read them only the peer can tell.
    dropped,  ///< there was no room for it, or the connection was closed without waiting for it
    replaced, ///< by a later message with the same key
    expired,  ///< its time to live was over before it began to leave
    lost,     ///< the connection ended before
};

[[nodiscard]] constexpr std::string_view to_string(message_fate fate) noexcept {
    switch (fate) {
    case message_fate::written: return "written";
    case message_fate::dropped: return "dropped";
    case message_fate::replaced: return "replaced";
    case message_fate::expired: return "expired";
    case message_fate::lost: return "lost";
    }
    return "unknown";
}

/// The fate of a message with a tag.
struct told_fate {
    std::uint64_t tag = 0;
    message_fate fate = message_fate::written;

    bool operator==(const told_fate&) const = default;
};

} // namespace duplex
