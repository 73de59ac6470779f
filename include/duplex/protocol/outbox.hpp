#pragma once

#include <duplex/core/byte_buffer.hpp>
#include <duplex/core/frame_header.hpp>
#include <duplex/core/opcode.hpp>
#include <duplex/protocol/closing.hpp>
#include <duplex/protocol/detail/key_index.hpp>
#include <duplex/protocol/detail/linked_items.hpp>
#include <duplex/protocol/keepalive.hpp>
#include <duplex/protocol/message_options.hpp>
#include <duplex/protocol/prepared_message.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <optional>
#include <span>
#include <utility>

namespace duplex {

/// A message, or a fragment of one, on its way into the send queue.
struct outgoing {
    opcode op = opcode::binary;
    compression how = compression::automatic;
    bool fragment = false; ///< of a message that the caller sends in pieces
    bool first = true;     ///< fragment: it begins its message
    bool last = true;      ///< fragment: it ends its message
    std::span<const std::byte> payload{};
    byte_buffer* own = nullptr;                 ///< what holds the payload, if that may be taken over
    const prepared_message* prepared = nullptr; ///< whose payload it is, if any
};

namespace detail {

/// When a message that is sent now is not to be sent any more.
[[nodiscard]] inline time_point end_of_time_to_live(time_point now, const message_options& options) noexcept {
    return options.time_to_live.count() < 0 ? now : deadline_after(now, options.time_to_live);
}

} // namespace detail

/// Messages that wait to be handed on to the send queue, where they can still be dropped, replaced, put in
/// order or withdrawn; and the fates of those that somebody asked for, from the first byte to the end. Each
/// message with a tag has one fate, and telling it takes no memory.
///
///     item = make(…);  item->keep(message);  put(item);
///     while (item = next()) { push item->rest();  advance or handed_on; }     written(position);
///     next_fate();
class outbox {
public:
    /// One message, first while it waits, then while its fate is open.
    struct item {
        /// Copies or shares the payload. What is to be taken over is left for `take`. False when memory ran
        /// out.
        [[nodiscard]] bool keep(const outgoing& from) noexcept {
            what = from;
            what.payload = {};
            what.own = nullptr;
            what.prepared = nullptr;
            if (from.prepared != nullptr)
                prepared = *from.prepared;
            else if (from.own == nullptr)
                return own.append(from.payload);
            return true;
        }
        void take(byte_buffer&& from) noexcept { own = std::move(from); }

        /// What has not been handed on yet. Valid as long as the item, and until that is taken over.
        [[nodiscard]] outgoing rest() noexcept {
            outgoing left = what;
            left.payload =
                (prepared ? prepared.payload() : std::span<const std::byte>{own.bytes()}).subspan(at);
            left.own = prepared ? nullptr : &own;
            left.prepared = prepared ? &prepared : nullptr;
            return left;
        }

        /// It must be next, and as a whole: what came before it in its message has been handed on or will be.
        [[nodiscard]] bool begun() const noexcept { return at != 0; }
        [[nodiscard]] bool continues() const noexcept { return begun() || (what.fragment && !what.first); }
        /// It may be dropped, replaced, or withdrawn.
        [[nodiscard]] bool loose() const noexcept { return !begun() && !what.fragment; }

        message_options options{};
        time_point expires = no_deadline;
        outgoing what{}; ///< without the payload
        byte_buffer own{};
        prepared_message prepared{};
        std::size_t at = 0;     ///< payload bytes handed on
        std::size_t framed = 0; ///< bytes counted for it while it waits
        std::uint64_t end = 0;  ///< once handed on: its position in the stream of data frames
        message_fate fate{};    ///< once it is known
        item* before = nullptr;
        item* after = nullptr;
        item* same_bucket = nullptr;
    };
    using item_ptr = std::unique_ptr<item>;

