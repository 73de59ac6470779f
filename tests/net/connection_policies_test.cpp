#include <duplex/net/connection.hpp>

// What becomes of messages whose peer has stopped reading, wherever they were sent: on the connection's
// thread, or on another one, from where they come through its inbox.

#include "support/stuck.hpp"

#include <asio/bind_cancellation_slot.hpp>
#include <asio/cancellation_signal.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

using namespace duplex;
using namespace duplex::testing;
using namespace std::chrono_literals;

namespace {

/// Does it as another thread would (nobody runs the context meanwhile), or as a handler of the connection's
/// own.
template <class F>
void from(bool elsewhere, stuck& one, F what) {
    if (elsewhere)
        what();
    else
        asio::post(one.io, what);
    one.run();
}

/// A server's frame with so much payload.
constexpr std::size_t framed(std::size_t payload) { return payload + (payload < 126 ? 2 : 4); }

/// What the transport has taken since the connection was open.
struct taken_since {
    explicit taken_since(stuck& of)
        : one{of} {}
    [[nodiscard]] std::size_t operator()() const {
        return static_cast<std::size_t>(one.it->stream().bytes_written() - before);
    }

    stuck& one;
    std::uint64_t before = one.it->stream().bytes_written();
};

/// As this thread sees it, and as the connection's own does.
std::size_t buffered(stuck& one) {
    std::size_t inside_of = 0;
    inside(one.io, [&] { inside_of = one.it->buffered_amount(); });
    const std::size_t outside = one.it->buffered_amount();
    CHECK(inside_of == outside);
    return outside;
}

const std::string big(60, 'b');

} // namespace

TEST_CASE(
    "a peer stops reading: what has no room is refused, from any thread, and buffered_amount is exact") {
    const bool elsewhere = GENERATE(false, true);
    stuck one{small_queue(overflow::fail)};
    const taken_since taken{one};
    const auto send = [&](std::string_view text, std::uint64_t tag) {
        return one.it->send(text, {.tag = tag});
    };
    from(elsewhere, one, [&] {
        CHECK(one.it->buffered_amount() == 0);
        CHECK(send(big, 1) == send_status::ok);
        CHECK(one.it->buffered_amount() == framed(60));
        CHECK(send(big, 2) == send_status::queue_full);
        CHECK(one.it->buffered_amount() == framed(60));
        CHECK(send("1234", 3) == send_status::ok);
        CHECK(one.it->buffered_amount() == framed(60) + framed(4));
    });
    CHECK(taken() > 0);
    CHECK(buffered(one) == framed(60) + framed(4) - taken());
    from(elsewhere, one, [&] { CHECK(send(big, 4) == send_status::queue_full); });
    CHECK(buffered(one) == framed(60) + framed(4) - taken());
    one.let_go();
    CHECK(buffered(one) == 0);
    CHECK(one.texts() == strings{big, "1234"});
    // What was refused has no fate.
    CHECK(one.told == fates{{1, message_fate::written}, {3, message_fate::written}});
    from(elsewhere, one, [&] { CHECK(send(big, 5) == send_status::ok); });
    CHECK(one.texts() == strings{big});
}

TEST_CASE("a peer stops reading: the newest message is dropped, from any thread") {
    const bool elsewhere = GENERATE(false, true);
    stuck one{small_queue(overflow::drop_newest)};
    const taken_since taken{one};
    from(elsewhere, one, [&] { CHECK(one.it->send(big, {.tag = 1}) == send_status::ok); });
    // Alone, so that nothing else makes the connection look.
    from(elsewhere, one, [&] {
        const auto status = one.it->send(big, {.tag = 2});
        CHECK(status == (elsewhere ? send_status::ok : send_status::dropped));
    });
    CHECK(one.told == fates{{2, message_fate::dropped}});
    CHECK(buffered(one) == framed(60) - taken());
    from(elsewhere, one, [&] { one.it->send(big); });
    one.let_go();
    CHECK(one.texts() == strings{big});
    CHECK(one.told == fates{{2, message_fate::dropped}, {1, message_fate::written}});
}

