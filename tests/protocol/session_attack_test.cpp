#include <duplex/protocol/session.hpp>

// What has brought WebSocket libraries down, and must not bring down this one: memory follows what has
// arrived, work is linear in it, and the end is the right Close.

#include "support/catch.hpp"
#include "support/heap_bytes.hpp"
#include "support/output.hpp"
#include "support/transcript.hpp"

#include <array>
#include <memory>

using namespace duplex;
using namespace duplex::testing;

namespace {

/// A peer whose bytes come in the windows it likes, and the most heap that any of it has cost.
class attacker {
public:
    explicit attacker(role victim, const session_options& options = {})
        : victim_{victim}
        , session_{std::make_unique<session>(victim, options)}
        , window_{new std::byte[window_size]}
        , heap_{heap_bytes()} {}

    void send(std::string_view bytes) {
        while (!bytes.empty()) {
            const auto size = std::min(bytes.size(), window_size);
            std::memcpy(window_.get(), bytes.data(), size);
            bytes.remove_prefix(size);
            session_->receive({window_.get(), size});
            pull();
        }
    }

    void send_frame(opcode op, std::string_view payload, const frame_shape& shape = {}) {
        send(frame_bytes(peer_of(victim_), op, payload, shape));
    }

    void pull() {
        while (const auto e = session_->next()) {
            ++events;
            last = e.what;
            error = e.error;
            if (e.what == event::kind::message) message_size = e.payload.size();
        }
        measure();
    }

    void measure() {
        const auto now = heap_bytes();
        if (now > heap_ && now - heap_ > most_heap) most_heap = now - heap_;
    }

    octets written() { return drained(*session_); }

    session& victim() { return *session_; }

    std::size_t events = 0;
    event::kind last{};
    errc error{};
    std::size_t message_size = 0;
    std::size_t most_heap = 0;

private:
    static constexpr std::size_t window_size = 16 * 1024;
    role victim_;
    std::unique_ptr<session> session_;
    std::unique_ptr<std::byte[]> window_;
    std::size_t heap_;
};

} // namespace

TEST_CASE("the heap can be measured here") { CHECK(heap_bytes() != 0); }

TEST_CASE("an announced length costs nothing: 2^40 bytes announced, 10 sent") {
    const auto victim = GENERATE(values({role::client, role::server}));
    const bool in_fragments = GENERATE(true, false);
    attacker a{victim, {.limits = {.message_bytes = SIZE_MAX}}};
    if (in_fragments) a.send_frame(opcode::binary, "x", {.fin = false});
    a.send_frame(in_fragments ? opcode::continuation : opcode::binary, "0123456789",
                 {.announce_more = std::uint64_t{1} << 40U});
    CHECK(a.events == 0);
    CHECK(!a.victim().direct().empty());
    a.measure();
    CHECK(a.victim().direct().size() <= 8192);
    CHECK(a.most_heap < 16 * 1024);

    attacker limited{victim};
    limited.send_frame(opcode::binary, "0123456789", {.announce_more = std::uint64_t{1} << 40U});
    CHECK((limited.error == errc::message_too_big));
    CHECK(limited.most_heap < 8 * 1024);
}

TEST_CASE("a million empty fragments, or of one byte, end at the limit and cost no more than the payload") {
    const auto victim = GENERATE(values({role::client, role::server}));
    const bool empty = GENERATE(true, false);
    attacker a{victim};
    a.send_frame(opcode::binary, "", {.fin = false});
    octets many;
    for (int i = 0; i < 1000; ++i)
        many += frame_bytes(peer_of(victim), opcode::continuation, empty ? "" : "x", {.fin = false});
    for (int i = 0; i < 1000; ++i)
        a.send(many);
    CHECK(a.events == 1);
    CHECK((a.error == errc::too_many_fragments));
    CHECK(a.most_heap < (empty ? 8U * 1024 : 2 * limits{}.message_fragments + 8 * 1024));
    CHECK(read_frames(a.written())->back().payload == close_payload(1008));
    // What was put together is not kept.
    CHECK(a.victim().take_message().empty());
}

TEST_CASE("honest fragments pass: 4 MiB in 65,536 of 64 bytes") {
    const auto victim = GENERATE(values({role::client, role::server}));
    attacker a{victim};
    const octets piece(64, 'p');
    a.send_frame(opcode::binary, piece, {.fin = false});
    octets many;
    for (int i = 0; i < 1024; ++i)
        many += frame_bytes(peer_of(victim), opcode::continuation, piece, {.fin = false});
    for (int i = 0; i < 63; ++i)
        a.send(many);
    a.send(many.substr(0, many.size() / 1024 * 1022));
    CHECK(a.events == 0);
    a.send_frame(opcode::continuation, piece);
    CHECK((a.last == event::kind::message));
    CHECK(a.message_size == 4U * 1024 * 1024);
    CHECK(a.most_heap < 9 * 1024 * 1024);
}

