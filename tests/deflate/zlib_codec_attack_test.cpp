#include <duplex/deflate/zlib_codec.hpp>

// What a peer may send to do harm.

#include "support/block_cache.hpp"
#include "support/catch.hpp"
#include "support/deflating.hpp"

#include <cstddef>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <vector>

using namespace duplex;
using namespace duplex::testing;

namespace {

std::unique_ptr<message_codec> make(role self, bool takeover, const deflate_options& options = {}) {
    auto made = make_zlib_codec(
        self, {.server_no_context_takeover = !takeover, .client_no_context_takeover = !takeover}, options);
    REQUIRE(made);
    return made;
}

/// Compressed by `level` 9 until it is as small as it gets.
octets bomb(std::size_t size) { return plainly_deflated(octets(size, '\0')); }

} // namespace

TEST_CASE("a bomb is given up at the limit, with little more memory than that") {
    const auto self = GENERATE(values({role::client, role::server}));
    const bool takeover = GENERATE(false, true);
    const auto data = bomb(std::size_t{40} << 20);
    REQUIRE(data.size() < 50000);
    for (const std::size_t limit :
         {std::size_t{0}, std::size_t{1}, std::size_t{1000}, std::size_t{1} << 20}) {
        for (const std::size_t piece : {std::size_t{1} << 20, std::size_t{1000}, std::size_t{1}}) {
            CAPTURE(limit, piece);
            const auto codec = make(self, takeover);
            forget_blocks(); // of which one may be larger than it has to be
            byte_buffer out;
            errc error{};
            std::string_view rest{data};
            while (error == errc{} && !rest.empty()) {
                error = codec->expand(view(rest.substr(0, piece)), rest.size() <= piece, out, limit);
                rest.remove_prefix(std::min(piece, rest.size()));
                CHECK(out.size() <= limit);
            }
            CHECK((error == errc::message_too_big));
            CHECK(out.size() == limit);
            CHECK(out.capacity() <= limit);
            CHECK(codec->memory() < 1000);
        }
    }
}

TEST_CASE("a message as large as the limit is taken, and one byte more is not") {
    const auto codec = make(role::server, false);
    std::mt19937 random{23};
    for (const std::size_t size : {1U, 2U, 511U, 512U, 513U, 1000U, 65536U, 100000U}) {
        const auto text = some_message(size, random);
        const auto data = plainly_deflated(text);
        CAPTURE(size);
        CHECK((inflated(*codec, data, size) == expanded{errc{}, text}));
        CHECK(
            (inflated(*codec, data, size - 1) == expanded{errc::message_too_big, text.substr(0, size - 1)}));
        // With something in the buffer before, it counts.
        CHECK((inflated(*codec, {data}, size + 100, 100) == expanded{errc{}, text}));
        CHECK((inflated(*codec, {data}, size + 99, 100).error == errc::message_too_big));
        CHECK((inflated(*codec, {data}, 50, 100) == expanded{errc::message_too_big, {}}));
    }
}

TEST_CASE("nothing is allocated for what has not arrived") {
    const auto codec = make(role::client, false);
    byte_buffer out;
    // The header of a stored block of 65535 bytes, and one of them.
    CHECK((codec->expand(view(from_hex("00 ff ff 00 00 41")), false, out, SIZE_MAX) == errc{}));
    CHECK(out.size() == 1);
    CHECK(out.capacity() <= 1024);
    CHECK((codec->expand({}, true, out, SIZE_MAX) == errc::deflate_data_invalid));
}

TEST_CASE("a ratio that is asked for is kept exactly, above its floor") {
    constexpr std::size_t floor = deflate_options::ratio_floor;
    const auto data = bomb(std::size_t{8} << 20);
    SECTION("a bomb ends at it") {
        const auto codec = make(role::server, false, {.max_ratio = 100});
        const auto got = inflated(*codec, data);
        CHECK((got.error == errc::deflate_ratio_exceeded));
        CHECK(got.bytes.size() == data.size() * 100);
    }
    SECTION("counted by what arrived, and never below the floor") {
        const auto codec = make(role::server, false, {.max_ratio = 100});
        const auto got = inflated(*codec, {std::string_view{data}.substr(0, 200), ""});
        CHECK((got.error == errc::deflate_ratio_exceeded));
        CHECK(got.bytes.size() == floor);
    }
    SECTION("a limit that is nearer comes first") {
        const auto codec = make(role::server, false, {.max_ratio = 100});
        CHECK((inflated(*codec, data, 1000).error == errc::message_too_big));
    }
    SECTION("what stays under the floor may have any") {
        const auto codec = make(role::server, true, {.max_ratio = 1});
        const octets text(floor, 'x');
        const auto small = plainly_deflated(text);
        for (int i = 0; i < 5; ++i) // each message counts on its own
            CHECK((inflated(*codec, small) == expanded{errc{}, text}));
        CHECK((inflated(*codec, plainly_deflated(text + 'x')).error == errc::deflate_ratio_exceeded));
    }
    SECTION("without one the most that DEFLATE can is fine") {
        const auto codec = make(role::server, false);
        CHECK(inflated(*codec, data).bytes.size() == std::size_t{8} << 20);
    }
    SECTION("nor does one that is too large to multiply with do harm") {
        const auto codec = make(role::server, false, {.max_ratio = SIZE_MAX / 2});
        CHECK(inflated(*codec, data).bytes.size() == std::size_t{8} << 20);
    }
}