TEST_CASE("a peer stops reading: the oldest messages that have not begun are dropped, from any thread") {
    const bool elsewhere = GENERATE(false, true);
    stuck one{small_queue(overflow::drop_oldest)};
    const taken_since taken{one};
    from(elsewhere, one,
         [&] { CHECK(one.it->send("begun, and a little longer", {.tag = 1}) == send_status::ok); });
    from(elsewhere, one, [&] {
        CHECK(one.it->send(std::string(30, '2'), {.tag = 2}) == send_status::ok);
        CHECK(accepted(one.it->send(std::string(30, '3'), {.tag = 3})));
        CHECK(accepted(one.it->send(std::string(60, '4'), {.tag = 4})));
    });
    CHECK(one.told == fates{{2, message_fate::dropped}, {3, message_fate::dropped}});
    CHECK(buffered(one) == framed(26) + framed(60) - taken());
    // What could not fit were all of them gone goes itself.
    from(elsewhere, one, [&] { one.it->send(std::string(99, '5'), {.tag = 5}); });
    CHECK(one.told.back() == std::pair{std::uint64_t{5}, message_fate::dropped});
    one.let_go();
    CHECK(one.texts() == strings{"begun, and a little longer", std::string(60, '4')});
}

TEST_CASE("a peer stops reading: the latest message with a key takes the place of the one before, from any "
          "thread") {
    const bool elsewhere = GENERATE(false, true);
    stuck one{small_queue(overflow::fail)};
    const taken_since taken{one};
    from(elsewhere, one,
         [&] { CHECK(one.it->send("begun, and a little longer", {.tag = 1}) == send_status::ok); });
    from(elsewhere, one, [&] {
        CHECK(one.it->send("a1", {.key = 1, .tag = 2}) == send_status::ok);
        CHECK(one.it->send("b1", {.key = 2, .tag = 3}) == send_status::ok);
        CHECK(one.it->send("a2", {.key = 1, .tag = 4}) == send_status::ok);
        CHECK(one.it->send("a3", {.key = 1, .tag = 5}) == send_status::ok);
    });
    CHECK(one.told == fates{{2, message_fate::replaced}, {4, message_fate::replaced}});
    CHECK(buffered(one) == framed(26) + 2 * framed(2) - taken());
    one.let_go();
    CHECK(one.texts() == strings{"begun, and a little longer", "a3", "b1"});
}

TEST_CASE("a peer stops reading: the connection is closed for it, and gone at the close deadline") {
    const bool elsewhere = GENERATE(false, true);
    const auto code = GENERATE(close_code::policy_violation, close_code::try_again_later);
    const bool tagged = GENERATE(false, true);
    const bool reads_again = GENERATE(false, true);
    auto options = small_queue(overflow::close);
    options.overflow_code = code;
    options.timeouts.close = 10s;
    stuck one{options};
    from(elsewhere, one, [&] {
        CHECK(one.it->send(big, {.tag = 1}) == send_status::ok);
        CHECK(one.it->send("waits", {.tag = 2}) == send_status::ok);
    });
    from(elsewhere, one, [&] {
        const auto status = one.it->send(big, tagged ? message_options{.tag = 3} : message_options{});
        CHECK(status == (elsewhere ? send_status::ok : send_status::queue_full));
    });
    CHECK_FALSE(one.it->is_open());
    CHECK(one.it->send("late") == send_status::not_open);
    fates wanted{{2, message_fate::dropped}};
    // Where it was said to be accepted it has a fate.
    if (elsewhere && tagged) wanted.emplace_back(3, message_fate::dropped);
    CHECK(one.told == wanted);
    if (reads_again) {
        one.let_go();
        const auto frames = one.said();
        REQUIRE(frames.size() == 2);
        CHECK(frames[1] == std::pair<unsigned, std::string>{8, close_payload(to_number(code), "queue full")});
        one.comes(opcode::close, close_payload(to_number(code)));
        one.peer.close();
        one.run();
    }
    one.pass(9s);
    CHECK(one.ended.calls == (reads_again ? 1 : 0));
    one.pass(2s);
    REQUIRE(one.ended.calls == 1);
    CHECK(one.ended.error == errc::queue_full);
    // There never was room again for more.
    CHECK(one.low_water == 0);
    CHECK(one.it->result()->was_clean == reads_again);
    CHECK(one.told.back() ==
          std::pair{std::uint64_t{1}, reads_again ? one.told.back().second : message_fate::lost});
}

