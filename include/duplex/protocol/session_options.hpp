#pragma once

#include <duplex/core/detail/intrusive_ptr.hpp>
#include <duplex/core/limits.hpp>

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

    bool operator==(const session_options&) const = default;
};

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

private:
    struct block final : session_options, detail::counted<block> {
        explicit block(const session_options& from)
            : session_options{from} {}
    };

    [[nodiscard]] static const session_options* own(const block* made) noexcept {
        if (made != nullptr) made->add_owner();
        return made;
    }
    [[nodiscard]] bool is_counted() const noexcept { return options_ != nullptr && options_ != &defaults_; }
    [[nodiscard]] const block& counted() const noexcept { return static_cast<const block&>(*options_); }

    inline static constexpr session_options defaults_{};
    const session_options* options_ = &defaults_;
};

} // namespace duplex
