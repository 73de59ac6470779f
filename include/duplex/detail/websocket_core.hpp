#pragma once

#include <duplex/core/backoff.hpp>
#include <duplex/core/detail/intrusive_ptr.hpp>
#include <duplex/core/phase.hpp>
#include <duplex/detail/compiled.hpp>
#include <duplex/detail/kept_messages.hpp>
#include <duplex/handshake/outcome.hpp>
#include <duplex/net/connect_options.hpp>
#include <duplex/net/connection.hpp>
#include <duplex/net/detail/context_member.hpp>
#include <duplex/net/detail/context_service.hpp>

#include <asio/cancellation_signal.hpp>
#include <asio/io_context.hpp>
#include <asio/strand.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>

namespace duplex {

/// `readyState` (WHATWG WebSockets 9.3.1).
enum class ready_state : std::uint8_t { connecting = 0, open = 1, closing = 2, closed = 3 };

/// Something went wrong; a `close_event` follows.
struct error_event {
    std::error_code error{};
    /// The server's answer where it was none that opens a connection: status, headers and, of a refusal, the
    /// beginning of the body; null otherwise. Valid during the callback.
    const handshake_outcome* response = nullptr;
    /// What is known beyond the code, as `handshake_outcome::why`. Valid during the callback.
    std::string_view why{};
    /// Where it went wrong.
    duplex::phase phase = duplex::phase::open;

    /// One line that explains the error.
    [[nodiscard]] std::string what() const;
};

/// The connection has ended (WHATWG CloseEvent).
struct close_event {
    std::uint16_t code = 1006; ///< the peer's code; 1005: it gave none, 1006: there was no closing handshake
    std::string reason{};
    bool was_clean = false;
    initiator begun_by = initiator::neither;
};

/// A connection was lost, or an attempt failed, and after a wait there will be another. The references are
/// valid during the callback.
struct reconnect_event {
    /// Which attempt will be made: 1 is the first since the last connection that stayed.
    std::uint32_t attempt;
    /// What went wrong, where something did: a closing handshake is no error.
    error_event cause;
    /// How the connection ended; as it is by default where none was open.
    close_event close;
    /// How long it will wait, at most a day; may be changed.
    std::chrono::milliseconds delay;
    /// Where and how it will connect, from now on; may be changed, `options.reconnect` without effect.
    std::string& url;
    connect_options& options;
    /// Set: there will be no attempt. The error and close events of what was lost follow.
    bool give_up = false;

    /// One line that explains what was lost.
    [[nodiscard]] std::string what() const;
};

namespace detail {

/// What a `websocket` that connects again knows besides.
struct reconnecting {
    explicit reconnecting(const connect_options& with)
        : options{with}
        , rules{*with.reconnect}
        , count{rules.backoff} {}

    connect_options options;
    const reconnect_options rules;
    backoff count;
};

/// The part of a `websocket` that lives as long as anything is under way. Runs on its strand, except where a
/// function says any thread.
class websocket_core final : public counted_member<websocket_core> {
public:
    using executor_type = asio::strand<asio::io_context::executor_type>;
    using connection_type = tcp_connection<executor_type>;
    using pointer = intrusive_ptr<websocket_core>;

    std::function<void()> on_open;
    std::function<void(const message&)> on_message;
    std::function<void(const error_event&)> on_error;
    std::function<void(const close_event&)> on_close;
    std::function<void(reconnect_event&)> on_reconnect;

    explicit websocket_core(asio::io_context& context);
    ~websocket_core();

    // --- any thread ---

    std::error_code open(std::string_view url, connect_options&& options);
    send_status send(opcode op, std::span<const std::byte> payload, compression how);
    std::error_code close(close_code code, std::string_view reason);
    [[nodiscard]] ready_state ready() const noexcept;
    [[nodiscard]] ready_state state() const noexcept { return state_.load(std::memory_order_acquire); }
    [[nodiscard]] std::size_t buffered() const noexcept;
    [[nodiscard]] std::uint32_t openings() const noexcept {
        return openings_.load(std::memory_order_relaxed);
    }
    [[nodiscard]] std::string url() const { return copy(shown_url_); }
    [[nodiscard]] std::string protocol() const { return copy(protocol_); }
    [[nodiscard]] std::string extensions() const { return copy(extensions_); }

    /// The `websocket` is destroyed: nothing is called any more.
    void release();

private:
    struct runner;

    void connect(connect_options&& options);
    void connected(std::error_code error, connection_type&& made);
    void tell_open();
    /// `on_open` threw: the connection fails as it does where `on_message` throws.
    void fail_open();
    void start_close(close_code code, const std::string& reason);
    void finish_unopened(std::error_code error, const handshake_outcome* known);
    /// Given up by the application.
    void finish_aborted(phase where);
    void ended(std::error_code error);
    /// Error before close, close once, nothing after it.
    void finish(const error_event& error, const close_event& event);
    void tell_close(const close_event& event);

    // --- connecting again (impl/websocket_reconnect.hpp) ---

    /// No connection any more, or none this time: the end, unless there will be another attempt.
    void lost(const error_event& error, const close_event& event, bool final);
    [[nodiscard]] std::optional<backoff::duration> next_wait(const error_event& error,
                                                             const close_event& event);
    /// Connecting, from open or from connecting; false: the application closes it.
    [[nodiscard]] bool back_to_connecting();
    /// False: there will be no attempt.
    [[nodiscard]] bool ask(reconnect_event& event);
    void wait(backoff::duration delay);
    void stop_waiting() noexcept;
    void wait_over();
    // Inline already here: else a compiler takes the first of them for the one beside which the class's table
    // is to be made, and makes all it refers to in every program.
    DUPLEX_FUNCTION void on_deadline() noexcept override;
    DUPLEX_FUNCTION void on_shutdown() noexcept override;

    /// Whether a message sent now is kept. Any thread, under the lock.
    [[nodiscard]] bool must_keep() const noexcept;
    /// Gives the connection what was kept, up to its watermark, and the rest when that has left. `all`:
    /// without waiting.
    void send_kept(bool all);
    void drop_kept() noexcept;

    [[nodiscard]] bool released() const noexcept { return released_.load(std::memory_order_acquire); }

    [[nodiscard]] connection_type::handle_type handle() const;

    [[nodiscard]] std::string copy(const std::string& of) const {
        const std::lock_guard lock{mutex_};
        return of;
    }

    executor_type executor_;
    context_service& service_;
    connection_type connection_;
    asio::cancellation_signal cancel_;
    std::atomic<ready_state> state_{ready_state::closed};
    std::atomic<bool> opened_{false};
    std::atomic<bool> released_{false};
    std::atomic<std::uint32_t> openings_{0};
    bool attempting_ = false; ///< to connect
    bool waiting_ = false;    ///< for the next attempt
    bool telling_open_ = false;
    bool open_threw_ = false;
    bool finished_ = false;
    std::unique_ptr<reconnecting> again_; ///< where it connects again

    mutable std::mutex mutex_; ///< for what is asked for from other threads
    connection_type::handle_type handle_;
    std::string url_; ///< to connect to
    std::string shown_url_;
    std::string protocol_;
    std::string extensions_;
    std::optional<kept_messages> kept_; ///< where they are kept
    /// The connection is open, and what was kept goes first.
    bool holding_ = false;
};

} // namespace detail
} // namespace duplex