TEST_CASE("a peer stops reading: who can wait waits, in order, from any thread") {
    const bool elsewhere = GENERATE(false, true);
    stuck one{small_queue(overflow::wait)};
    std::vector<int> order;
    from(elsewhere, one, [&] {
        for (int i = 0; i < 4; ++i)
            one.it->async_send(big + std::to_string(i), message_options{}, [&, i](std::error_code error) {
                CHECK_FALSE(error);
                order.push_back(i);
            });
        // Whoever can't be told later is told now.
        const auto status = one.it->send(big, {.tag = 9});
        CHECK(status == send_status::would_wait);
    });
    CHECK(order.empty());
    const taken_since taken{one};
    CHECK(buffered(one) < framed(61));
    one.let_go();
    CHECK(order == std::vector<int>{0, 1, 2, 3});
    CHECK(one.texts() == strings{big + "0", big + "1", big + "2", big + "3"});
    CHECK(one.low_water >= 1);
    CHECK(one.told.empty());
}

TEST_CASE("a peer stops reading: what waits too long goes, and what it took is free, from any thread") {
    const bool elsewhere = GENERATE(false, true);
    const bool tagged = GENERATE(false, true);
    stuck one{small_queue(overflow::fail)};
    const taken_since taken{one};
    from(elsewhere, one, [&] {
        CHECK(one.it->send("begun, and a little longer", {.tag = 1}) == send_status::ok);
        CHECK(one.it->send(std::string(50, 'l'),
                           {.time_to_live = 100ms, .tag = tagged ? std::uint64_t{2} : std::uint64_t{0}}) ==
              send_status::ok);
    });
    CHECK(buffered(one) == framed(26) + framed(50) - taken());
    one.pass(1s);
    CHECK(buffered(one) == framed(26) - taken());
    CHECK(one.told == (tagged ? fates{{2, message_fate::expired}} : fates{}));
    // There is room for as much again.
    from(elsewhere, one, [&] { CHECK(one.it->send(std::string(50, 'n')) == send_status::ok); });
    one.let_go();
    CHECK(one.texts() == strings{"begun, and a little longer", std::string(50, 'n')});
}

TEST_CASE("a peer stops reading: urgent messages go first, each priority in its order, from any thread") {
    const bool elsewhere = GENERATE(false, true);
    auto options = without_deadlines();
    options.limits.commit_bytes = 10;
    stuck one{options};
    from(elsewhere, one, [&] { one.it->send("begun, and a little longer", {.tag = 1}); });
    from(elsewhere, one, [&] {
        one.it->send("n1", {.tag = 2});
        one.it->send("u1", {.priority = message_priority::urgent});
        one.it->send("n2");
        one.it->send("u2", {.priority = message_priority::urgent});
    });
    one.let_go();
    CHECK(one.texts() == strings{"begun, and a little longer", "u1", "u2", "n1", "n2"});
}

TEST_CASE("low water is told once the peer reads again, whoever has sent") {
    const bool elsewhere = GENERATE(false, true);
    auto options = without_deadlines();
    options.limits.queue_watermark = 1000;
    stuck one{options};
    from(elsewhere, one, [&] {
        CHECK(one.it->send(std::string(900, 'x')) == send_status::ok);
        CHECK(one.it->send(std::string(900, 'x')) == send_status::above_watermark);
    });
    CHECK(one.low_water == 0);
    // A hundred bytes at a time, so that the moment is seen.
    one.it->stream().capacity(100);
    for (std::size_t before = 1800; one.it->buffered_amount() > 500;) {
        CHECK(one.low_water == 0);
        static_cast<void>(one.peer.take_pending());
        one.run();
        REQUIRE(one.it->buffered_amount() < before);
        before = one.it->buffered_amount();
    }
    CHECK(one.it->buffered_amount() > 300);
    CHECK(one.low_water == 1);
    one.let_go();
    CHECK(one.low_water == 1);
}

