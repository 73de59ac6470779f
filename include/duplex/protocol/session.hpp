#pragma once

#include <duplex/core/byte_buffer.hpp>
#include <duplex/core/detail/inlining.hpp>
#include <duplex/core/error.hpp>
#include <duplex/core/random.hpp>
#include <duplex/core/role.hpp>
#include <duplex/core/utf8.hpp>
#include <duplex/deflate/message_codec.hpp>
#include <duplex/protocol/closing.hpp>
#include <duplex/protocol/counters.hpp>
#include <duplex/protocol/detail/receiving.hpp>
#include <duplex/protocol/detail/session_counts.hpp>
#include <duplex/protocol/event.hpp>
#include <duplex/protocol/keepalive.hpp>
#include <duplex/protocol/message_options.hpp>
#include <duplex/protocol/outbox.hpp>
#include <duplex/protocol/prepared_message.hpp>
#include <duplex/protocol/send_queue.hpp>
#include <duplex/protocol/session_options.hpp>
#include <duplex/protocol/wire_tap.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <optional>
#include <span>
#include <string_view>
#include <utility>

namespace duplex {

/// One WebSocket connection after the opening handshake, without I/O: bytes in, events out, bytes out
/// (RFC 6455 sections 5 to 8). It owns no socket, clock or thread, never calls back, and never throws on what
/// a peer sent. One thread at a time.
///
///     session.receive(window);
///     while (auto e = session.next()) { … session.send(opcode::text, e.payload); }
///     n = session.gather(segments);  write them;  session.consumed(written);
class session : private detail::session_counts {
public:
    explicit session(role self, const session_options& options = {}, time_point now = {}) noexcept
        : session{self, shared_session_options{options, std::nothrow}, now} {}

    /// The same with options that others share. Where there are none, for want of memory, the session has
    /// failed from the beginning.
    session(role self, shared_session_options options, time_point now) noexcept
        : options_{options ? options : shared_session_options{}}
        , keepalive_{now}
        , now_{now}
        , self_{self} {
        if (!options) [[unlikely]]
            fail(errc::out_of_memory);
    }

    /// Compresses from now on, and takes what is compressed (RFC 7692): before anything is sent or received.
    void use(std::unique_ptr<message_codec> codec) noexcept;
    /// What compresses; null where permessage-deflate was not agreed.
    [[nodiscard]] const message_codec* codec() const noexcept { return packer(); }

    // --- receiving ---

    /// Lends the bytes of one read. They are unmasked in place and must stay until `next` has said
    /// `need_more`.
    DUPLEX_ALWAYS_INLINE void receive(std::span<std::byte> window) noexcept {
        if (receiving_) before_window(window);
        count_bytes_in(window.size());
        window_ = window;
        if (!window.empty()) bytes_received();
    }

    /// What of the window has not been looked at yet. `lend_again` lends it from wherever it was moved to.
    [[nodiscard]] std::span<std::byte> unread() const noexcept { return window_; }
    void lend_again(std::span<std::byte> moved) noexcept;

    /// The next thing found in what was received.
    [[nodiscard]] event next() noexcept;
    /// The same as a function to inline, for loops through which most messages go.
    [[nodiscard]] event next_in_line() noexcept;

    /// While a large message is arriving: where the next bytes of the transport may be received instead of in
    /// a window, which saves a copy. Empty when there is no such place. Valid until the session is used
    /// again.
    [[nodiscard]] std::span<std::byte> direct() noexcept {
        return receiving_ ? room_in_message() : std::span<std::byte>{};
    }

    /// Tells that `size` bytes were received in `direct()`; then go on with `next`.
    void received_direct(std::size_t size) noexcept;

    /// Tells that the peer ended the stream.
    void eof() noexcept;

    /// Gives away the bytes of the message that `next` returned last, where it was assembled from pieces;
    /// empty where its payload lies in the window, and where it is being sent back.
    [[nodiscard]] byte_buffer take_message() noexcept;

    /// Frees what has come of messages: the transport is gone, and writes to `direct()` no more.
    void drop_input() noexcept;
    /// Withholds what of the window has not been looked at until it is given back: `next` finds nothing.
    [[nodiscard]] std::span<std::byte> take_unread() noexcept { return std::exchange(window_, {}); }
    void give_unread(std::span<std::byte> withheld) noexcept { window_ = withheld; }

