#include <duplex/net/connection_options.hpp>

#include "support/catch.hpp"

#include <chrono>
#include <type_traits>

using namespace duplex;
using namespace std::chrono_literals;

TEST_CASE("options have safe defaults and are named where they are given") {
    const connection_options plain;
    CHECK(plain.limits.message_bytes == limits{}.message_bytes);
    CHECK(plain.timeouts.handshake > 0ms);
    CHECK(plain.timeouts.close > 0ms);
    CHECK(plain.timeouts.write > 0ms);
    CHECK(plain.http.head_bytes == http_limits{}.head_bytes);
    CHECK(plain.check_outgoing_text);
    CHECK_FALSE(plain.deliver_fragments);
    const connection_options named{.limits = {.message_bytes = 100}, .deliver_fragments = true};
    CHECK(named.limits.message_bytes == 100);
    CHECK(named.limits.queue_bytes == limits{}.queue_bytes);
    CHECK(named.deliver_fragments);
}

TEST_CASE("the protocol gets its part of the options") {
    connection_options options{.limits = {.message_bytes = 7, .queue_watermark = 8}};
    options.timeouts.pong = 9ms;
    options.deliver_fragments = GENERATE(values({0, 1})) == 1;
    options.check_outgoing_text = !options.deliver_fragments;
    const session_options part = options.for_session();
    CHECK(part.limits.message_bytes == 7);
    CHECK(part.limits.queue_watermark == 8);
    CHECK(part.timeouts.pong == 9ms);
    CHECK(part.deliver_fragments == options.deliver_fragments);
    CHECK(part.check_outgoing_text == options.check_outgoing_text);
}

TEST_CASE("a result that says nothing is an end without a Close") {
    const close_result result;
    CHECK(result.code == close_code::abnormal);
    CHECK_FALSE(result.error);
    CHECK_FALSE(result.was_clean);
    CHECK(result.reason.empty());
}
