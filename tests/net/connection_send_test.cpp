#include <duplex/net/connection.hpp>

#include "support/any_role.hpp"
#include "support/connected.hpp"

#include <asio/bind_cancellation_slot.hpp>
#include <asio/cancellation_signal.hpp>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

using namespace duplex;
using namespace duplex::testing;
using namespace std::chrono_literals;

namespace {

byte_buffer buffer_of(std::string_view text) {
    byte_buffer made;
    REQUIRE(made.append(view(text)));
    return made;
}

/// Does it inside the context or outside of it, where it takes the way of another thread.
template <class F>
void do_it(scripted& one, bool from_inside, F what) {
    if (from_inside) return inside(one.io, what);
    what();
    one.run();
}

bool inside_or_not() { return GENERATE(values({0, 1})) == 1; }

} // namespace

TEST_CASE("every kind of send arrives, in order and in one write a turn") {
    scripted one{any_role()};
    one.open();
    const bool from_inside = inside_or_not();
    const auto writes = one.it->stream().writes();
    const auto prepared = prepared_message::text("prepared");
    do_it(one, from_inside, [&] {
        CHECK(one.it->send("text") == send_status::ok);
        CHECK(one.it->send(view("binary")) == send_status::ok);
        CHECK(one.it->send(opcode::text, buffer_of("owned")) == send_status::ok);
        CHECK(one.it->send(prepared) == send_status::ok);
        CHECK(one.it->send(prepared_message::binary(view("bytes"))) == send_status::ok);
        const message copied{opcode::text, view("copied")};
        CHECK(one.it->send(copied) == send_status::ok);
        CHECK(one.it->send(message{opcode::binary, buffer_of("moved")}) == send_status::ok);
        CHECK(one.it->handle().send("by handle") == send_status::ok);
        CHECK(one.it->handle().send(opcode::binary, buffer_of("owned, by handle")) == send_status::ok);
        CHECK(one.it->send("") == send_status::ok);
        CHECK(one.peer.pending().empty());
    });
    CHECK(one.said() == said_frames{{1, "text"},
                                    {2, "binary"},
                                    {1, "owned"},
                                    {1, "prepared"},
                                    {2, "bytes"},
                                    {1, "copied"},
                                    {2, "moved"},
                                    {1, "by handle"},
                                    {2, "owned, by handle"},
                                    {1, ""}});
    CHECK(one.it->stream().writes() == writes + 1);
}

