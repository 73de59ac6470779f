#pragma once

// Messages with wishes: what they are sent with, who waits for room, and who is told what became of them.

#include <duplex/net/impl/connection_state.hpp>

namespace duplex::detail {

/// The wishes of this connection's messages; null when there is no memory for them.
template <class Stream>
send_wishes* connection_state<Stream>::wishes() noexcept {
    return have(&seldom::wishes) ? seldom_->wishes.get() : nullptr;
}

/// Whether a message may be sent with such options, from any thread.
template <class Stream>
send_status connection_state<Stream>::may_send(const message_options& options) const noexcept {
    if (!is_open()) return send_status::not_open;
    return (options.tag & own_tag) != 0 ? send_status::tag_too_large : send_status::ok;
}

template <class Stream>
send_status connection_state<Stream>::send(opcode op, std::span<const std::byte> payload,
                                           const message_options& options, text_is text) {
    // What asks for nothing has the short ways.
    if (options == message_options{}) return send_any(op, payload, text);
    if (const auto status = may_send(options); !accepted(status)) return status;
    if (!here()) {
        auto item = new_inbox_item();
        if (!item || !item->payload.append(payload)) return send_status::out_of_memory;
        return send_from_elsewhere(op, options, text, item);
    }
    come_here_to_send();
    time_runs(options);
    return queued(session_.send(op, payload, options, text));
}

template <class Stream>
send_status connection_state<Stream>::send(opcode op, byte_buffer&& payload, const message_options& options,
                                           text_is text) {
    if (const auto status = may_send(options); !accepted(status)) return status;
    if (!here()) {
        auto item = new_inbox_item();
        if (!item) return send_status::out_of_memory;
        item->payload = std::move(payload);
        const auto status = send_from_elsewhere(op, options, text, item);
        // A payload that isn't accepted stays the caller's.
        if (!accepted(status)) payload = std::move(item->payload);
        return status;
    }
    come_here_to_send();
    time_runs(options);
    return queued(session_.send(op, std::move(payload), options, text));
}

template <class Stream>
send_status connection_state<Stream>::send_prepared(const prepared_message& message,
                                                    const message_options& options) {
    if (const auto status = may_send(options); !accepted(status)) return status;
    if (!here()) {
        auto item = new_inbox_item();
        if (!item) return send_status::out_of_memory;
        item->what = inbox_item::kind::prepared;
        item->prepared = message;
        return send_from_elsewhere(message.op(), options, text_is::utf8, item);
    }
    come_here_to_send();
    time_runs(options);
    return queued(session_.send(message, options));
}

template <class Stream>
send_status connection_state<Stream>::send_from_elsewhere(opcode op, const message_options& options,
                                                          text_is text, std::unique_ptr<inbox_item>& item) {
    item->op = op;
    item->options = options;
    item->text = text;
    return send_from_elsewhere(item);
}

/// Whether the connection's own thread is to look for room. A sender who could not be told is not to wait;
/// and a thread that doesn't come round to look is not sent more and more: `coming` bytes would wait for it.
template <class Stream>
bool connection_state<Stream>::decided_later(const inbox_item& item, std::size_t coming) const noexcept {
    switch (session_.when_full(item.options)) {
    case overflow::by_default:
    case overflow::fail: return false;
    case overflow::wait: return item.sent != nullptr;
    default: return session_.fits(coming / inbox_share, 0);
    }
}

/// What this thread sent before it came here goes first.
template <class Stream>
void connection_state<Stream>::come_here_to_send() {
    if (inbox_.load(std::memory_order_acquire)) drain_inbox();
    if (!corked_) prepare_to_send();
}

/// A message's time to live runs from now, not from the beginning of the loop's turn.
template <class Stream>
void connection_state<Stream>::time_runs(const message_options& options) noexcept {
    if (options.time_to_live.count() != 0) session_.at(service_->precise_now());
}

/// Sends a message whose fate somebody waits for, or lets it wait for room.
template <class Stream>
void connection_state<Stream>::send_in_turn(std::unique_ptr<inbox_item> item) {
    auto& done = *item->sent;
    if (done.key == withdrawn) return done.complete(completion::post, asio::error::operation_aborted);
    send_wishes* const with = wishes();
    if (with == nullptr) return done.complete(completion::post, errc::out_of_memory);
    done.key = item->options.tag = own_tag | ++with->tags;
    time_runs(item->options);
    // Whoever waits for room waits behind those that do already.
    const bool waits = session_.when_full(item->options) == overflow::wait &&
                       item->options.priority == message_priority::normal;
    auto status = send_status::would_wait;
    if (!waits || with->for_room.empty())
        status = session_.send(item->op, std::move(item->payload), item->options, item->text);
    if (status == send_status::would_wait)
        await_room(std::move(item));
    else
        was_sent(done, status);
    (void)queued(status);
}

/// Whoever waits for the fate of a message hears of it later, or now that there is none to wait for.
template <class Stream>
void connection_state<Stream>::was_sent(listed_waiter<std::error_code>& done, send_status status) {
    if (accepted(status)) return seldom_->wishes->sent.push_back(done);
    done.complete(completion::post, status == send_status::dropped ? make_error_code(errc::message_dropped)
                                                                   : to_error_code(status));
}

/// Its time runs while it waits for room as it does while it waits its turn.
template <class Stream>
void connection_state<Stream>::await_room(std::unique_ptr<inbox_item> item) {
    auto& with = *seldom_->wishes;
    item->expires = end_of_time_to_live(service_->precise_now(), item->options);
    with.earliest = std::min(with.earliest, item->expires);
    with.for_room.push_back(std::move(item));
    update_deadline();
}

/// Those that have waited for room too long are not sent.
template <class Stream>
void connection_state<Stream>::expire_waiting(time_point now) {
    auto& with = *seldom_->wishes;
    if (now < with.earliest) return;
    with.earliest = no_deadline;
    room_queue left;
    room_queue over;
    while (auto item = with.for_room.pop_front()) {
        if (item->expires <= now) {
            over.push_back(std::move(item));
            continue;
        }
        with.earliest = std::min(with.earliest, item->expires);
        left.push_back(std::move(item));
    }
    with.for_room.swap(left);
    // A handler's allocator may throw.
    while (const auto item = over.pop_front())
        item->sent->complete(completion::post, errc::message_expired);
}

/// There may be room again for those that wait for some.
template <class Stream>
void connection_state<Stream>::give_room() {
    const auto now = service_->now();
    expire_waiting(now);
    auto& waiting = seldom_->wishes->for_room;
    if (waiting.empty()) return;
    session_.at(now);
    while (!waiting.empty() && session_.is_open()) {
        auto& first = *waiting.front();
        // Others may have been sent since it came.
        first.sent->key = first.options.tag = own_tag | ++seldom_->wishes->tags;
        if (first.expires != no_deadline)
            first.options.time_to_live = std::chrono::ceil<timeouts::duration>(first.expires - now);
        const auto status = session_.send(first.op, std::move(first.payload), first.options, first.text);
        if (status == send_status::would_wait) return;
        const auto item = waiting.pop_front();
        was_sent(*item->sent, status);
        if (!is_.writing) schedule_flush();
    }
}

/// Tells those that wait for the fate of a message, and keeps the fates that the application asked for.
template <class Stream>
void connection_state<Stream>::take_news() {
    while (const auto told = session_.next_fate()) {
        if ((told->tag & own_tag) == 0) {
            if (auto* const with = wishes()) with->keep(*told);
            continue;
        }
        // Tags grow, and whoever waits comes into the list as soon as the message has one.
        auto& sent = seldom_->wishes->sent;
        auto* const found = sent.find_ordered(told->tag);
        // Whoever waited may have gone.
        if (!found) continue;
        sent.remove(*found);
        found->complete(completion::post, error_of(told->fate));
    }
    // Whoever runs it may want to know of low water without ever having had another wish.
    if (session_.take_low_water() && (reader_ ? reader_->takes_low_water : seldom_ && seldom_->wishes))
        if (auto* const with = wishes()) with->low_water = true;
    if (!seldom_ || !seldom_->wishes) return;
    if (is_.ended) return;
    give_room();
    // Only for what it takes: for anything else it would be served for ever.
    const auto& with = *seldom_->wishes;
    if (reader_ &&
        ((with.low_water && reader_->takes_low_water) || (with.has_fates() && reader_->takes_fates)))
        serve_soon();
}

template <class Stream>
std::error_code connection_state<Stream>::error_of(message_fate fate) const noexcept {
    switch (fate) {
    case message_fate::written: return {};
    case message_fate::dropped: return errc::message_dropped;
    case message_fate::replaced: return errc::message_replaced;
    case message_fate::expired: return errc::message_expired;
    default: return final_error();
    }
}

template <class Stream>
std::optional<told_fate> connection_state<Stream>::next_fate() {
    if (session_.has_news()) take_news();
    return seldom_ && seldom_->wishes ? seldom_->wishes->next_fate() : std::nullopt;
}

/// Ends what waits for room or a fate, after the session has been told that the rest is lost.
template <class Stream>
void connection_state<Stream>::end_wishes(std::error_code error) {
    if (session_.has_news()) take_news();
    if (!seldom_ || !seldom_->wishes) return;
    auto& with = *seldom_->wishes;
    while (const auto item = with.for_room.pop_front())
        item->sent->complete(completion::post, error);
    with.sent.complete_all(completion::post, error);
}

/// The connection has ended: whoever runs it is told the last fates first, and not from in here.
template <class Stream>
void connection_state<Stream>::end_reader() {
    if (!reader_) return;
    const bool tells =
        reader_->takes_fates && !is_.released && seldom_ && seldom_->wishes && seldom_->wishes->has_fates();
    if (tells) return defer();
    retire_reader(reader_->whole_life && ended_well() ? std::error_code{} : final_error());
}

template <class Stream>
DUPLEX_RARE void connection_state<Stream>::last_turn() {
    struct on_exit : consumption {
        connection_state& state;
        ~on_exit() {
            state.consuming_ = nullptr;
            if (state.reader_) {
                state.forget(&seldom::wishes);
                state.end_reader();
            } else if (this->retired) {
                this->by->complete(completion::post, *this->retired);
            }
        }
    } exit{{reader_}, *this};
    consuming_ = &exit;
    reader_->tell(*this);
}

} // namespace duplex::detail
