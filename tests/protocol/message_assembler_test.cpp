#include <duplex/protocol/message_assembler.hpp>

#include "support/block_cache.hpp"
#include "support/catch.hpp"
#include "support/system_faults.hpp"
#include "support/wire.hpp"

#include <cstring>
#include <vector>

using namespace duplex;
using namespace duplex::testing;

namespace {

constexpr mask_key key{std::byte{0x37}, std::byte{0xfa}, std::byte{0x21}, std::byte{0x3d}};

frame_header data_frame(opcode op, std::uint64_t length, bool fin = true, bool masked = false) {
    return {.fin = fin, .op = op, .masked = masked, .key = key, .length = length};
}

octets masked(std::string_view text, bool really, std::size_t offset = 0) {
    octets bytes{text};
    for (std::size_t i = 0; really && i < bytes.size(); ++i)
        bytes[i] = static_cast<char>(bytes[i] ^ std::to_integer<char>(key[(offset + i) % 4]));
    return bytes;
}

} // namespace

TEST_CASE("admits the fragments of one message in order and nothing in between") {
    message_assembler assembler{1000, 10};
    CHECK(!assembler.in_message());
    CHECK((assembler.begin_frame(data_frame(opcode::continuation, 1)) == errc::unexpected_continuation));
    CHECK((assembler.begin_frame(data_frame(opcode::text, 1, false)) == errc{}));
    CHECK(assembler.in_message());
    CHECK(assembler.first_frame());
    CHECK((assembler.begin_frame(data_frame(opcode::binary, 1)) == errc::expected_continuation));
    CHECK((assembler.begin_frame(data_frame(opcode::text, 1)) == errc::expected_continuation));
    CHECK((assembler.begin_frame(data_frame(opcode::continuation, 1)) == errc{}));
    CHECK(!assembler.first_frame());
    CHECK((assembler.op() == opcode::text));
    assembler.end_message();
    CHECK(!assembler.in_message());
    CHECK((assembler.op() == opcode::text));
    CHECK((assembler.begin_frame(data_frame(opcode::continuation, 1)) == errc::unexpected_continuation));
    CHECK((assembler.begin_frame(data_frame(opcode::binary, 1)) == errc{}));
}

TEST_CASE("rejects a message above the limit at its header, over any number of frames") {
    message_assembler assembler{1000, 10};
    CHECK((assembler.begin_frame(data_frame(opcode::binary, 1000)) == errc{}));
    assembler.end_message();
    CHECK((assembler.begin_frame(data_frame(opcode::binary, 1001)) == errc::message_too_big));
    message_assembler again{1000, 10};
    CHECK((again.begin_frame(data_frame(opcode::binary, 600, false)) == errc{}));
    CHECK((again.begin_frame(data_frame(opcode::continuation, 400, false)) == errc{}));
    CHECK((again.begin_frame(data_frame(opcode::continuation, 0, false)) == errc{}));
    CHECK((again.begin_frame(data_frame(opcode::continuation, 1)) == errc::message_too_big));
}

TEST_CASE("lengths that sum to more than 64 bits do not wrap round, even without a limit") {
    constexpr std::uint64_t most = 0x7FFF'FFFF'FFFF'FFFF;
    message_assembler assembler{SIZE_MAX, SIZE_MAX};
    CHECK((assembler.begin_frame(data_frame(opcode::binary, most, false)) == errc{}));
    CHECK((assembler.begin_frame(data_frame(opcode::continuation, most, false)) == errc{}));
    CHECK((assembler.begin_frame(data_frame(opcode::continuation, most, false)) == errc::message_too_big));
    message_assembler limited{std::size_t{16} << 20U, 10};
    CHECK((limited.begin_frame(data_frame(opcode::binary, 1, false)) == errc{}));
    CHECK((limited.begin_frame(data_frame(opcode::continuation, most)) == errc::message_too_big));
}

TEST_CASE("counts frames, empty ones included, and lets exactly the limit pass") {
    message_assembler assembler{1000, 3};
    CHECK((assembler.begin_frame(data_frame(opcode::binary, 0, false)) == errc{}));
    CHECK((assembler.begin_frame(data_frame(opcode::continuation, 0, false)) == errc{}));
    CHECK((assembler.begin_frame(data_frame(opcode::continuation, 0, false)) == errc{}));
    CHECK((assembler.begin_frame(data_frame(opcode::continuation, 0)) == errc::too_many_fragments));
}

TEST_CASE("unmasks and checks in place without taking memory") {
    const auto is_masked = GENERATE(true, false);
    const auto op = GENERATE(values({opcode::text, opcode::binary}));
    message_assembler assembler{1000, 10};
    const auto header = data_frame(op, 10, true, is_masked);
    REQUIRE((assembler.begin_frame(header) == errc{}));
    auto first = masked("Hell\xc3", is_masked);
    auto second = masked("\xb6 you", is_masked, 5);
    CHECK((assembler.check_in_place(std::as_writable_bytes(std::span{first}), header, 0, false) == errc{}));
    CHECK((assembler.check_in_place(std::as_writable_bytes(std::span{second}), header, 5, true) == errc{}));
    CHECK(first + second == "Hell\xc3\xb6 you");
    CHECK(!assembler.holds_bytes());
    CHECK(assembler.bytes().empty());
}

