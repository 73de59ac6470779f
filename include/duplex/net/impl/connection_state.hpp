#pragma once

// What a connection is made of. The operations are in the neighbouring files.

#include <duplex/core/detail/inlining.hpp>
#include <duplex/core/detail/intrusive_ptr.hpp>
#include <duplex/handshake/client_handshake.hpp>
#include <duplex/handshake/outcome.hpp>
#include <duplex/handshake/server_handshake.hpp>
#include <duplex/net/buffer_pool.hpp>
#include <duplex/net/concepts.hpp>
#include <duplex/net/connection_options.hpp>
#include <duplex/net/detail/asio_compat.hpp>
#include <duplex/net/detail/connection_parts.hpp>
#include <duplex/net/detail/context_service.hpp>
#include <duplex/net/detail/handler_storage.hpp>
#include <duplex/net/detail/inbox.hpp>
#include <duplex/net/detail/kept_call.hpp>
#include <duplex/net/detail/poll_set.hpp>
#include <duplex/net/detail/waiter.hpp>
#include <duplex/net/message.hpp>
#include <duplex/net/stream_traits.hpp>
#include <duplex/protocol/message_options.hpp>
#include <duplex/protocol/session.hpp>

#include <asio/buffer.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <optional>
#include <span>
#include <string_view>
#include <system_error>
#include <utility>

namespace duplex::detail {

template <class Stream>
class connection_state;

/// Who takes the events of a connection at the moment: a run, a batch or a single read.
template <class Stream>
class reader : public waiter<std::error_code> {
public:
    /// Pulls what it wants of the session's events. True when it has what it waited for.
    virtual bool consume(connection_state<Stream>& state) = 0;

    const bool keeps_window; ///< a batch: the window stays until the batch is done with
    const bool whole_life;   ///< a run: it ends with the connection, and reads only while the queue has room
    const bool fragments;    ///< takes pieces of messages
    const bool takes_fates;  ///< is told what becomes of messages
    const bool takes_low_water;

    /// Tells what is known of messages.
    virtual void tell(connection_state<Stream>&) {}

protected:
    reader(bool keeps, bool whole, bool takes_fragments, bool fates = false, bool low_water = false) noexcept
        : keeps_window{keeps}
        , whole_life{whole}
        , fragments{takes_fragments}
        , takes_fates{fates}
        , takes_low_water{low_water} {}
    ~reader() = default;
};

/// How a connection learns that its stream is ready: by an operation of Asio's.
template <class Stream, bool Polled>
class readiness : public counted_member<connection_state<Stream>, turn_member> {
protected:
    [[nodiscard]] handler_storage<160>* read_room() noexcept { return &read_room_; }

private:
    handler_storage<160> read_room_;
};

#if defined(__linux__)
/// Or in the poll set of its context.
template <class Stream>
class readiness<Stream, true> : public counted_member<connection_state<Stream>, poll_member> {
    void on_ready(std::uint32_t events) final {
        static_cast<connection_state<Stream>&>(*this).became_ready(events);
    }

protected:
    /// It has no operation of its own that would need room.
    [[nodiscard]] static handler_storage<160>* read_room() noexcept { return nullptr; }

    bool readable_ = false; ///< there may be bytes that nobody has read yet
    bool read_on_ = false;  ///< until nothing is left: a short read need not be the last
    bool held_ = false;     ///< something is under way, for which the context has to run
    bool telling_ = false;  ///< what is ready is being served
    bool watches_writes_ = false;
};
#endif

/// The shared part of a connection: the stream, the session, what is under way, and who waits. Everything but
/// the functions named for any thread runs on the stream's executor.
template <class Stream>
class connection_state final : public readiness<Stream, waits_in_set<Stream>> {
public:
    using executor_type = typename Stream::executor_type;
    using traits = stream_traits<Stream>;
    static constexpr bool polled = waits_in_set<Stream>;
    /// TLS may lie between the connection and its socket.
    static constexpr bool layered = requires(Stream & stream) { stream.layers(); };
    using pointer = intrusive_ptr<connection_state>;