    /// `masked`: frames carry a key.
    explicit outbox(bool masked) noexcept
        : masked_{masked} {}
    outbox(const outbox&) = delete;
    outbox& operator=(const outbox&) = delete;
    ~outbox() = default;

    // --- filling ---

    /// An item with its place in the index of keys, so that it can be put without memory; null when memory
    /// ran out.
    [[nodiscard]] item_ptr make(const message_options& options, time_point now) noexcept {
        if (options.key != 0 && !keys_.make_room()) return nullptr;
        item_ptr made{new (std::nothrow) item};
        if (made) {
            made->options = options;
            made->expires = detail::end_of_time_to_live(now, options);
        }
        return made;
    }

    /// Puts it behind all others of its priority; a fragment that continues a message behind those before it.
    void put(item_ptr added) noexcept {
        enter(*added);
        item* next = nullptr;
        if (added->what.fragment) {
            if (!added->what.first) next = behind_fragments();
            last_fragment_ = added.get();
        }
        lane_of(*added).insert_before(next, added.release());
    }

    /// Puts it in the place of `old`, whose fate is told; behind all others where their priorities differ.
    void replace(item& old, item_ptr added) noexcept {
        leave(old);
        if (old.options.priority == added->options.priority) {
            enter(*added);
            lane_of(old).insert_before(&old, added.release());
        } else {
            put(std::move(added));
        }
        tell(lane_of(old).remove(&old), message_fate::replaced);
    }

    /// The message with that key that waits and has not begun to leave; null where there is none.
    [[nodiscard]] item* with_key(std::uint64_t key) const noexcept { return keys_.find(key); }

    /// How many of the oldest normal messages have to go until `enough(bytes, messages)` says so; zero where
    /// all of them would not do. `spare` is kept.
    template <class Enough>
    [[nodiscard]] std::size_t droppable(Enough enough, const item* spare) const noexcept {
        std::size_t bytes = 0;
        std::size_t count = 0;
        for (const item* each = normal_.first(); each != nullptr; each = each->after) {
            if (!each->loose() || each == spare) continue;
            bytes += each->framed;
            if (enough(bytes, ++count)) return count;
        }
        return 0;
    }
    void drop_oldest(std::size_t count, const item* spare) noexcept {
        item* next = normal_.first();
        while (count != 0 && next != nullptr) {
            item* const each = std::exchange(next, next->after);
            if (!each->loose() || each == spare) continue;
            remove(*each, message_fate::dropped);
            --count;
        }
    }

    /// What waits behind the fragments of a message that has not ended, in bytes and messages. Looks at all.
    [[nodiscard]] std::pair<std::size_t, std::size_t> waiting_behind_fragments(bool begun) const noexcept {
        std::pair<std::size_t, std::size_t> all{};
        const auto count = [&](const item* each) {
            for (; each != nullptr; each = each->after)
                all = {all.first + each->framed, all.second + 1};
        };
        count(behind_fragments());
        if (begun) count(urgent_.first());
        return all;
    }

    /// Drops what waits behind the fragments of a message that never ends; `begun`: some of it left before.
    void drop_behind_fragments(bool begun) noexcept {
        for (item* next = behind_fragments(); next != nullptr;)
            remove(*std::exchange(next, next->after), message_fate::dropped);
        while (begun && !urgent_.empty())
            remove(*urgent_.first(), message_fate::dropped);
    }

    /// Takes back what was put last and has not begun to leave.
    [[nodiscard]] item_ptr take_back(item& added) noexcept {
        leave(added);
        return item_ptr{lane_of(added).remove(&added)};
    }

    // --- emptying ---

    /// What is to be handed on next; null where nothing waits. RFC 6455 5.4: the fragments of one message are
    /// not interleaved with another message, however urgent.
    [[nodiscard]] item* next() const noexcept {
        item* const normal = normal_.first();
        if (urgent_.empty() || (normal != nullptr && normal->continues())) return normal;
        return urgent_.first();
    }
    /// The same, without those that are past their time.
    [[nodiscard]] item* next(time_point now) noexcept {
        item* first = next();
        while (first != nullptr && first->loose() && first->expires <= now) {
            remove(*first, message_fate::expired);
            first = next();
        }
        return first;
    }

