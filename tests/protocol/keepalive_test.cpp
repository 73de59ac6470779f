#include <duplex/protocol/keepalive.hpp>

#include "support/catch.hpp"

#include <array>
#include <functional>
#include <vector>

using namespace duplex;
using namespace std::chrono_literals;
using action = keepalive::action;

namespace {

/// A keepalive and the timeouts that it is asked with.
class timer_with : public keepalive {
public:
    timer_with(const timeouts& times, time_point now)
        : keepalive{now}
        , times_{times} {}
    [[nodiscard]] action due(time_point now, bool writing) const {
        return keepalive::due(times_, now, writing);
    }
    [[nodiscard]] time_point deadline(bool writing) const { return keepalive::deadline(times_, writing); }

private:
    timeouts times_;
};

constexpr time_point start{};
constexpr time_point after(int ms) { return start + std::chrono::milliseconds{ms}; }

/// Each deadline has its own length, so that none hides another.
constexpr timeouts all{.ping_interval = 30s, .pong = 20s, .idle = 100s, .write = 25s, .close = 10s};
constexpr timeouts none{.ping_interval = 0s, .pong = 0s, .idle = 0s, .write = 0s, .close = 0s};

/// `wanted` falls due at `moment` exactly, and `deadline` says so beforehand.
void check_due(const timer_with& timer, bool writing, int moment, action wanted) {
    CAPTURE(moment);
    CHECK((timer.deadline(writing) == after(moment)));
    CHECK((timer.due(after(moment) - 1ns, writing) == action::none));
    CHECK((timer.due(after(moment), writing) == wanted));
    CHECK((timer.due(after(moment + 1), writing) == wanted));
}

} // namespace