    connection_state(Stream&& stream, const connection_options& options)
        : stream_{std::move(stream)}
        , service_{&context_service::of(stream_.get_executor())}
        , session_{role::server, service_->shared(options.for_session()), service_->now()}
        , opening_{std::make_unique<opening_parts>(options)} {
        service_->join(*this);
        traits::prepare(stream_);
        watch();
    }
    ~connection_state() {
        drop_inbox();
        if (!service_) return;
        if (!is_.ended) unwatch();
        // The context waits for those who have not left it.
        stream_.~Stream();
        service_->leave(*this);
    }

    // --- opening (impl/opening.hpp) ---

    void read_request(waiter<std::error_code>& done);
    void accept(std::shared_ptr<const server_handshake_options> options, waiter<std::error_code>& done);
    void reject(unsigned status, const fields& headers, std::string_view body, waiter<std::error_code>& done);
    void handshake(const uri& to, const client_handshake_options& options, waiter<std::error_code>& done);
    void cancel_opening();
    /// Ends before it has begun.
    void give_up(handshake_outcome&& known) {
        keep_outcome(std::move(known));
        end();
    }

    // --- reading (impl/read.hpp) ---

    /// Makes `added` the reader, or completes it at once with what is known.
    void read(reader<Stream>& added);
    void stop_reading(reader<Stream>& gone);
    /// The next message among the bytes already received.
    [[nodiscard]] std::optional<message> try_read();
    /// Handles an event that is not a message.
    void on_event(const event& found);
    /// A message with bytes of its own.
    [[nodiscard]] message own(const event& found);
    /// A batch is done with: what was sent meanwhile goes out.
    void end_batch();

    // --- pausing, and how long answers take (impl/pausing.hpp) ---

    void pause();
    void resume();
    [[nodiscard]] bool is_paused() const noexcept { return (is_.paused & situation::by_application) != 0; }
    /// From the first call on it is measured.
    [[nodiscard]] latency measured();

    // --- writing (impl/write.hpp) ---

    /// Any thread.
    send_status send(opcode op, std::span<const std::byte> payload, text_is text = text_is::unchecked);
    send_status send(opcode op, byte_buffer&& payload, text_is text = text_is::unchecked);
    send_status send_prepared(const prepared_message& message);
    send_status send(opcode op, std::span<const std::byte> payload, const message_options& options,
                     text_is text = text_is::unchecked);
    send_status send(opcode op, byte_buffer&& payload, const message_options& options,
                     text_is text = text_is::unchecked);
    send_status send_prepared(const prepared_message& message, const message_options& options);
    send_status ping(std::span<const std::byte> payload);
    std::error_code close(close_code code, std::string_view reason, close_how how = close_how::after_queued);
    send_status send_parts(opcode op, std::span<const std::span<const std::byte>> parts);
    /// On the executor.
    send_status send_fragment(opcode op, std::span<const std::byte> payload, bool last, compression how);
    void send_then(opcode op, byte_buffer&& payload, const message_options& options,
                   listed_waiter<std::error_code>& done);
    void withdraw_send(listed_waiter<std::error_code>& gone);

    /// What became of a message with a tag, where no run takes it.
    [[nodiscard]] std::optional<told_fate> next_fate();

    void drain(listed_waiter<std::error_code>& done);
    void ping_then(ping_waiter& done);

    // --- the end (impl/close.hpp) ---

    void close_then(close_code code, std::string_view reason, close_how how,
                    listed_waiter<std::error_code>& done);
    /// Ends everything now. Pending operations complete with `errc::aborted`.
    void abort() noexcept;
    void leave() noexcept;
    /// The owner is gone.
    void release() noexcept;

    /// What an operation is told that outlives the connection.
    [[nodiscard]] std::error_code final_error() const noexcept;
    /// None while it hasn't ended.
    [[nodiscard]] const close_result* result_if_any() const noexcept {
        const auto* end = how_it_ended();
        return end && end->result ? &*end->result : nullptr;
    }
    [[nodiscard]] bool ended_cleanly() const noexcept {
        const auto* known = result_if_any();
        return known && known->was_clean;
    }
    [[nodiscard]] bool ended_well() const noexcept { return ended_cleanly() && !result_if_any()->error; }

