#include <duplex/net/connection.hpp>

// Reading that the application pauses: what waits, what goes on, and what is found out.

#include "support/any_role.hpp"
#include "support/sockets.hpp"

#include <asio/bind_cancellation_slot.hpp>
#include <asio/cancellation_signal.hpp>

#include <chrono>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

using namespace duplex;
using namespace duplex::testing;
using namespace std::chrono_literals;

namespace {

using strings = std::vector<std::string>;

/// A connection with a run that writes down what it is given.
struct running : scripted {
    explicit running(const connection_options& options = {}, role acting = any_role())
        : scripted{acting, options} {
        open();
        struct handlers {
            running& to;
            void on_message(const message& m) const {
                to.got.emplace_back(m.text());
                if (to.then) to.then();
            }
            void on_fate(std::uint64_t, message_fate) const { ++to.fates; }
            void on_low_water() const {
                ++to.low_water;
                if (to.at_low_water) to.at_low_water();
            }
        };
        it->async_run(handlers{*this}, ended.handler());
        run();
    }

    strings got;
    std::function<void()> then;
    std::function<void()> at_low_water;
    int fates = 0;
    int low_water = 0;
    ending<> ended;
};

} // namespace

TEST_CASE("nothing is delivered while the reading is paused, and nothing is lost") {
    running one;
    one.it->pause();
    CHECK(one.it->is_paused());
    one.comes(opcode::text, "a");
    one.comes(opcode::text, "b");
    CHECK(one.got.empty());
    CHECK_FALSE(one.it->try_read());
    // It may be said twice.
    one.it->pause();
    one.it->resume();
    CHECK_FALSE(one.it->is_paused());
    CHECK(one.got.empty());
    one.run();
    CHECK(one.got == strings{"a", "b"});
    one.it->resume();
    one.comes(opcode::text, "c");
    CHECK(one.got == strings{"a", "b", "c"});
    CHECK(one.ended.calls == 0);
}