    // --- sending ---

    /// Until it is taken back there is room for all that is sent: somebody was told so before.
    void admit_all(bool on) noexcept { admits_all_ = on; }
    /// Queues a text or binary message; the payload is copied.
    DUPLEX_ALWAYS_INLINE send_status send(opcode op, std::span<const std::byte> payload,
                                          text_is text = text_is::unchecked,
                                          compression how = compression::automatic) noexcept {
        if (send_small(op, payload, text)) [[likely]]
            return send_status::ok;
        return send_copy(op, payload, text, how);
    }

    /// The same for the most frequent case alone, as a function to inline: a short message that a server
    /// sends while some are queued or a queue was lent, and none of it is to be checked. False, and nothing
    /// done, where it is another.
    [[nodiscard]] bool send_small(opcode op, std::span<const std::byte> payload, text_is text) noexcept;

    send_status send(opcode op, std::string_view payload) noexcept;

    /// Queues a message whose payload is taken over; it is left alone where it isn't accepted.
    send_status send(opcode op, byte_buffer&& payload, text_is text = text_is::unchecked,
                     compression how = compression::automatic) noexcept;

    /// Queues one message whose payload lies in several places; it is copied once.
    send_status send_parts(opcode op, std::span<const std::span<const std::byte>> parts,
                           text_is text = text_is::unchecked) noexcept;

    /// Queues a message whose payload may be written from where it lies: it must stay there until it was
    /// written or `settle` was called. Meant for payloads inside the receive window; what an event gives may
    /// lie elsewhere, and then goes with the next call of `next`.
    send_status send_borrowed(opcode op, std::span<const std::byte> payload,
                              text_is text = text_is::unchecked) noexcept;

    /// Queues the message that `next` returned last, or any other: where it was assembled from pieces it is
    /// not copied. It stays readable until the next call of `next`.
    send_status send_back(opcode op, std::span<const std::byte> payload,
                          text_is text = text_is::unchecked) noexcept;

    /// Queues a message that was encoded before.
    send_status send(const prepared_message& message) noexcept;

    /// The same with wishes. The first one that asks for more than a way to be compressed lets messages wait
    /// their turn from then on (`session_options::hold_back`).
    send_status send(opcode op, std::span<const std::byte> payload, const message_options& options,
                     text_is text = text_is::unchecked) noexcept;
    send_status send(opcode op, std::string_view payload, const message_options& options) noexcept;
    send_status send(opcode op, byte_buffer&& payload, const message_options& options,
                     text_is text = text_is::unchecked) noexcept;
    /// Whether it is compressed was said when it was made.
    send_status send(const prepared_message& message, const message_options& options) noexcept;

    /// Takes a message back that has not begun to leave; its fate is not told. False where it has, or where
    /// there is none. Looks at all messages that wait.
    [[nodiscard]] bool withdraw(std::uint64_t tag) noexcept;

    /// What became of a message with a tag, each once, in the order in which it was known. One that was
    /// refused has no fate. Ask after whatever sends, writes, tells the time or ends the session.
    [[nodiscard]] std::optional<told_fate> next_fate() noexcept;

    /// Queues one frame of a message that is sent in pieces (RFC 6455 5.4): `op` and `how` count for the
    /// first one, the last one ends it. Other messages that are sent in between wait for its end; the first
    /// that does lets messages wait their turn from then on. Then a piece waits too, and is neither dropped
    /// nor overtaken: where there is no room, and none to wait for, it is refused.
    send_status send_fragment(opcode op, std::span<const std::byte> payload, bool last,
                              compression how = compression::automatic) noexcept;

    /// Queues a Ping of at most 125 bytes (RFC 6455 5.5.2). It overtakes data.
    send_status ping(std::span<const std::byte> payload) noexcept;

    /// Queues an unsolicited Pong of at most 125 bytes (RFC 6455 5.5.3).
    send_status pong(std::span<const std::byte> payload) noexcept;

    /// Starts the closing handshake behind what is queued (RFC 6455 7.1.2). A second call does nothing.
    /// Errors name what is wrong with the arguments; nothing is sent then.
    std::error_code close(close_code code = close_code::normal, std::string_view reason = {}) noexcept;

