#pragma once

#include <duplex/core/budget.hpp>
#include <duplex/core/close_code.hpp>
#include <duplex/core/detail/intrusive_ptr.hpp>
#include <duplex/core/limits.hpp>
#include <duplex/protocol/message_options.hpp>

#include <algorithm>
#include <cstddef>
#include <new>
#include <utility>

namespace duplex {

/// How a session behaves.
struct session_options {
    duplex::limits limits{};
    duplex::timeouts timeouts{};
    /// Delivers pieces of messages as they arrive (`event::kind::fragment`) instead of whole messages.
    bool deliver_fragments = false;
    /// Refuses text to send that is not UTF-8 (RFC 6455 5.6).
    bool check_outgoing_text = true;
    /// Lets messages wait their turn from the first one on; else from the first one with `message_options` of
    /// its own. At most `limits::commit_bytes` are then handed on to the transport's queue; what waits behind
    /// can be dropped, replaced, overtaken or withdrawn.
    bool hold_back = false;
    /// What happens to a message for which there is no room. Anything but `fail` holds messages back.
    overflow when_full = overflow::fail;
    /// What `overflow::close` closes with: `policy_violation` or `try_again_later`, say. One that may not
    /// travel counts as the former.
    close_code overflow_code = close_code::policy_violation;
    /// What the connection is closed with at the end of `timeouts::life`: `service_restart` tells a client to
    /// come back, say. One that may not travel counts as `going_away`.
    close_code life_code = close_code::going_away;
    /// Cuts longer messages into frames of so many bytes of payload as they leave, so that a Ping, a Pong or
    /// a Close need not wait for the end of a long one (RFC 6455 5.4); each of these frames is copied. Zero:
    /// never. Messages that are compressed, or sent in fragments, stay as they are. Holds messages back.
    std::size_t fragment_bytes = 0;
    /// Shared with other connections; none: this one's own limits are all there is.
    duplex::budget budget{};

    /// Whether messages wait their turn from the first one on.
    [[nodiscard]] constexpr bool holds_back() const noexcept {
        return hold_back || fragment_bytes != 0 ||
               (when_full != overflow::fail && when_full != overflow::by_default);
    }

    bool operator==(const session_options&) const = default;
};

namespace detail {

/// Options, and what follows from them.
struct settled_options : session_options {
    constexpr explicit settled_options(const session_options& from) noexcept
        : session_options{from}
        , quiet_bytes{std::min({limits.queue_watermark, limits.queue_bytes, from.budget.turn_bytes()})} {}

    std::size_t quiet_bytes;
};

} // namespace detail

/// Options that many sessions share, so that each holds no more than a pointer. Any thread.
class shared_session_options {
public:
    /// The defaults, which need no memory.
    shared_session_options() noexcept = default;

    /// A copy. Throws `std::bad_alloc` when memory ran out.
    explicit shared_session_options(const session_options& options)
        : options_{own(new block{options})} {}

    /// A copy, or none when memory ran out.
    shared_session_options(const session_options& options, std::nothrow_t) noexcept
        : options_{own(new (std::nothrow) block{options})} {}

    shared_session_options(const shared_session_options& other) noexcept
        : options_{other.options_} {
        if (is_counted()) counted().add_owner();
    }
    shared_session_options& operator=(shared_session_options other) noexcept {
        std::swap(options_, other.options_);
        return *this;
    }
    ~shared_session_options() {
        if (is_counted()) counted().drop_owner();
    }

    [[nodiscard]] explicit operator bool() const noexcept { return options_ != nullptr; }
    const session_options& operator*() const noexcept { return *options_; }
    const session_options* operator->() const noexcept { return options_; }

    /// Bytes that may be queued without a look at any limit: none of them is passed, nor anything charged.
    [[nodiscard]] std::size_t quiet_bytes() const noexcept { return options_->quiet_bytes; }

private:
    using settled = detail::settled_options;
    struct block final : settled, detail::counted<block> {
        using settled::settled;
    };

    [[nodiscard]] static const settled* own(const block* made) noexcept {
        if (made != nullptr) made->add_owner();
        return made;
    }
    [[nodiscard]] bool is_counted() const noexcept { return options_ != nullptr && options_ != &defaults_; }
    [[nodiscard]] const block& counted() const noexcept { return static_cast<const block&>(*options_); }

    inline static constexpr settled defaults_{session_options{}};
    const settled* options_ = &defaults_;
};

} // namespace duplex
