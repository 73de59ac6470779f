#include <duplex/core/role.hpp>

#include "support/catch.hpp"

TEST_CASE("the peer of each role is the other one") {
    CHECK(duplex::peer_of(duplex::role::client) == duplex::role::server);
    CHECK(duplex::peer_of(duplex::role::server) == duplex::role::client);
    static_assert(duplex::peer_of(duplex::peer_of(duplex::role::client)) == duplex::role::client);
}
