#include <duplex/core/byte_buffer.hpp>

#include "support/block_cache.hpp"
#include "support/catch.hpp"
#include "support/wire.hpp"

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <utility>
#include <vector>

using namespace duplex;
using namespace duplex::testing;

TEST_CASE("begins empty and without memory") {
    byte_buffer buffer;
    CHECK(buffer.empty());
    CHECK(buffer.size() == 0);
    CHECK(buffer.capacity() == 0);
    CHECK(buffer.data() == nullptr);
    CHECK(buffer.bytes().empty());
    CHECK(buffer.append({}));
    CHECK(buffer.capacity() == 0);
}

TEST_CASE("appends behind what is there") {
    byte_buffer buffer;
    octets wanted;
    for (int i = 0; i < 300; ++i) {
        const octets piece(static_cast<std::size_t>(i), static_cast<char>(i));
        REQUIRE(buffer.append(view(piece)));
        wanted += piece;
        REQUIRE(buffer.size() == wanted.size());
        REQUIRE(buffer.capacity() >= buffer.size());
    }
    CHECK(to_octets(buffer.bytes()) == wanted);
    CHECK(to_octets(std::as_const(buffer).bytes()) == wanted);
    CHECK(std::as_const(buffer).data() == buffer.data());
}

TEST_CASE("counts prepared bytes only when they are committed") {
    byte_buffer buffer;
    std::byte* to = buffer.prepare(3);
    REQUIRE(to != nullptr);
    CHECK(buffer.empty());
    to[0] = std::byte{'a'};
    to[1] = std::byte{'b'};
    buffer.commit(2);
    CHECK(to_octets(buffer.bytes()) == "ab");
    CHECK(buffer.prepare(1) == buffer.data() + 2);
}

TEST_CASE("grows geometrically, so that single bytes cost linear time") {
    byte_buffer buffer;
    std::size_t growths = 0;
    for (int i = 0; i < 1'000'000; ++i) {
        const auto before = buffer.capacity();
        REQUIRE(buffer.prepare(1) != nullptr);
        buffer.commit(1);
        growths += buffer.capacity() != before ? 1U : 0U;
    }
    CHECK(growths < 40);
    CHECK(buffer.capacity() < 1'500'001);
}

TEST_CASE("reserves exactly what is asked for and never shrinks") {
    byte_buffer buffer;
    REQUIRE(buffer.reserve(1000));
    CHECK(buffer.capacity() == 1000);
    const auto* where = buffer.data();
    REQUIRE(buffer.reserve(10));
    CHECK(buffer.capacity() == 1000);
    REQUIRE(buffer.append(view(octets(1000, 'x'))));
    CHECK(buffer.data() == where);
}

TEST_CASE("says so when there is not so much memory, and keeps its contents") {
    byte_buffer buffer;
    REQUIRE(buffer.append(view("kept")));
    const auto capacity = buffer.capacity();
    CHECK(buffer.prepare(SIZE_MAX) == nullptr);
    CHECK(buffer.prepare(SIZE_MAX / 4) == nullptr);
    CHECK(buffer.capacity() == capacity);
    CHECK(to_octets(buffer.bytes()) == "kept");
}

TEST_CASE("takes bytes back, forgets them, and frees them") {
    byte_buffer buffer;
    REQUIRE(buffer.append(view("Hello")));
    buffer.shrink(2);
    CHECK(to_octets(buffer.bytes()) == "Hel");
    const auto capacity = buffer.capacity();
    buffer.clear();
    CHECK(buffer.empty());
    CHECK(buffer.capacity() == capacity);
    buffer.release();
    CHECK(buffer.capacity() == 0);
    CHECK(buffer.data() == nullptr);
}

TEST_CASE("moves its memory and leaves nothing behind") {
    byte_buffer from;
    REQUIRE(from.append(view("moved")));
    const auto* where = from.data();
    byte_buffer to{std::move(from)};
    CHECK(to.data() == where);
    CHECK(from.capacity() == 0); // NOLINT: a moved-from buffer is empty
    CHECK(from.empty());

    byte_buffer other;
    REQUIRE(other.append(view("overwritten")));
    other = std::move(to);
    CHECK(to_octets(other.bytes()) == "moved");
    CHECK(to.capacity() == 0); // NOLINT

    auto& same = other;
    other = std::move(same);
    CHECK(to_octets(other.bytes()) == "moved");

    byte_buffer swapped;
    swapped.swap(other);
    CHECK(to_octets(swapped.bytes()) == "moved");
    CHECK(other.empty());
}

TEST_CASE("a large block that was freed serves the next large buffer, up to the size that is wished for") {
    using cache = duplex::detail::block_cache;
    duplex::testing::forget_blocks();
    const std::byte* at = nullptr;
    {
        duplex::byte_buffer large;
        REQUIRE(large.reserve(1 << 20));
        at = large.data();
    }
    duplex::byte_buffer next;
    REQUIRE(next.append(std::as_bytes(std::span{"kept", 4})));
    REQUIRE(next.reserve(cache::smallest, 1 << 20));
    CHECK(next.size() == 4);
    CHECK(std::memcmp(next.data(), "kept", 4) == 0);
    // A sanitizer wants to see what is used after it was freed, so there nothing is kept.
    if (next.capacity() > cache::smallest) {
        CHECK(next.data() == at);
        CHECK(next.capacity() == 1 << 20);
    }
}

TEST_CASE("freed blocks are kept up to a bound, small ones not at all") {
    using cache = duplex::detail::block_cache;
    std::vector<duplex::byte_buffer> many(20);
    for (auto& each : many)
        REQUIRE(each.reserve(2 << 20));
    many.clear();
    CHECK(duplex::testing::forget_blocks() <= cache::most_bytes);
    {
        duplex::byte_buffer small;
        REQUIRE(small.reserve(cache::smallest - 1));
    }
    CHECK(cache::take(cache::smallest, 0).data == nullptr);
    CHECK(cache::take(1, 0).data == nullptr);
}
