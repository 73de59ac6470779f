// The race over the system's sockets, on the loopback interface.

#include <duplex/net/detail/connect_race.hpp>

#include "support/catch.hpp"
#include "support/hanging_port.hpp"
#include "support/no_descriptors_left.hpp"

#include <duplex/test/manual_time.hpp>

#include <asio/any_io_executor.hpp>
#include <asio/bind_cancellation_slot.hpp>
#include <asio/bind_executor.hpp>
#include <asio/buffer.hpp>
#include <asio/cancellation_signal.hpp>
#include <asio/io_context.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/read.hpp>
#include <asio/strand.hpp>
#include <asio/thread_pool.hpp>
#include <asio/use_future.hpp>
#include <asio/write.hpp>

#if defined(ASIO_HAS_CO_AWAIT)
#include <asio/co_spawn.hpp>
#include <asio/use_awaitable.hpp>
#endif

#include <fcntl.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <exception>
#include <future>
#include <memory>
#include <optional>
#include <system_error>
#include <utility>
#include <vector>

namespace {

using namespace duplex;
using namespace duplex::testing;
using namespace std::chrono_literals;
using tcp = asio::ip::tcp;
using duplex::detail::async_connect_race;
using duplex::detail::connect_race_options;

using executor = asio::io_context::executor_type;
using plain_socket = asio::basic_stream_socket<tcp, executor>;
using plain_options = connect_race_options<plain_socket>;
using endpoints = std::vector<tcp::endpoint>;

const asio::ip::address four = asio::ip::address_v4::loopback();
const asio::ip::address six = asio::ip::address_v6::loopback();

/// A port that refuses: it was somebody's a moment ago.
[[nodiscard]] tcp::endpoint refusing_port(asio::io_context& io, const asio::ip::address& at = four) {
    const tcp::acceptor gone{io, tcp::endpoint{at, 0}};
    return gone.local_endpoint();
}

/// Whether there is IPv6 on this machine.
[[nodiscard]] bool has_v6(asio::io_context& io) {
    std::error_code error;
    tcp::acceptor trial{io};
    trial.open(tcp::v6(), error);
    if (!error) trial.bind({six, 0}, error);
    return !error;
}

/// What a race completed with, and the descriptors of its sockets.
struct fixture {
    asio::io_context io;
    std::optional<test::manual_time> time{io};
    tcp::acceptor acceptor{io, tcp::endpoint{four, 0}};
    asio::cancellation_signal signal;
    std::vector<int> sockets;
    std::shared_ptr<int> racing = std::make_shared<int>(); ///< shared by what races
    int calls = 0;
    std::error_code error = std::make_error_code(std::errc::operation_in_progress);
    plain_socket winner{io};

    [[nodiscard]] plain_options noting() {
        plain_options made;
        made.prepare = [this, mark = racing](plain_socket& socket) {
            sockets.push_back(socket.native_handle());
            return std::error_code{};
        };
        return made;
    }
    void start(endpoints found) { start(std::move(found), noting()); }
    void start(endpoints found, plain_options with) {
        async_connect_race<plain_socket>(
            io.get_executor(), std::move(found), std::move(with),
            asio::bind_cancellation_slot(signal.slot(), [this](std::error_code how, plain_socket socket) {
                ++calls;
                error = how;
                winner = std::move(socket);
            }));
        CHECK(calls == 0);
    }
    void poll() {
        io.restart();
        io.poll();
    }
    /// Until the race is over.
    void run() {
        io.restart();
        while (calls == 0)
            REQUIRE(io.run_one() == 1);
    }
    [[nodiscard]] static bool open(int descriptor) { return ::fcntl(descriptor, F_GETFD) != -1; }
    void check_won(const tcp::endpoint& by) {
        CHECK(calls == 1);
        CHECK_FALSE(error);
        REQUIRE(winner.is_open());
        CHECK(winner.remote_endpoint() == by);
        for (const int each : sockets)
            CHECK(open(each) == (each == winner.native_handle()));
        check_silent();
    }
    void check_lost(std::error_code with) {
        CHECK(calls == 1);
        CHECK(error == with);
        CHECK_FALSE(winner.is_open());
        for (const int each : sockets)
            CHECK_FALSE(open(each));
        check_silent();
    }
    /// Nothing is under way any more: the context has nothing left to run.
    void check_silent() {
        io.restart();
        io.run();
        time->advance(1h);
        poll();
        CHECK(calls == 1);
    }
};

} // namespace

