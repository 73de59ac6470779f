#include <duplex/protocol/event.hpp>

#include "support/catch.hpp"

#include <array>

using namespace duplex;

TEST_CASE("an event is false for need_more alone") {
    CHECK(!event{});
    for (const auto what : {event::kind::message, event::kind::fragment, event::kind::ping, event::kind::pong,
                            event::kind::closed, event::kind::failed})
        CHECK(event{.what = what});
}

TEST_CASE("an event shows its payload as characters") {
    std::array<std::byte, 2> bytes{std::byte{'h'}, std::byte{'i'}};
    CHECK(event{.what = event::kind::message, .payload = bytes}.text() == "hi");
    CHECK(event{}.text().empty());
}

TEST_CASE("ok and above_watermark mean that a message is queued, and are no error") {
    for (const auto status : {send_status::ok, send_status::above_watermark}) {
        CHECK(accepted(status));
        CHECK(!to_error_code(status));
    }
}

TEST_CASE("each refusal to send has its error") {
    const std::array rows{
        std::pair{send_status::not_open, errc::not_open},
        std::pair{send_status::queue_full, errc::queue_full},
        std::pair{send_status::text_not_utf8, errc::text_not_utf8},
        std::pair{send_status::opcode_not_data, errc::opcode_not_data},
        std::pair{send_status::control_payload_too_long, errc::ping_payload_too_long},
        std::pair{send_status::out_of_memory, errc::out_of_memory},
        std::pair{send_status::no_random, errc::random_source_failed},
        std::pair{send_status::dropped, errc::queue_full},
        std::pair{send_status::would_wait, errc::queue_full},
    };
    for (const auto& [status, error] : rows) {
        CHECK(!accepted(status));
        CHECK(to_error_code(status) == make_error_code(error));
    }
}
