#include <duplex/http/token.hpp>

#include "support/catch.hpp"

#include <cstddef>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

namespace {

using namespace std::string_view_literals;

std::vector<std::string> elements(std::string_view list) {
    std::vector<std::string> all;
    for (const auto element : duplex::list_view(list))
        all.emplace_back(element);
    return all;
}

using strings = std::vector<std::string>;

static_assert(duplex::is_token("Sec-WebSocket-Key"));
static_assert(duplex::list_contains_token("keep-alive, Upgrade", "upgrade"));
static_assert(std::forward_iterator<duplex::list_view::iterator>);

} // namespace

TEST_CASE("token characters are those of RFC 9110 5.6.2 and no others", "[token]") {
    constexpr auto expected =
        "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"sv;
    for (int i = 0; i < 256; ++i) {
        const char c = static_cast<char>(i);
        CAPTURE(i);
        CHECK(duplex::is_token_char(c) == (expected.find(c) != std::string_view::npos));
    }
}

TEST_CASE("a token has at least one character and nothing but token characters", "[token]") {
    CHECK(duplex::is_token("GET"));
    CHECK(duplex::is_token("v2.chat-x"));
    for (const auto wrong :
         {""sv, "a b"sv, " a"sv, "a "sv, "a,b"sv, "a:"sv, "a\0"sv, "a\r\n"sv, "\x80"sv, "a\x7f"sv, "(a)"sv}) {
        CAPTURE(wrong);
        CHECK_FALSE(duplex::is_token(wrong));
    }
}

TEST_CASE("a field value has no control characters but the tab", "[token]") {
    for (int i = 0; i < 256; ++i) {
        const std::string value{'a', static_cast<char>(i), 'b'};
        CAPTURE(i);
        CHECK(duplex::is_field_value(value) == ((i >= 0x20 && i != 0x7F) || i == '\t'));
    }
}

TEST_CASE("a field value may be empty and has no white space at its ends", "[token]") {
    CHECK(duplex::is_field_value(""));
    CHECK(duplex::is_field_value("a b\tc"));
    for (const auto wrong :
         {" "sv, "\t"sv, " a"sv, "a "sv, "\ta"sv, "a\t"sv, "a\r\nX-Evil: 1"sv, "a\n"sv, "a\0b"sv}) {
        CAPTURE(wrong);
        CHECK_FALSE(duplex::is_field_value(wrong));
    }
}

TEST_CASE("case is ignored for ASCII letters only", "[token]") {
    CHECK(duplex::equals_ignoring_case("WebSocket", "wEBsOCKET"));
    CHECK(duplex::equals_ignoring_case("", ""));
    CHECK_FALSE(duplex::equals_ignoring_case("web", "webs"));
    // neighbours of the letters, 32 apart
    CHECK_FALSE(duplex::equals_ignoring_case("@[", "`{"));
    CHECK_FALSE(duplex::equals_ignoring_case("\xC4", "\xE4"));
}

TEST_CASE("trim takes spaces and tabs from the ends and nothing else", "[token]") {
    CHECK(duplex::trim(" \t a b \t") == "a b");
    CHECK(duplex::trim("a") == "a");
    CHECK(duplex::trim(" \t ").empty());
    CHECK(duplex::trim("").empty());
    CHECK(duplex::trim("\r\na\v") == "\r\na\v");
}

TEST_CASE("a list gives its elements without the white space round them", "[token]") {
    CHECK(elements("a") == strings{"a"});
    CHECK(elements("a,b") == strings{"a", "b"});
    CHECK(elements(" a ,\tb c\t, d") == strings{"a", "b c", "d"});
}

TEST_CASE("a list skips empty elements", "[token]") {
    CHECK(elements("").empty());
    CHECK(elements(" ,\t, ,").empty());
    CHECK(duplex::list_view(" , ").empty());
    CHECK_FALSE(duplex::list_view(" ,a").empty());
    CHECK(elements(",a,, b ,") == strings{"a", "b"});
}

