#include <duplex/core/random.hpp>

#include "support/catch.hpp"
#include "support/system_faults.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <set>
#include <span>
#include <thread>
#include <vector>

#if !defined(_WIN32)
#include <sys/wait.h>
#include <unistd.h>
#endif

namespace {

using bytes = std::vector<std::byte>;

bytes drawn(std::size_t size) {
    bytes out(size);
    REQUIRE(duplex::fill_random(out));
    return out;
}

/// An operating system whose answers the test chooses.
struct scripted_entropy {
    static inline bool fails = false;
    static inline unsigned char value = 0;
    static inline unsigned asked = 0;

    bool operator()(std::span<std::byte> out) const noexcept {
        ++asked;
        std::fill(out.begin(), out.end(), std::byte{value});
        return !fails;
    }

    static void start(unsigned char seed) {
        fails = false;
        value = seed;
        asked = 0;
    }
};

using scripted_generator = duplex::detail::random_generator<scripted_entropy>;

} // namespace

TEST_CASE("computes the ChaCha20 block of RFC 8439 2.3.2") {
    const std::uint32_t in[16] = {0x61707865, 0x3320646e, 0x79622d32, 0x6b206574, 0x03020100, 0x07060504,
                                  0x0b0a0908, 0x0f0e0d0c, 0x13121110, 0x17161514, 0x1b1a1918, 0x1f1e1d1c,
                                  0x00000001, 0x09000000, 0x4a000000, 0x00000000};
    const std::uint32_t expected[16] = {
        0xe4e7f110, 0x15593bd1, 0x1fdd0f50, 0xc47120a3, 0xc7f4d1c7, 0x0368c033, 0x9aaa2204, 0x4e6cd4c3,
        0x466482d2, 0x09aa9f07, 0x05d7c214, 0xa2028bd9, 0xd19c12b5, 0xb94e16de, 0xe883d0cb, 0x4e3c50a2};
    std::uint32_t out[16];
    duplex::detail::chacha20_rounds(in, out);
    CHECK(std::equal(std::begin(out), std::end(out), std::begin(expected)));
}

TEST_CASE("computes several blocks at once as one after the other") {
    std::byte key[32];
    for (unsigned i = 0; i < 32; ++i)
        key[i] = static_cast<std::byte>(i * 7 + 1);
    alignas(16) std::byte stream[512];
    duplex::detail::chacha20_fill(key, stream);

    constexpr std::size_t lanes = duplex::detail::chacha20_lanes;
    for (std::uint32_t block = 0; block < 8; ++block) {
        std::uint32_t in[16] = {0x61707865, 0x3320646e, 0x79622d32, 0x6b206574};
        std::memcpy(in + 4, key, sizeof key);
        in[12] = block;
        std::uint32_t out[16];
        duplex::detail::chacha20_rounds(in, out);
        for (std::size_t word = 0; word < 16; ++word) {
            std::uint32_t value = 0;
            std::memcpy(&value, stream + block / lanes * lanes * 64 + word * lanes * 4 + block % lanes * 4,
                        4);
            CAPTURE(block, word);
            CHECK(value == out[word]);
        }
    }
}

