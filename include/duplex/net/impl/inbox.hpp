#pragma once

// The inbox of a connection: how what other threads want of it comes to its own, until it has ended.

#include <duplex/core/detail/nothrow.hpp>
#include <duplex/net/impl/connection_state.hpp>

#include <algorithm>
#include <thread>

namespace duplex::detail {

/// What does not get into the queue may have a fate to be told, or have closed the connection.
template <class Stream>
DUPLEX_RARE void connection_state<Stream>::refused() {
    if (!session_.is_open()) open_.store(false, std::memory_order_release);
    if (!corked_ && (session_.has_news() || !session_.is_open())) schedule_flush();
}

/// Puts it in, where it is counted already. False, and counted no more, where the connection has ended and
/// nobody would look.
template <class Stream>
bool connection_state<Stream>::push_inbox(std::unique_ptr<inbox_item>& item) {
    inbox_item* before = inbox_.load(std::memory_order_relaxed);
    do {
        if (before == closed_inbox()) {
            inbox_load_.remove(item->size);
            return false;
        }
        item->next = before;
    } while (!inbox_.compare_exchange_weak(before, item.get(), std::memory_order_release,
                                           std::memory_order_relaxed));
    (void)item.release();
    if (before) return true;
    // The first one in wakes the connection; those behind it go along.
    const auto wake = [&] {
        post_call(stream_.get_executor(), pointer{this}, [](connection_state& self) {
            self.drain_inbox();
            self.flush();
            self.follow_session();
        });
    };
    // It can't be taken back: others may rely on it by now. What is short of memory gives some back, or comes
    // round to look.
    while (!nothrow(wake)) {
        std::this_thread::yield();
        if (const auto* const first = inbox_.load(std::memory_order_relaxed);
            first == nullptr || first == closed_inbox())
            break;
    }
    return true;
}

/// Whether there was room in the inbox before an item; `closing`: one that closes, for which some is kept. It
/// bounds what a thread that doesn't come round to look is sent, and decides nothing else.
template <class Stream>
bool connection_state<Stream>::inbox_takes(inbox_load::amount before, bool closing) const noexcept {
    return before.items() < inbox_load::room_for(session_.most_waiting()) + (closing ? inbox_load::spare : 0);
}

/// Counts one that is no message, before it is put in. False, and not counted, where there is no room.
template <class Stream>
bool connection_state<Stream>::enter_inbox(bool closing) noexcept {
    if (inbox_takes(inbox_load_.add(0), closing)) return true;
    inbox_load_.remove(std::size_t{0});
    return false;
}

/// Takes what there is out of the inbox, which closes with the connection: of what is accepted the fate is
/// known.
template <class Stream>
inbox_item* connection_state<Stream>::empty_inbox(bool close) noexcept {
    inbox_item* const all = inbox_.exchange(close ? closed_inbox() : nullptr, std::memory_order_acquire);
    return all == closed_inbox() ? nullptr : all;
}

template <class Stream>
void connection_state<Stream>::drop_inbox() noexcept {
    inbox_chain dropped{empty_inbox(true)};
    while (const auto item = dropped.pop()) {
        inbox_load_.remove(item->size);
        if (item->sent) item->sent->abandon();
    }
}

} // namespace duplex::detail