TEST_CASE("a comma inside a quoted string does not separate", "[token]") {
    CHECK(elements(R"(a; x="1,2" , b)") == strings{R"(a; x="1,2")", "b"});
    CHECK(elements(R"("a\",b",c)") == strings{R"("a\",b")", "c"});
    CHECK(elements(R"("a\\",b)") == strings{R"("a\\")", "b"});
    // outside of a quoted string a backslash is only a character
    CHECK(elements(R"(a\,b)") == strings{R"(a\)", "b"});
}

TEST_CASE("a quoted string without an end reaches to the end of the list", "[token]") {
    CHECK(elements(R"(a,"b,c)") == strings{"a", R"("b,c)"});
    CHECK(elements(R"(a,"b\)") == strings{"a", R"("b\)"});
}

TEST_CASE("elements are views of the list", "[token]") {
    constexpr auto list = "ab, cd"sv;
    for (const auto element : duplex::list_view(list)) {
        CHECK(element.data() >= list.data());
        CHECK(element.data() + element.size() <= list.data() + list.size());
    }
}

TEST_CASE("a copied list iterator goes its own way", "[token]") {
    const duplex::list_view list("a,b,c");
    auto first = list.begin();
    auto second = first++;
    CHECK(*second == "a");
    CHECK(*first == "b");
    CHECK(++second == first);
    CHECK(++ ++second == list.end());
    CHECK(duplex::list_view::iterator{} == list.end());
}

TEST_CASE("list iterators are equal where their elements are the same bytes", "[token]") {
    constexpr auto text = "ab,ab"sv;
    const duplex::list_view whole(text);
    // Begins at the same byte, and ends before.
    const duplex::list_view cut(text.substr(0, 1));
    CHECK(whole.begin() == duplex::list_view(text).begin());
    CHECK_FALSE(whole.begin() == cut.begin());
    // The same letters in another place.
    CHECK_FALSE(whole.begin() == ++whole.begin());
    CHECK_FALSE(whole.begin() == whole.end());
}

TEST_CASE("a token is found in a list whole and without regard to case", "[token]") {
    CHECK(duplex::list_contains_token("keep-alive, UPGRADE", "Upgrade"));
    CHECK(duplex::list_contains_token("upgrade", "Upgrade"));
    for (const auto list : {""sv, "keep-alive"sv, "upgrades"sv, "up grade"sv, "not-upgrade"sv,
                            "\"upgrade\""sv, "\"a, upgrade\""sv}) {
        CAPTURE(list);
        CHECK_FALSE(duplex::list_contains_token(list, "upgrade"));
    }
}

TEST_CASE("megabytes of spaces, commas or quotes in a list are read in one pass", "[token]") {
    // with a second look at each byte per element none of these would end in this century
    constexpr std::size_t size = std::size_t{4} << 20;
    CHECK(elements(std::string(size, ' ')).empty());
    CHECK(elements(std::string(size, ',')).empty());
    CHECK(elements("a" + std::string(size, ' ') + "b").size() == 1);
    CHECK(elements(std::string(size, '"')).size() == 1);
    CHECK(elements('"' + std::string(size, '\\')).size() == 1);

    std::string pairs;
    for (std::size_t i = 0; i < size / 4; ++i)
        pairs += " ,\"a"[i % 4];
    std::size_t bytes = 0;
    for (const auto element : duplex::list_view(pairs))
        bytes += element.size();
    CHECK(bytes <= pairs.size());

    std::string many;
    for (std::size_t i = 0; i < size / 4; ++i)
        many += "x , ";
    std::size_t count = 0;
    for (const auto element : duplex::list_view(many))
        count += element == "x" ? 1U : 0U;
    CHECK(count == size / 4);
    CHECK_FALSE(duplex::list_contains_token(many, "y"));
}
