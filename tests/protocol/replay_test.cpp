#include <duplex/protocol/replay.hpp>

#include "support/catch.hpp"
#include "support/output.hpp"
#include "support/seen_event.hpp"
#include "support/wire.hpp"

#include <duplex/protocol/recorder.hpp>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <memory>
#include <random>
#include <stdexcept>
#include <vector>

using namespace duplex;
using namespace duplex::testing;
using namespace std::chrono_literals;

namespace {

struct into {
    octets* to;
    void operator()(std::span<const std::byte> bytes) const { *to += to_octets(bytes); }
};

void echo(session& s, const event& e) {
    if (e.what == event::kind::message) (void)s.send_back(e.op, e.payload);
}

/// A session that echoes, driven by hand, and recorded.
struct recorded_session {
    explicit recorded_session(role as, const session_options& options = {})
        : self{as}
        , it{as, options, now} {
        const wire_start start{.self = as, .options = options, .now = now};
        REQUIRE(it.observe(std::make_unique<recorder<into>>(start, into{&capture})));
    }

    void comes(octets bytes) {
        std::vector<std::byte> window(bytes.size());
        std::memcpy(window.data(), bytes.data(), bytes.size());
        it.at(now);
        it.receive(window);
        look();
        it.settle();
    }
    void comes(opcode op, std::string_view payload, const frame_shape& shape = {}) {
        comes(frame_bytes(peer_of(self), op, payload, shape));
    }
    void look() {
        while (const auto e = it.next()) {
            events.push_back(see(e));
            echo(it, e);
        }
    }
    void write(std::size_t most = SIZE_MAX) {
        it.at(now);
        octets all = gathered(it, 64);
        all.resize(std::min(most, all.size()));
        it.consumed(all.size());
        out += all;
    }

    /// A replay gives the same.
    void check() {
        std::vector<seen_event> again;
        const auto result = replay(view(capture), [&](session& s, const event& e) {
            again.push_back(see(e));
            echo(s, e);
        });
        CHECK((result.error == capture_error::none));
        CHECK(result.position == capture.size());
        CAPTURE(describe(events), describe(again));
        CHECK((again == events));
        CHECK(result.same_output());
        CHECK(result.recorded.size() == out.size());
        CHECK(result.left == it.queued());
        if (self == role::server) CHECK((to_octets(result.output.bytes()) == out));
    }

    role self;
    time_point now = time_point{} + 1000s;
    octets capture;
    session it;
    std::vector<seen_event> events;
    octets out;
};

} // namespace

