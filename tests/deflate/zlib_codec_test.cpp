#include <duplex/deflate/zlib_codec.hpp>

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

constexpr deflate_options takeover{.context_takeover = true, .peer_context_takeover = true};
constexpr deflate_params no_takeover{.server_no_context_takeover = true, .client_no_context_takeover = true};

std::unique_ptr<message_codec> make(role self, const deflate_params& agreed = {},
                                    const deflate_options& options = takeover) {
    auto made = make_zlib_codec(self, agreed, options);
    REQUIRE(made);
    return made;
}

} // namespace

TEST_CASE("the message of RFC 7692 7.2.3.1 is made and read byte for byte") {
    const auto self = GENERATE(values({role::client, role::server}));
    const auto codec = make(self);
    CHECK(to_hex(deflated(*codec, "Hello")) == "f2 48 cd c9 c9 07 00 ");
    CHECK(inflated(*codec, from_hex("f2 48 cd c9 c9 07 00")) == expanded{errc{}, "Hello"});
}

TEST_CASE("the fragments of RFC 7692 7.2.3.1 are one message, cut anywhere") {
    const auto whole = from_hex("f2 48 cd c9 c9 07 00");
    for (std::size_t at = 0; at <= whole.size(); ++at) {
        const auto codec = make(role::client);
        const std::string_view all{whole};
        CAPTURE(at);
        CHECK(inflated(*codec, {all.substr(0, at), all.substr(at)}) == expanded{errc{}, "Hello"});
        CHECK(inflated(*codec, {all.substr(0, at), "", all.substr(at), ""}) == expanded{errc{}, "Hello"});
    }
}

TEST_CASE("the window is shared between messages as in RFC 7692 7.2.3.2, or is not") {
    const auto client = make(role::client);
    CHECK(to_hex(deflated(*client, "Hello")) == "f2 48 cd c9 c9 07 00 ");
    CHECK(to_hex(deflated(*client, "Hello")) == "f2 00 11 00 00 ");
    const auto server = make(role::server);
    CHECK(inflated(*server, from_hex("f2 48 cd c9 c9 07 00")) == expanded{errc{}, "Hello"});
    CHECK(inflated(*server, from_hex("f2 00 11 00 00")) == expanded{errc{}, "Hello"});
    const auto alone = make(role::client, no_takeover);
    CHECK(to_hex(deflated(*alone, "Hello")) == "f2 48 cd c9 c9 07 00 ");
    CHECK(to_hex(deflated(*alone, "Hello")) == "f2 48 cd c9 c9 07 00 ");
    // What refers to a window that was not kept is an error, and reaches nobody else's message.
    const auto forgets = make(role::server, no_takeover);
    CHECK(inflated(*forgets, from_hex("f2 48 cd c9 c9 07 00")) == expanded{errc{}, "Hello"});
    CHECK(inflated(*forgets, from_hex("f2 00 11 00 00")).error == errc::deflate_data_invalid);
}

TEST_CASE("the other blocks of RFC 7692 7.2.3 are read") {
    const auto codec = make(role::client);
    // 7.2.3.3: without compression
    CHECK(inflated(*codec, from_hex("00 05 00 fa ff 48 65 6c 6c 6f 00")) == expanded{errc{}, "Hello"});
    // 7.2.3.4: a final block
    CHECK(inflated(*codec, from_hex("f3 48 cd c9 c9 07 00 00")) == expanded{errc{}, "Hello"});
    // 7.2.3.5: two blocks
    CHECK(inflated(*codec, from_hex("f2 48 05 00 00 00 ff ff ca c9 c9 07 00")) == expanded{errc{}, "Hello"});
    // and the window is still there
    CHECK(inflated(*codec, from_hex("f2 00 11 00 00")) == expanded{errc{}, "Hello"});
}

TEST_CASE("an empty message is sent as one byte and taken in each form") {
    const auto& agreed = GENERATE_COPY(values({deflate_params{}, no_takeover}));
    const auto client = make(role::client, agreed);
    const auto server = make(role::server, agreed);
    const bool before = GENERATE(false, true);
    if (before) CHECK(inflated(*server, deflated(*client, "Hello")).bytes == "Hello");
    CHECK(to_hex(deflated(*client, "")) == "00 ");
    CHECK(to_hex(deflated(*client, {"", "", ""})) == "00 ");
    CHECK(inflated(*server, from_hex("00")) == expanded{});
    CHECK(inflated(*server, "") == expanded{});
    CHECK(inflated(*server, {"", "", ""}) == expanded{});
    CHECK(inflated(*server, from_hex("02 00")) == expanded{}); // an empty block with fixed codes
    CHECK(inflated(*server, from_hex("03 00")) == expanded{}); // a final one
    CHECK(inflated(*server, from_hex("01")) == expanded{});    // a final one whose tail was taken off
    CHECK(inflated(*server, deflated(*client, {"Hel", "", "lo", ""})) == expanded{errc{}, "Hello"});
}

