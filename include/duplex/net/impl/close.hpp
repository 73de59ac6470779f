#pragma once

// The end: closing handshake, deadlines, and the transport's own end (RFC 6455 7).

#include <duplex/net/impl/connection_state.hpp>

namespace duplex::detail {

template <class Stream>
void connection_state<Stream>::close_then(close_code code, std::string_view reason, close_how how,
                                          listed_waiter<std::error_code>& done) {
    auto error = check_close(code, reason);
    if (!error && !may_wait()) error = errc::out_of_memory;
    // The refused peer is given its time to read the answer.
    const bool refused = opening_ && opening_->refused;
    if (!error && !refused) error = opening_ ? make_error_code(errc::not_open) : close(code, reason, how);
    if (error) return done.complete(completion::post, error);
    if (is_.ended)
        return done.complete(completion::post, ended_cleanly() ? std::error_code{} : final_error());
    waiting()->closes.push_back(done);
    if (refused) return;
    if (is_.batch_out) end_batch();
    schedule_flush();
    // Without a reader what still comes is dropped, up to the peer's Close.
    if (!reader_) serve_soon();
}

/// Closes the session; where that drops messages, those who wait for them are told.
template <class Stream>
std::error_code connection_state<Stream>::close_session(close_code code, std::string_view reason,
                                                        close_how how) {
    if (how == close_how::after_queued) return session_.close(code, reason);
    const auto error = session_.close_at_once(code, reason);
    if (error || !waiting()) return error;
    auto& sent = waiting()->sent;
    const auto last = session_.close_begins_at();
    for (auto* each = sent.front(); each;) {
        auto& dropped = *std::exchange(each, each->next);
        if (dropped.key <= last) continue;
        sent.remove(dropped);
        dropped.complete(completion::post, errc::message_dropped);
    }
    return error;
}

/// The stream ended or broke.
template <class Stream>
void connection_state<Stream>::on_transport_error(std::error_code error) {
    if (error != asio::error::eof && error != asio::error::operation_aborted) remember(error);
    session_.eof();
    serve();
    end();
}

/// Does what the session says about the transport, and keeps reading as long as somebody wants it.
template <class Stream>
void connection_state<Stream>::follow_session() {
    if (is_.ended || opening_) return;
    if (is_paused() && !session_.is_open()) [[unlikely]]
        end_pause();
    if (session_.has_news() || (seldom_ && seldom_->wishes)) [[unlikely]]
        take_news();
    const auto step = session_.transport();
    // While a batch is looked at, or a callback runs, the window is needed; what there is to do is done when
    // that is through.
    if ((is_.batch_out || corked_) && step != transport_step::abort) return update_deadline();
    switch (step) {
    case transport_step::keep:
        if (!wants_read()) break;
        if (session_.unread().empty())
            start_read();
        else
            serve_soon();
        break;
    case transport_step::finish:
        if (session_.queued() == 0 && !is_.writing && !is_.shut) {
            is_.shut = true;
            if (!traits::shutdown_send(stream_)) return end();
        }
        // RFC 6455 7.1.1: wait for the peer's end, so that nothing of ours is cut off by a reset.
        start_read();
        break;
    case transport_step::await_end: start_read(); break;
    case transport_step::abort: return end();
    }
    // On an open connection with nothing to write, most of what happens only puts deadlines off.
    if (!session_.is_open() || session_.queued() != 0 || this->due() == no_deadline ||
        session_.deadline_came_closer())
        update_deadline();
}

template <class Stream>
bool connection_state<Stream>::wants_read() noexcept {
    if (is_.batch_out || is_.serving_soon || is_paused()) return false;
    if (!reader_) return awaits_close() || is_.released;
    if (!reader_->whole_life) return true;
    // A run that answers what it reads must not read faster than the answers leave. Only a server's: were
    // both ends to stop because the other doesn't read, neither would ever go on.
    if (session_.self() == role::client) return true;
    if (is_.paused != 0 ? !session_.below_low_watermark() : session_.above_watermark()) {
        is_.paused = situation::by_queue;
        return false;
    }
    is_.paused = 0;
    return true;
}

/// The first error of the stream is the one that counts. Without memory for it the connection is just lost.
template <class Stream>
void connection_state<Stream>::remember(std::error_code of_transport) noexcept {
    if (have(&seldom::end) && !how_it_ended()->transport) how_it_ended()->transport = of_transport;
}

template <class Stream>
close_result* connection_state<Stream>::result() noexcept {
    if (!have(&seldom::end)) return nullptr;
    auto& found = how_it_ended()->result;
    return found ? &*found : &found.emplace();
}

template <class Stream>
std::error_code connection_state<Stream>::session_error() const noexcept {
    if (const auto* end = how_it_ended(); session_.error() == errc::connection_lost && end && end->transport)
        return end->transport;
    return session_.error();
}

template <class Stream>
std::error_code connection_state<Stream>::final_error() const noexcept {
    if (opening_) return outcome() && outcome()->error ? outcome()->error : make_error_code(errc::aborted);
    if (const auto* known = result_if_any(); known && known->error) return known->error;
    return session_error();
}

template <class Stream>
void connection_state<Stream>::end() {
    if (is_.ended) return;
    const pointer self{this};
    is_.ended = true;
    open_.store(false, std::memory_order_release);
    unwatch();
    traits::close(stream_);
    service_->cancel(*this);
    drain_inbox();
    if (!opening_) {
        const bool known = result_if_any() != nullptr;
        if (auto* const told = result()) {
            if (!known)
                told->error =
                    session_.error() == errc::closed ? make_error_code(errc::aborted) : session_error();
            if (session_.counters().closes_out != 0 && told->begun_by == initiator::neither)
                told->begun_by = initiator::self;
        }
    }
    const auto error = final_error();
    if (opening_ && opening_->waiting)
        std::exchange(opening_->waiting, nullptr)->complete(completion::post, make_error_code(errc::aborted));
    const bool clean = ended_well();
    session_.lose_output();
    end_wishes(error);
    end_reader();
    if (waiting()) {
        waiting()->sent.complete_all(completion::post, error);
        waiting()->drains.complete_all(completion::post, error);
        waiting()->pings.complete_all(completion::post, error, {});
        waiting()->closes.complete_all(completion::post, clean ? std::error_code{} : error);
    }
    // An asynchronous write under way still holds the bytes, as a read or a callback does.
    if (!is_.writing) session_.drop_output();
    if ((traits::waits || !reading_) && !corked_ && !is_.batch_out) session_.drop_input();
    if (opening_) opening_->counted.end();
    buffered_.store(0, std::memory_order_relaxed);
}

template <class Stream>
void connection_state<Stream>::abort() noexcept {
    if (is_.ended) return;
    if (!opening_) {
        session_.fail(errc::aborted);
        if (!ended_cleanly())
            if (auto* const told = result()) told->error = errc::aborted;
    }
    end();
}

template <class Stream>
void connection_state<Stream>::release() noexcept {
    is_.released = true;
    // Whoever runs it is told nothing more.
    if (is_.ended) {
        if (reader_) retire_reader(final_error());
        return;
    }
    const pointer self{this};
    if (opening_) {
        // A refusal is still on its way to the peer; its deadline stays.
        if (!opening_->refused) end();
        return;
    }
    // What other threads have sent goes like the rest.
    drain_inbox();
    if (session_.is_open()) return leave();
    if (is_.batch_out) return abort();
    // A closing handshake is under way: it comes to its end, or to its deadline, without the owner.
    if (reader_) retire_reader(errc::aborted);
    schedule_flush();
    serve_soon();
}

/// Ends an open connection. The peer learns that we go, if its end of the line is free.
template <class Stream>
void connection_state<Stream>::leave() noexcept {
    if (!opening_ && session_.is_open()) {
        (void)session_.close(close_code::going_away);
        // Without memory for it the peer learns it from the transport.
        if (!is_.writing) (void)nothrow([this] { write_queued(); });
    }
    abort();
}

template <class Stream>
void connection_state<Stream>::update_deadline() {
    if (is_.ended) return;
    // Where a Ping has just been written.
    if (seldom_ && seldom_->answers) [[unlikely]] {
        if (reading_ && !is_paused())
            session_.answers().ping_was_written_at(service_->precise_now());
        else
            session_.answers().forget_ping_time();
    }
    time_point next = opening_ ? opening_->deadline : session_.next_deadline();
    if (seldom_ && seldom_->wishes) next = std::min(next, seldom_->wishes->earliest);
    // A deadline that has moved away is found to have done so when it comes.
    if (next >= this->due()) return;
    service_->schedule(*this, next, stream_.get_executor());
}

template <class Stream>
void connection_state<Stream>::on_deadline() {
    post_call(stream_.get_executor(), pointer{this}, [](connection_state& self) { self.on_tick(); });
}

template <class Stream>
DUPLEX_RARE void connection_state<Stream>::on_tick() {
    service_->deadline_passed(*this);
    if (is_.ended) return;
    const time_point now = service_->now();
    if (!opening_) {
        session_.at(now);
        // A slow peer makes room in small steps, long before the system calls the socket writable.
        if constexpr (traits::waits)
            if (is_.writing) write_once();
        // What has come while the loop was busy is no silence.
        if constexpr (polled)
            if (reading_ && !is_paused()) {
                read_now();
                if (is_.ended) return;
                session_.at(now);
            }
        // The silence is of our own making.
        if (is_paused()) session_.answers().message_received(now);
        session_.on_time(now, reading_ && !is_paused());
        if (!session_.is_open()) open_.store(false, std::memory_order_release);
        if (is_.batch_out) {
            // The batch's owner is slow; keepalive doesn't wait for it.
            if (!is_.writing) write_queued();
            after_write();
            return follow_session();
        }
        serve();
        // A batch behind which nothing has changed doesn't look round.
        return follow_session();
    }
    if (now < opening_->deadline) return update_deadline();
    opening_->deadline = no_deadline;
    if (opening_->refused) return end();
    if (securing()) return opening_done(errc::tls_timeout);
    if (auto& server = opening_->server; server && opening_->to_write.empty()) {
        server->time_out();
        // A peer that doesn't read the answer either is not waited for.
        const auto& times = opening_->options.timeouts;
        opening_->deadline = deadline_after(now, times.close.count() > 0 ? times.close : times.handshake);
        opening_write(server->response());
        return update_deadline();
    }
    opening_done(errc::handshake_timeout);
}

template <class Stream>
DUPLEX_RARE void connection_state<Stream>::on_shutdown() noexcept {
    is_.ended = true;
    open_.store(false, std::memory_order_release);
    if (opening_ && opening_->waiting) std::exchange(opening_->waiting, nullptr)->abandon();
    if (reader_) std::exchange(reader_, nullptr)->abandon();
    // Those that wait are abandoned with their lists.
    forget(&seldom::waiting);
    forget(&seldom::wishes);
    drop_inbox();
    unwatch();
    // Handles may outlive the context; what belongs to it goes with it.
    buffered_.store(0, std::memory_order_relaxed);
    std::atomic_ref{service_}.store(nullptr);
    stream_.~Stream();
    // Nobody reads or writes there any more.
    session_.drop_output();
    session_.drop_input();
}

} // namespace duplex::detail
