#include <duplex/deflate/zlib_codec.hpp>

// Messages that come whole and without context takeover, which libdeflate does where there is one.

#include <duplex/deflate/detail/last_block.hpp>

#include "support/catch.hpp"
#include "support/deflating.hpp"
#include "support/system_faults.hpp"

#include <cstddef>
#include <memory>
#include <optional>
#include <random>
#include <span>
#include <string_view>
#include <vector>

using namespace duplex;
using namespace duplex::testing;
using detail::last_block;
using detail::stream_pool;

namespace {

constexpr deflate_params no_takeover{.server_no_context_takeover = true, .client_no_context_takeover = true};

std::unique_ptr<message_codec> make(role self, const deflate_params& agreed = no_takeover,
                                    const deflate_options& options = {}) {
    auto made = make_zlib_codec(self, agreed, options);
    REQUIRE(made);
    return made;
}

/// Passages of all kinds, for which compressors begin new blocks.
template <class Random>
octets some_passages(std::size_t size, Random& random) {
    octets all;
    while (all.size() < size)
        all += some_message(1 + random() % 20000, random);
    all.resize(size);
    return all;
}

/// How many blocks zlib finds in what it can read, and where the last one lies.
struct blocks_found {
    std::size_t count = 0;
    last_block::place last{};
};
std::optional<blocks_found> blocks_of(std::string_view data) {
    octets in{data};
    octets out(1 << 16, '\0');
    z_stream z{};
    REQUIRE(inflateInit2(&z, -15) == Z_OK);
    z.next_in = reinterpret_cast<Bytef*>(in.data());
    z.avail_in = static_cast<uInt>(in.size());
    blocks_found found;
    std::size_t at = 0;
    int done = Z_OK;
    while (done == Z_OK) {
        z.next_out = reinterpret_cast<Bytef*>(out.data());
        z.avail_out = static_cast<uInt>(out.size());
        done = inflate(&z, Z_BLOCK);
        const bool at_block = (z.data_type & 128) != 0 && (done == Z_OK || done == Z_STREAM_END);
        if (!at_block) continue;
        const auto now = (in.size() - z.avail_in) * 8 - static_cast<std::size_t>(z.data_type & 7);
        if (now == 0) continue; // before the first one
        ++found.count;
        found.last = {at, now};
        at = now;
    }
    inflateEnd(&z);
    return done == Z_STREAM_END ? std::optional{found} : std::nullopt;
}

} // namespace

TEST_CASE("whole messages of each kind, size and level are read by plain zlib that never begins anew") {
    std::mt19937 random{41};
    const int level = GENERATE(range(0, 10));
    const auto codec = make(role::server, no_takeover, {.level = level});
    const auto peer = make(role::client);
    // What ends with a final block would be "broken", and whatever comes behind it.
    plain_inflater plain{15};
    std::vector<std::size_t> sizes{1,    63,    1023,  1024,  1025,   2048,   8191,
                                   8192, 16384, 65535, 65536, 131071, 131072, 131073};
    for (int i = 0; i < 12; ++i)
        sizes.push_back(1024 + random() % 60000);
    sizes.push_back(300000);
    for (const auto size : sizes) {
        const auto text = random() % 2 == 0 ? some_message(size, random) : some_passages(size, random);
        CAPTURE(level, size);
        const auto sent = deflated(*codec, text);
        CHECK((plain.message(sent) == text));
        CHECK((inflated(*peer, sent, text.size()) == expanded{errc{}, text}));
        CHECK((inflated(*peer, cut(sent, 1 + size / 3, random)) == expanded{errc{}, text}));
    }
}

TEST_CASE("whole messages of noise hardly grow") {
    std::mt19937 random{43};
    octets noise;
    while (noise.size() < 200000)
        noise.push_back(static_cast<char>(random()));
    CHECK(deflated(*make(role::server), noise).size() < noise.size() + noise.size() / 256);
}

TEST_CASE("whole messages refer to nothing that a smaller window does not hold") {
    std::mt19937 random{47};
    for (const int bits : {9, 10, 11, 12, 13, 14}) {
        const auto server =
            make(role::server, {.server_no_context_takeover = true, .server_max_window_bits = bits});
        plain_inflater peer{bits};
        for (const std::size_t size : {2048U, 2049U, 4096U, 4097U, 8192U, 8193U, 16384U, 16385U, 40000U}) {
            const auto text = some_message(size, random);
            CAPTURE(bits, size);
            CHECK((peer.message(deflated(*server, text)) == text));
        }
    }
}

TEST_CASE("where the peer would let it keep a window and it doesn't, messages stand alone as well") {
    std::mt19937 random{53};
    const auto client = make(role::client, {}, {.context_takeover = false});
    plain_inflater peer{15};
    const auto server = make(role::server, {});
    for (int i = 0; i < 20; ++i) {
        const auto text = some_message(1 + random() % 9000, random);
        const auto sent = deflated(*client, text);
        CHECK((peer.message(sent) == text));
        CHECK((inflated(*server, sent) == expanded{errc{}, text}));
    }
}

