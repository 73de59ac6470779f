#include <duplex/net/address_race.hpp>

#include "support/catch.hpp"

#include <chrono>
#include <cstddef>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

using namespace duplex;
using namespace std::chrono_literals;

namespace {

using way = address_race::way;

constexpr time_point start{1'000'000ms};

const auto refused = std::make_error_code(std::errc::connection_refused);
const auto reset = std::make_error_code(std::errc::connection_reset);
const auto no_route = std::make_error_code(std::errc::network_unreachable);
const auto no_family = std::make_error_code(std::errc::address_family_not_supported);

/// "6a 4a 4b" for addresses of which the first character is the family.
std::string mixed(const std::vector<std::string>& sorted, std::size_t first_count = 1) {
    std::string text;
    for (const auto& each : interleave(
             std::span{sorted}, [](const std::string& address) { return address[0]; }, first_count))
        text.append(text.empty() ? "" : " ").append(each);
    return text;
}

constexpr std::optional<std::size_t> nothing{};

} // namespace

TEST_CASE("tries the families of addresses in turn") {
    CHECK(mixed({}).empty());
    CHECK(mixed({"6a"}) == "6a");
    CHECK(mixed({"6a", "6b", "6c", "4a", "4b", "4c"}) == "6a 4a 6b 4b 6c 4c");
    CHECK(mixed({"4a", "6a", "6b"}) == "4a 6a 6b");
    CHECK(mixed({"6a", "6b", "6c", "6d", "4a"}) == "6a 4a 6b 6c 6d");
    CHECK(mixed({"6a", "4a", "4b", "4c"}) == "6a 4a 4b 4c");
    CHECK(mixed({"4b", "4a", "6z", "6y"}) == "4b 6z 4a 6y");
    CHECK(mixed({"4a", "4b"}) == "4a 4b");
    // A resolver that mixes them itself
    CHECK(mixed({"6a", "4a", "6b", "6c", "4b"}) == "6a 4a 6b 4b 6c");
}

TEST_CASE("may try several of the first family before the other") {
    const std::vector<std::string> sorted{"6a", "6b", "6c", "6d", "4a", "4b"};
    CHECK(mixed(sorted, 2) == "6a 6b 4a 6c 4b 6d");
    CHECK(mixed(sorted, 3) == "6a 6b 6c 4a 6d 4b");
    CHECK(mixed(sorted, 4) == "6a 6b 6c 6d 4a 4b");
    CHECK(mixed(sorted, std::numeric_limits<std::size_t>::max()) == "6a 6b 6c 6d 4a 4b");
    CHECK(mixed(sorted, 0) == mixed(sorted, 1));
    CHECK(mixed({"6a", "4a", "4b", "6b"}, 2) == "6a 6b 4a 4b");
}

TEST_CASE("starts an attempt each delay, as long as none ends") {
    address_race race{3, {.attempt_delay = 250ms}};
    CHECK_FALSE(race.over());
    CHECK(race.next_deadline() == no_deadline);
    CHECK(race.start(start) == 0U);
    CHECK(race.next_deadline() == start + 250ms);
    CHECK(race.on_time(start + 249ms) == nothing);
    CHECK(race.on_time(start + 250ms) == 1U);
    CHECK(race.on_time(start + 251ms) == nothing);
    CHECK(race.next_deadline() == start + 500ms);
    // Late, so the next has its delay from here
    CHECK(race.on_time(start + 900ms) == 2U);
    CHECK(race.next_deadline() == no_deadline);
    CHECK(race.on_time(start + 24h) == nothing);
    CHECK_FALSE(race.over());
}

TEST_CASE("starts one attempt after a long sleep, not all that were due") {
    address_race race{5};
    CHECK(race.start(start) == 0U);
    CHECK(race.on_time(start + 1h) == 1U);
    CHECK(race.on_time(start + 1h) == nothing);
    CHECK(race.next_deadline() == start + 1h + 250ms);
}

TEST_CASE("goes on at once when an attempt fails") {
    address_race race{3};
    CHECK(race.start(start) == 0U);
    CHECK(race.failed(0, refused, way::found, start + 10ms) == 1U);
    // It has its own delay.
    CHECK(race.next_deadline() == start + 260ms);
    CHECK(race.on_time(start + 250ms) == nothing);
    CHECK(race.failed(1, refused, way::found, start + 20ms) == 2U);
    CHECK_FALSE(race.over());
    CHECK(race.failed(2, refused, way::found, start + 30ms) == nothing);
    CHECK(race.over());
    CHECK(race.winner() == nothing);
    CHECK(race.error() == refused);
}