    void on_deadline() override;
    void on_shutdown() noexcept override;

    // --- state ---

    [[nodiscard]] executor_type get_executor() noexcept { return stream_.get_executor(); }
    [[nodiscard]] bool is_ended() const noexcept { return is_.ended; }
    [[nodiscard]] bool here() noexcept { return runs_here(stream_.get_executor()); }
    /// Any thread.
    [[nodiscard]] bool is_open() const noexcept { return open_.load(std::memory_order_acquire); }
    [[nodiscard]] std::size_t buffered() noexcept {
        const std::size_t queued =
            is_open() && here() ? session_.queued() : buffered_.load(std::memory_order_relaxed);
        return queued + inbox_load_.now().bytes();
    }

    /// Lets an operation leave a list it waits in.
    template <class... Args>
    void withdraw(waiter_list<Args...>& list, listed_waiter<Args...>& which);

private:
    // What is small stands where it fills a gap: an idle connection is not to cost more than it must.
    bool reading_ = false;        ///< bytes are awaited
    bool reading_direct_ = false; ///< into the message instead of a window
    bool corked_ = false;         ///< sends are collected until the batch is through

public:
    union {
        Stream stream_; ///< until the context goes away
    };
    context_service* service_; ///< null when the context has gone away
    session session_;

    std::unique_ptr<opening_parts> opening_;
    std::unique_ptr<seldom> seldom_;
    [[nodiscard]] handshake_outcome* outcome() const noexcept {
        return seldom_ ? seldom_->outcome.get() : nullptr;
    }
    [[nodiscard]] byte_buffer* stash() const noexcept { return seldom_ ? seldom_->stash.get() : nullptr; }
    [[nodiscard]] ending* how_it_ended() const noexcept { return seldom_ ? seldom_->end.get() : nullptr; }
    [[nodiscard]] waiters* waiting() const noexcept { return seldom_ ? seldom_->waiting.get() : nullptr; }
    [[nodiscard]] seldom& with_seldom() {
        if (!seldom_) seldom_ = std::make_unique<seldom>();
        return *seldom_;
    }
    /// Makes one of them; false: there is no memory for it.
    template <class Part>
    [[nodiscard]] bool have(std::unique_ptr<Part> seldom::*part) noexcept {
        if (!seldom_) seldom_.reset(new (std::nothrow) seldom);
        if (seldom_ && !((*seldom_).*part)) ((*seldom_).*part).reset(new (std::nothrow) Part);
        return seldom_ && (*seldom_).*part;
    }
    /// Frees one of them.
    template <class Part>
    void forget(std::unique_ptr<Part> seldom::*part) noexcept {
        if (!seldom_) return;
        ((*seldom_).*part).reset();
        if (seldom_->empty()) seldom_.reset();
    }
    void forget_opening() noexcept {
        if (opening_) opening_->forgotten = true;
        forget(&seldom::outcome);
    }
    void keep_outcome(handshake_outcome&& known) {
        with_seldom().outcome = std::make_unique<handshake_outcome>(std::move(known));
    }

    /// The key of a send that was withdrawn before it came here.
    static constexpr std::uint64_t withdrawn = static_cast<std::uint64_t>(-1);
    /// Tags of messages that an `async_send` waits for.
    static constexpr std::uint64_t own_tag = std::uint64_t{1} << 63U;
    [[nodiscard]] bool awaits_close() const noexcept { return waiting() && !waiting()->closes.empty(); }
    /// False: there is no memory to wait in.
    [[nodiscard]] bool may_wait() noexcept { return have(&seldom::waiting); }

