#include <duplex/deflate.hpp>
#include <duplex/net/connection.hpp>

// Compressed lives whose streams fail at each step.

#include "support/fault_life.hpp"

using namespace duplex;
using namespace duplex::testing;

TEST_CASE("whatever step fails while messages are compressed, each operation ends once") {
    fault_plan plan;
    const bool keeps = GENERATE(false, true);
    plan.accept.deflate = deflate_options{.context_takeover = keeps, .threshold = 1};
    plan.handshake.deflate = deflate_options{.context_takeover = keeps, .threshold = 1};
    plan.client.hold_back = true;
    plan.sizes = {5, 200, 300'000};
    plan.capacity = 100;
    fail_each_step(plan);
}
