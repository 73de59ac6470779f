#include <duplex/protocol/outbox.hpp>

#include "support/catch.hpp"
#include "support/wire.hpp"

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

using namespace duplex;
using namespace duplex::testing;
using namespace std::chrono_literals;

namespace {

outbox::item_ptr made(outbox& box, std::string_view payload, const message_options& options = {},
                      time_point now = {}) {
    auto item = box.make(options, now);
    REQUIRE(item);
    REQUIRE(item->keep({.payload = view(payload)}));
    return item;
}

void put(outbox& box, std::string_view payload, const message_options& options = {}, time_point now = {}) {
    box.put(made(box, payload, options, now));
}

octets payload_of(outbox::item& item) { return to_octets(item.rest().payload); }

/// Hands on all that waits.
std::vector<octets> order(outbox& box) {
    std::vector<octets> all;
    while (auto* const next = box.next()) {
        all.push_back(payload_of(*next));
        box.handed_on(*next, all.size());
    }
    return all;
}

std::vector<told_fate> fates(outbox& box) {
    std::vector<told_fate> all;
    while (const auto told = box.next_fate())
        all.push_back(*told);
    return all;
}

constexpr message_options urgent{.priority = message_priority::urgent};

} // namespace

TEST_CASE("urgent messages go first, and each priority keeps its order") {
    outbox box{false};
    put(box, "n1");
    put(box, "u1", urgent);
    put(box, "n2");
    put(box, "u2", urgent);
    CHECK(box.count() == 4);
    CHECK(box.bytes() == 16);
    CHECK((order(box) == std::vector<octets>{"u1", "u2", "n1", "n2"}));
    CHECK(box.idle());
    CHECK(box.bytes() == 0);
}

TEST_CASE("what waits counts with the header it will have") {
    outbox box{true};
    put(box, octets(126, 'x'));
    CHECK(box.bytes() == 126 + 8);
    box.put_close(encoded_close_body{close_code::normal, "bye"});
    CHECK(box.bytes() == 126 + 8 + 5 + 6);
    CHECK(box.waiting_close() != nullptr);
    box.close_handed_on();
    CHECK(box.bytes() == 126 + 8);
}

TEST_CASE("a key finds the message that waits with it, among many") {
    outbox box{false};
    for (std::uint64_t key = 1; key <= 1000; ++key)
        put(box, std::to_string(key), {.key = key * 64});
    CHECK(box.with_key(7) == nullptr);
    for (std::uint64_t key = 1; key <= 1000; key += 7) {
        auto* const found = box.with_key(key * 64);
        REQUIRE(found != nullptr);
        CHECK(payload_of(*found) == std::to_string(key));
    }
    auto all = order(box);
    CHECK(all.size() == 1000);
    CHECK(all.front() == "1");
    CHECK(box.with_key(64) == nullptr);
}

TEST_CASE("a message is replaced in its place, or goes behind those of its other priority") {
    outbox box{false};
    put(box, "a1", {.key = 1, .tag = 11});
    put(box, "b1", {.key = 2, .tag = 12});
    put(box, "u1", urgent);
    box.replace(*box.with_key(1), made(box, "a2", {.key = 1, .tag = 21}));
    box.replace(*box.with_key(2),
                made(box, "b2", {.key = 2, .priority = message_priority::urgent, .tag = 22}));
    CHECK((order(box) == std::vector<octets>{"u1", "b2", "a2"}));
    CHECK((fates(box) == std::vector<told_fate>{{11, message_fate::replaced}, {12, message_fate::replaced}}));
    box.written(3);
    CHECK((fates(box) == std::vector<told_fate>{{22, message_fate::written}, {21, message_fate::written}}));
    CHECK(box.idle());
}

TEST_CASE("the rest of a message that has begun is next, and is left alone") {
    outbox box{false};
    put(box, "normal", {.time_to_live = 5ms, .key = 1, .tag = 1});
    box.advance(*box.next(), 2);
    put(box, "urgent", urgent);
    CHECK(payload_of(*box.next()) == "rmal");
    CHECK(box.bytes() == 2 + 4 + 2 + 6);
    CHECK(box.with_key(1) == nullptr);
    CHECK(box.droppable([](std::size_t, std::size_t) { return true; }, nullptr) == 0);
    CHECK_FALSE(box.expire(time_point{} + 1h));
    CHECK_FALSE(box.withdraw(1));
    CHECK((order(box) == std::vector<octets>{"rmal", "urgent"}));
}

TEST_CASE("the fragments of one message are not parted") {
    outbox box{false};
    auto fragment = [&](std::string_view payload, bool first, bool last) {
        auto item = box.make({}, {});
        REQUIRE(item->keep({.fragment = true, .first = first, .last = last, .payload = view(payload)}));
        box.put(std::move(item));
    };
    fragment("f1", true, false);
    fragment("f2", false, true);
    put(box, "urgent", urgent);
    CHECK(payload_of(*box.next()) == "urgent");
    box.handed_on(*box.next(), 0);
    box.handed_on(*box.next(), 0);
    put(box, "late", urgent);
    CHECK((order(box) == std::vector<octets>{"f2", "late"}));
}

