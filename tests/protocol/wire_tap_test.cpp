#include <duplex/protocol/wire_tap.hpp>

#include "support/catch.hpp"
#include "support/output.hpp"
#include "support/seen_event.hpp"
#include "support/wire.hpp"

#include <duplex/protocol/session.hpp>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

using namespace duplex;
using namespace duplex::testing;
using namespace std::chrono_literals;

namespace {

struct seen_bytes {
    octets in;
    octets out;
    std::vector<std::size_t> reads;
    std::vector<std::size_t> writes;
    std::vector<std::string> told;
    std::size_t write = 0;
};

class writing_down final : public wire_tap {
public:
    explicit writing_down(seen_bytes& to)
        : to_{to} {}
    void received(std::span<const std::byte> bytes, time_point) noexcept override {
        to_.in += to_octets(bytes);
        to_.reads.push_back(bytes.size());
    }
    void sent(std::span<const std::byte> bytes, bool last, time_point) noexcept override {
        CHECK_FALSE(bytes.empty());
        to_.out += to_octets(bytes);
        to_.write += bytes.size();
        if (last) to_.writes.push_back(std::exchange(to_.write, 0));
    }
    void offered(std::size_t size, time_point) noexcept override {
        to_.told.push_back("offered " + std::to_string(size));
    }
    void timed(time_point now, bool listening) noexcept override {
        to_.told.push_back("timed " + std::to_string(now.time_since_epoch() / 1s) +
                           (listening ? "" : " unheard"));
    }
    void ended(time_point) noexcept override { to_.told.emplace_back("ended"); }

private:
    seen_bytes& to_;
};

struct watched_session {
    explicit watched_session(role self, const session_options& options = {})
        : it{self, options} {
        REQUIRE(it.observe(std::make_unique<writing_down>(seen)));
    }

    std::vector<seen_event> deliver(octets bytes, std::size_t step = SIZE_MAX) {
        std::vector<seen_event> events;
        for (std::size_t at = 0; at < bytes.size();) {
            const std::size_t size = std::min(step, bytes.size() - at);
            std::vector<std::byte> window(size);
            std::memcpy(window.data(), bytes.data() + at, size);
            at += size;
            it.receive(window);
            while (const auto e = it.next())
                events.push_back(see(e));
        }
        return events;
    }

