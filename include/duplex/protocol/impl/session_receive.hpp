#pragma once

// The receiving half of session: frames to events (RFC 6455 5.4, 5.5, 5.6, 8.1).

#include <duplex/protocol/session.hpp>

namespace duplex {

/// Most messages are short and come whole: they are found here without the steps below. False where anything
/// else comes next.
inline bool session::next_short(event& found) noexcept {
    if (assembler_.in_message() || !closing_.may_receive() || deliver_fragments_) return false;
    frame_decoder::short_message message;
    if (!decoder_.take_short(message, assembler_.max_bytes())) return false;
    if (self_ == role::server) detail::mask_short(message.payload, message.key);
    if (message.op == opcode::text && !is_valid_utf8(message.payload)) [[unlikely]] {
        found = fail_now(errc::invalid_utf8);
        return true;
    }
    keepalive_.message_received(now_);
    found.what = event::kind::message;
    found.op = message.op;
    found.payload = message.payload;
    return true;
}

inline event session::next() noexcept {
    event found;
    if (at_.none()) [[likely]] {
        if (decoder_.unread() == 0 || next_short(found)) return found;
    }
    found = next_of_any_kind();
    return found;
}

inline event session::next_of_any_kind() noexcept {
    release_delivered();
    if (at_.failure_pending) [[unlikely]]
        return report_failure();
    for (;;) {
        // RFC 6455 5.5.1, 7.1.7: nothing that follows a Close or an error is looked at.
        if (!closing_.may_receive()) [[unlikely]] {
            decoder_.discard();
            return {};
        }
        if (!at_.in_frame) {
            const auto step = decoder_.next_header();
            if (step == frame_decoder::step::need_more) return {};
            if (step == frame_decoder::step::failed) [[unlikely]]
                return fail_now(decoder_.error());
            if (const errc broken = begin_frame(); broken != errc{}) [[unlikely]]
                return fail_now(broken);
            at_.in_frame = true;
        }
        if (at_.message_ready) [[unlikely]] {
            at_.message_ready = false;
            return end_frame({});
        }
        if (decoder_.remaining() != 0 && decoder_.unread() == 0) return {};
        if (is_control(decoder_.header().op)) {
            const std::size_t offset = decoder_.offset();
            auto piece = decoder_.take_payload();
            if (decoder_.header().masked) mask(piece, decoder_.header().key, offset);
            return take_control(piece);
        }

        const frame_header& header = decoder_.header();
        const std::size_t offset = decoder_.offset();
        const auto piece = decoder_.take_payload();
        const bool frame_ends = decoder_.remaining() == 0;
        const bool in_place =
            deliver_fragments_ || (frame_ends && header.fin && offset == 0 && assembler_.first_frame());
        const errc broken = in_place
                                ? assembler_.check_in_place(piece, header, offset, frame_ends && header.fin)
                                : assembler_.append(piece, header, offset, decoder_.remaining());
        if (broken != errc{}) [[unlikely]]
            return fail_now(broken);
        if (!frame_ends && !deliver_fragments_) return {};
        if (event found = end_frame(piece)) return found;
    }
}

/// A piece of a data frame is in place; with `remaining() == 0` the frame ends here.
inline event session::end_frame(std::span<std::byte> piece) noexcept {
    const bool frame_ends = decoder_.remaining() == 0;
    const bool message_ends = frame_ends && decoder_.header().fin;
    at_.in_frame = !frame_ends;
    if (deliver_fragments_) {
        if (piece.empty() && !message_ends) return {};
        if (message_ends) {
            assembler_.end_message();
            keepalive_.message_received(now_);
        }
        return {.what = event::kind::fragment, .op = assembler_.op(), .last = message_ends, .payload = piece};
    }
    if (!message_ends) return {};
    assembler_.end_message();
    keepalive_.message_received(now_);
    if (assembler_.holds_bytes()) {
        at_.message_delivered = true;
        piece = assembler_.bytes();
    }
    return {.what = event::kind::message, .op = assembler_.op(), .payload = piece};
}

inline void session::received_direct(std::size_t size) noexcept {
    if (size == 0) return;
    bytes_received();
    const std::size_t offset = decoder_.offset();
    decoder_.skip_payload(size);
    const frame_header& header = decoder_.header();
    const bool frame_ends = decoder_.remaining() == 0;
    const errc broken = assembler_.commit_direct(size, header, offset, frame_ends && header.fin);
    if (broken != errc{})
        fail(broken);
    else
        at_.message_ready = frame_ends;
}

inline errc session::begin_frame() noexcept {
    const frame_header& header = decoder_.header();
    return is_control(header.op) ? errc{} : assembler_.begin_frame(header);
}

/// RFC 6455 5.4: control frames may come between the fragments of a message; they are handled at once and
/// leave the message alone.
inline event session::take_control(std::span<std::byte> piece) noexcept {
    const opcode op = decoder_.header().op;
    if (decoder_.remaining() == 0 && !control_) [[likely]] {
        at_.in_frame = false;
        return on_control(op, piece);
    }
    if (!control_) control_.reset(new (std::nothrow) byte_buffer);
    if (!control_ || !control_->append(piece)) return fail_now(errc::out_of_memory);
    if (decoder_.remaining() != 0) return {};
    at_.in_frame = false;
    at_.control_delivered = true;
    return on_control(op, control_->bytes());
}

inline event session::on_control(opcode op, std::span<std::byte> payload) noexcept {
    if (op == opcode::close) return on_close(payload);
    if (op == opcode::pong) return {.what = event::kind::pong, .payload = payload};
    // RFC 6455 5.5.2: a Ping is answered with its own payload.
    if (may_answer_ping()) {
        frame_header header;
        const auto begun = begin_control(opcode::pong, payload.size(), header);
        if (begun != send_status::ok) return fail_now(begun);
        if (!queue_->push_pong(header, payload)) return fail_now(errc::out_of_memory);
    }
    return {.what = event::kind::ping, .payload = payload};
}

inline event session::on_close(std::span<std::byte> payload) noexcept {
    const close_body body = parse_close_body(payload);
    if (body.error != errc{}) return fail_now(body.error);
    decoder_.discard();
    assembler_.release();
    keepalive_.close_started(now_);
    // RFC 6455 5.5.1: answered with the same code, unless a Close was sent before.
    if (closing_.close_received()) {
        if (const auto pushed = push_close(body.code, {}); pushed != send_status::ok) return fail_now(pushed);
        closing_.close_sent();
    }
    return {.what = event::kind::closed,
            .code = body.code,
            .payload = payload.empty() ? payload : payload.subspan(2)};
}

inline void session::fail(errc why) noexcept {
    const auto before = closing_.now();
    if (before == closing::state::failed || before == closing::state::done) return;
    closing_.fail();
    error_ = why;
    at_.failure_pending = true;
    at_.in_frame = at_.message_ready = false;
    decoder_.discard();
    keepalive_.close_started(now_);
    // RFC 6455 7.1.7: a Close with the fitting code goes out, unless there is one already. What was sent
    // before goes first: it would have, had it been written at once.
    const close_code code = close_code_for(why);
    if (code == close_code::no_status)
        expired_ = true;
    else if (!close_pushed_)
        (void)push_close(code, {});
}

inline event session::fail_now(errc why) noexcept {
    fail(why);
    assembler_.release();
    return at_.failure_pending ? report_failure() : event{};
}

inline event session::report_failure() noexcept {
    at_.failure_pending = false;
    const close_code code = close_code_for(error_);
    return {.what = event::kind::failed,
            .error = error_,
            .code = code == close_code::no_status ? close_code::abnormal : code};
}

} // namespace duplex