namespace {

/// A run that takes the one kind of news, and one that takes the other.
struct takes_fates {
    int& messages;
    int& told;
    void on_message(const message&) const { ++messages; }
    void on_fate(std::uint64_t, message_fate) const { ++told; }
};
struct takes_low_water {
    int& messages;
    int& told;
    void on_message(const message&) const { ++messages; }
    void on_low_water() const { ++told; }
};

/// Both kinds come, amid messages.
template <class Handlers>
void run_amid_news() {
    auto options = without_deadlines();
    options.limits.queue_watermark = 1000;
    stuck one{options, false};
    int messages = 0;
    int told = 0;
    one.it->async_run(Handlers{messages, told}, one.ended.handler());
    one.run();
    inside(one.io, [&] {
        one.it->send(std::string(900, 'x'), {.tag = 1});
        CHECK(one.it->send(std::string(900, 'x'), {.tag = 2}) == send_status::above_watermark);
    });
    // While the queue is above its watermark nothing is read.
    one.comes(opcode::text, "one");
    one.comes(opcode::text, "two");
    one.it->stream().capacity(0);
    one.io.restart();
    std::size_t turns = 0;
    while (turns < 1000 && one.io.poll_one() != 0)
        ++turns;
    REQUIRE(turns < 1000);
    CHECK(messages == 2);
    CHECK(told == (std::is_same_v<Handlers, takes_fates> ? 2 : 1));
    // What the run doesn't take is there to be asked for.
    CHECK(one.it->next_fate().has_value() == std::is_same_v<Handlers, takes_low_water>);
}

} // namespace

TEST_CASE("a run is told the news that it takes, and what it doesn't keeps nobody busy") {
    SECTION("fates") { run_amid_news<takes_fates>(); }
    SECTION("low water") { run_amid_news<takes_low_water>(); }
}

TEST_CASE("an async_send whose time is over while it waits for room is not sent") {
    const bool elsewhere = GENERATE(false, true);
    stuck one{small_queue(overflow::wait)};
    ending<> begun;
    ending<> late;
    ending<> patient;
    from(elsewhere, one, [&] {
        one.it->async_send(big, message_options{}, begun.handler());
        one.it->async_send(big, message_options{.time_to_live = 3s}, late.handler());
        one.it->async_send("patient, and waits behind it, long as it is, for the room", message_options{},
                           patient.handler());
    });
    one.pass(2s);
    CHECK(late.calls == 0);
    one.pass(2s);
    CHECK(late.failed_with(errc::message_expired));
    CHECK(begun.calls + patient.calls == 0);
    one.let_go();
    CHECK(begun.well());
    CHECK(patient.well());
    CHECK(one.texts() == strings{big, "patient, and waits behind it, long as it is, for the room"});
}

TEST_CASE("what does not wait for room is told its fate at once, whoever waits") {
    const bool elsewhere = GENERATE(false, true);
    stuck one{small_queue(overflow::wait)};
    ending<> begun;
    ending<> waiting;
    ending<> refused;
    ending<> dropped;
    ending<> not_text;
    ending<> not_data;
    ending<> late;
    ending<> urgent;
    from(elsewhere, one, [&] {
        one.it->async_send(std::string(26, 'b'), message_options{}, begun.handler());
        one.it->async_send(std::string(90, 'w'), message_options{}, waiting.handler());
        one.it->async_send(std::string(90, 'x'), message_options{.when_full = overflow::fail},
                           refused.handler());
        one.it->async_send(std::string(90, 'x'), message_options{.when_full = overflow::drop_newest},
                           dropped.handler());
        one.it->async_send("\xFF", message_options{.when_full = overflow::fail}, not_text.handler());
        one.it->async_send(opcode::ping, {}, message_options{.when_full = overflow::fail},
                           not_data.handler());
        one.it->async_send(std::string(90, 'l'), message_options{.time_to_live = -1ms}, late.handler());
        one.it->async_send("!", message_options{.priority = message_priority::urgent}, urgent.handler());
    });
    one.pass(1s);
    CHECK(refused.failed_with(errc::queue_full));
    CHECK(dropped.failed_with(errc::message_dropped));
    CHECK(not_text.failed_with(errc::text_not_utf8));
    CHECK(not_data.failed_with(errc::opcode_not_data));
    CHECK(late.failed_with(errc::message_expired));
    CHECK(begun.calls + waiting.calls + urgent.calls == 0);
    one.let_go();
    CHECK(begun.well());
    CHECK(urgent.well());
    CHECK(waiting.well());
    CHECK(one.texts() == strings{std::string(26, 'b'), "!", std::string(90, 'w')});
}

