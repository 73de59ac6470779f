#include <duplex/net/connection.hpp>

#include "support/connected.hpp"

#include <asio/awaitable.hpp>
#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/use_awaitable.hpp>

#include <array>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <utility>

using namespace duplex;
using namespace duplex::testing;
using namespace std::chrono_literals;

namespace {

/// What a connection may be doing when it goes.
enum class doing {
    nothing,
    reading_request,
    looking_at_request,
    refusing,
    shaking,
    open,
    reading,
    reading_batch,
    holding_batch,
    running,
    writing,
    closing,
    closing_and_reading,
    answered_close,
    failed,
};

doing each_state() {
    return GENERATE(values(
        {doing::nothing, doing::reading_request, doing::looking_at_request, doing::refusing, doing::shaking,
         doing::open, doing::reading, doing::reading_batch, doing::holding_batch, doing::running,
         doing::writing, doing::closing, doing::closing_and_reading, doing::answered_close, doing::failed}));
}

/// All that a connection may be waited for with, counted.
struct endings {
    ending<> opening;
    ending<message> read;
    ending<memory_connection::batch_type> batch;
    ending<> run;
    ending<> sent;
    ending<> drained;
    ending<std::chrono::nanoseconds> ping;
    ending<> closed;
    int started = 0;

    [[nodiscard]] int completed() const {
        return opening.calls + read.calls + batch.calls + run.calls + sent.calls + drained.calls +
               ping.calls + closed.calls;
    }
    [[nodiscard]] bool none_twice() const {
        return opening.calls <= 1 && read.calls <= 1 && batch.calls <= 1 && run.calls <= 1 &&
               sent.calls <= 1 && drained.calls <= 1 && ping.calls <= 1 && closed.calls <= 1;
    }
};

/// A handler that keeps something alive.
template <class Handler>
auto keeping(std::shared_ptr<void> what, Handler handler) {
    return [what = std::move(what), handler = std::move(handler)](auto&&... args) mutable {
        handler(std::forward<decltype(args)>(args)...);
    };
}

/// Brings `it` into a state. Every handler keeps `held`.
struct situation {
    asio::io_context& io;
    memory_connection& it;
    test::stream& peer;
    role self;
    endings& ends;
    std::shared_ptr<void> held;

    octets frame(opcode op, std::string_view payload) const {
        return frame_bytes(peer_of(self), op, payload);
    }

    void bring(doing what) {
        switch (what) {
        case doing::nothing: return;
        case doing::reading_request:
        case doing::looking_at_request:
            it.async_read_request(keeping(held, ends.opening.handler()));
            ++ends.started;
            if (what == doing::looking_at_request) peer.send(plain_request);
            run_ready(io);
            return;
        case doing::refusing:
            it.async_accept(keeping(held, ends.opening.handler()));
            ++ends.started;
            peer.send("nonsense\r\n\r\n");
            run_ready(io);
            return;
        case doing::shaking:
            it.async_handshake(uri_of("ws://localhost/"), keeping(held, ends.opening.handler()));
            ++ends.started;
            run_ready(io);
            return;
        default: break;
        }
        open();
        use(what);
        run_ready(io);
    }

private:
    void open() {
        ++ends.started;
        if (self == role::server) {
            it.async_accept(keeping(held, ends.opening.handler()));
            peer.send(plain_request);
        } else {
            it.async_handshake(uri_of("ws://localhost/"), keeping(held, ends.opening.handler()));
            run_ready(io);
            peer.send(answer_to(peer.take_pending()));
        }
        run_ready(io);
        REQUIRE(ends.opening.well());
        static_cast<void>(peer.take_pending());
    }

