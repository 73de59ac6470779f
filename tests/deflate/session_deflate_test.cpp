#include <duplex/deflate.hpp>
#include <duplex/protocol/session.hpp>

// Compressed messages through a session (RFC 7692 6, 7.2), both ways.

#include "support/catch.hpp"
#include "support/output.hpp"
#include "support/seen_event.hpp"
#include "support/wire.hpp"

#include <algorithm>
#include <array>
#include <memory>
#include <random>
#include <string>
#include <vector>

using namespace duplex;
using namespace duplex::testing;

namespace {

constexpr deflate_params alone{.server_no_context_takeover = true, .client_no_context_takeover = true};
constexpr deflate_options eager{.threshold = 0, .adaptive = false};
constexpr deflate_options keeping{
    .context_takeover = true, .peer_context_takeover = true, .threshold = 0, .adaptive = false};

session compressing(role self, const deflate_params& agreed = alone, const deflate_options& wanted = eager,
                    const session_options& options = {}) {
    session made{self, options};
    auto codec = detail::default_codec(self, agreed, wanted);
    REQUIRE(codec);
    made.use(std::move(codec));
    return made;
}

/// Everything that `to` finds in the bytes, which come in windows of `step`.
std::vector<seen_event> deliver(session& to, octets bytes, std::size_t step = static_cast<std::size_t>(-1)) {
    std::vector<seen_event> seen;
    for (std::size_t at = 0; at < bytes.size();) {
        const std::size_t size = std::min(step, bytes.size() - at);
        std::vector<std::byte> window(size);
        std::memcpy(window.data(), bytes.data() + at, size);
        at += size;
        to.receive(window);
        while (const auto e = to.next())
            seen.push_back(see(e));
    }
    return seen;
}

/// The frames that a session has queued.
std::vector<seen_frame> frames_of(session& from) {
    auto frames = read_frames(drained(from));
    REQUIRE(frames.has_value());
    return *std::move(frames);
}

octets json(std::size_t size, unsigned seed = 0) {
    octets text = "[";
    for (unsigned i = seed; text.size() < size; ++i)
        text += R"({"symbol":"ABC","price":)" + std::to_string(100 + i * 7 % 900) + R"(,"side":"buy"},)";
    text.resize(size);
    return text;
}

octets noise(std::size_t size, unsigned seed) {
    std::mt19937 random{seed};
    octets bytes(size, '\0');
    for (char& each : bytes)
        each = static_cast<char>(random());
    return bytes;
}

send_status send_text(session& from, std::string_view text, compression how = compression::automatic) {
    return from.send(opcode::text, view(text), text_is::unchecked, how);
}

} // namespace

