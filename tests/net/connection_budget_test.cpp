#include <duplex/net/connection.hpp>

// Connections that share a budget: peers that stop reading, or never end a message, and every end.

#include "support/sockets.hpp"

#include <duplex/net/tcp_socket.hpp>

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <system_error>
#include <thread>
#include <utility>

using namespace duplex;
using namespace duplex::testing;
using namespace std::chrono_literals;

namespace {

constexpr std::size_t granule = budget::granule;
constexpr std::size_t KiB = 1024;

/// A turn's bytes are 4 KiB.
[[nodiscard]] budget small_budget(std::size_t handshakes = 10) {
    return budget{{.send_bytes = 64 * KiB, .receive_bytes = 64 * KiB, .handshakes = handshakes}};
}

[[nodiscard]] connection_options sharing(const budget& all, overflow when_full = overflow::fail) {
    connection_options options = without_deadlines();
    options.budget = all;
    options.when_full = when_full;
    return options;
}

[[nodiscard]] octets bytes(std::size_t size) { return octets(size, 'x'); }

/// A connection that is run, whose peer reads nothing at first.
struct stuck : scripted {
    explicit stuck(const connection_options& options)
        : scripted{role::server, options} {
        open();
        it->stream().capacity(1);
        it->async_run([this](const message&) { ++received; }, ended.handler());
        run();
    }
    send_status send(std::size_t size) {
        const auto status = it->send(view(bytes(size)));
        run();
        return status;
    }
    /// The peer reads all there is.
    void let_go() {
        it->stream().capacity(0);
        (void)peer.take_pending();
        run();
        (void)peer.take_pending();
    }

    int received = 0;
    ending<> ended;
};

/// The first part of a frame that announces more.
[[nodiscard]] octets half_of_a_message(std::size_t size) {
    return frame_bytes(role::client, opcode::binary, bytes(size), {.announce_more = size});
}

} // namespace

TEST_CASE("what a peer does not read counts in the budget until it is read") {
    const auto all = small_budget();
    stuck s{sharing(all)};
    CHECK(all.use() == budget_use{});
    REQUIRE(accepted(s.send(3000)));
    CHECK(all.use().send_bytes == granule);
    REQUIRE(accepted(s.send(6000)));
    CHECK(all.use().send_bytes == 3 * granule);
    s.let_go();
    CHECK(all.use() == budget_use{});
    REQUIRE(accepted(s.send(3000)));
    CHECK(all.use() == budget_use{});
}

TEST_CASE("what one peer does not read leaves nothing for the others, until it goes") {
    const auto all = small_budget();
    std::optional<stuck> one{std::in_place, sharing(all)};
    REQUIRE(accepted(one->send(60 * KiB)));
    CHECK(one->send(5000) == send_status::queue_full);
    stuck two{sharing(all)};
    // What the transport takes at once needs none of it.
    two.it->stream().capacity(0);
    REQUIRE(accepted(two.send(4000)));
    two.it->stream().capacity(1);
    REQUIRE(accepted(two.send(100)));
    CHECK(two.send(5000) == send_status::queue_full);
    CHECK(two.it->is_open());
    SECTION("it reads") { one->let_go(); }
    SECTION("it is cut") {
        inside(one->io, [&] { one->it->abort(); });
    }
    SECTION("its connection is destroyed") { one.reset(); }
    CHECK(accepted(two.send(5000)));
    two.let_go();
    CHECK(all.use() == budget_use{});
}