TEST_CASE("connects, and the connection works") {
    fixture f;
    f.start({f.acceptor.local_endpoint()});
    f.run();
    auto peer = f.acceptor.accept();
    std::array<char, 4> bytes{};
    asio::write(f.winner, asio::buffer("ping", 4));
    asio::read(peer, asio::buffer(bytes));
    CHECK(bytes == std::array{'p', 'i', 'n', 'g'});
    asio::write(peer, asio::buffer("pong", 4));
    asio::read(f.winner, asio::buffer(bytes));
    CHECK(bytes == std::array{'p', 'o', 'n', 'g'});
    f.check_won(f.acceptor.local_endpoint());
}

TEST_CASE("passes over ports that refuse, without waiting") {
    fixture f;
    const endpoints found{refusing_port(f.io), refusing_port(f.io), f.acceptor.local_endpoint()};
    f.start(found);
    f.run();
    CHECK(f.sockets.size() == 3);
    f.check_won(f.acceptor.local_endpoint());
}

TEST_CASE("passes over an address that hangs once its delay is over") {
    fixture f;
    const hanging_port hanging{f.io};
    f.start({hanging.endpoint(), f.acceptor.local_endpoint()});
    f.poll();
    f.time->advance(99ms);
    f.poll();
    CHECK(f.calls == 0);
    CHECK(f.sockets.size() == 1);
    f.time->advance(500ms);
    f.run();
    CHECK(f.sockets.size() == 2);
    f.check_won(f.acceptor.local_endpoint());
}

TEST_CASE("the clock itself passes over an address that hangs") {
    fixture f;
    asio::io_context io;
    const hanging_port hanging{io};
    std::optional<std::error_code> result;
    async_connect_race<plain_socket>(io.get_executor(), {hanging.endpoint(), f.acceptor.local_endpoint()},
                                     plain_options{},
                                     [&](std::error_code error, plain_socket) { result = error; });
    // It ends only if the attempt that hangs is given up.
    io.run();
    CHECK(result == std::error_code{});
}

TEST_CASE("one address that hangs among those that refuse decides when the race is over") {
    fixture f;
    const hanging_port hanging{f.io};
    f.start({hanging.endpoint(), refusing_port(f.io), refusing_port(f.io)});
    f.time->advance(600ms);
    f.poll();
    CHECK(f.sockets.size() == 3);
    CHECK(f.calls == 0);
    f.signal.emit(asio::cancellation_type::terminal);
    f.run();
    f.check_lost(asio::error::operation_aborted);
}

TEST_CASE("tells why the first address could not be connected to") {
    fixture f;
    SECTION("it refuses") {
        f.start({refusing_port(f.io), refusing_port(f.io)});
        f.run();
        CHECK(f.sockets.size() == 2);
        f.check_lost(asio::error::connection_refused);
    }
    SECTION("there is none") {
        f.start({});
        f.run();
        f.check_lost(asio::error::not_found);
    }
    SECTION("no descriptor is left") {
        f.time->advance(0s);
        {
            const no_descriptors_left none;
            f.start({f.acceptor.local_endpoint(), f.acceptor.local_endpoint()});
        }
        f.run();
        f.check_lost(asio::error::no_descriptors);
    }
    SECTION("no descriptor is left for the second") {
        f.start({refusing_port(f.io), f.acceptor.local_endpoint()});
        {
            const no_descriptors_left none;
            f.run();
        }
        f.check_lost(asio::error::connection_refused);
    }
}

TEST_CASE("takes the family that answers") {
    fixture f;
    if (!has_v6(f.io)) return;
    tcp::acceptor on_six{f.io, {six, 0}};
    SECTION("IPv6 refuses") {
        f.start({refusing_port(f.io, six), refusing_port(f.io, six), f.acceptor.local_endpoint()});
        f.run();
        // The other family had its turn before the second one.
        CHECK(f.sockets.size() == 2);
        f.check_won(f.acceptor.local_endpoint());
    }
    SECTION("IPv6 hangs") {
        const hanging_port hanging{f.io, six};
        f.start({hanging.endpoint(), hanging.endpoint(), f.acceptor.local_endpoint()});
        f.time->advance(600ms);
        f.run();
        CHECK(f.sockets.size() == 2);
        f.check_won(f.acceptor.local_endpoint());
    }
    SECTION("IPv4 hangs") {
        const hanging_port hanging{f.io};
        f.start({hanging.endpoint(), on_six.local_endpoint()});
        f.time->advance(600ms);
        f.run();
        f.check_won(on_six.local_endpoint());
    }
    SECTION("both, and the first is taken") {
        f.start({on_six.local_endpoint(), f.acceptor.local_endpoint()});
        f.run();
        CHECK(f.sockets.size() == 1);
        f.check_won(on_six.local_endpoint());
    }
    SECTION("neither, and the first one's error is told") {
        f.start({refusing_port(f.io, six), refusing_port(f.io)});
        f.run();
        f.check_lost(asio::error::connection_refused);
    }
}

