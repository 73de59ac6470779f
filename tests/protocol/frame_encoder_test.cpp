#include <duplex/protocol/frame_encoder.hpp>

#include "support/catch.hpp"
#include "support/system_faults.hpp"
#include "support/wire.hpp"

using namespace duplex;
using namespace duplex::testing;

namespace {

constexpr mask_key example_key{std::byte{0x37}, std::byte{0xfa}, std::byte{0x21}, std::byte{0x3d}};

} // namespace

TEST_CASE("encodes the examples of RFC 6455 5.7 behind each other") {
    byte_buffer to;
    REQUIRE(encode_frame(to, {.op = opcode::text, .length = 5}, view("Hello")));
    REQUIRE(encode_frame(to, {.op = opcode::text, .masked = true, .key = example_key, .length = 5},
                         view("Hello")));
    REQUIRE(encode_frame(to, {.fin = false, .op = opcode::text, .length = 3}, view("Hel")));
    REQUIRE(encode_frame(to, {.op = opcode::continuation, .length = 2}, view("lo")));
    REQUIRE(encode_frame(to, {.op = opcode::ping}, {}));
    CHECK(to_hex(to_octets(to.bytes())) == "81 05 48 65 6c 6c 6f "
                                           "81 85 37 fa 21 3d 7f 9f 4d 51 58 "
                                           "01 03 48 65 6c 80 02 6c 6f 89 00 ");
}

TEST_CASE("encodes payloads of every length form, masked and not") {
    const auto sender = GENERATE(values({role::client, role::server}));
    const auto size = GENERATE(values<std::size_t>({0, 1, 3, 125, 126, 127, 1000, 65535, 65536, 100'000}));
    CAPTURE(size);
    octets payload(size, '\0');
    for (std::size_t i = 0; i < size; ++i)
        payload[i] = static_cast<char>(i * 7);
    byte_buffer to;
    REQUIRE(to.append(view("before")));
    const frame_header header{
        .op = opcode::binary, .masked = sender == role::client, .key = example_key, .length = size};
    REQUIRE(encode_frame(to, header, view(payload)));
    CHECK((to_octets(to.bytes()) == "before" + frame_bytes(sender, opcode::binary, payload)));
}

TEST_CASE("encodes a header alone") {
    byte_buffer to;
    REQUIRE(encode_header(to, {.op = opcode::binary, .length = 65536}));
    CHECK(to_hex(to_octets(to.bytes())) == "82 7f 00 00 00 00 00 01 00 00 ");
}

TEST_CASE("appends nothing when there is not so much memory") {
    byte_buffer to;
    REQUIRE(to.append(view("kept")));
    // The payload is not looked at before its memory is there.
    // Not a constant: the compiler would see through it, and warn of a copy that is never made.
    const volatile std::size_t no_such_size = SIZE_MAX / 2;
    const std::span<const std::byte> endless{to.data(), no_such_size};
    CHECK(!encode_frame(to, {.op = opcode::binary, .length = endless.size()}, endless));
    CHECK(to_octets(to.bytes()) == "kept");
}

#if defined(DUPLEX_TESTING_FAULTS)

TEST_CASE("appends no header when memory runs out") {
    byte_buffer to;
    CHECK(!without_memory([&] { return encode_header(to, {.op = opcode::ping}); }));
    CHECK(to.empty());
    REQUIRE(encode_header(to, {.op = opcode::ping}));
    CHECK(to_hex(to_octets(to.bytes())) == "89 00 ");
}

#endif
