#pragma once

#include <duplex/core/detail/inlining.hpp>
#include <duplex/core/opcode.hpp>
#include <duplex/protocol/counters.hpp>
#include <duplex/protocol/wire_tap.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <new>

namespace duplex::detail {

/// What a session counts. Bytes written are counted by the queue anyway, and each message ends with a frame,
/// so that a short message costs one addition here. These are the 32 bytes that an idle connection pays:
/// counts of messages, and those of control frames, of which it has one every half minute, are short, and go
/// on elsewhere once they are full.
class session_counts {
protected:
    enum control : std::size_t { ping_in, ping_out, pong_in, pong_out };

    /// What most sessions have none of.
    struct seldom {
        std::unique_ptr<wire_tap> tap;
        std::uint64_t queue_peak = 0;
        std::uint64_t messages_in = 0;    ///< those that the short count has no room for
        std::uint64_t messages_out = 0;   ///< the same, sent
        std::uint64_t unfinished_in = 0;  ///< data frames after which their message goes on
        std::uint64_t unfinished_out = 0; ///< the same, sent
        std::array<std::uint64_t, 4> control{};
    };

    /// Without memory for it something is not counted.
    [[nodiscard]] seldom* counts_more() noexcept {
        if (!seldom_) seldom_.reset(new (std::nothrow) seldom);
        return seldom_.get();
    }

    void count_control(control which) noexcept {
        if (control_[which] == std::numeric_limits<std::uint16_t>::max()) [[unlikely]] {
            auto* const more = counts_more();
            if (more == nullptr) return;
            more->control[which] += control_[which];
            control_[which] = 0;
        }
        ++control_[which];
    }
    DUPLEX_NEVER_INLINE void count_unfinished_in() noexcept {
        if (auto* const more = counts_more()) ++more->unfinished_in;
    }
    DUPLEX_NEVER_INLINE void count_unfinished_out() noexcept {
        if (auto* const more = counts_more()) ++more->unfinished_out;
    }
    DUPLEX_ALWAYS_INLINE void count_message_in() noexcept {
        if (++messages_in_ == 0) [[unlikely]]
            carry(&seldom::messages_in);
    }
    DUPLEX_ALWAYS_INLINE void count_message_out() noexcept {
        if (++messages_out_ == 0) [[unlikely]]
            carry(&seldom::messages_out);
    }
    void count_frame_out(bool fin) noexcept {
        if (fin) [[likely]]
            count_message_out();
        else
            count_unfinished_out();
    }
    void note_queued(std::size_t bytes) noexcept {
        if (auto* const more = counts_more())
            more->queue_peak = std::max<std::uint64_t>(more->queue_peak, bytes);
    }

    [[nodiscard]] wire_tap* tap() const noexcept { return seldom_ ? seldom_->tap.get() : nullptr; }

    /// All but what the session knows of the transport and of its end.
    [[nodiscard]] session_counters counted() const noexcept {
        const auto of = [this](control which) {
            return control_[which] + (seldom_ ? seldom_->control[which] : std::uint64_t{0});
        };
        session_counters all;
        all.bytes_in = bytes_in_;
        all.messages_in = messages_in_;
        all.messages_out = messages_out_;
        all.pings_in = of(ping_in);
        all.pings_out = of(ping_out);
        all.pongs_in = of(pong_in);
        all.pongs_out = of(pong_out);
        if (seldom_) {
            all.messages_in += seldom_->messages_in;
            all.messages_out += seldom_->messages_out;
            all.frames_in = seldom_->unfinished_in;
            all.frames_out = seldom_->unfinished_out;
            all.queue_peak = seldom_->queue_peak;
        }
        all.frames_in += all.messages_in + all.pings_in + all.pongs_in;
        all.frames_out += all.messages_out + all.pings_out + all.pongs_out;
        return all;
    }

    std::uint64_t bytes_in_ = 0;
    std::uint32_t messages_in_ = 0;
    std::uint32_t messages_out_ = 0;

private:
    DUPLEX_NEVER_INLINE void carry(std::uint64_t seldom::*to) noexcept {
        if (auto* const more = counts_more()) more->*to += std::uint64_t{1} << 32U;
    }

    std::array<std::uint16_t, 4> control_{};
    std::unique_ptr<seldom> seldom_;
};

} // namespace duplex::detail
