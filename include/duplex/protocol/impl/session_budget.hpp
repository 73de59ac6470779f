#pragma once

// What a session takes of the budget that it shares with others, and gives back.

#include <duplex/core/detail/inlining.hpp>
#include <duplex/protocol/session.hpp>

namespace duplex {

/// More than may be queued without a look, or behind what counts already.
DUPLEX_NEVER_INLINE inline send_status session::admit_charged(std::size_t size) noexcept {
    const std::size_t before = queued();
    if (!fits(before, size) && !admits_all_) return send_status::queue_full;
    if (!open_queue()) return send_status::out_of_memory;
    return affords(before + size + frame_header_size(size, self_ == role::client)) ? send_status::ok
                                                                                   : send_status::queue_full;
}

/// Whether so many bytes may be queued in all, which count from now on. There is a queue. What has been
/// promised to another thread always may: it was charged where that sent it.
inline bool session::affords(std::size_t total) noexcept {
    const auto& budget = options_->budget;
    if (!budget) return true;
    if ((in_the_way_ & output_charged) == 0 && total <= budget.turn_bytes()) return true;
    if (admits_all_)
        queue_->charge.set(budget.shared(), total);
    else if (!queue_->charge.raise(budget.shared(), total))
        return false;
    in_the_way_ |= output_charged;
    watches_writes_ = true;
    return true;
}

inline bool session::charges(detail::send_charge& held, std::size_t before, std::size_t size) const noexcept {
    const auto& budget = options_->budget;
    const std::size_t quiet = budget.turn_bytes();
    if (!budget || (size <= quiet && before <= quiet - size)) return true;
    return held.take(budget.shared(), size);
}

DUPLEX_NEVER_INLINE inline void session::output_waits() noexcept {
    if (!options_->budget || queued() == 0) return;
    in_the_way_ |= output_charged;
    watches_writes_ = true;
    charge_output();
}

/// Charges what is queued, no more and no less.
DUPLEX_NEVER_INLINE inline void session::charge_output() noexcept {
    if ((in_the_way_ & output_charged) == 0) return;
    queue_->charge.set(options_->budget.shared(), queue_->bytes());
    if (!queue_->charge) in_the_way_ &= static_cast<std::uint8_t>(~output_charged);
}

/// What was admitted is not going to be queued.
DUPLEX_RARE inline send_status session::not_pushed(send_status why) noexcept {
    charge_output();
    return why;
}

/// Nobody tells when others have given back: a sender who waits asks again a little later. False: memory ran
/// out.
DUPLEX_RARE inline bool session::ask_again_later() noexcept {
    if (!open_outbox()) return false;
    turns()->ask_again_at(now_ + std::chrono::milliseconds{250});
    deadline_closer_ = true;
    return true;
}

/// The counts go on without it.
DUPLEX_ALWAYS_INLINE send_queue_ptr session::put_queue_aside() noexcept {
    if ((in_the_way_ & output_charged) != 0) [[unlikely]] {
        queue_->charge.release();
        in_the_way_ &= static_cast<std::uint8_t>(~output_charged);
    }
    data_count_ = queue_->data_written();
    control_count_ = queue_->control_written();
    return std::move(queue_);
}

inline void session::drop_output() noexcept {
    if (queue_) put_queue_aside().reset();
    lose_output();
}

inline void session::lose_output() noexcept {
    if (turns() != nullptr) turns()->lose_all();
}

inline byte_buffer session::take_message() noexcept {
    if (!receiving_ || !receiving_->message_delivered || (queue_ && queue_->borrows())) return {};
    receiving_->message_delivered = false;
    return receiving_->take_message(options_->budget);
}

inline void session::drop_input() noexcept {
    if (receiving_) release_delivered();
    if (!receiving_) return;
    receiving_->in_frame = receiving_->message_ready = false;
    receiving_->release_message(options_->budget);
}

} // namespace duplex
