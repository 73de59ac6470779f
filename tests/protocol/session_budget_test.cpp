#include <duplex/protocol/session.hpp>

// Sessions that share a budget: what they take of it, what happens where nothing is left, and that all of it
// goes back.

#include "support/catch.hpp"
#include "support/output.hpp"
#include "support/system_faults.hpp"
#include "support/wire.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

using namespace duplex;
using namespace duplex::testing;
using namespace std::chrono_literals;

namespace {

constexpr std::size_t granule = budget::granule;
constexpr std::size_t KiB = 1024;

/// A turn's bytes are 4 KiB of its 64.
[[nodiscard]] budget small_budget(std::size_t receive = 64 * KiB) {
    return budget{{.send_bytes = 64 * KiB, .receive_bytes = receive}};
}

[[nodiscard]] session_options sharing(const budget& all, overflow when_full = overflow::fail) {
    session_options options;
    options.timeouts = {.ping_interval = 0s, .idle = 0s, .write = 0s, .close = 0s};
    options.budget = all;
    options.when_full = when_full;
    return options;
}

[[nodiscard]] octets bytes(std::size_t size) { return octets(size, 'x'); }

/// The transport takes nothing at all.
void stall(session& s) {
    (void)gathered(s);
    s.consumed(0);
}

/// What is queued, as it is charged.
[[nodiscard]] std::size_t charged(const session& s) { return (s.queued() + granule - 1) / granule * granule; }

/// A session of which something is charged.
struct stalled : session {
    explicit stalled(const session_options& options, std::size_t size = 10)
        : session{role::server, options} {
        REQUIRE(accepted(send(opcode::binary, bytes(size))));
        stall(*this);
    }
};

} // namespace

// --- sending ---

TEST_CASE("what is written at once costs nothing of the budget") {
    const auto self = GENERATE(values({role::client, role::server}));
    const auto all = small_budget();
    session s{self, sharing(all)};
    for (int turn = 0; turn < 5; ++turn) {
        for (int i = 0; i < 50; ++i)
            REQUIRE(s.send(opcode::text, "seventy bytes or so of a text message") == send_status::ok);
        CHECK(all.use() == budget_use{});
        (void)drained(s);
        CHECK(all.use() == budget_use{});
    }
}

TEST_CASE("what the transport leaves is charged until it is written") {
    const auto all = small_budget();
    session s{role::server, sharing(all)};
    REQUIRE(accepted(s.send(opcode::binary, bytes(3000))));
    CHECK(all.use().send_bytes == 0);
    SECTION("it took nothing") {
        stall(s);
        CHECK(all.use().send_bytes == granule);
    }
    SECTION("it took a part") {
        (void)gathered(s);
        s.consumed(1000);
        CHECK(all.use().send_bytes == granule);
    }
    SECTION("a write is still under way") {
        (void)gathered(s);
        s.hold_output();
        s.output_waits();
        CHECK(all.use().send_bytes == granule);
    }
    // From now on each further byte counts.
    REQUIRE(accepted(s.send(opcode::binary, bytes(6000))));
    CHECK(all.use().send_bytes == charged(s));
    REQUIRE(accepted(s.send(opcode::text, "a")));
    CHECK(all.use().send_bytes == charged(s));
    while (s.queued() > 2000) {
        (void)gathered(s);
        s.consumed(1000);
        CHECK(all.use().send_bytes == charged(s));
    }
    (void)drained(s);
    CHECK(all.use().send_bytes == 0);
    // And then no more.
    REQUIRE(accepted(s.send(opcode::binary, bytes(3000))));
    CHECK(all.use().send_bytes == 0);
}

