#include <duplex/net/message_batch.hpp>

#include "support/any_role.hpp"
#include "support/connected.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <iterator>
#include <optional>
#include <ranges>
#include <string>
#include <utility>
#include <vector>

using namespace duplex;
using namespace duplex::testing;

using batch_type = memory_connection::batch_type;

static_assert(std::input_iterator<batch_type::iterator>);
static_assert(std::ranges::input_range<batch_type>);
static_assert(!std::is_copy_constructible_v<batch_type> && std::is_nothrow_move_constructible_v<batch_type>);

namespace {

struct batch_ending : ending<batch_type> {
    [[nodiscard]] batch_type take() { return std::move(std::get<0>(values)); }
};

std::vector<std::string> texts(batch_type&& from) {
    std::vector<std::string> all;
    for (const auto& each : from)
        all.emplace_back(each.text());
    return all;
}

octets frames(const scripted& one, std::initializer_list<std::string_view> payloads) {
    octets all;
    for (const auto each : payloads)
        all += one.frame(opcode::text, each);
    return all;
}

using strings = std::vector<std::string>;

/// A connection that is read by the batch.
struct batched : scripted {
    batched()
        : scripted{any_role()} {
        open();
    }

    /// Bytes come at once, and the batch of what they hold is read.
    void come(std::string_view bytes) {
        peer.send(bytes);
        it->async_read_batch(read.handler());
        run();
    }

    batch_ending read;
};

} // namespace

TEST_CASE("a batch is all that one read brought") {
    batched one;
    one.come(frames(one, {"a", "b", "c"}) + one.frame(opcode::ping, "p") +
             frames(one, {"d", "unfinished"}).substr(0, 12));
    REQUIRE(one.read.well());
    CHECK(texts(one.read.take()) == strings{"a", "b", "c", "d"});
    one.run();
    CHECK(one.said() == said_frames{{10, "p"}});
    CHECK(one.it->stream().reads() == 2);
}

TEST_CASE("an empty batch is a range without messages") { CHECK(texts(batch_type{}).empty()); }

TEST_CASE("what a batch leaves is not lost") {
    scripted one{any_role()};
    one.open();
    one.peer.send(frames(one, {"a", "b", "c", "d"}));
    batch_ending first;
    one.it->async_read_batch(first.handler());
    one.run();
    const auto how = GENERATE(values({0, 1, 2, 3}));
    CAPTURE(how);
    auto taken = first.take();
    for (const auto& each : taken)
        if (each.text() == "b") break;
    if (how == 0) {
        // A stale batch that is kept knows that it is over.
        batch_ending next;
        one.it->async_read_batch(next.handler());
        CHECK(texts(std::move(taken)).empty());
        one.run();
        CHECK(texts(next.take()) == strings{"c", "d"});
        return;
    }
    if (how == 1) {
        taken = batch_type{};
    } else if (how == 2) {
        const auto next = one.it->try_read();
        REQUIRE(next);
        CHECK(next->text() == "c");
        CHECK(texts(std::move(taken)).empty());
    }
    strings rest;
    while (rest.empty() || rest.back() != "d") {
        read_ending read;
        one.it->async_read(read.handler());
        one.run();
        REQUIRE(read.well());
        rest.push_back(read.text());
    }
    CHECK(rest == (how == 2 ? strings{"d"} : strings{"c", "d"}));
}

TEST_CASE("what is sent while a batch lives leaves in one write at its end") {
    batched one;
    octets bytes;
    for (int i = 0; i < 50; ++i)
        bytes += one.frame(opcode::text, "message " + std::to_string(i));
    one.come(bytes);
    const auto writes = one.it->stream().writes();
    inside(one.io, [&] {
        auto taken = one.read.take();
        for (const auto& each : taken) {
            CHECK(one.it->send(each) == send_status::ok);
            CHECK(one.it->buffered_amount() > each.size());
            CHECK(one.peer.pending().empty());
        }
    });
    CHECK(one.it->stream().writes() == writes + 1);
    CHECK(one.said().size() == 50);
    CHECK(one.it->buffered_amount() == 0);
}

TEST_CASE("a batch moved about is still one batch") {
    batched one;
    one.come(frames(one, {"a", "b"}));
    auto first = one.read.take();
    CHECK(first.begin()->text() == "a");
    auto second = std::move(first);
    CHECK(first.begin() == first.end());
    CHECK(second.begin()->text() == "a");
    batch_type third;
    third = std::move(second);
    CHECK(texts(std::move(third)) == strings{"a", "b"});
}

