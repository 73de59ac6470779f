#pragma once

#include <duplex/handshake/client_handshake.hpp>
#include <duplex/handshake/server_handshake.hpp>
#include <duplex/http/uri.hpp>
#include <duplex/net/concepts.hpp>
#include <duplex/net/connection_options.hpp>
#include <duplex/net/impl/connection_state.hpp>
#include <duplex/net/impl/readers.hpp>
#include <duplex/net/message.hpp>
#include <duplex/net/message_batch.hpp>
#include <duplex/net/stream_traits.hpp>
#include <duplex/net/tcp_socket.hpp>
#include <duplex/protocol/latency.hpp>
#include <duplex/protocol/prepared_message.hpp>

#include <asio/async_result.hpp>

#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>

namespace duplex {

namespace detail {
template <class Executor>
class connect_operation;
} // namespace detail

/// A reference to a connection that any thread may hold, copy and use, however long the connection lives: it
/// keeps memory, not the connection. All functions: any thread, but while its context is being destroyed.
template <class Stream>
class connection_handle {
public:
    connection_handle() noexcept = default;

    send_status send(std::string_view text) const { return send(opcode::text, as_bytes(text)); }
    send_status send(std::span<const std::byte> binary) const { return send(opcode::binary, binary); }
    send_status send(const message& copied) const {
        return state_ ? state_->send(copied.op(), copied.bytes(), copied.checked()) : send_status::not_open;
    }
    send_status send(opcode op, std::span<const std::byte> payload) const {
        return state_ ? state_->send(op, payload) : send_status::not_open;
    }
    send_status send(opcode op, byte_buffer&& payload) const {
        return state_ ? state_->send(op, std::move(payload)) : send_status::not_open;
    }
    send_status send(std::string_view text, const message_options& options) const {
        return send(opcode::text, as_bytes(text), options);
    }
    send_status send(std::span<const std::byte> binary, const message_options& options) const {
        return send(opcode::binary, binary, options);
    }
    send_status send(opcode op, std::span<const std::byte> payload, const message_options& options) const {
        return state_ ? state_->send(op, payload, options) : send_status::not_open;
    }
    send_status send(opcode op, byte_buffer&& payload, const message_options& options) const {
        return state_ ? state_->send(op, std::move(payload), options) : send_status::not_open;
    }
    send_status send(const prepared_message& prepared, const message_options& options) const {
        return state_ ? state_->send_prepared(prepared, options) : send_status::not_open;
    }
    send_status send(const prepared_message& prepared) const {
        return state_ ? state_->send_prepared(prepared) : send_status::not_open;
    }
    send_status ping(std::span<const std::byte> payload = {}) const {
        return state_ ? state_->ping(payload) : send_status::not_open;
    }
    send_status send_parts(opcode op, std::span<const std::span<const std::byte>> parts) const {
        return state_ ? state_->send_parts(op, parts) : send_status::not_open;
    }
    std::error_code close(close_code code = close_code::normal, std::string_view reason = {},
                          close_how how = close_how::after_queued) const {
        return state_ ? state_->close(code, reason, how) : make_error_code(errc::not_open);
    }
    [[nodiscard]] bool is_open() const noexcept { return state_ && state_->is_open(); }
    [[nodiscard]] std::size_t buffered_amount() const noexcept { return state_ ? state_->buffered() : 0; }
    [[nodiscard]] explicit operator bool() const noexcept { return bool{state_}; }
    bool operator==(const connection_handle& other) const noexcept {
        return state_.get() == other.state_.get();
    }

private:
    template <async_stream>
    friend class connection;
    explicit connection_handle(detail::intrusive_ptr<detail::connection_state<Stream>> state) noexcept
        : state_{std::move(state)} {}
    static std::span<const std::byte> as_bytes(std::string_view text) noexcept {
        return std::as_bytes(std::span{text.data(), text.size()});
    }

