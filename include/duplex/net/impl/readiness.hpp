#pragma once

// How a connection learns that it can read or write, and what it puts off to the end of the loop's turn.

#include <duplex/net/impl/connection_state.hpp>

namespace duplex::detail {

template <class Stream>
void connection_state<Stream>::watch() {
    if constexpr (polled) {
        this->polls_ = &asio::use_service<poll_set>(context_of(stream_.get_executor()));
        // A socket that can't be watched tells why when it is read.
        const auto error = this->polls_->add(stream_.native_handle(), *this);
        if (!error) return;
        traits::close(stream_);
        this->readable_ = true;
    }
}

/// Before the stream is closed: nothing is told any more, and nothing is under way.
template <class Stream>
void connection_state<Stream>::unwatch() noexcept {
    if constexpr (polled) {
        this->polls_->remove(stream_.native_handle(), *this);
        reading_ = writing_ = false;
        let_go();
    }
}

template <class Stream>
void connection_state<Stream>::await_readable() {
    if constexpr (polled) {
        hold();
        if (this->readable_) defer();
    } else {
        stream_.async_wait(Stream::wait_read, read_handler{*this});
    }
}

template <class Stream>
void connection_state<Stream>::await_writable() {
    writing_ = true;
    if constexpr (polled) {
        hold();
        if (!std::exchange(this->watches_writes_, true))
            this->polls_->watch_writes(stream_.native_handle(), *this);
    } else {
        stream_.async_wait(Stream::wait_write, write_handler{pointer{this}});
    }
}

/// What is under way keeps the connection and the run of its context alive, as an operation of Asio's would.
template <class Stream>
void connection_state<Stream>::hold() {
    if (std::exchange(this->held_, true)) return;
    this->add_owner();
    this->polls_->hold();
}

template <class Stream>
void connection_state<Stream>::let_go() noexcept {
    if (!this->held_ || reading_ || writing_) return;
    this->held_ = false;
    this->polls_->let_go();
    this->drop_owner();
}

template <class Stream>
void connection_state<Stream>::became_ready(bool readable, bool writable, bool more) {
    const pointer self{this};
    if (readable) this->readable_ = true;
    if (more) this->read_on_ = true;
    if (writable && writing_) on_writable({}, 0);
    read_what_is_there();
}

/// Reads where both the stream and the connection are ready for it; then, with nothing under way, nothing is
/// held.
template <class Stream>
void connection_state<Stream>::read_what_is_there() {
    if (this->readable_ && reading_) on_readable({}, 0);
    let_go();
}

/// Comes back at the end of the loop's turn, never from inside the function that asked.
template <class Stream>
void connection_state<Stream>::defer() {
    if constexpr (shares_turns) {
        if (service_->turns().add(*this, stream_.get_executor())) this->add_owner();
    } else {
        if (turn_posted_) return;
        asio::post(stream_.get_executor(), [self = pointer{this}] {
            self->turn_posted_ = false;
            self->turn();
        });
        turn_posted_ = true;
    }
}

template <class Stream>
void connection_state<Stream>::on_turn() {
    const pointer self{this};
    this->drop_owner();
    turn();
}

template <class Stream>
void connection_state<Stream>::turn() {
    if (std::exchange(flush_soon_, false)) {
        drain_inbox();
        flush();
        follow_session();
    }
    if (std::exchange(serving_soon_, false) && !ended_) {
        session_.at(service_->now());
        serve();
    }
    if constexpr (polled) read_what_is_there();
}

} // namespace duplex::detail