TEST_CASE("the last block of a stream is found to the bit") {
    std::mt19937 random{59};
    const auto finder = std::make_unique<last_block>();
    std::size_t most_blocks = 0;
    for (int i = 0; i < 150; ++i) {
        const auto size = i < 40 ? static_cast<std::size_t>(i) : random() % 60000;
        const auto text = random() % 2 == 0 ? some_message(size, random) : some_passages(size, random);
        octets data = plainly_deflated(text, Z_FINISH, static_cast<int>(random() % 10));
        // Blocks before it, which zlib makes one final that is none.
        if (random() % 3 == 0)
            data = plainly_deflated(some_passages(random() % 30000, random)) + from_hex("00 00 ff ff") + data;
        const auto expected = blocks_of(data);
        REQUIRE(expected);
        most_blocks = std::max(most_blocks, expected->count);
        const auto got = finder->find(view(data));
        CAPTURE(i, size, expected->count);
        REQUIRE(got);
        CHECK(got->header == expected->last.header);
        // zlib counts what fills up the last byte to a final block.
        CHECK(got->end <= data.size() * 8);
        CHECK(got->end + 7 >= data.size() * 8);
        // Made one that is not final, it ends where an empty stored block says.
        data[got->header / 8] = static_cast<char>(data[got->header / 8] & ~(1 << got->header % 8));
        data.resize((got->end + 3 + 7) / 8);
        plain_inflater peer{15};
        CHECK(peer.message(data) != "broken");
    }
    CHECK(most_blocks > 3);
    CHECK((finder->find(view(from_hex("03 00"))) == last_block::place{0, 10}));
    CHECK((finder->find(view(from_hex("01 00 00 ff ff"))) == last_block::place{0, 40}));
    CHECK((finder->find(view(from_hex("f3 48 cd c9 c9 07 00"))) == last_block::place{0, 50}));
}

TEST_CASE("streams that are cut or broken have no last block, or any, and nothing is read beyond them") {
    std::mt19937 random{61};
    const auto finder = std::make_unique<last_block>();
    CHECK_FALSE(finder->find({}));
    for (const auto hex : {"02 00", "07", "00 00 00 ff ff", "01 05 00 fa ff 48", "f3 48", "05", "04", "ff"}) {
        CAPTURE(std::string(hex));
        CHECK_FALSE(finder->find(view(from_hex(hex))));
    }
    for (int i = 0; i < 2000; ++i) {
        octets data;
        if (i % 2 == 0)
            data = plainly_deflated(some_message(random() % 3000, random), Z_FINISH);
        else
            data = octets(1, static_cast<char>(5)); // a final block with codes of its own
        for (auto more = random() % 60; more-- > 0;)
            data.push_back(static_cast<char>(random()));
        data.resize(1 + random() % data.size());
        data[random() % data.size()] ^= static_cast<char>(1U << random() % 8);
        const std::vector<char> exactly(data.begin(), data.end());
        const auto got = finder->find(std::as_bytes(std::span{exactly}));
        if (got) CHECK((got->header < got->end && got->end <= data.size() * 8));
    }
}

TEST_CASE("a stored block that the ending would be text of is not taken for a whole one") {
    for (unsigned size = 1; size < 40; ++size) {
        for (unsigned have = 0; have < size; ++have) {
            octets data;
            data.push_back('\0');
            data.push_back(static_cast<char>(size));
            data.push_back('\0');
            data.push_back(static_cast<char>(~size));
            data.push_back('\xff');
            data.append(have, 'x');
            CAPTURE(size, have);
            CHECK((inflated(*make(role::client), data).error == errc::deflate_data_invalid));
        }
    }
}

TEST_CASE("broken messages fare the same whether they come whole or in pieces") {
    std::mt19937 random{67};
    for (int i = 0; i < 1500; ++i) {
        auto data = plainly_deflated(some_message(1 + random() % 9000, random), Z_SYNC_FLUSH,
                                     static_cast<int>(random() % 10));
        if (i % 3 == 0) data = data.substr(0, 1 + random() % data.size());
        if (i % 3 == 1) data[random() % data.size()] ^= static_cast<char>(1U << random() % 8);
        if (i % 3 == 2) data.push_back(static_cast<char>(random() % 4));
        const std::size_t limit = random() % 2 == 0 ? 4000 : SIZE_MAX;
        const auto whole = inflated(*make(role::server), data, limit);
        const auto pieces = inflated(*make(role::server), cut(data, data.size(), random), limit);
        CAPTURE(i);
        CHECK((whole == pieces));
    }
}

