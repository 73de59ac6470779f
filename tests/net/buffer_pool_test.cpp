#include <duplex/net/buffer_pool.hpp>

#include "support/catch.hpp"

#include <cstring>
#include <set>
#include <thread>
#include <utility>
#include <vector>

using duplex::receive_lease;

TEST_CASE("a lease lends a buffer of the promised size") {
    const auto lease = receive_lease::take();
    REQUIRE(lease);
    CHECK(lease.bytes().size() == receive_lease::size);
    std::memset(lease.bytes().data(), 1, lease.bytes().size());
    const receive_lease none;
    CHECK_FALSE(none);
    CHECK(none.bytes().empty());
}

TEST_CASE("a buffer that is given back is the next one lent") {
    auto lease = receive_lease::take();
    const auto* at = lease.bytes().data();
    SECTION("by itself") { receive_lease{std::move(lease)}.give_back(); }
    SECTION("by hand") {
        lease.give_back();
        lease.give_back();
    }
    CHECK_FALSE(lease);
    const auto again = receive_lease::take();
    CHECK(again.bytes().data() == at);
}

TEST_CASE("leases that are out at once never share a buffer") {
    std::vector<receive_lease> leases;
    std::set<const std::byte*> seen;
    for (int i = 0; i < 20; ++i) {
        leases.push_back(receive_lease::take());
        seen.insert(leases.back().bytes().data());
    }
    CHECK(seen.size() == 20);
    leases.front() = std::move(leases.back());
    CHECK(leases.front());
}

TEST_CASE("a lease may end on another thread, and after its thread's buffers") {
    auto lease = receive_lease::take();
    std::thread{[taken = std::move(lease)]() mutable {
        taken.give_back();
        // Destroyed after what the thread keeps warm, which is made later.
        static thread_local receive_lease last;
        last = receive_lease::take();
    }}.join();
    CHECK_FALSE(lease);
}

TEST_CASE("what a thread lends when its buffers are gone is new, and not kept") {
    bool lent = false;
    std::thread{[&lent] {
        struct late {
            bool* lent = nullptr;
            ~late() {
                if (!lent) return;
                using duplex::detail::thread_buffers;
                const auto lease = receive_lease::take();
                auto queue = thread_buffers::take_queue();
                *lent = lease && queue;
                // Freed: the leak checker watches.
                thread_buffers::keep_queue(queue.release());
            }
        };
        // Destroyed after what the thread keeps warm, which is made later.
        static thread_local late last;
        last.lent = &lent;
        receive_lease::take().give_back();
    }}.join();
    CHECK(lent);
}

TEST_CASE("an emptied send queue is kept warm for the next sender") {
    using duplex::detail::thread_buffers;
    auto queue = thread_buffers::take_queue();
    REQUIRE(queue);
    const auto* at = queue.get();
    thread_buffers::keep_queue(queue.release());
    auto again = thread_buffers::take_queue();
    CHECK(again.get() == at);
    std::vector<duplex::send_queue_ptr> many;
    constexpr std::size_t most = thread_buffers::kept_queues;
    while (many.size() < most + 10)
        many.push_back(thread_buffers::take_queue());
    for (auto& each : many)
        thread_buffers::keep_queue(each.release());
    CHECK(thread_buffers::queues() == most);
}

TEST_CASE("the memory of a burst is not kept") {
    using duplex::detail::thread_buffers;
    thread_buffers::drop_queues();
    for (int i = 0; i < 2; ++i) {
        auto queue = thread_buffers::take_queue();
        duplex::frame_header header;
        header.length = 1000;
        const std::vector<std::byte> payload(1000);
        while (queue->memory() <= thread_buffers::kept_queue_bytes)
            REQUIRE(queue->push_copy(header, payload));
        queue->consumed(queue->only_segment().size());
        REQUIRE(queue->empty());
        thread_buffers::keep_queue(queue.release());
        auto again = thread_buffers::take_queue();
        CHECK(again->memory() <= thread_buffers::kept_queue_bytes);
        thread_buffers::keep_queue(again.release());
    }
}