TEST_CASE("a conversation plays again, in either role") {
    const auto self = GENERATE(values({role::client, role::server}));
    recorded_session live{self};
    live.comes(opcode::text, "one");
    live.write();
    live.comes(opcode::text, "f", {.fin = false});
    live.comes(opcode::ping, "?");
    live.write();
    live.comes(opcode::continuation, "g");
    live.comes(opcode::binary, octets(100'000, 'b'));
    live.write(10'000);
    live.comes(opcode::ping, "between");
    live.write();
    live.comes(opcode::close, close_payload(3000, "done"));
    live.write();
    live.it.eof();
    live.look();
    CHECK(live.events.back().what == event::kind::closed);
    live.check();
}

TEST_CASE("a protocol error plays again") {
    const auto self = GENERATE(values({role::client, role::server}));
    recorded_session live{self};
    live.comes(opcode::text, "one");
    live.write();
    live.comes(opcode::text, "\xff");
    live.comes(opcode::text, "not looked at");
    live.write();
    CHECK(live.events.back() == failed(errc::invalid_utf8));
    live.check();
}

TEST_CASE("deadlines play again to the moment") {
    recorded_session live{role::server,
                          {.timeouts = {.ping_interval = 30s, .pong = 20s, .idle = 70s, .close = 10s}}};
    const auto passes = [&](std::chrono::nanoseconds step) {
        live.now += step;
        live.it.at(live.now);
        live.it.on_time(live.now);
        live.look();
        live.write();
    };
    passes(29'999'999'999ns);
    CHECK(live.out.empty());
    passes(1ns);
    CHECK(live.out.size() == 2);
    live.now += 1s;
    live.comes(opcode::pong, "");
    passes(39s - 1ns);
    passes(1ns);
    CHECK(live.events.size() == 1);
    live.check();
    passes(10s);
    CHECK(live.it.state() != closing::state::open);
    live.check();
    SECTION("the peer never answers the Close") {
        passes(10s);
        CHECK(live.events.back() == failed(errc::idle_timeout));
    }
    live.check();
}

TEST_CASE("the end of the stream plays again") {
    recorded_session live{role::client};
    live.comes(opcode::text, "one");
    live.it.eof();
    live.look();
    CHECK(live.events.back() == failed(errc::connection_lost));
    live.check();
}

TEST_CASE("a write that went on in the background plays again, with what came meanwhile") {
    recorded_session live{role::server};
    live.comes(opcode::text, "one");
    live.comes(opcode::text, "two");
    octets held = gathered(live.it, 8);
    live.it.hold_output();
    // Its Pong would have been ahead of what the write holds.
    live.comes(opcode::ping, "late");
    live.it.consumed(3);
    live.out += held.substr(0, 3);
    live.write();
    const auto frames = read_frames(live.out);
    REQUIRE(frames);
    CHECK(frames->at(1).payload == "late");
    live.check();
}

TEST_CASE("any conversation plays again") {
    std::mt19937 random{11};
    for (int round = 0; round < 60; ++round) {
        CAPTURE(round);
        const auto self = random() % 2 == 0 ? role::client : role::server;
        session_options options;
        options.deliver_fragments = random() % 4 == 0;
        options.fragment_bytes = random() % 3 == 0 ? 100 : 0;
        options.timeouts.ping_interval = 3s;
        recorded_session live{self, options};
        octets incoming;
        bool open = false;
        for (int i = 0; i < 40; ++i) {
            const octets payload(random() % (random() % 5 == 0 ? 40'000 : 300), 'p');
            if (random() % 4 == 0) {
                incoming += frame_bytes(peer_of(self), random() % 2 == 0 ? opcode::ping : opcode::pong,
                                        payload.substr(0, 20));
                continue;
            }
            const bool fin = random() % 2 == 0;
            incoming +=
                frame_bytes(peer_of(self), open ? opcode::continuation : opcode::text, payload, {.fin = fin});
            open = !fin;
        }
        if (random() % 2 == 0) incoming += frame_bytes(peer_of(self), 3, "");
        for (std::size_t at = 0; at < incoming.size();) {
            live.now += std::chrono::milliseconds{random() % 2000};
            const std::size_t size = std::min<std::size_t>(1 + random() % 9000, incoming.size() - at);
            if (random() % 4 == 0) {
                live.it.on_time(live.now, random() % 2 == 0);
                live.look();
            }
            live.comes(incoming.substr(at, size));
            at += size;
            if (random() % 2 == 0) live.write(1 + random() % 20'000);
        }
        live.write();
        live.check();
    }
}

TEST_CASE("what the application did otherwise shows") {
    recorded_session live{role::server};
    live.comes(opcode::text, "one");
    live.write();
    auto result =
        replay(view(live.capture), [](session& s, const event&) { (void)s.send(opcode::text, "two"); });
    CHECK((result.error == capture_error::none));
    CHECK_FALSE(result.same_output());
    CHECK(to_octets(result.output.bytes()) == from_hex("81 03") + "two");
    result = replay(view(live.capture), [](session&, const event&) {});
    CHECK(result.output.empty());
    CHECK(result.recorded.size() == 5);
    result = replay(view(live.capture), [](session& s, const event& e) {
        echo(s, e);
        echo(s, e);
    });
    CHECK(result.same_output());
    CHECK(result.left == 5);
}

TEST_CASE("says where a recording was cut") {
    octets capture;
    {
        recorder recording{wire_start{}, into{&capture}, 130};
        recording.received(view(frame_bytes(role::client, opcode::text, "one")), time_point{});
        recording.received(view(octets(200, 'x')), time_point{});
    }
    const auto result = replay(view(capture), echo);
    CHECK((result.error == capture_error::none));
    CHECK(result.was_cut);
}

TEST_CASE("compressed messages need a codec") {
    octets capture;
    { const recorder recording{wire_start{.deflate = deflate_params{}}, into{&capture}}; }
    const auto before = std::exchange(detail::default_codec, nullptr);
    CHECK((replay(view(capture), echo).error == capture_error::no_codec));
    detail::default_codec = before;
}

TEST_CASE("an exception of the handler's goes through") {
    recorded_session live{role::server};
    live.comes(opcode::text, "one");
    CHECK_THROWS_AS(replay(view(live.capture), [](session&, const event&) { throw std::runtime_error{"x"}; }),
                    std::runtime_error);
}

TEST_CASE("a damaged capture plays as far as it goes, or says what is wrong") {
    recorded_session live{role::server, {.timeouts = {.ping_interval = 1s}}};
    live.comes(opcode::text, "one");
    live.write();
    live.now += 2s;
    live.it.on_time(live.now);
    live.write();
    live.comes(opcode::text, octets(300, 'x'));
    live.write(100);
    live.comes(opcode::ping, "?");
    live.write();
    live.it.eof();
    live.look();
    for (std::size_t size = 0; size < live.capture.size(); ++size) {
        const auto result = replay(view(live.capture.substr(0, size)), echo);
        CHECK(result.position <= size);
    }
    std::mt19937 random{5};
    for (int round = 0; round < 5000; ++round) {
        octets damaged = live.capture;
        for (auto hits = 1 + random() % 3; hits > 0; --hits)
            damaged[random() % damaged.size()] = static_cast<char>(random());
        const auto result = replay(view(damaged), echo);
        CHECK(result.position <= damaged.size());
        CHECK(to_string(result.error) != "unknown");
    }
}

TEST_CASE("takes masks off frames, and leaves what is cut") {
    const octets frames = frame_bytes(role::client, opcode::text, "one") +
                          frame_bytes(role::client, opcode::binary, octets(300, 'x')) +
                          frame_bytes(role::server, opcode::text, "two") +
                          frame_bytes(role::client, opcode::binary, octets(70'000, 'y'));
    for (const std::size_t size : {std::size_t{0}, std::size_t{1}, std::size_t{5}, std::size_t{7},
                                   std::size_t{12}, std::size_t{320}, std::size_t{330}, frames.size()}) {
        octets cut = frames.substr(0, size);
        unmask_frames(std::as_writable_bytes(std::span{cut}));
        if (size >= 9) CHECK(cut.substr(6, 3) == "one");
        if (size == frames.size()) CHECK((cut.substr(cut.size() - 70'000) == octets(70'000, 'y')));
        if (size < 6) CHECK(cut == frames.substr(0, size));
    }
}