TEST_CASE("room that a withdrawn message leaves is given to the next at once, with the time it has left") {
    stuck one{small_queue(overflow::wait)};
    ending<> begun;
    ending<> gone;
    ending<> next;
    asio::cancellation_signal stop;
    inside(one.io, [&] {
        one.it->async_send(std::string(26, 'b'), message_options{}, begun.handler());
        one.it->async_send(big, message_options{}, asio::bind_cancellation_slot(stop.slot(), gone.handler()));
        one.it->async_send(std::string(59, 'n'), message_options{.time_to_live = 4s}, next.handler());
    });
    const auto before = buffered(one);
    one.pass(2s);
    inside(one.io, [&] { stop.emit(asio::cancellation_type::terminal); });
    CHECK(gone.failed_with(asio::error::operation_aborted));
    CHECK(buffered(one) == before - 1);
    one.pass(1s);
    CHECK(next.calls == 0);
    one.pass(2s);
    CHECK(next.failed_with(errc::message_expired));
    CHECK(begun.calls == 0);
}

TEST_CASE("a thread that sends to a connection whose own thread does not come round is refused in the end") {
    const auto policy = GENERATE(overflow::drop_newest, overflow::drop_oldest, overflow::close);
    stuck one{small_queue(policy)};
    const auto handle = one.it->handle();
    int taken = 0;
    for (int i = 0; i < 1000; ++i) {
        const auto status = handle.send(big, {.tag = 1});
        if (accepted(status))
            ++taken;
        else
            CHECK(status == send_status::queue_full);
    }
    CHECK(taken >= 4);
    CHECK(handle.buffered_amount() <= 4 * 100);
    CHECK(handle.buffered_amount() == static_cast<std::size_t>(taken) * framed(60));
    one.run();
    one.let_go();
    one.peer.close();
    one.run();
    CHECK(one.told.size() == static_cast<std::size_t>(taken));
    CHECK(handle.buffered_amount() == 0);
}

TEST_CASE("what is in the inbox when the connection ends is lost, and that is told") {
    const auto options = GENERATE(message_options{.tag = 7}, message_options{.key = 4, .tag = 7},
                                  message_options{.when_full = overflow::drop_oldest, .tag = 7},
                                  message_options{.when_full = overflow::wait, .tag = 7});
    stuck one{small_queue(overflow::fail), true};
    const auto handle = one.it->handle();
    ending<> plain;
    ending<> wishing;
    ending<> waiting;
    const auto fill = [&] {
        CHECK(accepted(handle.send("inbox", options)));
        one.it->async_send("plain", plain.handler());
        one.it->async_send("wishing", message_options{.key = 1}, wishing.handler());
        one.it->async_send(big + big, message_options{.when_full = overflow::wait}, waiting.handler());
        CHECK(handle.buffered_amount() > 0);
    };
    SECTION("the connection is aborted") {
        fill();
        one.it->abort();
        CHECK(handle.send("late", options) == send_status::not_open);
        one.run();
        CHECK(one.told == fates{{7, message_fate::lost}});
        CHECK(one.ended.failed_with(errc::aborted));
    }
    SECTION("the peer is gone before anybody looks") {
        one.peer.close();
        fill();
        one.run();
        CHECK(one.told == fates{{7, message_fate::lost}});
        CHECK(one.ended.failed_with(errc::connection_lost));
    }
    SECTION("the owner goes") {
        fill();
        one.it.reset();
        one.run();
        CHECK(one.told.empty());
        CHECK(one.ended.failed_with(errc::aborted));
    }
    CHECK(plain.calls == 1);
    CHECK(plain.error);
    CHECK(wishing.calls == 1);
    CHECK(wishing.error);
    CHECK(waiting.calls == 1);
    CHECK(waiting.error);
    CHECK(handle.buffered_amount() == 0);
    CHECK(handle.send("late") == send_status::not_open);
    CHECK(handle.ping() == send_status::not_open);
    one.run();
    CHECK(one.told.size() <= 1);
}