TEST_CASE("what is more than a turn's bytes is charged as it is sent") {
    const auto all = small_budget();
    session s{role::server, sharing(all)};
    SECTION("in one message") { REQUIRE(accepted(s.send(opcode::binary, bytes(all.turn_bytes() + 1)))); }
    SECTION("in many") {
        while (s.queued() + 102 <= all.turn_bytes()) {
            CHECK(all.use().send_bytes == 0);
            REQUIRE(accepted(s.send(opcode::binary, bytes(100))));
        }
        CHECK(all.use().send_bytes == 0);
        REQUIRE(accepted(s.send(opcode::binary, bytes(100))));
    }
    SECTION("in fragments") {
        REQUIRE(accepted(s.send_fragment(opcode::binary, view(bytes(3000)), false)));
        CHECK(all.use().send_bytes == 0);
        REQUIRE(accepted(s.send_fragment(opcode::binary, view(bytes(3000)), true)));
    }
    SECTION("encoded before") { REQUIRE(accepted(s.send(prepared_message::binary(view(bytes(5000)))))); }
    SECTION("taken over") { REQUIRE(accepted(s.send(opcode::binary, owned(bytes(20'000))))); }
    CHECK(all.use().send_bytes == charged(s));
    (void)drained(s);
    CHECK(all.use().send_bytes == 0);
}

TEST_CASE("without a budget nothing is charged") {
    session s{role::server};
    REQUIRE(accepted(s.send(opcode::binary, bytes(200 * KiB))));
    stall(s);
    REQUIRE(accepted(s.send(opcode::binary, bytes(200 * KiB))));
    CHECK(s.queued() > 400 * KiB);
}

TEST_CASE("where others have all of it a message is treated as if the own queue were full") {
    const auto all = small_budget();
    stalled other{sharing(all), 64 * KiB - 10};
    REQUIRE(all.use().send_bytes == 64 * KiB);
    auto options = sharing(all);
    options.overflow_code = close_code::try_again_later;
    SECTION("refused") {
        stalled s{options};
        CHECK(s.send(opcode::binary, bytes(5000)) == send_status::queue_full);
        CHECK(s.send(opcode::binary, owned(bytes(5000))) == send_status::queue_full);
        CHECK(s.send(prepared_message::binary(view(bytes(5000)))) == send_status::queue_full);
        CHECK(s.send_fragment(opcode::binary, view(bytes(5000)), true) == send_status::queue_full);
        // There is room in the step that it has, and for control frames.
        CHECK(s.send(opcode::binary, bytes(100)) == send_status::ok);
        CHECK(s.ping({}) == send_status::ok);
        CHECK(s.is_open());
    }
    SECTION("refused where it would be too much for one turn") {
        session s{role::server, options};
        CHECK(s.send(opcode::binary, bytes(4000)) == send_status::ok);
        CHECK(s.send(opcode::binary, bytes(4000)) == send_status::queue_full);
        CHECK(s.queued() == 4004);
    }
    SECTION("dropped") {
        options.when_full = overflow::drop_newest;
        stalled s{options};
        CHECK(s.send(opcode::binary, bytes(5000)) == send_status::dropped);
        CHECK(s.is_open());
    }
    SECTION("closed") {
        options.when_full = overflow::close;
        stalled s{options};
        CHECK(s.send(opcode::binary, bytes(5000)) == send_status::queue_full);
        CHECK_FALSE(s.is_open());
        const auto frames = read_frames(drained(s));
        REQUIRE(frames);
        CHECK(frames->back().payload.substr(0, 2) == close_payload(1013));
    }
    SECTION("asked to wait") {
        options.when_full = overflow::wait;
        stalled s{options};
        CHECK(s.send(opcode::binary, bytes(5000)) == send_status::would_wait);
        CHECK(s.is_open());
    }
    // The others are not touched.
    CHECK(other.is_open());
    (void)drained(other);
    CHECK(all.use().send_bytes == 0);
}

TEST_CASE("what others give back is there for the next") {
    const auto all = small_budget();
    stalled one{sharing(all), 60 * KiB};
    stalled two{sharing(all)};
    CHECK(two.send(opcode::binary, bytes(8000)) == send_status::queue_full);
    (void)gathered(one);
    one.consumed(20 * KiB);
    CHECK(accepted(two.send(opcode::binary, bytes(8000))));
    CHECK(all.use().send_bytes == charged(one) + charged(two));
}

TEST_CASE("old messages make room in what the connection has itself") {
    const auto all = small_budget();
    auto options = sharing(all, overflow::drop_oldest);
    options.limits.commit_bytes = 100;
    session s{role::server, options};
    const message_options tagged[]{{.tag = 1}, {.tag = 2}, {.tag = 3}, {.tag = 4}};
    REQUIRE(accepted(s.send(opcode::binary, "first"))); // has begun to leave
    for (int i = 0; i < 3; ++i)
        REQUIRE(accepted(s.send(opcode::binary, bytes(6000), tagged[i])));
    stalled other{sharing(all), 64 * KiB - charged(s) - 10};
    REQUIRE(all.use().send_bytes == 64 * KiB);
    CHECK(accepted(s.send(opcode::binary, bytes(6000), tagged[3])));
    auto told = s.next_fate();
    REQUIRE(told);
    CHECK(*told == told_fate{1, message_fate::dropped});
    CHECK_FALSE(s.next_fate());
    CHECK(all.use().send_bytes == charged(s) + charged(other));
    // More than all of them: it goes itself.
    CHECK(s.send(opcode::binary, bytes(40'000)) == send_status::dropped);
    CHECK(all.use().send_bytes == charged(s) + charged(other));
}

TEST_CASE("who waits for what others have is told to try again, a little later") {
    const auto all = small_budget();
    auto options = sharing(all, overflow::wait);
    const time_point start{};
    session s{role::server, options};
    stalled other{sharing(all), 64 * KiB - 10};
    // Nothing of its own is queued, so that no write would tell.
    REQUIRE(s.send(opcode::binary, bytes(5000)) == send_status::would_wait);
    CHECK(s.deadline_came_closer());
    REQUIRE(s.next_deadline() == start + 250ms);
    s.on_time(start + 249ms);
    CHECK_FALSE(s.take_low_water());
    s.on_time(start + 250ms);
    CHECK(s.has_news());
    CHECK(s.take_low_water());
    CHECK(s.next_deadline() == no_deadline);
    // Once for each that has to wait.
    REQUIRE(s.send(opcode::binary, bytes(5000)) == send_status::would_wait);
    CHECK(s.next_deadline() == start + 500ms);
    (void)drained(other);
    s.on_time(start + 600ms);
    REQUIRE(s.take_low_water());
    CHECK(accepted(s.send(opcode::binary, bytes(5000))));
    CHECK(all.use().send_bytes == charged(s));
    SECTION("and not where it waits for its own queue alone") {
        options.limits.queue_bytes = 100;
        options.limits.queue_watermark = 50;
        session full{role::server, options};
        REQUIRE(accepted(full.send(opcode::binary, bytes(100))));
        REQUIRE(full.send(opcode::binary, bytes(100)) == send_status::would_wait);
        CHECK(full.next_deadline() == no_deadline);
    }
}

TEST_CASE("messages that wait their turn count, and what becomes of them gives it back") {
    const auto all = small_budget();
    auto options = sharing(all);
    options.hold_back = true;
    options.limits.commit_bytes = 100;
    std::optional<session> s{std::in_place, role::server, options};
    REQUIRE(accepted(s->send(opcode::binary, "leaves")));
    REQUIRE(accepted(s->send(opcode::binary, bytes(6000), {.time_to_live = 5ms, .tag = 1})));
    REQUIRE(accepted(s->send(opcode::binary, bytes(6000), {.key = 5, .tag = 2})));
    CHECK(all.use().send_bytes == charged(*s));
    SECTION("written") { (void)drained(*s); }
    SECTION("withdrawn, expired and replaced") {
        CHECK(s->withdraw(2));
        CHECK(all.use().send_bytes == charged(*s));
        s->on_time(time_point{} + 10ms);
        CHECK(s->queued() == 8);
        CHECK(all.use().send_bytes == granule);
        REQUIRE(accepted(s->send(opcode::binary, bytes(6000), {.key = 5})));
        REQUIRE(accepted(s->send(opcode::binary, "", {.key = 5})));
        (void)drained(*s);
    }
    SECTION("lost with the connection") {
        s->fail(errc::connection_lost);
        CHECK(all.use().send_bytes == charged(*s));
        s->drop_output();
    }
    SECTION("dropped for a Close") {
        REQUIRE_FALSE(s->close_now());
        CHECK(all.use().send_bytes == charged(*s));
        (void)drained(*s);
    }
    SECTION("gone with the session") { s.reset(); }
    CHECK(all.use() == budget_use{});
}

TEST_CASE("nothing is left behind where the last that waits goes without a write") {
    const auto all = small_budget();
    auto options = sharing(all);
    options.hold_back = true;
    options.limits.commit_bytes = 100;
    session s{role::server, options};
    REQUIRE(accepted(s.send(opcode::binary, "leaves")));
    REQUIRE(accepted(s.send(opcode::binary, bytes(6000), {.tag = 1})));
    (void)gathered(s);
    s.consumed(8);
    // Handed on, as the queue was empty.
    CHECK(all.use().send_bytes == charged(s));
    (void)drained(s);
    (void)s.next_fate();
    CHECK(all.use().send_bytes == 0);
    const auto queue = s.take_queue();
    CHECK(queue);
}

// --- the end of a session ---

TEST_CASE("what a session has goes back in every end") {
    const auto all = small_budget();
    std::optional<session> s{std::in_place, role::server, sharing(all)};
    REQUIRE(accepted(s->send(opcode::binary, bytes(10'000))));
    s->receive({});
    octets half = frame_bytes(role::client, opcode::binary, bytes(20'000)).substr(0, 10'000);
    s->receive(std::as_writable_bytes(std::span{half}));
    CHECK_FALSE(s->next());
    REQUIRE(all.use().send_bytes == 3 * granule);
    REQUIRE(all.use().receive_bytes > granule);
    SECTION("destroyed") { s.reset(); }
    SECTION("replaced by another") { *s = session{role::client, sharing(budget{budget_limits{}})}; }
    SECTION("moved away, and destroyed there") {
        {
            const session taken{*std::move(s)};
            CHECK(all.use().send_bytes == 3 * granule);
            s.reset();
            CHECK(all.use().send_bytes == 3 * granule);
        }
    }
    SECTION("dropped") {
        s->eof();
        (void)s->next();
        s->drop_output();
        s->drop_input();
    }
    SECTION("failed, and written to the end") {
        s->fail(errc::pong_timeout);
        (void)drained(*s);
        s->drop_input();
        s->drop_input();
    }
    SECTION("the budget's last owner is the session") {
        std::optional<budget> own{budget_limits{.send_bytes = 1 << 20U}};
        *s = session{role::server, sharing(*own)};
        REQUIRE(accepted(s->send(opcode::binary, bytes(100'000))));
        stall(*s);
        own.reset();
        s.reset();
    }
    CHECK(all.use() == budget_use{});
}

TEST_CASE("a queue that is lent brings nothing along, and leaves nothing") {
    const auto all = small_budget();
    auto queue = send_queue_ptr{new send_queue};
    for (int i = 0; i < 3; ++i) {
        session s{role::server, sharing(all)};
        s.lend_queue(std::move(queue));
        REQUIRE(accepted(s.send(opcode::binary, bytes(10'000))));
        CHECK(all.use().send_bytes == 3 * granule);
        CHECK_FALSE(s.take_queue());
        (void)drained(s);
        queue = s.take_queue();
        REQUIRE(queue);
        CHECK(all.use().send_bytes == 0);
    }
}

#if defined(DUPLEX_TESTING_FAULTS)
TEST_CASE("a message that finds no memory holds nothing of the budget") {
    const auto all = small_budget();
    const octets payload = bytes(20'000);
    const auto prepared = prepared_message::binary(view(payload));
    const int way = GENERATE(range(0, 6));
    bool taken = false;
    for (long enough = 0; !taken; ++enough) {
        REQUIRE(enough < 50);
        session s{role::server, sharing(all)};
        auto own = owned(payload);
        {
            const scarce_memory memory{enough, 1};
            switch (way) {
            case 0: taken = accepted(s.send(opcode::binary, payload)); break;
            case 1: taken = accepted(s.send(opcode::binary, std::move(own))); break;
            case 2: taken = accepted(s.send(prepared)); break;
            case 3: taken = accepted(s.send_fragment(opcode::binary, view(payload), false)); break;
            case 4: taken = accepted(s.send(opcode::binary, payload, {.tag = 1})); break;
            default: taken = accepted(s.send(prepared, {.key = 1, .tag = 1}));
            }
        }
        CHECK(all.use().send_bytes == (taken ? charged(s) : 0));
        CHECK(s.queued() >= (taken ? payload.size() : 0));
    }
    CHECK(all.use() == budget_use{});
}
#endif

// --- receiving ---

namespace {

/// Gives the session a window of its own; it may be looked at until the next one.
struct fed : session {
    using session::session;
    octets window;

    event feed(octets bytes_now) {
        window = std::move(bytes_now);
        receive(std::as_writable_bytes(std::span{window}));
        return next();
    }
};

} // namespace

TEST_CASE("a message that comes in pieces is charged for the memory it takes") {
    const auto all = small_budget(1 << 20U);
    fed s{role::server, sharing(all)};
    const auto frame = frame_bytes(role::client, opcode::binary, bytes(50'000));
    for (std::size_t at = 0; at < 40'000; at += 10'000) {
        CHECK_FALSE(s.feed(frame.substr(at, 10'000)));
        CHECK(all.use().receive_bytes >= at + 10'000 - 16);
        CHECK(all.use().receive_bytes <= 2 * (at + 10'000) + granule);
    }
    CHECK(s.feed(frame.substr(40'000) + frame_bytes(role::client, opcode::text, "next")).what ==
          event::kind::message);
    // It is still looked at.
    CHECK(all.use().receive_bytes >= 50'000);
    SECTION("until the next is asked for") {
        CHECK(s.next().text() == "next");
        CHECK(all.use().receive_bytes == 0);
    }
    SECTION("until it is given away") {
        const auto taken = s.take_message();
        CHECK(taken.size() == 50'000);
        CHECK(all.use().receive_bytes == 0);
    }
}

TEST_CASE("a message sent back counts where it is, and then goes") {
    const auto all = small_budget(1 << 20U);
    fed s{role::server, sharing(all)};
    const auto frame = frame_bytes(role::client, opcode::binary, bytes(30'000));
    CHECK_FALSE(s.feed(frame.substr(0, 20'000)));
    const event found = s.feed(frame.substr(20'000));
    REQUIRE(found.what == event::kind::message);
    REQUIRE(accepted(s.send_back(opcode::binary, found.payload)));
    CHECK(all.use().send_bytes == charged(s));
    stall(s);
    CHECK_FALSE(s.next());
    CHECK(all.use().receive_bytes == 0);
    CHECK(all.use().send_bytes == charged(s));
    CHECK(read_frames(drained(s)));
    CHECK(all.use() == budget_use{});
}

TEST_CASE("short messages, and what lies whole in a window, cost nothing of it") {
    const auto all = small_budget(0);
    fed s{role::server, sharing(all)};
    CHECK(s.feed(frame_bytes(role::client, opcode::binary, bytes(50'000))).payload.size() == 50'000);
    const auto cut = frame_bytes(role::client, opcode::binary, bytes(granule));
    CHECK_FALSE(s.feed(cut.substr(0, 3000)));
    CHECK(s.feed(cut.substr(3000)).payload.size() == granule);
    CHECK(all.use() == budget_use{});
}

TEST_CASE("where nothing is left for a message its connection ends with 1013") {
    const auto self = GENERATE(values({role::client, role::server}));
    const auto peer = self == role::client ? role::server : role::client;
    const auto all = small_budget(64 * KiB);
    fed other{role::server, sharing(all)};
    CHECK_FALSE(other.feed(frame_bytes(role::client, opcode::binary, bytes(50'000)).substr(0, 20'000)));
    const auto before = all.use().receive_bytes;
    REQUIRE(before > 30'000);
    fed s{self, sharing(all)};
    const auto frame = frame_bytes(peer, opcode::binary, bytes(60'000));
    event found{};
    std::size_t at = 0;
    SECTION("through windows") {
        for (; !found && at < frame.size(); at += 5000)
            found = s.feed(frame.substr(at, 5000));
    }
    SECTION("in fragments") {
        const auto piece = frame_bytes(peer, opcode::continuation, bytes(5000), {.fin = false});
        found = s.feed(frame_bytes(peer, opcode::binary, bytes(5000), {.fin = false}));
        for (; !found && at < 60'000; at += 5000)
            found = s.feed(piece);
    }
    SECTION("directly") {
        found = s.feed(frame.substr(0, 5000));
        at = 5000;
        while (!found && at < frame.size()) {
            const auto room = s.direct();
            const std::size_t size = std::min<std::size_t>(room.size(), frame.size() - at);
            if (size == 0) {
                found = s.feed(frame.substr(at, 5000));
                at += 5000;
                continue;
            }
            std::memcpy(room.data(), frame.data() + at, size);
            at += size;
            s.received_direct(size);
            found = s.next();
        }
    }
    REQUIRE(found.what == event::kind::failed);
    CHECK(found.error == errc::budget_full);
    CHECK(found.code == close_code::try_again_later);
    CHECK(s.error() == errc::budget_full);
    const auto written = read_frames(drained(s));
    REQUIRE(written);
    REQUIRE(written->size() == 1);
    CHECK(written->front().payload == close_payload(1013));
    // The other one keeps what it has, and gets on.
    CHECK(all.use().receive_bytes == before);
    CHECK_FALSE(other.feed(bytes(10'000)));
    CHECK(other.is_open());
    CHECK(make_error_code(errc::budget_full) == condition::limit_exceeded);
}

TEST_CASE("a message of more than its own limit is too big, whatever the budget says") {
    const auto all = small_budget(8 * KiB);
    auto options = sharing(all);
    options.limits.message_bytes = 6000;
    fed s{role::server, options};
    const event found = s.feed(frame_bytes(role::client, opcode::binary, bytes(7000)).substr(0, 100));
    CHECK(found.error == errc::message_too_big);
}

// --- many at once ---

namespace {

/// Sessions with a budget in common, and a random life each.
class crowd {
public:
    explicit crowd(unsigned seed)
        : random_{seed}
        , all_{{.send_bytes = 20'000 + below(100'000), .receive_bytes = 20'000 + below(100'000)}} {
        for (auto& each : sessions_)
            each.emplace(*this);
    }

    void live() {
        for (int step = 0; step < 600; ++step) {
            CAPTURE(step);
            auto& one = sessions_[below(sessions_.size())];
            if (below(60) == 0)
                one.emplace(*this);
            else
                one->step(*this);
            check();
        }
        // Each in its way.
        for (auto& each : sessions_) {
            switch (below(4)) {
            case 0: each.reset(); break;
            case 1:
                each->it.drop_output();
                each->it.drop_input();
                break;
            case 2: {
                const session taken{std::move(each->it)};
                break;
            }
            default:
                each->it.fail(errc::pong_timeout);
                (void)drained(each->it);
                each->it.drop_input();
            }
        }
        REQUIRE(all_.use() == budget_use{});
    }

private:
    struct member {
        explicit member(crowd& in)
            : self{in.below(2) == 0 ? role::client : role::server}
            , it{self, in.options()} {}

        void step(crowd& in) {
            it.at(in.now_);
            switch (in.below(9)) {
            case 0:
            case 1: {
                const auto there = gathered(it);
                it.consumed(in.below(3) == 0 ? there.size() : in.below(there.size() + 1));
                if (it.queued() == 0 && in.below(2) == 0) (void)it.take_queue();
                break;
            }
            case 2: {
                in.now_ += std::chrono::milliseconds{in.below(300)};
                it.on_time(in.now_);
                (void)it.take_low_water();
                break;
            }
            case 3: (void)it.ping(view("ping")); break;
            case 4:
            case 5: receive_something(in); break;
            case 6:
                if (in.below(20) == 0)
                    (void)it.close_now();
                else
                    (void)it.withdraw(1 + in.below(50));
                break;
            default: send_something(in);
            }
            while (it.next_fate()) {
            }
        }

        void send_something(crowd& in) {
            const auto payload = bytes(in.below(5) == 0 ? in.below(30'000) : in.below(700));
            message_options wishes;
            if (in.below(2) == 0) {
                constexpr std::array ways{overflow::fail, overflow::drop_newest, overflow::drop_oldest,
                                          overflow::wait, overflow::by_default};
                wishes.when_full = ways[in.below(ways.size())];
                wishes.tag = 1 + in.below(50);
                wishes.key = in.below(4);
                wishes.time_to_live = std::chrono::milliseconds{in.below(100)};
            }
            switch (in.below(4)) {
            case 0: (void)it.send(prepared_message::binary(view(payload)), wishes); break;
            case 1: (void)it.send(opcode::binary, owned(payload), wishes); break;
            case 2: (void)it.send(opcode::binary, view(payload)); break;
            default: (void)it.send(opcode::binary, view(payload), wishes);
            }
        }

        /// Some bytes of frames, one behind the other.
        void receive_something(crowd& in) {
            if (at == stream.size()) {
                stream.clear();
                at = 0;
                const auto peer = self == role::client ? role::server : role::client;
                stream = frame_bytes(peer, opcode::binary, bytes(in.below(40'000)));
            }
            const std::size_t size = std::min<std::size_t>(1 + in.below(9000), stream.size() - at);
            const auto room = in.below(2) == 0 ? it.direct() : std::span<std::byte>{};
            if (!room.empty() && it.may_receive()) {
                const auto some = std::min(room.size(), size);
                std::memcpy(room.data(), stream.data() + at, some);
                at += some;
                it.received_direct(some);
            } else {
                it.settle();
                window = stream.substr(at, size);
                at += size;
                it.receive(std::as_writable_bytes(std::span{window}));
            }
            while (const event found = it.next()) {
                if (found.what != event::kind::message) continue;
                if (in.below(2) == 0) (void)it.send_back(found.op, found.payload);
                if (in.below(3) == 0) (void)it.take_message();
            }
        }

        role self;
        session it;
        octets window;
        octets stream;
        std::size_t at = 0;
    };

    [[nodiscard]] std::size_t below(std::size_t limit) { return random_() % limit; }

    [[nodiscard]] session_options options() {
        constexpr std::array ways{overflow::fail, overflow::drop_newest, overflow::drop_oldest,
                                  overflow::close, overflow::wait};
        auto made = sharing(all_, ways[below(ways.size())]);
        made.limits.commit_bytes = 1 + below(10'000);
        made.limits.queue_bytes = 1000 + below(100'000);
        made.limits.queue_messages = 1 + below(100);
        made.fragment_bytes = below(2) == 0 ? 0 : 1 + below(3000);
        return made;
    }

    /// What is in use lies between what must be charged and what may be.
    void check() {
        std::size_t least = 0;
        std::size_t most = 0;
        for (const auto& each : sessions_) {
            const std::size_t queued = each->it.queued();
            least += queued - std::min(queued, all_.turn_bytes() + 3000);
            most += queued + granule;
        }
        REQUIRE(all_.use().send_bytes >= least);
        REQUIRE(all_.use().send_bytes <= most);
        // Control frames and what a turn has left are not refused.
        REQUIRE(all_.use().send_bytes <=
                all_.limits().send_bytes + sessions_.size() * (all_.turn_bytes() + granule + 3000));
        REQUIRE(all_.use().receive_bytes <= all_.limits().receive_bytes);
    }

    std::mt19937 random_;
    budget all_;
    time_point now_{};
    std::array<std::optional<member>, 5> sessions_;
};

} // namespace

TEST_CASE("whatever sessions do with a budget, nothing of it stays with them") {
    for (unsigned seed = 0; seed < 300; ++seed) {
        CAPTURE(seed);
        crowd{seed}.live();
    }
}