TEST_CASE("a frame of 16 MB that comes a byte a read costs its own size") {
    const auto victim = GENERATE(values({role::client, role::server}));
    constexpr std::size_t size = 16 << 20U;
    session s{victim};
    const auto before = heap_bytes();
    std::size_t most = 0;
    octets head =
        frame_bytes(peer_of(victim), opcode::text, "", {.announce_more = size, .key = {0, 0, 0, 0}});
    std::byte one{};
    std::size_t delivered = 0;
    for (std::size_t i = 0; i < head.size() + size; ++i) {
        one = i < head.size() ? static_cast<std::byte>(head[i]) : std::byte{'t'};
        s.receive({&one, 1});
        if (const auto e = s.next()) delivered = e.payload.size();
        if (i % 65536 == 0) most = std::max(most, heap_bytes() - before);
    }
    CHECK(delivered == size);
    CHECK(most < 2 * size);
}

TEST_CASE("a message that was put together leaves no memory behind") {
    const auto victim = GENERATE(values({role::client, role::server}));
    attacker a{victim};
    a.send_frame(opcode::binary, octets(1'000'000, 'x'));
    CHECK(a.message_size == 1'000'000);
    const auto before = heap_bytes();
    a.send_frame(opcode::binary, octets(1'000'000, 'x'));
    CHECK(heap_bytes() < before + 1000);
    CHECK(before < a.most_heap + heap_bytes());
}

TEST_CASE("a flood of Pings that nobody reads the answers of is bounded, and the most recent is answered") {
    const auto victim = GENERATE(values({role::client, role::server}));
    const bool queue_full = GENERATE(true, false);
    attacker a{victim, {.limits = {.queue_bytes = 1000}}};
    if (queue_full) CHECK(accepted(a.victim().send(opcode::binary, octets(2000, 'x'))));
    for (int i = 0; i < 50'000; ++i)
        a.send_frame(opcode::ping, std::to_string(i) + octets(100, '.'));
    CHECK(a.events == 50'000);
    CHECK(a.victim().queued() < 6 * 1024);
    CHECK(a.most_heap < 16 * 1024);
    octets last;
    const auto frames = read_frames(a.written());
    REQUIRE(frames);
    for (const auto& frame : *frames)
        if (frame.op == 10) last = frame.payload;
    CHECK(last == "49999" + octets(100, '.'));
    a.send_frame(opcode::ping, "and then");
    CHECK(read_frames(a.written())->back().payload == "and then");
}

TEST_CASE("a flood of Pings does not hide our Close, and none of it comes behind") {
    const auto victim = GENERATE(values({role::client, role::server}));
    attacker a{victim};
    for (int i = 0; i < 1000; ++i)
        a.send_frame(opcode::ping, octets(125, '.'));
    a.send_frame(opcode::close, close_payload(1000));
    const auto frames = read_frames(a.written());
    REQUIRE(frames);
    CHECK(frames->size() < 20);
    CHECK(frames->back().op == 8);
}

TEST_CASE("after an error nothing more is looked at, however much comes") {
    const auto victim = GENERATE(values({role::client, role::server}));
    attacker a{victim};
    a.send_frame(opcode::binary, "too big", {.announce_more = std::uint64_t{1} << 30U});
    CHECK((a.error == errc::message_too_big));
    for (int i = 0; i < 1000; ++i)
        a.send_frame(opcode::text, octets(500, 't'));
    CHECK(a.events == 1);
    CHECK(a.most_heap < 8 * 1024);
    CHECK(read_frames(a.written())->size() == 1);
}

TEST_CASE("a control frame that comes a byte a read costs its payload and no more") {
    const auto victim = GENERATE(values({role::client, role::server}));
    attacker a{victim};
    const octets bytes = frame_bytes(peer_of(victim), opcode::pong, octets(125, 'p'));
    for (int i = 0; i < 1000; ++i)
        for (const char each : bytes)
            a.send({&each, 1});
    CHECK(a.events == 1000);
    // What the allocator keeps for reuse counts too: a thousand payloads would be fifteen times this.
    CHECK(a.most_heap < 8 * 1024);
}
