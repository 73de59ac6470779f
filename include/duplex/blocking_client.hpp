#pragma once

#include <duplex/core/error.hpp>
#include <duplex/core/opcode.hpp>
#include <duplex/handshake/outcome.hpp>
#include <duplex/net/connect.hpp>
#include <duplex/net/connect_options.hpp>
#include <duplex/net/connection.hpp>
#include <duplex/net/message.hpp>

#include <asio/bind_cancellation_slot.hpp>
#include <asio/cancellation_signal.hpp>
#include <asio/error.hpp>
#include <asio/io_context.hpp>

#include <chrono>
#include <cstddef>
#include <memory>
#include <span>
#include <string_view>
#include <system_error>
#include <utility>

namespace duplex {

/// A client whose calls wait, for tools and tests:
///
///     duplex::blocking_client client;
///     client.connect("ws://localhost:9002", {}, 5s);
///     client.send("hello", 5s);
///     const duplex::message answer = client.read(5s);
///     client.close(duplex::close_code::normal, {}, 5s);
///
/// It has a context of its own, which runs inside the calls, in the thread of the caller; the one other
/// thread is that in which Asio asks for the addresses of a host, and which the destructor waits for. Each
/// call takes the longest time to wait for; with none it does what can be done at once. A call that runs out
/// of time says `errc::call_timeout` and loses nothing: a message that comes later is the next `read`'s, and
/// what was to be sent goes on during any other call.
///
/// Between the calls nothing happens: no Ping and no Close is answered, nothing is read and nothing sent. A
/// server that pings may take a client for dead that calls nothing for long, or does not take its messages:
/// behind one that nobody has read, nothing is read. It sends no Pings of its own, since nobody might be
/// there for the answers: `timeouts::ping_interval` is not looked at, nor is `connect_options::reconnect`.
///
/// One thread at a time. Each function that waits has a second form without `error`, which throws
/// `std::system_error`.
class blocking_client {
public:
    using duration = std::chrono::milliseconds;
    static constexpr duration forever = duration::max();

    blocking_client() = default;
    blocking_client(const blocking_client&) = delete;
    blocking_client& operator=(const blocking_client&) = delete;

    /// Connects; again, too, once a connection has ended. Errors: those of `async_connect`;
    /// `errc::connect_timeout` where `timeout` or `timeouts::connect` has passed first, `errc::already_open`,
    /// `errc::fragments_not_taken` where the options ask for fragments.
    void connect(std::string_view url, connect_options options, duration timeout, std::error_code& error) {
        error.clear();
        if (is_open()) error = errc::already_open;
        if (options.connection.deliver_fragments) error = errc::fragments_not_taken;
        if (error) return;
        read_.reset();
        connection_ = connection_type{};
        options.connection.timeouts.ping_interval = {};
        struct opening : outcome {
            connection_type made;
        };
        const auto opened = std::make_shared<opening>();
        asio::cancellation_signal cancel;
        async_connect(io_, url, std::move(options),
                      asio::bind_cancellation_slot(cancel.slot(),
                                                   [opened](std::error_code failed, connection_type made) {
                                                       opened->made = std::move(made);
                                                       opened->end(failed);
                                                   }));
        const bool in_time = run(*opened, timeout);
        if (!in_time) {
            cancel.emit(asio::cancellation_type::terminal);
            run(*opened, forever);
        }
        // It may have opened at the last moment.
        error = opened->error;
        if (!in_time && error == asio::error::operation_aborted) error = errc::connect_timeout;
        connection_ = std::move(opened->made);
    }

    /// The next message, which owns its bytes. After the connection's end: those that had come before it,
    /// then `errc::closed` or why it was lost, see `result()`.
    [[nodiscard]] message read(duration timeout, std::error_code& error) {
        error.clear();
        if (!connection_) error = errc::not_open;
        if (error) return {};
        start_read();
        if (!run(*read_, timeout)) error = errc::call_timeout;
        if (error) return {};
        const auto done = std::exchange(read_, nullptr);
        error = done->error;
        return std::move(done->got);
    }

    /// Sends a message, and waits until the system has taken all of it. It is UTF-8 where it is text:
    /// `errc::text_not_utf8`. What comes meanwhile waits for a `read`.
    void send(std::string_view text, duration timeout, std::error_code& error) {
        send(opcode::text, std::as_bytes(std::span{text.data(), text.size()}), timeout, error);
    }
    void send(std::span<const std::byte> binary, duration timeout, std::error_code& error) {
        send(opcode::binary, binary, timeout, error);
    }
    void send(const message& copied, duration timeout, std::error_code& error) {
        send(copied.op(), copied.bytes(), timeout, error);
    }
    void send(opcode op, std::span<const std::byte> payload, duration timeout, std::error_code& error) {
        error.clear();
        if (!connection_) error = errc::not_open;
        if (error) return;
        start_read();
        const auto sent = std::make_shared<outcome>();
        connection_.async_send(op, payload, [sent](std::error_code failed) { sent->end(failed); });
        error = run(*sent, timeout) ? sent->error : make_error_code(errc::call_timeout);
    }

