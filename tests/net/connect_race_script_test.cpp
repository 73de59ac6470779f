// The race as its script has it: sockets whose attempts end when a test says so.

#include <duplex/net/detail/connect_race.hpp>

#include "support/catch.hpp"

#include <duplex/test/manual_time.hpp>

#include <asio/bind_cancellation_slot.hpp>
#include <asio/cancellation_signal.hpp>
#include <asio/io_context.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/post.hpp>

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

namespace {

using namespace duplex;
using namespace std::chrono_literals;
using tcp = asio::ip::tcp;
using duplex::detail::async_connect_race;
using duplex::detail::connect_race_options;
using history = std::vector<std::string>;

const std::error_code refused = asio::error::connection_refused;
const std::error_code reset = asio::error::connection_reset;
const std::error_code aborted = asio::error::operation_aborted;

/// What the sockets of a test do. An endpoint's port is its name.
struct script {
    explicit script(asio::io_context& on)
        : io{&on} {
        here = this;
    }
    script(const script&) = delete;
    script& operator=(const script&) = delete;
    ~script() { here = nullptr; }

    void note(std::string what) { log.push_back(std::move(what)); }
    history take() { return std::exchange(log, {}); }

    /// Ends an attempt, once the context runs.
    void end(std::uint16_t port, std::error_code error = {}) {
        REQUIRE(under_way.count(port) == 1);
        auto attempt = under_way.extract(port);
        asio::post(*io, [handler = std::move(attempt.mapped()), error] { handler(error); });
    }

    asio::io_context* io;
    history log;
    std::map<std::uint16_t, std::function<void(std::error_code)>> under_way;
    std::error_code open_fails;
    std::error_code bind_fails;
    int open_sockets = 0;

    static inline script* here = nullptr;
};

class scripted_socket {
public:
    using executor_type = asio::io_context::executor_type;

    explicit scripted_socket(const executor_type&) {}
    scripted_socket(scripted_socket&& other) noexcept
        : open_{std::exchange(other.open_, false)}
        , port_{std::exchange(other.port_, std::uint16_t{0})} {}
    scripted_socket& operator=(scripted_socket&&) = delete;
    ~scripted_socket() {
        if (!open_ || script::here == nullptr) return;
        --script::here->open_sockets;
        if (port_ == 0) return;
        script::here->note("close " + std::to_string(port_));
        if (script::here->under_way.count(port_) != 0) script::here->end(port_, aborted);
    }

    [[nodiscard]] bool is_open() const noexcept { return open_; }
    [[nodiscard]] std::uint16_t port() const noexcept { return port_; }

    void open(const tcp& protocol, std::error_code& error) {
        script::here->note(protocol == tcp::v6() ? "open v6" : "open v4");
        error = script::here->open_fails;
        if (error) return;
        open_ = true;
        ++script::here->open_sockets;
    }
    void bind(const tcp::endpoint& to, std::error_code& error) {
        script::here->note("bind " + to.address().to_string() + " " + std::to_string(to.port()));
        error = script::here->bind_fails;
    }
    void async_connect(const tcp::endpoint& to, std::function<void(std::error_code)> handler) {
        port_ = to.port();
        script::here->note("connect " + std::to_string(port_));
        script::here->under_way.emplace(port_, std::move(handler));
    }

private:
    bool open_ = false;
    std::uint16_t port_ = 0;
};

using options = connect_race_options<scripted_socket>;

[[nodiscard]] std::vector<tcp::endpoint> v4(std::vector<std::uint16_t> ports) {
    std::vector<tcp::endpoint> all;
    for (const auto port : ports)
        all.emplace_back(asio::ip::address_v4::loopback(), port);
    return all;
}

struct fixture {
    asio::io_context io;
    test::manual_time time{io};
    script sockets{io};
    asio::cancellation_signal signal;
    int calls = 0;
    std::error_code error;
    std::uint16_t winner = 0;
    bool open = false;