TEST_CASE("of what was sent from outside all that was accepted arrives, up to the limit") {
    const auto size = GENERATE(values<std::size_t>({0, 1, 10, 100, 3000}));
    const bool with_prepared = GENERATE(false, true);
    CAPTURE(size, with_prepared);
    connection_options options = without_deadlines();
    options.limits.queue_bytes = 20'000;
    scripted one{any_role(), options};
    one.open();
    const std::string text(size, 'x');
    const auto prepared = prepared_message::text(text);
    for (int round = 0; round < 3; ++round) {
        std::size_t taken = 0;
        auto status = send_status::ok;
        while (taken < 100'000) {
            status = with_prepared ? one.it->send(prepared) : one.it->send(text);
            if (!accepted(status)) break;
            ++taken;
        }
        CHECK(status == send_status::queue_full);
        CHECK(taken * (size + 2) <= 20'000 + 2 * (size + 14));
        one.run();
        CHECK(one.it->is_open());
        CHECK(one.said().size() == taken);
    }
}

TEST_CASE("what was sent from outside goes before what is sent from inside later") {
    scripted one{any_role()};
    one.open();
    const bool made_before = GENERATE(values({0, 1})) == 1;
    const auto prepared = prepared_message::text("2");
    asio::post(one.io, [&] { made_before ? one.it->send(prepared) : one.it->send("2"); });
    one.it->send("1");
    one.run();
    CHECK(one.said() == said_frames{{1, "1"}, {1, "2"}});
}

TEST_CASE("large messages arrive whole whatever the writes take") {
    scripted one{any_role()};
    one.open();
    one.it->stream().write_limit(GENERATE(values<std::size_t>({0, 777, 20'000})));
    const bool from_inside = inside_or_not();
    const std::string large(200'000, 'x');
    const auto prepared = prepared_message::text(large);
    do_it(one, from_inside, [&] {
        CHECK(one.it->send("small") == send_status::ok);
        CHECK(one.it->send(large) == send_status::ok);
        CHECK(one.it->send(opcode::binary, buffer_of(large)) == send_status::ok);
        CHECK(one.it->send(prepared) == send_status::ok);
        CHECK(one.it->send("end") == send_status::ok);
    });
    CHECK(one.said() == said_frames{{1, "small"}, {1, large}, {2, large}, {1, large}, {1, "end"}});
}

TEST_CASE("a refused message says why and stays the caller's") {
    connection_options options;
    options.limits.queue_watermark = 1000;
    options.limits.queue_bytes = 3000;
    scripted one{any_role(), options};
    one.open();
    one.it->stream().capacity(1);
    const bool from_inside = inside_or_not();
    ending<> refused;
    do_it(one, from_inside, [&] {
        CHECK(one.it->send("\xC3") == send_status::text_not_utf8);
        CHECK(one.it->send(prepared_message::text("\xC3")) == send_status::text_not_utf8);
        CHECK(one.it->send(prepared_message{}) == send_status::opcode_not_data);
        CHECK(one.it->send(opcode::ping, view("ping")) == send_status::opcode_not_data);
        CHECK(one.it->ping(view(std::string(126, 'p'))) == send_status::control_payload_too_long);
        CHECK(one.it->send(std::string(2000, 'a')) == send_status::above_watermark);
        CHECK(one.it->buffered_amount() >= 2000);
        CHECK(one.it->send(std::string(500, 'b')) == send_status::above_watermark);
        CHECK(one.it->send(std::string(600, 'c')) == send_status::queue_full);
        message refused_message{opcode::text, buffer_of(std::string(600, 'd'))};
        CHECK(one.it->send(std::move(refused_message)) == send_status::queue_full);
        CHECK(refused_message.text() == std::string(600, 'd'));
        CHECK(refused_message.is_text());
        auto received = message::received(opcode::text, buffer_of(std::string(600, 'd')));
        CHECK(one.it->send(std::move(received)) == send_status::queue_full);
        CHECK(received.text() == std::string(600, 'd'));
        CHECK(received.checked() == text_is::utf8);
        auto buffer = buffer_of(std::string(600, 'e'));
        CHECK(one.it->send(opcode::binary, std::move(buffer)) == send_status::queue_full);
        CHECK(buffer.size() == 600);
        one.it->async_send(std::string(600, 'f'), refused.handler());
        CHECK(refused.calls == 0);
    });
    CHECK(refused.failed_with(errc::queue_full));
    octets wire;
    for (octets some; !(some = one.peer.take_pending()).empty(); one.run())
        wire += some;
    const auto frames = read_frames(wire);
    REQUIRE(frames);
    REQUIRE(frames->size() == 2);
    CHECK(one.it->buffered_amount() == 0);
    ending<> not_utf8;
    do_it(one, from_inside, [&] { one.it->async_send("\xC3", not_utf8.handler()); });
    CHECK(not_utf8.failed_with(errc::text_not_utf8));
}

TEST_CASE("a message of any size is accepted into an empty queue") {
    connection_options options;
    options.limits.queue_bytes = 10;
    scripted one{any_role(), options};
    one.open();
    const bool from_inside = inside_or_not();
    do_it(one, from_inside, [&] {
        CHECK(accepted(one.it->send(std::string(1000, 'a'))));
        CHECK(one.it->send("b") == send_status::queue_full);
    });
    CHECK(one.said() == said_frames{{1, std::string(1000, 'a')}});
}

TEST_CASE("text is not looked at where that is switched off, or where it was received") {
    connection_options options;
    options.check_outgoing_text = GENERATE(values({0, 1})) == 1;
    scripted one{any_role(), options};
    one.open();
    const bool from_inside = inside_or_not();
    do_it(one, from_inside, [&] {
        const std::string_view text = "\xC3";
        CHECK(accepted(options.check_outgoing_text ? one.it->send(message::received(opcode::text, view(text)))
                                                   : one.it->send(text)));
    });
    CHECK(one.said() == said_frames{{1, "\xC3"}});
}

TEST_CASE("a message for which there is not so much memory is refused") {
    scripted one{any_role()};
    one.open();
    const bool from_inside = inside_or_not();
    // The payload is not looked at before its memory is there.
    // Not a constant: the compiler would see through it, and warn of a copy that is never made.
    const volatile std::size_t no_such_size = SIZE_MAX / 2;
    const std::byte first{};
    const std::span<const std::byte> endless{&first, no_such_size};
    ending<> sent;
    do_it(one, from_inside, [&] {
        CHECK(one.it->send(endless) == send_status::out_of_memory);
        one.it->async_send(opcode::binary, endless, sent.handler());
        CHECK(one.it->send("small") == send_status::ok);
    });
    CHECK(sent.failed_with(errc::out_of_memory));
    CHECK(one.said() == said_frames{{1, "small"}});
}

TEST_CASE("buffered_amount counts what is sent inside a callback at once") {
    scripted one{any_role()};
    one.open();
    ending<> run;
    int sent = 0;
    one.it->async_run(
        [&](const message&) {
            while (one.it->buffered_amount() < 1000 && sent < 100) {
                one.it->send(std::string(100, 'x'));
                ++sent;
            }
        },
        run.handler());
    one.comes(opcode::text, "go");
    CHECK(sent == 10);
    CHECK(one.it->buffered_amount() == 0);
}

TEST_CASE("async_send completes when the transport has taken the message") {
    scripted one{any_role()};
    one.open();
    one.it->stream().capacity(10);
    const bool from_inside = inside_or_not();
    std::array<ending<>, 3> sent;
    do_it(one, from_inside, [&] {
        for (auto& each : sent)
            one.it->async_send("0123456789", each.handler());
        CHECK(sent[0].calls == 0);
    });
    octets wire;
    std::size_t done = 0;
    while (done < 3 && wire.size() < 100) {
        CHECK((done == 3 || sent[done].calls == 0));
        wire += one.peer.take_pending();
        one.run();
        // Not before its last byte was taken: 12 bytes a frame from a server, 16 from a client.
        const auto taken = wire.size() + one.peer.pending().size();
        const auto frame = one.self == role::server ? 12U : 16U;
        done = 0;
        while (done < 3 && sent[done].calls == 1)
            ++done;
        CHECK(done == taken / frame);
    }
    for (const auto& each : sent)
        CHECK(each.well());
}

TEST_CASE("a cancelled async_send stops waiting and the message still goes") {
    scripted one{any_role()};
    one.open();
    one.it->stream().capacity(1);
    const bool from_inside = inside_or_not();
    asio::cancellation_signal signal;
    ending<> sent;
    do_it(one, from_inside, [&] {
        one.it->async_send("still goes", asio::bind_cancellation_slot(signal.slot(), sent.handler()));
    });
    signal.emit(asio::cancellation_type::total);
    one.run();
    CHECK(sent.failed_with(asio::error::operation_aborted));
    one.it->stream().capacity(0);
    one.run();
    CHECK(one.said() == said_frames{{1, "still goes"}});
    CHECK(sent.calls == 1);
}

TEST_CASE("what was sent before a failure still goes, and is reported as sent") {
    scripted one{any_role()};
    one.open();
    one.it->stream().capacity(1);
    ending<message> read;
    ending<> begun;
    ending<> queued;
    ending<> drained;
    one.it->async_read(read.handler());
    one.it->async_send("begun", begun.handler());
    one.run();
    one.it->async_send("queued", queued.handler());
    one.run();
    inside(one.io, [&] { one.it->async_drain(drained.handler()); });
    one.comes(opcode::text, "\xff");
    CHECK(read.failed_with(errc::invalid_utf8));
    octets wire;
    for (octets some; !(some = one.peer.take_pending()).empty(); one.run())
        wire += some;
    const auto frames = read_frames(wire);
    REQUIRE(frames);
    REQUIRE(frames->size() == 3);
    CHECK(frames->at(1).payload == "queued");
    CHECK(frames->back().op == 8);
    CHECK(begun.well());
    CHECK(queued.well());
    CHECK(drained.well());
    ending<> late;
    inside(one.io, [&] { one.it->async_send("late", late.handler()); });
    one.peer.shutdown_send();
    one.run();
    CHECK(late.failed_with(errc::not_open));
}

TEST_CASE("sends that are under way when the transport breaks end with its error") {
    scripted one{any_role()};
    one.open();
    one.it->stream().capacity(1);
    const bool from_inside = inside_or_not();
    std::array<ending<>, 2> sent;
    ending<> drained;
    do_it(one, from_inside, [&] {
        for (auto& each : sent)
            one.it->async_send("lost", each.handler());
        one.it->async_drain(drained.handler());
    });
    one.peer.close();
    one.run();
    CHECK(sent[0].failed_with(asio::error::broken_pipe));
    CHECK(sent[1].failed_with(asio::error::broken_pipe));
    CHECK(drained.failed_with(asio::error::broken_pipe));
    CHECK(one.it->buffered_amount() == 0);
    ending<> late;
    do_it(one, from_inside, [&] { one.it->async_send("late", late.handler()); });
    CHECK(late.failed_with(errc::not_open));
}

TEST_CASE("async_drain completes when everything has left") {
    scripted one{any_role()};
    one.open();
    ending<> at_once;
    one.it->async_drain(at_once.handler());
    CHECK(at_once.calls == 0);
    one.run();
    CHECK(at_once.well());
    one.it->stream().capacity(1);
    one.it->send("drop by drop");
    ending<> drained;
    one.it->async_drain(drained.handler());
    one.run();
    CHECK(drained.calls == 0);
    asio::cancellation_signal signal;
    ending<> cancelled;
    one.it->async_drain(asio::bind_cancellation_slot(signal.slot(), cancelled.handler()));
    signal.emit(asio::cancellation_type::partial);
    one.run();
    CHECK(cancelled.failed_with(asio::error::operation_aborted));
    one.it->stream().capacity(0);
    one.run();
    CHECK(drained.well());
    one.it->abort();
    ending<> late;
    one.it->async_drain(late.handler());
    one.run();
    CHECK(late.failed_with(errc::aborted));
}

TEST_CASE("async_ping tells the time from writing to the pong") {
    scripted one{any_role()};
    one.open();
    ending<> run;
    one.it->async_run([](const message&) {}, run.handler());
    ending<std::chrono::nanoseconds> first;
    ending<std::chrono::nanoseconds> second;
    one.it->async_ping(first.handler());
    one.run();
    one.pass(1000ms);
    one.it->async_ping(second.handler());
    one.run();
    one.pass(2000ms);
    const auto pings = one.said();
    REQUIRE(pings.size() == 2);
    CHECK(pings[0].first == 9);
    CHECK(first.calls + second.calls == 0);

    SECTION("each of its own") {
        one.comes(opcode::pong, pings[0].second);
        CHECK(std::get<0>(first.values) == 3000ms);
        CHECK(second.calls == 0);
        one.pass(500ms);
        one.comes(opcode::pong, pings[1].second);
        CHECK(std::get<0>(second.values) == 2500ms);
    }
    SECTION("the answer to the latest answers the earlier ones") { one.comes(opcode::pong, pings[1].second); }
    SECTION("other pongs answer nothing") {
        one.comes(opcode::pong, "");
        one.comes(opcode::pong, "unasked!");
        one.comes(opcode::pong, pings[1].second + "?");
        CHECK(first.calls + second.calls == 0);
        one.comes(opcode::pong, pings[1].second);
    }
    CHECK(first.well());
    CHECK(second.well());
    CHECK(run.calls == 0);
}

TEST_CASE("a pong that comes before its ping has left tells no time") {
    scripted one{any_role()};
    one.open();
    one.it->stream().capacity(1);
    ending<> run;
    one.it->async_run([](const message&) {}, run.handler());
    one.it->send("still on its way");
    one.run();
    ending<std::chrono::nanoseconds> ping;
    one.it->async_ping(ping.handler());
    one.run();
    one.pass(1000ms);
    // The peer guesses the ping's number.
    one.comes(opcode::pong, std::string(7, '\0') + '\1');
    CHECK(ping.well());
    CHECK(std::get<0>(ping.values) == 0ns);
}

TEST_CASE("a callback's pings leave with what it sends, and overtake it") {
    scripted one{any_role()};
    one.open();
    ending<> run;
    ending<std::chrono::nanoseconds> ping;
    one.it->async_run(
        [&](const message& m) {
            one.it->send(m);
            CHECK(one.it->ping(view("p")) == send_status::ok);
            one.it->async_ping(ping.handler());
        },
        run.handler());
    const auto writes = one.it->stream().writes();
    one.comes(opcode::text, "m");
    CHECK(one.it->stream().writes() == writes + 1);
    const auto said = one.said();
    REQUIRE(said.size() == 3);
    CHECK(said[0] == said_frames::value_type{9, "p"});
    CHECK(said[2] == said_frames::value_type{1, "m"});
    one.comes(opcode::pong, said[1].second);
    CHECK(ping.well());
}

TEST_CASE("async_ping ends with the connection, or when it is cancelled") {
    scripted one{any_role()};
    one.open();
    asio::cancellation_signal signal;
    ending<std::chrono::nanoseconds> cancelled;
    ending<std::chrono::nanoseconds> cut;
    one.it->async_ping(asio::bind_cancellation_slot(signal.slot(), cancelled.handler()));
    one.it->async_ping(cut.handler());
    one.run();
    signal.emit(asio::cancellation_type::terminal);
    one.run();
    CHECK(cancelled.failed_with(asio::error::operation_aborted));
    one.it->abort();
    one.run();
    CHECK(cut.failed_with(errc::aborted));
    ending<std::chrono::nanoseconds> late;
    one.it->async_ping(late.handler());
    one.run();
    CHECK(late.failed_with(errc::not_open));
}

TEST_CASE("a ping overtakes queued messages") {
    scripted one{any_role()};
    one.open();
    const bool from_inside = inside_or_not();
    one.it->stream().capacity(1);
    do_it(one, from_inside, [&] {
        one.it->send("first");
        one.it->send("second");
        CHECK(one.it->ping(view("p")) == send_status::ok);
    });
    one.it->stream().capacity(0);
    one.run();
    const auto said = one.said();
    REQUIRE(said.size() == 3);
    CHECK(said[2].second == "second");
}

TEST_CASE("a flood of pings is answered within bounds") {
    scripted one{any_role()};
    one.open();
    one.it->stream().capacity(1);
    ending<> run;
    one.it->async_run([](const message&) {}, run.handler());
    octets flood;
    for (int i = 0; i < 1000; ++i)
        flood += one.frame(opcode::ping, std::to_string(i) + std::string(100, 'p'));
    one.peer.send(flood);
    one.run();
    CHECK(one.it->buffered_amount() < 5000);
    one.it->stream().capacity(0);
    one.run();
    const auto said = one.said();
    REQUIRE_FALSE(said.empty());
    CHECK(said.back().second.starts_with("999p"));
}
