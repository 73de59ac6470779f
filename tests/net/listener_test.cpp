#include <duplex/net/listener.hpp>

#include "support/loopback.hpp"
#include "support/no_descriptors_left.hpp"

#include <duplex/test/manual_time.hpp>
#include <duplex/test/stream.hpp>

#include <asio/executor_work_guard.hpp>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

namespace {

using namespace duplex;
using namespace duplex::testing;

/// A listener that keeps what it accepts.
struct accepting {
    explicit accepting(asio::io_context& with)
        : io{with}
        , it{with.get_executor()} {}

    [[nodiscard]] std::error_code open(const listen_options& options = {}) { return it.open(options); }
    void start() {
        it.start([this](listener<>::socket_type&& socket) { sockets.push_back(std::move(socket)); },
                 [this](std::error_code error) { errors.push_back(error); });
    }
    [[nodiscard]] std::uint16_t port() const { return it.local_endpoint().port(); }
    /// Connects; the kernel does that without the listener.
    [[nodiscard]] tcp::socket connect(const asio::ip::address& to = asio::ip::address_v4::loopback()) const {
        tcp::socket socket{io};
        socket.connect({to, port()});
        return socket;
    }

    asio::io_context& io;
    listener<> it;
    std::vector<listener<>::socket_type> sockets;
    std::vector<std::error_code> errors;
};

TEST_CASE("accepts all connections that are waiting") {
    asio::io_context io;
    accepting here{io};
    REQUIRE_FALSE(here.open({.host = "127.0.0.1"}));
    CHECK(here.port() != 0);
    CHECK(here.it.local_endpoint().address() == asio::ip::address_v4::loopback());
    std::vector<tcp::socket> clients;
    // More than it takes in one turn.
    for (int i = 0; i < 150; ++i)
        clients.push_back(here.connect());
    here.start();
    // Somebody else is served in between.
    accepting there{io};
    REQUIRE_FALSE(there.open({.host = "127.0.0.1"}));
    const auto guest = there.connect();
    std::size_t accepted_before = clients.size();
    there.it.start([&](listener<>::socket_type&&) { accepted_before = here.sockets.size(); },
                   [](std::error_code) {});
    CHECK(here.sockets.empty());
    while (here.sockets.size() < clients.size())
        REQUIRE(io.run_one() == 1);
    CHECK(accepted_before < clients.size());
    // Each end has its counterpart.
    std::vector<std::uint16_t> theirs;
    for (const auto& socket : here.sockets)
        theirs.push_back(socket.remote_endpoint().port());
    for (const auto& client : clients)
        CHECK(std::count(theirs.begin(), theirs.end(), client.local_endpoint().port()) == 1);
    CHECK(here.errors.empty());
    here.it.close();
    there.it.close();
    run_out(io);
}

TEST_CASE("listens on IPv4 and IPv6 where no host is named") {
    asio::io_context io;
    accepting here{io};
    REQUIRE_FALSE(here.open());
    here.start();
    const auto four = here.connect();
    std::error_code without_ipv6;
    tcp::socket six{io};
    six.connect({asio::ip::address_v6::loopback(), here.port()}, without_ipv6);
    const std::size_t expected = without_ipv6 ? 1 : 2;
    run_until(io, [&] { return here.sockets.size() == expected; });
    if (!without_ipv6) CHECK(here.it.local_endpoint().address().is_v6());
    here.it.close();
    run_out(io);
}

TEST_CASE("listens only where it is told to") {
    asio::io_context io;
    accepting here{io};
    SECTION("on one IPv4 address") {
        REQUIRE_FALSE(here.open({.host = "127.0.0.1"}));
        CHECK(here.it.local_endpoint().address().is_v4());
        tcp::socket other{io};
        std::error_code error;
        other.connect({asio::ip::make_address("127.0.0.2"), here.port()}, error);
        CHECK(error == asio::error::connection_refused);
    }
    SECTION("on one IPv6 address") {
        const auto error = here.open({.host = "::1"});
        // Where the machine has it.
        if (!error) CHECK(here.it.local_endpoint().address() == asio::ip::address_v6::loopback());
    }
    SECTION("not on a name") {
        CHECK(here.open({.host = "localhost"}) == asio::error::invalid_argument);
        CHECK(here.open({.host = "127.0.0.1.5"}) == asio::error::invalid_argument);
        CHECK(here.open({.host = "256.0.0.1"}) == asio::error::invalid_argument);
        CHECK_FALSE(here.open({.host = "127.0.0.1"}));
    }
#if defined(__linux__)
    SECTION("not without a descriptor") {
        const auto host = GENERATE(values<std::string>({"", "127.0.0.1"}));
        {
            const no_descriptors_left none;
            CHECK(here.open({.host = host}) == asio::error::no_descriptors);
        }
        CHECK_FALSE(here.open({.host = host}));
    }
#endif
    SECTION("not where it may not") {
        // Of the network for documentation: no machine's own.
        CHECK(here.open({.host = "192.0.2.1"}) == std::error_code{asio::error::basic_errors(EADDRNOTAVAIL)});
        CHECK_FALSE(here.open({.host = "127.0.0.1"}));
    }
}

TEST_CASE("shares a port only where both say so") {
    asio::io_context io;
    accepting first{io};
    accepting second{io};
    const bool shared = GENERATE(true, false);
    REQUIRE_FALSE(first.open({.host = "127.0.0.1", .reuse_port = shared}));
    const auto error = second.open({.host = "127.0.0.1", .port = first.port(), .reuse_port = true});
    if (shared) {
        REQUIRE_FALSE(error);
        CHECK(first.port() == second.port());
        first.start();
        second.start();
        std::vector<tcp::socket> clients;
        for (int i = 0; i < 64; ++i)
            clients.push_back(first.connect());
        run_until(io, [&] { return first.sockets.size() + second.sockets.size() == clients.size(); });
        // The kernel spreads them by a hash: that all go to one of the two has a chance of 2 in 2^64.
        CHECK_FALSE(first.sockets.empty());
        CHECK_FALSE(second.sockets.empty());
    } else {
        CHECK(error == asio::error::address_in_use);
    }
}

TEST_CASE("may be closed in its callback") {
    asio::io_context io;
    auto it = std::make_unique<listener<>>(io.get_executor());
    REQUIRE_FALSE(it->open({.host = "127.0.0.1"}));
    const auto to = it->local_endpoint();
    int accepted = 0;
    const auto held = std::make_shared<int>(1);
    const bool destroyed = GENERATE(false, true);
    it->start(
        [&, held](listener<>::socket_type&&) {
            ++accepted;
            if (destroyed)
                it.reset();
            else
                it->close();
            // The callback is still whole.
            CHECK(*held == 1);
        },
        [](std::error_code) {});
    std::vector<tcp::socket> clients;
    for (int i = 0; i < 3; ++i) {
        clients.emplace_back(io);
        clients.back().connect(to);
    }
    run_out(io);
    CHECK(accepted == 1);
    CHECK(held.use_count() == 1);
}

TEST_CASE("may be moved, also at work") {
    asio::io_context io;
    listener<> it{io.get_executor()};
    REQUIRE_FALSE(it.open({.host = "127.0.0.1"}));
    int accepted = 0;
    it.start([&](listener<>::socket_type&&) { ++accepted; }, [](std::error_code) {});
    listener<> moved{std::move(it)};
    listener<> other{io.get_executor()};
    REQUIRE_FALSE(other.open({.host = "127.0.0.1"}));
    int others = 0;
    other.start([&](listener<>::socket_type&&) { ++others; }, [](std::error_code) {});
    const auto closed = other.local_endpoint();
    other = std::move(moved);
    auto& same = other;
    other = std::move(same);
    tcp::socket client{io};
    client.connect(other.local_endpoint());
    run_until(io, [&] { return accepted == 1; });
    tcp::socket refused{io};
    std::error_code error;
    refused.connect(closed, error);
    CHECK(error == asio::error::connection_refused);
    CHECK(others == 0);
    other.close();
    run_out(io);
}

TEST_CASE("without a start, and after its end, does nothing") {
    asio::io_context io;
    SECTION("closed before the start") {
        accepting here{io};
        REQUIRE_FALSE(here.open({.host = "127.0.0.1"}));
        here.it.close();
        here.it.close();
        here.start();
        run_out(io);
        CHECK(here.errors.empty());
    }
    SECTION("started without open: says so") {
        accepting here{io};
        here.start();
        run_out(io);
        REQUIRE(here.errors.size() == 1);
        CHECK(here.errors.front() == asio::error::bad_descriptor);
    }
    SECTION("started again: nothing new") {
        accepting here{io};
        REQUIRE_FALSE(here.open({.host = "127.0.0.1"}));
        here.start();
        here.start();
        const auto client = here.connect();
        run_until(io, [&] { return here.sockets.size() == 1; });
        here.it.close();
        run_out(io);
        CHECK(here.sockets.size() == 1);
    }
    SECTION("opened only") {
        accepting here{io};
        REQUIRE_FALSE(here.open());
        run_out(io);
    }
}

TEST_CASE("a listener goes with its context") {
    auto io = std::make_unique<asio::io_context>();
    const auto held = std::make_shared<int>(1);
    {
        listener<> it{io->get_executor()};
        REQUIRE_FALSE(it.open({.host = "127.0.0.1"}));
        it.start([held](listener<>::socket_type&&) {}, [held](std::error_code) {});
        tcp::socket client{*io};
        client.connect(it.local_endpoint());
        if (GENERATE(false, true)) io->poll();
    }
    io.reset();
    CHECK(held.use_count() == 1);
}

TEST_CASE("asks its gate before each, and goes on when it is told to") {
    struct gate {
        int& room;
        int& asked;
        int& in_vain;
        bool entered = false;
        bool enter() {
            ++asked;
            return entered = room > 0;
        }
        void leave() {
            if (entered) ++in_vain;
            entered = false;
        }
    };
    asio::io_context io;
    accepting here{io};
    REQUIRE_FALSE(here.open({.host = "127.0.0.1"}));
    int room = 2;
    int asked = 0;
    int in_vain = 0;
    // Before it has begun there is nothing to resume.
    here.it.resume();
    here.it.start(
        [&](listener<>::socket_type&& socket) {
            here.sockets.push_back(std::move(socket));
            --room;
        },
        [&](std::error_code error) { here.errors.push_back(error); }, gate{room, asked, in_vain});
    std::vector<tcp::socket> clients;
    for (int i = 0; i < 4; ++i)
        clients.push_back(here.connect());
    const auto work = asio::make_work_guard(io);
    const auto settle = [&] {
        for (int i = 0; i < 20; ++i)
            io.poll();
    };
    settle();
    CHECK(here.sockets.size() == 2);
    CHECK(asked == 3);
    // Nobody asks again, whoever comes.
    clients.push_back(here.connect());
    settle();
    CHECK(asked == 3);
    here.it.resume();
    settle();
    CHECK(asked == 4);
    CHECK(here.sockets.size() == 2);
    room = 10;
    here.it.resume();
    here.it.resume();
    settle();
    CHECK(here.sockets.size() == 5);
    // Where nobody has come it hears of it.
    CHECK(in_vain >= 1);
    clients.push_back(here.connect());
    settle();
    CHECK(here.sockets.size() == 6);
    room = 0;
    clients.push_back(here.connect());
    settle();
    CHECK(here.sockets.size() == 6);
    here.it.close();
    here.it.resume();
    settle();
    CHECK(here.errors.empty());
}

#if defined(__linux__)
TEST_CASE("begins to accept once there are descriptors, where none was left at the start") {
    asio::io_context io;
    test::manual_time time{io};
    accepting here{io};
    REQUIRE_FALSE(here.open({.host = "127.0.0.1"}));
    const auto client = here.connect();
    {
        const no_descriptors_left none;
        here.start();
        test::run_ready(io);
        CHECK(here.errors.size() == 1);
        CHECK(here.sockets.empty());
    }
    time.advance(duplex::timer_wheel::resolution * 2);
    run_until(io, [&] { return here.sockets.size() == 1; });
    CHECK(here.errors.size() == 1);
    here.it.close();
    run_out(io);
}

TEST_CASE("what its callback throws ends neither the listening nor keeps the listener") {
    asio::io_context io;
    listener<> it{io.get_executor()};
    REQUIRE_FALSE(it.open({.host = "127.0.0.1"}));
    const auto token = std::make_shared<int>();
    int accepted = 0;
    it.start(
        [&accepted, token](listener<>::socket_type&&) {
            ++accepted;
            throw std::runtime_error{"not today"};
        },
        [](std::error_code) {});
    std::vector<tcp::socket> clients;
    for (int i = 0; i < 5; ++i)
        clients.emplace_back(io).connect(it.local_endpoint());
    // That nothing is left of it in the end the leak checker sees.
    int thrown = 0;
    while (accepted < 5) {
        try {
            io.restart();
            io.poll();
        } catch (const std::runtime_error&) {
            ++thrown;
        }
    }
    CHECK(thrown == 5);
    it.close();
    run_out(io);
    CHECK(token.use_count() == 1);
}

TEST_CASE("goes on once descriptors are free again") {
    asio::io_context io;
    test::manual_time time{io};
    accepting here{io};
    REQUIRE_FALSE(here.open({.host = "127.0.0.1"}));
    here.start();
    auto client = here.connect();
    auto second = here.connect();

    std::optional<no_descriptors_left> none{std::in_place};
    test::run_ready(io);
    CHECK(here.sockets.empty());
    REQUIRE(here.errors.size() == 1);
    CHECK(here.errors.front() == asio::error::no_descriptors);
    // It waits instead of trying again and again.
    test::run_ready(io);
    CHECK(here.errors.size() == 1);
    time.advance(duplex::timer_wheel::resolution * 2);
    test::run_ready(io);
    CHECK(here.errors.size() == 2);

    none.reset();
    time.advance(duplex::timer_wheel::resolution * 2);
    run_until(io, [&] { return here.sockets.size() == 2; });
    CHECK(here.errors.size() == 2);

    // Closed while it waits: nothing comes any more.
    auto third = here.connect();
    none.emplace();
    run_until(io, [&] { return here.errors.size() == 3; });
    const bool when_it_is_time = GENERATE(false, true);
    if (when_it_is_time) time.advance(duplex::timer_wheel::resolution * 2);
    here.it.close();
    time.advance(duplex::timer_wheel::resolution * 2);
    test::run_ready(io);
    CHECK(here.errors.size() == 3);
}
#endif

} // namespace
