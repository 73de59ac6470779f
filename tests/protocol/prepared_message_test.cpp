#include <duplex/protocol/prepared_message.hpp>

#include "support/catch.hpp"
#include "support/system_faults.hpp"
#include "support/wire.hpp"

using namespace duplex;
using namespace duplex::testing;

TEST_CASE("a prepared message is the frame that a server sends") {
    const auto size = GENERATE(values<std::size_t>({0, 1, 125, 126, 65535, 65536}));
    const octets payload(size, 'x');
    const auto text = prepared_message::text(payload);
    REQUIRE(text);
    CHECK(!text.error());
    CHECK((text.op() == opcode::text));
    CHECK((to_octets(text.frame()) == frame_bytes(role::server, opcode::text, payload)));
    CHECK((to_octets(text.payload()) == payload));

    const auto binary = prepared_message::binary(view(payload));
    REQUIRE(binary);
    CHECK((binary.op() == opcode::binary));
    CHECK((to_octets(binary.frame()) == frame_bytes(role::server, opcode::binary, payload)));
}

TEST_CASE("copies of a prepared message share one frame, which its owner keeps alive") {
    std::shared_ptr<const void> owner;
    std::span<const std::byte> frame;
    {
        const auto first = prepared_message::text("shared");
        const auto second = first; // NOLINT: the copy is what is tested
        CHECK(second.frame().data() == first.frame().data());
        owner = second.owner();
        frame = second.frame();
    }
    CHECK((to_octets(frame) == frame_bytes(role::server, opcode::text, "shared")));
}

TEST_CASE("text that is not UTF-8 is not prepared; binary may be anything") {
    const auto text = prepared_message::text("\xff");
    CHECK(!text);
    CHECK(text.error() == make_error_code(errc::text_not_utf8));
    CHECK(text.frame().empty());
    CHECK(text.payload().empty());
    CHECK(text.owner() == nullptr);
    CHECK(text.why_not() == send_status::text_not_utf8);
    CHECK(prepared_message::binary(view("\xff")));
}

TEST_CASE("a prepared message that was not made holds nothing") {
    const prepared_message none;
    CHECK(!none);
    CHECK(none.why_not() == send_status::opcode_not_data);
    CHECK(none.frame().empty());
    CHECK(none.payload().empty());
}

#if defined(DUPLEX_TESTING_FAULTS)

TEST_CASE("a message for which there is no memory is not prepared, and says so") {
    const octets payload(1000, 'p');
    // First the frame takes memory, then what keeps it alive.
    for (const long enough : {0, 1, 2}) {
        CAPTURE(enough);
        prepared_message made;
        bool ran_out = false;
        {
            const scarce_memory memory{enough};
            made = prepared_message::text(payload);
            ran_out = memory.ran_out();
        }
        CHECK(ran_out == (enough < 2));
        CHECK(static_cast<bool>(made) == !ran_out);
        CHECK(made.error() == (ran_out ? make_error_code(errc::out_of_memory) : std::error_code{}));
        CHECK(made.frame().empty() == ran_out);
        CHECK(made.payload().empty() == ran_out);
        CHECK((made.owner() == nullptr) == ran_out);
        if (!ran_out) CHECK((to_octets(made.payload()) == payload));
    }
}

#endif