    void use(doing what) {
        if (what == doing::reading || what == doing::closing_and_reading) {
            it.async_read(keeping(held, ends.read.handler()));
            ++ends.started;
        }
        if (what == doing::reading_batch || what == doing::holding_batch) {
            it.async_read_batch(keeping(held, ends.batch.handler()));
            ++ends.started;
        }
        if (what == doing::holding_batch) peer.send(frame(opcode::text, "a") + frame(opcode::text, "b"));
        if (what == doing::running || what == doing::answered_close || what == doing::failed) {
            it.async_run([](const message&) {}, keeping(held, ends.run.handler()));
            ++ends.started;
        }
        if (what == doing::writing) {
            it.stream().capacity(1);
            it.async_send("abc", keeping(held, ends.sent.handler()));
            it.async_drain(keeping(held, ends.drained.handler()));
            it.async_ping(keeping(held, ends.ping.handler()));
            ends.started += 3;
        }
        if (what == doing::closing || what == doing::closing_and_reading) {
            it.async_close(keeping(held, ends.closed.handler()));
            ++ends.started;
        }
        if (what == doing::answered_close) peer.send(frame(opcode::close, close_payload(1000)));
        if (what == doing::failed) peer.send(from_hex("ff ff"));
    }
};

bool fits(doing what, role self) {
    const bool servers =
        what == doing::reading_request || what == doing::looking_at_request || what == doing::refusing;
    return self == role::server ? what != doing::shaking : !servers;
}

} // namespace

TEST_CASE("a connection that is destroyed in any state completes what is pending once") {
    const auto self = GENERATE(values({role::server, role::client}));
    const auto what = each_state();
    if (!fits(what, self)) return;
    CAPTURE(self, what);
    endings ends;
    const auto held = std::make_shared<int>();
    {
        asio::io_context io;
        test::manual_time time{io};
        auto pair = test::make_stream_pair(io);
        std::optional<memory_connection> it{std::in_place, std::move(pair.first)};
        situation{io, *it, pair.second, self, ends, held}.bring(what);
        const auto handle = it->handle();
        const bool in_handler = GENERATE(values({0, 1})) == 1;
        if (in_handler)
            inside(io, [&] { it.reset(); });
        else
            it.reset();
        CHECK_FALSE(handle.is_open());
        run_ready(io);
        // What still has a closing handshake to carry ends at its deadline.
        for (int i = 0; i < 12; ++i) {
            time.advance(1000ms);
            run_ready(io);
        }
        CHECK(ends.completed() == ends.started);
        CHECK(ends.none_twice());
        std::get<0>(ends.batch.values) = {};
        static_cast<void>(pair.second.take_pending());
        ending<std::size_t> at_end;
        std::array<char, 1> byte{};
        pair.second.async_read_some(asio::buffer(byte), at_end.handler());
        run_ready(io);
        CHECK(at_end.failed_with(asio::error::eof));
        CHECK(held.use_count() == 1);
    }
}

TEST_CASE("a context that is destroyed in any state destroys the handlers and calls none") {
    const auto self = GENERATE(values({role::server, role::client}));
    const auto what = each_state();
    if (!fits(what, self)) return;
    CAPTURE(self, what);
    endings ends;
    const auto held = std::make_shared<int>();
    int completed = 0;
    std::optional<asio::io_context> io{std::in_place};
    const bool by_hand = GENERATE(values({0, 1})) == 1;
    std::optional<test::manual_time> time;
    if (by_hand) time.emplace(*io);
    {
        // The connection lives in its own handlers, and the peer with it.
        struct both {
            memory_connection it;
            test::stream peer;
            std::shared_ptr<int> held;
        };
        auto pair = test::make_stream_pair(*io);
        const auto owner = std::make_shared<both>(
            both{memory_connection{std::move(pair.first)}, std::move(pair.second), held});
        situation{*io, owner->it, owner->peer, self, ends, owner}.bring(what);
        // One from another thread's way, and one posted, are still under way.
        owner->it.async_send("not yet there", keeping(owner, [&](std::error_code) { ++completed; }));
        asio::post(*io, [owner] {});
        completed = ends.completed();
    }
    CHECK(held.use_count() == 2);
    // A batch keeps memory, not the connection; it is gone before the context.
    std::get<0>(ends.batch.values) = {};
    io.reset();
    CHECK(ends.completed() == completed);
    CHECK(held.use_count() == 1);
}

