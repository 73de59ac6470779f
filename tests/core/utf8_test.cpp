#include <duplex/core/utf8.hpp>

#include "support/catch.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

namespace {

using duplex::mask_key;
using duplex::utf8_validator;

static_assert(sizeof(utf8_validator) <= 4 && std::is_trivially_copyable_v<utf8_validator>);

/// The table of RFC 3629 4, row by row.
struct row {
    std::size_t length;
    unsigned char low[4];
    unsigned char high[4];
};
constexpr row rows[] = {
    {1, {0x00}, {0x7F}},
    {2, {0xC2, 0x80}, {0xDF, 0xBF}},
    {3, {0xE0, 0xA0, 0x80}, {0xE0, 0xBF, 0xBF}},
    {3, {0xE1, 0x80, 0x80}, {0xEC, 0xBF, 0xBF}},
    {3, {0xED, 0x80, 0x80}, {0xED, 0x9F, 0xBF}},
    {3, {0xEE, 0x80, 0x80}, {0xEF, 0xBF, 0xBF}},
    {4, {0xF0, 0x90, 0x80, 0x80}, {0xF0, 0xBF, 0xBF, 0xBF}},
    {4, {0xF1, 0x80, 0x80, 0x80}, {0xF3, 0xBF, 0xBF, 0xBF}},
    {4, {0xF4, 0x80, 0x80, 0x80}, {0xF4, 0x8F, 0xBF, 0xBF}},
};

enum class verdict { complete, unfinished, invalid };

/// What the text is, and where it first cannot become valid any more (its size where it can).
struct answer {
    verdict kind;
    std::size_t valid_prefix;
};

answer reference(std::string_view text) {
    std::size_t at = 0;
    while (at < text.size()) {
        std::size_t best = 0; // bytes that fit the row that fits longest
        bool whole = false;
        for (const row& r : rows) {
            std::size_t fit = 0;
            while (fit < r.length && at + fit < text.size()) {
                const auto byte = static_cast<unsigned char>(text[at + fit]);
                if (byte < r.low[fit] || byte > r.high[fit]) break;
                ++fit;
            }
            if (fit > best || (fit == r.length && fit == best)) best = fit, whole = fit == r.length;
        }
        if (!whole) return {at + best == text.size() ? verdict::unfinished : verdict::invalid, at + best};
        at += best;
    }
    return {verdict::complete, at};
}

/// Draws that are the same in every run.
class dice {
public:
    explicit dice(std::uint32_t seed)
        : engine_(seed) {}
    std::uint32_t operator()() { return static_cast<std::uint32_t>(engine_()); }

private:
    std::mt19937 engine_;
};

std::span<const std::byte> bytes(std::string_view text) { return std::as_bytes(std::span(text)); }

bool agrees(std::string_view text, bool fed, bool complete) {
    const auto expected = reference(text).kind;
    return fed == (expected != verdict::invalid) && complete == (expected == verdict::complete);
}

/// Every way there is to look at a text comes to what the reference says.
bool all_agree(std::string_view text) {
    utf8_validator whole;
    const bool fed = whole.feed(bytes(text));
    utf8_validator portable;
    const bool portable_fed = portable.feed_portable(bytes(text));
    std::string masked(text);
    const mask_key key{std::byte{0x12}, std::byte{0xE7}, std::byte{0x80}, std::byte{0x5F}};
    const auto writable = std::as_writable_bytes(std::span(masked));
    duplex::mask(writable, key, 3);
    utf8_validator unmasking;
    const bool unmasked_fed = duplex::unmask_and_validate(writable, key, 3, unmasking);
    return agrees(text, fed, whole.complete()) && agrees(text, portable_fed, portable.complete()) &&
           agrees(text, unmasked_fed, unmasking.complete()) && (!unmasked_fed || masked == text) &&
           duplex::is_valid_utf8(text) == (reference(text).kind == verdict::complete);
}

void append(std::string& text, std::uint32_t code) {
    const auto put = [&text](std::uint32_t byte) {
        text += static_cast<char>(static_cast<unsigned char>(byte));
    };
    if (code < 0x80) {
        put(code);
    } else if (code < 0x800) {
        put(0xC0 | code >> 6);
        put(0x80 | (code & 0x3F));
    } else if (code < 0x10000) {
        put(0xE0 | code >> 12);
        put(0x80 | (code >> 6 & 0x3F));
        put(0x80 | (code & 0x3F));
    } else {
        put(0xF0 | code >> 18);
        put(0x80 | (code >> 12 & 0x3F));
        put(0x80 | (code >> 6 & 0x3F));
        put(0x80 | (code & 0x3F));
    }
}

/// Texts of many characters whose lengths are mixed in a different way for each seed.
std::string random_text(dice& roll, std::size_t size) {
    std::string text;
    const unsigned mix = roll() % 6;
    while (text.size() < size) {
        const unsigned kind = mix < 4 ? mix : roll() % 4;
        const std::uint32_t draw = roll();
        if (kind == 0 || (mix == 5 && roll() % 8 != 0))
            append(text, draw % 0x80);
        else if (kind == 1)
            append(text, 0x80 + draw % (0x800 - 0x80));
        else if (kind == 2)
            append(text, draw % 2 == 0 ? 0x800 + draw / 2 % (0xD800 - 0x800) : 0xE000 + draw / 2 % 0x2000);
        else
            append(text, 0x10000 + draw % 0x100000);
    }
    return text;
}

} // namespace