    /// `size` bytes of its payload have been handed on, and some are left.
    void advance(item& begun, std::size_t size) noexcept {
        leave(begun);
        begun.at += size;
        enter(begun);
    }

    /// All of it has been handed on, and ends at `end`.
    void handed_on(item& done, std::uint64_t end) noexcept {
        leave(done);
        leaves(item_ptr{lane_of(done).remove(&done)}, end);
    }

    /// Waits for the fate of a message that did not have to wait for its turn.
    void leaves(item_ptr done, std::uint64_t end) noexcept {
        if (done->options.tag == 0) return;
        forget_payload(*done);
        done->end = end;
        leaving_.push_back(done.release());
    }

    /// Those that end behind `position` never leave, although they were handed on.
    void drop_leaving(std::uint64_t position) noexcept {
        for (item* next = leaving_.first(); next != nullptr;) {
            item* const each = std::exchange(next, next->after);
            if (each->end > position) tell(leaving_.remove(each), message_fate::dropped);
        }
    }

    /// The transport took the data frames up to `position`.
    void written(std::uint64_t position) noexcept {
        while (!leaving_.empty() && leaving_.first()->end <= position)
            tell(leaving_.remove(leaving_.first()), message_fate::written);
    }

    /// Drops what is past its time; true where anything was. It looks at all that wait: where there are very
    /// many, and some expire at any time, it looks only now and then.
    bool expire(time_point now) noexcept {
        if (now < next_look()) return false;
        look_again_ = now + look_share * static_cast<time_point::rep>(count_);
        earliest_ = no_deadline;
        bool any = false;
        for (auto* lane : {&urgent_, &normal_})
            for (item* next = lane->first(); next != nullptr;) {
                item* const each = std::exchange(next, next->after);
                if (!each->loose() || each->expires == no_deadline) continue;
                if (each->expires <= now) {
                    remove(*each, message_fate::expired);
                    any = true;
                } else {
                    earliest_ = std::min(earliest_, each->expires);
                }
            }
        return any;
    }

    /// When `expire` or `asks_again` may have something to do.
    [[nodiscard]] time_point earliest() const noexcept { return std::min(next_look(), ask_again_); }

    /// A message for which there was no room is to be tried again then.
    void ask_again_at(time_point when) noexcept { ask_again_ = when; }
    /// True once when it is time for that.
    [[nodiscard]] bool asks_again(time_point now) noexcept {
        if (now < ask_again_) return false;
        ask_again_ = no_deadline;
        return true;
    }

    /// Takes a message out that waits and has not begun to leave. Looks at all that wait.
    [[nodiscard]] bool withdraw(std::uint64_t tag) noexcept {
        for (auto* lane : {&urgent_, &normal_})
            for (item* each = lane->first(); each != nullptr; each = each->after) {
                if (each->options.tag != tag || !each->loose()) continue;
                each->options.tag = 0;
                remove(*each, message_fate::dropped);
                return true;
            }
        return false;
    }

    /// Ends all that waits, begun or not: the rest of a message of which a part has left never leaves.
    void end_waiting(message_fate fate) noexcept {
        for (auto* lane : {&urgent_, &normal_})
            while (!lane->empty())
                remove(*lane->first(), fate);
        earliest_ = ask_again_ = no_deadline;
        close_.reset();
    }

    /// The transport is gone.
    void lose_all() noexcept {
        while (!leaving_.empty())
            tell(leaving_.remove(leaving_.first()), message_fate::lost);
        end_waiting(message_fate::lost);
    }

    // --- the Close that waits behind all others ---

    void put_close(const encoded_close_body& body) noexcept { close_ = body; }
    [[nodiscard]] const encoded_close_body* waiting_close() const noexcept {
        return close_ ? &*close_ : nullptr;
    }
    void close_handed_on() noexcept { close_.reset(); }

