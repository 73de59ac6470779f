#pragma once

// What can be seen of a session from outside: counters, and the bytes that come and go.

#include <duplex/core/detail/inlining.hpp>
#include <duplex/protocol/session.hpp>

namespace duplex {

inline session_counters session::counters() const noexcept {
    session_counters all = counted();
    all.bytes_out = data_written() + control_written();
    all.closes_in = close_came_ ? 1 : 0;
    all.closes_out = close_pushed_ ? 1 : 0;
    all.frames_in += all.closes_in;
    all.frames_out += all.closes_out;
    if (packer() != nullptr) {
        all.deflated_in = packer()->counts.deflated_in;
        all.inflated_in = packer()->counts.inflated_in;
        all.deflated_out = packer()->counts.deflated_out;
        all.inflated_out = packer()->counts.inflated_out;
    }
    return all;
}

/// What is received goes the long way from now on, and so does what is written: those ways are there anyway,
/// so that a session that nobody observes has nothing to ask.
DUPLEX_RARE inline bool session::observe(std::unique_ptr<wire_tap> added) noexcept {
    if (!added) return true;
    auto* const more = open_counts();
    if (!receiving_)
        receiving_ = detail::begin_receiving(self_, options_->limits, options_->budget,
                                             packer() != nullptr ? rsv_compressed : std::uint8_t{0});
    if (more == nullptr || !receiving_) return false;
    more->tap = std::move(added);
    receiving_->observed = watches_writes_ = true;
    return true;
}

DUPLEX_NEVER_INLINE inline void session::before_window(std::span<const std::byte> window) noexcept {
    if (receiving_->observed && !window.empty()) tap()->received(window, now_);
    release_delivered();
}

/// What was counted and shown before.
inline void session::lend_again(std::span<std::byte> moved) noexcept {
    if (receiving_) release_delivered();
    window_ = moved;
}

/// Something comes of what is written.
DUPLEX_NEVER_INLINE inline void session::consumed_watched(std::size_t size) noexcept {
    if (auto* const seen_by = tap(); seen_by != nullptr && size != 0)
        queue_->each_gathered(
            size, [&](segment piece, std::size_t rest) { seen_by->sent(piece, rest == 0, now_); });
    const std::size_t before = queue_->bytes();
    (void)queue_->consumed(size);
    const bool all = queue_->empty();
    if (!all || no_room_) note_queued(before);
    no_room_ = !all;
    if (!all) output_waits();
    if (size == 0) return;
    keepalive_.write_progress(now_);
    after_write();
}

/// The transport had no room for all that was queued: how much that comes to be is looked at until it has.
DUPLEX_NEVER_INLINE inline void session::note_left(std::size_t size) noexcept {
    if (queue_->empty()) return;
    note_queued(queue_->bytes() + size);
    no_room_ = watches_writes_ = true;
    output_waits();
}

DUPLEX_NEVER_INLINE inline void session::tell_held() noexcept {
    if (tap() != nullptr) tap()->offered(queue_->gathered(), now_);
}

inline void session::eof() noexcept {
    if (tap() != nullptr) tap()->ended(now_);
    const auto state = closing_.now();
    if (state != closing::state::done && state != closing::state::failed) fail(errc::connection_lost);
}

} // namespace duplex
