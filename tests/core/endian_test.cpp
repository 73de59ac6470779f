#include <duplex/core/endian.hpp>

#include "support/catch.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>

namespace {

constexpr std::array<std::byte, 9> sample{std::byte{0xFF}, std::byte{0x01}, std::byte{0x82},
                                          std::byte{0x03}, std::byte{0x84}, std::byte{0x05},
                                          std::byte{0x86}, std::byte{0x07}, std::byte{0x88}};

} // namespace

TEST_CASE("loads the most significant byte first") {
    CHECK(duplex::load_big<std::uint8_t>(sample.data() + 1) == 0x01);
    CHECK(duplex::load_big<std::uint16_t>(sample.data() + 1) == 0x0182);
    CHECK(duplex::load_big<std::uint32_t>(sample.data() + 1) == 0x01820384);
    CHECK(duplex::load_big<std::uint64_t>(sample.data() + 1) == 0x0182038405860788);
    static_assert(duplex::load_big<std::uint16_t>(sample.data()) == 0xFF01);
}

TEST_CASE("stores the most significant byte first, and only its own bytes") {
    std::array<std::byte, 10> out{};
    duplex::store_big(out.data() + 1, std::uint64_t{0x0182038405860788});
    for (std::size_t i = 1; i < sample.size(); ++i)
        CHECK(out[i] == sample[i]);
    CHECK(out[0] == std::byte{});
    CHECK(out[9] == std::byte{});

    out = {};
    duplex::store_big(out.data() + 3, std::uint16_t{0xABCD});
    CHECK(out[2] == std::byte{});
    CHECK(out[3] == std::byte{0xAB});
    CHECK(out[4] == std::byte{0xCD});
    CHECK(out[5] == std::byte{});
}

TEST_CASE("loads what it stored, at every alignment") {
    for (std::size_t at = 0; at < 8; ++at) {
        std::array<std::byte, 16> out{};
        for (const std::uint64_t value :
             {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{0x7FFF'FFFF'FFFF'FFFF},
              std::numeric_limits<std::uint64_t>::max(), std::uint64_t{126}}) {
            duplex::store_big(out.data() + at, value);
            CAPTURE(at, value);
            CHECK(duplex::load_big<std::uint64_t>(out.data() + at) == value);
            duplex::store_big(out.data() + at, static_cast<std::uint32_t>(value));
            CHECK(duplex::load_big<std::uint32_t>(out.data() + at) == static_cast<std::uint32_t>(value));
        }
    }
}