TEST_CASE("what is no DEFLATE data, or ends too early or too late, is an error") {
    const bool takeover = GENERATE(false, true);
    const std::string_view broken[] = {
        "07",                                     // a block of no kind
        "06 00",                                  //
        "00 05 00 fa fe 48 65 6c 6c 6f 00",       // lengths that contradict each other
        "00 05 00 fa ff 48 65 6c 6c",             // a stored block that is not whole
        "f2",                                     // cut
        "f2 48 cd c9",                            //
        "f2 48 cd c9 c9 07",                      //
        "f2 48 cd c9 c9 07 00 00",                // more than the message
        "f2 48 cd c9 c9 07 00 41",                //
        "f2 48 cd c9 c9 07 00 00 00 ff ff",       // the tail left on
        "f3 48 cd c9 c9 07 00 00 00 00 ff ff",    // behind a final block, too
        "f3 48 cd c9 c9 07 00 41 42 43",          // rubbish behind a final block
        "f3 48 cd c9 c9 07 00 07",                //
        "f2 00 11 00 00",                         // from before the beginning
        "05 e0 81 08 00 00 00 00 20 7f eb 0b 00", // codes that are not
        "ff ff ff ff",
        "00 00",
        "00 00 00",
        "00 00 00 ff",
        "00 05 00 fa ff 48", // a tail that would become text
    };
    for (const auto hex : broken) {
        CAPTURE(std::string(hex));
        const auto data = from_hex(hex);
        CHECK((inflated(*make(role::client, takeover), data).error == errc::deflate_data_invalid));
        std::vector<std::string_view> bytes;
        for (std::size_t i = 0; i < data.size(); ++i)
            bytes.push_back(std::string_view{data}.substr(i, 1));
        CHECK((inflated(*make(role::server, takeover), bytes).error == errc::deflate_data_invalid));
    }
}

TEST_CASE("each message that was cut short is found out") {
    std::mt19937 random{29};
    const auto text = some_message(2000, random);
    const auto data = plainly_deflated(text);
    const auto codec = make(role::server, false);
    for (std::size_t size = 1; size < data.size(); ++size) {
        const auto got = inflated(*codec, data.substr(0, size));
        CAPTURE(size);
        // Between two blocks it would be a message of its own: zlib makes one block of so little.
        CHECK((got.error == errc::deflate_data_invalid));
    }
}

TEST_CASE("a bomb that then turns corrupt is one error") {
    auto data = bomb(std::size_t{4} << 20);
    data[data.size() / 2] = static_cast<char>(~data[data.size() / 2]);
    const auto codec = make(role::client, false);
    CHECK((inflated(*codec, data, 100000).error == errc::message_too_big));
    const auto error = inflated(*codec, data).error;
    CHECK((error == errc::deflate_data_invalid));
    // The stream that failed serves the next connection as if nothing had been.
    CHECK((inflated(*make(role::server, false), from_hex("f2 48 cd c9 c9 07 00")) ==
           expanded{errc{}, "Hello"}));
}

TEST_CASE("a message of nothing but final blocks costs no more than its bytes") {
    // Each is two bytes long; with a copy of the window for each this would take minutes.
    octets data;
    for (int i = 0; i < 500000; ++i)
        data += from_hex("03 00");
    const auto codec = make(role::server, true);
    (void)inflated(*codec, plainly_deflated(octets(40000, 'x')));
    CHECK((inflated(*codec, data + octets(1, '\0')) == expanded{}));
    // The window is still there: three bytes from 32768 bytes ago.
    CHECK((inflated(*codec, plainly_deflated("Hello")) == expanded{errc{}, "Hello"}));
}

TEST_CASE("noise is told apart from data, and harms nobody") {
    std::mt19937 random{31};
    for (int i = 0; i < 3000; ++i) {
        octets data = i % 2 == 0 ? plainly_deflated(some_message(random() % 500, random)) : octets{};
        for (auto more = random() % 40; more-- > 0;)
            data.push_back(static_cast<char>(random()));
        if (!data.empty()) data[random() % data.size()] ^= static_cast<char>(1U << random() % 8);
        const auto whole = inflated(*make(role::server, i % 3 == 0), data, 5000);
        const auto pieces = inflated(*make(role::client, i % 3 == 0), cut(data, 7, random), 5000);
        if (whole.error == errc{} || pieces.error == errc{}) CHECK(whole == pieces);
    }
}
