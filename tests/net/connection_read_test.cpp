#include <duplex/net/connection.hpp>

#include "support/any_role.hpp"
#include "support/connected.hpp"

#include <asio/bind_cancellation_slot.hpp>
#include <asio/cancellation_signal.hpp>

#include <chrono>
#include <optional>
#include <string>
#include <utility>
#include <vector>

using namespace duplex;
using namespace duplex::testing;
using namespace std::chrono_literals;

TEST_CASE("async_read gives the messages one by one, each with bytes of its own") {
    scripted one{any_role()};
    one.open();
    std::vector<message> kept;
    one.peer.send(one.frame(opcode::text, "one") + one.frame(opcode::binary, "two") +
                  one.frame(opcode::text, "th", {.fin = false}) + one.frame(opcode::continuation, "ree") +
                  one.frame(opcode::text, ""));
    for (int i = 0; i < 4; ++i) {
        ending<message> read;
        one.it->async_read(read.handler());
        CHECK(read.calls == 0);
        one.run();
        REQUIRE(read.well());
        kept.push_back(std::move(std::get<0>(read.values)));
    }
    CHECK(one.it->stream().reads() == 2);
    CHECK(kept[0].text() == "one");
    CHECK(kept[1].is_binary());
    CHECK(kept[1].text() == "two");
    CHECK(kept[2].text() == "three");
    CHECK(kept[3].empty());
}

TEST_CASE("try_read gives what was received already and never waits") {
    scripted one{any_role()};
    one.open();
    CHECK_FALSE(one.it->try_read());
    one.peer.send(one.frame(opcode::text, "a") + one.frame(opcode::ping, "p") + one.frame(opcode::text, "b") +
                  one.frame(opcode::text, "c").substr(0, 2));
    one.run();
    CHECK_FALSE(one.it->try_read());
    read_ending read;
    one.it->async_read(read.handler());
    CHECK_FALSE(one.it->try_read());
    one.run();
    CHECK(read.text() == "a");
    const auto next = one.it->try_read();
    REQUIRE(next);
    CHECK(next->text() == "b");
    CHECK_FALSE(one.it->try_read());
    one.run();
    CHECK(one.said() == said_frames{{10, "p"}});
    read_ending last;
    one.it->async_read(last.handler());
    one.peer.send(one.frame(opcode::text, "c").substr(2));
    one.run();
    CHECK(last.calls == 1);
}

TEST_CASE("try_read that finds the peer's Close answers it and ends") {
    scripted one{any_role()};
    one.open();
    const bool ours_first = GENERATE(values({0, 1})) == 1;
    if (ours_first) {
        CHECK_FALSE(one.it->close());
        one.run();
    }
    one.peer.send(one.frame(opcode::text, "a") + one.frame(opcode::close, close_payload(1000)));
    read_ending read;
    one.it->async_read(read.handler());
    one.run();
    CHECK(read.text() == "a");
    CHECK_FALSE(one.it->try_read());
    one.run();
    CHECK(one.said() == said_frames{{8, close_payload(1000)}});
    one.peer.shutdown_send();
    one.run();
    CHECK_FALSE(one.it->stream().is_open());
    REQUIRE(one.it->result());
    CHECK(one.it->result()->was_clean);
}

TEST_CASE("a second read while one is under way is refused and harms nothing") {
    scripted one{any_role()};
    one.open();
    read_ending first;
    ending<message> second;
    ending<memory_connection::batch_type> third;
    ending<> fourth;
    one.it->async_read(first.handler());
    one.it->async_read(second.handler());
    one.it->async_read_batch(third.handler());
    one.it->async_run([](const message&) {}, fourth.handler());
    one.run();
    CHECK(second.failed_with(errc::operation_pending));
    CHECK(third.failed_with(errc::operation_pending));
    CHECK(fourth.failed_with(errc::operation_pending));
    one.comes(opcode::text, "mine");
    CHECK(first.text() == "mine");
}

TEST_CASE("a cancelled read loses nothing") {
    scripted one{any_role()};
    one.open();
    const auto whole = one.frame(opcode::text, "not lost") + one.frame(opcode::text, "nor this");
    for (std::size_t cut = 0; cut <= whole.size(); ++cut) {
        CAPTURE(cut);
        asio::cancellation_signal signal;
        read_ending cancelled;
        one.it->async_read(asio::bind_cancellation_slot(signal.slot(), cancelled.handler()));
        one.run();
        signal.emit(asio::cancellation_type::total);
        one.run();
        CHECK(cancelled.failed_with(asio::error::operation_aborted));
        one.peer.send(whole.substr(0, cut));
        one.run();
        read_ending first;
        one.it->async_read(first.handler());
        one.run();
        one.peer.send(whole.substr(cut));
        one.run();
        REQUIRE(first.text() == "not lost");
        read_ending second;
        one.it->async_read(second.handler());
        one.run();
        REQUIRE(second.text() == "nor this");
    }
}