    /// The same without waiting for the messages that wait their turn: they are dropped, even the rest of one
    /// that has begun to leave in fragments. Also where the Close waits behind them already.
    std::error_code close_now(close_code code = close_code::normal, std::string_view reason = {}) noexcept;

    /// The same ahead of all frames of which the transport has no byte yet, even of a Close. What is dropped
    /// ends behind `close_begins_at()`.
    std::error_code close_at_once(close_code code = close_code::normal,
                                  std::string_view reason = {}) noexcept;
    /// The position in the stream of data frames at which our Close begins, while it is queued.
    [[nodiscard]] std::uint64_t close_begins_at() const noexcept;

    /// Fails the connection (RFC 6455 7.1.7): queues the Close that `why` calls for behind what was sent
    /// before, if there is none yet, and ignores what still comes. `next` says `failed` once.
    void fail(errc why) noexcept;

    // --- writing ---

    /// Fills `out` with what is to be written next; returns the number of segments. They stay valid until
    /// `consumed`, or, where more is sent in between, under `hold_output`.
    [[nodiscard]] std::size_t gather(std::span<segment> out) noexcept {
        return queue_ && !expired_ ? queue_->gather(out) : 0;
    }

    /// All there is to write where that is one segment, as it is most of the time; else empty, and `gather`
    /// tells. Lifetime as with `gather`.
    [[nodiscard]] DUPLEX_ALWAYS_INLINE segment only_segment() noexcept {
        return queue_ && !expired_ ? queue_->only_segment() : segment{};
    }

    /// Keeps the gathered segments in place until `consumed`, whatever is sent meanwhile.
    void hold_output() noexcept {
        if (!queue_) return;
        queue_->hold();
        if (watches_writes_) tell_held();
    }

    /// Counts `size` gathered bytes as written, and hands on what waits. Where memory runs out for that, and
    /// nothing is left to write first, the connection fails. What is left counts in the budget from now on.
    DUPLEX_ALWAYS_INLINE void consumed(std::size_t size) noexcept {
        if (!queue_) return;
        if (watches_writes_) [[unlikely]]
            return consumed_watched(size);
        if (!queue_->consumed(size)) [[unlikely]]
            note_left(size);
        if (size != 0) keepalive_.write_progress(now_);
    }

    /// The same while a write is still under way.
    void output_waits() noexcept;

    /// The transport took of what it had been given before, and kept to itself.
    void write_progress() noexcept { keepalive_.write_progress(now_); }

    /// Keeps what is borrowed, if it is not written yet: call before the receive window changes. The payload
    /// of the last event ends with it.
    void settle() noexcept;

    /// Drops what is queued: the transport is gone.
    void drop_output() noexcept;
    /// The same while the transport still holds the bytes of the last `gather`.
    void lose_output() noexcept;

    /// Bytes queued, framing included; also those that wait their turn.
    [[nodiscard]] std::size_t queued() const noexcept { return queue_ ? queue_->bytes() : 0; }
    [[nodiscard]] bool above_watermark() const noexcept {
        return queued() > options_->limits.queue_watermark;
    }
    [[nodiscard]] bool below_low_watermark() const noexcept {
        return queued() <= options_->limits.queue_watermark / 2;
    }

    /// True once after the bytes queued have fallen to half of `limits::queue_watermark`, having been above
    /// it, or a message having been told to wait: it may be tried again.
    [[nodiscard]] bool take_low_water() noexcept;

    /// Whether `next_fate` or `take_low_water` has something to say.
    [[nodiscard]] bool has_news() const noexcept {
        return low_water_ || (turns() != nullptr && turns()->has_fates());
    }

    /// Whether messages wait their turn now, or for the end of one that is sent in pieces: of one that is
    /// sent then only `next_fate` tells when it is written.
    [[nodiscard]] bool holds_back() const noexcept { return in_the_way_ != 0; }

