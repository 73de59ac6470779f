#include <duplex/core/close_code.hpp>

#include "support/catch.hpp"

#include <cstdint>
#include <set>
#include <string_view>

using duplex::close_code;

TEST_CASE("a Close frame may carry the registered codes and 3000-4999") {
    const std::set<unsigned> registered{1000, 1001, 1002, 1003, 1007, 1008,
                                        1009, 1010, 1011, 1012, 1013, 1014};
    for (unsigned code = 0; code <= 0xFFFF; ++code) {
        const bool expected = registered.count(code) != 0 || (code >= 3000 && code <= 4999);
        if (duplex::may_travel(static_cast<std::uint16_t>(code)) != expected) FAIL("code " << code);
    }
    SUCCEED();
}

TEST_CASE("the codes that only report an end never travel") {
    CHECK_FALSE(duplex::may_travel(close_code::no_status));
    CHECK_FALSE(duplex::may_travel(close_code::abnormal));
    CHECK_FALSE(duplex::may_travel(close_code::tls_handshake));
    CHECK(duplex::may_travel(close_code::normal));
    CHECK(duplex::may_travel(static_cast<close_code>(4999)));
}

TEST_CASE("a code is its number") {
    CHECK(duplex::to_number(close_code::normal) == 1000);
    CHECK(duplex::to_number(close_code::invalid_payload) == 1007);
    CHECK(duplex::to_number(close_code::tls_handshake) == 1015);
    CHECK(duplex::to_number(static_cast<close_code>(4321)) == 4321);
}

TEST_CASE("the registered codes have names, all different, and the others none") {
    std::set<std::string_view> names;
    unsigned named = 0;
    for (unsigned code = 0; code <= 0xFFFF; ++code) {
        const auto name = duplex::to_string(static_cast<close_code>(code));
        if (name.empty()) continue;
        ++named;
        names.insert(name);
        CAPTURE(code);
        CHECK(code >= 1000);
        CHECK(code <= 1015);
        CHECK(code != 1004);
    }
    CHECK(named == 15);
    CHECK(names.size() == named);
}