TEST_CASE("knows the samples that RFC 3629 shows") {
    CHECK(duplex::is_valid_utf8(std::string_view{}));
    CHECK(duplex::is_valid_utf8("A\xE2\x89\xA2\xCE\x91."));
    CHECK(duplex::is_valid_utf8("\xED\x95\x9C\xEA\xB5\xAD\xEC\x96\xB4"));
    CHECK(duplex::is_valid_utf8("\xEF\xBB\xBF\xF0\xA3\x8E\xB4"));
    CHECK(duplex::is_valid_utf8(std::string_view("\0", 1)));
    CHECK_FALSE(duplex::is_valid_utf8("\xC0\x80"));                 // 10: NUL, overlong
    CHECK_FALSE(duplex::is_valid_utf8("\x2F\xC0\xAE\x2E\x2F"));     // 10: "/../"
    CHECK_FALSE(duplex::is_valid_utf8("\xED\xA1\x8C\xED\xBE\xB4")); // a pair of surrogates
    CHECK_FALSE(duplex::is_valid_utf8("\xF4\x90\x80\x80"));         // U+110000
    CHECK_FALSE(duplex::is_valid_utf8("\xC3"));
}

TEST_CASE("accepts every code point and no surrogate") {
    std::size_t accepted = 0;
    for (std::uint32_t code = 0; code <= 0x1FFFFF; ++code) {
        std::string text;
        append(text, code);
        const bool expected = code <= 0x10FFFF && (code < 0xD800 || code > 0xDFFF);
        if (duplex::is_valid_utf8(text) != expected) FAIL("code point " << code);
        accepted += expected ? 1U : 0U;
    }
    CHECK(accepted == 0x110000 - 0x800);
}

TEST_CASE("accepts every code point among others") {
    std::string all;
    for (std::uint32_t code = 0; code <= 0x10FFFF; ++code)
        if (code < 0xD800 || code > 0xDFFF) append(all, code);
    CHECK(duplex::is_valid_utf8(all));
    utf8_validator portable;
    CHECK((portable.feed_portable(bytes(all)) && portable.complete()));
}

TEST_CASE("agrees with the table of RFC 3629 on all sequences of one to three bytes") {
    std::string text;
    const auto check = [&text] {
        utf8_validator validator;
        const bool fed = validator.feed(bytes(text));
        if (!agrees(text, fed, validator.complete())) FAIL("differs");
    };
    for (unsigned a = 0; a < 256; ++a) {
        text.assign(1, static_cast<char>(static_cast<unsigned char>(a)));
        check();
        for (unsigned b = 0; b < 256; ++b) {
            text.resize(1);
            text += static_cast<char>(static_cast<unsigned char>(b));
            check();
            for (unsigned c = 0; c < 256; ++c) {
                text.resize(2);
                text += static_cast<char>(static_cast<unsigned char>(c));
                check();
            }
        }
    }
    SUCCEED();
}