    /// Positions in the stream of data frames: a message is written once `data_written()` has reached what
    /// `data_pushed()` was right after it was sent, where it did not have to wait its turn. Control frames
    /// are counted apart.
    [[nodiscard]] std::uint64_t data_written() const noexcept {
        return queue_ ? queue_->data_written() : data_count_;
    }
    [[nodiscard]] std::uint64_t data_pushed() const noexcept {
        return queue_ ? queue_->data_pushed() : data_count_;
    }
    [[nodiscard]] std::uint64_t control_written() const noexcept {
        return queue_ ? queue_->control_written() : control_count_;
    }
    [[nodiscard]] std::uint64_t control_pushed() const noexcept {
        return queue_ ? queue_->control_pushed() : control_count_;
    }

    [[nodiscard]] bool has_queue() const noexcept { return queue_ != nullptr; }

    /// Lends an empty queue whose memory is warm. An idle session holds none.
    DUPLEX_ALWAYS_INLINE void lend_queue(send_queue_ptr&& queue) noexcept {
        if (queue_ || !queue) return;
        queue_.swap(queue);
        queue_->resume_counts(data_count_, control_count_);
    }

    /// Takes the queue back where it is empty.
    [[nodiscard]] DUPLEX_ALWAYS_INLINE send_queue_ptr take_queue() noexcept {
        return queue_ && queue_->empty() ? put_queue_aside() : nullptr;
    }

    // --- time ---

    /// Tells the time for what follows.
    void at(time_point now) noexcept { now_ = now; }

    /// When `on_time` has something to do.
    [[nodiscard]] time_point next_deadline() const noexcept;

    /// True once after `next_deadline` has come closer by what was received or written.
    [[nodiscard]] bool deadline_came_closer() noexcept { return std::exchange(deadline_closer_, false); }

    /// Does what is due: a Ping, or the end, or the end of messages that have waited too long; then ask
    /// `next` and `gather`. `listening`: what the peer sends is being read; while it isn't, an unanswered
    /// Ping proves nothing.
    void on_time(time_point now, bool listening = true) noexcept;

    /// How long answers take: see there, and its `silence_excused`.
    [[nodiscard]] keepalive& answers() noexcept { return keepalive_; }

    // --- state ---

    [[nodiscard]] role self() const noexcept { return self_; }
    [[nodiscard]] const shared_session_options& shared_options() const noexcept { return options_; }
    [[nodiscard]] closing::state state() const noexcept { return closing_.now(); }
    /// True until a Close is sent or received, or the connection fails.
    [[nodiscard]] bool is_open() const noexcept { return closing_.may_send(); }
    /// True where there is nothing to do: the session is open, all that was received has been looked at, all
    /// that was sent is written and its queue taken back, and no deadline has come closer.
    [[nodiscard]] DUPLEX_ALWAYS_INLINE bool at_rest() const noexcept {
        return !queue_ && window_.empty() && closing_.may_send() && !expired_ && !deadline_closer_;
    }
    /// True while messages may still come.
    [[nodiscard]] bool may_receive() const noexcept { return closing_.may_receive(); }

    // Set when it is made: any thread may ask.

    [[nodiscard]] bool delivers_fragments() const noexcept { return options_->deliver_fragments; }
    [[nodiscard]] bool checks_outgoing_text() const noexcept { return options_->check_outgoing_text; }
    [[nodiscard]] std::size_t watermark() const noexcept { return options_->limits.queue_watermark; }
    /// What happens to a message with such options for which there is no room.
    [[nodiscard]] overflow when_full(const message_options& options) const noexcept;
    /// Whether `size` bytes of payload may be queued behind `before` bytes (limits::queue_bytes).
    [[nodiscard]] bool fits(std::size_t before, std::size_t size) const noexcept;
    [[nodiscard]] std::size_t most_waiting() const noexcept { return options_->limits.queue_messages; }

    /// Whether `size` bytes may be on their way to a queue with `before`; `held` is what they were charged.
    [[nodiscard]] bool charges(detail::send_charge& held, std::size_t before,
                               std::size_t size) const noexcept;

    /// Why the session ended or is ending; `errc::closed` for an orderly end.
    [[nodiscard]] errc error() const noexcept { return error_; }

    /// What the transport has to do now.
    [[nodiscard]] transport_step transport() const noexcept;

    // --- being observed (impl/session_observe.hpp) ---

    /// What has gone through it up to now.
    [[nodiscard]] session_counters counters() const noexcept;

