#include <duplex/core/budget.hpp>

#include "support/catch.hpp"

#include <atomic>
#include <cstddef>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

using namespace duplex;
using detail::receive_charge;
using detail::send_charge;

namespace {

constexpr std::size_t granule = budget::granule;

/// Somebody who waits for a place.
struct waiting : detail::shared_places::waiter {
    bool tell() noexcept override {
        ++told;
        return hears;
    }
    int told = 0;
    bool hears = true;
};

TEST_CASE("no budget counts nothing") {
    constexpr budget none;
    static_assert(!none);
    CHECK(none == budget{});
    CHECK(none.use() == budget_use{});
    CHECK(none.limits() == budget_limits{0, 0, 0});
    CHECK_FALSE(none.begin_handshake());
    CHECK(none.turn_bytes() == static_cast<std::size_t>(-1));
}

TEST_CASE("copies are the same budget, and another one with the same limits is not") {
    const budget one{budget_limits{}};
    const budget same{one};
    CHECK(one == same);
    CHECK_FALSE(one == budget{budget_limits{}});
    CHECK_FALSE(one == budget{});
    send_charge charge;
    REQUIRE(charge.raise(one.shared(), 1));
    CHECK(same.use().send_bytes == granule);
}

TEST_CASE("a budget has limits by default") {
    const budget_limits limits = budget{budget_limits{}}.limits();
    CHECK(limits.send_bytes == std::size_t{256} << 20U);
    CHECK(limits.receive_bytes == std::size_t{256} << 20U);
    CHECK(limits.handshakes == 8192);
}

TEST_CASE("a turn's bytes are few next to the whole") {
    CHECK(budget{budget_limits{}}.turn_bytes() == 65'536);
    CHECK(budget{{.send_bytes = 160'000}}.turn_bytes() == 10'000);
    CHECK(budget{{.send_bytes = 0}}.turn_bytes() == 0);
}

TEST_CASE("bytes are charged in steps, and the last of them to the byte") {
    const budget all{{.send_bytes = 2 * granule + 100}};
    send_charge first;
    CHECK_FALSE(first);
    REQUIRE(first.raise(all.shared(), 1));
    CHECK(first.bytes() == granule);
    CHECK(first);
    // It has them already.
    REQUIRE(first.raise(all.shared(), granule));
    CHECK(all.use().send_bytes == granule);
    REQUIRE(first.raise(all.shared(), granule + 1));
    CHECK(all.use().send_bytes == 2 * granule);
    send_charge second;
    CHECK_FALSE(second.raise(all.shared(), 101));
    CHECK_FALSE(second);
    CHECK(all.use().send_bytes == 2 * granule);
    REQUIRE(second.raise(all.shared(), 100));
    CHECK(second.bytes() == 100);
    CHECK(all.use().send_bytes == all.limits().send_bytes);
    CHECK_FALSE(second.raise(all.shared(), 101));
    // The one is no part of the other.
    CHECK(all.use().receive_bytes == 0);
    first.lower(granule);
    CHECK(all.use().send_bytes == granule + 100);
    first.lower(3 * granule);
    CHECK(all.use().send_bytes == granule + 100);
    REQUIRE(second.raise(all.shared(), 101));
    first.release();
    second.release();
    CHECK(all.use() == budget_use{});
}

TEST_CASE("sizes that no budget has are refused") {
    const budget all{{.send_bytes = static_cast<std::size_t>(-1)}};
    send_charge one;
    REQUIRE(one.raise(all.shared(), 10));
    CHECK_FALSE(send_charge{}.raise(all.shared(), static_cast<std::size_t>(-1)));
    CHECK_FALSE(send_charge{}.take(all.shared(), static_cast<std::size_t>(-1)));
    CHECK(send_charge{}.take(all.shared(), 0));
    CHECK(all.use().send_bytes == granule);
}

TEST_CASE("what is there anyway counts beyond the limit, and leaves nothing for others") {
    const budget all{{.receive_bytes = 100}};
    receive_charge one;
    one.set(all.shared(), granule + 1);
    CHECK(all.use().receive_bytes == 2 * granule);
    CHECK(all.shared()->receiving.left() == 0);
    receive_charge other;
    CHECK_FALSE(other.take(all.shared(), 1));
    one.set(all.shared(), 1);
    CHECK(all.use().receive_bytes == granule);
    one.set(all.shared(), 0);
    CHECK(all.use().receive_bytes == 0);
    REQUIRE(other.take(all.shared(), 99));
    CHECK(all.use().receive_bytes == 99);
    CHECK(all.shared()->receiving.left() == 1);
}

TEST_CASE("a charge goes back once, from wherever it was moved to") {
    std::optional<budget> all{budget_limits{}};
    const budget other{budget_limits{}};
    {
        send_charge one;
        REQUIRE(one.raise(all->shared(), 5 * granule));
        send_charge two{std::move(one)};
        CHECK(all->use().send_bytes == 5 * granule);
        send_charge three;
        REQUIRE(three.raise(other.shared(), granule));
        three = std::move(two);
        CHECK(other.use().send_bytes == 0);
        CHECK(all->use().send_bytes == 5 * granule);
        const budget still = *all;
        all.reset();
        CHECK(still.use().send_bytes == 5 * granule);
        all = still;
    }
    CHECK(all->use() == budget_use{});
    // The budget may have no other owner.
    send_charge last;
    REQUIRE(last.raise(all->shared(), 1));
    all.reset();
    last.release();
}

TEST_CASE("a handshake has its place until it ends") {
    std::optional<budget> all{budget_limits{.handshakes = 2}};
    auto first = all->begin_handshake();
    auto second = all->begin_handshake();
    REQUIRE(first);
    REQUIRE(second);
    CHECK(all->use().handshakes == 2);
    CHECK_FALSE(all->begin_handshake());
    budget::handshake moved{std::move(first)};
    CHECK_FALSE(first); // NOLINT: it is empty
    CHECK(all->use().handshakes == 2);
    moved.end();
    moved.end();
    CHECK(all->use().handshakes == 1);
    moved = all->begin_handshake();
    CHECK(all->use().handshakes == 2);
    moved = std::move(second);
    CHECK(all->use().handshakes == 1);
    all.reset();
}

TEST_CASE("who waits for a place is told once there may be one") {
    const budget all{{.handshakes = 1}};
    auto only = all.begin_handshake();
    waiting one;
    waiting two;
    CHECK_FALSE(all.begin_handshake(&one));
    CHECK_FALSE(all.begin_handshake(&one));
    CHECK_FALSE(all.begin_handshake(&two));
    CHECK(one.told == 0);
    SECTION("all who wait are") {
        only.end();
        CHECK(one.told == 1);
        CHECK(two.told == 1);
        // Not again, unless they ask again.
        (void)all.begin_handshake();
        CHECK(one.told == 1);
        CHECK(two.told == 1);
    }
    SECTION("but not who has left") {
        const bool first = GENERATE(true, false);
        all.stop_waiting(first ? one : two);
        all.stop_waiting(first ? one : two);
        only.end();
        CHECK(one.told == (first ? 0 : 1));
        CHECK(two.told == (first ? 1 : 0));
    }
    SECTION("who cannot be told waits on") {
        one.hears = false;
        only.end();
        one.hears = true;
        (void)all.begin_handshake();
        CHECK(one.told == 2);
        CHECK(two.told == 1);
        (void)all.begin_handshake();
        CHECK(one.told == 2);
    }
}

TEST_CASE("no place means that nobody gets one") {
    const budget all{{.handshakes = 0}};
    CHECK_FALSE(all.begin_handshake());
    CHECK(all.use().handshakes == 0);
}

TEST_CASE("threads never take more than there is, and give all of it back") {
    const budget all{{.send_bytes = 10 * granule, .receive_bytes = 3 * granule, .handshakes = 3}};
    std::atomic<bool> passed{false};
    std::vector<std::thread> threads;
    for (unsigned seed = 1; seed <= 4; ++seed)
        threads.emplace_back([&all, &passed, seed] {
            unsigned random = seed;
            send_charge sending;
            receive_charge receiving;
            budget::handshake handshake;
            for (int i = 0; i < 20'000; ++i) {
                random = random * 1664525U + 1013904223U;
                const std::size_t size = random >> 16U;
                switch (random >> 8U & 7U) {
                case 0: (void)sending.raise(all.shared(), size); break;
                case 1: sending.lower(size); break;
                case 2: (void)receiving.raise(all.shared(), size / 4); break;
                case 3: receiving.release(); break;
                case 4: handshake = all.begin_handshake(); break;
                default: handshake.end();
                }
                const auto use = all.use();
                if (use.send_bytes > 10 * granule || use.receive_bytes > 3 * granule || use.handshakes > 3)
                    passed = true;
            }
        });
    for (auto& each : threads)
        each.join();
    CHECK_FALSE(passed);
    CHECK(all.use() == budget_use{});
}

} // namespace
