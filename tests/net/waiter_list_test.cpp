#include <duplex/net/detail/waiter.hpp>

#include "support/catch.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <random>
#include <vector>

namespace {

using namespace duplex;

struct waiting final : detail::listed_waiter<int> {
    explicit waiting(std::uint64_t of) { key = of; }
    void complete(detail::completion /*how*/, int /*with*/) override {}
    void abandon() noexcept override {}
};

} // namespace

TEST_CASE("in a list whose keys grow each is found, in whatever order they are asked for and go") {
    std::minstd_rand random{7};
    for (int round = 0; round < 20; ++round) {
        std::vector<std::unique_ptr<waiting>> all;
        detail::waiter_list<int> list;
        CHECK(list.find_ordered(1) == nullptr);
        for (std::uint64_t i = 0; i < 50; ++i) {
            all.push_back(std::make_unique<waiting>(10 + i * 2));
            list.push_back(*all.back());
        }
        std::vector<bool> there(all.size(), true);
        for (int step = 0; step < 400; ++step) {
            const auto at = static_cast<std::size_t>(random() % all.size());
            auto* const found = list.find_ordered(all[at]->key);
            REQUIRE(found == (there[at] ? all[at].get() : nullptr));
            REQUIRE(list.find_ordered(all[at]->key + 1) == nullptr);
            if (!found || random() % 4 != 0) continue;
            list.remove(*found);
            there[at] = false;
        }
        CHECK(list.find_ordered(9) == nullptr);
        CHECK(list.find_ordered(UINT64_MAX) == nullptr);
        list.abandon_all();
        CHECK(list.find_ordered(10) == nullptr);
    }
}
