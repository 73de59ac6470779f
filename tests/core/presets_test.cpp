#include <duplex/core/presets.hpp>

#include "support/catch.hpp"

#include <array>
#include <chrono>

using namespace duplex;
using namespace std::chrono_literals;

namespace {

constexpr std::array all{presets::internet, presets::lan, presets::embedded};

} // namespace

TEST_CASE("the internet's preset is what holds without one") {
    static_assert(presets::internet == preset{});
    CHECK(presets::internet.limits == limits{});
    CHECK(presets::internet.http == http_limits{});
    CHECK(presets::internet.timeouts == timeouts{});
    CHECK(presets::internet.budget == budget_limits{});
}

TEST_CASE("the limits of a preset fit each other") {
    for (const auto& each : all) {
        CAPTURE(each.limits.message_bytes);
        const limits& l = each.limits;
        CHECK(l.commit_bytes < l.queue_watermark);
        CHECK(l.queue_watermark < l.queue_bytes);
        // One message is echoed while another leaves.
        CHECK(l.queue_bytes >= 2 * l.message_bytes);
        CHECK(l.message_fragments > 0);
        CHECK(l.queue_messages > 0);
        // A few connections that have all they may have don't use up what all may.
        CHECK(each.budget.send_bytes >= 8 * l.queue_bytes);
        CHECK(each.budget.receive_bytes >= 16 * l.message_bytes);
        CHECK(each.budget.handshakes > 0);
        CHECK(each.http.start_line_bytes < each.http.head_bytes);
        CHECK(each.http.header_count > 0);
        CHECK(each.http.refusal_body_bytes > 0);
    }
}

TEST_CASE("the deadlines of a preset are on, and fit each other") {
    for (const auto& each : all) {
        CAPTURE(each.limits.message_bytes);
        const timeouts& t = each.timeouts;
        for (const auto deadline : {t.connect, t.tls, t.handshake, t.ping_interval, t.pong, t.write, t.close})
            CHECK(deadline > 0ms);
        CHECK(t.idle == 0ms);
        CHECK(t.pong < t.ping_interval);
        CHECK(t.close <= t.write);
    }
}

TEST_CASE("presets differ in the direction that their names say") {
    CHECK(presets::lan.limits.message_bytes > presets::internet.limits.message_bytes);
    CHECK(presets::lan.limits.queue_bytes > presets::internet.limits.queue_bytes);
    CHECK(presets::lan.timeouts.ping_interval < presets::internet.timeouts.ping_interval);
    CHECK(presets::embedded.limits.message_bytes < presets::internet.limits.message_bytes);
    CHECK(presets::embedded.limits.queue_bytes < presets::internet.limits.queue_bytes);
    CHECK(presets::embedded.http.head_bytes < presets::internet.http.head_bytes);
    CHECK(presets::embedded.budget.send_bytes < presets::internet.budget.send_bytes);
    CHECK(presets::embedded.budget.handshakes < presets::internet.budget.handshakes);
}
