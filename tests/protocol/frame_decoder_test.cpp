#include <duplex/protocol/frame_decoder.hpp>

#include "support/catch.hpp"
#include "support/wire.hpp"

#include <memory>
#include <optional>
#include <vector>

using namespace duplex;
using namespace duplex::testing;

namespace {

/// Everything that a decoder finds in windows of the given sizes; the last size repeats.
struct found {
    std::vector<seen_frame> frames;
    errc error{};
};

found decode(role self, std::string_view bytes, const std::vector<std::size_t>& sizes) {
    frame_decoder decoder{self};
    found out;
    bool in_frame = false;
    std::size_t turn = 0;
    while (!bytes.empty()) {
        const auto size = std::min(sizes[std::min(turn++, sizes.size() - 1)], bytes.size());
        const std::unique_ptr<std::byte[]> window{new std::byte[size]};
        std::memcpy(window.get(), bytes.data(), size);
        bytes.remove_prefix(size);
        decoder.lend({window.get(), size});
        for (;;) {
            if (!in_frame) {
                const auto step = decoder.next_header();
                if (step == frame_decoder::step::failed) {
                    out.error = decoder.error();
                    return out;
                }
                if (step == frame_decoder::step::need_more) break;
                const auto& header = decoder.header();
                out.frames.push_back({.fin = header.fin,
                                      .rsv = header.rsv,
                                      .op = static_cast<unsigned>(header.op),
                                      .masked = header.masked,
                                      .payload = {},
                                      .key = header.masked ? to_octets(header.key) : octets{}});
                CHECK(decoder.offset() == 0);
                CHECK(decoder.remaining() == header.length);
            }
            auto& frame = out.frames.back();
            CHECK(decoder.offset() == frame.payload.size());
            const auto offset = decoder.offset();
            octets piece = to_octets(decoder.take_payload());
            for (std::size_t i = 0; frame.masked && i < piece.size(); ++i)
                piece[i] = static_cast<char>(piece[i] ^ frame.key[(offset + i) % 4]);
            frame.payload += piece;
            in_frame = decoder.remaining() != 0;
            if (in_frame) break;
        }
        CHECK(decoder.unread() == 0);
    }
    return out;
}

} // namespace

