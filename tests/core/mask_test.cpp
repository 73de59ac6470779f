#include <duplex/core/mask.hpp>

#include "support/catch.hpp"

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <random>
#include <span>
#include <string_view>
#include <vector>

namespace {

using bytes = std::vector<std::byte>;

constexpr duplex::mask_key key{std::byte{0x37}, std::byte{0xFA}, std::byte{0x21}, std::byte{0x3D}};

bytes random_bytes(std::size_t size) {
    std::mt19937 engine(static_cast<std::uint32_t>(size) + 1);
    bytes data(size);
    for (auto& byte : data)
        byte = static_cast<std::byte>(engine() & 0xFF);
    return data;
}

/// RFC 6455 5.3 word for word: octet i of the data XOR octet i modulo 4 of the key.
bytes masked(std::span<const std::byte> data, std::size_t offset) {
    bytes result(data.begin(), data.end());
    for (std::size_t i = 0; i < result.size(); ++i)
        result[i] ^= key[(offset + i) % 4];
    return result;
}

std::uint32_t turned(std::size_t offset) {
    return duplex::detail::turn_key(std::bit_cast<std::uint32_t>(key), offset);
}

/// The widths at which the work is divided differently, and their neighbours.
std::vector<std::size_t> sizes() {
    std::vector<std::size_t> all;
    for (std::size_t size = 0; size <= 300; ++size)
        all.push_back(size);
    for (std::size_t size = 505; size <= 680; ++size)
        all.push_back(size);
    all.insert(all.end(), {1000, 1023, 1024, 4096, 4097, 65'537});
    return all;
}

} // namespace

TEST_CASE("masks the Hello of RFC 6455 5.7") {
    const std::array wire{std::byte{0x7F}, std::byte{0x9F}, std::byte{0x4D}, std::byte{0x51},
                          std::byte{0x58}};
    std::array<std::byte, 5> data{};
    const auto hello = std::as_bytes(std::span(std::string_view("Hello")));
    duplex::mask_copy(data.data(), hello, key);
    CHECK(data == wire);
    duplex::mask(data, key);
    CHECK(bytes(data.begin(), data.end()) == bytes(hello.begin(), hello.end()));
}

TEST_CASE("masks every size at every key offset") {
    for (const std::size_t size : sizes()) {
        const bytes data = random_bytes(size);
        for (std::size_t offset = 0; offset < 4; ++offset) {
            CAPTURE(size, offset);
            const bytes expected = masked(data, offset);

            bytes in_place = data;
            duplex::mask(in_place, key, offset);
            REQUIRE(in_place == expected);

            bytes copy(size);
            duplex::mask_copy(copy.data(), data, key, offset);
            REQUIRE(copy == expected);

            bytes portable(size);
            duplex::detail::mask_portable(portable.data(), data.data(), size, turned(offset));
            REQUIRE(portable == expected);

            if (size > 32) {
                bytes narrow = data;
                duplex::detail::mask_blocks<duplex::detail::mask_vector>(narrow.data(), narrow.data(), size,
                                                                         turned(offset));
                REQUIRE(narrow == expected);
            }
        }
    }
}

TEST_CASE("masks at every alignment and leaves the bytes around alone") {
    for (const std::size_t size : sizes()) {
        if (size > 600) continue;
        for (std::size_t start = 0; start < 33; start += size < 70 || size > 500 ? 1 : 8) {
            CAPTURE(size, start);
            bytes buffer = random_bytes(size + 80);
            const bytes before = buffer;
            const auto payload = std::span(buffer).subspan(start, size);
            const bytes expected = masked(payload, 3);
            duplex::mask(payload, key, 3);
            REQUIRE(bytes(payload.begin(), payload.end()) == expected);
            for (std::size_t i = 0; i < buffer.size(); ++i)
                if (i < start || i >= start + size) REQUIRE(buffer[i] == before[i]);
        }
    }
}

TEST_CASE("touches nothing outside a buffer of the exact size") {
    // Each block is allocated for itself, so that a sanitizer sees the first byte too many.
    for (std::size_t size = 1; size <= 600; ++size) {
        const bytes source = random_bytes(size);
        const auto from = std::make_unique<std::byte[]>(size);
        const auto to = std::make_unique<std::byte[]>(size);
        std::copy(source.begin(), source.end(), from.get());
        duplex::mask_copy(to.get(), {from.get(), size}, key, 1);
        CAPTURE(size);
        REQUIRE(bytes(to.get(), to.get() + size) == masked(source, 1));
        duplex::mask({from.get(), size}, key, 1);
        REQUIRE(bytes(from.get(), from.get() + size) == masked(source, 1));
    }
}

TEST_CASE("masks a payload that comes in pieces as if it came whole") {
    const bytes data = random_bytes(700);
    const bytes expected = masked(data, 0);
    for (std::size_t cut = 0; cut <= data.size(); ++cut) {
        bytes pieces = data;
        duplex::mask(std::span(pieces).first(cut), key, 0);
        duplex::mask(std::span(pieces).subspan(cut), key, cut);
        CAPTURE(cut);
        REQUIRE(pieces == expected);
    }
}

TEST_CASE("takes only the offset modulo four") {
    bytes near = random_bytes(77);
    bytes far = near;
    duplex::mask(near, key, 3);
    duplex::mask(far, key, (std::size_t{1} << 31) + 3);
    CHECK(near == far);
}

TEST_CASE("masks an empty payload, with or without an address") {
    bytes one{std::byte{0x55}};
    duplex::mask({}, key, 2);
    duplex::mask(std::span(one).first(0), key, 2);
    duplex::mask_copy(one.data(), {}, key);
    CHECK(one[0] == std::byte{0x55});
}
