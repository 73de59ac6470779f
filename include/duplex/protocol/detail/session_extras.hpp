#pragma once

#include <duplex/core/detail/either_ptr.hpp>
#include <duplex/deflate/message_codec.hpp>
#include <duplex/protocol/outbox.hpp>
#include <duplex/protocol/wire_tap.hpp>

#include <array>
#include <cstdint>
#include <memory>
#include <new>
#include <utility>

namespace duplex::detail {

/// What most sessions have none of, behind the one pointer that each of them pays.
class session_extras {
protected:
    /// What is seldom counted, and who sees it all.
    struct seldom_counts {
        std::unique_ptr<wire_tap> tap;
        std::uint64_t queue_peak = 0;
        std::uint64_t bytes_in = 0;       ///< those that the short count has no room for
        std::uint64_t messages_in = 0;    ///< the same, messages
        std::uint64_t messages_out = 0;   ///< the same, sent
        std::uint64_t unfinished_in = 0;  ///< data frames after which their message goes on
        std::uint64_t unfinished_out = 0; ///< the same, sent
        std::array<std::uint64_t, 4> control{};
    };

    /// Compresses; null where permessage-deflate was not agreed.
    [[nodiscard]] message_codec* packer() const noexcept {
        const auto* const parts = kept_.second();
        return parts != nullptr ? parts->codec.get() : kept_.first();
    }
    /// The messages that wait their turn; null where none has waited, and no fate is to be told.
    [[nodiscard]] outbox* turns() const noexcept {
        const auto* const parts = kept_.second();
        return parts != nullptr ? parts->waiting.get() : nullptr;
    }
    [[nodiscard]] seldom_counts* more_counts() const noexcept {
        const auto* const parts = kept_.second();
        return parts != nullptr ? parts->counts.get() : nullptr;
    }
    [[nodiscard]] wire_tap* tap() const noexcept {
        const auto* const more = more_counts();
        return more != nullptr ? more->tap.get() : nullptr;
    }

    void keep(std::unique_ptr<message_codec> codec) noexcept {
        if (auto* const parts = kept_.second())
            parts->codec = std::move(codec);
        else
            kept_.keep(std::move(codec));
    }

    // Null: there is no memory for it.

    [[nodiscard]] outbox* open_turns(bool masked) noexcept {
        auto* const parts = open_parts();
        if (parts != nullptr && !parts->waiting) parts->waiting.reset(new (std::nothrow) outbox{masked});
        return turns();
    }
    void close_turns() noexcept { kept_.second()->waiting.reset(); }
    /// Without memory for it something is not counted.
    [[nodiscard]] seldom_counts* open_counts() noexcept {
        auto* const parts = open_parts();
        if (parts != nullptr && !parts->counts) parts->counts.reset(new (std::nothrow) seldom_counts);
        return more_counts();
    }

private:
    struct extra_parts {
        std::unique_ptr<message_codec> codec;
        std::unique_ptr<outbox> waiting;
        std::unique_ptr<seldom_counts> counts;
    };

    [[nodiscard]] extra_parts* open_parts() noexcept {
        if (kept_.second() == nullptr) {
            std::unique_ptr<extra_parts> opened{new (std::nothrow) extra_parts};
            if (!opened) return nullptr;
            opened->codec = kept_.take_first();
            kept_.keep(std::move(opened));
        }
        return kept_.second();
    }

    /// A connection that compresses, and has nothing else of these, needs no parts.
    either_ptr<message_codec, extra_parts> kept_;
};

} // namespace duplex::detail
