#pragma once

// How a connection learns that it can read or write, and what it puts off to the end of the loop's turn.

#include <duplex/net/impl/connection_state.hpp>

namespace duplex::detail {

template <class Stream>
void connection_state<Stream>::watch() {
    if constexpr (polled) {
        if (!service_->has_polls())
            service_->use(asio::use_service<poll_set>(context_of(stream_.get_executor())));
        const auto error = service_->polls().add(stream_.native_handle(), *this);
        if (!error) return;
        // The first to use the connection is told why.
        remember(error);
        traits::close(stream_);
        this->readable_ = true;
    }
}

/// Before the stream is closed: nothing is told any more, and nothing is under way.
template <class Stream>
void connection_state<Stream>::unwatch() noexcept {
    if constexpr (polled) {
        service_->polls().remove(stream_.native_handle(), *this);
        reading_ = is_.writing = false;
        let_go();
    }
}

template <class Stream>
DUPLEX_ALWAYS_INLINE void connection_state<Stream>::await_readable() {
    if constexpr (polled) {
        hold();
        if (this->readable_) defer();
    } else {
        stream_.async_wait(Stream::wait_read, read_handler{*this});
    }
}

template <class Stream>
void connection_state<Stream>::await_writable() {
    is_.writing = true;
    if constexpr (polled) {
        hold();
        if (!std::exchange(this->watches_writes_, true))
            service_->polls().watch_writes(stream_.native_handle(), *this);
    } else {
        stream_.async_wait(Stream::wait_write, write_handler{pointer{this}});
    }
}

/// What is under way keeps the connection and the run of its context alive, as an operation of Asio's would.
template <class Stream>
DUPLEX_ALWAYS_INLINE void connection_state<Stream>::hold() {
    if (std::exchange(this->held_, true)) [[likely]]
        return;
    this->add_owner();
    service_->polls().hold();
}

template <class Stream>
DUPLEX_ALWAYS_INLINE void connection_state<Stream>::let_go() noexcept {
    if (this->held_ && !reading_ && !is_.writing && !this->telling_) [[unlikely]]
        drop_hold();
}

template <class Stream>
DUPLEX_NEVER_INLINE void connection_state<Stream>::drop_hold() noexcept {
    this->held_ = false;
    service_->polls().let_go();
    this->drop_owner();
}

template <class Stream>
void connection_state<Stream>::became_ready(std::uint32_t events) {
    // After both Close frames and both ends of the transport a read would find nothing but the end.
    if (this->all_ended(events) && is_.shut && ended_cleanly()) [[unlikely]]
        return end();
    if ((events & this->may_read) != 0) this->readable_ = true;
    if ((events & this->read_on) != 0) this->read_on_ = true;
    serve_stream((events & this->may_write) != 0);
}

/// Writes and reads where both the stream and the connection are ready for it; then, with nothing under way,
/// nothing is held.
template <class Stream>
DUPLEX_ALWAYS_INLINE void connection_state<Stream>::serve_stream(bool writable) {
    if (!this->held_) return;
    // What is held keeps the connection alive until here.
    struct on_exit {
        connection_state& state;
        bool outermost;
        ~on_exit() {
            state.telling_ = !outermost;
            state.let_go();
        }
    };
    const on_exit released{*this, !std::exchange(this->telling_, true)};
    if (writable && is_.writing) on_writable({}, 0);
    if (this->readable_ && reading_) read_now();
}

/// Comes back at the end of the loop's turn, never from inside the function that asked.
template <class Stream>
void connection_state<Stream>::defer() {
    if constexpr (shares_turns) {
        if (service_->turns().add(*this, stream_.get_executor())) this->add_owner();
    } else {
        if (turn_posted_) return;
        post_call(stream_.get_executor(), pointer{this}, [](connection_state& self) {
            self.turn_posted_ = false;
            self.turn();
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
    if (std::exchange(is_.flush_soon, false)) {
        drain_inbox();
        flush();
        follow_session();
    }
    if (is_.ended && reader_) [[unlikely]]
        last_turn();
    if (std::exchange(is_.serving_soon, false) && !is_.ended) {
        session_.at(service_->now());
        serve();
    }
    if constexpr (polled) serve_stream(false);
}

} // namespace duplex::detail
