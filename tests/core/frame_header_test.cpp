#include <duplex/core/frame_header.hpp>

#include "support/catch.hpp"
#include "support/wire.hpp"

#include <memory>

using namespace duplex;
using namespace duplex::testing;

namespace {

struct parse_result {
    parsed_header found;
    frame_header header;
};

/// Parses a block of the exact size, so that a sanitizer sees a read behind it.
parse_result parse(role self, std::string_view bytes, std::uint8_t allowed_rsv = 0) {
    const std::unique_ptr<std::byte[]> block{new std::byte[bytes.size()]};
    std::memcpy(block.get(), bytes.data(), bytes.size());
    parse_result out{};
    out.found = parse_frame_header(block.get(), bytes.size(), self, allowed_rsv, out.header);
    return out;
}

/// A header that `self` receives, broken at byte `first_wrong`: told there, not before and not later.
void check_rejected_at(role self, const octets& bytes, std::size_t first_wrong, errc why) {
    CAPTURE(to_hex(bytes), first_wrong);
    for (std::size_t size = 0; size <= bytes.size(); ++size) {
        const auto got = parse(self, std::string_view{bytes}.substr(0, size));
        CHECK(got.found.size == 0);
        CHECK((got.found.error == (size > first_wrong ? why : errc{})));
    }
}

octets header_of(role sender, unsigned op, std::uint64_t length, frame_shape shape = {}) {
    shape.announce_more = length;
    return frame_bytes(sender, op, "", shape);
}

const auto both = {role::client, role::server};

} // namespace

TEST_CASE("writes the headers of RFC 6455 5.7") {
    std::array<std::byte, max_frame_header_size> to{};
    const auto encode = [&](const frame_header& header) {
        const auto size = encode_frame_header(header, to.data());
        CHECK(size == frame_header_size(header.length, header.masked));
        return to_hex(to_octets(std::span{to}.first(size)));
    };
    CHECK(encode({.op = opcode::text, .length = 5}) == "81 05 ");
    const mask_key key{std::byte{0x37}, std::byte{0xfa}, std::byte{0x21}, std::byte{0x3d}};
    CHECK(encode({.op = opcode::text, .masked = true, .key = key, .length = 5}) == "81 85 37 fa 21 3d ");
    CHECK(encode({.fin = false, .op = opcode::text, .length = 3}) == "01 03 ");
    CHECK(encode({.op = opcode::continuation, .length = 2}) == "80 02 ");
    CHECK(encode({.op = opcode::ping, .length = 5}) == "89 05 ");
    CHECK(encode({.op = opcode::binary, .length = 256}) == "82 7e 01 00 ");
    CHECK(encode({.op = opcode::binary, .length = 65536}) == "82 7f 00 00 00 00 00 01 00 00 ");
    CHECK(encode({.rsv = 4, .op = opcode::binary, .length = 1}) == "c2 01 ");
}

