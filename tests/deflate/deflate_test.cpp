#include <duplex/deflate.hpp>

#include "support/catch.hpp"
#include "support/deflating.hpp"

using namespace duplex;
using namespace duplex::testing;

TEST_CASE("a program that includes it has permessage-deflate") {
    REQUIRE(detail::default_codec == &make_zlib_codec);
    const auto client = detail::default_codec(role::client, {}, {});
    const auto server = detail::default_codec(role::server, {}, {});
    REQUIRE(client);
    REQUIRE(server);
    const octets text(1000, 'x');
    CHECK(inflated(*server, deflated(*client, text)) == expanded{errc{}, text});
    CHECK(inflated(*client, deflated(*server, text)) == expanded{errc{}, text});
}
