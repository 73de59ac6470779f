#include <duplex/deflate/params.hpp>

#include "support/catch.hpp"

using namespace duplex;

TEST_CASE("nobody keeps a window by default, and the default options are in their ranges") {
    constexpr deflate_options options;
    STATIC_REQUIRE(check(options) == errc{});
    CHECK_FALSE(options.context_takeover);
    CHECK_FALSE(options.peer_context_takeover);
    CHECK(options.max_window_bits == 15);
    CHECK(options.max_peer_window_bits == 15);
    CHECK(deflate_params{}.server_max_window_bits == 15);
    CHECK(deflate_params{}.client_max_window_bits == 15);
    CHECK(deflate_params{} != deflate_params{.client_no_context_takeover = true});
}

TEST_CASE("each number among the options has its range") {
    struct row {
        int deflate_options::*option;
        int least;
        int most;
    };
    const row rows[] = {{&deflate_options::level, 0, 9},
                        {&deflate_options::memory_level, 1, 9},
                        {&deflate_options::max_window_bits, 8, 15},
                        {&deflate_options::max_peer_window_bits, 8, 15}};
    for (const auto& row : rows) {
        for (int value = -2; value <= 20; ++value) {
            deflate_options options;
            options.*row.option = value;
            const bool fine = value >= row.least && value <= row.most;
            CAPTURE(row.least, row.most, value);
            CHECK((check(options) == (fine ? errc{} : errc::deflate_option_invalid)));
        }
    }
}