TEST_CASE("a ratio that is too high is noticed in whole messages, but not in short ones") {
    const deflate_options options{.max_ratio = 10};
    const auto floor = deflate_options::ratio_floor;
    for (const std::size_t size : {floor, floor + 1, floor + 30000}) {
        CAPTURE(size);
        const auto got =
            inflated(*make(role::server, no_takeover, options), plainly_deflated(octets(size, 'x')));
        CHECK(got.error == (size == floor ? errc{} : errc::deflate_ratio_exceeded));
        CHECK(got.bytes.size() == floor);
    }
    std::mt19937 random{69};
    const auto text = octets(70000, 'x') + some_message(2000, random);
    const auto packed = plainly_deflated(text);
    const auto ratio = text.size() / packed.size();
    const auto with = [&](std::size_t max_ratio) {
        return inflated(*make(role::server, no_takeover, {.max_ratio = max_ratio}), packed);
    };
    CHECK((with(ratio + 1) == expanded{errc{}, text}));
    REQUIRE((ratio * packed.size() > floor && ratio * packed.size() < text.size()));
    CHECK(with(ratio).error == errc::deflate_ratio_exceeded);
}

TEST_CASE("whole messages larger than what is set aside for them go as all others") {
    std::mt19937 random{71};
    const auto client = make(role::client);
    const auto server = make(role::server);
    for (const std::size_t size : {131071U, 131072U, 131064U, 131065U, 200000U, 1500000U}) {
        const auto text = octets(size / 2, 'x') + some_message(size - size / 2, random);
        CAPTURE(size);
        const auto sent = deflated(*client, text);
        CHECK((inflated(*server, sent, size) == expanded{errc{}, text}));
        CHECK((inflated(*server, sent, size - 1).error == errc::message_too_big));
        CHECK((inflated(*server, plainly_deflated(text), size) == expanded{errc{}, text}));
    }
}

TEST_CASE("codecs hold nothing after whole messages, and the thread a bounded amount whatever the levels") {
    stream_pool::clear();
    const octets text(10000, 'x');
    for (int level = 1; level <= 9; ++level) {
        const auto codec = make(role::server, no_takeover, {.level = level});
        CHECK((inflated(*codec, deflated(*codec, text)).bytes == text));
        CHECK(codec->memory() <= 256);
    }
    CHECK(stream_pool::memory() < 4 * 300000 + 2 * 800000);
    stream_pool::clear();
    CHECK(stream_pool::memory() == 0);
}

#if defined(DUPLEX_LIBDEFLATE)

TEST_CASE("at each level libdeflate makes messages no larger than zlib does") {
    std::mt19937 random{44};
    octets text;
    while (text.size() < 16384)
        text += some_message(1000, random);
    std::vector<std::size_t> sizes;
    for (int level = 1; level <= 9; ++level) {
        CAPTURE(level);
        sizes.push_back(deflated(*make(role::server, no_takeover, {.level = level}), text).size());
        CHECK(sizes.back() <= plainly_deflated(text, Z_SYNC_FLUSH, level).size());
    }
    CHECK(sizes.back() < sizes.front());
}

TEST_CASE("a whole message by libdeflate needs no stream of zlib's") {
    stream_pool::clear();
    std::mt19937 random{73};
    const auto text = some_message(16384, random);
    detail::whole_messages whole;
    byte_buffer out;
    REQUIRE(whole.compress(1, view(text), out));
    const auto got = whole.expand(out.bytes());
    REQUIRE(got);
    CHECK((to_octets(*got) == text));
    CHECK_FALSE(whole.compress(1, view(text).first(detail::whole_messages::least - 1), out));
    // Final blocks are left to zlib, and so is what is broken.
    CHECK_FALSE(whole.expand(view(from_hex("f3 48 cd c9 c9 07 00 00"))));
    CHECK_FALSE(whole.expand(view(from_hex("f3 48 cd c9 c9 07 00"))));
    CHECK_FALSE(whole.expand(view(from_hex("f2 48 cd c9 c9 07"))));
    CHECK(whole.expand(view(from_hex("f2 48 cd c9 c9 07 00"))));
    CHECK((whole.expand(view(from_hex("00"))) && whole.expand(view(from_hex("00")))->empty()));
    CHECK(whole.expand(view(from_hex("f2 48 05 00 00 00 ff ff ca c9 c9 07 00"))));
}

#endif

#if defined(DUPLEX_TESTING_FAULTS)

TEST_CASE("whole messages allocate nothing once the thread is warm") {
    std::mt19937 random{79};
    const auto text = some_message(16384, random);
    const auto codec = make(role::client);
    byte_buffer sent;
    byte_buffer back;
    const auto go = [&] {
        sent.clear();
        back.clear();
        return codec->compress(view(text), true, sent) &&
               codec->expand(sent.bytes(), true, back, 20000) == errc{};
    };
    REQUIRE(go());
    bool fine = true;
    allocation_counts::here = {.on = true};
    for (int i = 0; i < 20; ++i)
        fine = go() && fine;
    const auto made = allocation_counts::here.made;
    allocation_counts::here.on = false;
    CHECK(fine);
    CHECK(made == 0);
}

#endif
