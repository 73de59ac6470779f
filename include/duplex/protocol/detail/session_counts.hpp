#pragma once

#include <duplex/core/detail/inlining.hpp>
#include <duplex/core/opcode.hpp>
#include <duplex/protocol/counters.hpp>
#include <duplex/protocol/detail/session_extras.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>

namespace duplex::detail {

/// What a session counts. Bytes written are counted by the queue anyway, and each message ends with a frame,
/// so that a short message costs one addition here. An idle connection pays 16 bytes for it: what is counted
/// in short goes on elsewhere once it is full.
class session_counts : protected session_extras {
protected:
    enum control : std::size_t { ping_in, ping_out, pong_in, pong_out };

    void count_control(control which) noexcept {
        if (++control_[which] != 0) [[likely]]
            return;
        if (auto* const more = open_counts())
            more->control[which] += std::uint64_t{std::numeric_limits<std::uint8_t>::max()} + 1;
    }
    DUPLEX_NEVER_INLINE void count_unfinished_in() noexcept {
        if (auto* const more = open_counts()) ++more->unfinished_in;
    }
    DUPLEX_NEVER_INLINE void count_unfinished_out() noexcept {
        if (auto* const more = open_counts()) ++more->unfinished_out;
    }
    DUPLEX_ALWAYS_INLINE void count_bytes_in(std::size_t size) noexcept {
        const std::uint64_t sum = std::uint64_t{bytes_in_} + size;
        bytes_in_ = static_cast<std::uint32_t>(sum);
        if (sum >> 32U != 0) [[unlikely]]
            carry(&seldom_counts::bytes_in, sum >> 32U);
    }
    DUPLEX_ALWAYS_INLINE void count_message_in() noexcept {
        if (++messages_in_ == 0) [[unlikely]]
            carry(&seldom_counts::messages_in, 1);
    }
    DUPLEX_ALWAYS_INLINE void count_message_out() noexcept {
        if (++messages_out_ == 0) [[unlikely]]
            carry(&seldom_counts::messages_out, 1);
    }
    void count_frame_out(bool fin) noexcept {
        if (fin) [[likely]]
            count_message_out();
        else
            count_unfinished_out();
    }
    void note_queued(std::size_t bytes) noexcept {
        if (auto* const more = open_counts())
            more->queue_peak = std::max<std::uint64_t>(more->queue_peak, bytes);
    }

    /// All but what the session knows of the transport and of its end.
    [[nodiscard]] session_counters counted() const noexcept {
        const auto* const more = more_counts();
        const auto of = [&](control which) {
            return control_[which] + (more != nullptr ? more->control[which] : std::uint64_t{0});
        };
        session_counters all;
        all.bytes_in = bytes_in_;
        all.messages_in = messages_in_;
        all.messages_out = messages_out_;
        all.pings_in = of(ping_in);
        all.pings_out = of(ping_out);
        all.pongs_in = of(pong_in);
        all.pongs_out = of(pong_out);
        if (more != nullptr) {
            all.bytes_in += more->bytes_in;
            all.messages_in += more->messages_in;
            all.messages_out += more->messages_out;
            all.frames_in = more->unfinished_in;
            all.frames_out = more->unfinished_out;
            all.queue_peak = more->queue_peak;
        }
        all.frames_in += all.messages_in + all.pings_in + all.pongs_in;
        all.frames_out += all.messages_out + all.pings_out + all.pongs_out;
        return all;
    }

    std::uint32_t bytes_in_ = 0;
    std::uint32_t messages_in_ = 0;
    std::uint32_t messages_out_ = 0;
    std::array<std::uint8_t, 4> control_{};

private:
    DUPLEX_NEVER_INLINE void carry(std::uint64_t seldom_counts::*to, std::uint64_t times) noexcept {
        if (auto* const more = open_counts()) more->*to += times << 32U;
    }
};

} // namespace duplex::detail
