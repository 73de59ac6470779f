#include <duplex/test/fail_count.hpp>

#include "support/catch.hpp"

#include <cstddef>
#include <system_error>
#include <utility>
#include <vector>

using duplex::test::fail_count;
using duplex::test::for_each_failure;

TEST_CASE("fails the nth operation and no other") {
    const auto n = GENERATE(values<std::size_t>({1, 2, 7}));
    CAPTURE(n);
    fail_count failure{n};
    for (std::size_t i = 1; i <= 10; ++i) {
        CAPTURE(i);
        CHECK(failure.triggered() == (i > n));
        const auto error = failure.next();
        CHECK(failure.count() == i);
        if (i == n) {
            CHECK(error == asio::error::connection_reset);
        } else {
            CHECK_FALSE(error);
        }
    }
}

TEST_CASE("fails nothing where n is zero") {
    fail_count failure{0};
    for (int i = 0; i < 5; ++i) {
        CHECK_FALSE(failure.next());
        CHECK_FALSE(failure.triggered());
    }
    CHECK(failure.count() == 5);
}

TEST_CASE("fails with the error it was given") {
    const auto error = std::make_error_code(std::errc::timed_out);
    fail_count failure{1, error};
    CHECK(failure.next() == error);
}

TEST_CASE("copies of a fail_count share its count") {
    fail_count failure{2};
    auto copy = failure;
    CHECK_FALSE(copy.next());
    CHECK(failure.count() == 1);
    CHECK(failure.next());
    CHECK(copy.triggered());
}

TEST_CASE("fails each operation of a run in turn and tells how many there were") {
    const auto operations = GENERATE(values<std::size_t>({0, 1, 4}));
    CAPTURE(operations);
    std::vector<std::size_t> done;
    const auto failures = for_each_failure([&](fail_count& failure) {
        std::size_t count = 0;
        while (count < operations && !failure.next()) {
            ++count;
        }
        done.push_back(count);
    });
    CHECK(failures == operations);
    REQUIRE(done.size() == operations + 1);
    for (std::size_t i = 0; i < done.size(); ++i) {
        CHECK(done[i] == i);
    }
}

TEST_CASE("fails each operation of a run with the error it was given") {
    const auto error = std::make_error_code(std::errc::broken_pipe);
    std::vector<std::error_code> seen;
    CHECK(for_each_failure([&](fail_count& failure) { seen.push_back(failure.next()); }, error) == 1);
    CHECK(seen == std::vector<std::error_code>{error, {}});
}
