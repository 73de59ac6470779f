#include <duplex/protocol/session.hpp>

// Closing ahead of what is queued: what still leaves, and what becomes of the rest.

#include "support/any_role.hpp"
#include "support/catch.hpp"
#include "support/output.hpp"
#include "support/wire.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

using namespace duplex;
using namespace duplex::testing;
using namespace std::chrono_literals;

namespace {

/// The payloads of what is written, and "close" for a Close of `code`.
std::vector<std::string> said(const octets& written, std::uint16_t code = 1001) {
    const auto frames = read_frames(written);
    REQUIRE(frames);
    std::vector<std::string> all;
    for (const auto& each : *frames)
        all.push_back(each.op == 8 && each.payload.starts_with(close_payload(code)) ? "close" : each.payload);
    return all;
}

using strings = std::vector<std::string>;

/// The transport takes `size` bytes.
octets take(session& s, std::size_t size) {
    octets all;
    while (all.size() < size) {
        octets bytes = gathered(s);
        REQUIRE_FALSE(bytes.empty());
        bytes.resize(std::min(size - all.size(), bytes.size()));
        s.consumed(bytes.size());
        all += bytes;
    }
    return all;
}

std::vector<told_fate> fates(session& s) {
    std::vector<told_fate> all;
    while (const auto told = s.next_fate())
        all.push_back(*told);
    return all;
}

} // namespace