TEST_CASE("goes on when any attempt fails, also one that is not the last") {
    address_race race{4};
    CHECK(race.start(start) == 0U);
    CHECK(race.on_time(start + 250ms) == 1U);
    CHECK(race.failed(0, refused, way::found, start + 300ms) == 2U);
    CHECK(race.next_deadline() == start + 550ms);
    CHECK(race.failed(2, refused, way::found, start + 310ms) == 3U);
    CHECK(race.next_deadline() == no_deadline);
    CHECK(race.failed(3, refused, way::found, start + 320ms) == nothing);
    CHECK_FALSE(race.over());
    CHECK(race.failed(1, refused, way::found, start + 330ms) == nothing);
    CHECK(race.over());
}

TEST_CASE("the first attempt to succeed wins, and nothing comes after it") {
    const auto winner = GENERATE(0U, 1U);
    address_race race{3};
    CHECK(race.start(start) == 0U);
    CHECK(race.on_time(start + 250ms) == 1U);
    race.succeeded(winner);
    CHECK(race.over());
    CHECK(race.winner() == winner);
    CHECK(race.next_deadline() == no_deadline);
    CHECK(race.on_time(start + 1h) == nothing);
    CHECK(race.failed(1 - winner, reset, way::found, start + 1h) == nothing);
    race.succeeded(1 - winner);
    CHECK(race.winner() == winner);
    CHECK(race.start(start + 1h) == nothing);
}

TEST_CASE("one address has no deadline") {
    address_race race{1};
    CHECK(race.start(start) == 0U);
    CHECK(race.next_deadline() == no_deadline);
    SECTION("and wins") {
        race.succeeded(0);
        CHECK(race.winner() == 0U);
    }
    SECTION("or fails") {
        CHECK(race.failed(0, reset, way::found, start) == nothing);
        CHECK(race.error() == reset);
    }
    CHECK(race.over());
}

TEST_CASE("a race without addresses is over") {
    address_race race{0};
    CHECK(race.over());
    CHECK(race.start(start) == nothing);
    CHECK(race.on_time(start + 1h) == nothing);
    CHECK(race.winner() == nothing);
    CHECK(race.next_deadline() == no_deadline);
    CHECK(race.error() == std::errc::address_not_available);
}

TEST_CASE("tells the error of the most preferred address") {
    address_race race{3};
    const auto fail_all = [&](std::vector<std::size_t> order, std::vector<std::error_code> errors) {
        CHECK(race.start(start) == 0U);
        CHECK(race.on_time(start + 1s) == 1U);
        CHECK(race.on_time(start + 2s) == 2U);
        for (const auto index : order) {
            const bool missing = errors[index] == no_route || errors[index] == no_family;
            CHECK(race.failed(index, errors[index], missing ? way::missing : way::found, start + 3s) ==
                  nothing);
        }
        CHECK(race.over());
    };
    SECTION("in the order of preference") {
        fail_all({0, 1, 2}, {refused, reset, reset});
        CHECK(race.error() == refused);
    }
    SECTION("whichever failed first") {
        fail_all({2, 1, 0}, {refused, reset, reset});
        CHECK(race.error() == refused);
    }
    SECTION("to which there was a way") {
        fail_all({0, 1, 2}, {no_route, refused, reset});
        CHECK(race.error() == refused);
    }
    SECTION("to which there was a way, whichever failed first") {
        fail_all({1, 2, 0}, {no_route, refused, reset});
        CHECK(race.error() == refused);
    }
    SECTION("to which alone there was a way") {
        fail_all({2, 1, 0}, {no_family, no_route, reset});
        CHECK(race.error() == reset);
    }
    SECTION("or else of the first of all") {
        fail_all({2, 0, 1}, {no_route, no_family, no_family});
        CHECK(race.error() == no_route);
    }
}

TEST_CASE("the delay stays where RFC 8305 has it") {
    const auto delay_of = [](std::chrono::milliseconds wanted) {
        address_race race{2, {.attempt_delay = wanted}};
        CHECK(race.start(start) == 0U);
        return race.next_deadline() - start;
    };
    CHECK(address_race_options{}.attempt_delay == 250ms);
    CHECK(delay_of(250ms) == 250ms);
    CHECK(delay_of(10ms) == 10ms);
    CHECK(delay_of(9ms) == 10ms);
    CHECK(delay_of(0ms) == 10ms);
    CHECK(delay_of(-1ms) == 10ms);
    CHECK(delay_of(2000ms) == 2000ms);
    CHECK(delay_of(2001ms) == 2000ms);
    CHECK(delay_of(std::chrono::milliseconds::max()) == 2000ms);
    CHECK(delay_of(std::chrono::milliseconds::min()) == 10ms);
}
