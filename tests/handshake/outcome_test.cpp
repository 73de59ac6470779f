#include <duplex/handshake/outcome.hpp>

#include "support/catch.hpp"

#include <string>
#include <type_traits>
#include <utility>

TEST_CASE("an outcome begins with nothing in it") {
    const duplex::handshake_outcome outcome;
    CHECK_FALSE(outcome.error);
    CHECK(outcome.status == 0);
    CHECK(outcome.subprotocol.empty());
    CHECK(outcome.extensions.empty());
    CHECK(outcome.headers.empty());
    CHECK(outcome.leftover.empty());
    CHECK(outcome.why.empty());
    CHECK(outcome.url.empty());
    CHECK(outcome.phase == duplex::phase::upgrade);
}

TEST_CASE("an outcome can be moved without losing the peer's headers") {
    duplex::handshake_outcome outcome;
    outcome.headers.add("X-Short", "1");
    outcome.headers.add("X-Long", std::string(200, 'x'));
    const auto moved = std::move(outcome);
    CHECK(moved.headers.find("x-short") == "1");
    CHECK(moved.headers.find("x-long") == std::string(200, 'x'));
    STATIC_REQUIRE(std::is_nothrow_move_constructible_v<duplex::handshake_outcome>);
}
