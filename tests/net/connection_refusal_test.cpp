#include <duplex/net/connection.hpp>

#include "support/connected.hpp"

#include <chrono>
#include <string>

using namespace duplex;
using namespace duplex::testing;
using namespace std::chrono_literals;

TEST_CASE("a request may be asked for again while it waits for its answer") {
    unopened one;
    CHECK_FALSE(one.it->request());
    one.peer.send(plain_request);
    for (int i = 0; i < 2; ++i) {
        ending<> read;
        one.it->async_read_request(read.handler());
        one.run();
        CHECK(read.well());
        REQUIRE(one.it->request());
        CHECK(one.it->request()->target() == "/chat");
    }
    ending<> accepted;
    one.it->async_accept(accepted.handler());
    one.run();
    CHECK(accepted.well());
    CHECK_FALSE(one.it->request());
    ending<> late;
    one.it->async_read_request(late.handler());
    one.run();
    CHECK(late.failed_with(errc::already_open));
    CHECK(one.it->is_open());
}

TEST_CASE("a client that is gone when its request has been looked at for too long ends all the same") {
    unopened one;
    one.ask();
    one.peer.close();
    one.pass(10'300ms);
    CHECK_FALSE(one.it->stream().is_open());
    CHECK_FALSE(one.it->request());
    ending<> accepted;
    one.it->async_accept(accepted.handler());
    one.run();
    CHECK(accepted.failed_with(errc::not_open));
    CHECK(one.asked.calls == 1);
}

TEST_CASE("a refusal has a deadline of its own, however late it comes") {
    unopened one;
    ending<> accepted;
    one.it->async_accept(accepted.handler());
    one.run();
    one.pass(9000ms);
    one.peer.send("nonsense\r\n\r\n");
    one.run();
    CHECK(accepted.calls == 1);
    // The handshake's own deadline is none any more.
    one.pass(1300ms);
    CHECK(one.it->stream().is_open());
    one.pass(8500ms);
    CHECK(one.it->stream().is_open());
    one.pass(500ms);
    CHECK_FALSE(one.it->stream().is_open());
}

TEST_CASE("without a close deadline a 408 that nobody reads has the handshake's once more") {
    connection_options options;
    options.timeouts.handshake = 3000ms;
    options.timeouts.close = 0ms;
    unopened one{options};
    one.it->stream().capacity(1);
    ending<> accepted;
    one.it->async_accept(accepted.handler());
    one.run();
    one.pass(3300ms);
    CHECK(one.peer.pending() == "H");
    one.pass(2500ms);
    CHECK(accepted.calls == 0);
    one.pass(1000ms);
    CHECK(accepted.failed_with(errc::handshake_timeout));
    CHECK_FALSE(one.it->stream().is_open());
}

TEST_CASE("an abort ends an opening") {
    unopened one;
    ending<> accepted;
    one.it->async_accept(accepted.handler());
    one.run();
    one.it->abort();
    one.run();
    CHECK(accepted.failed_with(errc::aborted));
    CHECK_FALSE(one.it->stream().is_open());
    ending<message> read;
    one.it->async_read(read.handler());
    one.run();
    CHECK(read.failed_with(errc::not_open));
}
