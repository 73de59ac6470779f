#include <duplex/core/base64.hpp>

#include "support/catch.hpp"

#include <array>
#include <cstddef>
#include <optional>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace {

std::string encoded(std::string_view text) { return duplex::to_base64(std::as_bytes(std::span(text))); }

std::optional<std::string> decoded(std::string_view text, std::size_t room = 64) {
    std::vector<std::byte> out(room);
    const auto size = duplex::base64_decode(text, out);
    if (!size) return std::nullopt;
    return std::string(reinterpret_cast<const char*>(out.data()), *size);
}

struct pair {
    std::string_view text;
    std::string_view base64;
};

// RFC 4648 10
constexpr pair vectors[] = {{"", ""},
                            {"f", "Zg=="},
                            {"fo", "Zm8="},
                            {"foo", "Zm9v"},
                            {"foob", "Zm9vYg=="},
                            {"fooba", "Zm9vYmE="},
                            {"foobar", "Zm9vYmFy"}};

} // namespace

TEST_CASE("encodes and decodes the vectors of RFC 4648 10") {
    for (const auto& [text, base64] : vectors) {
        CAPTURE(text);
        CHECK(encoded(text) == base64);
        CHECK(decoded(base64) == std::string(text));
        CHECK(duplex::base64_size(text.size()) == base64.size());
    }
}

TEST_CASE("encodes the accept digest of RFC 6455 1.3") {
    CHECK(encoded("\xb3\x7a\x4f\x2c\xc0\x62\x4f\x16\x90\xf6\x46\x06\xcf\x38\x59\x45\xb2\xbe\xc4\xea") ==
          "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

TEST_CASE("uses the whole alphabet") {
    std::string every;
    for (unsigned i = 0; i < 64; i += 4) {
        const unsigned group = i << 18 | (i + 1) << 12 | (i + 2) << 6 | (i + 3);
        for (int shift : {16, 8, 0})
            every += static_cast<char>(static_cast<unsigned char>(group >> shift));
    }
    CHECK(encoded(every) == "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/");
    CHECK(decoded(encoded(every)) == every);
}

TEST_CASE("decodes what it encodes, at every length") {
    std::mt19937 engine(7);
    for (std::size_t size = 0; size < 200; ++size) {
        std::string text(size, '\0');
        for (char& c : text)
            c = static_cast<char>(static_cast<unsigned char>(engine() & 0xFF));
        CAPTURE(size);
        REQUIRE(decoded(encoded(text), size) == text);
    }
}

TEST_CASE("refuses base64 that is not whole") {
    for (const std::string_view text : {"Z", "Zg", "Zg=", "Zm8", "Zm9vY", "Zm9vYg", "Zm9vYg=", "Zm9v="}) {
        CAPTURE(text);
        CHECK(decoded(text) == std::nullopt);
    }
}

TEST_CASE("refuses padding anywhere but at the end") {
    for (const std::string_view text : {"=", "==", "===", "====", "Z===", "=Zg=", "Zg==Zg==", "Zm8=Zm9v",
                                        "Z=g=", "Zg=A", "Zm9v====", "Zm9vZ==="}) {
        CAPTURE(text);
        CHECK(decoded(text) == std::nullopt);
    }
}

TEST_CASE("refuses unused bits that are set") {
    // RFC 4648 3.5: otherwise several texts would stand for the same bytes
    for (const std::string_view text : {"Zh==", "Zv==", "Z/==", "Zm9=", "Zm+=", "Zm9vYh==", "Zm9vYmF="}) {
        CAPTURE(text);
        CHECK(decoded(text) == std::nullopt);
    }
    CHECK(decoded("Zg==") == std::string("f"));
}

TEST_CASE("refuses every character outside the alphabet at every place") {
    constexpr std::string_view alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (unsigned value = 0; value < 256; ++value) {
        const char c = static_cast<char>(static_cast<unsigned char>(value));
        for (std::size_t place = 0; place < 8; ++place) {
            std::string text = "Zm9vYmFy";
            text[place] = c;
            CAPTURE(value, place);
            // One = in the last place is padding, and "YmF=" has a bit set under it.
            REQUIRE(decoded(text).has_value() == (alphabet.find(c) != std::string_view::npos));
        }
    }
}

TEST_CASE("writes nothing where there is no room") {
    std::array<char, 8> out{};
    const auto data = std::as_bytes(std::span(std::string_view("foobar")));
    CHECK(duplex::base64_encode(data, std::span(out).first(7)) == 0);
    CHECK(out == std::array<char, 8>{});
    CHECK(duplex::base64_encode(data, out) == 8);

    CHECK(decoded("Zm9vYmFy", 5) == std::nullopt);
    CHECK(decoded("Zm9vYmFy", 6) == std::string("foobar"));
    CHECK(decoded("Zg==", 0) == std::nullopt);
}

TEST_CASE("sizes without overflow") {
    static_assert(duplex::base64_size(0) == 0);
    static_assert(duplex::base64_size(16) == 24);
    static_assert(duplex::base64_size(20) == 28);
    CHECK(duplex::base64_size(static_cast<std::size_t>(-1) / 4 * 3) > static_cast<std::size_t>(-1) / 4 * 3);
}
