#include <duplex/net/connection.hpp>

// Messages with wishes through a connection: what becomes of each, and who is told.

#include "support/stuck.hpp"

#include <asio/bind_cancellation_slot.hpp>
#include <asio/cancellation_signal.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

using namespace duplex;
using namespace duplex::testing;
using namespace std::chrono_literals;

TEST_CASE("a message with a tag has its fate told once") {
    stuck one;
    const bool from_inside = GENERATE(false, true);
    const auto send = [&] {
        CHECK(one.it->send("in the way", {.tag = 1}) == send_status::ok);
        CHECK(one.it->send("first price", {.key = 7, .tag = 2}) == send_status::ok);
        CHECK(one.it->send("plain") == send_status::ok);
        CHECK(one.it->send("second price", {.key = 7, .tag = 3}) == send_status::ok);
        CHECK(one.it->handle().send(opcode::binary, view("bytes"), {.tag = 4}) == send_status::ok);
        CHECK(one.it->send(prepared_message::text("prepared"), {.tag = 5}) == send_status::ok);
    };
    if (from_inside)
        inside(one.io, send);
    else
        send();
    one.run();
    one.let_go();
    const auto texts = one.texts();
    CHECK(texts.front() == "in the way");
    CHECK(texts.back() == "prepared");
    std::vector<std::uint64_t> written;
    for (const auto& [tag, fate] : one.told)
        if (fate == message_fate::written) written.push_back(tag);
    CHECK(one.told.size() == 5);
    CHECK(written.size() + (texts.size() == 5 ? 1 : 0) == 5);
}

TEST_CASE("what waits is replaced, overtaken and dropped when its time is over") {
    connection_options options = without_deadlines();
    options.limits.commit_bytes = 10;
    stuck one{options};
    inside(one.io, [&] {
        CHECK(one.it->send(std::string(50, 'w'), {.tag = 1}) == send_status::ok);
        CHECK(one.it->send("old price", {.key = 7, .tag = 2}) == send_status::ok);
        CHECK(one.it->send("late", {.time_to_live = 100ms, .tag = 3}) == send_status::ok);
        CHECK(one.it->send("behind", {.tag = 4}) == send_status::ok);
        CHECK(one.it->send("new price", {.key = 7, .tag = 5}) == send_status::ok);
        CHECK(one.it->send("urgent", {.priority = message_priority::urgent, .tag = 6}) == send_status::ok);
    });
    CHECK(one.told == fates{{2, message_fate::replaced}});
    one.pass(1s);
    CHECK(one.told == fates{{2, message_fate::replaced}, {3, message_fate::expired}});
    one.let_go();
    CHECK(one.texts() == strings{std::string(50, 'w'), "urgent", "new price", "behind"});
    CHECK(one.told == fates{{2, message_fate::replaced},
                            {3, message_fate::expired},
                            {1, message_fate::written},
                            {6, message_fate::written},
                            {5, message_fate::written},
                            {4, message_fate::written}});
}

TEST_CASE("a full queue drops, closes or says that it is full, as was chosen") {
    const std::string big(60, 'b');
    SECTION("the newest goes") {
        stuck one{small_queue(overflow::drop_newest)};
        inside(one.io, [&] {
            CHECK(one.it->send(big, {.tag = 1}) == send_status::ok);
            CHECK(one.it->send(big, {.tag = 2}) == send_status::dropped);
        });
        CHECK(one.told == fates{{2, message_fate::dropped}});
        one.let_go();
        CHECK(one.texts() == strings{big});
    }
    SECTION("the oldest that has not begun goes") {
        stuck one{small_queue(overflow::drop_oldest)};
        inside(one.io, [&] {
            CHECK(one.it->send("begun, and a little longer", {.tag = 1}) == send_status::ok);
            CHECK(one.it->send(std::string(40, 'o'), {.tag = 2}) == send_status::ok);
            CHECK(one.it->send(big, {.tag = 3}) == send_status::ok);
        });
        CHECK(one.told == fates{{2, message_fate::dropped}});
        one.let_go();
        CHECK(one.texts() == strings{"begun, and a little longer", big});
    }
    SECTION("the connection goes") {
        stuck one{small_queue(overflow::close)};
        inside(one.io, [&] {
            CHECK(one.it->send(big, {.tag = 1}) == send_status::ok);
            CHECK(one.it->send(big, {.tag = 2}) == send_status::queue_full);
        });
        one.let_go();
        const auto frames = one.said();
        REQUIRE(frames.size() == 2);
        CHECK(frames[1] == std::pair<unsigned, std::string>{8, close_payload(1008, "queue full")});
    }
    SECTION("the caller is told") {
        stuck one{small_queue(overflow::wait)};
        inside(one.io, [&] {
            CHECK(one.it->send(big, {.tag = 1}) == send_status::ok);
            CHECK(one.it->send(big, {.tag = 2}) == send_status::would_wait);
        });
        one.let_go();
        CHECK(one.told == fates{{1, message_fate::written}});
    }
}

