#include <duplex/core/detail/either_ptr.hpp>

#include "support/catch.hpp"

#include <memory>
#include <utility>

namespace {

struct tally {
    explicit tally(int& alive) noexcept
        : alive_{&alive} {
        ++*alive_;
    }
    tally(const tally&) = delete;
    tally& operator=(const tally&) = delete;
    virtual ~tally() { --*alive_; }

private:
    int* alive_;
};
struct left : tally {
    using tally::tally;
};
struct right : tally {
    using tally::tally;
};

} // namespace

TEST_CASE("an either_ptr owns one thing of two kinds, in the room of a pointer") {
    using pointer = duplex::detail::either_ptr<left, right>;
    static_assert(sizeof(pointer) == sizeof(void*));
    int lefts = 0, rights = 0;
    {
        pointer either;
        CHECK(either.first() == nullptr);
        CHECK(either.second() == nullptr);
        CHECK(either.take_first() == nullptr);

        auto made = std::make_unique<left>(lefts);
        auto* const one = made.get();
        either.keep(std::move(made));
        CHECK(either.first() == one);
        CHECK(either.second() == nullptr);

        // What is kept takes the place of what was, of the other kind too.
        auto other = std::make_unique<right>(rights);
        auto* const two = other.get();
        either.keep(std::move(other));
        CHECK(either.first() == nullptr);
        CHECK(either.second() == two);
        CHECK(either.take_first() == nullptr);
        CHECK(either.second() == two);
        CHECK(lefts == 0);
        CHECK(rights == 1);

        either.keep(std::make_unique<left>(lefts));
        CHECK(rights == 0);
        {
            const auto taken = either.take_first();
            CHECK(taken != nullptr);
            CHECK(either.first() == nullptr);
            CHECK(lefts == 1);
        }
        CHECK(lefts == 0);

        either.keep(std::make_unique<right>(rights));
        either.keep(std::unique_ptr<right>{});
        CHECK(rights == 0);
        CHECK(either.second() == nullptr);
        either.keep(std::make_unique<right>(rights));

        pointer moved{std::move(either)};
        CHECK(either.second() == nullptr);
        CHECK(moved.second() != nullptr);
        either.keep(std::make_unique<left>(lefts));
        moved = std::move(either);
        CHECK(rights == 0);
        CHECK(either.first() == nullptr);
        CHECK(moved.first() != nullptr);
        CHECK(lefts == 1);
    }
    CHECK(lefts == 0);
    CHECK(rights == 0);
}
