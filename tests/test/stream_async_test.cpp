#include <duplex/test/stream.hpp>

#include "stream_fixture.hpp"
#include "support/catch.hpp"
#include "support/tokens.hpp"

#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>
#include <asio/bind_cancellation_slot.hpp>
#include <asio/bind_executor.hpp>
#include <asio/cancellation_signal.hpp>
#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/strand.hpp>
#include <asio/use_awaitable.hpp>
#include <asio/use_future.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <thread>
#include <type_traits>
#include <utility>

using duplex::test::make_stream_pair;
using duplex::test::run_ready;
using duplex::test::stream;
using duplex::testing::deferred;
using stream_fixture::fixture;
using stream_fixture::outcome;
using stream_fixture::reading;

namespace {

struct usage {
    int allocations = 0;
    int live = 0;
};

/// `Size` bytes more of it are copied with each of its copies.
template <class T, std::size_t Size = 1>
struct counting_allocator {
    using value_type = T;
    template <class U>
    struct rebind {
        using other = counting_allocator<U, Size>;
    };

    explicit counting_allocator(usage& counts) noexcept
        : used(&counts) {}
    template <class U>
    counting_allocator(const counting_allocator<U, Size>& other) noexcept
        : used(other.used) {}

    [[nodiscard]] T* allocate(std::size_t n) {
        ++used->allocations;
        ++used->live;
        return std::allocator<T>().allocate(n);
    }
    void deallocate(T* memory, std::size_t n) {
        --used->live;
        std::allocator<T>().deallocate(memory, n);
    }
    template <class U>
    bool operator==(const counting_allocator<U, Size>& other) const noexcept {
        return used == other.used;
    }

    usage* used;
    std::array<std::byte, Size> more{};
};

template <std::size_t Size, std::size_t Alignment>
struct alignas(Alignment) allocating_handler {
    using allocator_type = counting_allocator<void, Size>;
    [[nodiscard]] allocator_type get_allocator() const noexcept { return allocator_type(*used); }
    void operator()(std::error_code, std::size_t) const { *live_in_call = used->live; }
    usage* used;
    int* live_in_call;
};

} // namespace

TEST_CASE_METHOD(fixture, "destroys either end with operations pending") {
    here.capacity(1);
    here.send("x");
    read.start(here);
    here.async_write_some(asio::buffer("y", 1), write.handler());
    SECTION("its own are aborted") {
        { const auto gone = std::move(here); }
        CHECK(read.calls + write.calls == 0);
        run_ready(context);
        CHECK((read.calls == 1 && read.error == asio::error::operation_aborted));
        CHECK((write.calls == 1 && write.error == asio::error::operation_aborted));
        CHECK(there.pending() == "x");
    }
    SECTION("the peer's end") {
        { const auto gone = std::move(there); }
        CHECK(read.calls + write.calls == 0);
        run_ready(context);
        CHECK((read.calls == 1 && read.error == asio::error::eof));
        CHECK((write.calls == 1 && write.error == asio::error::broken_pipe));
    }
    SECTION("both, before anything runs") {
        { const auto gone = std::move(ends); }
        run_ready(context);
        CHECK((read.calls == 1 && read.error));
        CHECK((write.calls == 1 && write.error));
    }
}

TEST_CASE("frees a waiting handler that owns its stream when the context ends") {
    const auto alive = std::make_shared<int>(0);
    int calls = 0;
    {
        asio::io_context context;
        auto ends = make_stream_pair(context);
        auto owner = std::make_shared<stream>(std::move(ends.first));
        auto memory = std::make_shared<std::array<char, 8>>();
        owner->async_read_some(asio::buffer(*memory),
                               [&calls, owner, memory, alive](std::error_code, std::size_t) { ++calls; });
        owner.reset();
        auto peer = std::make_shared<stream>(std::move(ends.second));
        peer->async_read_some(asio::buffer(*memory),
                              [&calls, peer, memory, alive](std::error_code, std::size_t) { ++calls; });
        run_ready(context);
        CHECK(alive.use_count() == 3);
    }
    CHECK(alive.use_count() == 1);
    CHECK(calls == 0);
}

TEST_CASE("outlives its context once nothing is pending") {
    std::optional<std::pair<stream, stream>> ends;
    {
        asio::io_context context;
        ends.emplace(make_stream_pair(context));
        ends->first.async_read_some(asio::mutable_buffer(), [](std::error_code, std::size_t) {});
        ends->first.async_write_some(asio::buffer("x", 1), [](std::error_code, std::size_t) {});
    }
    CHECK(ends->second.pending() == "x");
}

