#pragma once

// Writing: what is sent is collected, leaves in one gather write, and each message's fate is told.

#include <duplex/net/impl/connection_state.hpp>

namespace duplex::detail {

/// A message that answers another, as most do, is on the way here.
template <class Stream>
DUPLEX_NEVER_INLINE send_status connection_state<Stream>::send(opcode op, std::span<const std::byte> payload,
                                                               text_is text) {
    if (is_open() && here() && corked_ && !inbox_.load(std::memory_order_acquire) &&
        session_.send_small(op, payload, text)) [[likely]]
        return send_status::ok;
    return send_any(op, payload, text);
}

template <class Stream>
send_status connection_state<Stream>::send(opcode op, byte_buffer&& payload, text_is text) {
    return send_any<byte_buffer&&>(op, std::move(payload), text);
}

/// Apart, so that the way above has nothing to save on the stack for it.
template <class Stream>
template <class Payload>
DUPLEX_NEVER_INLINE send_status connection_state<Stream>::send_any(opcode op, Payload payload, text_is text) {
    constexpr bool owned = std::is_same_v<std::remove_cvref_t<Payload>, byte_buffer>;
    // Also where the context is gone, and with it every thread that could run it.
    if (!is_open()) return send_status::not_open;
    if (here()) {
        // What this thread sent before it came here goes first.
        if (inbox_.load(std::memory_order_acquire)) drain_inbox();
        if (!corked_) prepare_to_send();
        if constexpr (owned) {
            return queued(session_.send(op, std::move(payload), text));
        } else {
            if (payload.size() < send_queue::reference_threshold || session_.codec())
                return queued(session_.send(op, payload, text));
            // With other streams the write would still be under way when the window is filled anew.
            if (traits::waits && in_window(payload)) return queued(session_.send_borrowed(op, payload, text));
            // Nothing is written before the callback is through with the message it answers.
            return queued(consuming_ ? session_.send_back(op, payload, text)
                                     : session_.send(op, payload, text));
        }
    }
    auto item = new_inbox_item();
    if (!item) return send_status::out_of_memory;
    item->op = op;
    item->text = text;
    if constexpr (owned)
        item->payload = std::move(payload);
    else if (!item->payload.append(payload))
        return send_status::out_of_memory;
    const auto status = send_from_elsewhere(item);
    // A payload that isn't accepted stays the caller's.
    if constexpr (owned)
        if (!accepted(status)) payload = std::move(item->payload);
    return status;
}

template <class Stream>
send_status connection_state<Stream>::send_prepared(const prepared_message& message) {
    if (!is_open()) return send_status::not_open;
    if (here()) {
        if (inbox_.load(std::memory_order_acquire)) drain_inbox();
        if (!corked_) prepare_to_send();
        return queued(session_.send(message));
    }
    auto item = new_inbox_item();
    if (!item) return send_status::out_of_memory;
    item->what = inbox_item::kind::prepared;
    item->prepared = message;
    return send_from_elsewhere(item);
}

/// Checks on the calling thread what can be checked there, so that the caller hears of it.
template <class Stream>
send_status connection_state<Stream>::send_from_elsewhere(std::unique_ptr<inbox_item>& item) {
    if (item->what == inbox_item::kind::prepared && !item->prepared) return item->prepared.why_not();
    const auto payload = item->what == inbox_item::kind::prepared ? item->prepared.payload()
                                                                  : std::as_const(item->payload).bytes();
    if (item->op != opcode::text && item->op != opcode::binary) return send_status::opcode_not_data;
    if (item->op == opcode::text && item->text == text_is::unchecked && session_.checks_outgoing_text() &&
        !is_valid_utf8(payload))
        return send_status::text_not_utf8;
    item->text = text_is::utf8;
    const std::size_t size =
        payload.size() + frame_header_size(payload.size(), session_.self() == role::client);
    item->size = size;
    // Counted before it is looked whether it fits, so that of two threads one knows of the other.
    const auto load = inbox_load_.add(size);
    const std::size_t coming = load.bytes();
    const std::size_t before = buffered_.load(std::memory_order_relaxed) + coming;
    item->admitted = session_.fits(before, payload.size()) && session_.charges(item->charge, before, size);
    if (!inbox_takes(load) || (!item->admitted && !decided_later(*item, coming + size))) {
        inbox_load_.remove(size);
        return session_.when_full(item->options) == overflow::wait ? send_status::would_wait
                                                                   : send_status::queue_full;
    }
    if (!push_inbox(item)) return send_status::not_open;
    return before + size > session_.watermark() ? send_status::above_watermark : send_status::ok;
}

template <class Stream>
send_status connection_state<Stream>::ping(std::span<const std::byte> payload) {
    if (payload.size() > max_control_payload) return send_status::control_payload_too_long;
    if (!is_open()) return send_status::not_open;
    if (here()) {
        if (!corked_) prepare_to_send();
        return queued(session_.ping(payload));
    }
    auto item = new_inbox_item();
    if (!item) return send_status::out_of_memory;
    item->what = inbox_item::kind::ping;
    if (!item->payload.append(payload)) return send_status::out_of_memory;
    if (!enter_inbox()) return send_status::queue_full;
    return push_inbox(item) ? send_status::ok : send_status::not_open;
}

template <class Stream>
std::error_code connection_state<Stream>::close(close_code code, std::string_view reason, close_how how) {
    if (const auto error = check_close(code, reason)) return error;
    // The connection has ended, or the context is gone, and with it what is asked below.
    if (inbox_.load(std::memory_order_acquire) == closed_inbox())
        return std::atomic_ref{service_}.load() ? std::error_code{} : errc::not_open;
    if (here()) {
        if (opening_) return errc::not_open;
        drain_inbox();
        session_.at(service_->precise_now());
        const auto error = close_session(code, reason, how);
        if (!session_.is_open()) open_.store(false, std::memory_order_release);
        schedule_flush();
        return error;
    }
    auto item = new_inbox_item();
    if (!item) return errc::out_of_memory;
    item->what = inbox_item::kind::close;
    item->code = code;
    item->how = how;
    if (!item->payload.append(std::as_bytes(std::span{reason.data(), reason.size()})))
        return errc::out_of_memory;
    // What is sent from now on could no longer go out.
    open_.store(false, std::memory_order_release);
    // Where there is no room, others that close are in it.
    if (enter_inbox(true)) (void)push_inbox(item);
    return {};
}

template <class Stream>
void connection_state<Stream>::send_then(opcode op, byte_buffer&& payload, const message_options& options,
                                         listed_waiter<std::error_code>& done) {
    if (here() && !asks_for_more(options) && !session_.holds_back()) {
        const auto status = may_wait() ? send(op, std::move(payload), options) : send_status::out_of_memory;
        return await_sent(status, done);
    }
    auto item = new_inbox_item();
    if (!item) return done.complete(completion::post, errc::out_of_memory);
    item->op = op;
    item->options = options;
    item->sent = &done;
    item->payload = std::move(payload);
    auto status = is_open() ? send_status::ok : send_status::not_open;
    if (accepted(status) && here()) {
        come_here_to_send();
        return send_in_turn(std::move(item));
    }
    // From another thread it stands in line with that thread's other messages.
    if (accepted(status)) status = send_from_elsewhere(item);
    if (!accepted(status)) done.complete(completion::post, to_error_code(status));
}

/// The message's fate is known once the transport has taken its last byte.
template <class Stream>
void connection_state<Stream>::await_sent(send_status status, listed_waiter<std::error_code>& done) {
    if (!accepted(status)) return done.complete(completion::post, to_error_code(status));
    if (done.key == withdrawn) return done.complete(completion::post, asio::error::operation_aborted);
    done.key = session_.data_pushed();
    waiting()->sent.push_back(done);
}

/// The one who waits goes; the message stays queued.
template <class Stream>
void connection_state<Stream>::withdraw_send(listed_waiter<std::error_code>& gone) {
    // One that is still on its way from another thread has no place in the list yet.
    if (gone.key == withdrawn) return;
    if (gone.key == 0) {
        gone.key = withdrawn;
    } else if ((gone.key & own_tag) == 0) {
        withdraw(waiting()->sent, gone);
    } else if (seldom_->wishes->for_room.remove(gone)) {
        gone.complete(completion::post, asio::error::operation_aborted);
    } else {
        // There may be room now for those that wait for some.
        if (session_.withdraw(gone.key)) schedule_flush();
        withdraw(seldom_->wishes->sent, gone);
    }
}

template <class Stream>
void connection_state<Stream>::drain(listed_waiter<std::error_code>& done) {
    drain_inbox();
    if (opening_ || is_.ended)
        return done.complete(completion::post, opening_ ? make_error_code(errc::not_open) : final_error());
    if (session_.queued() == 0) return done.complete(completion::post, {});
    if (!may_wait()) return done.complete(completion::post, errc::out_of_memory);
    waiting()->drains.push_back(done);
}

template <class Stream>
void connection_state<Stream>::ping_then(ping_waiter& done) {
    std::array<std::byte, sizeof(std::uint64_t)> number;
    if (!may_wait()) return done.complete(completion::post, errc::out_of_memory, {});
    // Without memory for it only this one is told its time.
    (void)have(&seldom::answers);
    const auto count = ++waiting()->ping_count;
    store_big(number.data(), count);
    drain_inbox();
    if (!corked_) prepare_to_send();
    const auto status = opening_ ? send_status::not_open : queued(session_.ping(number));
    if (!accepted(status)) return done.complete(completion::post, to_error_code(status), {});
    done.key = count;
    done.written_mark = session_.control_pushed();
    waiting()->pings.push_back(done);
}

/// Something was queued, or refused.
template <class Stream>
send_status connection_state<Stream>::queued(send_status status) {
    if (accepted(status)) {
        if (corked_) return status;
        buffered_.store(session_.queued(), std::memory_order_relaxed);
        schedule_flush();
    } else {
        refused();
        // It may have a deadline now.
        if (status == send_status::would_wait) schedule_flush();
    }
    return status;
}

template <class Stream>
void connection_state<Stream>::drain_inbox() {
    if (inbox_.load(std::memory_order_relaxed) == (is_.ended ? closed_inbox() : nullptr)) return;
    session_.at(service_->precise_now());
    inbox_chain newest_first{empty_inbox(is_.ended)};
    inbox_chain oldest_first;
    inbox_load::amount taken;
    while (auto item = newest_first.pop()) {
        taken.add(*item);
        oldest_first.push(item.release());
    }
    while (auto item = oldest_first.pop()) {
        // Its sender has been told that there is room.
        session_.admit_all(item->admitted);
        item->charge.release();
        switch (item->what) {
        case inbox_item::kind::message: {
            if (item->sent && (asks_for_more(item->options) || session_.holds_back())) {
                send_in_turn(std::move(item));
                break;
            }
            const auto status = item->sent && !may_wait() ? send_status::out_of_memory
                                                          : session_.send(item->op, std::move(item->payload),
                                                                          item->options, item->text);
            if (item->sent)
                await_sent(status, *item->sent);
            else
                sent_for_another(*item, status);
            break;
        }
        case inbox_item::kind::prepared:
            sent_for_another(*item, session_.send(item->prepared, item->options));
            break;
        case inbox_item::kind::ping: (void)session_.ping(item->payload.bytes()); break;
        case inbox_item::kind::close: {
            if (is_.ended) break;
            // One that is being opened does not open; before that there is nothing to close.
            if (opening_) {
                if (opening_->waiting) abort();
                break;
            }
            const auto error = close_session(
                item->code, {reinterpret_cast<const char*>(item->payload.data()), item->payload.size()},
                item->how);
            // Who asked has gone on: where there is nothing to make a Close of, the connection ends without.
            if (error && session_.is_open()) {
                session_.fail(errc_of(error, errc::out_of_memory));
                serve_soon();
            }
            open_.store(false, std::memory_order_release);
            break;
        }
        }
    }
    session_.admit_all(false);
    buffered_.store(session_.queued(), std::memory_order_relaxed);
    inbox_load_.remove(taken);
}

/// A message is accepted or its sender told. Where neither can be any more the connection doesn't go on
/// without it.
template <class Stream>
void connection_state<Stream>::sent_for_another(const inbox_item& item, send_status status) {
    // The session tells of what it drops.
    if (accepted(status) || status == send_status::dropped) return;
    if (session_.has_news()) take_news();
    if (item.options.tag != 0)
        if (auto* const with = wishes())
            with->keep({item.options.tag,
                        status == send_status::not_open ? message_fate::lost : message_fate::dropped});
    open_.store(false, std::memory_order_release);
    if (!session_.is_open()) return;
    session_.fail(errc_of(to_error_code(status), errc::out_of_memory));
    serve_soon();
}

template <class Stream>
void connection_state<Stream>::flush() {
    if (is_.ended || opening_) return;
    if (corked_ || is_.writing) {
        if (!corked_) session_.output_waits();
        // What waits its turn changes without a write, too.
        buffered_.store(session_.queued(), std::memory_order_relaxed);
        return;
    }
    write_queued();
    after_write();
}

/// Writes until the queue is empty or the transport takes no more.
template <class Stream>
void connection_state<Stream>::write_queued() {
    if constexpr (traits::waits) {
        if (unsent()) [[unlikely]]
            if (std::error_code error; !flush_layers(error)) return write_stopped(error);
        while (!is_.writing && session_.queued() != 0)
            if (!write_part()) return;
    } else {
        if (is_.writing) return;
        const auto buffers = gather();
        if (buffers.count == 0) return;
        stamp_pings();
        session_.hold_output();
        // Also where the stream throws: how much it took nobody knows, and nothing is to be sent twice.
        is_.writing = true;
        begin_to_wait();
        stream_.async_write_some(buffers, write_handler{pointer{this}});
    }
}

/// One write, to a stream that takes at once what it has room for. False where it had not room for all, and
/// where nothing may be written any more.
template <class Stream>
DUPLEX_ALWAYS_INLINE bool connection_state<Stream>::write_part() {
    if constexpr (layered)
        if (stream_.layers()) [[unlikely]]
            return write_part_secured();
    std::error_code error;
    const auto [size, taken] = offer<false>(error);
    if (size != 0 && taken == size) [[likely]]
        return true;
    if (size != 0) write_stopped(error);
    return false;
}

/// The same through TLS.
template <class Stream>
DUPLEX_NEVER_INLINE bool connection_state<Stream>::write_part_secured() {
    std::error_code error;
    const auto [size, taken] = offer<true>(error);
    if (size != 0 && taken == size && !unsent()) return true;
    if (size != 0) write_stopped(error);
    return false;
}

template <class Stream>
DUPLEX_NEVER_INLINE void connection_state<Stream>::write_stopped(const std::error_code& error) {
    if (!error || error == asio::error::would_block || error == asio::error::try_again) {
        note_progress();
        begin_to_wait();
        return await_writable();
    }
    // The read side tells the same story with more words.
    remember(error);
    session_.fail(errc::connection_lost);
    serve_soon();
}

/// The time of the transport, from which timeouts::write runs: after a long turn of the loop the coarse one
/// is long past.
template <class Stream>
void connection_state<Stream>::begin_to_wait() noexcept {
    session_.at(service_->precise_now());
    session_.write_progress();
}

template <class Stream>
template <bool Secured>
DUPLEX_ALWAYS_INLINE auto connection_state<Stream>::offer(std::error_code& error) -> offered {
    stamp_pings();
    offered one{};
    if (const segment only = session_.only_segment(); !only.empty()) {
        one.size = only.size();
        const asio::const_buffer from{only.data(), only.size()};
        if constexpr (layered && !Secured)
            one.taken = stream_.write_plain(from, error);
        else
            one.taken = stream_.write_some(from, error);
        session_.consumed(one.taken);
        return one;
    }
    return offer_several(error);
}

template <class Stream>
DUPLEX_NEVER_INLINE auto connection_state<Stream>::offer_several(std::error_code& error) -> offered {
    const auto buffers = gather();
    offered all{asio::buffer_size(buffers), 0};
    if (all.size == 0) return all;
    all.taken = stream_.write_some(buffers, error);
    session_.consumed(all.taken);
    return all;
}

template <class Stream>
auto connection_state<Stream>::gather() noexcept -> const_buffers {
    std::array<segment, max_segments> segments;
    const_buffers made;
    made.count = session_.gather(segments);
    for (std::size_t i = 0; i < made.count; ++i)
        made.all[i] = asio::const_buffer{segments[i].data(), segments[i].size()};
    return made;
}

/// A ping's time runs from the write that takes its last byte.
template <class Stream>
void connection_state<Stream>::stamp_pings() {
    if (!waiting() || waiting()->pings.empty()) [[likely]]
        return;
    const auto written = session_.control_written();
    const auto now = service_->precise_now();
    waiting()->pings.for_each([&](auto& each) {
        auto& waiting = static_cast<ping_waiter&>(each);
        if (waiting.written_mark > written) waiting.written = now;
    });
}

template <class Stream>
void connection_state<Stream>::on_writable(std::error_code error, std::size_t size) {
    is_.writing = false;
    if (is_.ended) return session_.drop_output();
    if (opening_) {
        if (error) return opening_done(error);
        if (securing()) return secure();
        if constexpr (!traits::waits) opening_->to_write.remove_prefix(size);
        return opening_written();
    }
    session_.at(service_->now());
    if (error) return on_transport_error(error);
    if constexpr (!traits::waits) session_.consumed(size);
    write_queued();
    after_write();
    follow_session();
}

/// Writes what there is room for, while the stream's readiness is awaited.
template <class Stream>
void connection_state<Stream>::write_once() {
    std::error_code ignored; // it is told to the operation under way
    if (unsent() && !flush_layers(ignored)) return note_progress();
    if (offer<true>(ignored).taken != 0) after_write();
}

/// Tells those whose message has left, and gives an empty queue back to the thread.
template <class Stream>
DUPLEX_ALWAYS_INLINE void connection_state<Stream>::after_write() {
    buffered_.store(session_.queued(), std::memory_order_relaxed);
    if (waiting()) [[unlikely]]
        tell_written();
    if (session_.queued() != 0 || is_.writing) return;
    if (session_.has_queue()) thread_buffers::keep_queue(session_.take_queue().release());
}

template <class Stream>
void connection_state<Stream>::tell_written() {
    const auto written = session_.data_written();
    auto& sent = waiting()->sent;
    while (!sent.empty() && sent.front()->key <= written)
        sent.pop_front()->complete(completion::post, {});
    if (session_.queued() == 0 && !is_.writing) waiting()->drains.complete_all(completion::post, {});
}

} // namespace duplex::detail
