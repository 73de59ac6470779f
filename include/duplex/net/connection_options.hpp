#pragma once

#include <duplex/core/budget.hpp>
#include <duplex/core/close_code.hpp>
#include <duplex/core/limits.hpp>
#include <duplex/core/presets.hpp>
#include <duplex/net/observe.hpp>
#include <duplex/protocol/message_options.hpp>
#include <duplex/protocol/session.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <system_error>

namespace duplex {

/// How a connection behaves; limits and timeouts have safe defaults.
struct connection_options {
    duplex::limits limits{};
    duplex::timeouts timeouts{};
    /// For the opening handshake.
    http_limits http{};
    /// Delivers pieces of messages as they arrive instead of whole messages; needs an `async_run` with
    /// `on_fragment`.
    bool deliver_fragments = false;
    /// Refuses text to send that is not UTF-8 (RFC 6455 5.6).
    bool check_outgoing_text = true;

    /// Lets messages wait their turn from the first one on, as `message_options` of a message's own do: what
    /// waits can be dropped, replaced and overtaken (`session_options::hold_back`).
    bool hold_back = false;
    /// What happens to a message for which there is no room. With `wait` `send` says `would_wait`, and
    /// `async_send` waits.
    overflow when_full = overflow::fail;
    /// What `overflow::close` closes with: `policy_violation` or `try_again_later`, say.
    close_code overflow_code = close_code::policy_violation;
    /// What the connection is closed with at the end of `timeouts::life`.
    close_code life_code = close_code::going_away;
    /// Cuts longer messages into frames of so many bytes, so that control frames need not wait for the end of
    /// a long one (`session_options::fragment_bytes`). Zero: never.
    std::size_t fragment_bytes = 0;

    /// What this connection shares with others that are given the same one; none: nothing. A connection
    /// opened while no handshake is left in it fails with `errc::budget_full`.
    duplex::budget budget{};

    /// Takes the limits and timeouts of `wanted` over; its budget is for whoever makes one.
    void use(const preset& wanted) noexcept {
        limits = wanted.limits;
        http = wanted.http;
        timeouts = wanted.timeouts;
    }
    /// Sees what an open connection's transport delivers and takes: `trace_frames`, `record_wire`. None: it
    /// costs nothing.
    wire_observer observer{};

    /// The part that the protocol needs.
    [[nodiscard]] session_options for_session() const noexcept {
        session_options made;
        made.limits = limits;
        made.timeouts = timeouts;
        made.deliver_fragments = deliver_fragments;
        made.check_outgoing_text = check_outgoing_text;
        made.hold_back = hold_back;
        made.when_full = when_full;
        made.overflow_code = overflow_code;
        made.life_code = life_code;
        made.fragment_bytes = fragment_bytes;
        made.budget = budget;
        return made;
    }
};

/// Who began to close a connection.
enum class initiator : std::uint8_t {
    neither, ///< no Close was sent or received: the connection was lost
    self,    ///< a Close of ours came first, be it the application's, or one for a rule broken or a deadline
    peer,
};

/// How a connection ended.
struct close_result {
    /// None for an orderly end; otherwise the rule that was broken, the deadline that passed, or the
    /// transport's error.
    std::error_code error{};
    /// The peer's code: `no_status` where its Close had none, `abnormal` where none came (RFC 6455 7.1.5).
    close_code code = close_code::abnormal;
    /// The peer's reason.
    std::string reason{};
    /// Both sides' Close frames were exchanged (RFC 6455 7.1.4).
    bool was_clean = false;
    initiator begun_by = initiator::neither;
};

} // namespace duplex
