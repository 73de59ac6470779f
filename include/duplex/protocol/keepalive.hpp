#pragma once

#include <duplex/core/error.hpp>
#include <duplex/core/limits.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>

namespace duplex {

/// A moment of the clock that drives a session. The protocol only compares moments it was told.
using time_point = std::chrono::steady_clock::time_point;

/// "Never", where a deadline is off.
inline constexpr time_point no_deadline = time_point::max();

/// When `wait` is over that begins at `start`: never, where it is zero or longer than any program runs.
[[nodiscard]] inline time_point deadline_after(time_point start, timeouts::duration wait) noexcept {
    constexpr auto century = std::chrono::hours{24} * 36'525;
    return wait.count() <= 0 || wait > century || start == no_deadline ? no_deadline : start + wait;
}

/// Keepalive, idle, write and close deadlines of one connection, as values: it is told what happened, and
/// tells when it next wants to be asked (timeouts in core/limits.hpp, which are to be the same each time).
class keepalive {
public:
    explicit keepalive(time_point now) noexcept
        : received_{now}
        , message_{now}
        , progress_{now}
        , mark_{no_deadline}
        , born_{quarters(now)} {}

    /// Any received byte proves that the peer lives. True where it was waited for.
    bool bytes_received(time_point now) noexcept {
        received_ = now;
        if (waiting_ != waiting::pong) [[likely]]
            return false;
        stop_waiting();
        return true;
    }

    void message_received(time_point now) noexcept { message_ = now; }

    /// Nothing could be received until now, because this side did not read: what was waited for is waited for
    /// anew.
    void silence_excused(time_point now) noexcept {
        received_ = message_ = now;
        if (waiting_ == waiting::pong) wait(waiting::pong, now);
        forget_ping_time();
    }

    /// The transport took bytes, or the queue began to fill.
    void write_progress(time_point now) noexcept { progress_ = now; }

    /// A Ping is queued; its answer is timed from when it is written.
    void ping_queued() noexcept { waiting_ = waiting::ping_write; }
    void ping_written(time_point now) noexcept {
        wait(waiting::pong, now);
        // RFC 6455 5.5.3: of several Pings only the latest need be answered, and all look alike.
        timing_ = timing_ == timing::nothing ? timing::since_about : timing::too_many;
    }
    /// There was no room for the Ping until now: it is due again.
    void ping_put_off() noexcept { stop_waiting(); }
    /// Neither the Ping nor its answer can be counted on: the next one is due an interval later.
    void ping_skipped(time_point now) noexcept {
        received_ = now;
        stop_waiting();
    }
    [[nodiscard]] bool ping_pending() const noexcept { return waiting_ == waiting::ping_write; }

    // How long the answer takes, for those who can tell the time more exactly than deadlines need it.

    /// The Ping that `ping_written` spoke of was written just now.
    void ping_was_written_at(time_point exactly) noexcept {
        if (timing_ != timing::since_about || waiting_ != waiting::pong) return;
        timing_ = timing::since_exactly;
        mark_ = exactly;
    }
    /// A Pong without payload has come: when its Ping was written, where that is known.
    [[nodiscard]] std::optional<time_point> pong_received() noexcept {
        const bool known = timing_ == timing::since_exactly;
        timing_ = timing::nothing;
        return known ? std::optional{mark_} : std::nullopt;
    }
    /// The answer to a Ping that is under way will be late through no fault of the peer's.
    void forget_ping_time() noexcept {
        if (timing_ != timing::nothing) timing_ = timing::too_many;
    }

    /// The closing handshake began: from here only its own deadline counts.
    void close_started(time_point now) noexcept {
        if (waiting_ != waiting::close) wait(waiting::close, now);
        timing_ = timing::nothing;
    }

    enum class action : std::uint8_t {
        none,
        send_ping,
        fail_pong,
        close_idle,
        close_life,
        fail_write,
        fail_close
    };

    /// What is due at `now`. `writing`: bytes are queued.
    [[nodiscard]] action due(const timeouts& times, time_point now, bool writing) const noexcept {
        if (waiting_ == waiting::close)
            return now >= deadline_after(mark_, times.close) ? action::fail_close : action::none;
        if (writing && now >= deadline_after(progress_, times.write)) return action::fail_write;
        if (waiting_ == waiting::pong && now >= deadline_after(mark_, times.pong)) return action::fail_pong;
        if (now >= deadline_after(message_, times.idle)) return action::close_idle;
        if (now >= end_of_life(times)) return action::close_life;
        if (waiting_ == waiting::nothing && now >= deadline_after(received_, times.ping_interval))
            return action::send_ping;
        return action::none;
    }

    /// The moment at which `due` may say something else than none.
    [[nodiscard]] time_point deadline(const timeouts& times, bool writing) const noexcept {
        if (waiting_ == waiting::close) return deadline_after(mark_, times.close);
        time_point first = std::min(deadline_after(message_, times.idle), end_of_life(times));
        if (writing) first = std::min(first, deadline_after(progress_, times.write));
        if (waiting_ == waiting::pong) first = std::min(first, deadline_after(mark_, times.pong));
        if (waiting_ == waiting::nothing)
            first = std::min(first, deadline_after(received_, times.ping_interval));
        return first;
    }

private:
    enum class waiting : std::uint8_t { nothing, ping_write, pong, close };
    /// Whether `mark_` is when the one Ping was written to which there is no Pong yet.
    enum class timing : std::uint8_t { nothing, since_about, since_exactly, too_many };
    using quarter_seconds = std::chrono::duration<std::uint32_t, std::ratio<1, 4>>;

    /// Rounded up, so that no life is short; the clock may run for 34 years.
    [[nodiscard]] static quarter_seconds quarters(time_point at) noexcept {
        using wide = std::chrono::duration<std::int64_t, quarter_seconds::period>;
        return quarter_seconds{
            static_cast<std::uint32_t>(std::chrono::ceil<wide>(at.time_since_epoch()).count())};
    }
    [[nodiscard]] time_point end_of_life(const timeouts& times) const noexcept {
        if (times.life.count() <= 0) [[likely]]
            return no_deadline;
        return deadline_after(time_point{std::chrono::milliseconds{born_}}, times.life);
    }

    void wait(waiting what, time_point now) noexcept {
        waiting_ = what;
        mark_ = now;
    }
    void stop_waiting() noexcept { waiting_ = waiting::nothing; }

    time_point received_;
    time_point message_;
    time_point progress_;
    time_point mark_;
    quarter_seconds born_;
    waiting waiting_ = waiting::nothing;
    timing timing_ = timing::nothing;
};

} // namespace duplex
