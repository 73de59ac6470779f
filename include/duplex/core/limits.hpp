#pragma once

#include <chrono>
#include <cstddef>

namespace duplex {

/// What one connection may cost. Each has a safe default; a limit that is passed ends the connection with the
/// error and Close code that name it, or refuses the call that would pass it.
struct limits {
    /// Largest message received, in bytes after reassembly. Passed: `errc::message_too_big`, Close 1009.
    std::size_t message_bytes = std::size_t{16} << 20;
    /// Most frames in one received message, empty ones included. Passed: `errc::too_many_fragments`, Close
    /// 1008.
    std::size_t message_fragments = std::size_t{1} << 18;
    /// Bytes queued for sending above which `send` reports `above_watermark` and the run of a server's
    /// connection stops reading until the queue has drained below half of it.
    std::size_t queue_watermark = std::size_t{1} << 20;
    /// Most bytes queued for sending. A message that would pass it is refused with `errc::queue_full`; a
    /// message is always accepted into an empty queue. The default has room for the largest message twice, so
    /// that one may be echoed while another leaves.
    std::size_t queue_bytes = std::size_t{32} << 20;
    /// Most messages that wait their turn, where messages do (`session_options::hold_back`). Those that have
    /// been handed on to the transport's queue are not counted: `commit_bytes` bounds them.
    std::size_t queue_messages = std::size_t{1} << 20;
    /// Where messages wait their turn: bytes of the transport's queue beyond which nothing is handed on to
    /// it. What has been can't be dropped for want of room, replaced or overtaken by other messages any more;
    /// only `close_how::at_once` takes it back. A message longer than that is handed on when the queue is
    /// empty.
    std::size_t commit_bytes = std::size_t{64} << 10;

    bool operator==(const limits&) const = default;
};

/// What all connections together may cost that share a `budget`.
struct budget_limits {
    /// Bytes queued for sending. Passed: a message is treated as if its own connection's queue were full.
    std::size_t send_bytes = std::size_t{256} << 20;
    /// Bytes of messages that are being put together out of pieces, or inflated. Passed:
    /// `errc::budget_full`, Close 1013.
    std::size_t receive_bytes = std::size_t{256} << 20;
    /// Opening handshakes under way, one that was refused until its client has gone, at most
    /// `timeouts::close` later. Reached: a server accepts no further connection until one is over. A few that
    /// never say a word must not keep all others out for `timeouts::handshake`, so there are many.
    std::size_t handshakes = 8192;

    bool operator==(const budget_limits&) const = default;
};

/// What an HTTP head may cost while a connection is being opened.
struct http_limits {
    /// Request or status line, in bytes without its end. Passed: 414.
    std::size_t start_line_bytes = 8192;
    /// The whole head, in bytes. Passed: 431.
    std::size_t head_bytes = 16384;
    /// Number of header fields. Passed: 431.
    std::size_t header_count = 100;
    /// Bytes kept of the body with which a server refuses the upgrade; the rest is not read.
    std::size_t refusal_body_bytes = 16384;

    bool operator==(const http_limits&) const = default;
};

/// How long a connection waits. Zero turns a deadline off. Resolution is that of the context's timer wheel
/// (250 ms); a deadline is never early.
struct timeouts {
    using duration = std::chrono::milliseconds;

    /// Resolving and connecting, up to an established transport; the way through a proxy is part of it.
    duration connect{10'000};
    /// From an established transport to the end of the TLS handshake, where there is one.
    duration tls{10'000};
    /// From there to the end of the opening handshake (RFC 6455 4).
    duration handshake{10'000};
    /// Without a received byte for this long, a Ping is sent.
    duration ping_interval{30'000};
    /// From the writing of a Ping to any received byte; then the connection fails with `errc::pong_timeout`:
    /// a Close is sent (1011), and it ends with the peer's or after `close`.
    duration pong{20'000};
    /// Without a received message for this long, the connection is closed with 1001 (off by default).
    duration idle{0};
    /// So long after the opening handshake the connection is closed with `session_options::life_code` and
    /// `errc::life_timeout` (off by default). Up to 250 ms later.
    duration life{0};
    /// Queued bytes that make no progress for this long fail the connection with `errc::write_timeout`.
    duration write{30'000};
    /// From the start of the closing handshake to the end of the transport (RFC 6455 7.1.1).
    duration close{10'000};

    bool operator==(const timeouts&) const = default;
};

} // namespace duplex
