#include <duplex/net/message.hpp>

#include "support/catch.hpp"
#include "support/wire.hpp"

#include <string>
#include <type_traits>
#include <utility>

using duplex::byte_buffer;
using duplex::message;
using duplex::opcode;
using duplex::testing::to_octets;
using duplex::testing::view;

static_assert(std::is_nothrow_move_constructible_v<message> && std::is_nothrow_move_assignable_v<message>);
static_assert(std::is_nothrow_default_constructible_v<message>);

namespace {

byte_buffer buffer_of(std::string_view text) {
    byte_buffer made;
    REQUIRE(made.append(view(text)));
    return made;
}

} // namespace

TEST_CASE("a view refers to its payload and says what it is") {
    const std::string text = "hello";
    const message m{opcode::text, view(text)};
    CHECK(m.is_text());
    CHECK_FALSE(m.is_binary());
    CHECK(m.op() == opcode::text);
    CHECK(m.size() == 5);
    CHECK(m.text().data() == text.data());
    CHECK(m.bytes().data() == view(text).data());
}

TEST_CASE("an empty message is a binary one without a payload") {
    const message m;
    CHECK(m.is_binary());
    CHECK(m.empty());
    CHECK(m.text().empty());
    const message copy{m};
    CHECK(copy.empty());
    message empty_text{opcode::text, byte_buffer{}};
    CHECK(empty_text.is_text());
    CHECK(empty_text.take().empty());
}

TEST_CASE("copies own their bytes") {
    std::string text = "hello";
    const message seen{opcode::text, view(text)};
    const message copy{seen};
    message assigned;
    assigned = seen;
    const auto made = message::copy_of(opcode::binary, view(text));
    text = "?????";
    CHECK(seen.text() == "?????");
    CHECK(copy.text() == "hello");
    CHECK(copy.is_text());
    CHECK(assigned.text() == "hello");
    CHECK(assigned.is_text());
    CHECK(made.text() == "hello");
    CHECK(made.is_binary());
    const auto& self = assigned;
    assigned = self;
    CHECK(assigned.text() == "hello");
}

TEST_CASE("moving keeps the bytes in place and empties the source") {
    message owner{opcode::text, buffer_of("hello")};
    const auto* at = owner.bytes().data();
    message moved{std::move(owner)};
    CHECK(moved.bytes().data() == at);
    CHECK(owner.empty());
    message assigned{opcode::binary, buffer_of("other")};
    assigned = std::move(moved);
    CHECK(assigned.bytes().data() == at);
    CHECK(assigned.is_text());
    CHECK(assigned.text() == "hello");
    CHECK(moved.empty());
    auto& self = assigned;
    assigned = std::move(self);
    CHECK(assigned.text() == "hello");
}

TEST_CASE("take gives the bytes away, or a copy of what was only seen") {
    message owner{opcode::text, buffer_of("hello")};
    const auto* at = owner.bytes().data();
    const auto taken = owner.take();
    CHECK(taken.data() == at);
    CHECK(owner.empty());
    const std::string text = "seen";
    message seen{opcode::text, view(text)};
    const auto copy = seen.take();
    CHECK(to_octets(copy.bytes()) == "seen");
    CHECK(copy.data() != view(text).data());
    CHECK(seen.empty());
    CHECK(seen.take().empty());
}

TEST_CASE("a received message is known to be UTF-8, and its copies are") {
    using duplex::message;
    using duplex::opcode;
    using duplex::text_is;
    const std::string_view text = "text";
    const auto bytes = std::as_bytes(std::span{text.data(), text.size()});
    CHECK(message{opcode::text, bytes}.checked() == text_is::unchecked);
    CHECK(message::copy_of(opcode::text, bytes).checked() == text_is::unchecked);
    auto received = message::received(opcode::text, bytes);
    CHECK(received.checked() == text_is::utf8);
    CHECK(message::received(opcode::binary, bytes).checked() == text_is::unchecked);
    const message copied{received};
    CHECK(copied.checked() == text_is::utf8);
    message moved{std::move(received)};
    CHECK(moved.checked() == text_is::utf8);
    CHECK(moved.text() == "text");
    message assigned;
    assigned = std::move(moved);
    CHECK(assigned.checked() == text_is::utf8);
}