    detail::intrusive_ptr<detail::connection_state<Stream>> state_;
};

/// A WebSocket connection over any Asio stream, either role (RFC 6455).
///
/// Opened by `async_accept` (server) or `async_handshake` (client). Then it is read in one of three ways, one
/// at a time: `async_run` (callbacks for its whole life, the fastest), `async_read_batch` (all messages of
/// one socket read) or `async_read` (one message). Pings are answered and the closing handshake is carried by
/// whichever read is under way; without one, `async_close` carries it.
///
/// Sending: at any time, any number of messages, in order; what is sent in a batch, or in one turn of the
/// loop, leaves in one write.
///
/// Options: in a coroutine keep them in a variable of their own. g++ before 13 miscompiles a temporary struct
/// that is written inside a `co_await` expression.
///
/// Thread rule: `send`, `send_parts`, `ping`, `close`, `is_open`, `buffered_amount` and handles: any thread.
/// Everything else, the destructor included, on the stream's executor (a strand where the context runs on
/// several threads).
///
/// Completion: never from inside the initiating function. Cancellation: all types; a cancelled read loses
/// nothing, a cancelled `async_send` stops waiting but the message still goes, a cancelled handshake ends the
/// connection. As everywhere in Asio a signal is emitted on the executor, and outlives the operation.
/// Destroying a connection is safe in any state: an open one says 1001 where the transport takes it at once,
/// and what is pending completes with `errc::aborted`.
template <async_stream Stream>
class connection {
    using state_type = detail::connection_state<Stream>;
    using pointer = detail::intrusive_ptr<state_type>;

public:
    using stream_type = Stream;
    using executor_type = typename Stream::executor_type;
    using handle_type = connection_handle<Stream>;
    using batch_type = message_batch<Stream>;

    /// No connection: can only be assigned to, asked whether it is one, and destroyed.
    connection() noexcept = default;
    [[nodiscard]] explicit operator bool() const noexcept { return bool{state_}; }

    /// Takes over a connected stream.
    explicit connection(Stream stream, const connection_options& options = {})
        : state_{new state_type{std::move(stream), options}} {}
    connection(connection&&) noexcept = default;
    connection& operator=(connection&& other) noexcept {
        if (this != &other) {
            if (state_) state_->release();
            state_ = std::move(other.state_);
        }
        return *this;
    }
    ~connection() {
        if (state_) state_->release();
    }

    [[nodiscard]] executor_type get_executor() const noexcept { return state_->get_executor(); }
    /// The stream beneath, for its endpoints, say. Reading, writing or closing it breaks the connection.
    [[nodiscard]] Stream& stream() noexcept { return state_->stream_; }
    /// For use from other threads, and beyond the connection's life.
    [[nodiscard]] handle_type handle() const noexcept { return handle_type{state_}; }

    // --- opening (RFC 6455 4) ---

    /// Before it is opened, counts it in the budget that `place` is of until it is open or has ended. For
    /// those who took the place before they accepted; else one of `connection_options::budget` is taken.
    void count_handshake(budget::handshake&& place) noexcept {
        if (state_->opening_) state_->opening_->counted = std::move(place);
    }

    /// Server: reads the request, so that `request()` can be looked at before `async_accept` or
    /// `async_reject`. Handler: `void(std::error_code)`. A malformed request is answered before the handler
    /// is called.
    template <class Token>
    auto async_read_request(Token&& token) {
        return start_opening([](state_type& state, auto& done) { state.read_request(done); }, token);
    }

    /// Server: the request that `async_read_request` has read; null before, and after it was answered.
    [[nodiscard]] const server_handshake* request() const noexcept {
        auto* const opening = state_->opening_.get();
        if (!opening || opening->waiting || state_->is_ended() || !opening->server) return nullptr;
        return opening->server->response().empty() ? &*opening->server : nullptr;
    }

    /// Server: reads the request if need be and answers it. Handler: `void(std::error_code)`; none when open.
    /// A refusal has been sent when the handler is called, and the connection is of no further use. The
    /// limits of the request are those of `connection_options::http`.
    template <class Token>
    auto async_accept(server_handshake_options options, Token&& token) {
        return async_accept(std::make_shared<const server_handshake_options>(std::move(options)),
                            std::forward<Token>(token));
    }

    /// The same with options that many connections share; they must not be null.
    template <class Token>
    auto async_accept(std::shared_ptr<const server_handshake_options> options, Token&& token) {
        return start_opening(
            [options = std::move(options)](state_type& state, auto& done) mutable {
                state.accept(std::move(options), done);
            },
            token);
    }

    template <class Token>
    auto async_accept(Token&& token) {
        return async_accept(server_handshake_options{}, std::forward<Token>(token));
    }

    /// Server: answers a request that was read with an HTTP response. Handler: `void(std::error_code)`, with
    /// `errc::request_rejected` once it is sent.
    template <class Token>
    auto async_reject(unsigned status, fields headers, std::string body, Token&& token) {
        return start_opening(
            [status, headers = std::move(headers), body = std::move(body)](state_type& state, auto& done) {
                state.reject(status, headers, body, done);
            },
            token);
    }