    /// Closes, and waits for the peer's answer and the end of the transport; what comes before it is dropped.
    /// After `timeout` the transport ends without: `errc::close_timeout`. Other errors name what is wrong
    /// with the arguments, and then nothing happens, or tell that the end was not clean.
    void close(close_code code, std::string_view reason, duration timeout, std::error_code& error) {
        error = connection_ ? check_close(code, reason) : make_error_code(errc::not_open);
        if (error) return;
        const auto closed = std::make_shared<outcome>();
        connection_.async_close(code, reason, [closed](std::error_code failed) { closed->end(failed); });
        if (run(*closed, timeout)) {
            error = closed->error;
        } else {
            error = errc::close_timeout;
            connection_.abort();
        }
    }

#if defined(__cpp_exceptions)
    void connect(std::string_view url, connect_options options, duration timeout) {
        std::error_code error;
        connect(url, std::move(options), timeout, error);
        throw_if(error);
    }
    [[nodiscard]] message read(duration timeout) {
        std::error_code error;
        auto got = read(timeout, error);
        throw_if(error);
        return got;
    }
    void send(std::string_view text, duration timeout) {
        send(opcode::text, std::as_bytes(std::span{text.data(), text.size()}), timeout);
    }
    void send(std::span<const std::byte> binary, duration timeout) { send(opcode::binary, binary, timeout); }
    void send(const message& copied, duration timeout) { send(copied.op(), copied.bytes(), timeout); }
    void send(opcode op, std::span<const std::byte> payload, duration timeout) {
        std::error_code error;
        send(op, payload, timeout, error);
        throw_if(error);
    }
    void close(close_code code, std::string_view reason, duration timeout) {
        std::error_code error;
        close(code, reason, timeout, error);
        throw_if(error);
    }
#endif

    /// As of the last call.
    [[nodiscard]] bool is_open() const noexcept { return connection_ && connection_.is_open(); }
    /// How the connection ended; null while it hasn't, and where none was open. Valid until the next
    /// `connect`, as is what follows.
    [[nodiscard]] const close_result* result() const noexcept {
        return connection_ ? connection_.result() : nullptr;
    }
    /// How the opening handshake went, also one that was refused; null where none was got to.
    [[nodiscard]] const handshake_outcome* opening_outcome() const noexcept {
        return connection_ ? connection_.opening_outcome() : nullptr;
    }

private:
    using connection_type = tcp_connection<>;
    using clock = std::chrono::steady_clock;

    /// What a call waits for. Its operation may outlive the call, and shares it.
    struct outcome {
        bool done = false;
        std::error_code error;

        void end(std::error_code with) {
            error = with;
            done = true;
        }
    };
    struct reading : outcome {
        message got;
    };

    /// One is under way during every call, so that Pings and a Close are answered.
    void start_read() {
        if (read_) return;
        read_ = std::make_shared<reading>();
        connection_.async_read([to = read_](std::error_code failed, message got) {
            to->got = std::move(got);
            to->end(failed);
        });
    }

    /// Runs the context until that is done; false where there was no time for it.
    bool run(const outcome& awaited, duration timeout) {
        const auto now = clock::now();
        const auto longest = std::chrono::duration_cast<duration>(clock::time_point::max() - now);
        const auto deadline = timeout < longest ? now + timeout : clock::time_point::max();
        if (io_.stopped()) io_.restart();
        // What is ready when the time is over, or where there is none, is still done; but a peer that always
        // has something more to say doesn't hold the caller.
        for (int late = 0; !awaited.done && late < 100;) {
            if (clock::now() < deadline) {
                if (io_.run_one_until(deadline) == 0 && io_.stopped()) break;
            } else {
                if (io_.poll_one() == 0) break;
                ++late;
            }
        }
        return awaited.done;
    }

#if defined(__cpp_exceptions)
    static void throw_if(const std::error_code& error) {
        if (error) throw std::system_error{error, "duplex::blocking_client"};
    }
#endif

    asio::io_context io_{1};
    connection_type connection_;
    std::shared_ptr<reading> read_; ///< under way, or not yet taken
};

} // namespace duplex
