#pragma once

#include <duplex/net/detail/asio_compat.hpp>
#include <duplex/net/detail/context_member.hpp>
#include <duplex/net/detail/kept_call.hpp>

#include <utility>

namespace duplex::detail {

/// What a connection has put off to the end of the loop's turn.
class turn_member : public context_member {
public:
    /// The end of the turn has come. On the loop's thread.
    virtual void on_turn() = 0;
    /// It will not come: the context is going away.
    virtual void on_turn_dropped() noexcept = 0;

protected:
    ~turn_member() = default;

private:
    friend class loop_turns;
    turn_member* next_in_turn_ = nullptr;
    bool in_turn_ = false;
};

/// The connections of an `io_context` that have something to do when what runs at the moment is through: one
/// posted function serves all of them, so that a message to a thousand peers costs one. One thread at a time.
class loop_turns {
public:
    loop_turns() noexcept = default;
    loop_turns(const loop_turns&) = delete;
    loop_turns& operator=(const loop_turns&) = delete;

    /// Calls `member.on_turn()` once, later; false where that was to happen already.
    bool add(turn_member& member, const asio::io_context::executor_type& executor) noexcept {
        if (member.in_turn_) return false;
        if (!inside_) post(executor);
        member.in_turn_ = true;
        member.next_in_turn_ = nullptr;
        (first_ ? last_->next_in_turn_ : first_) = &member;
        last_ = &member;
        return true;
    }

    /// Runs those that are waiting now; those they add come with the next pass.
    void pass() {
        const turn_member* const last = last_;
        while (first_) {
            turn_member& each = pop();
            const bool was_last = &each == last;
            each.on_turn();
            if (was_last) break;
        }
    }

    [[nodiscard]] bool empty() const noexcept { return first_ == nullptr; }

    /// While it lives nothing is posted for what is added: whoever made it calls `pass`.
    class scope {
    public:
        scope(loop_turns& turns, const asio::io_context::executor_type& executor) noexcept
            : turns_{turns}
            , executor_{executor}
            , was_inside_{std::exchange(turns.inside_, true)} {}
        scope(const scope&) = delete;
        scope& operator=(const scope&) = delete;
        ~scope() {
            turns_.inside_ = was_inside_;
            if (!was_inside_ && !turns_.empty()) turns_.post(executor_);
        }

    private:
        loop_turns& turns_;
        asio::io_context::executor_type executor_;
        bool was_inside_;
    };

    void drop_all() noexcept {
        while (first_)
            pop().on_turn_dropped();
    }

private:
    turn_member& pop() noexcept {
        turn_member& popped = *first_;
        first_ = popped.next_in_turn_;
        popped.in_turn_ = false;
        return popped;
    }

    void post(const asio::io_context::executor_type& executor) noexcept {
        if (posted_) return;
        context_ = &static_cast<asio::io_context&>(context_of(executor));
        posted_ = true;
        const auto step = [](loop_turns& self) {
            self.posted_ = false;
            const scope inside{self, self.context_->get_executor()};
            self.pass();
        };
        post_call(executor, *this, step, room_);
    }

    call_storage room_;
    asio::io_context* context_ = nullptr; ///< known once something was posted
    turn_member* first_ = nullptr;
    turn_member* last_ = nullptr; ///< meaningful while `first_` is set
    bool inside_ = false;
    bool posted_ = false;
};

} // namespace duplex::detail
