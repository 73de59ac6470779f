#pragma once

#include <duplex/net/connect.hpp>

#include <asio/bind_cancellation_slot.hpp>
#include <asio/cancellation_signal.hpp>
#include <asio/io_context.hpp>
#include <asio/strand.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

namespace duplex {

/// `readyState` (WHATWG WebSockets 9.3.1).
enum class ready_state : std::uint8_t { connecting = 0, open = 1, closing = 2, closed = 3 };

/// Something went wrong; a `close_event` follows.
struct error_event {
    std::error_code error{};
    /// The server's answer where it was none that opens a connection: status, headers and, of a refusal, the
    /// beginning of the body; null otherwise. Valid during the callback.
    const handshake_outcome* response = nullptr;

    /// One line that explains the error.
    [[nodiscard]] std::string what() const {
        std::string text = error.message();
        if (response && response->status != 0 && response->status != 101)
            text.append(": server answered ")
                .append(std::to_string(response->status))
                .append(" ")
                .append(response->reason);
        return text;
    }
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

    explicit websocket_core(asio::io_context& context)
        : executor_{asio::make_strand(context)} {}

    // --- any thread ---

    std::error_code open(std::string_view url, connect_options&& options) {
        if (opened_.exchange(true, std::memory_order_relaxed)) return errc::already_open;
        {
            const std::lock_guard lock{mutex_};
            url_ = url;
        }
        state_.store(ready_state::connecting, std::memory_order_release);
        asio::post(executor_, [self = pointer{this}, options = std::move(options)]() mutable {
            self->connect(std::move(options));
        });
        return {};
    }

    [[nodiscard]] ready_state ready() const noexcept {
        const auto known = state();
        // WHATWG WebSockets 9.3.1: the closing handshake has begun, perhaps by the peer.
        return known == ready_state::open && !handle().is_open() ? ready_state::closing : known;
    }

    [[nodiscard]] ready_state state() const noexcept { return state_.load(std::memory_order_acquire); }

    template <class Payload>
    send_status send(opcode op, Payload&& payload) {
        const auto to = handle();
        // WHATWG: sending while connecting is an error; while closing or closed it is too late, and nothing
        // is queued.
        if (!to || state() != ready_state::open) return send_status::not_open;
        return to.send(op, std::forward<Payload>(payload));
    }

    std::error_code close(close_code code, std::string_view reason) {
        // WHATWG WebSockets 9.3.4: an application closes with 1000 or 3000-4999.
        const auto number = to_number(code);
        if (code != close_code::no_status && number != 1000 && (number < 3000 || number > 4999))
            return errc::close_code_not_allowed;
        if (const auto error = check_close(code, reason)) return error;
        auto before = state();
        do {
            if (before == ready_state::closing || before == ready_state::closed) return {};
        } while (!state_.compare_exchange_weak(before, ready_state::closing, std::memory_order_acq_rel));
        asio::post(executor_,
                   [self = pointer{this}, code, why = std::string{reason}] { self->start_close(code, why); });
        return {};
    }

    [[nodiscard]] std::size_t buffered() const noexcept { return handle().buffered_amount(); }

    [[nodiscard]] std::string url() const { return copy(url_); }
    [[nodiscard]] std::string protocol() const { return copy(protocol_); }
    [[nodiscard]] std::string extensions() const { return copy(extensions_); }

    /// The `websocket` is destroyed: nothing is called any more.
    void release() {
        released_.store(true, std::memory_order_release);
        asio::dispatch(executor_, [self = pointer{this}] {
            self->cancel_.emit(asio::cancellation_type::terminal);
            self->connection_ = connection_type{};
        });
    }

private:
    void connect(connect_options&& options) {
        if (released()) return;
        std::error_code error;
        uri parsed;
        error = parse_uri(url(), parsed);
        if (!error) {
            const std::lock_guard lock{mutex_};
            url_ = parsed.to_string();
        }
        // A close may have come first.
        if (state() != ready_state::connecting) return finish_unopened(errc::aborted, nullptr);
        // A run of ours takes whole messages.
        if (!error && options.connection.deliver_fragments) error = errc::fragments_not_taken;
        if (error) return finish_unopened(error, nullptr);
        async_connect(
            executor_, url(), std::move(options),
            asio::bind_cancellation_slot(
                cancel_.slot(), [self = pointer{this}](std::error_code failed, connection_type made) {
                    self->connected(failed, std::move(made));
                }));
    }

