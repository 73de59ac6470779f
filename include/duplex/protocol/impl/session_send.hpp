#pragma once

// The sending half of session: messages to frames, the closing handshake, time (RFC 6455 5.1, 5.5, 7.1).

#include <duplex/core/detail/inlining.hpp>
#include <duplex/protocol/session.hpp>

namespace duplex {

/// Most messages are small, and most of a server's frames plain: where nothing stands in the way, such a
/// message just goes behind the others. False, and nothing done, where anything does.
DUPLEX_ALWAYS_INLINE bool session::send_small(opcode op, std::span<const std::byte> payload,
                                              text_is text) noexcept {
    if (!queue_ || !frames_plainly_) return false;
    if (!closing_.may_send() || in_the_way_ != 0) return false;
    if (op != opcode::binary && (op != opcode::text || text == text_is::unchecked)) return false;
    const std::size_t before = queue_->bytes();
    if (before + send_queue::small_header + payload.size() > options_.quiet_bytes()) return false;
    if (before == 0) keepalive_.write_progress(now_);
    if (!queue_->push_small(op, payload)) return false;
    count_message_out();
    return true;
}

DUPLEX_NEVER_INLINE inline send_status session::send_copy(opcode op, std::span<const std::byte> payload,
                                                          text_is text, compression how) noexcept {
    return send_data(op, text, how, payload,
                     [&](const frame_header& header) { return queue_->push_copy(header, payload); });
}

template <class Push>
inline send_status session::send_data(opcode op, text_is text, compression how,
                                      std::span<const std::byte> payload, Push push,
                                      byte_buffer* own) noexcept {
    if (!closing_.may_send()) return send_status::not_open;
    if (op != opcode::text && op != opcode::binary) return send_status::opcode_not_data;
    if ((in_the_way_ & (message_unfinished | messages_held)) != 0) [[unlikely]]
        return own != nullptr ? send_in_turn(op, *own, how, text) : send_in_turn(op, payload, how, text);
    if (op == opcode::text && text == text_is::unchecked && options_->check_outgoing_text &&
        !is_valid_utf8(payload))
        return send_status::text_not_utf8;
    if (compresses(how, payload.size())) {
        // What is not going to be queued must not enter the window that the peer shares.
        if (const auto status = admit(payload.size()); status != send_status::ok) return status;
        if (byte_buffer smaller; shrink(payload, smaller))
            return push_compressed(op, true, payload.size(), std::move(smaller));
    }
    return send_frame(op, true, payload.size(), push);
}

template <class Push>
inline send_status session::send_frame(opcode op, bool fin, std::size_t size, Push push) noexcept {
    const auto status = admit(size);
    return status == send_status::ok ? push_frame(op, fin, size, push) : status;
}

/// A frame that was admitted.
template <class Push>
inline send_status session::push_frame(opcode op, bool fin, std::size_t size, Push push,
                                       std::uint8_t rsv) noexcept {
    frame_header header;
    if (!make_header(op, fin, size, header)) return not_pushed(send_status::no_random);
    header.rsv = rsv;
    if (!push(header)) return not_pushed(send_status::out_of_memory);
    count_frame_out(fin);
    return admitted();
}

inline bool session::compresses(compression how, std::size_t size) noexcept {
    if (packer() == nullptr || how == compression::none) return false;
    return how == compression::always || packer()->worth_trying(size);
}

/// Whether the payload gets shorter; if it doesn't it travels plain, and the peer's window never sees it (RFC
/// 7692 6: an endpoint chooses message by message).
DUPLEX_NEVER_INLINE inline bool session::shrink(std::span<const std::byte> payload,
                                                byte_buffer& smaller) noexcept {
    if (packer()->compress(payload, true, smaller) && smaller.size() < payload.size()) return true;
    packer()->discard();
    return false;
}

inline send_status session::push_compressed(opcode op, bool fin, std::size_t plain, byte_buffer&& compressed,
                                            bool first) noexcept {
    const std::size_t size = compressed.size();
    const auto status = push_frame(
        op, fin, compressed.size(),
        [&](const frame_header& header) { return queue_->push_owned(header, std::move(compressed)); },
        first ? rsv_compressed : std::uint8_t{0});
    if (!accepted(status)) {
        packer()->discard();
    } else {
        packer()->counts.deflated_out += size;
        packer()->counts.inflated_out += plain;
    }
    return status;
}

inline send_status session::push_prepared(const prepared_message& message) noexcept {
    if (!queue_->push_prepared(message)) return not_pushed(send_status::out_of_memory);
    count_message_out();
    return admitted();
}

/// What a message was compressed to apart from the codec.
inline send_status session::push_twin(const prepared_message& twin, std::size_t plain) noexcept {
    // The peer's window holds it from now on, and ours doesn't.
    packer()->discard();
    const auto status = push_prepared(twin);
    if (accepted(status)) {
        packer()->counts.deflated_out += twin.payload().size();
        packer()->counts.inflated_out += plain;
    }
    return status;
}

/// Whether so many bytes more may be queued, and a queue to take them.
DUPLEX_ALWAYS_INLINE send_status session::admit(std::size_t size) noexcept {
    const std::size_t quiet = options_.quiet_bytes();
    if (size > quiet || queued() > quiet - size || (in_the_way_ & output_charged) != 0) [[unlikely]]
        return admit_charged(size);
    return open_queue() ? send_status::ok : send_status::out_of_memory;
}

inline send_status session::admitted() noexcept {
    if (queue_->bytes() <= options_->limits.queue_watermark) return send_status::ok;
    was_above_ = watches_writes_ = true;
    return send_status::above_watermark;
}

inline send_status session::send(opcode op, byte_buffer&& payload, text_is text, compression how) noexcept {
    return send_data(
        op, text, how, payload.bytes(),
        [&](const frame_header& header) { return queue_->push_owned(header, std::move(payload)); }, &payload);
}

inline send_status session::send_parts(opcode op, std::span<const std::span<const std::byte>> parts,
                                       text_is text) noexcept {
    if (!closing_.may_send()) return send_status::not_open;
    if (op != opcode::text && op != opcode::binary) return send_status::opcode_not_data;
    const bool check = op == opcode::text && text == text_is::unchecked && options_->check_outgoing_text;
    utf8_validator checked;
    std::size_t total = 0;
    for (const auto part : parts) {
        // The same memory may be named more than once.
        if (part.size() > static_cast<std::size_t>(-1) - total) return send_status::queue_full;
        total += part.size();
        if (check && !checked.feed(part)) return send_status::text_not_utf8;
    }
    if (check && !checked.complete()) return send_status::text_not_utf8;
    if (in_the_way_ == 0 && packer() == nullptr && total < send_queue::reference_threshold)
        return send_frame(op, true, total,
                          [&](const frame_header& header) { return queue_->push_parts(header, parts); });
    if (in_the_way_ == 0)
        if (const auto status = admit(total); status != send_status::ok) return status;
    byte_buffer whole;
    return whole.append_all(parts) ? send(op, std::move(whole), text_is::utf8) : send_status::out_of_memory;
}

inline send_status session::send_borrowed(opcode op, std::span<const std::byte> payload,
                                          text_is text) noexcept {
    if (self_ == role::client || payload.size() < send_queue::reference_threshold)
        return send(op, payload, text);
    return send_data(op, text, compression::automatic, payload,
                     [&](const frame_header& header) { return queue_->push_borrowed(header, payload); });
}

inline send_status session::send_back(opcode op, std::span<const std::byte> payload, text_is text) noexcept {
    const auto assembled = receiving_ ? receiving_->assembler.bytes() : std::span<std::byte>{};
    // A client would mask it where it lies, under the eyes of the one who reads it.
    if (assembled.empty() || !receiving_->message_delivered || self_ == role::client ||
        payload.data() != assembled.data() || payload.size() != assembled.size() ||
        payload.size() < send_queue::reference_threshold)
        return send(op, payload, text);
    return send_data(op, text, compression::automatic, payload,
                     [&](const frame_header& header) { return queue_->push_borrowed(header, payload); });
}

inline send_status session::send(const prepared_message& message) noexcept {
    if (!message) return message.why_not();
    // Its text was checked when it was made.
    const auto payload = message.payload();
    if (self_ == role::client)
        return send_data(message.op(), text_is::utf8, message.how(), payload,
                         [&](const frame_header& header) { return queue_->push_copy(header, payload); });
    if (!closing_.may_send()) return send_status::not_open;
    if ((in_the_way_ & (message_unfinished | messages_held)) != 0) [[unlikely]]
        return send_with(to_send(message), {}, text_is::utf8);
    if (const auto status = admit(payload.size()); status != send_status::ok) return status;
    if (const auto* const twin = packer() != nullptr ? message.compressed_for(*packer()) : nullptr)
        return push_twin(*twin, payload.size());
    return push_prepared(message);
}

inline send_status session::send_fragment(opcode op, std::span<const std::byte> payload, bool last,
                                          compression how) noexcept {
    if (!closing_.may_send()) return send_status::not_open;
    const bool first = (in_the_way_ & message_unfinished) == 0;
    if (first) {
        if (op != opcode::text && op != opcode::binary) return send_status::opcode_not_data;
        outgoing_text_ = op == opcode::text;
        outgoing_utf8_.reset();
    }
    // RFC 6455 5.6: the whole message is UTF-8, so a code point may be cut between fragments.
    auto checked = outgoing_utf8_;
    if (outgoing_text_ && options_->check_outgoing_text &&
        (!checked.feed(payload) || (last && !checked.complete())))
        return send_status::text_not_utf8;
    const outgoing piece{
        .op = op, .how = how, .fragment = true, .first = first, .last = last, .payload = payload};
    send_status status{};
    if ((in_the_way_ & messages_held) != 0) {
        status = send_in_turn(piece, {});
    } else if (status = admit(payload.size()); status == send_status::ok) {
        status = push_fragment(piece);
        if (!accepted(status) && is_broken_without(piece)) fail(errc::out_of_memory);
    }
    if (accepted(status)) {
        outgoing_utf8_ = checked;
        in_the_way_ = static_cast<std::uint8_t>((in_the_way_ & (messages_held | output_charged)) |
                                                (last ? 0 : message_unfinished));
        // Those that waited for its end may be next.
        if (last && turns() != nullptr) turns_changed();
    }
    return status;
}

inline send_status session::send_control(opcode op, std::span<const std::byte> payload) noexcept {
    if (!closing_.may_send()) return send_status::not_open;
    if (payload.size() > max_control_payload) return send_status::control_payload_too_long;
    frame_header header;
    const auto begun = begin_control(op, payload.size(), header);
    if (begun != send_status::ok) return begun;
    if (!queue_->open_control()) return send_status::out_of_memory;
    if (!queue_->push_control(header, payload)) return send_status::queue_full;
    count_control(op == opcode::pong ? pong_out : ping_out);
    return send_status::ok;
}

DUPLEX_RARE inline std::error_code session::close(close_code code, std::string_view reason) noexcept {
    if (const auto error = check_close(code, reason)) return error;
    if (!closing_.may_send()) {
        // RFC 6455 5.5.1: one Close is enough.
        return closing_.now() == closing::state::failed ? make_error_code(errc::not_open) : std::error_code{};
    }
    if (const auto queued = queue_close(code, reason); queued != send_status::ok)
        return to_error_code(queued);
    closing_.close_sent();
    keepalive_.close_started(now_);
    return {};
}

DUPLEX_RARE inline std::error_code session::close_now(close_code code, std::string_view reason) noexcept {
    if (turns() == nullptr || close_pushed_) return close(code, reason);
    if (const auto error = check_close(code, reason)) return error;
    if (closing_.now() == closing::state::failed) return errc::not_open;
    // Not before it is certain that the Close takes their place.
    const encoded_close_body body{code, reason};
    if (const auto pushed = push_close(body.bytes()); pushed != send_status::ok) return to_error_code(pushed);
    lose_waiting(message_fate::dropped);
    if (closing_.may_send()) closing_.close_sent();
    keepalive_.close_started(now_);
    return {};
}

/// The Close stands behind all that was sent so far, which arrives (RFC 6455 7.1.2).
DUPLEX_RARE inline send_status session::queue_close(close_code code, std::string_view reason) noexcept {
    const encoded_close_body body{code, reason};
    // What waits for the end of a message in pieces waits for ever: nothing follows a Close.
    if (turns() != nullptr && (in_the_way_ & message_unfinished) != 0) {
        turns()->drop_behind_fragments(begun_unfinished_);
        if (queue_) queue_->count_waiting(turns()->bytes());
    }
    if (turns() == nullptr || turns()->empty()) return push_close(body.bytes());
    turns()->put_close(body);
    queue_->count_waiting(turns()->bytes());
    return send_status::ok;
}

DUPLEX_RARE inline send_status session::push_close(std::span<const std::byte> body) noexcept {
    frame_header header;
    const auto begun = begin_control(opcode::close, body.size(), header);
    if (begun != send_status::ok) return begun;
    queue_->notes.close_begin = data_pushed();
    close_pushed_ = queue_->push_copy(header, body);
    return close_pushed_ ? send_status::ok : send_status::out_of_memory;
}

/// A queue, and the header of a control frame for it.
inline send_status session::begin_control(opcode op, std::size_t length, frame_header& out) noexcept {
    if (!open_queue()) return send_status::out_of_memory;
    return make_header(op, true, length, out) ? send_status::ok : send_status::no_random;
}

/// False: the system gave no bytes for a masking key.
inline bool session::make_header(opcode op, bool fin, std::size_t length, frame_header& out) noexcept {
    out.fin = fin;
    out.op = op;
    out.length = length;
    // RFC 6455 5.1, 5.3: a client masks every frame with a fresh, unpredictable key.
    out.masked = self_ == role::client;
    return !out.masked || random_mask_key(out.key);
}

/// False: memory ran out.
DUPLEX_ALWAYS_INLINE bool session::open_queue() noexcept {
    if (!queue_) [[unlikely]]
        if (!make_queue()) return false;
    // Something begins to wait for the transport.
    if (!queue_->has_output()) keepalive_.write_progress(now_);
    return true;
}

DUPLEX_NEVER_INLINE inline bool session::make_queue() noexcept {
    queue_.reset(new (std::nothrow) send_queue);
    if (queue_) queue_->resume_counts(data_count_, control_count_);
    return queue_ != nullptr;
}

/// Gives what was sent by reference memory of its own.
inline void session::keep_borrowed() noexcept {
    bool kept = true;
    if (receiving_ && receiving_->message_delivered) {
        receiving_->message_delivered = false;
        kept = queue_->adopt(receiving_->take_message(options_->budget));
    }
    if (!queue_->settle() || !kept) [[unlikely]] {
        // What was borrowed and could not be copied is gone: nothing can be written any more.
        fail(errc::out_of_memory);
        expired_ = true;
    }
}

/// Whether the keepalive Ping has left, or what left it no room.
inline void session::look_for_ping() noexcept {
    if (queue_->control_written() < queue_->notes.ping_end) return;
    if (ping_refused_)
        keepalive_.ping_put_off();
    else
        keepalive_.ping_written(now_);
    deadline_closer_ = true;
}

DUPLEX_RARE inline void session::on_time(time_point now, bool listening) noexcept {
    now_ = now;
    if (tap() != nullptr) tap()->timed(now, listening);
    if (turns() != nullptr) turns_changed();
    using action = keepalive::action;
    switch (keepalive_.due(options_->timeouts, now, queue_ && queue_->has_output())) {
    case action::none: break;
    case action::send_ping:
        ping_refused_ = ping({}) != send_status::ok;
        if (ping_refused_ && control_pushed() == control_written()) {
            keepalive_.ping_skipped(now);
            break;
        }
        keepalive_.ping_queued();
        watches_writes_ = true;
        queue_->notes.ping_end = control_pushed();
        break;
    case action::fail_pong:
        if (listening)
            fail(errc::pong_timeout);
        else
            keepalive_.ping_skipped(now);
        break;
    case action::fail_write: fail(errc::write_timeout); break;
    case action::close_idle:
        error_ = errc::idle_timeout;
        (void)close(close_code::going_away, "idle");
        break;
    case action::close_life:
        error_ = errc::life_timeout;
        (void)close(may_travel(options_->life_code) ? options_->life_code : close_code::going_away,
                    "end of life");
        break;
    case action::fail_close:
        if (closing_.now() == closing::state::close_sent) {
            // Where there was a cause to close it says more.
            const errc cause = error_;
            fail(errc::close_timeout);
            if (cause != errc::closed) error_ = cause;
        }
        expired_ = true;
        break;
    }
}

} // namespace duplex
