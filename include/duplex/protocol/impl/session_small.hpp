#pragma once

// Small functions for which session.hpp has no room.

#include <duplex/protocol/session.hpp>

namespace duplex {

inline void session::use(std::unique_ptr<message_codec> codec) noexcept {
    keep(std::move(codec));
    frames_plainly_ = self_ == role::server && packer() == nullptr;
}

inline send_status session::send(opcode op, std::string_view payload) noexcept {
    return send(op, std::as_bytes(std::span{payload.data(), payload.size()}));
}

inline send_status session::send(opcode op, std::span<const std::byte> payload,
                                 const message_options& options, text_is text) noexcept {
    return send_with({.op = op, .how = options.how, .payload = payload}, options, text);
}

inline send_status session::send(opcode op, std::string_view payload,
                                 const message_options& options) noexcept {
    return send(op, std::as_bytes(std::span{payload.data(), payload.size()}), options);
}

inline send_status session::send(opcode op, byte_buffer&& payload, const message_options& options,
                                 text_is text) noexcept {
    return send_with({.op = op, .how = options.how, .payload = payload.bytes(), .own = &payload}, options,
                     text);
}

inline send_status session::ping(std::span<const std::byte> payload) noexcept {
    return send_control(opcode::ping, payload);
}

inline send_status session::pong(std::span<const std::byte> payload) noexcept {
    return send_control(opcode::pong, payload);
}

inline time_point session::next_deadline() const noexcept {
    const time_point first = keepalive_.deadline(options_->timeouts, queue_ && queue_->has_output());
    return turns() != nullptr ? std::min(first, turns()->earliest()) : first;
}

inline overflow session::when_full(const message_options& options) const noexcept {
    return options.when_full == overflow::by_default ? options_->when_full : options.when_full;
}

inline bool session::fits(std::size_t before, std::size_t size) const noexcept {
    return before == 0 ||
           (before < options_->limits.queue_bytes && size <= options_->limits.queue_bytes - before);
}

inline bool session::may_answer_ping() const noexcept {
    return !close_pushed_ || (queue_ && !queue_->begun(queue_->notes.close_begin));
}

inline std::uint64_t session::close_begins_at() const noexcept {
    return queue_ ? queue_->notes.close_begin : 0;
}

inline void session::settle() noexcept {
    if (queue_ && queue_->borrows()) keep_borrowed();
    if (receiving_ && receiving_->idle()) receiving_.reset();
}

inline bool session::take_low_water() noexcept {
    const bool fallen = low_water_;
    low_water_ = false;
    return fallen;
}

} // namespace duplex