TEST_CASE("a read that waits for the next message starts from inside the last one's handler") {
    scripted one{any_role()};
    one.open();
    std::string all;
    struct looping {
        memory_connection& from;
        std::string& all;
        void operator()(std::error_code error, const message& got) {
            if (error) return;
            all += got.text();
            from.async_read(looping{from, all});
        }
    };
    one.it->async_read(looping{*one.it, all});
    std::string sent;
    octets bytes;
    for (char c = 'a'; c <= 'z'; ++c) {
        sent += c;
        bytes += one.frame(opcode::text, std::string(1, c));
    }
    one.peer.send(bytes);
    one.run();
    CHECK(all == sent);
}

TEST_CASE("reading ends with errc::closed after the peer's Close") {
    scripted one{any_role()};
    one.open();
    one.peer.send(one.frame(opcode::text, "last") + one.frame(opcode::close, close_payload(4001, "bye")));
    read_ending last;
    one.it->async_read(last.handler());
    one.run();
    CHECK(last.text() == "last");
    const auto kind = GENERATE(values({0, 1, 2}));
    ending<message> read;
    ending<memory_connection::batch_type> batch;
    ending<> run;
    if (kind == 0) one.it->async_read(read.handler());
    if (kind == 1) one.it->async_read_batch(batch.handler());
    if (kind == 2) one.it->async_run([](const message&) {}, run.handler());
    one.run();
    CHECK(one.said() == said_frames{{8, close_payload(4001)}});
    one.peer.shutdown_send();
    one.run();
    if (kind == 0) CHECK(read.failed_with(errc::closed));
    if (kind == 1) CHECK(batch.failed_with(errc::closed));
    if (kind == 2) CHECK(run.well());
    REQUIRE(one.it->result());
    CHECK(one.it->result()->code == static_cast<close_code>(4001));
    CHECK(one.it->result()->reason == "bye");
    CHECK(one.it->result()->was_clean);
    CHECK_FALSE(one.it->result()->error);
    ending<message> after;
    one.it->async_read(after.handler());
    one.run();
    CHECK(after.failed_with(errc::closed));
    CHECK_FALSE(one.it->is_open());
    CHECK_FALSE(one.it->stream().is_open());
}

TEST_CASE("a run that begins behind the peer's Close sees the connection to its end") {
    scripted one{any_role()};
    one.open();
    one.peer.send(one.frame(opcode::text, "last") + one.frame(opcode::close, close_payload(1000)));
    read_ending last;
    one.it->async_read(last.handler());
    one.run();
    CHECK(last.text() == "last");
    CHECK_FALSE(one.it->try_read());
    ending<> run;
    one.it->async_run([](const message&) {}, run.handler());
    one.run();
    CHECK(run.calls == 0);
    CHECK(one.said() == said_frames{{8, close_payload(1000)}});
    one.peer.shutdown_send();
    one.run();
    CHECK(run.well());
    CHECK_FALSE(one.it->try_read());
}

TEST_CASE("only a run that takes fragments reads where they are delivered") {
    connection_options options;
    options.deliver_fragments = true;
    scripted one{any_role(), options};
    one.open();
    ending<message> read;
    ending<> run;
    one.it->async_read(read.handler());
    one.it->async_run([](const message&) {}, run.handler());
    one.run();
    CHECK(read.failed_with(errc::fragments_not_taken));
    CHECK(run.failed_with(errc::fragments_not_taken));
    CHECK(one.it->is_open());
}