    void start(std::vector<tcp::endpoint> found, options with = {}) {
        async_connect_race<scripted_socket>(
            io.get_executor(), std::move(found), std::move(with),
            asio::bind_cancellation_slot(signal.slot(), [this](std::error_code how, scripted_socket socket) {
                ++calls;
                error = how;
                winner = socket.port();
                open = socket.is_open();
                sockets.note("done");
            }));
        // Never from inside the initiating function
        CHECK(calls == 0);
    }
    void run() {
        io.restart();
        io.poll();
    }
    void advance(std::chrono::milliseconds step) {
        time.advance(step);
        run();
    }
    void end(std::uint16_t port, std::error_code how = {}) {
        sockets.end(port, how);
        run();
    }
    /// Nothing is left, also not behind the completion.
    void check_over() {
        run();
        CHECK(calls == 1);
        CHECK(sockets.under_way.empty());
        CHECK(sockets.open_sockets == 0);
        advance(1h);
        CHECK(calls == 1);
    }
};

} // namespace

TEST_CASE("starts the next attempt beside one that hangs, and closes all but the winner") {
    fixture f;
    f.start(v4({1, 2, 3}));
    f.run();
    CHECK(f.sockets.take() == history{"open v4", "connect 1"});
    f.advance(99ms);
    CHECK(f.sockets.take().empty());
    f.advance(500ms);
    CHECK(f.sockets.take() == history{"open v4", "connect 2"});
    f.advance(600ms);
    CHECK(f.sockets.take() == history{"open v4", "connect 3"});
    f.advance(1h);
    CHECK(f.sockets.take().empty());
    f.end(2);
    CHECK(f.sockets.take() == history{"close 1", "close 3", "done", "close 2"});
    CHECK_FALSE(f.error);
    CHECK(f.winner == 2);
    CHECK(f.open);
    f.check_over();
}

TEST_CASE("tries the families in turn, however the resolver sorted them") {
    fixture f;
    const auto six = asio::ip::address_v6::loopback();
    const auto four = asio::ip::address_v4::loopback();
    const std::vector<tcp::endpoint> found{{six, 1}, {six, 2}, {six, 3}, {four, 4}};
    history expected{"open v6", "connect 1", "open v4", "connect 4",
                     "open v6", "connect 2", "open v6", "connect 3"};
    options with;
    SECTION("one by one") {}
    SECTION("with more of the first") {
        with.first_family_count = 2;
        expected = {"open v6", "connect 1", "open v6", "connect 2",
                    "open v4", "connect 4", "open v6", "connect 3"};
    }
    f.start(found, with);
    for (int i = 0; i < 3; ++i)
        f.advance(600ms);
    CHECK(f.sockets.take() == expected);
    f.end(3);
    CHECK(f.winner == 3);
    f.check_over();
}

TEST_CASE("goes on at once when an attempt fails, and closes its socket") {
    fixture f;
    f.start(v4({1, 2, 3}));
    f.end(1, refused);
    CHECK(f.sockets.take() == history{"open v4", "connect 1", "close 1", "open v4", "connect 2"});
    f.advance(600ms);
    CHECK(f.sockets.take() == history{"open v4", "connect 3"});
    f.end(2, reset);
    CHECK(f.calls == 0);
    f.end(3, refused);
    CHECK(f.calls == 1);
    CHECK(f.error == refused);
    CHECK_FALSE(f.open);
    f.check_over();
}

TEST_CASE("tells why the most preferred address failed, whichever failed first") {
    fixture f;
    f.start(v4({1, 2}));
    f.advance(600ms);
    f.end(2, refused);
    SECTION("on its way") {
        f.end(1, reset);
        CHECK(f.error == reset);
    }
    SECTION("but not where there was no way to it") {
        const auto number = GENERATE(ENETUNREACH, EADDRNOTAVAIL, EAFNOSUPPORT);
        f.end(1, {number, asio::error::get_system_category()});
        CHECK(f.error == refused);
    }
    f.check_over();
}

TEST_CASE("the next attempt has its own delay after a failure") {
    fixture f;
    options with;
    with.race.attempt_delay = 2s;
    f.start(v4({1, 2, 3}), with);
    f.advance(1900ms);
    f.end(1, refused);
    f.sockets.take();
    f.advance(1900ms);
    CHECK(f.sockets.take().empty());
    f.advance(600ms);
    CHECK(f.sockets.take() == history{"open v4", "connect 3"});
    f.end(3);
    f.check_over();
}

TEST_CASE("sockets that can't even be opened fail one after the other") {
    fixture f;
    f.sockets.open_fails = asio::error::no_descriptors;
    f.start(v4({1, 2, 3}));
    f.run();
    CHECK(f.sockets.take() == history{"open v4", "open v4", "open v4", "done"});
    CHECK(f.error == asio::error::no_descriptors);
    f.check_over();
}

