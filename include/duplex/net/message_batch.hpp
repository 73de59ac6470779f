#pragma once

#include <duplex/net/impl/connection_state.hpp>
#include <duplex/net/message.hpp>

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <utility>

namespace duplex {

/// The messages of one read of the socket: a range that is gone through once. Each message is a view that
/// ends with the step to the next one. What is sent while the batch lives leaves in one write when it ends:
/// at the end of the range, with the batch object, or with the next read, whichever is first. Same thread
/// rule as the connection.
template <class Stream>
class message_batch {
    using state_type = detail::connection_state<Stream>;

public:
    message_batch() noexcept = default;
    message_batch(detail::intrusive_ptr<state_type> state, const event& first) noexcept
        : state_{std::move(state)}
        , serial_{state_->batch_}
        , current_{message::received(first.op, first.payload)} {}
    message_batch(message_batch&& other) noexcept
        : state_{std::move(other.state_)}
        , serial_{other.serial_}
        , current_{std::move(other.current_)} {}
    message_batch& operator=(message_batch&& other) noexcept {
        finish();
        state_ = std::move(other.state_);
        serial_ = other.serial_;
        current_ = std::move(other.current_);
        return *this;
    }
    ~message_batch() { finish(); }

    class iterator {
    public:
        using value_type = message;
        using difference_type = std::ptrdiff_t;

        explicit iterator(message_batch& batch) noexcept
            : batch_{&batch} {}
        const message& operator*() const noexcept { return batch_->current_; }
        const message* operator->() const noexcept { return &batch_->current_; }
        iterator& operator++() {
            batch_->advance();
            return *this;
        }
        void operator++(int) { ++*this; }
        bool operator==(std::default_sentinel_t) const noexcept { return batch_->done(); }

    private:
        message_batch* batch_;
    };

    [[nodiscard]] iterator begin() noexcept { return iterator{*this}; }
    [[nodiscard]] std::default_sentinel_t end() const noexcept { return {}; }

private:
    [[nodiscard]] bool done() const noexcept { return !state_ || state_->batch_ != serial_; }

    void advance() {
        if (done()) return;
        while (const event next = state_->session_.next()) {
            if (next.what == event::kind::message) {
                current_ = message::received(next.op, next.payload);
                return;
            }
            state_->on_event(next);
        }
        finish();
    }

    void finish() {
        const auto state = std::move(state_);
        if (state && state->batch_ == serial_) state->end_batch();
    }

    detail::intrusive_ptr<state_type> state_;
    std::uint32_t serial_ = 0;
    message current_;
};

} // namespace duplex
