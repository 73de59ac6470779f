#pragma once

// Messages with wishes: what they are sent with, who waits for room, and who is told what became of them.

#include <duplex/net/impl/connection_state.hpp>

namespace duplex::detail {

/// The wishes of this connection's messages; null when there is no memory for them.
template <class Stream>
send_wishes* connection_state<Stream>::wishes() noexcept {
    return have(&seldom::wishes) ? seldom_->wishes.get() : nullptr;
}

template <class Stream>
send_status connection_state<Stream>::send(opcode op, std::span<const std::byte> payload,
                                           const message_options& options, text_is text) {
    if (!is_open()) return send_status::not_open;
    if (!here()) {
        auto item = std::make_unique<inbox_item>();
        if (!item->payload.append(payload)) return send_status::out_of_memory;
        return send_from_elsewhere(op, options, text, item);
    }
    come_here_to_send();
    return queued(session_.send(op, payload, options, text));
}

template <class Stream>
send_status connection_state<Stream>::send(opcode op, byte_buffer&& payload, const message_options& options,
                                           text_is text) {
    if (!is_open()) return send_status::not_open;
    if (!here()) {
        auto item = std::make_unique<inbox_item>();
        item->payload = std::move(payload);
        const auto status = send_from_elsewhere(op, options, text, item);
        // A payload that isn't accepted stays the caller's.
        if (!accepted(status)) payload = std::move(item->payload);
        return status;
    }
    come_here_to_send();
    return queued(session_.send(op, std::move(payload), options, text));
}

template <class Stream>
send_status connection_state<Stream>::send_prepared(const prepared_message& message,
                                                    const message_options& options) {
    if (!is_open()) return send_status::not_open;
    if (!here()) {
        auto item = std::make_unique<inbox_item>();
        item->what = inbox_item::kind::prepared;
        item->prepared = message;
        return send_from_elsewhere(message.op(), options, text_is::utf8, item);
    }
    come_here_to_send();
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

/// Whether the connection's own thread is to look for room. A sender who could not be told is not to wait.
template <class Stream>
bool connection_state<Stream>::decided_later(const inbox_item& item) const noexcept {
    switch (session_.when_full(item.options)) {
    case overflow::by_default:
    case overflow::fail: return false;
    case overflow::wait: return item.sent != nullptr;
    default: return true;
    }
}

/// What this thread sent before it came here goes first.
template <class Stream>
void connection_state<Stream>::come_here_to_send() {
    if (inbox_.load(std::memory_order_acquire)) drain_inbox();
    if (!corked_) prepare_to_send();
}

/// Sends a message whose fate somebody waits for, or lets it wait for room.
template <class Stream>
void connection_state<Stream>::send_in_turn(std::unique_ptr<inbox_item> item) {
    auto& done = *item->sent;
    if (done.key == withdrawn) return done.complete(completion::post, asio::error::operation_aborted);
    send_wishes* const with = wishes();
    if (with == nullptr) return done.complete(completion::post, errc::out_of_memory);
    if (done.key == 0) done.key = item->options.tag = own_tag | ++with->tags;
    // Those that wait for room go first.
    auto status = send_status::would_wait;
    if (with->for_room.empty())
        status = session_.send(item->op, std::move(item->payload), item->options, item->text);
    if (status == send_status::would_wait)
        with->for_room.push_back(std::move(item));
    else if (accepted(status))
        with->sent.push_back(done);
    else
        done.complete(completion::post, status == send_status::dropped
                                            ? make_error_code(errc::message_dropped)
                                            : to_error_code(status));
    (void)queued(status);
}

/// There may be room again for those that wait for some.
template <class Stream>
void connection_state<Stream>::give_room() {
    auto& waiting = seldom_->wishes->for_room;
    while (!waiting.empty() && session_.is_open()) {
        auto& first = *waiting.front();
        const auto status = session_.send(first.op, std::move(first.payload), first.options, first.text);
        if (status == send_status::would_wait) return;
        const auto item = waiting.pop_front();
        if (accepted(status))
            seldom_->wishes->sent.push_back(*item->sent);
        else
            item->sent->complete(completion::post, to_error_code(status));
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
        auto& sent = seldom_->wishes->sent;
        listed_waiter<std::error_code>* found = nullptr;
        sent.for_each([&](auto& each) {
            if (each.key == told->tag) found = &each;
        });
        // Whoever waited may have gone.
        if (!found) continue;
        sent.remove(*found);
        found->complete(completion::post, error_of(told->fate));
    }
    // Somebody may wait for low water alone.
    if (session_.has_news() && reader_ && reader_->takes_news) (void)wishes();
    if (!seldom_ || !seldom_->wishes) return;
    auto& with = *seldom_->wishes;
    if (session_.take_low_water()) with.low_water = true;
    if (!is_.ended) give_room();
    if (with.has_news() && reader_ && reader_->takes_news && !is_.ended) serve_soon();
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
        reader_->takes_news && !is_.released && seldom_ && seldom_->wishes && !seldom_->wishes->fates.empty();
    if (tells) return defer();
    const bool clean = ended_cleanly() && !result().error;
    retire_reader(reader_->whole_life && clean ? std::error_code{} : final_error());
}

template <class Stream>
DUPLEX_RARE void connection_state<Stream>::last_turn() {
    struct on_exit {
        connection_state& state;
        ~on_exit() {
            if (!state.reader_) return;
            state.forget(&seldom::wishes);
            state.end_reader();
        }
    } exit{*this};
    reader_->tell(*this);
}

} // namespace duplex::detail