TEST_CASE("blocks behind a final one go on with the same window") {
    const auto codec = make(role::server);
    const auto final_block = from_hex("f3 48 cd c9 c9 07 00");
    const auto again = from_hex("f2 00 11 00 00");
    CHECK(inflated(*codec, final_block + final_block + octets(1, '\0')) == expanded{errc{}, "HelloHello"});
    CHECK(inflated(*codec, {final_block, again}) == expanded{errc{}, "HelloHello"});
    CHECK(inflated(*codec, again) == expanded{errc{}, "Hello"});
    // A sender that forgot the byte behind it.
    CHECK(inflated(*codec, final_block) == expanded{errc{}, "Hello"});
    CHECK(inflated(*codec, again) == expanded{errc{}, "Hello"});
    CHECK(inflated(*codec, plainly_deflated("and one of zlib", Z_FINISH)) ==
          expanded{errc{}, "and one of zlib"});
}

TEST_CASE("the own window is kept only where both the peer and the options let it") {
    const deflate_params agreed{.server_no_context_takeover = GENERATE(false, true)};
    const deflate_options options{.context_takeover = GENERATE(false, true)};
    const auto server = make(role::server, agreed, options);
    (void)deflated(*server, "Hello");
    const bool kept = !agreed.server_no_context_takeover && options.context_takeover;
    CHECK(deflated(*server, "Hello").size() == (kept ? 5 : 7));
    CHECK((server->memory() > 10000) == kept);
    // The client's side of it is another matter.
    const auto client = make(role::client, agreed, takeover);
    (void)deflated(*client, "Hello");
    CHECK(deflated(*client, "Hello").size() == 5);
}

TEST_CASE("a message that went out plain is not referred to") {
    const auto client = make(role::client);
    const auto server = make(role::server);
    std::mt19937 random{7};
    for (int i = 0; i < 300; ++i) {
        const auto text = some_message(random() % 3000, random);
        auto sent = deflated(*client, text);
        switch (random() % 3) {
        case 0: client->discard(); continue;
        case 1: { // given up before its end
            byte_buffer out;
            REQUIRE(client->compress(view(text), false, out));
            client->discard();
            sent = deflated(*client, text);
            break;
        }
        default: break;
        }
        if (random() % 8 == 0) client->release();
        CHECK((inflated(*server, sent) == expanded{errc{}, text}));
    }
}

TEST_CASE("messages of all kinds go both ways with each set of parameters, cut anywhere") {
    std::mt19937 random{11};
    const int bits[] = {8, 9, 10, 12, 15};
    for (int round = 0; round < 60; ++round) {
        const deflate_params agreed{.server_no_context_takeover = random() % 2 == 0,
                                    .client_no_context_takeover = random() % 2 == 0,
                                    .server_max_window_bits = bits[random() % 5],
                                    .client_max_window_bits = bits[random() % 5]};
        const deflate_options options{.level = static_cast<int>(random() % 10),
                                      .memory_level = static_cast<int>(1 + random() % 9),
                                      .max_window_bits = static_cast<int>(8 + random() % 8),
                                      .context_takeover = random() % 4 != 0};
        CAPTURE(round, options.level, options.memory_level, options.max_window_bits,
                agreed.server_max_window_bits, agreed.client_max_window_bits);
        REQUIRE(check(options) == errc{});
        const auto client = make(role::client, agreed, options);
        const auto server = make(role::server, agreed, options);
        for (int i = 0; i < 12; ++i) {
            const bool up = random() % 2 == 0;
            auto& from = up ? *client : *server;
            auto& to = up ? *server : *client;
            const auto size = random() % 3 == 0 ? random() % 200000 : random() % 2000;
            const auto text = some_message(size, random);
            const auto sent = deflated(from, cut(text, 1 + random() % (size + 1), random));
            const auto got =
                inflated(to, cut(sent, 1 + random() % (sent.size() + 1), random), text.size(), 0);
            CHECK((got == expanded{errc{}, text}));
        }
    }
}