TEST_CASE("forgets the ends of many pairs on one context") {
    asio::io_context context;
    auto kept = make_stream_pair(context);
    reading read;
    read.start(kept.first);
    for (int i = 0; i < 1000; ++i) {
        auto [a, b] = make_stream_pair(context);
        a.send("x");
        CHECK(b.pending() == "x");
    }
    kept.second.send("kept");
    run_ready(context);
    CHECK(read.text() == "kept");
}

TEST_CASE_METHOD(fixture, "takes a move-only handler") {
    std::string seen;
    here.async_read_some(asio::buffer(read.memory),
                         [&, own = std::make_unique<std::string>("own")](std::error_code, std::size_t n) {
                             seen = *own + " " + std::string(read.memory.data(), n);
                         });
    there.async_write_some(asio::buffer("one", 3),
                           [own = std::make_unique<int>(1)](std::error_code, std::size_t) {});
    run_ready(context);
    CHECK(seen == "own one");
}

TEST_CASE_METHOD(fixture, "completes futures") {
    auto read_future = here.async_read_some(asio::buffer(read.memory), asio::use_future);
    auto write_future = there.async_write_some(asio::buffer("four", 4), asio::use_future);
    run_ready(context);
    REQUIRE(read_future.wait_for(std::chrono::seconds(0)) == std::future_status::ready);
    CHECK(read_future.get() == 4);
    CHECK(write_future.get() == 4);

    auto failing = here.async_read_some(asio::buffer(read.memory), asio::use_future);
    there.close();
    run_ready(context);
    CHECK_THROWS_AS(failing.get(), std::system_error);
}

TEST_CASE_METHOD(fixture, "starts a deferred operation only when it is launched") {
    auto later = here.async_read_some(asio::buffer(read.memory), deferred);
    there.send("late");
    run_ready(context);
    CHECK(here.reads() == 0);
    auto moved = std::move(here); // a deferred operation belongs to the connection, not to the object
    std::move(later)(read.handler());
    run_ready(context);
    CHECK(read.text() == "late");
    CHECK(moved.reads() == 1);
}

#if defined(ASIO_HAS_CO_AWAIT)

TEST_CASE_METHOD(fixture, "is awaited, with the token given or as the stream's default") {
    std::string seen;
    asio::co_spawn(
        context,
        [&]() -> asio::awaitable<void> {
            const auto n = co_await here.async_read_some(asio::buffer(read.memory), asio::use_awaitable);
            seen.append(read.memory.data(), n);
            auto awaiting = asio::use_awaitable.as_default_on(std::move(here));
            const auto m = co_await awaiting.async_read_some(asio::buffer(read.memory));
            seen.append(read.memory.data(), m);
            co_await awaiting.async_write_some(asio::buffer("!", 1));
        },
        asio::detached);
    run_ready(context);
    there.send("one ");
    run_ready(context);
    there.send("two");
    run_ready(context);
    CHECK(seen == "one two");
    CHECK(there.pending() == "!");
}

TEST_CASE("frees a waiting coroutine when the context ends") {
    const auto alive = std::make_shared<int>(0);
    {
        asio::io_context context;
        auto ends = make_stream_pair(context);
        asio::co_spawn(
            context,
            [](stream own, std::shared_ptr<int>) -> asio::awaitable<void> {
                std::array<char, 4> memory{};
                co_await own.async_read_some(asio::buffer(memory), asio::use_awaitable);
            }(std::move(ends.first), alive),
            asio::detached);
        run_ready(context);
        CHECK(alive.use_count() == 2);
    }
    CHECK(alive.use_count() == 1);
}

#endif

template <std::size_t Size, std::size_t Alignment>
void allocates_once(bool aborted) {
    fixture one;
    usage used;
    int live_in_call = -1;
    one.here.async_read_some(asio::buffer(one.read.memory),
                             allocating_handler<Size, Alignment>{&used, &live_in_call});
    CHECK(used.allocations == 1);
    CHECK(used.live == 1);
    if (aborted) {
        one.here.close();
    } else {
        one.there.send("x");
        CHECK(used.live == 1);
    }
    run_ready(one.context);
    CHECK(live_in_call == 0);
    CHECK(used.allocations == 1);
    CHECK(used.live == 0);
}

TEST_CASE("allocates once, through the handler's allocator, and gives everything back before the call") {
    const bool aborted = GENERATE(false, true);
    allocates_once<1, alignof(void*)>(aborted);
    allocates_once<40, alignof(void*)>(aborted);
    allocates_once<1, 64>(aborted);
    allocates_once<100, 128>(aborted);
}