    /// Shows `tap` all that comes and goes, from now on: behind `use`, before anything is received or sent.
    /// False when memory ran out, and nothing is shown. It takes the quick paths away from the session.
    bool observe(std::unique_ptr<wire_tap> added) noexcept;

private:
    /// Below this the rest of a frame comes through a window like everything else.
    static constexpr std::uint64_t direct_threshold = 16 * 1024;

    [[nodiscard]] bool next_whole(event& found) noexcept;
    [[nodiscard]] event next_of_any_kind() noexcept;
    [[nodiscard]] event next_in(detail::receiving& in) noexcept;
    [[nodiscard]] event end_frame(detail::receiving& in, std::span<std::byte> piece) noexcept;
    [[nodiscard]] event take_control(detail::receiving& in, std::span<std::byte> piece) noexcept;
    [[nodiscard]] std::span<std::byte> room_in_message() noexcept;
    void release_delivered() noexcept;
    void before_window(std::span<const std::byte> window) noexcept;
    [[nodiscard]] event on_control(opcode op, std::span<std::byte> payload) noexcept;
    [[nodiscard]] event on_close(std::span<std::byte> payload) noexcept;
    [[nodiscard]] event fail_now(errc why) noexcept;
    [[nodiscard]] event report_failure() noexcept;

    send_status send_copy(opcode op, std::span<const std::byte> payload, text_is text,
                          compression how) noexcept;
    template <class Push>
    send_status send_data(opcode op, text_is text, compression how, std::span<const std::byte> payload,
                          Push push, byte_buffer* own = nullptr) noexcept;
    template <class Push>
    send_status send_frame(opcode op, bool fin, std::size_t size, Push push) noexcept;
    template <class Push>
    send_status push_frame(opcode op, bool fin, std::size_t size, Push push, std::uint8_t rsv = 0) noexcept;
    [[nodiscard]] send_status check_message(opcode op, std::span<const std::byte> payload,
                                            text_is text) const noexcept;
    [[nodiscard]] static outgoing to_send(const prepared_message& message) noexcept;
    send_status send_with(const outgoing& message, const message_options& options, text_is text) noexcept;
    send_status send_in_turn(opcode op, std::span<const std::byte> payload, compression how,
                             text_is text) noexcept;
    send_status send_in_turn(opcode op, byte_buffer& payload, compression how, text_is text) noexcept;
    send_status send_in_turn(const outgoing& message, const message_options& options) noexcept;
    send_status put_in_outbox(const outgoing& message, const message_options& options, outbox::item* old,
                              std::size_t to_drop) noexcept;
    send_status push_at_once(const outgoing& message, const message_options& options) noexcept;
    send_status drop_newest(const message_options& options) noexcept;
    void close_for_overflow() noexcept;
    send_status hand_on_what_fits() noexcept;
    [[nodiscard]] std::optional<send_status> hand_on(outbox::item& next) noexcept;
    send_status push_message(const outgoing& message) noexcept;
    [[nodiscard]] std::optional<send_status> push_smaller(const outgoing& message) noexcept;
    send_status push_plain(opcode op, bool fin, const outgoing& message) noexcept;
    send_status push_fragment(const outgoing& piece) noexcept;
    [[nodiscard]] bool is_broken_without(const outgoing& piece) const noexcept;
    [[nodiscard]] bool is_next(const outgoing& message) const noexcept;
    [[nodiscard]] bool is_too_long(std::size_t size, bool fragment) const noexcept;
    [[nodiscard]] bool may_hand_on(std::size_t size) const noexcept;
    [[nodiscard]] bool open_outbox() noexcept;
    void turns_changed() noexcept;
    void lose_waiting(message_fate fate) noexcept;
    void after_write() noexcept;
    void consumed_watched(std::size_t size) noexcept;
    void note_left(std::size_t size) noexcept;
    void tell_held() noexcept;
    void look_for_low_water() noexcept;
    [[nodiscard]] bool compresses(compression how, std::size_t size) noexcept;
    [[nodiscard]] bool shrink(std::span<const std::byte> payload, byte_buffer& smaller) noexcept;
    send_status push_compressed(opcode op, bool fin, std::size_t plain, byte_buffer&& compressed,
                                bool first = true) noexcept;
    send_status push_prepared(const prepared_message& message) noexcept;
    send_status push_twin(const prepared_message& twin, std::size_t plain) noexcept;
    send_status send_control(opcode op, std::span<const std::byte> payload) noexcept;
    [[nodiscard]] send_status begin_control(opcode op, std::size_t length, frame_header& out) noexcept;
    [[nodiscard]] send_status queue_close(close_code code, std::string_view reason) noexcept;
    [[nodiscard]] send_status push_close(std::span<const std::byte> body) noexcept;
    [[nodiscard]] event fail_now(send_status unsent) noexcept;
    [[nodiscard]] bool make_header(opcode op, bool fin, std::size_t length, frame_header& out) noexcept;
    [[nodiscard]] send_status admit(std::size_t size) noexcept;
    [[nodiscard]] send_status admitted() noexcept;
    [[nodiscard]] send_status admit_charged(std::size_t size) noexcept;
    [[nodiscard]] send_status not_pushed(send_status why) noexcept;
    [[nodiscard]] bool affords(std::size_t total) noexcept;
    [[nodiscard]] bool ask_again_later() noexcept;
    void charge_output() noexcept;
    [[nodiscard]] bool open_queue() noexcept;
    [[nodiscard]] bool make_queue() noexcept;

