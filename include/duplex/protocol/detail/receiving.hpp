#pragma once

#include <duplex/core/budget.hpp>
#include <duplex/core/byte_buffer.hpp>
#include <duplex/core/detail/warm_slot.hpp>
#include <duplex/core/limits.hpp>
#include <duplex/core/role.hpp>
#include <duplex/protocol/frame_decoder.hpp>
#include <duplex/protocol/message_assembler.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>

namespace duplex::detail {

/// What a session needs while something is arriving that is more than a short message in one piece. Between
/// messages it has none.
struct receiving {
    receiving(role self, const limits& limits, const budget& budget, std::uint8_t allowed_rsv) noexcept
        : decoder{self, allowed_rsv}
        , assembler{limits.message_bytes, limits.message_fragments}
        , covered{free_of(budget)} {}

    /// Nothing of it is needed for what comes next.
    [[nodiscard]] bool idle() const noexcept {
        return !observed && !in_frame && !message_delivered && !control_delivered && !message_ready &&
               !decoder.holds_header() && !assembler.in_message();
    }

    /// Bytes of a message that are not charged.
    [[nodiscard]] static std::size_t free_of(const budget& budget) noexcept {
        return budget ? duplex::budget::granule : static_cast<std::size_t>(-1);
    }
    /// False where the budget has too few bytes left for the message as it is.
    [[nodiscard]] bool charged_to(const budget& budget) noexcept {
        const std::size_t memory = assembler.memory();
        if (memory <= covered) [[likely]]
            return true;
        if (!charge.raise(budget.shared(), memory)) return false;
        covered = charge.bytes();
        return true;
    }
    /// Most bytes of a message that the budget has room for.
    [[nodiscard]] std::size_t affordable(const budget& budget) const noexcept {
        if (!budget) return covered;
        return std::max(duplex::budget::granule, charge.bytes() + budget.shared()->receiving.left());
    }
    /// Frees the message.
    void release_message(const budget& budget) noexcept {
        assembler.release();
        uncharge(budget);
    }
    /// Gives it away.
    [[nodiscard]] byte_buffer take_message(const budget& budget) noexcept {
        uncharge(budget);
        return assembler.take();
    }
    void uncharge(const budget& budget) noexcept {
        if (!charge) return;
        charge.release();
        covered = free_of(budget);
    }

    frame_decoder decoder;
    message_assembler assembler;
    std::size_t covered; ///< memory of a message up to which nothing more is to be charged
    receive_charge charge;
    byte_buffer control; ///< the payload of a control frame that a window has cut
    bool in_frame = false;
    bool message_delivered = false; ///< the last event's payload is the assembler's
    bool control_delivered = false; ///< the last event's payload is `control`'s
    bool message_ready = false;     ///< a message was completed by `received_direct`
    bool observed = false; ///< somebody is to see what is received: it stays, so that nothing passes by
};

struct give_receiving_back {
    void operator()(receiving* gone) const noexcept {
        gone->~receiving();
        warm_slot<receiving>::give(gone);
    }
};
using receiving_ptr = std::unique_ptr<receiving, give_receiving_back>;

/// Null when memory ran out.
[[nodiscard]] inline receiving_ptr begin_receiving(role self, const limits& limits, const budget& budget,
                                                   std::uint8_t allowed_rsv) noexcept {
    void* const memory = warm_slot<receiving>::take();
    return receiving_ptr{memory != nullptr ? ::new (memory) receiving{self, limits, budget, allowed_rsv}
                                           : nullptr};
}

} // namespace duplex::detail
