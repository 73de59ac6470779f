#include <duplex/http/retry_after.hpp>

#include "support/catch.hpp"

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

using duplex::longest_retry_after;
using namespace std::chrono;

namespace {

constexpr system_clock::time_point now = sys_days{year{2026} / 7 / 1} + 12h;

constexpr std::optional<seconds> read(std::string_view value, system_clock::time_point at = now) {
    return duplex::parse_retry_after(value, at);
}

} // namespace

TEST_CASE("reads a number of seconds") {
    CHECK(read("0") == 0s);
    CHECK(read("1") == 1s);
    CHECK(read("120") == 120s);
    CHECK(read("0120") == 120s);
    CHECK(read("86399") == 86399s);
    static_assert(read("7") == 7s);
}

TEST_CASE("gives no longer wait than a day, whatever the number") {
    CHECK(longest_retry_after == 24h);
    CHECK(read("86400") == 24h);
    CHECK(read("86401") == 24h);
    CHECK(read("9223372036854775807") == 24h);
    CHECK(read("9223372036854775808") == 24h);
    CHECK(read("18446744073709551617") == 24h);
    CHECK(read(std::string(10'000, '9')) == 24h);
    CHECK(read(std::string(10'000, '0') + "5") == 5s);
}

TEST_CASE("reads a date as the time until then") {
    CHECK(read("Wed, 01 Jul 2026 12:00:30 GMT") == 30s);
    CHECK(read("Wednesday, 01-Jul-26 12:01:00 GMT") == 60s);
    CHECK(read("Wed Jul  1 13:00:00 2026") == 1h);
    CHECK(read("Wed, 01 Jul 2026 12:00:00 GMT") == 0s);
}

TEST_CASE("a date is never met early") {
    CHECK(read("Wed, 01 Jul 2026 12:00:30 GMT", now + 1ms) == 30s);
    CHECK(read("Wed, 01 Jul 2026 12:00:30 GMT", now + 999ms) == 30s);
    CHECK(read("Wed, 01 Jul 2026 12:00:30 GMT", now + 1s) == 29s);
}

TEST_CASE("a date in the past asks for no wait, and one far ahead for a day") {
    CHECK(read("Sun, 06 Nov 1994 08:49:37 GMT") == 0s);
    CHECK(read("Sat, 01 Jan 0000 00:00:00 GMT") == 0s);
    CHECK(read("Wed, 01 Jul 2026 11:59:59 GMT") == 0s);
    CHECK(read("Thu, 02 Jul 2026 12:00:00 GMT") == 24h);
    CHECK(read("Thu, 02 Jul 2026 12:00:01 GMT") == 24h);
    CHECK(read("Fri, 31 Dec 9999 23:59:59 GMT") == 24h);
    CHECK(read("Fri, 31 Dec 9999 23:59:59 GMT", system_clock::time_point::min()) == 24h);
    CHECK(read("Sat, 01 Jan 0000 00:00:00 GMT", system_clock::time_point::max()) == 0s);
}

TEST_CASE("rejects what is neither") {
    const std::string_view value =
        GENERATE(as<std::string_view>{}, "", " ", "-1", "+1", "1.5", "1e3", "0x10", " 1", "1 ", "1,2", "1s",
                 "soon", "1\r\n", "Wed, 01 Jul 2026 12:00:30", "Wed, 31 Jun 2026 12:00:30 GMT");
    CAPTURE(value);
    CHECK_FALSE(read(value));
}
