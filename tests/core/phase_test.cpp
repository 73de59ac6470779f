#include <duplex/core/phase.hpp>

#include "support/catch.hpp"

#include <set>
#include <string_view>

using duplex::phase;

TEST_CASE("each phase has its own name") {
    std::set<std::string_view> names;
    for (int i = 0; i <= static_cast<int>(phase::closing); ++i)
        names.insert(to_string(static_cast<phase>(i)));
    CHECK(names.size() == 8);
    CHECK(names.count("") == 0);
    CHECK(to_string(phase::prepare) == "prepare");
    CHECK(to_string(phase::resolve) == "resolve");
    CHECK(to_string(phase::connect) == "connect");
    CHECK(to_string(phase::proxy) == "proxy");
    CHECK(to_string(phase::tls) == "tls");
    CHECK(to_string(phase::upgrade) == "upgrade");
    CHECK(to_string(phase::open) == "open");
    CHECK(to_string(phase::closing) == "closing");
}

TEST_CASE("phases are in the order in which a connection comes to them") {
    CHECK(phase::prepare < phase::resolve);
    CHECK(phase::connect < phase::proxy);
    CHECK(phase::proxy < phase::tls);
    CHECK(phase::tls < phase::upgrade);
    CHECK(phase::open < phase::closing);
}

TEST_CASE("what is no phase has no name") { CHECK(to_string(static_cast<phase>(200)).empty()); }
