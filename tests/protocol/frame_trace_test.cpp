#include <duplex/protocol/frame_trace.hpp>

#include "support/catch.hpp"
#include "support/wire.hpp"

#include <chrono>
#include <random>
#include <string>
#include <vector>

using namespace duplex;
using namespace duplex::testing;
using namespace std::chrono_literals;

namespace {

using lines = std::vector<std::string>;

/// What is told of `bytes`, which pass in pieces of `step`, each a second after the one before.
lines traced(std::string_view bytes, std::size_t step, std::size_t shown = 32,
             direction way = direction::in) {
    frame_tracer tracer{way, shown};
    lines told;
    time_point now{};
    for (std::size_t at = 0; at < bytes.size(); at += step) {
        now += 1s;
        tracer.follow(view(bytes.substr(at, step)), now,
                      [&](const traced_frame& frame) { told.push_back(to_string(frame)); });
    }
    return told;
}

octets all_kinds() {
    const auto client = [](opcode op, std::string_view payload, const frame_shape& shape = {}) {
        return frame_bytes(role::client, op, payload, shape);
    };
    const auto server = [](opcode op, std::string_view payload, const frame_shape& shape = {}) {
        return frame_bytes(role::server, op, payload, shape);
    };
    return client(opcode::text, "Hello") + server(opcode::binary, from_hex("00 ff 10")) +
           client(opcode::text, "a", {.fin = false}) + client(opcode::ping, "") +
           client(opcode::continuation, "b") + server(opcode::text, octets(200, 'x')) +
           client(opcode::binary, octets(70'000, 'y')) + server(opcode::text, from_hex("f2 48"), {.rsv = 4}) +
           client(opcode::close, close_payload(1001, "gone")) + client(opcode::close, "");
}

} // namespace

TEST_CASE("tells of every frame once, however its bytes are cut") {
    const auto step = GENERATE(values<std::size_t>({1, 2, 3, 5, 13, 126, 4096, 100'000}));
    CHECK(traced(all_kinds(), step, 8) == lines{
                                              "in  text fin masked 5 \"Hello\"",
                                              "in  binary fin 3 00 ff 10",
                                              "in  text masked 1 \"a\"",
                                              "in  ping fin masked 0",
                                              "in  continuation fin masked 1 \"b\"",
                                              "in  text fin 200 \"xxxxxxxx\"...",
                                              "in  binary fin masked 70000 79 79 79 79 79 79 79 79...",
                                              "in  text fin rsv1 2 f2 48",
                                              "in  close fin masked 6 code 1001 \"gone\"",
                                              "in  close fin masked 0",
                                          });
}

TEST_CASE("shows no payload where none is asked for") {
    CHECK(traced(frame_bytes(role::server, opcode::text, "secret"), 1, 0, direction::out) ==
          lines{"out text fin 6"});
}

TEST_CASE("a frame is told when the bytes to show have passed, and says where it began") {
    frame_tracer tracer{direction::out, 4};
    std::vector<traced_frame> told;
    const auto tell = [&](const traced_frame& frame) { told.push_back(frame); };
    const octets bytes = frame_bytes(role::server, opcode::text, "one") +
                         frame_bytes(role::server, opcode::text, "longer than four");
    tracer.follow(view(bytes.substr(0, 4)), time_point{} + 1s, tell);
    CHECK(told.empty());
    tracer.follow(view(bytes.substr(4, 6)), time_point{} + 2s, tell);
    REQUIRE(told.size() == 1);
    CHECK(told[0].when == time_point{} + 2s);
    CHECK(told[0].position == 0);
    CHECK(told[0].header.length == 3);
    CHECK_FALSE(told[0].is_cut());
    tracer.follow(view(bytes.substr(10)), time_point{} + 3s, tell);
    REQUIRE(told.size() == 2);
    CHECK(told[1].when == time_point{} + 3s);
    CHECK(told[1].position == 5);
    CHECK(told[1].is_cut());
    CHECK(told[1].way == direction::out);
}

TEST_CASE("shows what breaks the rules as it is") {
    CHECK(traced(from_hex("f3 00"), 1) == lines{"in  opcode 3 fin rsv1 rsv2 rsv3 0"});
    CHECK(traced(from_hex("09 00"), 1) == lines{"in  ping 0"});
    CHECK(traced(from_hex("81 7e 00 01 41"), 1) == lines{"in  text fin 1 \"A\""});
    CHECK(traced(from_hex("81 7f ff ff ff ff ff ff ff ff 41"), 1, 1) ==
          lines{"in  text fin 18446744073709551615 \"A\"..."});
    CHECK(traced(from_hex("88 01 03"), 1) == lines{"in  close fin 1 03"});
}

TEST_CASE("a line holds nothing that a terminal would obey") {
    CHECK(traced(frame_bytes(role::server, opcode::text, "\x1b[2J"), 9) ==
          lines{"in  text fin 4 1b 5b 32 4a"});
    CHECK(traced(frame_bytes(role::server, opcode::text, "a\n"), 9) == lines{"in  text fin 2 61 0a"});
    CHECK(traced(frame_bytes(role::server, opcode::text, "\xc2\x9b"), 9) == lines{"in  text fin 2 c2 9b"});
    CHECK(traced(frame_bytes(role::server, opcode::text, "\x7f"), 9) == lines{"in  text fin 1 7f"});
    CHECK(traced(frame_bytes(role::server, opcode::text, "\xff"), 9) == lines{"in  text fin 1 ff"});
    CHECK(traced(frame_bytes(role::server, opcode::text, "say \"a\\b\""), 9) ==
          lines{R"(in  text fin 9 "say \"a\\b\"")"});
    CHECK(traced(frame_bytes(role::server, opcode::text, "\xc3\xa4"), 9) ==
          lines{"in  text fin 2 \"\xc3\xa4\""});
    // A character that is cut where the payload is.
    CHECK(traced(frame_bytes(role::server, opcode::text, "a\xc3\xa4"), 9, 2) ==
          lines{"in  text fin 3 \"a\xc3\"..."});
}

TEST_CASE("any bytes are frames, whatever they are, and cutting them changes nothing") {
    std::mt19937 random{7};
    for (int round = 0; round < 200; ++round) {
        octets bytes(random() % 300, '\0');
        for (char& each : bytes)
            each = static_cast<char>(random() % 3 == 0 ? random() : random() % 8);
        CHECK(traced(bytes, 1, 5) == traced(bytes, bytes.size() + 1, 5));
    }
}
