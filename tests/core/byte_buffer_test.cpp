#include <duplex/core/byte_buffer.hpp>

#include "support/block_cache.hpp"
#include "support/catch.hpp"
#include "support/system_faults.hpp"
#include "support/wire.hpp"

#include <array>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <span>
#include <thread>
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

TEST_CASE("of the freed blocks the smallest that has room for the wish is taken, else the largest") {
    using cache = duplex::detail::block_cache;
    const auto taken = [](std::size_t wish) {
        duplex::testing::forget_blocks();
        {
            std::vector<duplex::byte_buffer> many(5);
            // They are freed, and then looked at, in this order.
            std::size_t next = 0;
            for (const std::size_t size : {512U, 1024U, 128U, 256U, 64U})
                REQUIRE(many[next++].reserve(size << 10));
        }
        duplex::byte_buffer one;
        REQUIRE(one.reserve(cache::smallest, wish << 10));
        return one.capacity() >> 10;
    };
    const auto forgets = taken(64) == 64 && taken(65) == 64;
    // A sanitizer wants to see what is used after it was freed, so there nothing is kept.
    if (forgets) return;
    CHECK(taken(0) == 64);
    CHECK(taken(65) == 128);
    CHECK(taken(200) == 256);
    CHECK(taken(257) == 512);
    CHECK(taken(1024) == 1024);
    CHECK(taken(4096) == 1024);
}

TEST_CASE("a block too many is freed, however small the others are") {
    using cache = duplex::detail::block_cache;
    duplex::testing::forget_blocks();
    std::vector<duplex::byte_buffer> many(12);
    for (auto& each : many)
        REQUIRE(each.reserve(cache::smallest));
    many.clear();
    const auto kept = duplex::testing::forget_blocks();
    // None where a sanitizer watches.
    CHECK((kept == 0 || kept == 8 * cache::smallest));
}

namespace {

/// Uses a large buffer when its thread ends.
struct late_user {
    bool* worked = nullptr;

    ~late_user() {
        byte_buffer large;
        if (worked == nullptr || !large.reserve(1 << 20)) return;
        *worked = duplex::detail::block_cache::take(duplex::detail::block_cache::smallest, 0).data == nullptr;
    }
};

} // namespace

TEST_CASE("a buffer may outlive what its thread keeps") {
    bool worked = false;
    std::thread([&] {
        // Made before the thread's cache, and so destroyed behind it.
        thread_local late_user user;
        user.worked = &worked;
        byte_buffer large;
        if (!large.reserve(1 << 20)) user.worked = nullptr;
    }).join();
    CHECK(worked);
}

TEST_CASE("appends what lies in several places, one after the other") {
    byte_buffer buffer;
    CHECK(buffer.append_all({}));
    CHECK(buffer.empty());
    REQUIRE(buffer.append(view("0")));
    const octets long_one(5000, 'x');
    const std::array<std::span<const std::byte>, 5> parts{view("12"), {}, view(long_one), view("3"), {}};
    REQUIRE(buffer.append_all(parts));
    CHECK((to_octets(buffer.bytes()) == "012" + long_one + "3"));
    // More than there is memory in the world.
    const std::span<const std::byte> endless{buffer.data(), static_cast<std::size_t>(-1) / 2};
    const std::array<std::span<const std::byte>, 3> many{endless, endless, endless};
    CHECK_FALSE(buffer.append_all(many));
    CHECK_FALSE(buffer.append_all(std::span{many}.first(1)));
    CHECK((to_octets(buffer.bytes()) == "012" + long_one + "3"));
}

#if defined(DUPLEX_TESTING_FAULTS)

TEST_CASE("keeps its contents when memory runs out, and grows once there is some") {
    byte_buffer buffer;
    REQUIRE(buffer.append(view("kept")));
    const auto capacity = buffer.capacity();
    const octets more(2 * capacity, 'm');
    CHECK(!without_memory([&] { return buffer.reserve(capacity + 1); }));
    CHECK(without_memory([&] { return buffer.prepare(capacity); }) == nullptr);
    CHECK(!without_memory([&] { return buffer.append(view(more)); }));
    CHECK(buffer.capacity() == capacity);
    CHECK(to_octets(buffer.bytes()) == "kept");
    // What there is room for takes no memory.
    CHECK(without_memory([&] { return buffer.reserve(capacity) && buffer.append(view("!")); }));
    REQUIRE(buffer.append(view(more)));
    CHECK((to_octets(buffer.bytes()) == "kept!" + more));
}

#endif
