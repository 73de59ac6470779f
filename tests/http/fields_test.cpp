#include <duplex/http/fields.hpp>

#include "support/catch.hpp"

#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace {

using namespace std::string_view_literals;
using duplex::errc;
using duplex::fields;

static_assert(std::forward_iterator<fields::iterator>);

std::vector<std::string> all_of(const fields& list, std::string_view name) {
    std::vector<std::string> values;
    list.for_each(name, [&](std::string_view value) { values.emplace_back(value); });
    return values;
}

} // namespace

TEST_CASE("new fields are empty", "[fields]") {
    const fields none;
    CHECK(none.empty());
    CHECK(none.size() == 0);
    CHECK(none.begin() == none.end());
    CHECK_FALSE(none.find("Host").has_value());
    CHECK(none.count("Host") == 0);
    CHECK_FALSE(none.check());
}

TEST_CASE("fields keep their order, their case and their repetitions", "[fields]") {
    fields list{{"Host", "a"}, {"X-One", "1"}, {"x-one", ""}};
    list.add("Z", "last");
    std::string text;
    for (const auto field : list)
        text.append(field.name).append("=").append(field.value).append(";");
    CHECK(text == "Host=a;X-One=1;x-one=;Z=last;");
    CHECK(list.size() == 4);
    CHECK_FALSE(list.empty());
}

TEST_CASE("a field is found by its name in any case, the first one of several", "[fields]") {
    const fields list{{"Cookie", "a=1"}, {"COOKIE", "b=2"}, {"Empty", ""}, {"cookies", "no"}};
    CHECK(list.find("cookie") == "a=1"sv);
    CHECK(list.find("EMPTY") == ""sv);
    CHECK(list.find("cook") == std::nullopt);
    CHECK(list.find("") == std::nullopt);
    CHECK(list.count("cookie") == 2);
    CHECK(list.count("absent") == 0);
    CHECK(all_of(list, "cookiE") == std::vector<std::string>{"a=1", "b=2"});
    CHECK(all_of(list, "absent").empty());
}

TEST_CASE("names that are not tokens are found by check", "[fields]") {
    for (const auto name : {""sv, "a b"sv, "a:"sv, "a\r\nb"sv, "a\0"sv, " a"sv, "a\n"sv, "\xC3\xA4"sv}) {
        CAPTURE(name);
        CHECK(fields{{name, "value"}}.check() == errc::header_name_invalid);
    }
}

TEST_CASE("values that would break the head are found by check", "[fields]") {
    for (const auto value :
         {"a\r\nX-Evil: 1"sv, "a\nb"sv, "a\rb"sv, "a\0b"sv, "a\x7f"sv, " a"sv, "a "sv, "\x01"sv}) {
        CAPTURE(value);
        CHECK(fields{{"name", value}}.check() == errc::header_value_invalid);
    }
}

TEST_CASE("check tells the first fault and passes what is valid", "[fields]") {
    CHECK_FALSE(fields{{"A", ""}, {"B", "b \t\xC3\xA4"}}.check());
    CHECK(fields{{"A", "1"}, {"B", "\n"}, {"", "1"}}.check() == errc::header_value_invalid);
    CHECK(fields{{"A", "1"}, {"", "1"}, {"B", "\n"}}.check() == errc::header_name_invalid);
}

TEST_CASE("cleared fields can be filled again", "[fields]") {
    fields list{{"A", "1"}, {"B", "2"}};
    list.clear();
    CHECK(list.empty());
    CHECK_FALSE(list.find("A").has_value());
    list.add("C", "3");
    CHECK(list == fields{{"C", "3"}});
}

TEST_CASE("copies and moved fields carry their own text", "[fields]") {
    fields list{{"A", "1"}};
    fields copy = list;
    list.add("B", "2");
    CHECK(copy.size() == 1);
    copy = list;
    const fields moved = std::move(list);
    CHECK(moved == copy);
    CHECK(moved.find("b") == "2"sv);
}

TEST_CASE("fields are equal where names, values and order are", "[fields]") {
    const fields list{{"A", "x"}, {"B", "y"}};
    CHECK(list == fields{{"a", "x"}, {"b", "y"}});
    CHECK_FALSE(list == fields{{"B", "y"}, {"A", "x"}});
    CHECK_FALSE(list == fields{{"A", "X"}, {"B", "y"}});
    CHECK_FALSE(list == fields{{"A", "x"}});
    // the same text, cut elsewhere
    CHECK_FALSE(fields{{"ab", "c"}} == fields{{"a", "bc"}});
}

TEST_CASE("ten thousand fields are held and counted", "[fields]") {
    fields list;
    for (int i = 0; i < 10'000; ++i)
        list.add(i % 2 == 0 ? "even" : "odd", std::to_string(i));
    CHECK(list.size() == 10'000);
    CHECK(list.count("Even") == 5'000);
    CHECK(list.find("ODD") == "1"sv);
    CHECK_FALSE(list.check());
}
