#include <duplex/protocol/message_options.hpp>

#include "support/catch.hpp"

#include <set>
#include <string_view>

using namespace duplex;

TEST_CASE("a message asks for more than nothing where any option but its compression is set") {
    message_options options;
    CHECK_FALSE(asks_for_more(options));
    options.how = compression::none;
    CHECK_FALSE(asks_for_more(options));
    SECTION("what happens without room") { options.when_full = overflow::fail; }
    SECTION("a time to live") { options.time_to_live = std::chrono::milliseconds{1}; }
    SECTION("a key") { options.key = 1; }
    SECTION("a priority") { options.priority = message_priority::urgent; }
    SECTION("a tag") { options.tag = 1; }
    CHECK(asks_for_more(options));
}

TEST_CASE("each fate has a name of its own") {
    std::set<std::string_view> names;
    for (const auto fate : {message_fate::written, message_fate::dropped, message_fate::replaced,
                            message_fate::expired, message_fate::lost})
        names.insert(to_string(fate));
    CHECK(names.size() == 5);
    CHECK(to_string(message_fate::written) == "written");
    CHECK(to_string(static_cast<message_fate>(77)) == "unknown");
}
