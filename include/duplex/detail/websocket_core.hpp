#pragma once

#include <duplex/core/detail/intrusive_ptr.hpp>
#include <duplex/handshake/outcome.hpp>
#include <duplex/net/connect_options.hpp>
#include <duplex/net/connection.hpp>

#include <asio/cancellation_signal.hpp>
#include <asio/io_context.hpp>
#include <asio/strand.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
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

    /// One line that explains the error.
    [[nodiscard]] std::string what() const;
};

/// The connection has ended (WHATWG CloseEvent).
struct close_event {
    std::uint16_t code = 1006; ///< the peer's code; 1005: it gave none, 1006: there was no closing handshake
    std::string reason{};
    bool was_clean = false;
};

namespace detail {

/// The part of a `websocket` that lives as long as anything is under way. Runs on its strand, except where a
/// function says any thread.
class websocket_core final : public counted<websocket_core> {
public:
    using executor_type = asio::strand<asio::io_context::executor_type>;
    using connection_type = tcp_connection<executor_type>;
    using pointer = intrusive_ptr<websocket_core>;

    std::function<void()> on_open;
    std::function<void(const message&)> on_message;
    std::function<void(const error_event&)> on_error;
    std::function<void(const close_event&)> on_close;

    explicit websocket_core(asio::io_context& context);
    ~websocket_core();

    // --- any thread ---

    std::error_code open(std::string_view url, connect_options&& options);
    send_status send(opcode op, std::span<const std::byte> payload);
    std::error_code close(close_code code, std::string_view reason);
    [[nodiscard]] ready_state ready() const noexcept;
    [[nodiscard]] ready_state state() const noexcept { return state_.load(std::memory_order_acquire); }
    [[nodiscard]] std::size_t buffered() const noexcept;
    [[nodiscard]] std::string url() const { return copy(url_); }
    [[nodiscard]] std::string protocol() const { return copy(protocol_); }
    [[nodiscard]] std::string extensions() const { return copy(extensions_); }

    /// The `websocket` is destroyed: nothing is called any more.
    void release();

private:
    struct runner;

    void connect(connect_options&& options);
    void connected(std::error_code error, connection_type&& made);
    /// `on_open` threw: the connection fails as it does where `on_message` throws.
    void fail_open();
    void start_close(close_code code, const std::string& reason);
    void finish_unopened(std::error_code error, const handshake_outcome* response);
    void ended(std::error_code error);
    /// Error before close, close once, nothing after it.
    void finish(const error_event& error, const close_event& event);
    void tell_close(const close_event& event);

    [[nodiscard]] bool released() const noexcept { return released_.load(std::memory_order_acquire); }

    [[nodiscard]] connection_type::handle_type handle() const;

    [[nodiscard]] std::string copy(const std::string& of) const {
        const std::lock_guard lock{mutex_};
        return of;
    }

    executor_type executor_;
    connection_type connection_;
    asio::cancellation_signal cancel_;
    std::atomic<ready_state> state_{ready_state::closed};
    std::atomic<bool> opened_{false};
    std::atomic<bool> released_{false};
    bool open_threw_ = false;
    bool finished_ = false;

    mutable std::mutex mutex_; ///< for what is asked for from other threads
    connection_type::handle_type handle_;
    std::string url_;
    std::string protocol_;
    std::string extensions_;
};

} // namespace detail
} // namespace duplex