TEST_CASE("a silent peer is pinged after ping_interval") {
    check_due(timer_with{all, start}, false, 30'000, action::send_ping);
}

TEST_CASE("any received byte puts the Ping off") {
    timer_with timer{all, start};
    timer.bytes_received(after(29'999));
    check_due(timer, false, 59'999, action::send_ping);
}

TEST_CASE("a Ping is not sent again while it waits to be written; the write deadline counts meanwhile") {
    timer_with timer{all, start};
    timer.write_progress(after(30'000));
    timer.ping_queued();
    CHECK(timer.ping_pending());
    check_due(timer, true, 55'000, action::fail_write);
    // With nothing to write there is nothing to fail but the idle deadline.
    check_due(timer, false, 100'000, action::close_idle);
}

TEST_CASE("the answer to a Ping is timed from when it was written") {
    timer_with timer{all, start};
    timer.ping_queued();
    timer.ping_written(after(31'000));
    CHECK(!timer.ping_pending());
    check_due(timer, false, 51'000, action::fail_pong);
}

TEST_CASE("any received byte answers a Ping, and the next interval begins with it") {
    timer_with timer{all, start};
    timer.ping_queued();
    timer.ping_written(after(31'000));
    timer.bytes_received(after(32'000));
    check_due(timer, false, 62'000, action::send_ping);
}

TEST_CASE("a byte that comes before the Ping is written does not answer it") {
    timer_with timer{all, start};
    timer.ping_queued();
    timer.bytes_received(after(30'500));
    CHECK(timer.ping_pending());
    timer.ping_written(after(31'000));
    check_due(timer, false, 51'000, action::fail_pong);
}

TEST_CASE("without a message for the idle time the connection is closed, whatever else is received") {
    timer_with timer{all, start};
    for (int moment = 0; moment < 100'000; moment += 10'000)
        timer.bytes_received(after(moment));
    check_due(timer, false, 100'000, action::close_idle);
    timer.message_received(after(95'000));
    timer.bytes_received(after(190'000));
    check_due(timer, false, 195'000, action::close_idle);
}

TEST_CASE("queued bytes that make no progress fail the connection, and only they") {
    timer_with timer{all, start};
    check_due(timer, true, 25'000, action::fail_write);
    timer.write_progress(after(20'000));
    timer.bytes_received(after(40'000));
    check_due(timer, true, 45'000, action::fail_write);
    check_due(timer, false, 70'000, action::send_ping);
}

TEST_CASE("once the closing handshake began only its own deadline counts, from its first start") {
    const auto pinged = GENERATE(true, false);
    timer_with timer{all, start};
    if (pinged) {
        timer.ping_queued();
        timer.ping_written(after(1000));
    }
    timer.close_started(after(5000));
    timer.close_started(after(9000));
    timer.bytes_received(after(6000));
    timer.message_received(after(6000));
    check_due(timer, false, 15'000, action::fail_close);
    check_due(timer, true, 15'000, action::fail_close);
    // Nothing takes the close deadline back.
    CHECK((timer.due(after(1'000'000), true) == action::fail_close));
}

TEST_CASE("what is more serious falls due first") {
    timeouts same{.ping_interval = 30s, .pong = 30s, .idle = 30s, .write = 30s, .close = 30s};
    timer_with timer{same, start};
    CHECK((timer.due(after(30'000), true) == action::fail_write));
    CHECK((timer.due(after(30'000), false) == action::close_idle));
    timer.ping_queued();
    timer.ping_written(start);
    CHECK((timer.due(after(30'000), false) == action::fail_pong));
    CHECK((timer.due(after(30'000), true) == action::fail_write));
}

TEST_CASE("with everything off nothing is ever due") {
    const auto writing = GENERATE(true, false);
    timer_with timer{none, start};
    const std::array<std::function<void()>, 5> moments{
        [] {}, [&] { timer.ping_queued(); }, [&] { timer.ping_written(after(1)); },
        [&] { timer.bytes_received(after(2)); }, [&] { timer.close_started(after(3)); }};
    for (const auto& next : moments) {
        next();
        CHECK((timer.deadline(writing) == no_deadline));
        CHECK((timer.due(after(2'000'000'000), writing) == action::none));
    }
}

TEST_CASE("each deadline can be the only one") {
    struct row {
        timeouts times;
        bool writing;
        int moment;
        action wanted;
    };
    auto ping = none, idle = none, write = none;
    ping.ping_interval = 3s;
    idle.idle = 4s;
    write.write = 5s;
    for (const auto& each :
         {row{ping, false, 3000, action::send_ping}, row{ping, true, 3000, action::send_ping},
          row{idle, false, 4000, action::close_idle}, row{idle, true, 4000, action::close_idle},
          row{write, true, 5000, action::fail_write}})
        check_due(timer_with{each.times, start}, each.writing, each.moment, each.wanted);
    CHECK((timer_with{write, start}.deadline(false) == no_deadline));

    auto pong = none;
    pong.pong = 6s;
    timer_with waiting{pong, start};
    CHECK((waiting.deadline(false) == no_deadline));
    waiting.ping_queued();
    waiting.ping_written(start);
    check_due(waiting, false, 6000, action::fail_pong);

    auto close = none;
    close.close = 7s;
    timer_with closing{close, start};
    closing.close_started(start);
    check_due(closing, false, 7000, action::fail_close);
}

TEST_CASE("a negative time is off") {
    auto odd = none;
    odd.idle = -5s;
    CHECK((timer_with{odd, start}.deadline(false) == no_deadline));
}

TEST_CASE("a wait that is off, never begins or outlasts every program has no end") {
    CHECK((deadline_after(start, 5s) == start + 5s));
    CHECK((deadline_after(start, timeouts::duration{1}) == start + timeouts::duration{1}));
    CHECK((deadline_after(start, 0s) == no_deadline));
    CHECK((deadline_after(start, -5s) == no_deadline));
    CHECK((deadline_after(start, timeouts::duration::max()) == no_deadline));
    CHECK((deadline_after(no_deadline, 5s) == no_deadline));
    constexpr auto century = std::chrono::hours{24} * 36'525;
    CHECK((deadline_after(start, century) == start + century));
    CHECK((deadline_after(start, century + 1s) == no_deadline));
}

TEST_CASE("a life ends so long after it began, whatever is received") {
    auto short_life = all;
    short_life.life = 60s;
    timer_with timer{short_life, after(1000)};
    for (int moment = 1000; moment < 61'000; moment += 10'000) {
        timer.bytes_received(after(moment));
        timer.message_received(after(moment));
    }
    check_due(timer, false, 61'000, action::close_life);
    timer.close_started(after(61'000));
    CHECK((timer.deadline(false) == after(71'000)));
}

TEST_CASE("a life is never short, and at most a quarter of a second long") {
    auto short_life = none;
    short_life.life = 1s;
    check_due(timer_with{short_life, after(1)}, false, 1250, action::close_life);
    check_due(timer_with{short_life, after(249)}, false, 1250, action::close_life);
    check_due(timer_with{short_life, after(250)}, false, 1250, action::close_life);
    check_due(timer_with{short_life, after(251)}, false, 1500, action::close_life);
    // After years of the clock's, too.
    const auto late = start + std::chrono::hours{24} * 365 * 30 + 1ms;
    const timer_with old{short_life, late};
    CHECK((old.due(late + 1s - 1ms, false) == action::none));
    CHECK((old.due(late + 1250ms, false) == action::close_life));
}

TEST_CASE("silence that was excused is counted anew, and an answer that is due is waited for again") {
    timer_with timer{all, start};
    timer.ping_queued();
    timer.ping_written(after(30'000));
    timer.silence_excused(after(45'000));
    CHECK((timer.due(after(50'000), false) == action::none));
    check_due(timer, false, 65'000, action::fail_pong);
    timer_with idle{all, start};
    idle.silence_excused(after(29'000));
    check_due(idle, false, 59'000, action::send_ping);
}

TEST_CASE("the answer to the one Ping under way is timed where its writing was, exactly") {
    timer_with timer{all, start};
    const auto ping_at = [&](int moment) {
        timer.ping_queued();
        timer.ping_written(after(moment));
    };
    CHECK(!timer.pong_received());
    timer.ping_was_written_at(after(1));
    CHECK(!timer.pong_received());

    ping_at(30'000);
    timer.ping_was_written_at(after(30'100));
    // Whatever else is told later, and whatever comes before the Pong.
    timer.ping_was_written_at(after(30'200));
    timer.bytes_received(after(30'300));
    CHECK((timer.pong_received() == after(30'100)));
    CHECK(!timer.pong_received());

    SECTION("not where nobody said exactly when") {
        ping_at(60'000);
        CHECK(!timer.pong_received());
    }
    SECTION("not where there are several, of which any may be answered") {
        ping_at(60'000);
        timer.ping_was_written_at(after(60'000));
        timer.bytes_received(after(61'000));
        ping_at(91'000);
        timer.ping_was_written_at(after(91'000));
        CHECK(!timer.pong_received());
    }
    SECTION("not where this side was not listening") {
        ping_at(60'000);
        timer.ping_was_written_at(after(60'000));
        timer.forget_ping_time();
        CHECK(!timer.pong_received());
    }
    SECTION("not once the connection is closing") {
        ping_at(60'000);
        timer.ping_was_written_at(after(60'000));
        timer.close_started(after(61'000));
        CHECK(!timer.pong_received());
    }
}

TEST_CASE("after an answer that could not be timed the next one is") {
    timer_with timer{all, start};
    timer.ping_queued();
    timer.ping_written(after(1000));
    timer.ping_was_written_at(after(1000));
    timer.forget_ping_time();
    CHECK(!timer.pong_received());
    timer.bytes_received(after(2000));
    timer.ping_queued();
    timer.ping_written(after(40'000));
    timer.ping_was_written_at(after(40'001));
    CHECK((timer.pong_received() == after(40'001)));
}