TEST_CASE("appends pieces, unmasked and checked") {
    const auto is_masked = GENERATE(true, false);
    const auto op = GENERATE(values({opcode::text, opcode::binary}));
    message_assembler assembler{1000, 10};
    const auto first = data_frame(op, 5, false, is_masked);
    REQUIRE((assembler.begin_frame(first) == errc{}));
    CHECK((assembler.append(view(masked("Hel", is_masked)), first, 0, 2) == errc{}));
    CHECK((assembler.append(view(masked("l\xc3", is_masked, 3)), first, 3, 0) == errc{}));
    const auto last = data_frame(opcode::continuation, 1, true, is_masked);
    REQUIRE((assembler.begin_frame(last) == errc{}));
    CHECK((assembler.append(view(masked("\xb6", is_masked)), last, 0, 0) == errc{}));
    assembler.end_message();
    CHECK(assembler.holds_bytes());
    CHECK(to_octets(assembler.bytes()) == "Hell\xc3\xb6");

    auto taken = assembler.take();
    CHECK(to_octets(taken.bytes()) == "Hell\xc3\xb6");
    CHECK(!assembler.holds_bytes());
    assembler.release();
}

TEST_CASE("text is wrong at its first impossible byte, or where it ends inside a character") {
    const auto is_masked = GENERATE(true, false);
    const auto header = data_frame(opcode::text, 3, true, is_masked);
    const auto place = [&](std::string_view text, bool ends) {
        message_assembler assembler{1000, 10};
        REQUIRE((assembler.begin_frame(header) == errc{}));
        auto bytes = masked(text, is_masked);
        return assembler.check_in_place(std::as_writable_bytes(std::span{bytes}), header, 0, ends);
    };
    const auto append = [&](std::string_view text, std::uint64_t rest) {
        message_assembler assembler{1000, 10};
        REQUIRE((assembler.begin_frame(header) == errc{}));
        return assembler.append(view(masked(text, is_masked)), header, 0, rest);
    };
    for (const char* bad : {"\xff", "a\xc0", "\xed\xa0", "\xf5"}) {
        CHECK((place(bad, false) == errc::invalid_utf8));
        CHECK((append(bad, 1) == errc::invalid_utf8));
    }
    CHECK((place("\xe2\x82", false) == errc{}));
    CHECK((append("\xe2\x82", 1) == errc{}));
    CHECK((place("\xe2\x82", true) == errc::invalid_utf8));
    CHECK((append("\xe2\x82", 0) == errc::invalid_utf8));
}

TEST_CASE("room to receive into grows with what has arrived and ends with the message") {
    // None that lies ready from earlier.
    forget_blocks();
    message_assembler assembler{std::size_t{1} << 30U, 10};
    const auto header = data_frame(opcode::binary, 100'000, true, false);
    REQUIRE((assembler.begin_frame(header) == errc{}));
    std::uint64_t rest = header.length;
    octets wanted;
    while (rest != 0) {
        const auto room = assembler.direct(rest, true);
        REQUIRE(!room.empty());
        REQUIRE(room.size() <= rest);
        CHECK(room.size() <= std::max<std::size_t>(4096, 2 * wanted.size()));
        const octets piece(room.size(), static_cast<char>('a' + wanted.size() % 26));
        std::memcpy(room.data(), piece.data(), piece.size());
        CHECK((assembler.commit_direct(piece.size(), header, wanted.size(), piece.size() == rest) == errc{}));
        wanted += piece;
        rest -= piece.size();
    }
    CHECK((to_octets(assembler.bytes()) == wanted));
    // The end of the message was known, so nothing is reserved behind it.
    CHECK(assembler.take().capacity() == wanted.size());
}

TEST_CASE("text received directly is unmasked and checked") {
    message_assembler assembler{1000, 10};
    const auto header = data_frame(opcode::text, 20, true, true);
    REQUIRE((assembler.begin_frame(header) == errc{}));
    const auto put = [&](std::string_view text, std::size_t offset) {
        const auto room = assembler.direct(20 - offset, true);
        REQUIRE(room.size() >= text.size());
        const auto bytes = masked(text, true, offset);
        std::memcpy(room.data(), bytes.data(), bytes.size());
        return assembler.commit_direct(text.size(), header, offset, false);
    };
    CHECK((put("Hell\xc3", 0) == errc{}));
    CHECK((put("\xb6", 5) == errc{}));
    CHECK((put("\xb6", 6) == errc::invalid_utf8));
}

#if defined(DUPLEX_TESTING_FAULTS)

TEST_CASE("says so when memory runs out in a message, and keeps what it has") {
    forget_blocks();
    message_assembler assembler{1'000'000, 10};
    const auto header = data_frame(opcode::binary, 100'000, true, false);
    REQUIRE((assembler.begin_frame(header) == errc{}));
    CHECK(without_memory([&] { return assembler.direct(100'000, true).empty(); }));
    CHECK((without_memory([&] { return assembler.append(view("x"), header, 0, 99'999); }) ==
           errc::out_of_memory));
    CHECK(!assembler.holds_bytes());
    const octets begin(4096, 'b');
    REQUIRE((assembler.append(view(begin), header, 0, 100'000 - 4096) == errc{}));
    const auto room = assembler.direct(100'000 - 4096, true);
    const octets more(room.size(), 'm');
    REQUIRE(!more.empty());
    std::memcpy(room.data(), more.data(), more.size());
    REQUIRE((assembler.commit_direct(more.size(), header, 4096, false) == errc{}));
    CHECK(without_memory([&] { return assembler.direct(1, true).empty(); }));
    CHECK((without_memory([&] { return assembler.append(view("x"), header, 4096 + more.size(), 1); }) ==
           errc::out_of_memory));
    CHECK((to_octets(assembler.bytes()) == begin + more));
    CHECK(!assembler.direct(1, true).empty());
}

#endif