TEST_CASE("hundreds of messages share a window, and a plain zlib peer with no larger one reads them") {
    std::mt19937 random{13};
    const int bits = GENERATE(8, 9, 11, 15);
    const int level = GENERATE(1, 6, 9);
    const deflate_options options{.level = level, .context_takeover = true};
    const auto server = make(role::server, {.server_max_window_bits = bits}, options);
    plain_inflater peer{bits};
    for (int i = 0; i < 150; ++i) {
        const auto text = some_message(random() % 4000, random);
        CAPTURE(bits, level, i);
        CHECK((peer.message(deflated(*server, text)) == text));
    }
}

TEST_CASE("messages of a plain zlib peer are read, whatever its blocks") {
    std::mt19937 random{17};
    const auto codec = make(role::client, no_takeover);
    for (int i = 0; i < 200; ++i) {
        const auto text = some_message(random() % 20000, random);
        const int level = static_cast<int>(random() % 10);
        auto sent = plainly_deflated(text, Z_SYNC_FLUSH, level);
        if (text.empty()) sent = octets(1, '\0');
        CHECK((inflated(*codec, cut(sent, 500, random)) == expanded{errc{}, text}));
        // RFC 7692 7.2.3.4: or one that can end its data, but not flush it.
        sent = plainly_deflated(text, Z_FINISH, level) + octets(1, '\0');
        CHECK((inflated(*codec, cut(sent, 500, random)) == expanded{errc{}, text}));
    }
}

TEST_CASE("with the smallest window of RFC 7692 nothing is worth trying, and what is compressed is stored") {
    const auto server = make(role::server, {.server_max_window_bits = 8});
    CHECK_FALSE(server->worth_trying(100000));
    CHECK(make(role::client, {.server_max_window_bits = 8})->worth_trying(100000));
    const octets text(1000, 'x');
    const auto sent = deflated(*server, text);
    CHECK(sent.size() > text.size());
    CHECK(inflated(*make(role::client), sent) == expanded{errc{}, text});
    // As an option alone it is the smallest that zlib has.
    const auto nine = make(role::server, {}, {.max_window_bits = 8});
    CHECK(nine->worth_trying(100000));
    CHECK(deflated(*nine, text).size() < 30);
}

TEST_CASE("short messages are not worth trying, and empty ones never") {
    const auto codec = make(role::client, {}, {.threshold = 100});
    CHECK_FALSE(codec->worth_trying(0));
    CHECK_FALSE(codec->worth_trying(99));
    CHECK(codec->worth_trying(100));
    const auto any = make(role::client, {}, {.threshold = 0});
    CHECK_FALSE(any->worth_trying(0));
    CHECK(any->worth_trying(1));
}

namespace {

/// Of `count` messages, those that were tried, as '1'.
std::string tries(message_codec& codec, std::string_view message, int count) {
    std::string all;
    for (int i = 0; i < count; ++i) {
        const bool tried = codec.worth_trying(message.size());
        all.push_back(tried ? '1' : '0');
        if (tried) (void)deflated(codec, message);
    }
    return all;
}

} // namespace

TEST_CASE("where messages don't shrink they are tried less and less, until one does") {
    std::mt19937 random{19};
    octets noise;
    while (noise.size() < 1000)
        noise.push_back(static_cast<char>(random()));
    const octets text(1000, 'x');
    const auto codec = make(role::client, no_takeover, {});
    CHECK(tries(*codec, text, 20) == std::string(20, '1'));
    CHECK(tries(*codec, noise, 3) == "111");
    CHECK(tries(*codec, text, 2) == "11");
    CHECK(tries(*codec, noise, 4 + 8 + 1 + 16 + 1 + 32 + 1) ==
          "1111" + std::string(8, '0') + "1" + std::string(16, '0') + "1" + std::string(32, '0') + "1");
    CHECK(tries(*codec, text, 64 + 10) == std::string(64, '0') + std::string(10, '1'));
    // It never is given up for good.
    for (int i = 0; i < 12; ++i)
        (void)tries(*codec, noise, 1000);
    CHECK(tries(*codec, text, 300).substr(257) == std::string(43, '1'));

    const auto persistent = make(role::client, no_takeover, {.adaptive = false});
    CHECK(tries(*persistent, noise, 50) == std::string(50, '1'));
}
