#include <duplex/core/detail/sha1_instructions.hpp>
#include <duplex/core/sha1.hpp>

#include "support/catch.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace {

std::string sha1_hex(std::string_view text) {
    std::string hex;
    for (const std::byte byte : duplex::sha1(std::as_bytes(std::span(text)))) {
        constexpr std::string_view digits = "0123456789abcdef";
        hex += digits[std::to_integer<std::size_t>(byte >> 4)];
        hex += digits[std::to_integer<std::size_t>(byte & std::byte{0x0F})];
    }
    return hex;
}

} // namespace

TEST_CASE("gives the digests of FIPS 180") {
    CHECK(sha1_hex("") == "da39a3ee5e6b4b0d3255bfef95601890afd80709");
    CHECK(sha1_hex("abc") == "a9993e364706816aba3e25717850c26c9cd0d89d");
    CHECK(sha1_hex("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq") ==
          "84983e441c3bd26ebaae4aa1f95129e5e54670f1");
    CHECK(sha1_hex(
              "abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrlmno"
              "pqrsmnopqrstnopqrstu") == "a49b2446a02c645bf419f995b67091253a04a259");
    CHECK(sha1_hex(std::string(1'000'000, 'a')) == "34aa973cd4c4daa4f61eeb2bdbad27316534016f");
}

TEST_CASE("gives the digest of the sample key of RFC 6455 1.3") {
    CHECK(sha1_hex("dGhlIHNhbXBsZSBub25jZQ==258EAFA5-E914-47DA-95CA-C5AB0DC85B11") ==
          "b37a4f2cc0624f1690f64606cf385945b2bec4ea");
}

TEST_CASE("pads at each side of a block boundary") {
    // The length takes eight bytes and the one bit another: 55 bytes are the most that fit in one block.
    CHECK(sha1_hex(std::string(55, 'a')) == "c1c8bbdc22796e28c0e15163d20899b65621d65a");
    CHECK(sha1_hex(std::string(56, 'a')) == "c2db330f6083854c99d4b5bfb6e8f29f201be699");
    CHECK(sha1_hex(std::string(63, 'a')) == "03f09f5b158a7a8cdad920bddc29b81c18a551f5");
    CHECK(sha1_hex(std::string(64, 'a')) == "0098ba824b5c16427bd7a1122a5a442a25ec644d");
    CHECK(sha1_hex(std::string(65, 'a')) == "11655326c708d70319be2610e8a57d9a5b959d3b");
    CHECK(sha1_hex(std::string(119, 'a')) == "ee971065aaa017e0632a8ca6c77bb3bf8b1dfc56");
    CHECK(sha1_hex(std::string(120, 'a')) == "f34c1488385346a55709ba056ddd08280dd4c6d6");
}

TEST_CASE("digests at compile time") {
    constexpr auto digest = duplex::sha1({});
    static_assert(digest[0] == std::byte{0xDA} && digest[19] == std::byte{0x09});
    CHECK(digest == duplex::sha1({}));
}

TEST_CASE("the processor's instructions and the steps of RFC 3174 come to the same") {
    if (!duplex::detail::has_sha1_instructions()) {
        WARN("not run: this processor has no instructions for SHA-1");
        return;
    }
    std::array<std::byte, 64> block{};
    auto by_steps = duplex::detail::sha1_begin;
    auto by_instructions = by_steps;
    std::uint32_t random = 1;
    for (int count = 0; count < 1000; ++count) {
        for (auto& byte : block) {
            random = random * 1664525 + 1013904223;
            byte = static_cast<std::byte>(random >> 24);
        }
        duplex::detail::sha1_block(by_steps, duplex::detail::sha1_spread(block.data()));
        duplex::detail::sha1_by_instructions(by_instructions, block.data());
        REQUIRE(by_steps == by_instructions);
    }
}