TEST_CASE("the oldest that may be dropped are dropped, and no more of them than needed") {
    outbox box{false};
    put(box, "urgent", urgent);
    for (std::uint64_t i = 1; i <= 4; ++i)
        put(box, octets(98, 'x'), {.key = i, .tag = i});
    const auto need = [](std::size_t wanted) {
        return [wanted](std::size_t bytes, std::size_t) { return bytes >= wanted; };
    };
    CHECK(box.droppable(need(401), nullptr) == 0);
    CHECK(box.droppable(need(400), nullptr) == 4);
    CHECK(box.droppable(need(400), box.with_key(2)) == 0);
    CHECK(box.droppable(need(101), box.with_key(1)) == 2);
    box.drop_oldest(2, box.with_key(1));
    CHECK((fates(box) == std::vector<told_fate>{{2, message_fate::dropped}, {3, message_fate::dropped}}));
    CHECK(box.count() == 3);
}

TEST_CASE("of very many that expire one after the other, some take room a little longer, but none leaves") {
    outbox box{false};
    const int count = 50'000;
    for (int i = 0; i < count; ++i)
        put(box, "x", {.time_to_live = 1s}, time_point{} + i * 1us);
    CHECK(box.expire(time_point{} + 1s));
    CHECK(box.count() == count - 1);
    // All were looked at, which is not done again for each of them.
    const auto next_look = box.earliest() - time_point{};
    CHECK(next_look > 1s + 5ms);
    CHECK(next_look < 1s + 50ms);
    CHECK_FALSE(box.expire(time_point{} + 1s + 1ms));
    auto* const first = box.next(time_point{} + 1s + 1ms);
    REQUIRE(first);
    CHECK((first->expires == time_point{} + 1s + 1001us));
    CHECK(box.count() == count - 1001);
    CHECK(box.expire(time_point{} + next_look));
    CHECK((box.next()->expires > time_point{} + next_look));
    CHECK(box.next(time_point{} + 2s) == nullptr);
    put(box, "x", {.time_to_live = 1s}, time_point{} + 2s);
    CHECK((box.earliest() == time_point{} + 3s));
}

TEST_CASE("a message expires at its time and not before") {
    outbox box{false};
    CHECK((box.earliest() == no_deadline));
    put(box, "for ever");
    put(box, "10", {.time_to_live = 10ms, .tag = 1}, time_point{} + 5ms);
    put(box, "5", {.time_to_live = 5ms, .priority = message_priority::urgent, .tag = 2});
    CHECK((box.earliest() == time_point{} + 5ms));
    CHECK_FALSE(box.expire(time_point{} + 5ms - 1ns));
    CHECK(box.expire(time_point{} + 5ms));
    CHECK((box.earliest() == time_point{} + 15ms));
    CHECK(box.expire(time_point{} + 15ms));
    CHECK((box.earliest() == no_deadline));
    CHECK((fates(box) == std::vector<told_fate>{{2, message_fate::expired}, {1, message_fate::expired}}));
    CHECK((order(box) == std::vector<octets>{"for ever"}));
    put(box, "too late", {.time_to_live = -1ms, .tag = 3}, time_point{} + 20ms);
    CHECK(box.expire(time_point{} + 20ms));
    CHECK((fates(box) == std::vector<told_fate>{{3, message_fate::expired}}));
    put(box, "a very long life", {.time_to_live = std::chrono::milliseconds::max()});
    CHECK((box.earliest() == no_deadline));
}

TEST_CASE("a message that is withdrawn is gone, and nothing is told of it") {
    outbox box{false};
    put(box, "a", {.tag = 1});
    put(box, "b", {.key = 9, .priority = message_priority::urgent, .tag = 2});
    CHECK_FALSE(box.withdraw(3));
    CHECK(box.withdraw(2));
    CHECK_FALSE(box.withdraw(2));
    CHECK(box.with_key(9) == nullptr);
    CHECK(fates(box).empty());
    CHECK((order(box) == std::vector<octets>{"a"}));
    // What has been handed on is not there to be withdrawn.
    CHECK_FALSE(box.withdraw(1));
}

TEST_CASE("a message is written once its last byte is, and lost where that never comes") {
    outbox box{false};
    put(box, "a", {.tag = 1});
    put(box, "b");
    put(box, "c", {.tag = 3});
    put(box, "d", {.tag = 4});
    box.handed_on(*box.next(), 10);
    box.handed_on(*box.next(), 20);
    box.handed_on(*box.next(), 30);
    box.written(9);
    CHECK(fates(box).empty());
    box.written(29);
    CHECK((fates(box) == std::vector<told_fate>{{1, message_fate::written}}));
    box.lose_all();
    CHECK((fates(box) == std::vector<told_fate>{{3, message_fate::lost}, {4, message_fate::lost}}));
    CHECK(box.idle());
    CHECK(box.bytes() == 0);
}

TEST_CASE("a payload is taken over, shared or copied, and taken back where it was refused") {
    outbox box{false};
    byte_buffer own;
    REQUIRE(own.append(view("own")));
    const auto* const where = own.data();
    auto item = box.make({}, {});
    REQUIRE(item->keep({.payload = own.bytes(), .own = &own}));
    CHECK(own.size() == 3);
    item->take(std::move(own));
    auto& added = *item;
    box.put(std::move(item));
    CHECK(added.rest().payload.data() == where);
    CHECK(added.rest().own == &added.own);
    CHECK(box.take_back(added)->own.data() == where);
    CHECK(box.idle());

    const auto prepared = prepared_message::text("shared");
    item = box.make({}, {});
    REQUIRE(item->keep({.op = opcode::text, .payload = prepared.payload(), .prepared = &prepared}));
    CHECK(item->rest().payload.data() == prepared.payload().data());
    CHECK(item->rest().own == nullptr);
}