    /// Client: sends the request for `to` and checks the answer. Handler: `void(std::error_code)`; none when
    /// open. After `errc::upgrade_refused`, `opening_outcome()` shows status, headers and body.
    template <class Token>
    auto async_handshake(uri to, client_handshake_options options, Token&& token) {
        return start_opening([to = std::move(to), options = std::move(options)](
                                 state_type& state, auto& done) { state.handshake(to, options, done); },
                             token);
    }

    template <class Token>
    auto async_handshake(uri to, Token&& token) {
        return async_handshake(std::move(to), client_handshake_options{}, std::forward<Token>(token));
    }

    /// How the opening went, once it is over; null before, and after `forget_opening`.
    [[nodiscard]] const handshake_outcome* opening_outcome() const noexcept { return state_->outcome(); }
    /// Frees what is only needed to look at the opening. Before its end: nothing of a good one will be kept.
    void forget_opening() noexcept { state_->forget_opening(); }

    // --- reading ---

    /// Gives every message to `handlers` until the connection has ended. `handlers` is a callable taking a
    /// `const message&`, or an object with `on_message(const message&)` and any of
    /// `on_ping(std::span<std::byte>)`, `on_pong(std::span<std::byte>)`, `on_fragment(const message&, bool
    /// last)`, `on_fate(std::uint64_t tag, message_fate)`, `on_low_water()`: the send queue has fallen to
    /// half of its watermark. Views end with the callback. While the send queue is above its watermark
    /// nothing is read. Handler: `void(std::error_code)`; none for an orderly end, see `result()`.
    template <class Handlers, class Token>
    auto async_run(Handlers handlers, Token&& token) {
        return asio::async_initiate<Token, void(std::error_code)>(
            [](auto handler, pointer state, Handlers with) {
                start_reader<detail::run_reader<Stream, Handlers>>(std::move(handler), state,
                                                                   std::move(with));
            },
            token, state_, std::move(handlers));
    }

    /// Reads the socket once and gives the messages that came, at least one. Handler:
    /// `void(std::error_code, message_batch<Stream>)`; `errc::closed` after the peer's Close.
    template <class Token>
    auto async_read_batch(Token&& token) {
        return asio::async_initiate<Token, void(std::error_code, batch_type)>(
            [](auto handler, pointer state) {
                start_reader<detail::batch_reader<Stream>>(std::move(handler), state);
            },
            token, state_);
    }

    /// Reads one message, which owns its bytes. Handler: `void(std::error_code, message)`; `errc::closed`
    /// after the peer's Close.
    template <class Token>
    auto async_read(Token&& token) {
        return asio::async_initiate<Token, void(std::error_code, message)>(
            [](auto handler, pointer state) {
                start_reader<detail::single_reader<Stream>>(std::move(handler), state);
            },
            token, state_);
    }

    /// The next message among the bytes already received; never waits.
    [[nodiscard]] std::optional<message> try_read() { return state_->try_read(); }

    /// Delivers no more messages, and reads nothing more, until `resume`: what the peer sends waits in the
    /// system's buffers, and then with the peer. Reads may begin meanwhile, and wait. Pings are still sent,
    /// so that a transport that breaks, or takes nothing for `timeouts::write`, is found out; but silence
    /// counts for nothing: neither a Pong nor a message is missed, and a peer that has ended is found out by
    /// `resume`. Closing ends the pause: what still comes is delivered. No effect unless open.
    void pause() { state_->pause(); }
    void resume() { state_->resume(); }
    [[nodiscard]] bool is_paused() const noexcept { return state_->is_paused(); }

    // --- sending: any thread ---

    /// Queues a text message. `send_status` tells whether it was accepted; `text_not_utf8` where it is no
    /// UTF-8. A moved-in payload that isn't accepted stays where it was.
    send_status send(std::string_view text) { return handle().send(text); }
    send_status send(std::span<const std::byte> binary) { return send(opcode::binary, binary); }
    send_status send(const message& copied) {
        return state_->send(copied.op(), copied.bytes(), copied.checked());
    }
    send_status send(message&& moved) {
        const opcode op = moved.op();
        const auto text = moved.checked();
        auto bytes = moved.take();
        const auto status = state_->send(op, std::move(bytes), text);
        if (!accepted(status)) moved = message{op, std::move(bytes), text};
        return status;
    }
    send_status send(opcode op, std::span<const std::byte> payload) { return state_->send(op, payload); }
    send_status send(opcode op, byte_buffer&& payload) { return state_->send(op, std::move(payload)); }
    send_status send(const prepared_message& prepared) { return state_->send_prepared(prepared); }
    /// One message whose payload lies in several places; it is copied once.
    send_status send_parts(opcode op, std::span<const std::span<const std::byte>> parts) {
        return state_->send_parts(op, parts);
    }