TEST_CASE("connects from the local address") {
    fixture f;
    auto with = f.noting();
    const endpoints found{{six, 1}, f.acceptor.local_endpoint()};
#if defined(__linux__)
    SECTION("that was asked for") {
        with.local_address = asio::ip::make_address("127.0.0.7");
        f.start(found, with);
        f.run();
        CHECK(f.sockets.size() == 1);
        REQUIRE_FALSE(f.error);
        CHECK(f.winner.local_endpoint().address() == *with.local_address);
        f.check_won(f.acceptor.local_endpoint());
    }
#endif
    SECTION("unless this machine has no such address") {
        // RFC 5737: nobody's
        with.local_address = asio::ip::make_address("192.0.2.1");
        f.start(found, with);
        f.run();
        CHECK(f.error.value() == EADDRNOTAVAIL);
        f.check_lost(f.error);
    }
    SECTION("unless it is of another family than all addresses") {
        with.local_address = six;
        f.start({f.acceptor.local_endpoint()}, with);
        f.run();
        CHECK(f.sockets.empty());
        f.check_lost(asio::error::address_family_not_supported);
    }
}

TEST_CASE("sets options before it connects") {
    fixture f;
    plain_options with;
    with.prepare = [](plain_socket& socket) {
        std::error_code error;
        socket.set_option(tcp::no_delay{true}, error);
        return error;
    };
    f.start({refusing_port(f.io), f.acceptor.local_endpoint()}, with);
    f.run();
    REQUIRE_FALSE(f.error);
    tcp::no_delay set;
    f.winner.get_option(set);
    CHECK(set.value());
    f.check_won(f.acceptor.local_endpoint());
}

TEST_CASE("is cancelled in any state, and closes every socket") {
    fixture f;
    const hanging_port hanging{f.io};
    SECTION("one attempt hangs") { f.start({hanging.endpoint()}); }
    SECTION("several hang") {
        f.start({hanging.endpoint(), hanging.endpoint(), hanging.endpoint()});
        f.time->advance(600ms);
        f.poll();
        f.time->advance(600ms);
        f.poll();
        REQUIRE(f.sockets.size() == 3);
    }
    SECTION("the next is about to start") {
        f.start({hanging.endpoint(), f.acceptor.local_endpoint()});
        f.time->advance(600ms);
    }
    SECTION("it has just been started") { f.start({f.acceptor.local_endpoint()}); }
    f.signal.emit(asio::cancellation_type::terminal);
    f.run();
    f.check_lost(asio::error::operation_aborted);
}

TEST_CASE("whoever waits is told of a win at once, before anything else that waits to run") {
    fixture f;
    f.start({f.acceptor.local_endpoint()});
    while (f.racing.use_count() != 1)
        REQUIRE(f.io.run_one() == 1);
    CHECK(f.calls == 1);
    f.check_won(f.acceptor.local_endpoint());
}

TEST_CASE("goes with its context in any state") {
    auto io = std::make_unique<asio::io_context>();
    test::manual_time time{*io};
    auto hanging = std::make_unique<hanging_port>(*io);
    auto acceptor = std::make_unique<tcp::acceptor>(*io, tcp::endpoint{four, 0});
    const auto held = std::make_shared<int>();
    const auto racing = std::make_shared<int>();
    bool called = false;
    std::vector<int> sockets;
    const auto start = [&](endpoints found) {
        plain_options with;
        with.prepare = [&sockets, racing](plain_socket& socket) {
            sockets.push_back(socket.native_handle());
            return std::error_code{};
        };
        async_connect_race<plain_socket>(io->get_executor(), std::move(found), std::move(with),
                                         [held, &called](std::error_code, plain_socket) { called = true; });
    };
    SECTION("one attempt hangs") { start({hanging->endpoint()}); }
    SECTION("several hang") {
        start({hanging->endpoint(), hanging->endpoint(), hanging->endpoint()});
        time.advance(600ms);
        io->poll();
        REQUIRE(sockets.size() == 2);
    }
    SECTION("the next is about to start") {
        start({hanging->endpoint(), acceptor->local_endpoint()});
        time.advance(600ms);
    }
    SECTION("it is connected, which is not yet known") { start({acceptor->local_endpoint()}); }
    SECTION("it has failed, which is not yet known") {
        start({refusing_port(*io), acceptor->local_endpoint()});
    }
    SECTION("it has lost before it began") { start({}); }
    hanging.reset();
    acceptor.reset();
    io.reset();
    CHECK_FALSE(called);
    CHECK(held.use_count() == 1);
    CHECK(racing.use_count() == 1);
    for (const int each : sockets)
        CHECK_FALSE(fixture::open(each));
}