    void connected(std::error_code error, connection_type&& made) {
        if (released()) return;
        // Closed by the application, and whatever came of that.
        if (error && state() == ready_state::closing) return finish_unopened(errc::aborted, nullptr);
        if (error) return finish_unopened(error, made ? made.opening_outcome() : nullptr);
        {
            const std::lock_guard lock{mutex_};
            handle_ = made.handle();
            protocol_ = made.opening_outcome()->subprotocol;
            extensions_ = made.opening_outcome()->extensions;
        }
        // Another thread may be closing.
        auto before = ready_state::connecting;
        if (!state_.compare_exchange_strong(before, ready_state::open, std::memory_order_acq_rel))
            return finish_unopened(errc::aborted, nullptr);
        connection_ = std::move(made);
        connection_.forget_opening();
        // The run is under way before on_open, which may send, close, destroy or throw; it delivers nothing
        // before this function is left.
        const pointer self{this};
        connection_.async_run(runner{this}, [self](std::error_code failed) { self->ended(failed); });
        if (!on_open) return;
        struct on_exit {
            websocket_core& core;
            bool returned = false;
            ~on_exit() {
                if (!returned) core.fail_open();
            }
        } exit{*this};
        on_open();
        exit.returned = true;
    }

    /// `on_open` threw: the connection fails as it does where `on_message` throws.
    void fail_open() {
        open_threw_ = true;
        state_.store(ready_state::closing, std::memory_order_release);
        if (connection_) connection_.close(close_code::internal_error);
    }

    struct runner {
        websocket_core* core;
        void operator()(const message& received) const {
            // WHATWG WebSockets: messages are delivered while open only.
            if (!core->released() && core->state() == ready_state::open && core->on_message)
                core->on_message(received);
        }
    };

    void start_close(close_code code, const std::string& reason) {
        if (released()) return;
        if (connection_)
            connection_.close(code, reason);
        else
            cancel_.emit(asio::cancellation_type::terminal);
    }

    void finish_unopened(std::error_code error, const handshake_outcome* response) {
        finish({error, response && response->status != 0 ? response : nullptr}, close_event{});
    }

    void ended(std::error_code error) {
        if (released()) return;
        close_event event;
        // WHATWG WebSockets: a connection that fails has no code and was not clean, whatever the peer
        // answers.
        if (open_threw_) return finish({errc::callback_threw, nullptr}, event);
        if (const auto* result = connection_.result()) {
            event.code = to_number(result->code);
            event.reason = result->reason;
            event.was_clean = result->was_clean;
        }
        finish({event.was_clean ? std::error_code{} : error, nullptr}, event);
    }

    /// Error before close, close once, nothing after it.
    void finish(const error_event& error, const close_event& event) {
        const pointer self{this};
        if (std::exchange(finished_, true)) return;
        state_.store(ready_state::closed, std::memory_order_release);
        struct on_exit {
            websocket_core& core;
            const close_event& event;
            bool returned = false;
            ~on_exit() {
                if (returned) return;
                // on_error threw, and two exceptions can't leave at once.
                asio::post(core.executor_,
                           [self = pointer{&core}, later = event] { self->tell_close(later); });
            }
        } exit{*this, event};
        if (error.error && on_error && !released()) on_error(error);
        exit.returned = true;
        tell_close(event);
    }

    void tell_close(const close_event& event) {
        const pointer self{this};
        if (on_close && !released()) on_close(event);
    }

    [[nodiscard]] bool released() const noexcept { return released_.load(std::memory_order_acquire); }

    [[nodiscard]] connection_type::handle_type handle() const {
        const std::lock_guard lock{mutex_};
        return handle_;
    }

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
