#include <duplex/core/opcode.hpp>

#include "support/catch.hpp"

#include <set>
#include <string_view>

using duplex::opcode;

TEST_CASE("the opcodes have the numbers of RFC 6455 5.2") {
    CHECK(static_cast<unsigned>(opcode::continuation) == 0x0);
    CHECK(static_cast<unsigned>(opcode::text) == 0x1);
    CHECK(static_cast<unsigned>(opcode::binary) == 0x2);
    CHECK(static_cast<unsigned>(opcode::close) == 0x8);
    CHECK(static_cast<unsigned>(opcode::ping) == 0x9);
    CHECK(static_cast<unsigned>(opcode::pong) == 0xA);
}

TEST_CASE("of the sixteen opcodes ten are reserved") {
    const std::set<unsigned> known{0x0, 0x1, 0x2, 0x8, 0x9, 0xA};
    for (unsigned bits = 0; bits < 16; ++bits) {
        CAPTURE(bits);
        CHECK(duplex::is_reserved_opcode(bits) == (known.count(bits) == 0));
    }
}

TEST_CASE("close, ping and pong are control opcodes") {
    CHECK(duplex::is_control(opcode::close));
    CHECK(duplex::is_control(opcode::ping));
    CHECK(duplex::is_control(opcode::pong));
    CHECK_FALSE(duplex::is_control(opcode::continuation));
    CHECK_FALSE(duplex::is_control(opcode::text));
    CHECK_FALSE(duplex::is_control(opcode::binary));
}

TEST_CASE("each opcode has a name of its own") {
    std::set<std::string_view> names;
    for (unsigned bits = 0; bits < 16; ++bits) {
        const auto name = duplex::to_string(static_cast<opcode>(bits));
        CAPTURE(bits);
        CHECK((name == "reserved") == duplex::is_reserved_opcode(bits));
        names.insert(name);
    }
    CHECK(names.size() == 7);
}
