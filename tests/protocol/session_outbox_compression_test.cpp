#include <duplex/protocol/session.hpp>

// Messages that wait their turn and are compressed when they leave.

#include "support/catch.hpp"
#include "support/output.hpp"
#include "support/seen_event.hpp"
#include "support/wire.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <memory>
#include <string>
#include <utility>
#include <vector>

using namespace duplex;
using namespace duplex::testing;
using namespace std::chrono_literals;

namespace {

constexpr message_options urgent{.priority = message_priority::urgent};

/// Room for a message or two of 50 bytes in the transport's queue, and for ten behind it.
session_options tight(overflow when_full = overflow::fail) {
    session_options options;
    options.timeouts = {.ping_interval = 0s, .idle = 0s, .write = 0s, .close = 10s};
    options.limits.queue_bytes = 600;
    options.limits.commit_bytes = 100;
    options.limits.queue_watermark = 400;
    options.hold_back = true;
    options.when_full = when_full;
    return options;
}

octets body(int number) {
    auto text = std::to_string(number);
    return text + octets(50 - text.size(), '.');
}

send_status send(session& s, int number, message_options options = {}) {
    if (options.tag == 0) options.tag = static_cast<std::uint64_t>(number);
    return s.send(opcode::text, body(number), options);
}

std::vector<told_fate> fates(session& s) {
    std::vector<told_fate> all;
    while (const auto told = s.next_fate())
        all.push_back(*told);
    return all;
}

std::vector<std::uint64_t> with(message_fate fate, const std::vector<told_fate>& told) {
    std::vector<std::uint64_t> tags;
    for (const auto& each : told)
        if (each.fate == fate) tags.push_back(each.tag);
    return tags;
}

using tags = std::vector<std::uint64_t>;

/// "Compresses" to the number of the call, so that the order shows in which messages enter the window.
struct numbering_codec final : message_codec {
    bool compress(std::span<const std::byte> payload, bool last, byte_buffer& out) noexcept override {
        if (calls == last_call) return false;
        ++calls;
        if (grows) return out.append(payload);
        const auto text = std::to_string(calls) + (last ? "." : ",");
        return out.append(view(text));
    }
    void discard() noexcept override { ++discarded; }
    bool worth_trying(std::size_t size) noexcept override { return size > 3; }
    errc expand(std::span<const std::byte>, bool, byte_buffer&, std::size_t) noexcept override { return {}; }
    void release() noexcept override {}
    int window_bits() const noexcept override { return 10; }
    std::size_t memory() const noexcept override { return 0; }

    int calls = 0;
    int discarded = 0;
    int last_call = -1; ///< after so many no memory is left
    bool grows = false;
};

} // namespace

TEST_CASE("a message is compressed when it leaves, so that one that doesn't never enters the window") {
    const auto self = GENERATE(values({role::client, role::server}));
    auto options = tight(overflow::drop_oldest);
    options.limits.queue_messages = 4;
    options.limits.commit_bytes = 1;
    session s{self, options};
    auto made = std::make_unique<numbering_codec>();
    auto& codec = *made;
    s.use(std::move(made));
    for (int i = 1; i <= 9; ++i)
        CHECK(accepted(send(s, i)));
    CHECK(codec.calls == 1);
    CHECK(accepted(send(s, 10, urgent)));
    CHECK(accepted(s.send(opcode::text, "raw", message_options{.how = compression::none})));
    CHECK(s.withdraw(8));
    CHECK(s.withdraw(9));
    CHECK(accepted(s.send_fragment(opcode::text, view(body(11)), false)));
    CHECK(accepted(s.send_fragment(opcode::text, view(body(12)), true)));
    std::vector<octets> payloads;
    const auto frames = read_frames(drained(s));
    for (const auto& each : *frames)
        payloads.push_back(each.payload);
    CHECK((payloads == std::vector<octets>{"1.", "2.", "raw", "3,", "4."}));
    CHECK(frames->at(1).rsv == 4);
    CHECK(frames->at(2).rsv == 0);
    CHECK(codec.discarded == 0);
    CHECK(with(message_fate::written, fates(s)) == tags{1, 10});
}

TEST_CASE("a long message that does not get shorter is cut, and one that does is not") {
    const auto self = GENERATE(values({role::client, role::server}));
    const bool grows = GENERATE(true, false);
    auto options = tight();
    options.fragment_bytes = 40;
    options.limits.queue_bytes = 2000;
    session s{self, options};
    auto made = std::make_unique<numbering_codec>();
    auto& codec = *made;
    codec.grows = grows;
    s.use(std::move(made));
    const octets payload(110, 'x');
    CHECK(accepted(s.send(opcode::text, payload)));
    CHECK(accepted(s.send(opcode::text, payload, message_options{.how = compression::none})));
    CHECK(accepted(s.send(opcode::text, payload, message_options{.tag = 1})));
    const auto frames = read_frames(drained(s));
    REQUIRE(frames);
    std::vector<std::size_t> sizes;
    for (const auto& each : *frames) {
        sizes.push_back(each.payload.size());
        CHECK(each.rsv == (each.payload.size() == 2 ? 4U : 0U));
    }
    CHECK((sizes == (grows ? std::vector<std::size_t>{40, 40, 30, 40, 40, 30, 40, 40, 30}
                           : std::vector<std::size_t>{2, 40, 40, 30, 2})));
    // Each is tried once.
    CHECK(codec.calls == 2);
    CHECK(codec.discarded == (grows ? 2 : 0));
    CHECK((s.next_fate() == told_fate{1, message_fate::written}));
}

TEST_CASE("a compressed message in fragments that can't be gone on with ends the connection") {
    const auto self = GENERATE(values({role::client, role::server}));
    const bool waits = GENERATE(true, false);
    session s{self, tight()};
    auto made = std::make_unique<numbering_codec>();
    made->last_call = 1;
    s.use(std::move(made));
    CHECK(accepted(s.send_fragment(opcode::text, view(body(1)), false)));
    if (waits) {
        CHECK(accepted(s.send(opcode::text, "", message_options{})));
        CHECK(accepted(s.send_fragment(opcode::text, view(octets(200, '2')), true)));
        CHECK(accepted(send(s, 3)));
        s.consumed(gathered(s).size());
        CHECK((fates(s) == std::vector<told_fate>{{3, message_fate::lost}}));
    } else {
        CHECK((s.send_fragment(opcode::text, view(body(2)), true) == send_status::out_of_memory));
    }
    CHECK((s.next().error == errc::out_of_memory));
    CHECK_FALSE(s.is_open());
    CHECK(read_frames(drained(s))->back().op == 8);
    CHECK(s.queued() == 0);
}

TEST_CASE("a first fragment that can't be compressed is refused or waits, and the connection goes on") {
    session s{role::server, tight()};
    auto made = std::make_unique<numbering_codec>();
    auto& codec = *made;
    codec.last_call = 0;
    s.use(std::move(made));
    CHECK((s.send_fragment(opcode::text, view(body(1)), false) == send_status::out_of_memory));
    CHECK(s.is_open());
    codec.last_call = -1;
    CHECK(accepted(s.send_fragment(opcode::text, view(body(1)), true)));
    CHECK(read_frames(drained(s))->size() == 1);
}
