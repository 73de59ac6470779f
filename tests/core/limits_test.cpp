#include <duplex/core/limits.hpp>

#include "support/catch.hpp"

#include <chrono>

using namespace std::chrono_literals;

TEST_CASE("limits are on by default") {
    constexpr duplex::limits limits;
    CHECK(limits.message_bytes == 16U * 1024 * 1024);
    CHECK(limits.commit_bytes == 64U * 1024);
    CHECK(limits.queue_messages == 1024U * 1024);
    CHECK(limits.message_fragments > 0);
    CHECK(limits.queue_bytes > 0);
    CHECK(limits.queue_watermark < limits.queue_bytes);
}

TEST_CASE("a message of 4 MiB in fragments of 64 bytes passes the default limits") {
    constexpr duplex::limits limits;
    CHECK(limits.message_bytes >= 4U * 1024 * 1024);
    CHECK(limits.message_fragments >= 65'536);
}

TEST_CASE("a start line fits in a head, and both in memory") {
    constexpr duplex::http_limits limits;
    CHECK(limits.start_line_bytes < limits.head_bytes);
    CHECK(limits.head_bytes <= 65'536);
    CHECK(limits.header_count > 0);
    CHECK(limits.refusal_body_bytes > 0);
}

TEST_CASE("each deadline but that of idleness is on by default") {
    constexpr duplex::timeouts timeouts;
    CHECK(timeouts.connect > 0ms);
    CHECK(timeouts.handshake > 0ms);
    CHECK(timeouts.ping_interval > 0ms);
    CHECK(timeouts.pong > 0ms);
    CHECK(timeouts.write > 0ms);
    CHECK(timeouts.close > 0ms);
    CHECK(timeouts.idle == 0ms);
}

TEST_CASE("each default can be named and replaced alone") {
    constexpr duplex::limits limits{.message_bytes = 1, .queue_bytes = 2};
    CHECK(limits.message_bytes == 1);
    CHECK(limits.queue_bytes == 2);
    CHECK(limits.message_fragments == duplex::limits{}.message_fragments);
    constexpr duplex::timeouts timeouts{.handshake = 5s};
    CHECK(timeouts.handshake == 5000ms);
    CHECK(timeouts.close == duplex::timeouts{}.close);
}
