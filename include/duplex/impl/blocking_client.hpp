#pragma once

#include <duplex/blocking_client.hpp>
#include <duplex/detail/compiled.hpp>
#include <duplex/net/connect.hpp>

#include <asio/bind_cancellation_slot.hpp>
#include <asio/cancellation_signal.hpp>
#include <asio/error.hpp>

namespace duplex {

DUPLEX_FUNCTION void blocking_client::connect(std::string_view url, connect_options options, duration timeout,
                                              std::error_code& error) {
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
    async_connect(
        io_, url, std::move(options),
        asio::bind_cancellation_slot(cancel.slot(), [opened](std::error_code failed, connection_type made) {
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

DUPLEX_FUNCTION message blocking_client::read(duration timeout, std::error_code& error) {
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

DUPLEX_FUNCTION void blocking_client::send(opcode op, std::span<const std::byte> payload, duration timeout,
                                           std::error_code& error, compression how) {
    error.clear();
    if (!connection_) error = errc::not_open;
    if (error) return;
    start_read();
    const auto sent = std::make_shared<outcome>();
    connection_.async_send(op, payload, {.how = how}, [sent](std::error_code failed) { sent->end(failed); });
    error = run(*sent, timeout) ? sent->error : make_error_code(errc::call_timeout);
}

DUPLEX_FUNCTION void blocking_client::close(close_code code, std::string_view reason, duration timeout,
                                            std::error_code& error) {
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

/// One is under way during every call, so that Pings and a Close are answered.
DUPLEX_FUNCTION void blocking_client::start_read() {
    if (read_) return;
    read_ = std::make_shared<reading>();
    connection_.async_read([to = read_](std::error_code failed, message got) {
        to->got = std::move(got);
        to->end(failed);
    });
}

DUPLEX_FUNCTION bool blocking_client::run(const outcome& awaited, duration timeout) {
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

} // namespace duplex