TEST_CASE("async_send waits for room, in order") {
    stuck one{small_queue(overflow::wait), GENERATE(true, false)};
    const std::string big(60, 'b');
    std::vector<int> order;
    std::vector<std::error_code> errors;
    const auto send = [&](std::string_view text, int number) {
        one.it->async_send(text, message_options{}, [&, number](std::error_code error) {
            order.push_back(number);
            errors.push_back(error);
        });
    };
    const bool from_inside = GENERATE(false, true);
    const auto all = [&] {
        for (int i = 0; i < 5; ++i)
            send(big + std::to_string(i), i);
    };
    if (from_inside)
        inside(one.io, all);
    else
        all();
    one.run();
    CHECK(order.empty());
    CHECK(one.it->buffered_amount() < 150);
    one.let_go();
    CHECK(order == std::vector<int>{0, 1, 2, 3, 4});
    CHECK(errors == std::vector<std::error_code>(5));
    CHECK(one.texts() == strings{big + "0", big + "1", big + "2", big + "3", big + "4"});
}

TEST_CASE("an async_send completes with the fate of its message") {
    stuck one{small_queue(overflow::drop_oldest)};
    ending<> begun;
    ending<> replaced;
    ending<> latest;
    ending<> expired;
    ending<> dropped;
    inside(one.io, [&] {
        one.it->async_send(std::string(30, 'b'), message_options{}, begun.handler());
        one.it->async_send("old", message_options{.key = 1}, replaced.handler());
        one.it->async_send("new", message_options{.key = 1}, latest.handler());
        one.it->async_send("late", message_options{.time_to_live = 10ms}, expired.handler());
        one.it->async_send(std::string(90, 'x'), message_options{.when_full = overflow::drop_newest},
                           dropped.handler());
    });
    CHECK(replaced.failed_with(errc::message_replaced));
    CHECK(dropped.failed_with(errc::message_dropped));
    CHECK(expired.calls == 0);
    one.pass(1s);
    CHECK(expired.failed_with(errc::message_expired));
    CHECK(begun.calls == 0);
    one.let_go();
    CHECK(begun.well());
    CHECK(latest.well());
    CHECK(one.texts() == strings{std::string(30, 'b'), "new"});
    CHECK(one.told.empty());
}

TEST_CASE("a cancelled async_send that has not begun to leave is not sent") {
    stuck one{small_queue(overflow::wait)};
    ending<> first;
    ending<> waiting;
    ending<> for_room;
    asio::cancellation_signal stop_waiting;
    asio::cancellation_signal stop_for_room;
    inside(one.io, [&] {
        one.it->async_send(std::string(60, 'f'), message_options{}, first.handler());
        one.it->async_send("waiting", message_options{},
                           asio::bind_cancellation_slot(stop_waiting.slot(), waiting.handler()));
        one.it->async_send(std::string(60, 'r'), message_options{},
                           asio::bind_cancellation_slot(stop_for_room.slot(), for_room.handler()));
        one.it->async_send("last", message_options{}, [](std::error_code) {});
    });
    inside(one.io, [&] {
        stop_waiting.emit(asio::cancellation_type::terminal);
        stop_for_room.emit(asio::cancellation_type::terminal);
    });
    CHECK(waiting.failed_with(asio::error::operation_aborted));
    CHECK(for_room.failed_with(asio::error::operation_aborted));
    one.let_go();
    CHECK(first.well());
    CHECK(one.texts() == strings{std::string(60, 'f'), "last"});
}

TEST_CASE("without a run the fates are there to be asked for") {
    stuck one{without_deadlines(), false};
    inside(one.io, [&] {
        CHECK(one.it->send("one", {.tag = 1}) == send_status::ok);
        CHECK(one.it->send("two", {.tag = 2}) == send_status::ok);
        CHECK_FALSE(one.it->next_fate().has_value());
    });
    one.let_go();
    CHECK(one.it->next_fate() == told_fate{1, message_fate::written});
    CHECK(one.it->next_fate() == told_fate{2, message_fate::written});
    CHECK_FALSE(one.it->next_fate().has_value());
}