TEST_CASE("an attempt that fails late finds no descriptor for the next") {
    fixture f;
    f.start(v4({1, 2}));
    f.sockets.open_fails = asio::error::no_descriptors;
    f.end(1, refused);
    CHECK(f.calls == 1);
    CHECK(f.error == refused);
    f.check_over();
}

TEST_CASE("says what is wrong with a list of which nothing can be tried") {
    fixture f;
    options with;
    std::error_code expected = asio::error::not_found;
    std::vector<tcp::endpoint> found;
    SECTION("it is empty") {}
    SECTION("it is of another family than the local address") {
        with.local_address = asio::ip::address_v6::loopback();
        found = v4({1, 2});
        expected = asio::error::address_family_not_supported;
    }
    f.start(found, with);
    f.run();
    CHECK(f.sockets.take() == history{"done"});
    CHECK(f.error == expected);
    f.check_over();
}

TEST_CASE("binds to the local address, and leaves the other family out") {
    fixture f;
    options with;
    with.local_address = asio::ip::make_address("127.0.0.5");
    auto found = v4({2, 3});
    found.insert(found.begin(), {asio::ip::address_v6::loopback(), 1});
    SECTION("where that can be") {
        f.start(found, with);
        CHECK(f.sockets.take() == history{"open v4", "bind 127.0.0.5 0", "connect 2"});
        f.end(2);
        CHECK(f.winner == 2);
    }
    SECTION("where it can't") {
        f.sockets.bind_fails = asio::error::address_in_use;
        f.start(found, with);
        f.run();
        CHECK(f.sockets.take() ==
              history{"open v4", "bind 127.0.0.5 0", "open v4", "bind 127.0.0.5 0", "done"});
        CHECK(f.error == asio::error::address_in_use);
    }
    f.check_over();
}

TEST_CASE("shows each socket before it is bound and connected") {
    fixture f;
    options with;
    with.local_address = asio::ip::address_v4::loopback();
    int asked = 0;
    std::error_code answer;
    with.prepare = [&](scripted_socket& socket) {
        CHECK(socket.is_open());
        f.sockets.note("prepare");
        // The first one may fail.
        return asked++ == 0 ? answer : std::error_code{};
    };
    SECTION("where all is well") {
        f.start(v4({1, 2}), with);
        f.end(1, refused);
        CHECK(f.sockets.take() == history{"open v4", "prepare", "bind 127.0.0.1 0", "connect 1", "close 1",
                                          "open v4", "prepare", "bind 127.0.0.1 0", "connect 2"});
    }
    SECTION("and skips one that can't be prepared") {
        answer = asio::error::access_denied;
        f.start(v4({1, 2}), with);
        CHECK(f.sockets.take() ==
              history{"open v4", "prepare", "open v4", "prepare", "bind 127.0.0.1 0", "connect 2"});
    }
    f.end(2);
    CHECK(f.winner == 2);
    CHECK(asked == 2);
    f.check_over();
}

TEST_CASE("may be cancelled while a socket is prepared") {
    fixture f;
    options with;
    int asked = 0;
    int cancel_at = 0;
    std::error_code answer;
    with.prepare = [&](scripted_socket&) {
        if (++asked == cancel_at) f.signal.emit(asio::cancellation_type::terminal);
        return answer;
    };
    SECTION("the first") { cancel_at = 1; }
    SECTION("the first, which fails, too") {
        cancel_at = 1;
        answer = refused;
    }
    SECTION("a later one") { cancel_at = 2; }
    f.start(v4({1, 2, 3}), with);
    f.advance(600ms);
    CHECK(asked == cancel_at);
    CHECK(f.calls == 1);
    CHECK(f.error == aborted);
    CHECK_FALSE(f.open);
    f.check_over();
}

TEST_CASE("completes behind the handler that starts it or ends it") {
    fixture f;
    bool inside = false;
    const auto during = [&](auto step) {
        asio::post(f.io, [&f, &inside, step] {
            step();
            inside = f.calls != 0;
        });
        f.run();
        CHECK_FALSE(inside);
    };
    SECTION("without an attempt") {
        during([&] { f.start({}); });
        CHECK(f.error == asio::error::not_found);
    }
    SECTION("with attempts that fail at once") {
        f.sockets.open_fails = asio::error::no_descriptors;
        during([&] { f.start(v4({1, 2})); });
        CHECK(f.error == asio::error::no_descriptors);
    }
    SECTION("by cancellation") {
        f.start(v4({1, 2}));
        during([&] { f.signal.emit(asio::cancellation_type::terminal); });
        CHECK(f.error == aborted);
    }
    f.check_over();
}