    // --- fates ---

    /// The fate of the message `from`, which does not wait here.
    void tell(item_ptr from, message_fate fate) noexcept {
        if (from->options.tag == 0) return;
        forget_payload(*from);
        from->fate = fate;
        told_.push_back(from.release());
    }

    [[nodiscard]] bool has_fates() const noexcept { return !told_.empty(); }
    /// The next fate to tell, in the order in which they were known.
    [[nodiscard]] std::optional<told_fate> next_fate() noexcept {
        if (told_.empty()) return {};
        const item_ptr told{told_.remove(told_.first())};
        return told_fate{told->options.tag, told->fate};
    }

    // --- what is there ---

    /// No message waits.
    [[nodiscard]] bool empty() const noexcept { return count_ == 0; }
    /// Fragments of a message wait that the caller sends in pieces.
    [[nodiscard]] bool has_fragments() const noexcept { return last_fragment_ != nullptr; }
    /// Neither a message nor a fate nor a Close is left, and nobody to be told to try again.
    [[nodiscard]] bool idle() const noexcept {
        return empty() && leaving_.empty() && told_.empty() && !close_ && ask_again_ == no_deadline;
    }
    [[nodiscard]] std::size_t count() const noexcept { return count_; }
    /// Bytes that wait, framing included, as they would be without compression.
    [[nodiscard]] std::size_t bytes() const noexcept {
        return bytes_ + (close_ ? framed(close_->bytes().size()) : 0);
    }
    [[nodiscard]] std::size_t framed(std::size_t size) const noexcept {
        return size + frame_header_size(size, masked_);
    }

private:
    using items = detail::linked_items<item>;

    /// For each item that `expire` looked at, until it looks again: many times what the look took.
    static constexpr std::chrono::nanoseconds look_share{200};

    [[nodiscard]] items& lane_of(const item& of) noexcept {
        return of.options.priority == message_priority::urgent ? urgent_ : normal_;
    }

    void enter(item& added) noexcept {
        added.framed = framed(added.rest().payload.size());
        bytes_ += added.framed;
        ++count_;
        if (!added.loose()) return;
        if (added.options.key != 0) keys_.add(added);
        earliest_ = std::min(earliest_, added.expires);
    }
    void leave(item& left) noexcept {
        bytes_ -= left.framed;
        if (--count_ == 0) {
            earliest_ = no_deadline;
            look_again_ = {};
        }
        if (&left == last_fragment_) last_fragment_ = nullptr;
        if (left.loose() && left.options.key != 0) keys_.remove(left);
    }

    [[nodiscard]] time_point next_look() const noexcept { return std::max(earliest_, look_again_); }

    /// What is next once the fragments of one message have been handed on that wait or have left before.
    [[nodiscard]] item* behind_fragments() const noexcept {
        return last_fragment_ != nullptr ? last_fragment_->after : normal_.first();
    }

    void remove(item& from, message_fate fate) noexcept {
        leave(from);
        tell(item_ptr{lane_of(from).remove(&from)}, fate);
    }
    void tell(item* from, message_fate fate) noexcept { tell(item_ptr{from}, fate); }

    /// Only its fate is wanted from here.
    static void forget_payload(item& of) noexcept {
        of.own.release();
        of.prepared = {};
    }

    items urgent_;
    items normal_;
    item* last_fragment_ = nullptr; ///< of those that wait in the normal lane
    items leaving_;                 ///< handed on, in the order of their positions
    items told_;
    detail::key_index<item> keys_;
    std::optional<encoded_close_body> close_;
    time_point earliest_ = no_deadline; ///< that one is past its time
    time_point look_again_{};           ///< `expire` looks no sooner
    time_point ask_again_ = no_deadline;
    std::size_t bytes_ = 0;
    std::size_t count_ = 0;
    bool masked_;
};

} // namespace duplex
