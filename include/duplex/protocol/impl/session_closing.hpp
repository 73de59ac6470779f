#pragma once

// How a session ends that was told to: without what is queued, and what becomes of the transport
// (RFC 6455 5.5.1, 7.1).

#include <duplex/core/detail/inlining.hpp>
#include <duplex/protocol/session.hpp>

namespace duplex {

DUPLEX_RARE inline std::error_code session::close_at_once(close_code code, std::string_view reason) noexcept {
    if (const auto error = check_close(code, reason)) return error;
    if (closing_.now() == closing::state::failed) return errc::not_open;
    // RFC 6455 5.5.1: one Close is enough, and this one is on its way.
    if (close_pushed_ && (!queue_ || queue_->begun(queue_->notes.close_begin))) return {};
    const encoded_close_body body{code, reason};
    frame_header header;
    if (const auto begun = begin_control(opcode::close, body.bytes().size(), header);
        begun != send_status::ok)
        return to_error_code(begun);
    // Nothing goes before it is certain that the Close takes its place.
    if (!queue_->push_instead(header, body.bytes())) return errc::out_of_memory;
    queue_->notes.close_begin =
        data_pushed() - frame_header_size(body.bytes().size(), header.masked) - body.bytes().size();
    close_pushed_ = true;
    if (turns() != nullptr) {
        turns()->drop_leaving(queue_->notes.close_begin);
        lose_waiting(message_fate::dropped);
    }
    if (closing_.may_send()) closing_.close_sent();
    keepalive_.close_started(now_);
    return {};
}

inline transport_step session::transport() const noexcept {
    if (expired_) return transport_step::abort;
    switch (closing_.now()) {
    case closing::state::failed: return transport_step::finish;
    // RFC 6455 7.1.1: the server ends the TCP connection first.
    case closing::state::done:
        return self_ == role::server ? transport_step::finish : transport_step::await_end;
    default: return transport_step::keep;
    }
}

} // namespace duplex
