#include <duplex/protocol/session_options.hpp>

#include <duplex/protocol/session.hpp>

#include "support/catch.hpp"

#include <optional>

using namespace duplex;

TEST_CASE("options are the same where all of them are") {
    session_options other;
    CHECK((other == session_options{}));
    SECTION("a limit") { other.limits.queue_bytes = 1; }
    SECTION("a deadline") { other.timeouts.pong = timeouts::duration{1}; }
    SECTION("a switch") { other.deliver_fragments = true; }
    CHECK_FALSE((other == session_options{}));
}

TEST_CASE("shared options live as long as any that share them") {
    session_options wanted;
    wanted.limits.queue_watermark = 77;
    std::optional<shared_session_options> first{wanted};
    const shared_session_options second{*first};
    CHECK(&**first == &*second);
    first.reset();
    CHECK(second->limits.queue_watermark == 77);
    session one{role::server, second, {}};
    CHECK(one.watermark() == 77);
    CHECK(&*one.shared_options() == &*second);
}

TEST_CASE("messages wait their turn where an option says so, or needs it") {
    session_options options;
    CHECK_FALSE(options.holds_back());
    options.when_full = overflow::by_default;
    CHECK_FALSE(options.holds_back());
    SECTION("said") { options.hold_back = true; }
    SECTION("to be dropped") { options.when_full = overflow::drop_oldest; }
    SECTION("to be waited for") { options.when_full = overflow::wait; }
    SECTION("to be cut") { options.fragment_bytes = 1; }
    CHECK(options.holds_back());
    CHECK(session{role::server, options}.holds_back());
    CHECK_FALSE((options == session_options{}));
}

TEST_CASE("default options need no memory") {
    const shared_session_options some;
    const shared_session_options same;
    CHECK(&*some == &*same);
    CHECK((*some == session_options{}));
}