TEST_CASE("no more than one read's worth is taken from the transport while the reading is paused") {
    running one;
    one.it->pause();
    const auto before = one.it->stream().reads();
    for (int i = 0; i < 100; ++i)
        one.comes(opcode::binary, octets(10'000, 'x'));
    CHECK(one.it->stream().reads() <= before + 1);
    CHECK(one.it->stream().pending().size() > 500'000);
    one.it->resume();
    one.run();
    CHECK(one.got.size() == 100);
}

TEST_CASE("a callback that pauses the reading is given nothing more of what was read with its message") {
    running one;
    const bool large = GENERATE(false, true);
    const octets filler(large ? 100'000 : 0, 'f');
    one.then = [&] { one.it->pause(); };
    one.peer.send(one.frame(opcode::text, "1" + filler) + one.frame(opcode::text, "2" + filler) +
                  one.frame(opcode::text, "3" + filler));
    for (std::size_t n = 1; n <= 3; ++n) {
        one.run();
        REQUIRE(one.got.size() == n);
        CHECK((one.got.back() == std::to_string(n) + filler));
        one.it->resume();
    }
    one.run();
    CHECK(one.got.size() == 3);
}

TEST_CASE("a callback may pause and resume as often as it likes") {
    running one;
    one.then = [&] {
        for (int i = 0; i < 3; ++i) {
            one.it->pause();
            one.it->resume();
        }
    };
    one.peer.send(one.frame(opcode::text, "1") + one.frame(opcode::text, "2") + one.frame(opcode::text, "3"));
    one.run();
    CHECK(one.got == strings{"1", "2", "3"});
    one.comes(opcode::text, "4");
    CHECK(one.got.size() == 4);
}

TEST_CASE("a message that is half there when the reading is paused is whole afterwards") {
    running one;
    const auto size = GENERATE(values<std::size_t>({100, 200'000}));
    const octets text(size, 'h');
    const auto bytes = one.frame(opcode::text, text);
    one.peer.send(std::string_view{bytes}.substr(0, bytes.size() / 2));
    one.run();
    one.it->pause();
    one.run();
    one.peer.send(std::string_view{bytes}.substr(bytes.size() / 2));
    one.run();
    one.pass(1000ms);
    CHECK(one.got.empty());
    one.it->resume();
    one.run();
    REQUIRE(one.got.size() == 1);
    CHECK((one.got[0] == text));
}

TEST_CASE("a read that begins while the reading is paused waits, and can be cancelled") {
    scripted one{any_role()};
    one.open();
    one.it->pause();
    one.comes(opcode::text, "a");
    asio::cancellation_signal signal;
    read_ending cancelled;
    one.it->async_read(asio::bind_cancellation_slot(signal.slot(), cancelled.handler()));
    one.run();
    CHECK(cancelled.calls == 0);
    signal.emit(asio::cancellation_type::total);
    one.run();
    CHECK(cancelled.failed_with(asio::error::operation_aborted));
    read_ending read;
    one.it->async_read(read.handler());
    one.run();
    CHECK(read.calls == 0);
    one.it->resume();
    one.run();
    CHECK(read.text() == "a");
}

TEST_CASE("a batch ends where the reading is paused, and the next one goes on from there") {
    scripted one{any_role()};
    one.open();
    strings got;
    int pauses = 0;
    std::function<void()> next = [&] {
        one.it->async_read_batch([&](std::error_code error, memory_connection::batch_type batch) {
            if (error) return;
            for (const auto& each : batch) {
                got.emplace_back(each.text());
                if (pauses++ == 0) one.it->pause();
            }
            next();
        });
    };
    next();
    one.peer.send(one.frame(opcode::text, "1") + one.frame(opcode::text, "2") + one.frame(opcode::text, "3"));
    one.run();
    CHECK(got == strings{"1"});
    one.it->resume();
    one.run();
    CHECK(got == strings{"1", "2", "3"});
}

TEST_CASE("a paused connection sends, and tells what becomes of messages and of its queue") {
    connection_options options = without_deadlines();
    options.limits.queue_watermark = 100;
    running one{options};
    one.it->stream().capacity(1);
    one.it->pause();
    const octets text(200, 's');
    CHECK(one.it->send(text, {.tag = 1}) == send_status::above_watermark);
    one.run();
    one.comes(opcode::text, "waits");
    // The one whom the queue's fall lets go on is told, or two that pass on to each other would wait for
    // ever.
    one.at_low_water = [&] { one.it->resume(); };
    one.it->stream().capacity(0);
    CHECK(one.peer.take_pending().size() >= 1);
    one.run();
    CHECK(one.fates == 1);
    CHECK(one.low_water == 1);
    CHECK(one.got == strings{"waits"});
}

TEST_CASE("silence that the application has ordered is not held against the peer") {
    connection_options options;
    options.timeouts = {.ping_interval = 10s, .pong = 5s, .idle = 30s, .write = 0s, .close = 5s};
    running one{options};
    one.it->pause();
    for (int i = 0; i < 120; ++i)
        one.pass(1000ms);
    CHECK(one.it->is_open());
    CHECK(one.ended.calls == 0);
    // The way is kept open meanwhile.
    CHECK(one.said().size() >= 3);
    one.it->resume();
    for (int i = 0; i < 4; ++i)
        one.pass(1000ms);
    CHECK(one.it->is_open());
    // From then on it counts again.
    for (int i = 0; i < 60 && one.ended.calls == 0; ++i)
        one.pass(1000ms);
    CHECK_FALSE(one.it->is_open());
    CHECK((one.ended.error == errc::pong_timeout || one.ended.error == errc::idle_timeout));
}

TEST_CASE(
    "a peer that took its leave while the reading was paused is found out afterwards, with all it said") {
    running one;
    one.it->pause();
    const bool closes = GENERATE(true, false);
    one.peer.send(one.frame(opcode::text, "last"));
    if (closes) one.peer.send(one.frame(opcode::close, close_payload(1001, "gone")));
    one.peer.close();
    one.run();
    one.pass(1000ms);
    CHECK(one.ended.calls == 0);
    CHECK(one.got.empty());
    one.it->resume();
    one.run();
    CHECK(one.got == strings{"last"});
    REQUIRE(one.it->result());
    CHECK(one.it->result()->was_clean == closes);
    if (closes) CHECK(one.it->result()->reason == "gone");
    CHECK(one.ended.calls == 1);
}

TEST_CASE("a transport that takes nothing is found out while the reading is paused") {
    connection_options options;
    options.timeouts = {.ping_interval = 10s, .pong = 5s, .idle = 0s, .write = 20s, .close = 5s};
    running one{options};
    one.it->stream().capacity(1);
    one.it->pause();
    for (int i = 0; i < 60 && one.ended.calls == 0; ++i)
        one.pass(1000ms);
    CHECK(one.ended.failed_with(errc::write_timeout));
}

TEST_CASE("closing ends the pause: what still comes is delivered, and the handshake comes to its end") {
    running one;
    one.it->pause();
    one.comes(opcode::text, "before");
    ending<> closed;
    const bool by_life = GENERATE(false, true);
    inside(one.io, [&] {
        if (by_life)
            CHECK_FALSE(one.it->close(close_code::normal, {}, close_how::at_once));
        else
            one.it->async_close(closed.handler());
    });
    CHECK_FALSE(one.it->is_paused());
    CHECK(one.got == strings{"before"});
    one.comes(opcode::text, "after");
    one.comes(opcode::close, close_payload(1000));
    one.peer.close();
    one.run();
    CHECK(one.got == strings{"before", "after"});
    CHECK(one.ended.well());
    if (!by_life) CHECK(closed.well());
    // There is nothing left to pause.
    one.it->pause();
    CHECK_FALSE(one.it->is_paused());
    one.it->resume();
}

TEST_CASE("a connection that is not open yet cannot be paused") {
    unopened one;
    one.it->pause();
    CHECK_FALSE(one.it->is_paused());
    one.it->resume();
    one.ask();
}

TEST_CASE("a paused connection may be aborted, destroyed and left to its context") {
    const auto how = GENERATE(values({0, 1, 2, 3}));
    auto one = std::make_unique<running>();
    one->then = [&] { one->it->pause(); };
    one->peer.send(one->frame(opcode::text, "1") + one->frame(opcode::text, "2"));
    one->run();
    one->comes(opcode::text, "3");
    CHECK(one->got == strings{"1"});
    switch (how) {
    case 0:
        one->it->abort();
        one->run();
        CHECK(one->ended.failed_with(errc::aborted));
        one->it->resume();
        one->run();
        break;
    case 1:
        one->it.reset();
        one->run();
        CHECK(one->ended.failed_with(errc::aborted));
        break;
    case 2:
        one->it->resume();
        one->it.reset();
        one->run();
        break;
    default: break;
    }
    CHECK(one->got == strings{"1"});
}

TEST_CASE("a pause between a resume and what that brings holds") {
    running one;
    one.it->pause();
    one.comes(opcode::text, "a");
    one.it->resume();
    one.it->pause();
    one.run();
    one.pass(1000ms);
    CHECK(one.got.empty());
    one.comes(opcode::text, "b");
    CHECK(one.got.empty());
    one.it->resume();
    one.run();
    CHECK(one.got == strings{"a", "b"});
}

TEST_CASE("a run whose callback throws after it has paused ends its connection") {
    running one;
    one.then = [&] {
        one.it->pause();
        throw std::runtime_error{"callback"};
    };
    one.peer.send(one.frame(opcode::text, "1") + one.frame(opcode::text, "2"));
    CHECK_THROWS_AS(one.run(), std::runtime_error);
    one.run();
    CHECK_FALSE(one.it->is_open());
    CHECK(one.got == strings{"1"});
    one.peer.close();
    one.run();
    CHECK(one.ended.failed_with(errc::callback_threw));
}

namespace {

/// A peer that sends all it can to a connection that reads nothing is stopped by the system's buffers.
template <class Stream>
void flow_control() {
    socket_fixture<Stream> one{{}, 10'000};
    one.open();
    std::size_t got = 0;
    ending<> run;
    one.it->async_run([&](const message& m) { got += m.bytes().size(); }, run.handler());
    one.io.restart();
    one.io.poll();
    one.it->pause();
    one.peer.non_blocking(true);
    octets wire;
    const octets text(1000, 't');
    for (int i = 0; i < 8000; ++i)
        wire += frame_bytes(role::client, opcode::binary, text);
    std::string_view rest = wire;
    const auto send_what_fits = [&] {
        for (std::error_code error; !rest.empty() && !error;) {
            const auto size = one.peer.write_some(asio::buffer(rest), error);
            rest.remove_prefix(size);
            one.io.restart();
            one.io.poll();
        }
    };
    send_what_fits();
    CHECK(got == 0);
    REQUIRE_FALSE(rest.empty());
    const auto stuck_at = rest.size();
    for (int i = 0; i < 10; ++i)
        send_what_fits();
    CHECK(rest.size() == stuck_at);
    CHECK(accepted(one.it->send("still sends")));
    one.io.restart();
    one.io.poll();
    CHECK(one.receive(13) == frame_bytes(role::server, opcode::text, "still sends"));
    one.it->resume();
    while (!rest.empty() || got < 8'000'000) {
        send_what_fits();
        one.io.restart();
        one.io.poll();
    }
    CHECK(got == 8'000'000);
    // Paused again, it leaves nothing behind that runs.
    one.it->pause();
    one.it.reset();
    run_until(one.io, [&] { return run.calls != 0; });
    one.io.restart();
    one.io.run();
}

} // namespace

TEST_CASE("a paused socket stops its sender, and resumes where it was") {
    SECTION("Asio's socket") { flow_control<asio_socket>(); }
    SECTION("a socket in the poll set") { flow_control<tcp_socket>(); }
    SECTION("a unix socket") { flow_control<local_socket>(); }
}
