#pragma once

// What the application does not want to read yet, and how long the peer takes to answer.

#include <duplex/net/impl/connection_state.hpp>

namespace duplex::detail {

/// What was read and not looked at is withheld; nothing more is read.
template <class Stream>
void connection_state<Stream>::pause() {
    if (opening_ || is_.ended || is_paused() || !session_.is_open()) return;
    // One that is resumed may still have something to look at.
    auto& withheld = with_seldom().withheld;
    if (!withheld) withheld = std::make_unique<withheld_reading>();
    is_.paused |= situation::by_application;
    withheld->unread = session_.take_unread();
    session_.answers().forget_ping_time();
    // An operation of Asio's stays under way, and what it brings is withheld.
    if constexpr (polled) {
        reading_ = false;
        let_go();
    }
}

template <class Stream>
void connection_state<Stream>::resume() {
    if (!is_paused()) return;
    end_pause();
    if (session_.unread().empty())
        follow_session();
    else
        serve_soon();
}

/// Never looks at what came from in here: a callback may be running.
template <class Stream>
void connection_state<Stream>::end_pause() {
    is_.paused &= static_cast<std::uint8_t>(~situation::by_application);
    auto& withheld = *seldom_->withheld;
    if (session_.may_receive()) session_.give_unread(withheld.unread);
    if (is_.ended) return;
    session_.answers().silence_excused(service_->now());
    if (withheld.completed)
        post_call(stream_.get_executor(), pointer{this},
                  [](connection_state& self) { self.look_at_withheld(); });
    else
        forget(&seldom::withheld);
}

template <class Stream>
void connection_state<Stream>::look_at_withheld() {
    // It may have been paused again, or have ended.
    if (is_paused() || is_.ended || !seldom_ || !seldom_->withheld) return;
    const withheld_reading kept = *seldom_->withheld;
    forget(&seldom::withheld);
    if (kept.completed) on_readable(kept.error, kept.size);
}

/// What the reader left, while the reading is paused.
template <class Stream>
void connection_state<Stream>::keep_withheld() {
    auto& unread = seldom_->withheld->unread;
    if (unread.empty()) {
        forget(&seldom::stash);
    } else if (in_window(unread)) {
        auto kept = std::make_unique<byte_buffer>();
        const bool copied = kept->append(unread);
        unread = kept->bytes();
        if (!copied) session_.fail(errc::out_of_memory);
        with_seldom().stash = std::move(kept);
    }
    if (!reading_) lease_.give_back();
}

template <class Stream>
latency connection_state<Stream>::measured() {
    if (seldom_ && seldom_->answers) return *seldom_->answers;
    // A Ping that is under way was not timed.
    if (have(&seldom::answers)) session_.answers().forget_ping_time();
    return {};
}

/// A Ping has its Pong.
template <class Stream>
void connection_state<Stream>::answered(time_point::duration round_trip) {
    if (seldom_ && seldom_->answers) seldom_->answers->add(round_trip);
}

/// A Pong without payload answers the keepalive's Ping.
template <class Stream>
void connection_state<Stream>::time_keepalive() {
    if (const auto since = session_.answers().pong_received()) answered(service_->precise_now() - *since);
}

template <class Stream>
send_status connection_state<Stream>::send_parts(opcode op,
                                                 std::span<const std::span<const std::byte>> parts) {
    if (!is_open()) return send_status::not_open;
    if (!here()) {
        byte_buffer whole;
        if (!whole.append_all(parts)) return send_status::out_of_memory;
        return send(op, std::move(whole));
    }
    come_here_to_send();
    return queued(session_.send_parts(op, parts));
}

template <class Stream>
send_status connection_state<Stream>::send_fragment(opcode op, std::span<const std::byte> payload, bool last,
                                                    compression how) {
    if (!is_open()) return send_status::not_open;
    come_here_to_send();
    return queued(session_.send_fragment(op, payload, last, how));
}

} // namespace duplex::detail