TEST_CASE("reads the examples of RFC 7692 7.2.3") {
    const auto self = GENERATE(values({role::client, role::server}));
    const auto peer = self == role::server ? role::client : role::server;
    const auto step = GENERATE(values<std::size_t>({1, 2, 3, 1000}));
    const auto read = [&](const octets& frames, const deflate_options& options = eager) {
        auto s = compressing(self, options.context_takeover ? deflate_params{} : alone, options);
        return deliver(s, frames, step);
    };
    const auto frame = [&](opcode op, std::string_view hex, bool fin = true, unsigned rsv = 4) {
        return frame_bytes(peer, op, from_hex(hex), {.fin = fin, .rsv = rsv});
    };
    using events = std::vector<seen_event>;
    SECTION("one compressed frame") {
        CHECK(read(frame(opcode::text, "f2 48 cd c9 c9 07 00")) == events{message("Hello")});
    }
    SECTION("two fragments, and a Ping between them") {
        CHECK(read(frame(opcode::text, "f2 48 cd", false) + frame_bytes(peer, opcode::ping, "p") +
                   frame(opcode::continuation, "c9 c9 07 00", true, 0)) ==
              events{ping("p"), message("Hello")});
    }
    SECTION("fragments without a byte") {
        CHECK(read(frame(opcode::text, "", false) + frame(opcode::continuation, "f2 48 cd c9 c9", false, 0) +
                   frame(opcode::continuation, "", false, 0) +
                   frame(opcode::continuation, "07 00", false, 0) +
                   frame(opcode::continuation, "", true, 0)) == events{message("Hello")});
    }
    SECTION("a window that is kept between messages") {
        CHECK(read(frame(opcode::text, "f2 48 cd c9 c9 07 00") + frame(opcode::text, "f2 00 11 00 00"),
                   keeping) == events{message("Hello"), message("Hello")});
    }
    SECTION("a block that is stored") {
        CHECK(read(frame(opcode::text, "00 05 00 fa ff 48 65 6c 6c 6f 00")) == events{message("Hello")});
    }
    SECTION("a block that says it is the last") {
        CHECK(read(frame(opcode::text, "f3 48 cd c9 c9 07 00 00")) == events{message("Hello")});
    }
    SECTION("two blocks") {
        CHECK(read(frame(opcode::text, "f2 48 05 00 00 00 ff ff ca c9 c9 07 00")) ==
              events{message("Hello")});
    }
    SECTION("an empty message, in both forms") {
        CHECK(read(frame(opcode::text, "00") + frame(opcode::text, "") + frame(opcode::binary, "00")) ==
              events{message(""), message(""), binary_message("")});
    }
    SECTION("compressed and plain messages mixed") {
        CHECK(read(frame(opcode::text, "f2 48 cd c9 c9 07 00") + frame_bytes(peer, opcode::text, "plain") +
                   frame(opcode::binary, "f2 48 cd c9 c9 07 00") +
                   frame_bytes(peer, opcode::binary, octets(70'000, 'x'))) ==
              events{message("Hello"), message("plain"), binary_message("Hello"),
                     binary_message(octets(70'000, 'x'))});
    }
}

TEST_CASE("a reserved bit where compression has no place for it ends the connection") {
    const octets hello = from_hex("f2 48 cd c9 c9 07 00");
    const auto ends = [&](session s, const octets& bytes) {
        const auto seen = deliver(s, bytes);
        REQUIRE(!seen.empty());
        CHECK(seen.back() == failed(errc::reserved_bits_set));
    };
    const auto framed = [&](opcode op, const frame_shape& shape) {
        return frame_bytes(role::client, op, hello, shape);
    };
    ends(session{role::server}, framed(opcode::text, {.rsv = 4}));
    ends(compressing(role::server), framed(opcode::text, {.rsv = 6}));
    ends(compressing(role::server), framed(opcode::text, {.rsv = 2}));
    ends(compressing(role::server), framed(opcode::text, {.rsv = 1}));
    ends(compressing(role::server), framed(opcode::ping, {.rsv = 4}));
    ends(compressing(role::server), framed(opcode::close, {.rsv = 4}));
    ends(compressing(role::server),
         framed(opcode::text, {.fin = false, .rsv = 4}) + framed(opcode::continuation, {.rsv = 4}));
    ends(compressing(role::server),
         framed(opcode::binary, {.fin = false}) + framed(opcode::continuation, {.rsv = 4}));
}

TEST_CASE("what cannot be expanded, or is no text, ends the connection with 1007") {
    auto s = compressing(role::server);
    auto frame = [](opcode op, std::string_view payload) {
        return frame_bytes(role::client, op, payload, {.rsv = 4});
    };
    SECTION("no deflate") {
        CHECK(deliver(s, frame(opcode::binary, "\xff\xff\xff\xff")) ==
              std::vector<seen_event>{failed(errc::deflate_data_invalid)});
        CHECK(close_code_for(errc::deflate_data_invalid) == close_code::invalid_payload);
    }
    SECTION("a reference to what was never there") {
        CHECK(deliver(s, frame(opcode::binary, from_hex("f2 00 11 00 00"))) ==
              std::vector<seen_event>{failed(errc::deflate_data_invalid)});
    }
    SECTION("no UTF-8, also where it is cut") {
        auto other = compressing(role::client);
        REQUIRE(accepted(
            other.send(opcode::binary, view("a text with \xc3"), text_is::unchecked, compression::always)));
        auto bytes = drained(other);
        bytes[0] = static_cast<char>((bytes[0] & 0xF0) | 1);
        CHECK(deliver(s, bytes, 1) == std::vector<seen_event>{failed(errc::invalid_utf8)});
    }
}

TEST_CASE("a message that inflates to more than the limit ends with 1009, long before it is whole") {
    const auto self = GENERATE(values({role::client, role::server}));
    const auto peer = self == role::server ? role::client : role::server;
    constexpr std::size_t limit = 1 << 20;
    auto s = compressing(self, alone, eager, {.limits = {.message_bytes = limit}});
    // Zeros: a thousand of them take a byte.
    const auto maker = detail::default_codec(role::client, alone, eager);
    byte_buffer bomb;
    const octets zeros(limit, '\0');
    for (int i = 0; i < 6; ++i)
        REQUIRE(maker->compress(view(zeros), i == 5, bomb));
    const auto frame = frame_bytes(peer, opcode::binary, to_octets(bomb.bytes()), {.rsv = 4});
    REQUIRE(frame.size() < 30'000);
    CHECK(deliver(s, frame, GENERATE(values<std::size_t>({1, 100, 1 << 20}))) ==
          std::vector<seen_event>{failed(errc::message_too_big)});
    SECTION("exactly the limit is fine") {
        auto other = compressing(self, alone, eager, {.limits = {.message_bytes = limit}});
        byte_buffer fits;
        REQUIRE(maker->compress(view(zeros), true, fits));
        CHECK(deliver(other, frame_bytes(peer, opcode::binary, to_octets(fits.bytes()), {.rsv = 4})) ==
              std::vector<seen_event>{binary_message(zeros)});
    }
}

TEST_CASE("a message that deflate could only make longer still comes through at the limit") {
    constexpr std::size_t limit = 100'000;
    auto from = compressing(role::client);
    auto to = compressing(role::server, alone, eager, {.limits = {.message_bytes = limit}});
    const auto maker = detail::default_codec(role::client, alone, eager);
    byte_buffer longer;
    const auto random = noise(limit, 1);
    REQUIRE(maker->compress(view(random), true, longer));
    REQUIRE(longer.size() > limit);
    CHECK(deliver(to, frame_bytes(role::client, opcode::binary, to_octets(longer.bytes()), {.rsv = 4})) ==
          std::vector<seen_event>{binary_message(random)});
    // Blocks without content could go on for ever.
    octets blocks;
    while (blocks.size() < 2 * limit)
        blocks += from_hex("00 00 00 ff ff");
    CHECK(deliver(to, frame_bytes(role::client, opcode::binary, blocks, {.rsv = 4})) ==
          std::vector<seen_event>{failed(errc::message_too_big)});
}

TEST_CASE("compresses what gets shorter, and says so in the frame") {
    const auto self = GENERATE(values({role::client, role::server}));
    auto s = compressing(self, alone, {.threshold = 100, .adaptive = false});
    const octets text = json(1000);
    const octets random = noise(1000, 7);
    REQUIRE(accepted(send_text(s, text)));
    REQUIRE(accepted(send_text(s, "too short to be worth it")));
    REQUIRE(accepted(send_text(s, text.substr(0, 99), compression::always)));
    REQUIRE(accepted(send_text(s, text, compression::none)));
    REQUIRE(accepted(s.send(opcode::binary, view(random))));
    byte_buffer owned;
    REQUIRE(owned.append(view(text)));
    REQUIRE(accepted(s.send(opcode::binary, std::move(owned))));
    REQUIRE(accepted(s.ping({})));
    const auto frames = frames_of(s);
    REQUIRE(frames.size() == 7);
    // Control frames go first, and are never compressed.
    CHECK(frames[0].rsv == 0);
    CHECK(frames[1].rsv == 4);
    CHECK(frames[1].payload.size() < 400);
    CHECK(frames[2].rsv == 0);
    CHECK(frames[2].payload == "too short to be worth it");
    CHECK(frames[3].rsv == 4);
    CHECK(frames[4].rsv == 0);
    CHECK(frames[4].payload == text);
    CHECK(frames[5].rsv == 0);
    CHECK(frames[5].payload == random);
    CHECK(frames[6].rsv == 4);
}

TEST_CASE("text that is no UTF-8 is refused before it is compressed") {
    auto s = compressing(role::server);
    CHECK((send_text(s, "\xff\xff\xff\xff", compression::always) == send_status::text_not_utf8));
    CHECK(s.queued() == 0);
}

TEST_CASE("whatever is sent between two ends comes through, for each set of parameters") {
    const bool server_keeps = GENERATE(true, false);
    const bool client_keeps = GENERATE(true, false);
    const int bits = GENERATE(9, 12, 15);
    const deflate_params agreed{.server_no_context_takeover = !server_keeps,
                                .client_no_context_takeover = !client_keeps,
                                .server_max_window_bits = bits,
                                .client_max_window_bits = bits};
    CAPTURE(server_keeps, client_keeps, bits);
    const auto options = [&](bool own, bool peers) {
        deflate_options made{.threshold = 50, .adaptive = true};
        made.max_window_bits = made.max_peer_window_bits = bits;
        made.context_takeover = own;
        made.peer_context_takeover = peers;
        return made;
    };
    auto server = compressing(role::server, agreed, options(server_keeps, client_keeps));
    auto client = compressing(role::client, agreed, options(client_keeps, server_keeps));
    std::mt19937 random{static_cast<unsigned>(bits) * 4 + server_keeps * 2U + client_keeps};
    const auto pick = [&](unsigned below) { return static_cast<unsigned>(random() % below); };
    for (int round = 0; round < 150; ++round) {
        const bool up = pick(2) == 0;
        session& from = up ? client : server;
        session& to = up ? server : client;
        std::vector<seen_event> wanted;
        for (unsigned count = 1 + pick(4); count != 0; --count) {
            const std::size_t size = pick(10) == 0 ? pick(100'000) : pick(1500);
            const auto payload = pick(3) == 0 ? noise(size, pick(1U << 31U)) : json(size, pick(50));
            const auto op = pick(2) == 0 ? opcode::binary : opcode::text;
            const auto& sent = op == opcode::text ? json(size, pick(50)) : payload;
            switch (pick(5)) {
            case 0: {
                auto left = std::string_view{sent};
                while (left.size() > 700) {
                    REQUIRE(accepted(from.send_fragment(op, view(left.substr(0, 700)), false)));
                    left.remove_prefix(700);
                }
                REQUIRE(accepted(from.send_fragment(op, view(left), true)));
                break;
            }
            case 1:
                REQUIRE(accepted(from.send(op == opcode::text ? prepared_message::text(sent)
                                                              : prepared_message::binary(view(sent)))));
                break;
            case 2:
                REQUIRE(accepted(from.send(op, view(sent), text_is::unchecked, compression::always)));
                break;
            case 3:
                REQUIRE(accepted(from.send(op, view(sent), text_is::unchecked, compression::none)));
                break;
            default: REQUIRE(accepted(from.send(op, view(sent))));
            }
            wanted.push_back(op == opcode::text ? message(sent) : binary_message(sent));
        }
        const bool same = deliver(to, drained(from), pick(3) == 0 ? 1 + pick(2000) : 1U << 30U) == wanted;
        REQUIRE(same);
    }
}

TEST_CASE("a message that is refused leaves the window as the peer knows it") {
    const deflate_params kept{};
    auto from = compressing(role::server, kept, keeping, {.limits = {.queue_bytes = 3000}});
    auto to = compressing(role::client, kept, keeping);
    const auto first = json(1000, 1);
    const auto second = json(2900, 2);
    REQUIRE(accepted(send_text(from, first)));
    CHECK((send_text(from, second) == send_status::queue_full));
    CHECK((send_text(from, noise(2900, 3)) != send_status::ok));
    REQUIRE(accepted(send_text(from, first)));
    CHECK(deliver(to, drained(from)) == std::vector<seen_event>{message(first), message(first)});
    REQUIRE(accepted(send_text(from, second)));
    CHECK(deliver(to, drained(from)) == std::vector<seen_event>{message(second)});
}

TEST_CASE("a prepared message is compressed once for all peers that take it") {
    const auto text = json(5000);
    const auto prepared = prepared_message::text(text);
    auto plain = session{role::server};
    auto one = compressing(role::server);
    auto other = compressing(role::server, deflate_params{}, keeping);
    auto narrow =
        compressing(role::server, {.server_no_context_takeover = true, .server_max_window_bits = 10},
                    {.max_window_bits = 10, .threshold = 0});
    std::array<const std::byte*, 2> where{};
    for (auto* s : {&one, &other}) {
        REQUIRE(accepted(s->send(prepared)));
        std::array<segment, 2> out;
        REQUIRE(s->gather(out) == 1);
        where[s == &other] = out[0].data();
        const auto frames = frames_of(*s);
        REQUIRE(frames.size() == 1);
        CHECK(frames[0].rsv == 4);
        CHECK(frames[0].payload.size() < 1500);
    }
    CHECK(where[0] == where[1]);
    // Those that don't take compressed messages, or not with so large a window, get it as it is.
    for (auto* s : {&plain, &narrow}) {
        REQUIRE(accepted(s->send(prepared)));
        const auto frames = frames_of(*s);
        REQUIRE(frames.size() == 1);
        CHECK(frames[0].rsv == 0);
        CHECK(frames[0].payload == text);
    }
    // A client masks a copy, and heeds the same.
    auto client = compressing(role::client);
    REQUIRE(accepted(client.send(prepared_message::text(text, compression::none))));
    CHECK(frames_of(client).at(0).rsv == 0);
    REQUIRE(accepted(client.send(prepared)));
    CHECK(frames_of(client).at(0).rsv == 4);
    // One that is better not compressed, and one that does not shrink.
    for (const auto& each :
         {prepared_message::text(text, compression::none), prepared_message::binary(view(noise(3000, 5)))}) {
        REQUIRE(accepted(one.send(each)));
        CHECK(frames_of(one).at(0).rsv == 0);
    }
}

TEST_CASE("pieces of a compressed message are delivered as they are expanded") {
    auto s = compressing(role::server, alone, eager,
                         {.limits = {.message_bytes = 50'000}, .deliver_fragments = true});
    auto from = compressing(role::client);
    const auto text = json(20'000);
    REQUIRE(accepted(send_text(from, text)));
    REQUIRE(accepted(send_text(from, "", compression::always)));
    const auto bytes = drained(from);
    const auto seen = deliver(s, bytes, 100);
    CHECK(seen.size() > 5);
    CHECK(join_fragments(seen) ==
          std::vector<seen_event>{fragment(opcode::text, text, true), fragment(opcode::text, "", true)});
    REQUIRE(accepted(send_text(from, json(50'001))));
    const auto too_much = deliver(s, drained(from), 100);
    REQUIRE(!too_much.empty());
    CHECK(too_much.back() == failed(errc::message_too_big));
}

TEST_CASE("an expanded message can be taken away, and echoed") {
    auto s = compressing(role::server);
    auto peer = compressing(role::client);
    const auto text = json(30'000);
    REQUIRE(accepted(send_text(peer, text)));
    auto bytes = drained(peer);
    std::vector<std::byte> window(bytes.size());
    std::memcpy(window.data(), bytes.data(), bytes.size());
    s.receive(window);
    const auto e = s.next();
    REQUIRE((e.what == event::kind::message));
    REQUIRE(accepted(s.send_back(e.op, e.payload, text_is::utf8)));
    auto taken = s.take_message();
    CHECK(to_octets(taken.bytes()) == text);
    CHECK(!s.next());
    CHECK(deliver(peer, drained(s)) == std::vector<seen_event>{message(text)});
}