    seen_bytes seen;
    session it;
};

/// All that can be in a conversation, as a client sends it.
octets conversation() {
    const auto frame = [](opcode op, std::string_view payload, const frame_shape& shape = {}) {
        return frame_bytes(role::client, op, payload, shape);
    };
    return frame(opcode::text, "one") + frame(opcode::binary, octets(40'000, 'b')) +
           frame(opcode::text, "f", {.fin = false}) + frame(opcode::ping, "?") +
           frame(opcode::continuation, "g") + frame(opcode::pong, "!") + frame(opcode::text, "") +
           frame(opcode::close, close_payload(1000, "bye"));
}

} // namespace

TEST_CASE("an observed session finds the same events, and shows the bytes as they came") {
    const auto step = GENERATE(values<std::size_t>({1, 2, 1000, 16'384, SIZE_MAX}));
    const octets bytes = conversation();
    watched_session watched{role::server};
    const auto found = watched.deliver(bytes, step);
    CHECK(watched.seen.in == bytes);
    CHECK(watched.seen.reads.size() ==
          (bytes.size() + std::min(step, bytes.size()) - 1) / std::min(step, bytes.size()));
    const std::vector<seen_event> expected{
        message("one"), binary_message(octets(40'000, 'b')), ping("?"), message("fg"), pong("!"),
        message(""),    closed(close_code::normal, "bye")};
    CHECK((found == expected));
    CHECK(watched.it.counters().messages_in == 4);
    CHECK(watched.it.counters().frames_in == 8);
}

TEST_CASE("shows what comes after a failure and after a Close, too") {
    watched_session watched{role::server};
    const octets wrong = from_hex("81 05 48 65 6c 6c 6f");
    CHECK(watched.deliver(wrong) == std::vector{failed(errc::unmasked_frame)});
    CHECK(watched.deliver("more").empty());
    CHECK(watched.seen.in == wrong + "more");
}

TEST_CASE("shows a large message that is received directly, and does not show what is lent again") {
    watched_session watched{role::server};
    const octets bytes = frame_bytes(role::client, opcode::binary, octets(100'000, 'x'));
    CHECK(watched.deliver(bytes.substr(0, 20'000)).empty());
    const auto to = watched.it.direct();
    REQUIRE(to.size() >= 1000);
    std::memcpy(to.data(), bytes.data() + 20'000, 1000);
    watched.it.received_direct(1000);
    CHECK_FALSE(watched.it.next());
    const auto rest = watched.deliver(bytes.substr(21'000));
    REQUIRE(rest.size() == 1);
    CHECK((rest[0].payload == octets(100'000, 'x')));
    CHECK((watched.seen.in == bytes));

    const octets two =
        frame_bytes(role::client, opcode::text, "1") + frame_bytes(role::client, opcode::text, "2");
    std::vector<std::byte> window(two.size());
    std::memcpy(window.data(), two.data(), two.size());
    watched.seen.in.clear();
    watched.it.receive(window);
    REQUIRE(watched.it.next());
    std::vector<std::byte> moved(watched.it.unread().begin(), watched.it.unread().end());
    watched.it.lend_again(moved);
    REQUIRE(watched.it.next());
    CHECK(watched.seen.in == two);
}

TEST_CASE("shows what is taken, write by write, in the order of the wire") {
    const auto self = GENERATE(values({role::client, role::server}));
    const auto step = GENERATE(values<std::size_t>({1, 7, 1000, SIZE_MAX}));
    watched_session watched{self};
    session& s = watched.it;
    octets out;
    std::vector<std::size_t> writes;
    const auto write_some = [&](std::size_t most) {
        const octets all = gathered(s);
        const std::size_t size = std::min(all.size(), most);
        if (size == 0) return false;
        out += all.substr(0, size);
        writes.push_back(size);
        s.consumed(size);
        return true;
    };
    CHECK(accepted(s.send(opcode::text, "small")));
    CHECK(accepted(s.send(opcode::binary, owned(octets(20'000, 'o')))));
    (void)write_some(3);
    CHECK(accepted(s.ping(view("overtakes"))));
    CHECK(accepted(s.send(prepared_message::text("prepared"))));
    CHECK(accepted(s.send(prepared_message::text(octets(17'000, 'p')))));
    CHECK(accepted(s.send_fragment(opcode::text, view("a"), false)));
    CHECK(accepted(s.send_fragment(opcode::text, view("b"), true)));
    CHECK_FALSE(s.close());
    while (write_some(step)) {
    }
    CHECK((watched.seen.out == out));
    CHECK((watched.seen.writes == writes));
    const auto frames = read_frames(out);
    REQUIRE(frames);
    CHECK(frames->size() == 8);
    CHECK(frames->at(1).payload == "overtakes");
}

TEST_CASE("a write that finds no room shows nothing") {
    watched_session watched{role::server};
    CHECK(accepted(watched.it.send(opcode::text, "small")));
    (void)gathered(watched.it);
    watched.it.consumed(0);
    CHECK(watched.seen.writes.empty());
    CHECK(drained(watched.it) == watched.seen.out);
}

TEST_CASE("tells what else the session was told") {
    watched_session watched{role::server};
    CHECK(accepted(watched.it.send(opcode::text, "small")));
    (void)gathered(watched.it);
    watched.it.hold_output();
    watched.it.on_time(time_point{} + 2s);
    watched.it.on_time(time_point{} + 3s, false);
    watched.it.eof();
    CHECK(watched.seen.told == std::vector<std::string>{"offered 7", "timed 2", "timed 3 unheard", "ended"});
}

TEST_CASE("to observe nothing does nothing") {
    session s{role::server};
    CHECK(s.observe(nullptr));
    CHECK_FALSE(s.next());
}

TEST_CASE("an observed session may be moved, and is observed still") {
    watched_session watched{role::server};
    session moved{std::move(watched.it)};
    const octets bytes = frame_bytes(role::client, opcode::text, "on");
    std::vector<std::byte> window(bytes.size());
    std::memcpy(window.data(), bytes.data(), bytes.size());
    moved.receive(window);
    REQUIRE(moved.next());
    CHECK(watched.seen.in == bytes);
}