    /// RFC 6455 5.5.1, 5.5.2: a Ping is answered until a Close has come, but nothing follows a Close of ours.
    [[nodiscard]] bool may_answer_ping() const noexcept;

    [[nodiscard]] send_queue_ptr put_queue_aside() noexcept;

    void bytes_received() noexcept {
        // The next Ping may be due sooner than the answer to the last one was.
        if (keepalive_.bytes_received(now_)) deadline_closer_ = true;
    }

    void keep_borrowed() noexcept;
    void look_for_ping() noexcept;

    std::span<std::byte> window_{};   ///< what was received and not looked at
    detail::receiving_ptr receiving_; ///< while more than a short message is arriving
    shared_session_options options_;
    keepalive keepalive_;
    time_point now_;
    send_queue_ptr queue_;
    std::uint64_t data_count_ = 0;    ///< data bytes written, while there is no queue
    std::uint64_t control_count_ = 0; ///< control bytes written, while there is no queue
    closing closing_;
    utf8_validator outgoing_utf8_; ///< of a text message sent in fragments
    errc error_ = errc::closed;
    role self_;
    bool frames_plainly_ = self_ == role::server; ///< neither masked nor compressed

    static constexpr std::uint8_t message_unfinished = 1; ///< one is being sent in pieces
    static constexpr std::uint8_t messages_held = 2;      ///< they wait their turn
    static constexpr std::uint8_t output_charged = 4;     ///< what is queued counts in the budget
    /// What keeps a message from being queued just like that.
    std::uint8_t in_the_way_ = options_->holds_back() ? messages_held : std::uint8_t{0};
    bool failure_pending_ = false; ///< `failed` has not been reported yet
    bool close_pushed_ = false;
    bool deadline_closer_ = false;
    bool watches_writes_ = false; ///< something comes of what is written
    bool expired_ = false;
    // Seldom looked at: they share a byte.
    bool outgoing_text_ : 1 = false;
    bool outgoing_compressed_ : 1 = false;
    bool ping_refused_ : 1 = false; ///< the keepalive Ping waits for room in the queue
    bool was_above_ : 1 = false;    ///< the watermark, and has not fallen to half of it since
    bool low_water_ : 1 = false;
    bool begun_unfinished_ : 1 = false; ///< of a message in pieces some were handed on, and not the last
    bool admits_all_ : 1 = false;
    bool close_came_ : 1 = false;
    bool no_room_ : 1 = false; ///< the transport did not take all of the last write
};

} // namespace duplex
#include <duplex/protocol/impl/session_budget.hpp>
#include <duplex/protocol/impl/session_closing.hpp>
#include <duplex/protocol/impl/session_observe.hpp>
#include <duplex/protocol/impl/session_outbox.hpp>
#include <duplex/protocol/impl/session_receive.hpp>
#include <duplex/protocol/impl/session_send.hpp>
#include <duplex/protocol/impl/session_small.hpp>
