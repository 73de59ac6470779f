#include <duplex/net/detail/repeated_wait.hpp>

#include "support/catch.hpp"

#if defined(__linux__)

#include <array>
#include <memory>

#include <fcntl.h>
#include <unistd.h>

using namespace duplex::detail;

namespace {

/// Waits for one end of a pipe; the test writes to the other.
struct waiting : wait_owner {
    waiting() {
        std::array<int, 2> ends{};
        REQUIRE(::pipe2(ends.data(), O_NONBLOCK | O_CLOEXEC) == 0);
        other_end = ends[1];
        io = std::make_unique<asio::io_context>();
        wait = std::make_unique<repeated_wait>(*io, *this);
        REQUIRE_FALSE(wait->assign(ends[0]));
        REQUIRE(wait->is_open());
        // The first may be told in vain.
        wait->start();
        run();
        if (told == 0) {
            wait->cancel();
            run();
        }
        REQUIRE(told == 1);
        told = 0;
    }
    ~waiting() {
        if (wait) {
            wait->close();
            // What is left of it.
            run();
        }
        ::close(other_end);
    }

    void on_wait_over() override { ++told; }
    void write() { REQUIRE(::write(other_end, "x", 1) == 1); }
    void run() {
        io->restart();
        io->poll();
    }

    int other_end = -1;
    int told = 0;
    std::unique_ptr<asio::io_context> io;
    std::unique_ptr<repeated_wait> wait;
};

} // namespace

TEST_CASE("a wait is over when something can be read") {
    waiting here;
    here.wait->start();
    here.run();
    CHECK(here.told == 0);
    for (int i = 1; i <= 3; ++i) {
        here.write();
        here.run();
        CHECK(here.told == i);
        here.wait->start();
    }
}

TEST_CASE("what comes between two waits ends the second at once") {
    waiting here;
    here.write();
    here.run();
    CHECK(here.told == 0);
    here.wait->start();
    here.run();
    CHECK(here.told == 1);
}

TEST_CASE("a wait that is called off is told") {
    waiting here;
    here.wait->start();
    here.wait->cancel();
    here.run();
    CHECK(here.told == 1);
    // And another may begin.
    here.wait->start();
    here.write();
    here.run();
    CHECK(here.told == 2);
}

TEST_CASE("a wait keeps its context running, and a closed one does not") {
    waiting here;
    here.wait->start();
    here.run();
    CHECK_FALSE(here.io->stopped());
    here.wait->close();
    CHECK_FALSE(here.wait->is_open());
    here.wait->close();
    here.run();
    CHECK(here.io->stopped());
}

TEST_CASE("a context goes away under a wait") {
    waiting here;
    here.wait->start();
    here.run();
    const int before = here.told;
    here.wait->close();
    // What it was to be told is thrown away.
    here.wait->cancel();
#if defined(DUPLEX_WAITS_IN_REACTOR)
    here.io.reset();
    here.wait.reset();
#else
    here.wait.reset();
    here.io.reset();
#endif
    CHECK(here.told == before);
}

TEST_CASE("a descriptor that can't be waited for is refused, and closed") {
    asio::io_context io;
    struct nobody : wait_owner {
        void on_wait_over() override {}
    } owner;
    repeated_wait wait{io, owner};
    const int file = ::open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    REQUIRE(file >= 0);
    const auto error = wait.assign(file);
    // Asio itself takes files in, to tell of them later.
    if (error) {
        CHECK_FALSE(wait.is_open());
        CHECK(::fcntl(file, F_GETFD) == -1);
    } else {
        wait.close();
    }
    CHECK(wait.assign(-1));
}

#endif