TEST_CASE("finds the same frames however the windows cut them") {
    const auto self = GENERATE(values({role::client, role::server}));
    const auto peer = peer_of(self);
    octets big(300, 'b');
    const octets bytes = frame_bytes(peer, opcode::text, "Hello") + frame_bytes(peer, opcode::ping, "") +
                         frame_bytes(peer, opcode::binary, big) +
                         frame_bytes(peer, opcode::continuation, octets(70'000, 'c'), {.fin = false}) +
                         frame_bytes(peer, opcode::close, close_payload(1000));
    const auto wanted = *read_frames(bytes);
    const auto check = [&](const std::vector<std::size_t>& sizes) {
        const auto got = decode(self, bytes, sizes);
        CHECK((got.error == errc{}));
        REQUIRE(got.frames.size() == wanted.size());
        for (std::size_t i = 0; i < wanted.size(); ++i) {
            const bool same = got.frames[i].same_but_mask(wanted[i]) && got.frames[i].key == wanted[i].key;
            CHECK(same);
        }
    };
    check({bytes.size()});
    for (std::size_t cut = 1; cut < 360; ++cut)
        check({cut, bytes.size()});
    for (std::size_t size = 1; size < 20; ++size)
        check({size});
}

TEST_CASE("reports a broken header however it is cut, and stays in front of it") {
    const auto self = GENERATE(values({role::client, role::server}));
    const octets bytes = frame_bytes(peer_of(self), opcode::text, "fine") +
                         frame_bytes(peer_of(self), opcode::binary, octets(200, 'x'), {.length_bytes = 8});
    for (std::size_t cut = 1; cut <= bytes.size(); ++cut) {
        const auto got = decode(self, bytes, {cut, bytes.size()});
        CHECK((got.error == errc::length_not_minimal));
        CHECK(got.frames.size() == 1);
    }
    CHECK((decode(self, bytes, {1}).error == errc::length_not_minimal));
}

TEST_CASE("lets through the reserved bits that an extension claimed") {
    auto bytes = frame_bytes(role::client, opcode::text, "Hello", {.rsv = 4});
    frame_decoder claims{role::server, 4};
    claims.lend(std::as_writable_bytes(std::span{bytes}));
    REQUIRE((claims.next_header() == frame_decoder::step::header));
    CHECK(claims.header().rsv == 4);

    frame_decoder does_not{role::server};
    does_not.lend(std::as_writable_bytes(std::span{bytes}));
    CHECK((does_not.next_header() == frame_decoder::step::failed));
    CHECK((does_not.error() == errc::reserved_bits_set));
}

TEST_CASE("takes a whole message off the window, and leaves all else to be looked at step by step") {
    const auto self = GENERATE(values({role::server, role::client}));
    const auto sender = self == role::server ? role::client : role::server;
    const auto taken = [&](octets bytes, std::size_t limit = 1 << 20) -> std::optional<octets> {
        // Of its exact size, so that a sanitizer sees a read behind its end.
        const auto sent = view(bytes);
        std::vector<std::byte> block(sent.begin(), sent.end());
        std::span<std::byte> window{block};
        frame_decoder::whole_message message{};
        if (!frame_decoder::take_whole(self, window, message, limit)) {
            CHECK(window.data() == block.data());
            CHECK(window.size() == block.size());
            return std::nullopt;
        }
        octets payload = to_octets(message.payload);
        for (std::size_t i = 0; i < payload.size(); ++i)
            payload[i] = static_cast<char>(payload[i] ^ static_cast<char>(message.key[i % 4]));
        return payload + "|" + to_octets(window);
    };
    for (const auto size :
         std::initializer_list<std::size_t>{0, 1, 124, 125, 126, 127, 128, 255, 256, 1000, 65534, 65535}) {
        CAPTURE(size);
        const octets payload(size, 'p');
        const auto frame = frame_bytes(sender, opcode::text, payload);
        CHECK(taken(frame) == payload + "|");
        CHECK(taken(frame + "next", size) == payload + "|next");
        // All but its last byte, and less.
        for (std::size_t cut = 0; cut < frame.size(); cut += 1 + cut / 20)
            CHECK_FALSE(taken(frame.substr(0, frame.size() - 1 - cut)));
        if (size != 0) CHECK_FALSE(taken(frame, size - 1));
        CHECK_FALSE(taken(frame_bytes(sender, opcode::text, payload, {.fin = false})));
        CHECK_FALSE(taken(frame_bytes(sender, opcode::text, payload, {.rsv = 4})));
        CHECK_FALSE(taken(frame_bytes(sender, opcode::continuation, payload)));
        CHECK_FALSE(taken(frame_bytes(self, opcode::text, payload)));
        if (size < 126) {
            CHECK_FALSE(taken(frame_bytes(sender, opcode::ping, payload)));
            CHECK_FALSE(taken(frame_bytes(sender, opcode::text, payload, {.length_bytes = 2})));
        }
        CHECK_FALSE(taken(frame_bytes(sender, opcode::text, payload, {.length_bytes = 8})));
    }
    CHECK_FALSE(taken(frame_bytes(sender, opcode::text, octets(65536, 'p'))));
}

TEST_CASE("an empty window changes nothing") {
    frame_decoder decoder{role::client};
    CHECK((decoder.next_header() == frame_decoder::step::need_more));
    auto bytes = from_hex("81 05");
    decoder.lend(std::as_writable_bytes(std::span{bytes}.first(1)));
    CHECK((decoder.next_header() == frame_decoder::step::need_more));
    decoder.lend({});
    CHECK((decoder.next_header() == frame_decoder::step::need_more));
    CHECK((decoder.next_header() == frame_decoder::step::need_more));
    decoder.lend(std::as_writable_bytes(std::span{bytes}.subspan(1)));
    REQUIRE((decoder.next_header() == frame_decoder::step::header));
    CHECK(decoder.remaining() == 5);
}

TEST_CASE("counts payload that came elsewhere than in a window") {
    auto bytes = from_hex("82 7e 01 00 61");
    frame_decoder decoder{role::client};
    decoder.lend(std::as_writable_bytes(std::span{bytes}));
    REQUIRE((decoder.next_header() == frame_decoder::step::header));
    CHECK(decoder.take_payload().size() == 1);
    CHECK(decoder.remaining() == 255);
    decoder.skip_payload(200);
    CHECK(decoder.offset() == 201);
    CHECK(decoder.remaining() == 55);
}