TEST_CASE("the queue's fall is told to who has sent no message with wishes, too") {
    connection_options options = without_deadlines();
    options.limits.queue_watermark = 1000;
    stuck one{options};
    inside(one.io, [&] { CHECK(one.it->send(std::string(1800, 'x')) == send_status::above_watermark); });
    one.let_go();
    CHECK(one.low_water == 1);
}

TEST_CASE("a tag of 2^63 or more is refused, however the message is sent") {
    connected_pair pair;
    pair.open();
    constexpr message_options options{.tag = std::uint64_t{1} << 63U};
    const auto status = send_status::tag_too_large;
    CHECK(pair.client.send("text", options) == status);
    CHECK(pair.client.send(view(octets(3, 'b')), options) == status);
    CHECK(pair.client.send(prepared_message::text("prepared"), options) == status);
    const auto handle = pair.client.handle();
    std::thread{[&] { CHECK(handle.send("text", options) == status); }}.join();
    CHECK(to_error_code(status) == errc::tag_too_large);
    CHECK(pair.client.send("text", {.tag = (std::uint64_t{1} << 63U) - 1}) == send_status::ok);
    pair.run();
    const auto told = pair.client.next_fate();
    REQUIRE(told);
    CHECK(told->tag == (std::uint64_t{1} << 63U) - 1);
    CHECK_FALSE(pair.client.next_fate());
}

TEST_CASE("the queue's fall to half of its watermark is told once") {
    connection_options options = without_deadlines();
    options.limits.queue_watermark = 1000;
    stuck one{options};
    inside(one.io, [&] {
        CHECK(one.it->send(std::string(900, 'x'), {.tag = 1}) == send_status::ok);
        CHECK(one.it->send(std::string(900, 'x'), {.tag = 2}) == send_status::above_watermark);
    });
    CHECK(one.low_water == 0);
    one.let_go();
    CHECK(one.low_water == 1);
}

TEST_CASE("where the connection ends, what was left is lost, and that is told before the end") {
    stuck one{small_queue(overflow::fail)};
    ending<> sent;
    bool ended_first = false;
    one.then = [&] { ended_first = ended_first || one.ended.calls != 0; };
    inside(one.io, [&] {
        CHECK(one.it->send(std::string(30, 'x'), {.tag = 1}) == send_status::ok);
        CHECK(one.it->send("waiting", {.tag = 2}) == send_status::ok);
        one.it->async_send("awaited", message_options{.priority = message_priority::urgent}, sent.handler());
    });
    SECTION("the peer goes") {
        one.peer.close();
        one.run();
    }
    SECTION("the stream breaks") {
        one.it->stream().close();
        one.run();
    }
    std::sort(one.told.begin(), one.told.end());
    CHECK(one.told == fates{{1, message_fate::lost}, {2, message_fate::lost}});
    CHECK(one.ended.calls == 1);
    CHECK(one.ended.error);
    CHECK_FALSE(ended_first);
    CHECK(sent.calls == 1);
    CHECK(sent.error);
}

TEST_CASE("a connection that has ended may be destroyed while it tells what was lost") {
    stuck one{small_queue(overflow::fail)};
    inside(one.io, [&] {
        CHECK(one.it->send(std::string(40, 'x'), {.tag = 1}) == send_status::ok);
        CHECK(one.it->send("1234", {.tag = 2}) == send_status::ok);
    });
    one.then = [&] { one.it.reset(); };
    const auto how = GENERATE(0, 1, 2);
    inside(one.io, [&] {
        if (how == 0) one.it->abort();
        if (how == 1) one.it->leave();
        if (how == 2) one.peer.close();
    });
    one.run();
    CHECK(one.told.size() == 1);
    CHECK(one.ended.calls == 1);
}

TEST_CASE("a connection may be destroyed while it tells a fate, and nothing is told after that") {
    stuck one;
    one.then = [&] { one.it.reset(); };
    inside(one.io, [&] {
        CHECK(one.it->send("one", {.tag = 1}) == send_status::ok);
        CHECK(one.it->send("two", {.tag = 2}) == send_status::ok);
    });
    const bool by_end = GENERATE(false, true);
    if (by_end)
        one.peer.close();
    else
        one.it->stream().capacity(0);
    one.run();
    CHECK(one.told.size() == 1);
    CHECK(one.ended.calls == 1);
}
