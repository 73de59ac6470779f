#pragma once

#include <duplex/deflate/message_codec.hpp>
#include <duplex/protocol/outbox.hpp>
#include <duplex/protocol/wire_tap.hpp>

#include <array>
#include <cstdint>
#include <memory>
#include <new>

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
    [[nodiscard]] message_codec* packer() const noexcept { return extras_ ? extras_->codec.get() : nullptr; }
    /// The messages that wait their turn; null where none has waited, and no fate is to be told.
    [[nodiscard]] outbox* turns() const noexcept { return extras_ ? extras_->waiting.get() : nullptr; }
    [[nodiscard]] seldom_counts* more_counts() const noexcept {
        return extras_ ? extras_->counts.get() : nullptr;
    }
    [[nodiscard]] wire_tap* tap() const noexcept {
        const auto* const more = more_counts();
        return more != nullptr ? more->tap.get() : nullptr;
    }

    // False, null: there is no memory for it.

    [[nodiscard]] bool keep(std::unique_ptr<message_codec> codec) noexcept {
        if (!codec) return true;
        if (!open_extras()) return false;
        extras_->codec = std::move(codec);
        return true;
    }
    [[nodiscard]] outbox* open_turns(bool masked) noexcept {
        if (open_extras() && !extras_->waiting) extras_->waiting.reset(new (std::nothrow) outbox{masked});
        return turns();
    }
    void close_turns() noexcept { extras_->waiting.reset(); }
    /// Without memory for it something is not counted.
    [[nodiscard]] seldom_counts* open_counts() noexcept {
        if (open_extras() && !extras_->counts) extras_->counts.reset(new (std::nothrow) seldom_counts);
        return more_counts();
    }

private:
    struct extra_parts {
        std::unique_ptr<message_codec> codec;
        std::unique_ptr<outbox> waiting;
        std::unique_ptr<seldom_counts> counts;
    };

    [[nodiscard]] bool open_extras() noexcept {
        if (!extras_) extras_.reset(new (std::nothrow) extra_parts);
        return extras_ != nullptr;
    }

    std::unique_ptr<extra_parts> extras_;
};

} // namespace duplex::detail
