#include <duplex/handshake/extension_list.hpp>

#include "support/catch.hpp"

#include <string>
#include <string_view>
#include <vector>

using duplex::extension_offer;
using duplex::parse_extensions;

namespace {

/// The list in one spelling, or "malformed".
std::string read(std::string_view text) {
    std::vector<extension_offer> list;
    if (!parse_extensions(text, list)) return "malformed";
    std::string result;
    for (const auto& offer : list) {
        result += '[' + offer.name;
        for (const auto& parameter : offer.parameters) {
            result += ' ' + parameter.name;
            if (parameter.value) result += '=' + *parameter.value;
        }
        result += ']';
    }
    return result;
}

std::string repeat(std::string_view text, std::size_t times) {
    std::string result;
    while (times-- > 0)
        result += text;
    return result;
}

} // namespace

TEST_CASE("reads extensions with their parameters in order") {
    CHECK(read("foo") == "[foo]");
    CHECK(read("foo, bar") == "[foo][bar]");
    CHECK(read("foo,bar") == "[foo][bar]");
    CHECK(read("deflate-stream") == "[deflate-stream]");
    // RFC 6455 9.1
    CHECK(read("mux; max-channels=4; flow-control, deflate-stream") ==
          "[mux max-channels=4 flow-control][deflate-stream]");
    CHECK(read("private-extension") == "[private-extension]");
    // RFC 7692 7.1
    CHECK(read("permessage-deflate; client_max_window_bits; server_max_window_bits=10") ==
          "[permessage-deflate client_max_window_bits server_max_window_bits=10]");
    CHECK(read("permessage-deflate; a=1, permessage-deflate; a=2") ==
          "[permessage-deflate a=1][permessage-deflate a=2]");
}

TEST_CASE("reads a quoted value as the token that it stands for") {
    CHECK(read(R"(a; b="10")") == "[a b=10]");
    CHECK(read(R"(a; b="1\0" ; c="x", d)") == "[a b=10 c=x][d]");
}

TEST_CASE("allows blanks between the parts") {
    CHECK(read(" \t a \t ; \t b \t = \t 1 \t , \t c \t ") == "[a b=1][c]");
    CHECK(read(R"(a ; b = "1" ; c)") == "[a b=1 c]");
}

TEST_CASE("skips empty list elements") {
    CHECK(read("").empty());
    CHECK(read(" ").empty());
    CHECK(read(",").empty());
    CHECK(read(", ,a, ,\t,b,,") == "[a][b]");
}

TEST_CASE("refuses what the grammar does not have") {
    const auto* text = GENERATE(values<const char*>({
        "a;",           "a; ",          "a;;b",          ";",           "; a",
        "a; =1",        "a; b=",        "a; b=,c",       "a; b==1",     "a b",
        "a; b c",       "a; b=1 2",     "a=1",           "\"a\"",       "a; \"b\"=1",
        "a; b=\"\"",    "a; b=\"",      "a; b=\"1",      "a; b=\"\\",   "a; b=\"1\"2",
        "a; b=\"1 2\"", "a; b=\"1,2\"", "a; b=\"\\\"\"", "a; b=1\"2\"", "a/b",
        "a; b=c/d",     "a\r\nb",       "a; b='c d'",    "\x80",        "a; b=\xC3\xA9",
        "(a)",          "a, b;",        "a, @",          "=",           "a,\"",
    }));
    CAPTURE(text);
    CHECK(read(text) == "malformed");
}

TEST_CASE("refuses NUL") {
    CHECK(read(std::string_view("a\0b", 3)) == "malformed");
    CHECK(read(std::string_view("\0", 1)) == "malformed");
    CHECK(read(std::string_view("a; b=\"\0\"", 8)) == "malformed");
}

TEST_CASE("takes a name that means something to other languages as a name") {
    CHECK(read("constructor; __proto__; toString=1, hasOwnProperty") ==
          "[constructor __proto__ toString=1][hasOwnProperty]");
}

TEST_CASE("appends the lists of several headers") {
    std::vector<extension_offer> list;
    REQUIRE(parse_extensions("a; x=1", list));
    REQUIRE(parse_extensions("b, c", list));
    REQUIRE_FALSE(parse_extensions("d, e;", list));
    REQUIRE(list.size() == 4);
    CHECK(list[0].name == "a");
    CHECK(list[2].name == "c");
    CHECK(list[3].name == "d");
}

TEST_CASE("bounds the number of extensions, over several headers too") {
    CHECK(read(repeat("a,", duplex::max_extensions)) == repeat("[a]", duplex::max_extensions));
    CHECK(read(repeat("a,", duplex::max_extensions + 1)) == "malformed");
    CHECK(read(repeat("a,", 100'000)) == "malformed");

    std::vector<extension_offer> list;
    for (std::size_t i = 0; i < duplex::max_extensions; ++i)
        REQUIRE(parse_extensions("a", list));
    CHECK_FALSE(parse_extensions("a", list));
    CHECK(list.size() == duplex::max_extensions);
}

TEST_CASE("bounds the number of parameters") {
    CHECK(read("a" + repeat(";b", duplex::max_extension_parameters)) ==
          "[a" + repeat(" b", duplex::max_extension_parameters) + "]");
    CHECK(read("a" + repeat(";b", duplex::max_extension_parameters + 1)) == "malformed");
    CHECK(read("a" + repeat(";b", 100'000)) == "malformed");
}

TEST_CASE("reads a megabyte of separators in one pass") {
    constexpr std::size_t size = 1 << 20;
    CHECK(read(repeat(",", size)).empty());
    CHECK(read(repeat(" ", size)).empty());
    CHECK(read(repeat(", \t", size / 3) + "a") == "[a]");
    CHECK(read("a" + repeat(" ", size) + ";" + repeat("\t", size) + "b" + repeat(" ", size) + "=" +
               repeat(" ", size) + "c") == "[a b=c]");
    CHECK(read("a" + repeat(" ", size) + "b") == "malformed");
    CHECK(read("a; b=\"" + repeat("\\", size)) == "malformed");
    CHECK(read("a; b=\"" + repeat("x", size)) == "malformed");
}

TEST_CASE("finds an extension by its exact name") {
    std::vector<extension_offer> list;
    REQUIRE(parse_extensions("foo, bar", list));
    CHECK(lists_extension(list, "bar"));
    CHECK_FALSE(lists_extension(list, "Bar"));
    CHECK_FALSE(lists_extension(list, "ba"));
    CHECK_FALSE(lists_extension(list, "constructor"));
    CHECK_FALSE(duplex::lists_extension({}, "foo"));
}