    /// The same with wishes: whether it is compressed, what happens where the queue is full, how long it may
    /// wait, which message it replaces, whether it goes ahead of others. The fate of one with a tag (below
    /// 2^63) is told to a run with `on_fate`, or else by `next_fate`.
    send_status send(std::string_view text, const message_options& options) {
        return handle().send(text, options);
    }
    send_status send(std::span<const std::byte> binary, const message_options& options) {
        return send(opcode::binary, binary, options);
    }
    send_status send(opcode op, std::span<const std::byte> payload, const message_options& options) {
        return state_->send(op, payload, options);
    }
    send_status send(opcode op, byte_buffer&& payload, const message_options& options) {
        return state_->send(op, std::move(payload), options);
    }
    send_status send(const prepared_message& prepared, const message_options& options) {
        return state_->send_prepared(prepared, options);
    }
    /// What became of a message with a tag, each once; none where nothing is known yet. On the executor.
    [[nodiscard]] std::optional<told_fate> next_fate() { return state_->next_fate(); }

    /// Queues one piece of a message whose length is not known yet (RFC 6455 5.4): `op` and `how` count for
    /// the first, the last one ends it. Whatever else is sent before that waits for its end; where the
    /// connection is closed before, it is dropped. `async_drain` waits for the pieces to leave, where nothing
    /// waits behind them. On the executor.
    send_status send_fragment(opcode op, std::span<const std::byte> payload, bool last,
                              compression how = compression::automatic) {
        return state_->send_fragment(op, payload, last, how);
    }

    /// Queues a Ping of at most 125 bytes; the peer's Pong is seen by `on_pong`.
    send_status ping(std::span<const std::byte> payload = {}) { return state_->ping(payload); }

    /// Starts the closing handshake behind what is queued (RFC 6455 7.1.2). Errors name what is wrong with
    /// the arguments; then nothing happens. Nor does a second call change anything. An application's own code
    /// is written `close_code{4000}`. `close_how::at_once` drops what has not begun to leave
    /// (`errc::message_dropped`, `message_fate::dropped`), also after a close that waits for it.
    std::error_code close(close_code code = close_code::normal, std::string_view reason = {},
                          close_how how = close_how::after_queued) {
        return state_->close(code, reason, how);
    }

    [[nodiscard]] bool is_open() const noexcept { return state_->is_open(); }
    /// Bytes queued and not yet taken by the transport, framing included.
    [[nodiscard]] std::size_t buffered_amount() const noexcept { return state_->buffered(); }

    // --- sending, with completion ---

    /// Queues a message (text by default) and completes when its fate is known. The payload is copied first.
    /// Handler: `void(std::error_code)`: none where the transport has taken all of it, or why it was refused
    /// or lost; `errc::message_dropped`, `message_replaced`, `message_expired` where its options, or those
    /// of another, call for it. With `overflow::wait` it waits for room, a normal one behind those that do;
    /// all else is sent or refused at once. A tag is not looked at. Cancelled before it has begun to leave, a
    /// message with options is not sent. Any thread.
    template <class Token>
    auto async_send(std::string_view text, Token&& token) {
        return async_send(text, message_options{}, std::forward<Token>(token));
    }
    template <class Token>
    auto async_send(opcode op, std::span<const std::byte> payload, Token&& token) {
        return async_send(op, payload, message_options{}, std::forward<Token>(token));
    }
    template <class Token>
    auto async_send(std::string_view text, const message_options& options, Token&& token) {
        return async_send(opcode::text, std::as_bytes(std::span{text.data(), text.size()}), options,
                          std::forward<Token>(token));
    }
    template <class Token>
    auto async_send(opcode op, std::span<const std::byte> payload, const message_options& options,
                    Token&& token) {
        byte_buffer copy;
        const bool copied = copy.append(payload);
        return asio::async_initiate<Token, void(std::error_code)>(
            [op, copied, options](auto handler, pointer state, byte_buffer bytes) {
                auto* op_ = make_waiter<detail::listed_waiter<std::error_code>, std::error_code>(
                    std::move(handler), state);
                if (!copied)
                    return op_->complete(detail::completion::post, make_error_code(errc::out_of_memory));
                op_->connect_cancellation(*state,
                                          [](state_type& of, auto& which) { of.withdraw_send(which); });
                state->send_then(op, std::move(bytes), options, *op_);
            },
            token, state_, std::move(copy));
    }