TEST_CASE("races that are stopped before their context runs leave nothing behind") {
    for (int round = 0; round < 20; ++round) {
        asio::io_context io;
        const hanging_port hanging{io};
        for (int each = 0; each < 10; ++each)
            async_connect_race<plain_socket>(io.get_executor(), {hanging.endpoint(), hanging.endpoint()},
                                             plain_options{}, [](std::error_code, plain_socket) { FAIL(); });
        io.poll();
    }
}

TEST_CASE("completes with any token, on any executor") {
    asio::io_context io;
    tcp::acceptor acceptor{io, {four, 0}};
    const endpoints found{refusing_port(io), acceptor.local_endpoint()};
    SECTION("a future") {
        auto future =
            async_connect_race<plain_socket>(io.get_executor(), found, plain_options{}, asio::use_future);
        io.run();
        CHECK(future.get().is_open());
    }
    SECTION("a future that fails") {
        auto future =
            async_connect_race<plain_socket>(io.get_executor(), {}, plain_options{}, asio::use_future);
        io.run();
        CHECK_THROWS_AS(future.get(), std::system_error);
    }
    SECTION("a type-erased executor") {
        using socket = asio::basic_stream_socket<tcp, asio::any_io_executor>;
        bool open = false;
        async_connect_race<socket>(asio::any_io_executor{io.get_executor()}, found,
                                   connect_race_options<socket>{},
                                   [&](std::error_code, const socket& won) { open = won.is_open(); });
        io.run();
        CHECK(open);
    }
    SECTION("a strand, and the handler has another") {
        using strand = asio::strand<executor>;
        using socket = asio::basic_stream_socket<tcp, strand>;
        const auto own = asio::make_strand(io);
        const auto other = asio::make_strand(io);
        bool open = false;
        bool there = false;
        connect_race_options<socket> with;
        with.prepare = [&](socket&) {
            there = true;
            return std::error_code{};
        };
        async_connect_race<socket>(own, found, std::move(with),
                                   asio::bind_executor(other, [&](std::error_code, const socket& won) {
                                       open = won.is_open();
                                       CHECK(other.running_in_this_thread());
                                   }));
        io.run();
        CHECK(open);
        CHECK(there);
    }
#if defined(ASIO_HAS_CO_AWAIT)
    SECTION("a coroutine") {
        bool open = false;
        const auto client = [&]() -> asio::awaitable<void> {
            const auto won = co_await async_connect_race<plain_socket>(io.get_executor(), found,
                                                                       plain_options{}, asio::use_awaitable);
            open = won.is_open();
        };
        std::exception_ptr failed;
        asio::co_spawn(io, client(), [&](std::exception_ptr with) { failed = with; });
        io.run();
        CHECK(open);
        CHECK_FALSE(failed);
    }
#endif
}

TEST_CASE("many races on a strand each, with several threads and the clock") {
    asio::io_context io;
    tcp::acceptor acceptor{io, {four, 0}};
    const hanging_port hanging{io};
    const endpoints found{hanging.endpoint(), acceptor.local_endpoint()};
    using strand = asio::strand<executor>;
    using socket = asio::basic_stream_socket<tcp, strand>;
    std::vector<std::future<socket>> results;
    for (int i = 0; i < 20; ++i)
        results.push_back(async_connect_race<socket>(asio::make_strand(io), found,
                                                     connect_race_options<socket>{}, asio::use_future));
    asio::thread_pool threads{3};
    for (int i = 0; i < 3; ++i)
        asio::post(threads, [&] { io.run(); });
    threads.join();
    for (auto& each : results)
        CHECK(each.get().is_open());
}
