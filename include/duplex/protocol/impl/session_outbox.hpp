#pragma once

// Messages that wait their turn: which of them may, what happens where there is no room, and how they get
// into the send queue (RFC 6455 5.4, 5.5.1).

#include <duplex/core/detail/inlining.hpp>
#include <duplex/protocol/session.hpp>

namespace duplex {

inline send_status session::check_message(opcode op, std::span<const std::byte> payload,
                                          text_is text) const noexcept {
    if (!closing_.may_send()) return send_status::not_open;
    if (op != opcode::text && op != opcode::binary) return send_status::opcode_not_data;
    if (op == opcode::text && text == text_is::unchecked && options_->check_outgoing_text &&
        !is_valid_utf8(payload))
        return send_status::text_not_utf8;
    return send_status::ok;
}

inline outgoing session::to_send(const prepared_message& message) noexcept {
    return {.op = message.op(), .how = message.how(), .payload = message.payload(), .prepared = &message};
}

DUPLEX_NEVER_INLINE inline send_status
session::send_with(const outgoing& message, const message_options& options, text_is text) noexcept {
    if (const auto status = check_message(message.op, message.payload, text); status != send_status::ok)
        return status;
    if (asks_for_more(options)) in_the_way_ |= messages_held;
    if (holds_back()) return send_in_turn(message, options);
    const auto status = admit(message.payload.size());
    return status == send_status::ok ? push_message(message) : status;
}

DUPLEX_RARE inline send_status session::send_in_turn(opcode op, std::span<const std::byte> payload,
                                                     compression how, text_is text) noexcept {
    return send_with({.op = op, .how = how, .payload = payload}, {.how = how}, text);
}

DUPLEX_RARE inline send_status session::send_in_turn(opcode op, byte_buffer& payload, compression how,
                                                     text_is text) noexcept {
    return send_with({.op = op, .how = how, .payload = payload.bytes(), .own = &payload}, {.how = how}, text);
}

inline send_status session::send(const prepared_message& message, const message_options& options) noexcept {
    if (!message) return message.why_not();
    return send_with(to_send(message), options, text_is::utf8);
}

/// A message or fragment that has been checked.
inline send_status session::send_in_turn(const outgoing& message, const message_options& options) noexcept {
    if (turns() != nullptr && now_ >= turns()->earliest()) {
        // What is past its time takes no room.
        turns_changed();
        if (!closing_.may_send()) return send_status::not_open;
    }
    if (options_->budget && !open_queue()) return send_status::out_of_memory;
    const std::size_t size = message.payload.size();
    outbox::item* const old =
        turns() != nullptr && options.key != 0 ? turns()->with_key(options.key) : nullptr;
    const bool at_once = is_next(message) && may_hand_on(size) && !is_too_long(size, message.fragment);
    const std::size_t before = queued() - (old != nullptr ? old->framed : 0);
    const std::size_t waiting = turns() != nullptr ? turns()->count() - (old != nullptr ? 1 : 0) : 0;
    const std::size_t framed = size + frame_header_size(size, self_ == role::client);
    bool others_have_it = false; ///< what it lacks is not room of its own
    const auto room = [&](std::size_t less_bytes, std::size_t less_messages) {
        const bool own_room = fits(before - less_bytes, size) &&
                              (at_once || waiting - less_messages < options_->limits.queue_messages);
        if (!own_room && !admits_all_) return false;
        others_have_it = !affords(before - less_bytes + framed);
        return !others_have_it;
    };
    std::size_t to_drop = 0;
    // What waits for the end of a message in pieces must not keep it from ending.
    const auto has_room = [&] {
        if (room(0, 0)) return true;
        if (!message.fragment || message.first || turns() == nullptr) return false;
        const auto [bytes, messages] = turns()->waiting_behind_fragments(begun_unfinished_);
        return messages != 0 && room(bytes, messages);
    };
    if (!has_room()) {
        switch (when_full(options)) {
        case overflow::wait:
            // However few bytes there are: low water is when to try again.
            if (!others_have_it || queued() != 0) was_above_ = watches_writes_ = true;
            if (others_have_it && !ask_again_later()) return send_status::out_of_memory;
            return send_status::would_wait;
        case overflow::close: close_for_overflow(); return send_status::queue_full;
        case overflow::drop_oldest:
            // The fragments of one message belong together: none of them is dropped, or drops others.
            if (message.fragment) return send_status::queue_full;
            if (turns() != nullptr) to_drop = turns()->droppable(room, old);
            if (to_drop == 0) return drop_newest(options);
            break;
        case overflow::drop_newest: return message.fragment ? send_status::queue_full : drop_newest(options);
        default: return send_status::queue_full;
        }
    }
    if (!open_queue()) return send_status::out_of_memory;
    const auto status =
        at_once ? push_at_once(message, options) : put_in_outbox(message, options, old, to_drop);
    // What it is cut into, or shrinks to, may be more or less than itself.
    charge_output();
    return status;
}

inline send_status session::push_at_once(const outgoing& message, const message_options& options) noexcept {
    outbox::item_ptr told;
    if (options.tag != 0) {
        if (!open_outbox()) return send_status::out_of_memory;
        told = turns()->make({.tag = options.tag}, now_);
        if (!told) return send_status::out_of_memory;
    }
    const auto status = push_message(message);
    if (accepted(status)) {
        if (told) turns()->leaves(std::move(told), data_pushed());
    } else if (is_broken_without(message)) {
        fail(errc::out_of_memory);
    }
    return status;
}

/// Puts it behind the others, or in the place of `old`, once `to_drop` of them are gone. Where memory runs
/// out nothing has changed.
inline send_status session::put_in_outbox(const outgoing& message, const message_options& options,
                                          outbox::item* old, std::size_t to_drop) noexcept {
    if (!open_outbox()) return send_status::out_of_memory;
    // While one waits the others wait behind it, also where it only waits for the end of a message in pieces.
    in_the_way_ |= messages_held;
    auto made = turns()->make(options, now_);
    if (!made || !made->keep(message)) return send_status::out_of_memory;
    if (message.own != nullptr) made->take(std::move(*message.own));
    outbox::item& added = *made;
    turns()->drop_oldest(to_drop, old);
    if (old != nullptr)
        turns()->replace(*old, std::move(made));
    else
        turns()->put(std::move(made));
    if (added.expires != no_deadline) deadline_closer_ = true;
    const auto status = hand_on_what_fits();
    if (!accepted(status)) [[unlikely]] {
        if (!closing_.may_send()) return status;
        if (queue_->data_bytes() == 0) {
            // Nothing else waits, or it would have been handed on before: the message is refused.
            const auto refused = turns()->take_back(added);
            if (message.own != nullptr) *message.own = std::move(refused->own);
            queue_->count_waiting(turns()->bytes());
            return status;
        }
    }
    return admitted();
}

inline send_status session::drop_newest(const message_options& options) noexcept {
    if (options.tag == 0) return send_status::dropped;
    auto told = open_outbox() ? turns()->make({.tag = options.tag}, now_) : nullptr;
    if (!told) return send_status::out_of_memory;
    turns()->tell(std::move(told), message_fate::dropped);
    return send_status::dropped;
}

DUPLEX_RARE inline void session::close_for_overflow() noexcept {
    error_ = errc::queue_full;
    const auto code = options_->overflow_code;
    if (close_now(may_travel(code) ? code : close_code::policy_violation, "queue full"))
        fail(errc::queue_full);
}

/// Whether no message is to be handed on before this one. RFC 6455 5.4: the fragments of one message are not
/// interleaved with another message.
inline bool session::is_next(const outgoing& message) const noexcept {
    if (message.fragment && !message.first) return turns() == nullptr || !turns()->has_fragments();
    return (in_the_way_ & message_unfinished) == 0 && (turns() == nullptr || turns()->empty());
}

/// Whether a message is cut into frames on its way.
inline bool session::is_too_long(std::size_t size, bool fragment) const noexcept {
    return !fragment && options_->fragment_bytes != 0 && size > options_->fragment_bytes;
}

/// Whether a frame with so much payload may go to the queue now.
inline bool session::may_hand_on(std::size_t size) const noexcept {
    const std::size_t committed = queue_ ? queue_->data_bytes() : 0;
    const std::size_t limit = options_->limits.commit_bytes;
    return committed == 0 || (size <= limit && committed <= limit - size &&
                              frame_header_size(size, self_ == role::client) <= limit - size - committed);
}

inline bool session::open_outbox() noexcept {
    outbox* const opened = open_turns(self_ == role::client);
    watches_writes_ = watches_writes_ || opened != nullptr;
    return opened != nullptr;
}

/// Moves to the queue what there is room for, and the Close behind the last message. What finds no memory
/// stays where it is, and the others behind it.
inline send_status session::hand_on_what_fits() noexcept {
    (void)turns()->expire(now_);
    queue_->count_waiting(0);
    // Something begins to wait for the transport.
    if (queue_->empty()) keepalive_.write_progress(now_);
    auto status = send_status::ok;
    while (outbox::item* const next = turns()->next(now_)) {
        if (begun_unfinished_ && !next->continues()) break;
        const auto handed_on = hand_on(*next);
        if (!handed_on) break;
        status = *handed_on;
        if (accepted(status)) continue;
        if (is_broken_without(next->what)) {
            fail(errc::out_of_memory);
            return send_status::not_open;
        }
        break;
    }
    if (const auto* const body = turns()->waiting_close(); body != nullptr && turns()->empty()) {
        status = push_close(body->bytes());
        if (status == send_status::ok) turns()->close_handed_on();
    }
    queue_->count_waiting(turns()->bytes());
    return status;
}

/// Moves one message or frame to the queue; nothing where it has to wait.
DUPLEX_RARE inline std::optional<send_status> session::hand_on(outbox::item& next) noexcept {
    const outgoing rest = next.rest();
    const std::size_t left = rest.payload.size();
    const bool may_shrink = packer() != nullptr && !next.begun() && rest.how != compression::none;
    const bool cut = next.begun() || is_too_long(left, rest.fragment);
    const std::size_t part = cut ? std::min(left, options_->fragment_bytes) : left;
    if (!may_hand_on(may_shrink ? left : part)) return {};
    if (!cut || may_shrink) {
        const std::optional<send_status> status = cut ? push_smaller(rest) : push_message(rest);
        if (status) {
            if (accepted(*status)) turns()->handed_on(next, data_pushed());
            return status;
        }
    }
    const opcode op = next.begun() ? opcode::continuation : rest.op;
    const auto status = push_frame(op, part == left, part, [&](const frame_header& header) {
        return queue_->push_copy(header, rest.payload.first(part));
    });
    if (!accepted(status)) return status;
    if (part == left)
        turns()->handed_on(next, data_pushed());
    else
        turns()->advance(next, part);
    return status;
}

/// What was admitted, as it is best sent.
DUPLEX_RARE inline send_status session::push_message(const outgoing& message) noexcept {
    if (message.fragment) return push_fragment(message);
    if (const auto status = push_smaller(message)) return *status;
    if (message.prepared != nullptr && self_ == role::server) return push_prepared(*message.prepared);
    return push_plain(message.op, true, message);
}

/// The same compressed, where that makes it shorter.
DUPLEX_NEVER_INLINE inline std::optional<send_status>
session::push_smaller(const outgoing& message) noexcept {
    if (packer() == nullptr) return {};
    if (message.prepared != nullptr && self_ == role::server) {
        const auto* const twin = message.prepared->compressed_for(*packer());
        if (twin == nullptr) return {};
        return push_twin(*twin, message.payload.size());
    }
    byte_buffer smaller;
    if (!compresses(message.how, message.payload.size()) || !shrink(message.payload, smaller)) return {};
    return push_compressed(message.op, true, message.payload.size(), std::move(smaller));
}

DUPLEX_RARE inline send_status session::push_plain(opcode op, bool fin, const outgoing& message) noexcept {
    return push_frame(op, fin, message.payload.size(), [&](const frame_header& header) {
        return message.own != nullptr ? queue_->push_owned(header, std::move(*message.own))
                                      : queue_->push_copy(header, message.payload);
    });
}

DUPLEX_RARE inline send_status session::push_fragment(const outgoing& piece) noexcept {
    const bool compressed = piece.first ? compresses(piece.how, piece.payload.size()) : outgoing_compressed_;
    const opcode op = piece.first ? piece.op : opcode::continuation;
    auto status = send_status::out_of_memory;
    if (!compressed) {
        status = push_plain(op, piece.last, piece);
    } else {
        byte_buffer smaller;
        if (packer()->compress(piece.payload, piece.last, smaller))
            status = push_compressed(op, piece.last, piece.payload.size(), std::move(smaller), piece.first);
        else
            packer()->discard();
    }
    if (accepted(status)) {
        outgoing_compressed_ = compressed;
        begun_unfinished_ = !piece.last;
    }
    return status;
}

/// Half a compressed message can't be continued: what has been sent of it would not be understood.
inline bool session::is_broken_without(const outgoing& piece) const noexcept {
    return piece.fragment && !piece.first && outgoing_compressed_;
}

/// Some have left, or gone: others may be next.
DUPLEX_NEVER_INLINE inline void session::turns_changed() noexcept {
    if (queue_) {
        const auto status = hand_on_what_fits();
        if (!accepted(status) && closing_.now() != closing::state::failed && queue_->data_bytes() == 0)
            [[unlikely]] {
            // Nothing is left to write: no write would come to try again after.
            fail(errc_of(to_error_code(status), errc::out_of_memory));
            lose_waiting(message_fate::lost);
            if (closing_.now() == closing::state::done) expired_ = true;
        }
        charge_output();
        look_for_low_water();
    }
    if (turns()->asks_again(now_)) low_water_ = true;
    if (turns()->idle()) close_turns();
}

inline void session::lose_waiting(message_fate fate) noexcept {
    turns()->end_waiting(fate);
    if (!queue_) return;
    queue_->count_waiting(0);
    charge_output();
    look_for_low_water();
}

inline void session::look_for_low_water() noexcept {
    if (!was_above_ || !below_low_watermark()) return;
    was_above_ = false;
    low_water_ = true;
}

/// What comes of it that the transport took bytes.
DUPLEX_NEVER_INLINE inline void session::after_write() noexcept {
    if (keepalive_.ping_pending()) look_for_ping();
    if (turns() != nullptr) {
        turns()->written(data_written());
        turns_changed();
    }
    charge_output();
    look_for_low_water();
    watches_writes_ = keepalive_.ping_pending() || turns() != nullptr || was_above_ || no_room_ ||
                      tap() != nullptr || (in_the_way_ & output_charged) != 0;
    // Somebody wants to be told, or to send what there is room for now.
    if (turns() != nullptr || low_water_) deadline_closer_ = true;
}

inline bool session::withdraw(std::uint64_t tag) noexcept {
    if (tag == 0 || turns() == nullptr || !turns()->withdraw(tag)) return false;
    turns_changed();
    return true;
}

inline std::optional<told_fate> session::next_fate() noexcept {
    if (turns() == nullptr) return {};
    const auto told = turns()->next_fate();
    if (turns()->idle()) close_turns();
    return told;
}

} // namespace duplex