    /// Completes when the send queue is empty. Handler: `void(std::error_code)`.
    template <class Token>
    auto async_drain(Token&& token);

    /// Sends a Ping and completes with the time from its writing to its Pong. Needs a read under way.
    /// Handler: `void(std::error_code, std::chrono::nanoseconds)`.
    template <class Token>
    auto async_ping(Token&& token);

    /// How long the peer takes to answer: from the writing of a Ping to its Pong, measured by `async_ping`
    /// and, from the first call of either on, by the Pings of `timeouts::ping_interval` while a read is under
    /// way.
    [[nodiscard]] duplex::latency latency() { return state_->measured(); }

    /// Closes and completes when the transport has ended, at the latest after `timeouts::close`. What still
    /// comes is dropped unless a read is under way. Of a connection that was refused: when its client has
    /// gone. Handler: `void(std::error_code)`; none for an orderly end.
    template <class Token>
    auto async_close(close_code code, std::string_view reason, close_how how, Token&& token);
    template <class Token>
    auto async_close(close_code code, std::string_view reason, Token&& token) {
        return async_close(code, reason, close_how::after_queued, std::forward<Token>(token));
    }
    template <class Token>
    auto async_close(Token&& token) {
        return async_close(close_code::normal, {}, std::forward<Token>(token));
    }

    // --- the end ---

    /// Ends the transport now, without a closing handshake.
    void abort() noexcept { state_->abort(); }
    /// The same, but the peer is told 1001 if its end of the line is free, as when the object is destroyed.
    void leave() noexcept { state_->leave(); }

    /// What has gone through the open connection, also once it has ended.
    [[nodiscard]] session_counters counters() const noexcept { return state_->session_.counters(); }

    /// How the connection ended; null while it hasn't.
    [[nodiscard]] const close_result* result() const noexcept { return state_->result_if_any(); }

private:
    template <class Executor>
    friend class detail::connect_operation;

    /// One that failed before there was a way to the server: all it has is an `opening_outcome()`.
    connection(Stream stream, const connection_options& options, handshake_outcome&& failed)
        : connection{std::move(stream), options} {
        state_->give_up(std::move(failed));
    }

    template <class Base, class... Args, class Handler, class... More>
    static auto* make_waiter(Handler&& handler, const pointer& state, More&&... more) {
        return detail::waiter_op<Base, std::decay_t<Handler>, executor_type, Args...>::make(
            std::move(handler), state->get_executor(), std::forward<More>(more)...);
    }

    template <class Start, class Token>
    auto start_opening(Start start, Token& token) {
        return asio::async_initiate<Token, void(std::error_code)>(
            [](auto handler, pointer state, Start with) {
                auto* op =
                    make_waiter<detail::waiter<std::error_code>, std::error_code>(std::move(handler), state);
                // Half a handshake can't be resumed.
                op->connect_cancellation(*state, [](state_type& of, auto&) { of.cancel_opening(); });
                with(*state, *op);
            },
            token, state_, std::move(start));
    }

    template <class Reader, class Handler, class... More>
    static void start_reader(Handler&& handler, const pointer& state, More&&... more) {
        auto* op =
            make_waiter<Reader, std::error_code>(std::move(handler), state, std::forward<More>(more)...);
        op->connect_cancellation(*state, [](state_type& of, auto& which) { of.stop_reading(which); });
        state->read(*op);
    }

    pointer state_;
};

/// A connection on TCP: over the sockets that wait together where it belongs to a plain `io_context`, over
/// Asio's own with any other executor.
template <class Executor = asio::io_context::executor_type>
using tcp_connection = connection<detail::tcp_socket_for<Executor>>;

} // namespace duplex

#include <duplex/net/impl/close.hpp>
#include <duplex/net/impl/fates.hpp>
#include <duplex/net/impl/inbox.hpp>
#include <duplex/net/impl/layers.hpp>
#include <duplex/net/impl/opening.hpp>
#include <duplex/net/impl/pausing.hpp>
#include <duplex/net/impl/read.hpp>
#include <duplex/net/impl/readiness.hpp>
#include <duplex/net/impl/waiting.hpp>
#include <duplex/net/impl/write.hpp>

#if defined(DUPLEX_COMPILED)
extern template class duplex::detail::connection_state<duplex::tcp_socket>;
#endif
