#pragma once

#include "support/catch.hpp"

#include <duplex/core/role.hpp>

namespace duplex::testing {

/// One role in one run of the test, the other in the next.
[[nodiscard]] inline role any_role() { return GENERATE(values({role::server, role::client})); }

} // namespace duplex::testing
