#pragma once

#include <duplex/core/byte_buffer.hpp>
#include <duplex/core/detail/warm_slot.hpp>
#include <duplex/core/limits.hpp>
#include <duplex/core/role.hpp>
#include <duplex/protocol/frame_decoder.hpp>
#include <duplex/protocol/message_assembler.hpp>

#include <cstdint>
#include <memory>
#include <new>

namespace duplex::detail {

/// What a session needs while something is arriving that is more than a short message in one piece. Between
/// messages it has none.
struct receiving {
    receiving(role self, const limits& limits, std::uint8_t allowed_rsv) noexcept
        : decoder{self, allowed_rsv}
        , assembler{limits.message_bytes, limits.message_fragments} {}

    /// Nothing of it is needed for what comes next.
    [[nodiscard]] bool idle() const noexcept {
        return !observed && !in_frame && !message_delivered && !control_delivered && !message_ready &&
               !decoder.holds_header() && !assembler.in_message();
    }

    frame_decoder decoder;
    message_assembler assembler;
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
[[nodiscard]] inline receiving_ptr begin_receiving(role self, const limits& limits,
                                                   std::uint8_t allowed_rsv) noexcept {
    void* const memory = warm_slot<receiving>::take();
    return receiving_ptr{memory != nullptr ? ::new (memory) receiving{self, limits, allowed_rsv} : nullptr};
}

} // namespace duplex::detail
