#include <duplex/http/date.hpp>

#include "support/catch.hpp"

#include <chrono>
#include <cstddef>
#include <string>
#include <string_view>

using namespace std::chrono;

namespace {

constexpr sys_seconds in_2026 = sys_days{year{2026} / 7 / 1};

/// Seconds since 1970; -1 where the text is no date.
long long read(std::string_view text, sys_seconds now = in_2026) {
    const auto date = duplex::parse_http_date(text, now);
    return date ? static_cast<long long>(date->time_since_epoch().count()) : -1;
}

} // namespace

TEST_CASE("reads the three forms of an HTTP-date") {
    CHECK(read("Sun, 06 Nov 1994 08:49:37 GMT") == 784111777);
    CHECK(read("Sunday, 06-Nov-94 08:49:37 GMT") == 784111777);
    CHECK(read("Sun Nov  6 08:49:37 1994") == 784111777);
    CHECK(read("Sun Nov 06 08:49:37 1994") == 784111777);
    CHECK(read("Wed Nov 16 08:49:37 1994") == 784111777 + 10 * 86400);
    CHECK(read("Thu, 01 Jan 1970 00:00:00 GMT") == 0);
    CHECK(read("Thu, 29 Feb 2024 23:59:59 GMT") == 1709251199);
    CHECK(read("Fri, 31 Dec 9999 23:59:59 GMT") == 253402300799);
    static_assert(duplex::parse_http_date("Thu, 01 Jan 1970 00:00:01 GMT", in_2026) == sys_seconds{1s});
}

TEST_CASE("a leap second is the first one of the next minute") {
    CHECK(read("Sat, 31 Dec 2016 23:59:60 GMT") == 1483228800);
}

TEST_CASE("knows every month and every day of the week") {
    const std::string_view months = "JanFebMarAprMayJunJulAugSepOctNovDec";
    for (unsigned i = 0; i < 12; ++i) {
        const std::string text =
            "Mon, 01 " + std::string{months.substr(std::size_t{3} * i, 3)} + " 2026 00:00:00 GMT";
        CAPTURE(text);
        CHECK(read(text) == sys_seconds{sys_days{year{2026} / month{i + 1} / 1}}.time_since_epoch().count());
    }
    for (const std::string day : {"Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"})
        CHECK(read(day + ", 01 Jan 1970 00:00:00 GMT") == 0);
    for (const std::string day :
         {"Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"})
        CHECK(read(day + ", 06-Nov-94 08:49:37 GMT") == 784111777);
}

TEST_CASE("a year of two digits is at most 50 years ahead") {
    const auto of = [](std::string_view two_digits) {
        return read("Monday, 01-Jan-" + std::string{two_digits} + " 00:00:00 GMT");
    };
    const auto begin_of = [](int of_year) {
        return static_cast<long long>(
            sys_seconds{sys_days{year{of_year} / 1 / 1}}.time_since_epoch().count());
    };
    CHECK(of("26") == begin_of(2026));
    CHECK(of("76") == begin_of(2076));
    CHECK(of("77") == begin_of(1977));
    CHECK(of("99") == begin_of(1999));
    CHECK(of("00") == begin_of(2000));
}

TEST_CASE("rejects what is no HTTP-date") {
    const std::string_view text = GENERATE(
        as<std::string_view>{}, "", " ", "x", "Sun", "Sun,", "Sun, ", "0", "06 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:37", "Sun, 06 Nov 1994 08:49:37 UTC", "Sun, 06 Nov 1994 08:49:37 gmt",
        "Sun, 06 Nov 1994 08:49:37 GMT ", " Sun, 06 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:37 GMT, x", "Sun,06 Nov 1994 08:49:37 GMT", "Sun, 6 Nov 1994 08:49:37 GMT",
        "Sun,  6 Nov 1994 08:49:37 GMT", "Sun, 06 nov 1994 08:49:37 GMT", "Sun, 06 Nov 94 08:49:37 GMT",
        "Sun, 06 Nov 01994 08:49:37 GMT", "Sun, 06 Nov -994 08:49:37 GMT", "Sun, 06 Nov 1994 8:49:37 GMT",
        "Sun, 06 Nov 1994 24:00:00 GMT", "Sun, 06 Nov 1994 08:60:37 GMT", "Sun, 06 Nov 1994 08:49:61 GMT",
        "Sun, 06 Nov 1994 08.49.37 GMT", "Sun, 06 Nov 1994 0x:49:37 GMT", "Sun, 00 Nov 1994 08:49:37 GMT",
        "Sun, 31 Nov 1994 08:49:37 GMT", "Sun, 29 Feb 2023 08:49:37 GMT", "Sun, 32 Jan 2023 08:49:37 GMT",
        "Xyz, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Xyz 1994 08:49:37 GMT", "Sunday, 06-Nov-1994 08:49:37 GMT",
        "Sunday, 06 Nov 1994 08:49:37 GMT", "Sun, 06-Nov-94 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37",
        "Sun Nov 6 08:49:37 1994", "Sun Nov   6 08:49:37 1994", "Sun Nov  x 08:49:37 1994",
        "Sun Nov  6 08:49:37 1994 GMT", "Sun Nov  6 08:49:37 94", "Sun Nov  0 08:49:37 1994",
        "1994-11-06T08:49:37Z");
    CAPTURE(text);
    CHECK(read(text) == -1);
}

TEST_CASE("rejects a date that is cut anywhere, or has another byte anywhere") {
    const std::string_view text = GENERATE(as<std::string_view>{}, "Sun, 06 Nov 1994 08:49:37 GMT",
                                           "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994");
    for (std::size_t at = 0; at < text.size(); ++at) {
        CAPTURE(at);
        CHECK(read(text.substr(0, at)) == -1);
        for (const char other : {'\0', '\x7f', '\xff', '/', ';'}) {
            std::string broken{text};
            broken[at] = other;
            CHECK(read(broken) == -1);
        }
    }
}
