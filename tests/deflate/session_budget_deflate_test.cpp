#include <duplex/deflate.hpp>
#include <duplex/protocol/session.hpp>

// What is inflated counts in the budget, and never takes more than that has.

#include "support/catch.hpp"
#include "support/output.hpp"
#include "support/wire.hpp"

#include <cstddef>
#include <optional>
#include <random>
#include <span>
#include <string>
#include <utility>

using namespace duplex;
using namespace duplex::testing;

namespace {

constexpr deflate_options eager{.threshold = 0, .max_ratio = 0};
constexpr deflate_params alone{.server_no_context_takeover = true, .client_no_context_takeover = true};

[[nodiscard]] session compressing(role self, const session_options& options = {}) {
    session made{self, options};
    auto codec = detail::default_codec(self, alone, eager);
    REQUIRE(codec);
    made.use(std::move(codec));
    return made;
}

[[nodiscard]] session_options sharing(const budget& all) {
    session_options options;
    options.budget = all;
    return options;
}

/// A message of so many bytes that compress well, as its frame.
[[nodiscard]] octets compressed(std::size_t size) {
    auto from = compressing(role::client);
    REQUIRE(accepted(from.send(opcode::binary, octets(size, 'x'))));
    return drained(from);
}

[[nodiscard]] event feed(session& to, octets& window) {
    to.receive(std::as_writable_bytes(std::span{window}));
    return to.next();
}

} // namespace

TEST_CASE("what a message inflates to is charged while it is there") {
    const budget all{{.receive_bytes = 1 << 20U}};
    auto to = compressing(role::server, sharing(all));
    auto window = compressed(300'000);
    REQUIRE(window.size() < 2000);
    const bool given_away = GENERATE(false, true);
    REQUIRE(feed(to, window).payload.size() == 300'000);
    CHECK(all.use().receive_bytes >= 300'000);
    if (given_away) {
        CHECK(to.take_message().size() == 300'000);
        CHECK(all.use() == budget_use{});
    }
    CHECK_FALSE(to.next());
    CHECK(all.use() == budget_use{});
    // The codec goes on.
    window = compressed(1000);
    CHECK(feed(to, window).payload.size() == 1000);
    CHECK(all.use() == budget_use{});
}

TEST_CASE("no byte is inflated beyond what the budget has") {
    const budget all{{.receive_bytes = 1 << 20U}};
    std::optional<session> other{compressing(role::server, sharing(all))};
    auto others = compressed(900'000);
    REQUIRE(feed(*other, others).what == event::kind::message);
    const auto before = all.use().receive_bytes;
    REQUIRE(before >= 900'000);
    auto to = compressing(role::server, sharing(all));
    auto window = compressed(400'000);
    SECTION("at once") {
        const event found = feed(to, window);
        CHECK(found.what == event::kind::failed);
        CHECK(found.error == errc::budget_full);
        CHECK(found.code == close_code::try_again_later);
        CHECK(all.use().receive_bytes == before);
    }
    SECTION("byte by byte") {
        event found{};
        octets byte;
        for (std::size_t at = 0; at < window.size() && !found; ++at) {
            byte = window.substr(at, 1);
            found = feed(to, byte);
            REQUIRE(all.use().receive_bytes <= all.limits().receive_bytes);
        }
        CHECK(found.error == errc::budget_full);
        CHECK(all.use().receive_bytes == before);
    }
    SECTION("unless the other is done before") {
        other.reset();
        CHECK(feed(to, window).payload.size() == 400'000);
    }
}

TEST_CASE("a message that is too big is that, and no matter of the budget") {
    const budget all{{.receive_bytes = 1 << 20U}};
    auto options = sharing(all);
    options.limits.message_bytes = 100'000;
    auto to = compressing(role::server, options);
    auto window = compressed(100'001);
    CHECK(feed(to, window).error == errc::message_too_big);
    CHECK(all.use() == budget_use{});
}

TEST_CASE("what is sent compressed is charged for what is queued, and goes back") {
    const budget all{{.send_bytes = 1 << 20U}};
    auto from = compressing(role::server, sharing(all));
    std::mt19937 random{1};
    octets noise(200'000, '\0');
    for (char& each : noise)
        each = static_cast<char>(random());
    for (const auto& payload : {octets(200'000, 'x'), noise, octets(200'000, 'x')}) {
        REQUIRE(accepted(from.send(opcode::binary, payload)));
        (void)gathered(from);
        from.consumed(0);
        CHECK(all.use().send_bytes >= from.queued());
        CHECK(all.use().send_bytes < from.queued() + budget::granule);
    }
    (void)drained(from);
    CHECK(all.use() == budget_use{});
}