TEST_CASE("a batch that ends with the peer's Close gives the messages before it") {
    batched one;
    one.come(frames(one, {"a", "b"}) + one.frame(opcode::close, close_payload(1000)));
    CHECK(texts(one.read.take()) == strings{"a", "b"});
    one.run();
    CHECK(one.said() == said_frames{{8, close_payload(1000)}});
    batch_ending next;
    one.it->async_read_batch(next.handler());
    one.run();
    CHECK(next.failed_with(errc::closed));
    CHECK(texts(next.take()).empty());
}

TEST_CASE("a batch that ends with a broken rule gives the messages before it") {
    batched one;
    one.come(frames(one, {"a", "\xff", "b"}));
    CHECK(texts(one.read.take()) == strings{"a"});
    one.run();
    CHECK(one.said() == said_frames{{8, close_payload(1007)}});
}

TEST_CASE("a batch waits for a message: what else comes is dealt with meanwhile") {
    scripted one{any_role()};
    one.open();
    const bool fails = GENERATE(values({0, 1})) == 1;
    batch_ending read;
    one.it->async_read_batch(read.handler());
    one.comes(opcode::ping, "p");
    CHECK(one.said() == said_frames{{10, "p"}});
    CHECK(read.calls == 0);
    one.comes(opcode::text, fails ? "\xff" : "a");
    CHECK(read.calls == 1);
    CHECK(read.error == (fails ? make_error_code(errc::invalid_utf8) : std::error_code{}));
    CHECK(texts(read.take()) == (fails ? strings{} : strings{"a"}));
}

TEST_CASE("closing while a batch lives ends it") {
    batched one;
    one.come(frames(one, {"a", "b"}));
    auto taken = one.read.take();
    CHECK(taken.begin()->text() == "a");
    ending<> closed;
    SECTION("with async_close, which drops the rest") {
        auto at = taken.begin();
        one.it->async_close(closed.handler());
        ++at;
        CHECK(at == taken.end());
        CHECK(texts(std::move(taken)).empty());
        one.run();
        CHECK(one.said() == said_frames{{8, close_payload(1000)}});
        one.comes(opcode::close, close_payload(1000));
        one.peer.shutdown_send();
        one.run();
        CHECK(closed.well());
    }
    SECTION("with a close, and then the connection") {
        CHECK_FALSE(one.it->close());
        one.run();
        one.it.reset();
        CHECK(texts(std::move(taken)) == strings{"a"});
        static_cast<void>(one.peer.take_pending());
        std::array<char, 1> byte{};
        ending<std::size_t> at_end;
        one.peer.async_read_some(asio::buffer(byte), at_end.handler());
        one.run();
        CHECK(at_end.failed_with(asio::error::eof));
    }
}

TEST_CASE("a transport that breaks while a batch lives takes nothing of it") {
    batched one;
    one.it->stream().capacity(1);
    one.it->send("never taken");
    one.come(frames(one, {"a", "b"}));
    auto taken = one.read.take();
    CHECK(taken.begin()->text() == "a");
    one.peer.close();
    one.run();
    CHECK_FALSE(one.it->stream().is_open());
    CHECK(taken.begin()->text() == "a");
    CHECK(texts(std::move(taken)) == strings{"a"});
    REQUIRE(one.it->result());
    CHECK(one.it->result()->error == asio::error::broken_pipe);
}

TEST_CASE("a batch outlives its connection and is then over") {
    batched one;
    one.come(frames(one, {"a", "b", "c"}));
    auto taken = one.read.take();
    CHECK(taken.begin()->text() == "a");
    one.it.reset();
    CHECK(taken.begin()->text() == "a");
    CHECK(texts(std::move(taken)) == strings{"a"});
    one.run();
    CHECK(one.said() == said_frames{{8, close_payload(1001)}});
}

TEST_CASE("a batch whose owner is slow does not stop the deadlines") {
    batched one;
    // Also with a write under way.
    if (GENERATE(values({0, 1})) == 1) one.it->stream().capacity(1);
    one.it->send("never read");
    one.come(frames(one, {"a", "b"}));
    auto taken = one.read.take();
    CHECK(taken.begin()->text() == "a");
    CHECK_FALSE(one.it->close());
    one.run();
    using namespace std::chrono_literals;
    for (int i = 0; i < 3; ++i)
        one.pass(10'300ms);
    CHECK_FALSE(one.it->stream().is_open());
    CHECK(texts(std::move(taken)) == strings{"a"});
}
