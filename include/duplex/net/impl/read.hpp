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
    if (batch_out_) end_batch();
    if (ended_ || !session_.may_receive()) {
        // A run sees the connection to its end; a read has nothing to wait for.
        if (ended_ || !added.whole_life) return added.complete(completion::post, final_error());
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
void connection_state<Stream>::retire_reader(std::error_code error) {
    auto* gone = std::exchange(reader_, nullptr);
    if (gone && gone == consuming_)
        retired_error_ = error;
    else if (gone)
        gone->complete(completion::post, error);
}

template <class Stream>
void connection_state<Stream>::start_read() {
    if (reading_ || ended_) return;
    reading_ = true;
    if constexpr (traits::waits) {
        await_readable();
    } else {
        const auto direct = opening_ ? std::span<std::byte>{} : session_.direct();
        reading_direct_ = !direct.empty();
        if (!reading_direct_ && !lease_) lease_ = receive_lease::take();
        const auto room = reading_direct_ ? direct : lease_.bytes();
        stream_.async_read_some(asio::mutable_buffer{room.data(), room.size()}, read_handler{*this});
    }
}

template <class Stream>
void connection_state<Stream>::on_readable(std::error_code error, std::size_t size) {
    reading_ = false;
    if (ended_) return;
    if constexpr (traits::waits) {
        if (!error) {
            const auto direct = opening_ ? std::span<std::byte>{} : session_.direct();
            reading_direct_ = !direct.empty();
            if (!reading_direct_) lease_ = receive_lease::take();
            const auto room = reading_direct_ ? direct : lease_.bytes();
            size = stream_.read_some(asio::mutable_buffer{room.data(), room.size()}, error);
            const bool nothing =
                error && (error == asio::error::would_block || error == asio::error::try_again);
            // A socket that gives less than it was asked for has no more: the next bytes are told anew.
            if constexpr (polled)
                this->readable_ = !nothing && (error || size == room.size() || this->read_on_);
            if (nothing) {
                lease_.give_back();
                return start_read();
            }
        }
    }
    if (opening_) {
        if (error && error != asio::error::eof) return opening_done(error);
        const auto lease = std::move(lease_);
        return opening_received(lease.bytes().first(size), bool{error});
    }
    session_.at(service_->now());
    if (error) return on_transport_error(error);
    if (reading_direct_) {
        if (session_.may_receive()) session_.received_direct(size);
    } else {
        window_ = lease_.bytes().first(size);
        session_.receive(window_);
    }
    serve();
}

/// Lets the reader have the events, then sends what that produced in one write. The caller keeps the state
/// alive.
template <class Stream>
void connection_state<Stream>::serve() {
    if (batch_out_ || corked_) return;
    corked_ = true;
    lend_queue();
    auto* const active = reader_;
    bool done = false;
    if (active) {
        // A callback that throws takes its connection with it, and nothing else.
        struct on_exit {
            connection_state& state;
            reader<Stream>* active;
            bool returned = false;
            ~on_exit() {
                state.consuming_ = nullptr;
                if (returned) return;
                state.corked_ = false;
                state.session_.fail(errc::callback_threw);
                if (state.ended_) {
                    state.window_ = {};
                    state.lease_.give_back();
                } else {
                    state.serve_soon();
                }
                if (state.reader_ != active) active->complete(completion::post, state.retired_error_);
            }
        } exit{*this, active};
        consuming_ = active;
        done = active->consume(*this);
        exit.returned = true;
    } else if (!session_.may_receive() || released_ || awaits_close()) {
        // Nobody reads any more, but the end still has to be found.
        while (const event found = session_.next())
            if (found.what != event::kind::message) on_event(found);
    }
    if (active && reader_ != active) {
        active->complete(completion::post, retired_error_);
        done = false;
    }
    auto* completed = done ? std::exchange(reader_, nullptr) : nullptr;
    if (completed && completed->keeps_window && session_.may_receive()) {
        batch_out_ = true;
        return completed->complete(completion::dispatch, {});
    }
    corked_ = false;
    flush();
    keep_unread();
    follow_session();
    if (completed) completed->complete(completion::dispatch, {});
}

/// What the reader left is kept for the next read, and the buffer goes back to the thread.
template <class Stream>
void connection_state<Stream>::keep_unread() {
    session_.settle();
    window_ = {};
    const auto rest = session_.unread();
    if (rest.empty()) {
        stash_.reset();
    } else if (lease_) {
        auto kept = std::make_unique<byte_buffer>();
        if (kept->append(rest))
            session_.receive(kept->bytes());
        else
            session_.fail(errc::out_of_memory);
        stash_ = std::move(kept);
    }
    if (!reading_) lease_.give_back();
}

template <class Stream>
void connection_state<Stream>::end_batch() {
    if (!batch_out_) return;
    const pointer self{this};
    batch_out_ = corked_ = false;
    ++batch_;
    if (ended_) return lease_.give_back();
    flush();
    keep_unread();
    follow_session();
}

template <class Stream>
std::optional<message> connection_state<Stream>::try_read() {
    if (opening_ || reader_) return std::nullopt;
    if (batch_out_) end_batch();
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
    switch (found.what) {
    case event::kind::pong: {
        if (!waiters_ || found.payload.size() != sizeof(std::uint64_t)) return;
        auto& pings = waiters_->pings;
        const auto number = load_big<std::uint64_t>(found.payload.data());
        // A Pong for another Ping of the application, or for none.
        if (number > waiters_->ping_count) return;
        const auto now = service_->precise_now();
        // RFC 6455 5.5.3: a peer may answer only the latest of several Pings.
        while (!pings.empty() && pings.front()->key <= number) {
            auto& each = static_cast<ping_waiter&>(*pings.pop_front());
            // The peer can guess the number before the Ping has left.
            each.complete(completion::post, {},
                          each.written == no_deadline ? time_point::duration{} : now - each.written);
        }
        return;
    }
    case event::kind::closed: {
        open_.store(false, std::memory_order_release);
        auto& end = result();
        end.code = found.code;
        end.reason = found.text();
        end.was_clean = true;
        // A deadline of ours may have begun the closing.
        if (session_.error() != errc::closed) end.error = session_.error();
        return;
    }
    case event::kind::failed:
        open_.store(false, std::memory_order_release);
        result().error = session_error();
        return;
    default: return;
    }
}

} // namespace duplex::detail
