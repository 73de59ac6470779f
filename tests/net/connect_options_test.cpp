#include <duplex/net/connect_options.hpp>

#include "support/catch.hpp"

TEST_CASE("what a client asks for in its handshake comes from its options", "[connect_options]") {
    duplex::connect_options options;
    options.subprotocols = {"chat.v2", "chat.v1"};
    options.headers.add("Authorization", "Bearer token");
    options.origin = "https://example.com";
    options.user_agent = "a client";
    options.connection.http.head_bytes = 1234;

    const auto made = options.for_handshake();
    CHECK(made.subprotocols == options.subprotocols);
    REQUIRE(made.headers.size() == 1);
    CHECK(made.headers.find("authorization") == "Bearer token");
    CHECK(made.origin == "https://example.com");
    CHECK(made.user_agent == "a client");
    CHECK(made.limits.head_bytes == 1234);
    CHECK(made.extensions.empty());
}

TEST_CASE("a client says who it is, and nothing else of its own accord", "[connect_options]") {
    const auto made = duplex::connect_options{}.for_handshake();
    CHECK(made.user_agent == "duplex");
    CHECK(made.subprotocols.empty());
    CHECK(made.headers.size() == 0);
    CHECK(made.origin.empty());
}