TEST_CASE("a Close at once leaves ahead of all frames that have not begun to leave") {
    const auto self = any_role();
    const octets large(20'000, 'x');
    session s{self};
    const std::size_t header = self == role::client ? 6 : 2;
    CHECK(accepted(s.send(opcode::text, "one")));
    CHECK(accepted(s.send(opcode::text, "two")));
    CHECK(accepted(s.send(opcode::binary, large)));
    CHECK(accepted(s.send(opcode::text, "three")));
    const auto shared = prepared_message::binary(view(large));
    CHECK(accepted(s.send(shared)));
    octets written;
    strings expected;
    SECTION("of which none has") { expected = {"close"}; }
    SECTION("of which one has") {
        written = take(s, 1);
        expected = {"one", "close"};
    }
    SECTION("of which one has left as a whole") {
        written = take(s, header + 3);
        expected = {"one", "close"};
    }
    SECTION("of which the second has, inside its payload") {
        written = take(s, 2 * header + 4);
        expected = {"one", "two", "close"};
    }
    SECTION("of which the large one has") {
        written = take(s, 2 * (header + 3) + 1);
        expected = {"one", "two", large, "close"};
    }
    SECTION("of which one behind the large one has") {
        const auto before = frame_bytes(self, opcode::binary, large).size() + 2 * (header + 3);
        written = take(s, before + 1);
        expected = {"one", "two", large, "three", "close"};
    }
    CHECK_FALSE(s.close_at_once(close_code::going_away));
    CHECK_FALSE(s.is_open());
    CHECK((s.send(opcode::text, "late") == send_status::not_open));
    // It is on its way.
    CHECK_FALSE(s.close_at_once(close_code::going_away, "again"));
    CHECK_FALSE(s.close());
    written += drained(s);
    CHECK((said(written) == expected));
    CHECK(s.queued() == 0);
    CHECK((s.state() == closing::state::close_sent));
    CHECK((s.data_written() == s.data_pushed()));
    // Nor does it come again.
    CHECK_FALSE(s.close_at_once());
    CHECK(drained(s).empty());
}

TEST_CASE("what a write holds leaves before a Close at once") {
    const auto self = any_role();
    session s{self};
    CHECK(accepted(s.send(opcode::text, "held")));
    CHECK(accepted(s.send(opcode::binary, octets(20'000, 'h'))));
    octets written = gathered(s, 1);
    s.hold_output();
    CHECK(accepted(s.send(opcode::text, "behind")));
    CHECK_FALSE(s.close_at_once(close_code::going_away));
    // The transport took only a part of what it held.
    s.consumed(3);
    written.resize(3);
    written += drained(s);
    // The header of the large one was held, so that it has begun.
    CHECK((said(written) == strings{"held", octets(20'000, 'h'), "close"}));
}

TEST_CASE("control frames stay in order with a Close at once") {
    const auto self = any_role();
    session s{self};
    CHECK(accepted(s.send(opcode::text, "begun")));
    CHECK(accepted(s.send(opcode::text, "dropped")));
    octets written = take(s, 1);
    CHECK((s.ping(view("ping")) == send_status::ok));
    CHECK_FALSE(s.close_at_once(close_code::going_away));
    written += drained(s);
    CHECK((said(written) == strings{"begun", "ping", "close"}));
}

TEST_CASE("a Close that waits behind what is queued can be sent at once after all") {
    const auto self = any_role();
    session s{self};
    CHECK(accepted(s.send(opcode::text, "one")));
    CHECK(accepted(s.send(opcode::text, "two")));
    CHECK_FALSE(s.close(close_code::normal, "done"));
    octets written = take(s, 1);
    CHECK_FALSE(s.close_at_once(close_code::going_away, "no time"));
    written += drained(s);
    CHECK((said(written) == strings{"one", "close"}));
    CHECK((s.state() == closing::state::close_sent));
}

TEST_CASE("a Close of which a byte has left is not sent twice") {
    const auto self = any_role();
    session s{self};
    CHECK_FALSE(s.close(close_code::going_away, "bye"));
    octets written = take(s, 1);
    CHECK_FALSE(s.close_at_once(close_code::normal));
    written += drained(s);
    CHECK((said(written) == strings{"close"}));
    CHECK_FALSE(s.close_at_once(close_code::normal));
    CHECK(drained(s).empty());
}

TEST_CASE("arguments that may not be sent drop nothing, and a failed session cannot be closed") {
    session s{any_role()};
    CHECK(accepted(s.send(opcode::text, "kept")));
    CHECK(s.close_at_once(close_code::abnormal) == errc::close_code_not_allowed);
    CHECK(s.close_at_once(close_code::normal, std::string(124, 'r')) == errc::close_reason_too_long);
    CHECK(s.is_open());
    CHECK((said(drained(s)) == strings{"kept"}));
    s.fail(errc::invalid_utf8);
    CHECK(s.close_at_once() == errc::not_open);
}

TEST_CASE("those that a Close at once drops have their fate told, wherever they were") {
    const auto self = any_role();
    session_options options;
    options.limits.commit_bytes = 100;
    options.hold_back = true;
    session s{self, options};
    const octets body(40, 'b');
    for (std::uint64_t tag = 1; tag <= 6; ++tag)
        CHECK(accepted(s.send(opcode::text, view(body), {.tag = tag})));
    octets written = take(s, 1);
    const bool late = GENERATE(false, true);
    if (late) CHECK_FALSE(s.close());
    CHECK_FALSE(s.close_at_once(close_code::going_away));
    // One has begun to leave, one was handed on, and four waited.
    CHECK((fates(s) == std::vector<told_fate>{{2, message_fate::dropped},
                                              {3, message_fate::dropped},
                                              {4, message_fate::dropped},
                                              {5, message_fate::dropped},
                                              {6, message_fate::dropped}}));
    written += drained(s);
    CHECK((said(written) == strings{body, "close"}));
    CHECK((fates(s) == std::vector<told_fate>{{1, message_fate::written}}));
}

TEST_CASE("of a message cut into frames only the frame that has begun leaves before a Close at once") {
    const auto self = any_role();
    session_options options;
    options.fragment_bytes = 10;
    session s{self, options};
    CHECK(accepted(s.send(opcode::text, view(octets(95, 'l')), {.tag = 1})));
    octets written = take(s, 1);
    CHECK_FALSE(s.close_at_once(close_code::going_away));
    written += drained(s);
    CHECK((said(written) == strings{octets(10, 'l'), "close"}));
    CHECK_FALSE(read_frames(written)->front().fin);
    CHECK((fates(s) == std::vector<told_fate>{{1, message_fate::dropped}}));
}

TEST_CASE("the peer's Close is answered at once where that is asked for") {
    const auto self = any_role();
    session s{self};
    CHECK(accepted(s.send(opcode::text, "one")));
    CHECK(accepted(s.send(opcode::text, "two")));
    octets written = take(s, 1);
    octets bytes = frame_bytes(peer_of(self), opcode::close, close_payload(1000));
    s.receive(std::as_writable_bytes(std::span{bytes}));
    CHECK((s.next().what == event::kind::closed));
    CHECK_FALSE(s.close_at_once(close_code::going_away));
    written += drained(s);
    CHECK((said(written) == strings{"one", "close"}));
    CHECK((s.state() == closing::state::done));
}