TEST_CASE("reads what it wrote, at every length form and from either side") {
    const auto self = GENERATE(values({role::client, role::server}));
    const auto length = GENERATE(values<std::uint64_t>(
        {0, 1, 124, 125, 126, 127, 65535, 65536, 65537, std::uint64_t{1} << 32U, 0x7FFF'FFFF'FFFF'FFFF}));
    const auto op = GENERATE(values({opcode::continuation, opcode::text, opcode::binary}));
    const auto fin = GENERATE(true, false);
    CAPTURE(length, to_string(op), fin);
    frame_header header{.fin = fin, .op = op, .masked = self == role::server, .length = length};
    if (header.masked) header.key = {std::byte{1}, std::byte{2}, std::byte{3}, std::byte{4}};
    std::array<std::byte, max_frame_header_size> to{};
    const octets bytes = to_octets(std::span{to}.first(encode_frame_header(header, to.data())));
    for (std::size_t size = 0; size < bytes.size(); ++size) {
        const auto cut = parse(self, std::string_view{bytes}.substr(0, size));
        CHECK(cut.found.size == 0);
        CHECK((cut.found.error == errc{}));
    }
    const auto got = parse(self, bytes);
    CHECK(got.found.size == bytes.size());
    CHECK((got.found.error == errc{}));
    CHECK((got.header == header));
    // What follows is not the header's.
    CHECK(parse(self, bytes + "payload").found.size == bytes.size());
}

TEST_CASE("accepts every control opcode with up to 125 bytes") {
    const auto self = GENERATE(values({role::client, role::server}));
    const auto op = GENERATE(values({opcode::close, opcode::ping, opcode::pong}));
    for (const std::uint64_t length : {0U, 1U, 125U}) {
        const auto bytes = header_of(peer_of(self), static_cast<unsigned>(op), length);
        const auto got = parse(self, bytes);
        CHECK(got.found.size == bytes.size());
        CHECK((got.header.op == op));
        CHECK(got.header.length == length);
    }
}

TEST_CASE("rejects reserved opcodes at the first byte, with every length form") {
    for (const auto self : both)
        for (const unsigned op : {3U, 4U, 5U, 6U, 7U, 11U, 12U, 13U, 14U, 15U})
            for (const std::uint64_t length : {0U, 200U, 70000U})
                for (const bool fin : {true, false})
                    check_rejected_at(self, header_of(peer_of(self), op, length, {.fin = fin}), 0,
                                      errc::reserved_opcode);
}

TEST_CASE("rejects reserved bits that no extension claimed, at the first byte") {
    for (const auto self : both)
        for (const unsigned op : {0U, 1U, 2U, 8U, 9U, 10U})
            for (unsigned rsv = 1; rsv < 8; ++rsv)
                check_rejected_at(self, header_of(peer_of(self), op, 5, {.rsv = rsv}), 0,
                                  errc::reserved_bits_set);
}

TEST_CASE("reads reserved bits that an extension claimed, and only those") {
    const auto self = GENERATE(values({role::client, role::server}));
    for (std::uint8_t allowed = 0; allowed < 8; ++allowed)
        for (unsigned rsv = 0; rsv < 8; ++rsv) {
            const auto got = parse(self, header_of(peer_of(self), 2, 5, {.rsv = rsv}), allowed);
            CAPTURE(allowed, rsv);
            if ((rsv & ~allowed) == 0) {
                CHECK(got.found.size != 0);
                CHECK(got.header.rsv == rsv);
            } else {
                CHECK((got.found.error == errc::reserved_bits_set));
            }
        }
}

TEST_CASE("rejects an unmasked frame from a client and a masked one from a server, at the second byte") {
    for (const unsigned op : {0U, 1U, 2U, 8U, 9U, 10U}) {
        check_rejected_at(role::server, header_of(role::client, op, 5, {.masked = false}), 1,
                          errc::unmasked_frame);
        check_rejected_at(role::client, header_of(role::server, op, 5, {.masked = true}), 1,
                          errc::masked_frame);
    }
}

TEST_CASE("rejects fragmented control frames at the first byte") {
    for (const auto self : both)
        for (const unsigned op : {8U, 9U, 10U})
            check_rejected_at(self, header_of(peer_of(self), op, 5, {.fin = false}), 0,
                              errc::control_frame_fragmented);
}

TEST_CASE("rejects control frames of more than 125 bytes at the second byte") {
    for (const auto self : both)
        for (const unsigned op : {8U, 9U, 10U})
            for (const std::uint64_t length : {126U, 65536U})
                check_rejected_at(self, header_of(peer_of(self), op, length), 1,
                                  errc::control_frame_too_long);
}

TEST_CASE("rejects lengths that are not in their shortest form, as soon as that is sure") {
    for (const auto self : both) {
        for (const std::uint64_t length : {0U, 1U, 125U})
            check_rejected_at(self, header_of(peer_of(self), 2, length, {.length_bytes = 2}), 3,
                              errc::length_not_minimal);
        for (const std::uint64_t length : {0U, 125U, 126U, 65535U})
            check_rejected_at(self, header_of(peer_of(self), 2, length, {.length_bytes = 8}), 7,
                              errc::length_not_minimal);
    }
}

TEST_CASE("rejects 64-bit lengths with the highest bit set at their first byte") {
    for (const auto self : both)
        for (const std::uint64_t length :
             {0x8000'0000'0000'0000, 0x8000'0000'0000'0001, 0xFFFF'FFFF'FFFF'FFFF})
            check_rejected_at(self, header_of(peer_of(self), 2, length), 2, errc::length_out_of_range);
}

TEST_CASE("knows the size of a header without writing it") {
    STATIC_REQUIRE(frame_header_size(0, false) == 2);
    STATIC_REQUIRE(frame_header_size(125, true) == 6);
    STATIC_REQUIRE(frame_header_size(126, false) == 4);
    STATIC_REQUIRE(frame_header_size(65535, true) == 8);
    STATIC_REQUIRE(frame_header_size(65536, false) == 10);
    STATIC_REQUIRE(frame_header_size(UINT64_MAX, true) == max_frame_header_size);
}

TEST_CASE("headers are equal where all their parts are") {
    const mask_key key{std::byte{1}, std::byte{2}, std::byte{3}, std::byte{4}};
    const frame_header header{
        .fin = true, .rsv = 4, .op = opcode::text, .masked = true, .key = key, .length = 5};
    CHECK((header == frame_header{header}));
    const auto differs = [&](auto change) {
        auto other = header;
        change(other);
        CHECK_FALSE((header == other));
    };
    differs([](auto& other) { other.fin = false; });
    differs([](auto& other) { other.rsv = 0; });
    differs([](auto& other) { other.op = opcode::binary; });
    differs([](auto& other) { other.masked = false; });
    differs([](auto& other) { other.key[3] = std::byte{}; });
    differs([](auto& other) { other.length = 6; });
}