TEST_CASE("draws a fresh mask for each frame") {
    // 100,000 keys of 32 bits meet about once; a hundred meetings do not happen to a random source.
    std::set<duplex::mask_key> seen;
    for (int i = 0; i < 100'000; ++i) {
        duplex::mask_key key{};
        REQUIRE(duplex::random_mask_key(key));
        seen.insert(key);
    }
    CHECK(seen.size() > 99'900);
}

TEST_CASE("never repeats sixteen bytes, however they are drawn") {
    std::set<bytes> seen;
    std::size_t total = 0;
    for (std::size_t size : {16U, 32U, 480U, 496U, 512U, 4096U, 16U, 1600U}) {
        const bytes all = drawn(size);
        for (std::size_t at = 0; at < size; at += 16, ++total)
            seen.insert(bytes(all.begin() + static_cast<std::ptrdiff_t>(at),
                              all.begin() + static_cast<std::ptrdiff_t>(at + 16)));
    }
    CHECK(seen.size() == total);
}

TEST_CASE("sets each bit about half of the time") {
    const bytes all = drawn(1 << 16);
    for (unsigned bit = 0; bit < 8; ++bit) {
        const auto ones = std::count_if(
            all.begin(), all.end(), [bit](std::byte b) { return (b >> bit & std::byte{1}) != std::byte{}; });
        CAPTURE(bit);
        // 65,536 draws: the deviation is 128, and this is twelve of them.
        CHECK(ones > 32'768 - 1536);
        CHECK(ones < 32'768 + 1536);
    }
}

TEST_CASE("fills spans of every size to their last byte and not beyond") {
    for (std::size_t size = 0; size < 1100; size += size < 20 ? 1 : 77) {
        bytes merged(size);
        for (int i = 0; i < 8; ++i) {
            bytes out(size + 1, std::byte{0});
            REQUIRE(duplex::fill_random(std::span(out).first(size)));
            REQUIRE(out.back() == std::byte{0});
            for (std::size_t at = 0; at < size; ++at)
                merged[at] |= out[at];
        }
        CAPTURE(size);
        // Each byte is zero eight times in a row only once in 2^64.
        CHECK(std::count(merged.begin(), merged.end(), std::byte{0}) == 0);
    }
}

TEST_CASE("threads draw different streams") {
    bytes here = drawn(64);
    bytes there(64);
    bytes elsewhere(64);
    bool good = true;
    std::thread([&] { good = duplex::fill_random(there); }).join();
    CHECK(good);
    std::thread([&] { good = duplex::fill_random(elsewhere); }).join();
    CHECK(good);
    CHECK(here != there);
    CHECK(there != elsewhere);
    CHECK(here != elsewhere);
}

TEST_CASE("takes one seed and lets it feed many refills") {
    scripted_entropy::start(1);
    scripted_generator generator;
    CHECK(scripted_entropy::asked == 0);
    bytes out(10'000);
    CHECK(generator.fill(out));
    duplex::mask_key key{};
    for (int i = 0; i < 1000; ++i)
        REQUIRE(generator.draw(key));
    CHECK(scripted_entropy::asked == 1);
}

TEST_CASE("the seed decides the stream") {
    const auto stream = [](unsigned char seed) {
        scripted_entropy::start(seed);
        scripted_generator generator;
        bytes out(1500);
        CHECK(generator.fill(out));
        return out;
    };
    CHECK(stream(1) == stream(1));
    CHECK(stream(1) != stream(2));
}

TEST_CASE("small draws and large ones take from the same stream") {
    scripted_entropy::start(9);
    scripted_generator one;
    scripted_generator other;
    bytes whole(4 * 500);
    CHECK(one.fill(whole));
    for (std::size_t i = 0; i < 500; ++i) {
        duplex::mask_key key{};
        REQUIRE(other.draw(key));
        CAPTURE(i);
        REQUIRE(std::equal(key.begin(), key.end(), whole.begin() + static_cast<std::ptrdiff_t>(4 * i)));
    }
}

TEST_CASE("a draw takes a new block rather than the scraps of the old one") {
    scripted_entropy::start(4);
    scripted_generator generator;
    bytes scraps(477);
    CHECK(generator.fill(scraps)); // three bytes of the block are left
    for (int i = 0; i < 200; ++i) {
        duplex::mask_key key{};
        REQUIRE(generator.draw(key));
        REQUIRE(key != duplex::mask_key{});
    }
}

TEST_CASE("erases what it gave out") {
    scripted_entropy::start(5);
    scripted_generator generator;
    bytes out(200);
    CHECK(generator.fill(out));
    const auto memory = std::as_bytes(std::span(&generator, 1));
    for (std::size_t at = 0; at < out.size(); at += 8) {
        CAPTURE(at);
        const auto piece = std::span(out).subspan(at, 8);
        CHECK(std::search(memory.begin(), memory.end(), piece.begin(), piece.end()) == memory.end());
    }
}

TEST_CASE("says so when the operating system gives no seed, and asks again next time") {
    scripted_entropy::start(6);
    scripted_entropy::fails = true;
    scripted_generator generator;
    duplex::mask_key key{};
    bytes out(5);
    CHECK_FALSE(generator.draw(key));
    CHECK(key == duplex::mask_key{});
    CHECK_FALSE(generator.fill(out));
    CHECK(out == bytes(5));
    CHECK(scripted_entropy::asked == 2);
    scripted_entropy::fails = false;
    CHECK(generator.draw(key));
    CHECK(key != duplex::mask_key{});
}

TEST_CASE("needs no seed to fill nothing") {
    scripted_entropy::start(7);
    scripted_entropy::fails = true;
    scripted_generator generator;
    CHECK(generator.fill({}));
}

TEST_CASE("takes a new seed once a fork was counted, though its block is not used up") {
    scripted_entropy::start(10);
    scripted_generator generator;
    scripted_generator same;
    duplex::mask_key key{};
    duplex::mask_key next{};
    CHECK(generator.draw(key));
    CHECK(same.draw(next));
    REQUIRE(key == next);
    duplex::detail::fork_count.fetch_add(1);
    scripted_entropy::value = 11;
    CHECK(generator.draw(key));
    CHECK(scripted_entropy::asked == 3);
    // Without a seed it would rather give nothing than what its parent may give, too.
    scripted_entropy::fails = true;
    next = {};
    CHECK_FALSE(same.draw(next));
    CHECK(next == duplex::mask_key{});
    duplex::detail::fork_count.fetch_sub(1);
    CHECK_FALSE(same.draw(next));
}

#if defined(DUPLEX_TESTING_FAULTS)

TEST_CASE("asks the system again where it was interrupted or gave only a part") {
    static int calls = 0;
    static std::size_t first_size = 0;
    calls = 0;
    bytes out(40);
    bool good = false;
    {
        const duplex::testing::scripted_random system{[](void* to, std::size_t size) -> ssize_t {
            if (++calls == 1) first_size = size;
            if (calls % 2 == 1) {
                errno = EINTR;
                return -1;
            }
            const std::size_t part = std::min<std::size_t>(size, 15);
            std::memset(to, calls, part);
            return static_cast<ssize_t>(part);
        }};
        good = duplex::detail::os_entropy{}(out);
    }
    CHECK(good);
    CHECK(calls == 6);
    CHECK(first_size == out.size());
    bytes wanted(40, std::byte{6});
    std::fill_n(wanted.begin(), 15, std::byte{2});
    std::fill_n(wanted.begin() + 15, 15, std::byte{4});
    CHECK(out == wanted);
}

TEST_CASE("says so when the system gives nothing or an error") {
    bytes out(8);
    bool nothing = true;
    {
        const duplex::testing::scripted_random system{[](void*, std::size_t) -> ssize_t {
            errno = EINTR; // of an earlier call
            return 0;
        }};
        nothing = duplex::detail::os_entropy{}(out);
    }
    CHECK_FALSE(nothing);
    const duplex::testing::scripted_random system{duplex::testing::scripted_random::none};
    CHECK_FALSE(duplex::detail::os_entropy{}(out));
}

TEST_CASE("a thread that got no seed draws nothing until it gets one") {
    duplex::mask_key key{};
    bytes out(8);
    bool refused = false;
    bool drew = false;
    // A thread of its own, which has no seed from earlier.
    std::thread([&] {
        {
            const duplex::testing::scripted_random system{duplex::testing::scripted_random::none};
            refused = !duplex::fill_random(out) && !duplex::random_mask_key(key) && out == bytes(8) &&
                      key == duplex::mask_key{};
        }
        drew = duplex::fill_random(out) && duplex::random_mask_key(key);
    }).join();
    CHECK(refused);
    CHECK(drew);
    CHECK(out != bytes(8));
}

#endif

#if defined(_WIN32)

TEST_CASE("a child of fork draws other bytes than its parent") { WARN("this system has no fork"); }

#else

namespace {

/// What a child of `fork` writes when it runs `work`, or nothing where it could not be run.
template <class Work>
bytes from_child(std::size_t size, Work work) {
    int ends[2];
    REQUIRE(::pipe(ends) == 0);
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        bytes out(size);
        const bool sent =
            work(std::span(out)) && ::write(ends[1], out.data(), size) == static_cast<ssize_t>(size);
        ::_exit(sent ? 0 : 1);
    }
    ::close(ends[1]);
    bytes out(size);
    std::size_t got = 0;
    while (got < size) {
        const ssize_t count = ::read(ends[0], out.data() + got, size - got);
        if (count <= 0) break;
        got += static_cast<std::size_t>(count);
    }
    ::close(ends[0]);
    int status = 1;
    ::waitpid(child, &status, 0);
    CHECK(status == 0);
    CHECK(got == size);
    return out;
}

} // namespace

TEST_CASE("a child of fork draws other bytes than its parent") {
    (void)drawn(10); // so that the child inherits a block that is half used
    const auto draw = [](std::span<std::byte> out) { return duplex::fill_random(out); };
    const bytes first = from_child(64, draw);
    const bytes second = from_child(64, draw);
    const bytes parent = drawn(64);
    CHECK(first != parent);
    CHECK(second != parent);
    CHECK(first != second);
}

TEST_CASE("a child of fork masks with other keys than its parent") {
    duplex::mask_key warm{};
    REQUIRE(duplex::random_mask_key(warm));
    const auto keys = [](std::span<std::byte> out) {
        bool good = true;
        for (std::size_t at = 0; at < out.size(); at += 4) {
            duplex::mask_key key{};
            good = good && duplex::random_mask_key(key);
            std::copy(key.begin(), key.end(), out.begin() + static_cast<std::ptrdiff_t>(at));
        }
        return good;
    };
    const bytes child = from_child(64, keys);
    bytes parent(64);
    CHECK(keys(parent));
    CHECK(child != parent);
}

TEST_CASE("a grandchild draws other bytes than a child that drew nothing") {
    (void)drawn(10);
    const bytes grandchild = from_child(64, [](std::span<std::byte> out) {
        int ends[2];
        if (::pipe(ends) != 0) return false;
        const pid_t child = ::fork();
        if (child < 0) return false;
        if (child == 0) {
            const bool good = duplex::fill_random(out.first(32)) && ::write(ends[1], out.data(), 32) == 32;
            ::_exit(good ? 0 : 1);
        }
        int status = 1;
        return duplex::fill_random(out.subspan(32)) && ::read(ends[0], out.data(), 32) == 32 &&
               ::waitpid(child, &status, 0) == child && status == 0;
    });
    CHECK_FALSE(std::equal(grandchild.begin(), grandchild.begin() + 32, grandchild.begin() + 32));
}

TEST_CASE("without the count of forks a child would draw what its parent draws") {
    // What the tests above rest on: the same block in both, told apart by nothing but the count.
    scripted_entropy::start(8);
    scripted_generator generator;
    bytes out(10);
    REQUIRE(generator.fill(out));
    const bytes reseeded = from_child(32, [&generator](std::span<std::byte> to) {
        scripted_entropy::value = 99;
        return generator.fill(to) && scripted_entropy::asked == 2;
    });
    const bytes kept = from_child(32, [&generator](std::span<std::byte> to) {
        duplex::detail::fork_count.fetch_sub(1);
        return generator.fill(to) && scripted_entropy::asked == 1;
    });
    bytes parent(32);
    REQUIRE(generator.fill(parent));
    CHECK(reseeded != parent);
    CHECK(kept == parent);
}

#endif