TEST_CASE("what comes of a large message after its connection has failed is dropped") {
    scripted one{any_role()};
    one.open();
    ending<message> read;
    one.it->async_read(read.handler());
    const auto bytes = one.frame(opcode::binary, std::string(300'000, 'x'));
    one.peer.send(bytes.substr(0, 100'000));
    one.run();
    for (int i = 0; i < 55; ++i)
        one.pass(1000ms);
    CHECK(read.failed_with(errc::pong_timeout));
    CHECK(one.said() == said_frames{{9, ""}, {8, close_payload(1011)}});
    one.peer.send(bytes.substr(100'000));
    one.run();
    CHECK_FALSE(one.it->try_read());
    one.peer.shutdown_send();
    one.run();
    REQUIRE(one.it->result());
    CHECK(one.it->result()->error == errc::pong_timeout);
    CHECK_FALSE(one.it->stream().is_open());
}

TEST_CASE("reading ends with the rule that the peer broke, and nothing more is delivered") {
    scripted one{any_role()};
    one.open();
    one.peer.send(one.frame(opcode::text, "good") + one.frame(opcode::text, "\xff") +
                  one.frame(opcode::text, "late"));
    read_ending good;
    one.it->async_read(good.handler());
    one.run();
    CHECK(good.text() == "good");
    ending<message> bad;
    one.it->async_read(bad.handler());
    one.run();
    CHECK(bad.failed_with(errc::invalid_utf8));
    CHECK(one.said() == said_frames{{8, close_payload(1007)}});
    CHECK_FALSE(one.it->try_read());
    ending<message> after;
    one.it->async_read(after.handler());
    one.run();
    CHECK(after.failed_with(errc::invalid_utf8));
    REQUIRE(one.it->result());
    CHECK(one.it->result()->error == errc::invalid_utf8);
    CHECK_FALSE(one.it->result()->was_clean);
    CHECK(one.it->result()->code == close_code::abnormal);
    one.peer.send(one.frame(opcode::text, "and on and on"));
    one.peer.shutdown_send();
    one.run();
    CHECK_FALSE(one.it->stream().is_open());
    CHECK(one.said().empty());
}

TEST_CASE("reading ends with connection_lost where the transport ends without a Close") {
    scripted one{any_role()};
    one.open();
    const bool within_a_message = GENERATE(values({0, 1})) == 1;
    ending<message> read;
    one.it->async_read(read.handler());
    if (within_a_message) one.peer.send(one.frame(opcode::text, "unfinished").substr(0, 9));
    one.peer.shutdown_send();
    one.run();
    CHECK(read.failed_with(errc::connection_lost));
    REQUIRE(one.it->result());
    CHECK(one.it->result()->code == close_code::abnormal);
    CHECK(one.it->result()->error == errc::connection_lost);
}

TEST_CASE("a large message is received whole whatever the sizes of the reads") {
    scripted one{any_role()};
    one.open();
    one.it->stream().read_limit(GENERATE(values<std::size_t>({0, 1000, 40'000, 70'000})));
    std::string large(300'000, 'x');
    for (std::size_t i = 0; i < large.size(); ++i)
        large[i] = static_cast<char>('a' + i * i % 23);
    one.peer.send(one.frame(opcode::text, "before") + one.frame(opcode::binary, large) +
                  one.frame(opcode::text, "after"));
    for (const std::string_view wanted :
         {std::string_view{"before"}, std::string_view{large}, std::string_view{"after"}}) {
        read_ending read;
        one.it->async_read(read.handler());
        one.run();
        CHECK(read.text() == wanted);
    }
}

TEST_CASE("a read that is cancelled inside a large message loses nothing") {
    scripted one{any_role()};
    one.open();
    one.it->stream().read_limit(7000);
    const std::string large(200'000, 'x');
    const auto bytes = one.frame(opcode::binary, large);
    for (std::size_t at = 0; at < bytes.size(); at += 50'000) {
        asio::cancellation_signal signal;
        ending<message> cancelled;
        one.it->async_read(asio::bind_cancellation_slot(signal.slot(), cancelled.handler()));
        one.run();
        signal.emit(asio::cancellation_type::terminal);
        one.run();
        CHECK(cancelled.failed_with(asio::error::operation_aborted));
        one.peer.send(bytes.substr(at, 50'000));
        one.run();
    }
    read_ending read;
    one.it->async_read(read.handler());
    one.run();
    CHECK(read.text() == large);
}

TEST_CASE("pings are answered by a read under way, in the middle of a message as well") {
    scripted one{any_role()};
    one.open();
    read_ending read;
    one.it->async_read(read.handler());
    one.comes(opcode::text, "he", {.fin = false});
    one.comes(opcode::ping, "are you there");
    CHECK(one.said() == said_frames{{10, "are you there"}});
    CHECK(read.calls == 0);
    one.comes(opcode::continuation, "llo");
    CHECK(read.text() == "hello");
}

TEST_CASE("memory does not follow an announced length, and limits hold") {
    connection_options options;
    options.limits.message_bytes = 1000;
    options.limits.message_fragments = 50;
    scripted one{any_role(), options};
    one.open();
    ending<message> read;
    one.it->async_read(read.handler());
    SECTION("one frame too big") {
        one.comes(opcode::binary, "", {.announce_more = std::uint64_t{1} << 40});
        CHECK(read.failed_with(errc::message_too_big));
        CHECK(one.said() == said_frames{{8, close_payload(1009)}});
    }
    SECTION("fragments too big together") {
        one.comes(opcode::binary, std::string(600, 'x'), {.fin = false});
        one.comes(opcode::continuation, std::string(600, 'x'));
        CHECK(read.failed_with(errc::message_too_big));
        CHECK(one.said() == said_frames{{8, close_payload(1009)}});
    }
    SECTION("too many fragments, empty ones included") {
        octets bytes = one.frame(opcode::binary, "", {.fin = false});
        for (int i = 0; i < 50; ++i)
            bytes += one.frame(opcode::continuation, "", {.fin = false});
        one.peer.send(bytes);
        one.run();
        CHECK(read.failed_with(errc::too_many_fragments));
        CHECK(one.said() == said_frames{{8, close_payload(1008)}});
    }
}
