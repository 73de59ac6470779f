#pragma once

// The receiving half of session: frames to events (RFC 6455 5.4, 5.5, 5.6, 8.1).

#include <duplex/core/detail/inlining.hpp>
#include <duplex/protocol/session.hpp>

namespace duplex {

/// Most messages come whole: they are found here without the steps below. False where anything else comes
/// next.
DUPLEX_ALWAYS_INLINE bool session::next_whole(event& found) noexcept {
    if (!closing_.may_receive() || options_->deliver_fragments) return false;
    frame_decoder::whole_message message;
    if (!frame_decoder::take_whole(self_, window_, message, options_->limits.message_bytes)) return false;
    if (self_ == role::server) detail::mask_short(message.payload, message.key);
    if (message.op == opcode::text && !is_valid_utf8(message.payload)) [[unlikely]] {
        found = fail_now(errc::invalid_utf8);
        return true;
    }
    keepalive_.message_received(now_);
    count_message_in();
    found.what = event::kind::message;
    found.op = message.op;
    found.payload = message.payload;
    return true;
}

DUPLEX_NEVER_INLINE inline event session::next() noexcept { return next_in_line(); }

DUPLEX_ALWAYS_INLINE event session::next_in_line() noexcept {
    event found;
    if (!receiving_ && !failure_pending_) [[likely]] {
        if (window_.empty() || next_whole(found)) return found;
    }
    found = next_of_any_kind();
    return found;
}

DUPLEX_NEVER_INLINE inline event session::next_of_any_kind() noexcept {
    if (receiving_) release_delivered();
    if (failure_pending_) [[unlikely]]
        return report_failure();
    // RFC 6455 5.5.1, 7.1.7: nothing that follows a Close or an error is looked at.
    if (!closing_.may_receive()) [[unlikely]] {
        window_ = {};
        return {};
    }
    if (!receiving_) {
        if (window_.empty()) return {};
        receiving_ = detail::begin_receiving(self_, options_->limits, options_->budget,
                                             packer() != nullptr ? rsv_compressed : std::uint8_t{0});
        if (!receiving_) [[unlikely]]
            return fail_now(errc::out_of_memory);
    }
    detail::receiving& in = *receiving_;
    in.decoder.lend(window_);
    const event found = next_in(in);
    // Nothing is left of a window in which a Close or an error was found.
    window_ = closing_.may_receive() ? in.decoder.unread_bytes() : std::span<std::byte>{};
    if (in.idle() || (!closing_.may_receive() && !in.control_delivered && !in.observed)) receiving_.reset();
    return found;
}

/// Finds the next event in the decoder's window.
inline event session::next_in(detail::receiving& in) noexcept {
    frame_decoder& decoder = in.decoder;
    for (;;) {
        if (!in.in_frame) {
            const auto step = decoder.next_header();
            if (step == frame_decoder::step::need_more) return {};
            if (step == frame_decoder::step::failed) [[unlikely]]
                return fail_now(decoder.error());
            if (!is_control(decoder.header().op)) {
                if (const errc broken = in.assembler.begin_frame(decoder.header()); broken != errc{})
                    [[unlikely]]
                    return fail_now(broken);
            }
            in.in_frame = true;
        }
        if (in.message_ready) [[unlikely]] {
            in.message_ready = false;
            return end_frame(in, {});
        }
        if (decoder.remaining() != 0 && decoder.unread() == 0) return {};
        const frame_header& header = decoder.header();
        const std::size_t offset = decoder.offset();
        auto piece = decoder.take_payload();
        if (is_control(header.op)) {
            if (header.masked) mask(piece, header.key, offset);
            return take_control(in, piece);
        }

        const bool frame_ends = decoder.remaining() == 0;
        const bool message_ends = frame_ends && header.fin;
        errc broken{};
        if (in.assembler.compressed()) {
            const std::size_t before = in.assembler.bytes().size();
            broken = in.assembler.expand(piece, header, offset, message_ends, *packer(),
                                         in.affordable(options_->budget));
            packer()->counts.deflated_in += piece.size();
            packer()->counts.inflated_in += in.assembler.bytes().size() - before;
            piece = {};
        } else if (options_->deliver_fragments ||
                   (message_ends && offset == 0 && in.assembler.first_frame())) {
            broken = in.assembler.check_in_place(piece, header, offset, message_ends);
        } else {
            broken = in.assembler.append(piece, header, offset, decoder.remaining());
        }
        // Others have what it would need: the message is not too big (1009), and may come again later (1013).
        if (broken == errc{} && !in.charged_to(options_->budget)) [[unlikely]]
            broken = errc::budget_full;
        if (broken != errc{}) [[unlikely]]
            return fail_now(broken);
        if (!frame_ends && !options_->deliver_fragments) return {};
        if (event found = end_frame(in, piece)) return found;
    }
}

/// The payload of the last event is no longer looked at.
inline void session::release_delivered() noexcept {
    if (receiving_->message_delivered) [[unlikely]] {
        if (queue_ && queue_->borrows()) keep_borrowed();
        if (std::exchange(receiving_->message_delivered, false))
            receiving_->release_message(options_->budget);
    }
    if (receiving_->control_delivered) [[unlikely]] {
        receiving_->control_delivered = false;
        receiving_->control.release();
    }
    if (receiving_->idle()) receiving_.reset();
}

inline std::span<std::byte> session::room_in_message() noexcept {
    detail::receiving& in = *receiving_;
    const frame_header& header = in.decoder.header();
    if (!in.in_frame || options_->deliver_fragments || !window_.empty() || is_control(header.op)) return {};
    if (in.decoder.remaining() < direct_threshold || !closing_.may_receive()) return {};
    if (in.assembler.compressed()) return {};
    const auto room = in.assembler.direct(in.decoder.remaining(), header.fin);
    // Where that is too much the next piece, which comes through a window, says so.
    return in.charged_to(options_->budget) ? room : std::span<std::byte>{};
}

/// A piece of a data frame is in place; with `remaining() == 0` the frame ends here.
inline event session::end_frame(detail::receiving& in, std::span<std::byte> piece) noexcept {
    const bool frame_ends = in.decoder.remaining() == 0;
    const bool message_ends = frame_ends && in.decoder.header().fin;
    in.in_frame = !frame_ends;
    if (message_ends)
        count_message_in();
    else if (frame_ends)
        count_unfinished_in();
    if ((message_ends || options_->deliver_fragments) && in.assembler.holds_bytes()) {
        in.message_delivered = true;
        piece = in.assembler.bytes();
    }
    if (options_->deliver_fragments) {
        if (piece.empty() && !message_ends) return {};
        if (message_ends) {
            in.assembler.end_message();
            keepalive_.message_received(now_);
        }
        return {
            .what = event::kind::fragment, .op = in.assembler.op(), .last = message_ends, .payload = piece};
    }
    if (!message_ends) return {};
    in.assembler.end_message();
    keepalive_.message_received(now_);
    return {.what = event::kind::message, .op = in.assembler.op(), .payload = piece};
}

inline void session::received_direct(std::size_t size) noexcept {
    // Without a frame there was a failure in between, and the bytes are nobody's.
    if (size == 0 || !receiving_ || !receiving_->in_frame) return;
    detail::receiving& in = *receiving_;
    count_bytes_in(size);
    if (in.observed) tap()->received(room_in_message().first(size), now_);
    bytes_received();
    const std::size_t offset = in.decoder.offset();
    in.decoder.skip_payload(size);
    const frame_header& header = in.decoder.header();
    const bool frame_ends = in.decoder.remaining() == 0;
    const errc broken = in.assembler.commit_direct(size, header, offset, frame_ends && header.fin);
    if (broken != errc{}) {
        fail(broken);
        in.release_message(options_->budget);
    } else {
        in.message_ready = frame_ends;
    }
}

/// RFC 6455 5.4: control frames may come between the fragments of a message; they are handled at once and
/// leave the message alone.
inline event session::take_control(detail::receiving& in, std::span<std::byte> piece) noexcept {
    const opcode op = in.decoder.header().op;
    if (in.decoder.remaining() == 0 && in.control.empty()) [[likely]] {
        in.in_frame = false;
        return on_control(op, piece);
    }
    if (!in.control.append(piece)) return fail_now(errc::out_of_memory);
    if (in.decoder.remaining() != 0) return {};
    in.in_frame = false;
    in.control_delivered = true;
    return on_control(op, in.control.bytes());
}

inline event session::on_control(opcode op, std::span<std::byte> payload) noexcept {
    if (op == opcode::close) return on_close(payload);
    count_control(op == opcode::pong ? pong_in : ping_in);
    if (op == opcode::pong) return {.what = event::kind::pong, .payload = payload};
    // RFC 6455 5.5.2: a Ping is answered with its own payload.
    if (may_answer_ping()) {
        frame_header header;
        const auto begun = begin_control(opcode::pong, payload.size(), header);
        if (begun != send_status::ok) return fail_now(begun);
        // One that takes the place of another that waits makes no second frame.
        const bool one_more = !queue_->replaces_pongs();
        if (!queue_->push_pong(header, payload)) return fail_now(errc::out_of_memory);
        if (one_more) count_control(pong_out);
    }
    return {.what = event::kind::ping, .payload = payload};
}

DUPLEX_RARE inline event session::on_close(std::span<std::byte> payload) noexcept {
    close_came_ = true;
    const close_body body = parse_close_body(payload);
    if (body.error != errc{}) return fail_now(body.error);
    window_ = {};
    if (receiving_) receiving_->release_message(options_->budget);
    keepalive_.close_started(now_);
    // RFC 6455 5.5.1: answered with the same code, unless a Close was sent before.
    const bool answered = closing_.close_received();
    if (answered) {
        if (const auto pushed = queue_close(body.code, {}); pushed != send_status::ok)
            return fail_now(pushed);
        closing_.close_sent();
    }
    return {.what = event::kind::closed,
            .answered = answered,
            .code = body.code,
            .payload = payload.empty() ? payload : payload.subspan(2)};
}

DUPLEX_RARE inline void session::fail(errc why) noexcept {
    const auto before = closing_.now();
    if (before == closing::state::failed || before == closing::state::done) return;
    closing_.fail();
    error_ = why;
    failure_pending_ = true;
    window_ = {};
    if (receiving_) receiving_->in_frame = receiving_->message_ready = false;
    keepalive_.close_started(now_);
    // RFC 6455 7.1.7: a Close with the fitting code goes out, unless there is one already. What was handed on
    // before goes first: it would have, had it been written at once.
    if (turns() != nullptr) lose_waiting(message_fate::lost);
    const close_code code = close_code_for(why);
    if (code == close_code::no_status)
        expired_ = true;
    else if (!close_pushed_)
        (void)queue_close(code, {});
}

DUPLEX_RARE inline event session::fail_now(errc why) noexcept {
    fail(why);
    if (receiving_) receiving_->release_message(options_->budget);
    return failure_pending_ ? report_failure() : event{};
}

DUPLEX_RARE inline event session::fail_now(send_status unsent) noexcept {
    return fail_now(errc_of(to_error_code(unsent), errc::out_of_memory));
}

DUPLEX_RARE inline event session::report_failure() noexcept {
    failure_pending_ = false;
    const close_code code = close_code_for(error_);
    return {.what = event::kind::failed,
            .error = error_,
            .code = code == close_code::no_status ? close_code::abnormal : code};
}

} // namespace duplex