TEST_CASE("everything goes back in every end of a connection") {
    const auto all = small_budget();
    auto options = sharing(all);
    options.timeouts.write = 5s;
    options.timeouts.close = 5s;
    std::optional<stuck> s{std::in_place, options};
    const auto handle = s->it->handle();
    REQUIRE(accepted(s->send(10'000)));
    s->peer.send(half_of_a_message(10'000));
    s->run();
    REQUIRE(all.use().send_bytes >= 2 * granule);
    REQUIRE(all.use().receive_bytes >= 2 * granule);
    SECTION("the peer is gone") { s->peer.close(); }
    SECTION("the peer's direction ends") { s->peer.shutdown_send(); }
    SECTION("the peer breaks the protocol") {
        s->peer.send(bytes(10'000) + octets(100, '\xFF'));
        s->run();
        s->pass(6s);
    }
    SECTION("aborted") {
        inside(s->io, [&] { s->it->abort(); });
    }
    SECTION("no progress") { s->pass(6s); }
    SECTION("a Close that never leaves") {
        REQUIRE_FALSE(s->it->close());
        s->pass(6s);
        s->pass(6s);
    }
    SECTION("destroyed") { s->it.reset(); }
    SECTION("moved, and destroyed there") {
        {
            const memory_connection taken{*std::move(s->it)};
            s->it.reset();
            s->run();
            CHECK(all.use().send_bytes >= 2 * granule);
        }
    }
    SECTION("another is put in its place") {
        auto ends = test::make_stream_pair(s->io);
        *s->it = memory_connection{std::move(ends.first), sharing(all)};
    }
    s->run();
    (void)s->peer.take_pending();
    s->run();
    CHECK(all.use() == budget_use{});
    CHECK_FALSE(handle.is_open());
    CHECK(s->ended.calls == 1);
}

TEST_CASE("with the context goes what its connections had") {
    const auto all = small_budget();
    {
        stuck s{sharing(all)};
        REQUIRE(accepted(s.send(10'000)));
        s.peer.send(half_of_a_message(10'000));
        s.run();
        std::thread{[&] { (void)s.it->handle().send(view(bytes(6000))); }}.join();
        CHECK(all.use().send_bytes >= 4 * granule);
    }
    CHECK(all.use() == budget_use{});
}

TEST_CASE("a sender who waits goes on when others have given back") {
    const auto all = small_budget();
    stuck one{sharing(all)};
    REQUIRE(accepted(one.send(60 * KiB)));
    stuck two{sharing(all, overflow::wait)};
    ending<> sent;
    ending<> next;
    two.it->async_send(bytes(6000), sent.handler());
    two.it->async_send(bytes(10), next.handler());
    two.run();
    two.pass(1s);
    CHECK(sent.calls == 0);
    CHECK(two.it->buffered_amount() == 0);
    one.let_go();
    two.it->stream().capacity(0);
    two.pass(500ms);
    CHECK(sent.well());
    CHECK(next.well());
    const auto said = two.said();
    REQUIRE(said.size() == 2);
    CHECK(said[0].second.size() == 6000);
    CHECK(said[1].second.size() == 10);
    CHECK(all.use() == budget_use{});
}

TEST_CASE("who was told to wait is told when to try again") {
    const auto all = small_budget();
    stuck one{sharing(all)};
    REQUIRE(accepted(one.send(60 * KiB)));
    scripted two{role::server, sharing(all, overflow::wait)};
    two.open();
    int low_water = 0;
    struct noting {
        int& low_water;
        void on_message(const message&) const {}
        void on_low_water() const { ++low_water; }
    };
    ending<> ended;
    two.it->async_run(noting{low_water}, ended.handler());
    two.run();
    inside(two.io, [&] { CHECK(two.it->send(view(bytes(6000))) == send_status::would_wait); });
    CHECK(low_water == 0);
    two.pass(500ms);
    CHECK(low_water == 1);
    two.pass(5s);
    CHECK(low_water == 1);
}

TEST_CASE("messages from other threads count on their way") {
    const auto all = small_budget();
    std::optional<stuck> s{std::in_place, sharing(all)};
    const auto handle = s->it->handle();
    int taken = 0;
    std::thread{[&] {
        while (taken < 1000 && accepted(handle.send(view(bytes(1000)))))
            ++taken;
    }}.join();
    // A turn's bytes, and all of the budget.
    CHECK(taken >= 63);
    CHECK(taken <= 70);
    CHECK(all.use().send_bytes > 62 * KiB);
    CHECK(all.use().send_bytes <= 64 * KiB);
    SECTION("they get there") {
        s->it->stream().capacity(0);
        s->run();
        (void)s->peer.take_pending();
        s->run();
        CHECK(static_cast<int>(s->it->buffered_amount()) == 0);
    }
    SECTION("they are stuck there") {
        s->run();
        CHECK(all.use().send_bytes >= s->it->buffered_amount());
        s->let_go();
    }
    SECTION("they go with the connection") { s.reset(); }
    CHECK(all.use() == budget_use{});
}

TEST_CASE("a message for which nothing is left ends its connection with 1013") {
    const auto all = small_budget();
    stuck one{sharing(all)};
    one.peer.send(half_of_a_message(30'000));
    one.run();
    const auto before = all.use().receive_bytes;
    REQUIRE(before > 30'000);
    stuck two{sharing(all)};
    two.it->stream().capacity(0);
    for (int i = 0; i < 12 && two.it->is_open(); ++i)
        two.comes(i == 0 ? opcode::binary : opcode::continuation, bytes(5000), {.fin = false});
    two.peer.shutdown_send();
    two.run();
    CHECK(two.ended.failed_with(errc::budget_full));
    CHECK(two.said() == said_frames{{8, close_payload(1013)}});
    CHECK(all.use().receive_bytes == before);
    // The one that has it goes on.
    one.peer.send(bytes(30'000));
    one.run();
    CHECK(one.received == 1);
    CHECK(all.use() == budget_use{});
}

TEST_CASE("a message stays as long as it is looked at, and not longer") {
    const auto all = small_budget();
    scripted s{role::server, sharing(all)};
    s.open();
    octets whole = half_of_a_message(20'000);
    SECTION("in a callback that ends the connection") {
        ending<> ended;
        octets seen;
        s.it->async_run(
            [&](const message& m) {
                s.it->abort();
                CHECK(all.use().receive_bytes >= 40'000);
                seen = m.text();
            },
            ended.handler());
        s.peer.send(whole);
        s.run();
        s.peer.send(octets(20'000, 'x'));
        s.run();
        CHECK(seen.size() == 40'000);
        CHECK(ended.calls == 1);
    }
    SECTION("in a batch") {
        ending<message_batch<test::stream>> read;
        s.it->async_read_batch(read.handler());
        s.peer.send(whole);
        s.run();
        s.peer.send(octets(20'000, 'x'));
        s.run();
        REQUIRE(read.well());
        CHECK(all.use().receive_bytes >= 40'000);
        inside(s.io, [&] { s.it->abort(); });
        CHECK(all.use().receive_bytes >= 40'000);
        inside(s.io, [&] { std::get<0>(read.values) = {}; });
    }
    SECTION("given away") {
        read_ending read;
        s.it->async_read(read.handler());
        s.peer.send(whole);
        s.run();
        s.peer.send(octets(20'000, 'x'));
        s.run();
        CHECK(read.text().size() == 40'000);
    }
    CHECK(all.use() == budget_use{});
}

// --- handshakes ---

TEST_CASE("a connection takes its place while it is opened") {
    const auto all = small_budget(1);
    std::optional<unopened> first{std::in_place, sharing(all)};
    CHECK(all.use().handshakes == 0);
    first->ask();
    CHECK(all.use().handshakes == 1);
    unopened second{sharing(all)};
    ending<> opened;
    second.it->async_accept(opened.handler());
    CHECK(opened.calls == 0);
    second.run();
    CHECK(opened.failed_with(errc::budget_full));
    CHECK(second.peer.pending().empty());
    ending<> done;
    SECTION("until it is open") {
        first->it->async_accept(done.handler());
        first->run();
        CHECK(done.well());
    }
    SECTION("until it is refused, and the answer read") {
        first->it->async_reject(403, {}, "no", done.handler());
        first->run();
        CHECK(done.failed_with(errc::request_rejected));
        CHECK(all.use().handshakes == 1);
        first->peer.close();
        first->run();
    }
    SECTION("until it is aborted") {
        inside(first->io, [&] { first->it->abort(); });
    }
    SECTION("until it is gone") { first.reset(); }
    CHECK(all.use().handshakes == 0);
    unopened third{sharing(all)};
    third.ask();
}

TEST_CASE("a client takes one, too") {
    const auto all = small_budget(1);
    unopened first{sharing(all)};
    ending<> shaken;
    first.it->async_handshake(uri_of("ws://localhost/"), shaken.handler());
    first.run();
    CHECK(all.use().handshakes == 1);
    unopened second{sharing(all)};
    ending<> none;
    second.it->async_handshake(uri_of("ws://localhost/"), none.handler());
    second.run();
    CHECK(none.failed_with(errc::budget_full));
    first.peer.send(answer_to(first.peer.take_pending()));
    first.run();
    CHECK(shaken.well());
    CHECK(all.use().handshakes == 0);
}

TEST_CASE("a place that was taken before counts for the connection") {
    const auto all = small_budget(1);
    auto place = all.begin_handshake();
    REQUIRE(place);
    unopened first{sharing(all)};
    first.it->count_handshake(std::move(place));
    CHECK(all.use().handshakes == 1);
    first.ask();
    ending<> opened;
    first.it->async_accept(opened.handler());
    first.run();
    CHECK(opened.well());
    CHECK(all.use().handshakes == 0);
    // Too late: it is open.
    first.it->count_handshake(all.begin_handshake());
    CHECK(all.use().handshakes == 0);
}

// --- sockets ---

TEMPLATE_TEST_CASE("a socket whose peer stops reading is charged, and one that writes at once is not", "",
                   tcp_socket, local_socket) {
    const budget all{{.send_bytes = 1 << 20U}};
    connection_options options = sharing(all);
    options.limits.queue_bytes = 64U << 20U;
    socket_fixture<TestType> s{options, 4096};
    s.open();
    ending<> ended;
    s.it->async_run([](const message&) {}, ended.handler());
    const auto turn = [&] {
        bool over = false;
        asio::post(s.io, [&] { asio::post(s.io, [&] { over = true; }); });
        run_until(s.io, [&] { return over; });
    };
    REQUIRE(accepted(s.it->send(view(bytes(100)))));
    turn();
    CHECK(all.use() == budget_use{});
    (void)s.receive(102);
    std::size_t sent = 0;
    for (int i = 0; i < 10'000; ++i) {
        if (!accepted(s.it->send(view(bytes(10'000))))) break;
        sent += 10'004;
        turn();
    }
    // The system keeps some, and the budget the rest.
    CHECK(sent >= all.limits().send_bytes - 2 * 10'004);
    CHECK(all.use().send_bytes <= all.limits().send_bytes);
    CHECK(all.use().send_bytes >= s.it->buffered_amount());
    CHECK(s.it->send(view(bytes(10'000))) == send_status::queue_full);
    SECTION("read") {
        std::thread reading{[&] { (void)s.receive(sent); }};
        run_until(s.io, [&] { return s.it->buffered_amount() == 0; });
        reading.join();
    }
    SECTION("reset") {
        s.peer.close();
        run_until(s.io, [&] { return ended.calls != 0; });
    }
    SECTION("destroyed") {
        s.it.reset();
        run_until(s.io, [&] { return ended.calls != 0; });
    }
    CHECK(all.use() == budget_use{});
}