TEST_CASE("agrees on sequences of one to four bytes inside longer texts") {
    // The bytes at which the rules change, in every combination, wherever a block may cut them.
    constexpr unsigned char edges[] = {0x00, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF,
                                       0xC0, 0xC1, 0xC2, 0xDF, 0xE0, 0xE1, 0xEC, 0xED,
                                       0xEE, 0xEF, 0xF0, 0xF1, 0xF3, 0xF4, 0xF5, 0xFF};
    std::string text(40, 'x');
    for (const std::size_t at : {0U, 12U, 13U, 14U, 15U, 29U, 31U, 36U}) {
        for (const auto a : edges)
            for (const auto b : edges)
                for (const auto c : edges)
                    for (const auto d : edges) {
                        const unsigned char four[] = {a, b, c, d};
                        for (std::size_t i = 0; i < 4; ++i)
                            text[at + i] = static_cast<char>(four[i]);
                        utf8_validator validator;
                        const bool fed = validator.feed(bytes(text));
                        if (!agrees(text, fed, validator.complete())) FAIL("differs at " << at);
                    }
        std::fill(text.begin(), text.end(), 'x');
    }
    SUCCEED();
}

TEST_CASE("sees a character cut short before a long run of ASCII, wherever it stands") {
    for (const std::string_view cut :
         {"\xC3", "\xE2", "\xE2\x82", "\xF0", "\xF0\x9F", "\xF0\x9F\x98", "\xF4\x8F\xBF"}) {
        for (std::size_t at = 0; at + cut.size() <= 260; ++at) {
            std::string text(260, 'x');
            text.replace(at, cut.size(), cut);
            CAPTURE(at, cut.size());
            REQUIRE(all_agree(text));
        }
    }
}

TEST_CASE("agrees on random texts, whole and damaged, at every alignment") {
    dice roll(2026);
    for (int round = 0; round < 6000; ++round) {
        std::string text = random_text(roll, roll() % 300);
        if (round % 3 == 1) text.resize(text.size() - roll() % (text.size() + 1));
        if (round % 3 == 2 && !text.empty())
            for (unsigned i = 0; i <= roll() % 3; ++i)
                text[roll() % text.size()] = static_cast<char>(static_cast<unsigned char>(roll() & 0xFF));
        const std::size_t start = roll() % 32;
        const std::string shifted = std::string(start, 'x') + text;
        CAPTURE(round, start, text.size());
        REQUIRE(all_agree(std::string_view(shifted).substr(start)));
    }
}

TEST_CASE("agrees on texts of random bytes that are rarely ASCII") {
    dice roll(31);
    constexpr unsigned char pool[] = {0x41, 0x80, 0xBF, 0xC3, 0xE2, 0xE0, 0xED, 0xF0, 0xF4, 0x90, 0xA0};
    for (int round = 0; round < 20000; ++round) {
        std::string text(1 + roll() % 80, 'x');
        const std::size_t from = roll() % text.size();
        for (std::size_t i = from; i < text.size() && i < from + 6; ++i)
            text[i] = static_cast<char>(pool[roll() % std::size(pool)]);
        CAPTURE(round);
        REQUIRE(all_agree(text));
    }
}

TEST_CASE("comes to the same answer wherever the text is cut") {
    dice roll(5);
    for (int round = 0; round < 40; ++round) {
        std::string text = random_text(roll, 150);
        if (round % 2 == 1) text[roll() % text.size()] = '\xE2';
        const bool valid = reference(text).kind == verdict::complete;
        for (std::size_t cut = 0; cut <= text.size(); ++cut) {
            const auto [kind, prefix] = reference(text);
            utf8_validator validator;
            const bool first = validator.feed(bytes(text).first(cut));
            CAPTURE(round, cut);
            REQUIRE(first == (kind != verdict::invalid || cut <= prefix));
            const bool second = validator.feed(bytes(text).subspan(cut));
            REQUIRE((second && validator.complete()) == valid);
        }
    }
}