TEST_CASE("a context that goes takes along what waits for room or a fate, though a handle stays") {
    const auto held = std::make_shared<int>();
    connection_handle<test::stream> handle;
    {
        asio::io_context io;
        test::manual_time time{io};
        auto ends = test::make_stream_pair(io);
        const auto it =
            std::make_shared<memory_connection>(std::move(ends.first), small_queue(overflow::wait));
        ending<> opened;
        ends.second.send(plain_request);
        it->async_accept(opened.handler());
        run_ready(io);
        REQUIRE(opened.well());
        it->stream().capacity(1);
        handle = it->handle();
        const auto send = [&](std::string_view text) {
            it->async_send(text, message_options{}, [held, it](std::error_code) { FAIL("called"); });
        };
        inside(io, [&] {
            send(big);
            send("waits its turn");
            send(big + big);
        });
        send("in the inbox");
        CHECK(held.use_count() == 5);
    }
    CHECK(held.use_count() == 1);
    CHECK_FALSE(handle.is_open());
    CHECK(handle.send("late", {.tag = 1}) == send_status::not_open);
    CHECK(handle.buffered_amount() == 0);
}

TEST_CASE(
    "what another thread has sent goes out when the connection is destroyed, where the transport takes it") {
    stuck one;
    one.let_go();
    const auto handle = one.it->handle();
    CHECK(handle.send("last words") == send_status::ok);
    const bool closes = GENERATE(false, true);
    if (closes) CHECK_FALSE(handle.close(close_code{4000}));
    one.it.reset();
    one.run();
    CHECK(one.said() == said_frames{{1, "last words"}, {8, close_payload(closes ? 4000 : 1001)}});
}

TEST_CASE("what is sent behind a close is refused, however it is sent") {
    const bool elsewhere = GENERATE(false, true);
    stuck one;
    ending<> plain;
    ending<> wishing;
    from(elsewhere, one, [&] {
        CHECK(one.it->send("before", {.tag = 1}) == send_status::ok);
        CHECK_FALSE(one.it->close(close_code{4000}, "bye"));
        CHECK(one.it->send("behind") == send_status::not_open);
        CHECK(one.it->send("behind", {.tag = 2}) == send_status::not_open);
        CHECK(one.it->send(prepared_message::text("behind")) == send_status::not_open);
        CHECK(one.it->handle().send("behind") == send_status::not_open);
        CHECK(one.it->ping() == send_status::not_open);
        one.it->async_send("behind", plain.handler());
        one.it->async_send("behind", message_options{.key = 1}, wishing.handler());
        CHECK_FALSE(one.it->close(close_code{4001}));
    });
    CHECK(plain.failed_with(errc::not_open));
    CHECK(wishing.failed_with(errc::not_open));
    one.let_go();
    CHECK(one.said() == said_frames{{1, "before"}, {8, close_payload(4000, "bye")}});
    CHECK(one.told == fates{{1, message_fate::written}});
}

TEST_CASE("a flood of Pings while the queue is full is answered within bounds, and harms no message") {
    const auto policy = GENERATE(overflow::fail, overflow::drop_oldest, overflow::wait);
    stuck one{small_queue(policy)};
    inside(one.io, [&] {
        CHECK(one.it->send("begun, and a little longer", {.tag = 1}) == send_status::ok);
        CHECK(one.it->send(big, {.tag = 2}) == send_status::ok);
    });
    octets flood;
    for (int i = 0; i < 10'000; ++i)
        flood += one.frame(opcode::ping, std::to_string(i) + std::string(100, 'p'));
    one.peer.send(flood);
    one.run();
    CHECK(buffered(one) < 5'000);
    CHECK(one.told.empty());
    one.let_go();
    const auto said = one.said();
    // Pongs go ahead of what has not begun; what comes last is the most recent.
    REQUIRE(said.size() >= 3);
    CHECK(said.front() == std::pair<unsigned, std::string>{1, "begun, and a little longer"});
    CHECK(std::count_if(said.begin(), said.end(), [](const auto& each) { return each.second == big; }) == 1);
    CHECK(std::any_of(said.begin(), said.end(),
                      [](const auto& each) { return each.second.starts_with("9999p"); }));
    CHECK(one.told == fates{{1, message_fate::written}, {2, message_fate::written}});
}