TEST_CASE("what is begun while the context goes away goes with it") {
    const auto held = std::make_shared<int>();
    std::optional<asio::io_context> io{std::in_place};
    auto first = test::make_stream_pair(*io);
    auto second = test::make_stream_pair(*io);
    // Connections are told in turn, and the last one's handler starts something on the other.
    memory_connection other{std::move(first.first)};
    memory_connection last{std::move(second.first)};
    endings ends;
    int begun = 0;
    const auto begin = [&](void*) {
        ++begun;
        other.async_accept(keeping(held, ends.run.handler()));
    };
    last.async_accept(keeping(std::shared_ptr<void>{&ends, begin}, ends.opening.handler()));
    run_ready(*io);
    CHECK(begun == 0);
    io.reset();
    CHECK(begun == 1);
    CHECK(ends.completed() == 0);
    CHECK(held.use_count() == 1);
}

TEST_CASE("a connection is destroyed by the handler of any operation") {
    const auto self = GENERATE(values({role::server, role::client}));
    const auto which = GENERATE(range(0, 8));
    CAPTURE(self, which);
    scripted one{self};
    int calls = 0;
    const auto destroy = [&](auto&&...) {
        ++calls;
        one.it.reset();
    };
    if (which == 0) {
        if (self == role::server) {
            one.it->async_accept(destroy);
            one.peer.send(plain_request);
        } else {
            one.it->async_handshake(uri_of("ws://localhost/"), destroy);
            one.run();
            one.peer.send(answer_to(one.peer.take_pending()));
        }
        one.run();
        CHECK(calls == 1);
        return;
    }
    one.open();
    ending<> other;
    if (which != 4) one.it->async_drain(other.handler());
    if (which == 1) one.it->async_read(destroy);
    if (which == 2) one.it->async_read_batch(destroy);
    if (which == 3) one.it->async_send("sent", destroy);
    if (which == 4) one.it->async_drain(destroy);
    if (which == 5) one.it->async_close(destroy);
    if (which == 6) one.it->async_ping(destroy);
    if (which == 7) one.it->async_run([](const message&) {}, destroy);
    one.run();
    if (which == 6) {
        const auto said = one.said();
        REQUIRE(said.size() == 1);
        ending<message> read;
        one.it->async_read(read.handler());
        one.comes(opcode::pong, said[0].second);
        CHECK(read.failed_with(errc::aborted));
    }
    if (calls == 0) one.peer.send(one.frame(opcode::text, "a") + one.frame(opcode::text, "b"));
    one.run();
    if (which == 5 || which == 7) {
        one.comes(opcode::close, close_payload(1000));
        one.peer.close();
        one.run();
    }
    CHECK(calls == 1);
    CHECK_FALSE(one.it);
    one.run();
    CHECK(calls == 1);
}

#if defined(ASIO_HAS_CO_AWAIT)
namespace {

asio::awaitable<void> converse(memory_connection it, bool server, std::shared_ptr<int>, int* last) {
    // g++ 12 wants what a coroutine passes on in variables.
    auto token = asio::use_awaitable;
    if (server)
        co_await it.async_accept(token);
    else
        co_await it.async_handshake(uri_of("ws://localhost/"), token);
    ++*last;
    for (;;) {
        auto got = co_await it.async_read(token);
        co_await it.async_send(got.text(), token);
        ++*last;
    }
}

} // namespace

TEST_CASE("a context that is destroyed takes the coroutines with it that hold connections") {
    const auto steps = GENERATE(range<std::size_t>(0, 24));
    CAPTURE(steps);
    const auto held = std::make_shared<int>();
    int at_server = 0;
    int at_client = 0;
    {
        asio::io_context io;
        auto pair = test::make_stream_pair(io);
        asio::co_spawn(io, converse(memory_connection{std::move(pair.first)}, true, held, &at_server),
                       asio::detached);
        asio::co_spawn(io, converse(memory_connection{std::move(pair.second)}, false, held, &at_client),
                       asio::detached);
        for (std::size_t i = 0; i < steps; ++i)
            io.poll_one();
        CHECK(held.use_count() == 3);
    }
    CHECK(held.use_count() == 1);
    CHECK(at_server <= 1);
}
#endif
