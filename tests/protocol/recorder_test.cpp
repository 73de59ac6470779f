#include <duplex/protocol/recorder.hpp>

#include "support/catch.hpp"
#include "support/wire.hpp"

#include <chrono>
#include <stdexcept>
#include <string>
#include <vector>

using namespace duplex;
using namespace duplex::testing;
using namespace std::chrono_literals;
using kind = capture_record::kind;

namespace {

struct into {
    octets& to;
    void operator()(std::span<const std::byte> bytes) const { to += to_octets(bytes); }
};

std::vector<kind> kinds_in(const octets& capture) {
    capture_reader reader{view(capture)};
    std::vector<kind> all;
    while (const auto record = reader.next())
        all.push_back(record->what);
    CHECK((reader.error() == capture_error::none));
    return all;
}

} // namespace

TEST_CASE("writes down how the session was made") {
    const auto self = GENERATE(values({role::client, role::server}));
    const bool deflates = GENERATE(false, true);
    wire_start start{.self = self, .now = time_point{} + 5s};
    start.options.limits = {.message_bytes = 1,
                            .message_fragments = 2,
                            .queue_watermark = 3,
                            .queue_bytes = 4,
                            .queue_messages = 5,
                            .commit_bytes = 6};
    start.options.timeouts.ping_interval = 7ms;
    start.options.timeouts.pong = 8ms;
    start.options.timeouts.idle = 9ms;
    start.options.timeouts.write = 10ms;
    start.options.timeouts.close = 11ms;
    start.options.deliver_fragments = true;
    start.options.check_outgoing_text = false;
    start.options.hold_back = true;
    start.options.when_full = overflow::drop_oldest;
    start.options.overflow_code = close_code::try_again_later;
    start.options.fragment_bytes = 12;
    if (deflates) {
        start.deflate = deflate_params{true, false, 9, 10};
        start.deflating = {.level = 2,
                           .memory_level = 3,
                           .max_window_bits = 9,
                           .max_peer_window_bits = 11,
                           .context_takeover = true,
                           .peer_context_takeover = true,
                           .threshold = 12,
                           .max_ratio = 13,
                           .adaptive = false};
    }
    octets capture;
    const recorder recording{start, into{capture}};
    const capture_reader reader{view(capture)};
    REQUIRE((reader.error() == capture_error::none));
    CHECK((reader.start().self == self));
    CHECK((reader.start().options == start.options));
    CHECK((reader.start().deflate == start.deflate));
    CHECK((reader.start().deflating == start.deflating));
}

TEST_CASE("a negative timeout is none, and one without end is long") {
    wire_start start;
    start.options.timeouts.idle = -5ms;
    start.options.timeouts.close = timeouts::duration::max();
    octets capture;
    const recorder recording{start, into{capture}};
    const capture_reader reader{view(capture)};
    CHECK((reader.error() == capture_error::none));
    CHECK(reader.start().options.timeouts.idle == 0ms);
    CHECK(reader.start().options.timeouts.close > 24h * 365 * 30);
}

TEST_CASE("writes down what happened, and when") {
    const wire_start start{.now = time_point{} + 100s};
    octets capture;
    recorder recording{start, into{capture}};
    recording.received(view("come"), start.now + 1s);
    recording.sent(view("go"), false, start.now + 2s);
    recording.sent(view("ne"), true, start.now + 2s);
    recording.offered(3, start.now + 1500ms); // a finer clock than the next
    recording.timed(start.now + 3s, true);
    recording.timed(start.now + 4s, false);
    recording.ended(start.now + 5s);
    recording.ended(start.now - 5s);
    capture_reader reader{view(capture)};
    auto record = reader.next().value();
    CHECK((record.what == kind::received));
    CHECK(record.when == 1s);
    CHECK(to_octets(record.bytes) == "come");
    record = reader.next().value();
    CHECK((record.what == kind::sent_part));
    CHECK(to_octets(record.bytes) == "go");
    record = reader.next().value();
    CHECK((record.what == kind::sent));
    CHECK(record.when == 2s);
    record = reader.next().value();
    CHECK((record.what == kind::offered));
    CHECK(record.size == 3);
    CHECK(record.when == 1500ms);
    CHECK((reader.next()->what == kind::timed));
    CHECK((reader.next()->what == kind::timed_unheard));
    record = reader.next().value();
    CHECK((record.what == kind::ended));
    CHECK(record.when == 5s);
    CHECK(reader.next()->when == 0s);
    CHECK_FALSE(reader.next());
    CHECK((reader.error() == capture_error::none));
}

TEST_CASE("a capture is never longer than it may be, and says where something is missing") {
    octets whole;
    { const recorder nothing{wire_start{}, into{whole}}; }
    const std::size_t start = whole.size();
    for (std::size_t most = 0; most < start + 200; ++most) {
        octets capture;
        recorder recording{wire_start{}, into{capture}, most};
        for (int i = 0; i < 10; ++i)
            recording.received(view("ten bytes!"), time_point{});
        CHECK((capture.size() <= most || capture.size() == start));
        const auto kinds = kinds_in(capture);
        if (kinds.size() == 10) continue;
        if (most >= start + 21) {
            REQUIRE_FALSE(kinds.empty());
            CHECK((kinds.back() == kind::cut));
        }
    }
    octets capture;
    recorder recording{wire_start{}, into{capture}, start + 200};
    for (int i = 0; i < 10; ++i)
        recording.received(view("ten bytes!"), time_point{});
    CHECK(kinds_in(capture).size() == 10);
}

TEST_CASE("where its sink throws the recording is over, and nothing else") {
    int calls = 0;
    const auto sink = [&](std::span<const std::byte>) {
        if (++calls == 2) throw std::runtime_error{"the disk is full"};
    };
    recorder recording{wire_start{}, sink};
    recording.received(view("one"), time_point{});
    recording.received(view("two"), time_point{});
    CHECK(calls <= 3);
    const int before = calls;
    recording.received(view("three"), time_point{});
    CHECK(calls == before);
}