TEST_CASE("reports an invalid sequence with its first impossible byte") {
    dice roll(11);
    for (int round = 0; round < 300; ++round) {
        std::string text = random_text(roll, 60);
        text[roll() % text.size()] = static_cast<char>(static_cast<unsigned char>(roll() & 0xFF));
        const auto [kind, prefix] = reference(text);
        utf8_validator validator;
        for (std::size_t i = 0; i < text.size(); ++i) {
            CAPTURE(round, i);
            const bool fed = validator.feed(bytes(text).subspan(i, 1));
            REQUIRE(fed == (kind != verdict::invalid || i < prefix));
        }
    }
    // RFC 6455 8.1 has no minimum: E0 80 is lost before its third byte, F4 90 before its third and fourth
    for (const std::string_view lost :
         {"\xE0\x80", "\xED\xA0", "\xF0\x8F", "\xF4\x90", "\xC1", "\xF5", "\x80"}) {
        utf8_validator validator;
        CHECK_FALSE(validator.feed(bytes(lost)));
    }
}

TEST_CASE("stays invalid until it is reset") {
    utf8_validator validator;
    CHECK(validator.complete());
    CHECK(validator.feed(bytes("\xE2\x82")));
    CHECK_FALSE(validator.complete());
    CHECK_FALSE(validator.feed(bytes("x")));
    const std::string text(100, 'x');
    CHECK_FALSE(validator.feed(bytes(text)));
    CHECK_FALSE(validator.feed({}));
    CHECK_FALSE(validator.feed_portable(bytes(text)));
    CHECK_FALSE(validator.complete());
    validator.reset();
    CHECK(validator.complete());
    CHECK(validator.feed(bytes(text)));
}

TEST_CASE("keeps an unfinished character over empty pieces") {
    utf8_validator validator;
    CHECK(validator.feed(bytes("\xF0\x9F")));
    CHECK(validator.feed({}));
    CHECK_FALSE(validator.complete());
    CHECK(validator.feed(bytes("\x98\x80")));
    CHECK(validator.complete());
}

TEST_CASE("unmasks and validates a text in pieces of any size at any key offset") {
    dice roll(77);
    const mask_key key{std::byte{0xA1}, std::byte{0x02}, std::byte{0xF3}, std::byte{0x44}};
    for (int round = 0; round < 1500; ++round) {
        std::string text = random_text(roll, 400);
        if (round % 4 == 3) text[roll() % text.size()] = '\xFF';
        const bool valid = reference(text).kind == verdict::complete;
        std::string wire = text;
        const auto data = std::as_writable_bytes(std::span(wire));
        duplex::mask(data, key);
        utf8_validator validator;
        bool good = true;
        for (std::size_t at = 0; at < data.size() && good;) {
            const std::size_t size = std::min(data.size() - at, std::size_t{roll() % 120});
            good = duplex::unmask_and_validate(data.subspan(at, size), key, at, validator);
            at += size;
        }
        CAPTURE(round);
        REQUIRE((good && validator.complete()) == valid);
        if (valid) REQUIRE(wire == text);
    }
}

TEST_CASE("reads and writes nothing outside a buffer of the exact size") {
    dice roll(3);
    for (std::size_t size = 1; size <= 200; ++size) {
        const std::string text = random_text(roll, size);
        const auto exact = std::make_unique<std::byte[]>(text.size());
        std::copy_n(reinterpret_cast<const std::byte*>(text.data()), text.size(), exact.get());
        CAPTURE(size);
        REQUIRE(duplex::is_valid_utf8(std::span<const std::byte>(exact.get(), text.size())));
        utf8_validator validator;
        REQUIRE(duplex::unmask_and_validate({exact.get(), text.size()}, mask_key{}, 0, validator));
    }
}