    reader<Stream>* reader_ = nullptr;
    /// The reader whose callbacks are running.
    struct consumption {
        reader<Stream>* by;
        std::optional<std::error_code> retired{}; ///< what it will be told, where it was retired meanwhile
    };
    consumption* consuming_ = nullptr;
    std::uint32_t batch_ = 0; ///< counts batches, so that a stale one knows

private:
    bool turn_posted_ = false;
    std::atomic<bool> open_{false};

    /// Asio passes at most 64 buffers to one write; an operation keeps its own copy of a sequence, so there
    /// it is short.
    static constexpr std::size_t max_segments = traits::waits ? 64 : 8;

    /// The buffers of one write, as a sequence that may be copied and kept.
    struct const_buffers {
        using value_type = asio::const_buffer;
        using const_iterator = const asio::const_buffer*;
        std::array<asio::const_buffer, max_segments> all;
        std::size_t count;
        [[nodiscard]] const_iterator begin() const noexcept { return all.data(); }
        [[nodiscard]] const_iterator end() const noexcept { return all.data() + count; }
    };

    // --- readiness (impl/readiness.hpp) ---

    friend readiness<Stream, polled>;

    /// Turns of an `io_context` are shared; with other executors each connection posts its own.
    static constexpr bool shares_turns = std::is_same_v<executor_type, asio::io_context::executor_type>;

    void watch();
    void unwatch() noexcept;
    void await_readable();
    void await_writable();
    void hold();
    void let_go() noexcept;
    void drop_hold() noexcept;
    void became_ready(std::uint32_t events);
    void serve_stream(bool writable);
    void defer();
    void turn();
    void on_turn() override;
    void on_turn_dropped() noexcept override { this->drop_owner(); }

    void on_readable(std::error_code error, std::size_t size);
    void read_now();
    void read_secured();
    template <bool Secured>
    void read_once();
    void received_apart(const std::error_code& error, std::size_t size);
    void received(const std::error_code& error, std::size_t size);
    void on_writable(std::error_code error, std::size_t size);

    /// The completion handler of the read or wait under way: lives inside the state and keeps it alive.
    struct read_handler {
        using allocator_type = storage_allocator<void, 160>;

        explicit read_handler(connection_state& of) noexcept
            : state{&of}
            , room{of.read_room()} {}
        void operator()(std::error_code error, std::size_t size = 0) { state->on_readable(error, size); }
        [[nodiscard]] allocator_type get_allocator() const noexcept { return allocator_type{*room}; }

        pointer state;
        handler_storage<160>* room; // asked for even after the handler was moved from
    };
    /// The same for writing, which an idle connection does not do: memory comes from Asio's cache.
    struct write_handler {
        pointer state;
        void operator()(std::error_code error, std::size_t size = 0) { state->on_writable(error, size); }
    };

    [[nodiscard]] bool opening_start(role self, waiter<std::error_code>& done);
    template <class Step>
    void begin_opening(Step step);
    [[nodiscard]] bool securing() noexcept;
    void secure();
    void secured();
    void opening_received(std::span<const std::byte> bytes, std::error_code ended);
    void opening_request_ready();
    void opening_write(std::string_view bytes);
    void opening_written();
    void opening_done(std::error_code error);
    void become_open(role self, handshake_outcome&& outcome);
    void observe(const handshake_outcome& outcome);

    void start_read();
    [[nodiscard]] bool wants_read() noexcept;
    void serve();
    void serve_at_once();
    void callback_threw(const consumption& while_read);
    void finish_read();
    void after_batch();
    void look_around();
    [[nodiscard]] bool goes_on() const noexcept;
    void serve_soon() {
        is_.serving_soon = true;
        defer();
    }
    void keep_unread();
    void keep_withheld();
    void end_pause();
    void look_at_withheld();
    void answered(time_point::duration round_trip);
    void time_keepalive();
    void retire_reader(std::error_code error);