TEST_CASE("two that succeed together have one winner") {
    fixture f;
    f.start(v4({1, 2}));
    f.advance(600ms);
    f.sockets.end(2);
    f.sockets.end(1);
    f.check_over();
    CHECK_FALSE(f.error);
    CHECK(f.winner == 2);
}

TEST_CASE("one that succeeds right behind the failure of the last wins") {
    fixture f;
    f.start(v4({1, 2}));
    f.advance(600ms);
    f.sockets.end(2, refused);
    f.sockets.end(1);
    f.check_over();
    CHECK_FALSE(f.error);
    CHECK(f.winner == 1);
}

TEST_CASE("a delay that ends together with something else starts nothing it should not") {
    fixture f;
    f.start(v4({1, 2, 3}));
    f.sockets.take();
    SECTION("the race") {
        f.sockets.end(1);
        f.time.advance(600ms);
        f.run();
        CHECK(f.sockets.take() == history{"done", "close 1"});
    }
    SECTION("the race, which it comes before") {
        f.time.advance(600ms);
        f.sockets.end(1);
        f.run();
        CHECK(f.sockets.take() == history{"open v4", "connect 2", "close 2", "done", "close 1"});
    }
    SECTION("an attempt, after which the next has begun") {
        f.sockets.end(1, refused);
        f.time.advance(600ms);
        f.run();
        CHECK(f.sockets.take() == history{"close 1", "open v4", "connect 2"});
        f.end(2);
    }
    SECTION("the wait, by cancellation") {
        f.time.advance(600ms);
        f.signal.emit(asio::cancellation_type::terminal);
        f.run();
        CHECK(f.sockets.take() == history{"close 1", "done"});
    }
    f.check_over();
}

TEST_CASE("is cancelled whatever is under way") {
    fixture f;
    const auto kind = GENERATE(asio::cancellation_type::terminal, asio::cancellation_type::partial,
                               asio::cancellation_type::total);
    SECTION("one attempt") { f.start(v4({1})); }
    SECTION("one of several attempts") { f.start(v4({1, 2})); }
    SECTION("several attempts") {
        f.start(v4({1, 2, 3}));
        f.advance(600ms);
        f.advance(600ms);
    }
    SECTION("an attempt behind one that failed") {
        f.start(v4({1, 2, 3}));
        f.end(1, refused);
    }
    SECTION("an attempt that has its connection, which is not yet known") {
        f.start(v4({1, 2}));
        f.sockets.end(1);
    }
    SECTION("an attempt that has failed, which is not yet known") {
        f.start(v4({1, 2}));
        f.sockets.end(1, refused);
    }
    f.signal.emit(kind);
    CHECK(f.calls == 0);
    CHECK(f.sockets.open_sockets == 0);
    f.signal.emit(kind);
    f.check_over();
    CHECK(f.error == aborted);
    CHECK_FALSE(f.open);
}

TEST_CASE("a race that is over is not cancelled") {
    fixture f;
    f.start(v4({1}));
    f.sockets.end(1);
    // Its attempt, but not yet its handler
    REQUIRE(f.io.run_one() == 1);
    f.signal.emit(asio::cancellation_type::terminal);
    f.run();
    CHECK_FALSE(f.error);
    CHECK(f.winner == 1);
    f.check_over();
}

#if defined(__cpp_exceptions)
TEST_CASE("an exception from the preparation leaves nothing behind") {
    fixture f;
    options with;
    int asked = 0;
    int throw_at = 0;
    with.prepare = [&](scripted_socket&) {
        if (++asked == throw_at) throw 1;
        return std::error_code{};
    };
    SECTION("to whoever started") {
        throw_at = 1;
        CHECK_THROWS_AS(f.start(v4({1, 2}), with), int);
    }
    SECTION("to whoever runs the context") {
        throw_at = 2;
        f.start(v4({1, 2}), with);
        f.sockets.end(1, refused);
        CHECK_THROWS_AS(f.run(), int);
    }
    CHECK(f.calls == 0);
    CHECK(f.sockets.open_sockets == 0);
    CHECK(f.sockets.under_way.empty());
    f.advance(1h);
}
#endif
