#pragma once

#include <duplex/core/error.hpp>
#include <duplex/core/opcode.hpp>
#include <duplex/handshake/outcome.hpp>
#include <duplex/net/connect_options.hpp>
#include <duplex/net/connection.hpp>
#include <duplex/net/message.hpp>

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
/// `std::system_error`; that of `connect` has `handshake_outcome::why` in its text.
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
    void connect(std::string_view url, connect_options options, duration timeout, std::error_code& error);

    /// The next message, which owns its bytes. After the connection's end: those that had come before it,
    /// then `errc::closed` or why it was lost, see `result()`.
    [[nodiscard]] message read(duration timeout, std::error_code& error);

    /// Sends a message, and waits until the system has taken all of it. It is UTF-8 where it is text:
    /// `errc::text_not_utf8`. What comes meanwhile waits for a `read`.
    void send(std::string_view text, duration timeout, std::error_code& error,
              compression how = compression::automatic) {
        send(opcode::text, std::as_bytes(std::span{text.data(), text.size()}), timeout, error, how);
    }
    void send(std::span<const std::byte> binary, duration timeout, std::error_code& error,
              compression how = compression::automatic) {
        send(opcode::binary, binary, timeout, error, how);
    }
    void send(const message& copied, duration timeout, std::error_code& error,
              compression how = compression::automatic) {
        send(copied.op(), copied.bytes(), timeout, error, how);
    }
    void send(opcode op, std::span<const std::byte> payload, duration timeout, std::error_code& error,
              compression how = compression::automatic);

    /// Closes, and waits for the peer's answer and the end of the transport; what comes before it is dropped.
    /// After `timeout` the transport ends without: `errc::close_timeout`. Other errors name what is wrong
    /// with the arguments, and then nothing happens, or tell that the end was not clean.
    void close(close_code code, std::string_view reason, duration timeout, std::error_code& error);

#if defined(__cpp_exceptions)
    void connect(std::string_view url, connect_options options, duration timeout) {
        std::error_code error;
        connect(url, std::move(options), timeout, error);
        const auto* known = opening_outcome();
        throw_if(error, known ? known->why : std::string{});
    }
    [[nodiscard]] message read(duration timeout) {
        std::error_code error;
        auto got = read(timeout, error);
        throw_if(error);
        return got;
    }
    void send(std::string_view text, duration timeout, compression how = compression::automatic) {
        send(opcode::text, std::as_bytes(std::span{text.data(), text.size()}), timeout, how);
    }
    void send(std::span<const std::byte> binary, duration timeout, compression how = compression::automatic) {
        send(opcode::binary, binary, timeout, how);
    }
    void send(const message& copied, duration timeout, compression how = compression::automatic) {
        send(copied.op(), copied.bytes(), timeout, how);
    }
    void send(opcode op, std::span<const std::byte> payload, duration timeout,
              compression how = compression::automatic) {
        std::error_code error;
        send(op, payload, timeout, error, how);
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
    void start_read();

    /// Runs the context until that is done; false where there was no time for it.
    bool run(const outcome& awaited, duration timeout);

#if defined(__cpp_exceptions)
    static void throw_if(const std::error_code& error, const std::string& why = {}) {
        if (!error) return;
        throw std::system_error{error, "duplex::blocking_client" + (why.empty() ? why : ": " + why)};
    }
#endif

    asio::io_context io_{1};
    connection_type connection_;
    std::shared_ptr<reading> read_; ///< under way, or not yet taken
};

} // namespace duplex

#if !defined(DUPLEX_COMPILED)
#include <duplex/impl/blocking_client.hpp>
#endif
