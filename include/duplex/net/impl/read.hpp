#pragma once

// Reading: one read of the stream, then events until the bytes are used up, then one write.

#include <duplex/net/impl/connection_state.hpp>

namespace duplex::detail {

template <class Stream>
void connection_state<Stream>::read(reader<Stream>& added) {
    if (opening_) return added.complete(completion::post, make_error_code(errc::not_open));
    if (reader_) return added.complete(completion::post, make_error_code(errc::operation_pending));
    if (session_.delivers_fragments() && !added.fragments)
        return added.complete(completion::post, make_error_code(errc::fragments_not_taken));
    if (is_.batch_out) end_batch();
    if (is_.ended || !session_.may_receive()) {
        // A run sees the connection to its end; a read has nothing to wait for.
        if (is_.ended || !added.whole_life) return added.complete(completion::post, final_error());
    }
    reader_ = &added;
    if (session_.unread().empty())
        follow_session();
    else
        serve_soon();
}

/// Stops waiting. Nothing is lost: the next read goes on where this one would have.
template <class Stream>
void connection_state<Stream>::stop_reading(reader<Stream>& gone) {
    if (reader_ == &gone) retire_reader(asio::error::operation_aborted);
}

/// A reader whose callback is running is completed only when it is through: until then it is in use.
template <class Stream>
DUPLEX_RARE void connection_state<Stream>::retire_reader(std::error_code error) {
    auto* gone = std::exchange(reader_, nullptr);
    if (gone && consuming_ && gone == consuming_->by)
        consuming_->retired = error;
    else if (gone)
        gone->complete(completion::post, error);
}

template <class Stream>
DUPLEX_ALWAYS_INLINE void connection_state<Stream>::start_read() {
    if (reading_ || is_.ended) return;
    reading_ = true;
    if constexpr (traits::waits) {
        await_readable();
    } else {
        const auto direct = opening_ ? std::span<std::byte>{} : session_.direct();
        reading_direct_ = !direct.empty();
        if (!reading_direct_) lease_.refill();
        const auto room = reading_direct_ ? direct : lease_.bytes();
        stream_.async_read_some(asio::mutable_buffer{room.data(), room.size()}, read_handler{*this});
    }
}

template <class Stream>
void connection_state<Stream>::on_readable(std::error_code error, std::size_t size) {
    if (is_paused() && !is_.ended) [[unlikely]] {
        // As far as the application can see nothing has come.
        auto& withheld = *seldom_->withheld;
        withheld.completed = true;
        withheld.error = error;
        withheld.size = size;
        return;
    }
    if (traits::waits && !error) return read_now();
    reading_ = false;
    if (!is_.ended) return received_apart(error, size);
    if (!corked_ && !is_.batch_out) session_.drop_input();
}

/// One read of a stream that gives at once what it has.
template <class Stream>
void connection_state<Stream>::read_now() {
    if constexpr (layered)
        if (stream_.layers()) [[unlikely]]
            return read_secured();
    if constexpr (traits::waits) read_once<false>();
}

/// The same through TLS.
template <class Stream>
DUPLEX_NEVER_INLINE void connection_state<Stream>::read_secured() {
    if constexpr (layered) {
        if (!securing()) return read_once<true>();
        reading_ = false;
        if (is_.ended) return;
        if constexpr (polled) this->readable_ = false;
        secure();
    }
}

template <class Stream>
template <bool Secured>
DUPLEX_ALWAYS_INLINE void connection_state<Stream>::read_once() {
    if constexpr (traits::waits) {
        reading_ = false;
        if (is_.ended) return;
        const auto direct = opening_ ? std::span<std::byte>{} : session_.direct();
        reading_direct_ = !direct.empty();
        if (!reading_direct_) lease_.refill();
        const auto room = reading_direct_ ? direct : lease_.bytes();
        std::error_code error;
        const asio::mutable_buffer into{room.data(), room.size()};
        std::size_t size = 0;
        if constexpr (layered && !Secured)
            size = stream_.read_plain(into, error);
        else
            size = stream_.read_some(into, error);
        const bool nothing = error && (error == asio::error::would_block || error == asio::error::try_again);
        // A socket that gives less than it was asked for has no more: the next bytes are told anew.
        if constexpr (polled)
            this->readable_ =
                (!nothing && (error || size == room.size() || this->read_on_)) || (Secured && unread());
        // TLS answers to some of what it reads.
        if constexpr (Secured)
            if (unsent() && !is_.writing && !opening_) await_writable();
        if (nothing) {
            lease_.give_back();
            return start_read();
        }
        if constexpr (Secured)
            received_apart(error, size);
        else
            received(error, size);
    }
}

/// `received`, where a call doesn't matter.
template <class Stream>
DUPLEX_NEVER_INLINE void connection_state<Stream>::received_apart(const std::error_code& error,
                                                                  std::size_t size) {
    received(error, size);
}

template <class Stream>
DUPLEX_ALWAYS_INLINE void connection_state<Stream>::received(const std::error_code& error, std::size_t size) {
    if (opening_) [[unlikely]] {
        const auto lease = std::move(lease_);
        return opening_received(lease.bytes().first(size), error);
    }
    session_.at(service_->now());
    if (error) [[unlikely]]
        return on_transport_error(error);
    if (!reading_direct_) [[likely]]
        session_.receive(lease_.bytes().first(size));
    else if (session_.may_receive())
        session_.received_direct(size);
    serve_at_once();
}

/// Lets the reader have the events, then sends what that produced in one write. The caller keeps the state
/// alive.
template <class Stream>
void connection_state<Stream>::serve() {
    serve_at_once();
}

template <class Stream>
DUPLEX_ALWAYS_INLINE void connection_state<Stream>::serve_at_once() {
    if (is_.batch_out || corked_) return;
    corked_ = true;
    lend_queue();
    auto* const active = reader_;
    bool done = false;
    if (active) [[likely]] {
        struct on_exit : consumption {
            connection_state& state;
            bool returned = false;
            DUPLEX_ALWAYS_INLINE ~on_exit() {
                state.consuming_ = nullptr;
                if (!returned) [[unlikely]]
                    state.callback_threw(*this);
            }
        } exit{{active}, *this};
        consuming_ = &exit;
        done = active->consume(*this);
        exit.returned = true;
        if (reader_ != active) [[unlikely]] {
            consuming_ = nullptr;
            active->complete(completion::post, *exit.retired);
            done = false;
        }
    } else if (!session_.may_receive() || is_.released || awaits_close()) {
        // Nobody reads any more, but the end still has to be found.
        while (const event found = session_.next())
            if (found.what != event::kind::message) on_event(found);
    }
    if (done) [[unlikely]]
        return finish_read();
    corked_ = false;
    after_batch();
}

/// A callback that throws takes its connection with it, and nothing else.
template <class Stream>
DUPLEX_RARE void connection_state<Stream>::callback_threw(const consumption& while_read) {
    corked_ = false;
    session_.fail(errc::callback_threw);
    if (is_.ended) {
        session_.drop_input();
        lease_.give_back();
    } else {
        // What the callback sent by reference lies in a window that may be filled anew.
        session_.settle();
        serve_soon();
    }
    if (reader_ != while_read.by) while_read.by->complete(completion::post, *while_read.retired);
}

/// The reader has what it waited for.
template <class Stream>
void connection_state<Stream>::finish_read() {
    auto* const completed = std::exchange(reader_, nullptr);
    if (completed->keeps_window && session_.may_receive()) {
        is_.batch_out = true;
        return completed->complete(completion::dispatch, {});
    }
    corked_ = false;
    look_around();
    completed->complete(completion::dispatch, {});
}

/// Most of the time nothing has changed: the connection is open, everything is written, all that came is
/// read, and the run goes on.
template <class Stream>
DUPLEX_ALWAYS_INLINE bool connection_state<Stream>::goes_on() const noexcept {
    return is_.ordinary() && session_.at_rest() && !stash() && reader_ && reader_->whole_life;
}

/// Sends what was collected, and goes on reading.
template <class Stream>
DUPLEX_ALWAYS_INLINE void connection_state<Stream>::after_batch() {
    if (is_.ordinary() && !opening_) [[likely]] {
        if constexpr (traits::waits) {
            if (session_.queued() != 0 && write_part() && session_.queued() != 0) write_queued();
        } else {
            write_queued();
        }
        after_write();
        if (goes_on()) [[likely]] {
            if (!reading_) lease_.give_back();
            return start_read();
        }
    }
    look_around();
}

/// Sends what was collected, keeps what was not read, and sees what there is to do.
template <class Stream>
void connection_state<Stream>::look_around() {
    flush();
    keep_unread();
    follow_session();
}

/// What the reader left is kept for the next read, and the buffer goes back to the thread.
template <class Stream>
void connection_state<Stream>::keep_unread() {
    session_.settle();
    if (is_.ended && !reading_) [[unlikely]]
        session_.drop_input();
    if (is_paused()) [[unlikely]]
        return keep_withheld();
    const auto rest = session_.unread();
    if (rest.empty()) {
        forget(&seldom::stash);
    } else if (lease_) {
        auto kept = std::make_unique<byte_buffer>();
        if (kept->append(rest))
            session_.lend_again(kept->bytes());
        else
            session_.fail(errc::out_of_memory);
        with_seldom().stash = std::move(kept);
    }
    if (!reading_) lease_.give_back();
}

template <class Stream>
void connection_state<Stream>::end_batch() {
    if (!is_.batch_out) return;
    const pointer self{this};
    is_.batch_out = corked_ = false;
    ++batch_;
    if (is_.ended) {
        if (!reading_) session_.drop_input();
        return lease_.give_back();
    }
    look_around();
}

template <class Stream>
std::optional<message> connection_state<Stream>::try_read() {
    if (opening_ || reader_) return std::nullopt;
    if (is_.batch_out) end_batch();
    std::optional<message> found;
    while (const event next = session_.next()) {
        if (next.what == event::kind::message) {
            found = own(next);
            break;
        }
        on_event(next);
    }
    keep_unread();
    if (session_.queued() != 0 || !session_.may_receive()) schedule_flush();
    return found;
}

template <class Stream>
message connection_state<Stream>::own(const event& found) {
    if (auto assembled = session_.take_message(); !assembled.empty())
        return message::received(found.op, std::move(assembled));
    const auto view = message::received(found.op, found.payload);
    return message{view};
}

template <class Stream>
void connection_state<Stream>::on_event(const event& found) {
    if (found.what == event::kind::closed || found.what == event::kind::failed) {
        open_.store(false, std::memory_order_release);
        // RFC 6455 7.1.1: where it is ours to end, that may go along with the Close.
        if constexpr (requires { traits::end_follows(stream_); })
            if (session_.transport() == transport_step::finish) traits::end_follows(stream_);
    }
    switch (found.what) {
    case event::kind::pong: {
        if (found.payload.empty()) return time_keepalive();
        if (!waiting() || found.payload.size() != sizeof(std::uint64_t)) return;
        auto& pings = waiting()->pings;
        const auto number = load_big<std::uint64_t>(found.payload.data());
        // A Pong for another Ping of the application, or for none.
        if (number > waiting()->ping_count) return;
        const auto now = service_->precise_now();
        // RFC 6455 5.5.3: a peer may answer only the latest of several Pings.
        while (!pings.empty() && pings.front()->key <= number) {
            auto& each = static_cast<ping_waiter&>(*pings.pop_front());
            if (each.key == number && each.written != no_deadline) answered(now - each.written);
            // The peer can guess the number before the Ping has left.
            each.complete(completion::post, {},
                          each.written == no_deadline ? time_point::duration{} : now - each.written);
        }
        return;
    }
    case event::kind::closed: {
        if (auto* const end = result()) {
            end->code = found.code;
            (void)nothrow([&] { end->reason = found.text(); });
            end->was_clean = true;
            end->begun_by = found.answered ? initiator::peer : initiator::self;
            // A deadline of ours may have begun the closing.
            if (session_.error() != errc::closed) end->error = session_.error();
        }
        return;
    }
    case event::kind::failed:
        if (auto* const end = result()) end->error = session_error();
        return;
    default: return;
    }
}

} // namespace duplex::detail
