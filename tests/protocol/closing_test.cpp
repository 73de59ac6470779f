#include <duplex/protocol/closing.hpp>

#include "support/catch.hpp"
#include "support/wire.hpp"

using namespace duplex;
using namespace duplex::testing;

namespace {

bool registered_or_private(unsigned code) {
    return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) || (code >= 3000 && code <= 4999);
}

} // namespace

TEST_CASE("a Close without a body carries no status") {
    const auto body = parse_close_body({});
    CHECK((body.error == errc{}));
    CHECK((body.code == close_code::no_status));
    CHECK(body.reason.empty());
}

TEST_CASE("a Close with a body of one byte is an error") {
    CHECK((parse_close_body(view("x")).error == errc::close_body_too_short));
}

TEST_CASE("each of the 65536 codes may travel or not as RFC 6455 7.4 says") {
    for (unsigned code = 0; code <= 0xFFFF; ++code) {
        const octets payload = close_payload(code, "why");
        const auto body = parse_close_body(view(payload));
        const bool right = registered_or_private(code)
                               ? body.error == errc{} && to_number(body.code) == code && body.reason == "why"
                               : body.error == errc::close_code_invalid;
        if (!right) {
            CAPTURE(code);
            REQUIRE(right);
        }
    }
    CHECK((parse_close_body(view(close_payload(1000))).error == errc{}));
}

TEST_CASE("a reason that is not UTF-8 is an error, one that is cut inside a character, too") {
    for (const char* reason : {"\xff", "ok\xc3", "\xed\xa0\x80", "\xc0\xaf", "\xf4\x90\x80\x80"}) {
        CHECK((parse_close_body(view(close_payload(1000, reason))).error == errc::close_reason_not_utf8));
        CHECK(check_close(close_code::normal, reason) == make_error_code(errc::text_not_utf8));
    }
    const auto body = parse_close_body(view(close_payload(1000, "\xc3\xa4")));
    CHECK((body.error == errc{}));
}

TEST_CASE("the code is judged before the reason") {
    CHECK((parse_close_body(view(close_payload(1005, "\xff"))).error == errc::close_code_invalid));
}

TEST_CASE("encodes a code and a reason, or nothing for no_status") {
    CHECK(to_octets(encoded_close_body(close_code::normal, "bye").bytes()) == close_payload(1000, "bye"));
    CHECK(to_octets(encoded_close_body(close_code::going_away, {}).bytes()) == close_payload(1001));
    CHECK(encoded_close_body(close_code::no_status, "lost").bytes().empty());
    const octets longest(max_close_reason, 'r');
    CHECK(to_octets(encoded_close_body(static_cast<close_code>(4999), longest).bytes()) ==
          close_payload(4999, longest));
    CHECK(encoded_close_body(close_code::normal, longest + "more").bytes().size() == max_control_payload);
}

TEST_CASE("a caller may close with the codes that may travel, and with none") {
    for (unsigned code = 0; code <= 0xFFFF; ++code) {
        const auto error = check_close(static_cast<close_code>(code), {});
        const bool right = (registered_or_private(code) || code == 1005)
                               ? !error
                               : error == make_error_code(errc::close_code_not_allowed);
        if (!right) {
            CAPTURE(code);
            REQUIRE(right);
        }
    }
    CHECK(check_close(close_code::no_status, "a reason needs a code") ==
          make_error_code(errc::close_code_not_allowed));
}

TEST_CASE("a caller's reason has at most 123 bytes") {
    CHECK(!check_close(close_code::normal, octets(123, 'r')));
    CHECK(check_close(close_code::normal, octets(124, 'r')) == make_error_code(errc::close_reason_too_long));
}

TEST_CASE("the handshake that we start: close_sent until the peer's Close") {
    closing state;
    CHECK((state.now() == closing::state::open));
    CHECK(state.may_send());
    CHECK(state.may_receive());
    state.close_sent();
    CHECK((state.now() == closing::state::close_sent));
    CHECK(!state.may_send());
    CHECK(state.may_receive());
    // It is the answer to ours, and not answered itself.
    CHECK(!state.close_received());
    CHECK((state.now() == closing::state::done));
    CHECK(!state.may_send());
    CHECK(!state.may_receive());
}

TEST_CASE("the handshake that the peer starts: its Close is answered once") {
    closing state;
    CHECK(state.close_received());
    CHECK((state.now() == closing::state::close_received));
    CHECK(!state.may_send());
    CHECK(!state.may_receive());
    state.close_sent();
    CHECK((state.now() == closing::state::done));
}

TEST_CASE("a failed connection neither sends nor receives") {
    closing state;
    state.fail();
    CHECK((state.now() == closing::state::failed));
    CHECK(!state.may_send());
    CHECK(!state.may_receive());
}