TEST_CASE("completes on the handler's executor and keeps both contexts at work meanwhile") {
    asio::io_context streams;
    asio::io_context handlers;
    auto [here, there] = make_stream_pair(streams);
    reading read;
    here.async_read_some(asio::buffer(read.memory), asio::bind_executor(handlers, read.handler()));
    streams.poll();
    handlers.poll();
    CHECK_FALSE(streams.stopped());
    CHECK_FALSE(handlers.stopped());
    there.send("x");
    streams.poll();
    CHECK(streams.stopped());
    CHECK(read.calls == 0);
    handlers.poll();
    CHECK(handlers.stopped());
    CHECK(read.text() == "x");
}

TEST_CASE("runs on type-erased executors and strands") {
    asio::io_context context;
    auto strand = asio::make_strand(context);
    auto [here, there] = make_stream_pair(asio::any_io_executor(context.get_executor()), strand);
    reading read;
    bool on_strand = false;
    there.async_write_some(asio::buffer("x", 1), [&](std::error_code, std::size_t) {
        on_strand = strand.running_in_this_thread();
    });
    here.async_read_some(asio::buffer(read.memory), asio::bind_executor(strand, read.handler()));
    run_ready(context);
    CHECK(on_strand);
    CHECK(read.text() == "x");
    static_assert(std::is_same_v<decltype(there.get_executor()), decltype(strand)>);
    CHECK(there.get_executor() == strand);
}

namespace {

/// Sends `total` bytes of a pattern and checks that as many of it come back the other way.
class exchange {
public:
    exchange(stream own, std::size_t total)
        : stream_(std::move(own))
        , total_(total) {
        stream_.capacity(1000);
        stream_.read_limit(700);
    }

    void start() {
        write();
        read();
    }

    [[nodiscard]] bool complete() const { return sent_ == total_ && got_ == total_ && right_ && eof_; }

private:
    [[nodiscard]] static char pattern(std::size_t at) { return static_cast<char>(at * 31 >> 3); }

    void write() {
        const auto count = std::min(out_.size(), total_ - sent_);
        if (count == 0) return stream_.shutdown_send();
        for (std::size_t i = 0; i < count; ++i) {
            out_[i] = pattern(sent_ + i);
        }
        stream_.async_write_some(asio::buffer(out_.data(), count),
                                 [this](std::error_code error, std::size_t n) {
                                     sent_ += n;
                                     if (!error) write();
                                 });
    }

    void read() {
        stream_.async_read_some(asio::buffer(in_), [this](std::error_code error, std::size_t n) {
            for (std::size_t i = 0; i < n; ++i) {
                right_ = right_ && in_[i] == pattern(got_ + i);
            }
            got_ += n;
            eof_ = error == asio::error::eof;
            if (!error) read();
        });
    }

    stream stream_;
    std::size_t total_;
    std::size_t sent_ = 0;
    std::size_t got_ = 0;
    bool right_ = true;
    bool eof_ = false;
    std::array<char, 1500> out_{};
    std::array<char, 900> in_{};
};

} // namespace

TEST_CASE("joins two contexts that run on two threads") {
    asio::io_context one{1};
    asio::io_context two{1};
    auto ends = make_stream_pair(one.get_executor(), two.get_executor());
    exchange first(std::move(ends.first), 1'000'000);
    exchange second(std::move(ends.second), 1'000'000);
    first.start();
    second.start();
    std::thread other([&] { two.run(); });
    one.run();
    other.join();
    CHECK(first.complete());
    CHECK(second.complete());
}

TEST_CASE("closes and cancels on one thread while the other thread works") {
    for (int round = 0; round < 200; ++round) {
        asio::io_context one{1};
        asio::io_context two{1};
        auto ends = make_stream_pair(one.get_executor(), two.get_executor());
        std::array<reading, 3> reads;
        reading peer;
        asio::cancellation_signal signal;
        reads[0].start(ends.first, 1);
        ends.first.async_read_some(asio::buffer(reads[1].memory, 1),
                                   asio::bind_cancellation_slot(signal.slot(), reads[1].handler()));
        reads[2].start(ends.first, 1);
        peer.start(ends.second);
        outcome write;
        std::thread other([&] {
            ends.second.async_write_some(asio::buffer("ab", 2), write.handler());
            two.run();
        });
        signal.emit(asio::cancellation_type::terminal);
        if (round % 2 == 0) {
            ends.first.close();
        } else {
            const auto gone = std::move(ends.first);
        }
        one.run();
        other.join();
        CHECK((reads[0].calls == 1 && reads[1].calls == 1 && reads[2].calls == 1));
        CHECK((peer.calls == 1 && peer.error == asio::error::eof));
        CHECK((write.calls == 1 && (!write.error || write.error == asio::error::broken_pipe)));
    }
}
