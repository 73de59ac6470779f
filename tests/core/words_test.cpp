#include <duplex/core/detail/words.hpp>

#include "support/catch.hpp"

#include <cstddef>
#include <string>
#include <string_view>

using duplex::is_valid_utf8;
using duplex::detail::append_words;
using duplex::detail::first_line;
using duplex::detail::most_words;
using duplex::detail::words;
using namespace std::string_view_literals;

TEST_CASE("words that do no harm stay as they are") {
    CHECK(words("").empty());
    CHECK(words("members only, please") == "members only, please");
    CHECK(words("gr\xC3\xBC\xC3\x9F \xE2\x82\xAC \xF0\x9F\x98\x80") ==
          "gr\xC3\xBC\xC3\x9F \xE2\x82\xAC \xF0\x9F\x98\x80");
    CHECK(words("\xC2\xA0") == "\xC2\xA0");
}

TEST_CASE("what a terminal would obey does not stand in words") {
    CHECK(words("a\x1B[2Jb\rc\nd\te\x7F"
                "f\0g"sv) == "a?[2Jb?c?d?e?f?g");
    // U+0080, U+009F: controls; U+2028, U+2029: ends of lines
    CHECK(words("\xC2\x80-\xC2\x9F-\xE2\x80\xA8-\xE2\x80\xA9-\xE2\x80\xAA") == "?-?-?-?-\xE2\x80\xAA");
    for (int byte = 0; byte < 256; ++byte) {
        const auto made = words(std::string(1, static_cast<char>(byte)));
        CAPTURE(byte);
        CHECK(made == (byte >= 0x20 && byte < 0x7F ? std::string(1, static_cast<char>(byte)) : "?"));
    }
}

TEST_CASE("words that are no UTF-8 keep their ASCII") {
    CHECK(words("a\xFF\xC3\xBC") == "a???");
    CHECK(words("cut \xE2\x82") == "cut ??");
}

TEST_CASE("words are bounded, and say that something is missing") {
    CHECK(words("123456789", 9) == "123456789");
    CHECK(words("123456789A", 9) == "123456...");
    CHECK(words(std::string(most_words, 'x')) == std::string(most_words, 'x'));
    CHECK(words(std::string(most_words + 1, 'x')).size() == most_words);
    CHECK(words("abc", 2).size() <= 2);
    CHECK(words("abc", 0).empty());
    // No character is cut in two.
    std::string text;
    for (int i = 0; i < 400; ++i)
        text += "\xE2\x82\xAC";
    for (std::size_t most = 0; most < 40; ++most) {
        CAPTURE(most);
        const auto made = words(text, most);
        CHECK(made.size() <= most);
        CHECK(is_valid_utf8(made));
        if (most >= 3) CHECK(made.ends_with("..."));
    }
}

TEST_CASE("words are appended up to the same bound") {
    std::string text = "12345";
    append_words(text, "6789", 9);
    CHECK(text == "123456789");
    append_words(text, "A", 9);
    CHECK(text == "123456789");
    text = "12345";
    append_words(text, "6789A", 9);
    CHECK(text == "123456...");
}

TEST_CASE("the first line is the first that has anything in it") {
    CHECK(first_line("").empty());
    CHECK(first_line(" \r\n\t\n").empty());
    CHECK(first_line("one") == "one");
    CHECK(first_line("\r\n  one \t\r\ntwo") == "one");
    CHECK(first_line("one\rtwo") == "one");
}