    void flush();
    void write_queued();
    /// What one write was given, and how much of it the transport took.
    struct offered {
        std::size_t size;
        std::size_t taken;
    };
    bool write_part();
    bool write_part_secured();
    /// The layer has more to read, although the socket may have none.
    [[nodiscard]] bool unread() noexcept;
    /// There is something of the layer's own to write.
    [[nodiscard]] bool unsent() noexcept;
    [[nodiscard]] bool flush_layers(std::error_code& error) noexcept;
    /// A peer takes in small steps what was written long ago.
    void note_progress() noexcept;
    void begin_to_wait() noexcept;
    void write_stopped(const std::error_code& error);
    template <bool Secured>
    offered offer(std::error_code& error);
    offered offer_several(std::error_code& error);
    [[nodiscard]] const_buffers gather() noexcept;
    void stamp_pings();
    void write_once();
    void after_write();
    void tell_written();
    /// Sends outside of a batch leave together at the end of the loop's turn.
    void schedule_flush() {
        if (is_.ended) return;
        is_.flush_soon = true;
        defer();
    }
    template <class Payload>
    send_status send_any(opcode op, Payload payload, text_is text);
    void was_sent(listed_waiter<std::error_code>& done, send_status status);
    send_status queued(send_status status);
    void await_sent(send_status status, listed_waiter<std::error_code>& done);
    send_status send_from_elsewhere(std::unique_ptr<inbox_item>& item);
    send_status send_from_elsewhere(opcode op, const message_options& options, text_is text,
                                    std::unique_ptr<inbox_item>& item);
    [[nodiscard]] send_status may_send(const message_options& options) const noexcept;
    void come_here_to_send();
    void time_runs(const message_options& options) noexcept;
    void send_in_turn(std::unique_ptr<inbox_item> item);
    void await_room(std::unique_ptr<inbox_item> item);
    void expire_waiting(time_point now);
    void give_room();
    void take_news();
    void end_wishes(std::error_code error);
    void end_reader();
    void last_turn();
    [[nodiscard]] send_wishes* wishes() noexcept;
    [[nodiscard]] std::error_code error_of(message_fate fate) const noexcept;
    void refused();
    [[nodiscard]] bool inbox_takes(inbox_load::amount before, bool closing = false) const noexcept;
    [[nodiscard]] bool enter_inbox(bool closing = false) noexcept;
    [[nodiscard]] bool push_inbox(std::unique_ptr<inbox_item>& item);
    [[nodiscard]] inbox_item* empty_inbox(bool close) noexcept;
    /// What the inbox of a connection that has ended holds: no item lies there.
    [[nodiscard]] inbox_item* closed_inbox() noexcept { return reinterpret_cast<inbox_item*>(&inbox_); }
    void drain_inbox();
    [[nodiscard]] bool decided_later(const inbox_item& item, std::size_t coming) const noexcept;
    void sent_for_another(const inbox_item& item, send_status status);
    void drop_inbox() noexcept;
    /// Whether it may be sent by reference: it lies in the buffer that the reader looks at.
    [[nodiscard]] bool in_window(std::span<const std::byte> payload) const noexcept {
        const auto window = lease_.bytes();
        return !window.empty() && payload.data() >= window.data() &&
               payload.data() < window.data() + window.size();
    }
    DUPLEX_ALWAYS_INLINE void lend_queue() noexcept {
        if (!session_.has_queue()) session_.lend_queue(thread_buffers::take_queue());
    }
    /// Before a send that is not part of a batch.
    void prepare_to_send() noexcept {
        lend_queue();
        session_.at(service_->now());
    }

    std::error_code close_session(close_code code, std::string_view reason, close_how how);
    void on_transport_error(std::error_code error);
    void follow_session();
    void end();
    void update_deadline();
    void on_tick();
    void remember(std::error_code of_transport) noexcept;
    [[nodiscard]] close_result* result() noexcept; ///< null without memory for it
    [[nodiscard]] std::error_code session_error() const noexcept;

    receive_lease lease_; ///< the window, while a batch is looked at or a stream reads into it
    std::atomic<inbox_item*> inbox_{nullptr}; ///< newest first
    inbox_load inbox_load_;
    std::atomic<std::size_t> buffered_{0};

    situation is_;
};

} // namespace duplex::detail
