#include <duplex/protocol/session.hpp>

// The halves of session have their own files: session_receive_test, session_send_test, session_closing_test,
// session_time_test, and what attackers do in session_attack_test.

#include "support/catch.hpp"
#include "support/reference_decoder.hpp"
#include "support/transcript.hpp"

#include <random>

using namespace duplex;
using namespace duplex::testing;

TEST_CASE("echoes a message") {
    transcript{role::server}
        .peer("81 85 37 fa 21 3d 7f 9f 4d 51 58")
        .expect(message("Hello"))
        .act([](session& s) { CHECK((s.send(opcode::text, "Hello") == send_status::ok)); })
        .expect_write("81 05 48 65 6c 6c 6f")
        .check();
    transcript{role::client}
        .act([](session& s) { CHECK((s.send(opcode::text, "Hello") == send_status::ok)); })
        .expect_write("81 05 48 65 6c 6c 6f")
        .peer("81 05 48 65 6c 6c 6f")
        .expect(message("Hello"))
        .check();
}

TEST_CASE("echoes messages of every length of header, however they come") {
    const auto self = GENERATE(values({role::client, role::server}));
    for (const auto size : std::initializer_list<std::size_t>{125, 126, 127, 300}) {
        CAPTURE(size);
        const octets payload(size, 'x');
        transcript{self}
            .peer_frame(opcode::binary, payload)
            .peer_frame(opcode::text, payload)
            .expect(binary_message(payload))
            .act([payload](session& s) { CHECK((s.send(opcode::binary, view(payload)) == send_status::ok)); })
            .expect(message(payload))
            .act([payload](session& s) { CHECK((s.send(opcode::text, view(payload)) == send_status::ok)); })
            .expect_write_frame(opcode::binary, payload)
            .expect_write_frame(opcode::text, payload)
            .check();
    }
}

TEST_CASE("a new session is open, silent and holds no queue") {
    const auto self = GENERATE(values({role::client, role::server}));
    session s{self};
    CHECK((s.self() == self));
    CHECK(s.is_open());
    CHECK(s.may_receive());
    CHECK((s.state() == closing::state::open));
    CHECK((s.error() == errc::closed));
    CHECK((s.transport() == transport_step::keep));
    CHECK(!s.next());
    CHECK(s.direct().empty());
    CHECK(s.queued() == 0);
    CHECK(!s.above_watermark());
    CHECK(s.below_low_watermark());
    CHECK(s.take_queue() == nullptr);
    CHECK(s.take_message().empty());
    std::array<segment, 2> out;
    CHECK(s.gather(out) == 0);
    CHECK(s.only_segment().empty());
    s.hold_output();
    s.consumed(0);
    s.settle();
    s.receive({});
    CHECK(!s.next());
    CHECK(s.is_open());
}

TEST_CASE("the caller may stop after any event and go on later") {
    session s{role::client};
    auto bytes =
        frame_bytes(role::server, opcode::text, "one") + frame_bytes(role::server, opcode::text, "two");
    s.receive(std::as_writable_bytes(std::span{bytes}));
    CHECK(s.next().text() == "one");
    CHECK((s.send(opcode::text, "in between") == send_status::ok));
    CHECK(s.next().text() == "two");
    CHECK(!s.next());
    CHECK(!s.next());
}

TEST_CASE("what was not looked at may be moved and lent again, though the header before it was taken") {
    const auto self = GENERATE(values({role::client, role::server}));
    const octets bytes = frame_bytes(peer_of(self), opcode::text, "one") +
                         frame_bytes(peer_of(self), opcode::ping, "two") +
                         frame_bytes(peer_of(self), opcode::binary, "three");
    session s{self};
    CHECK(s.unread().empty());
    auto window = bytes;
    s.receive(std::as_writable_bytes(std::span{window}));
    CHECK(s.unread().size() == bytes.size());
    std::vector<octets> got;
    while (const auto e = s.next()) {
        got.push_back(octets{e.text()});
        auto rest = to_octets(s.unread());
        window.assign(window.size(), '!');
        window.swap(rest);
        s.lend_again(std::as_writable_bytes(std::span{window}));
    }
    CHECK(got == std::vector<octets>{"one", "two", "three"});
    CHECK(s.unread().empty());
}

TEST_CASE("a message that lies whole in the window is delivered where it lies") {
    const auto self = GENERATE(values({role::client, role::server}));
    session s{self};
    auto bytes = frame_bytes(peer_of(self), opcode::binary, octets(1000, 'x'));
    s.receive(std::as_writable_bytes(std::span{bytes}));
    const auto e = s.next();
    REQUIRE((e.what == event::kind::message));
    CHECK((e.text() == octets(1000, 'x')));
    CHECK(e.text().data() == bytes.data() + bytes.size() - 1000);
    CHECK(s.take_message().empty());
}

TEST_CASE("a message that was put together can be taken away") {
    const auto self = GENERATE(values({role::client, role::server}));
    session s{self};
    auto bytes = frame_bytes(peer_of(self), opcode::text, "Hel", {.fin = false}) +
                 frame_bytes(peer_of(self), opcode::continuation, "lo");
    s.receive(std::as_writable_bytes(std::span{bytes}));
    const auto e = s.next();
    CHECK(e.text() == "Hello");
    const auto taken = s.take_message();
    CHECK(taken.data() == e.payload.data());
    CHECK(s.take_message().empty());
    bytes = frame_bytes(peer_of(self), opcode::text, "next");
    s.receive(std::as_writable_bytes(std::span{bytes}));
    CHECK(s.next().text() == "next");
    CHECK(to_octets(taken.bytes()) == "Hello");
}

TEST_CASE("a queue is lent and taken back, and the counts go on") {
    const auto self = GENERATE(values({role::client, role::server}));
    session s{self};
    CHECK((s.send(opcode::binary, "1234") == send_status::ok));
    CHECK((s.ping({}) == send_status::ok));
    const std::uint64_t data = self == role::server ? 6 : 10;
    const std::uint64_t control = self == role::server ? 2 : 6;
    CHECK(s.data_pushed() == data);
    CHECK(s.control_pushed() == control);
    CHECK(s.take_queue() == nullptr);
    std::array<segment, 2> out;
    REQUIRE(s.gather(out) == 2);
    s.consumed(data + control);
    auto queue = s.take_queue();
    REQUIRE(queue);
    CHECK(s.data_written() == data);
    CHECK(s.data_pushed() == data);
    CHECK(s.control_written() == control);
    CHECK(s.control_pushed() == control);

    auto* const where = queue.get();
    s.lend_queue(nullptr);
    CHECK(!s.has_queue());
    s.lend_queue(std::move(queue));
    s.lend_queue(send_queue_ptr{new send_queue});
    s.lend_queue(nullptr);
    CHECK(s.has_queue());
    CHECK((s.send(opcode::binary, "1234") == send_status::ok));
    CHECK(s.data_pushed() == 2 * data);
    CHECK(s.data_written() == data);
    REQUIRE(s.gather(out) == 1);
    s.consumed(data);
    CHECK(s.take_queue().get() == where);
}

namespace {

/// Plays bytes to a session in windows that `next_size` chooses and collects everything that happens.
struct played {
    std::vector<seen_event> events;
    octets written;
};

template <class NextSize>
played play(session& s, std::string_view bytes, NextSize next_size) {
    played out;
    const auto write = [&] {
        std::array<segment, 4> segments;
        while (const auto count = s.gather(segments)) {
            std::size_t size = 0;
            for (std::size_t i = 0; i < count; ++i) {
                out.written += to_octets(segments[i]);
                size += segments[i].size();
            }
            s.consumed(size);
        }
    };
    const auto pull = [&] {
        while (const auto e = s.next()) {
            out.events.push_back(see(e));
            write();
        }
    };
    while (!bytes.empty()) {
        const auto size = std::min<std::size_t>(next_size(), bytes.size());
        if (const auto room = s.direct(); !room.empty()) {
            const auto part = std::min(size, room.size());
            std::memcpy(room.data(), bytes.data(), part);
            s.received_direct(part);
            bytes.remove_prefix(part);
            pull();
            continue;
        }
        const std::unique_ptr<std::byte[]> window{new std::byte[size]};
        std::memcpy(window.get(), bytes.data(), size);
        bytes.remove_prefix(size);
        s.receive({window.get(), size});
        pull();
        std::memset(window.get(), 0xA5, size);
    }
    write();
    return out;
}

/// Frame streams that are mostly right, and then often broken somewhere.
class stream_maker {
public:
    stream_maker(unsigned seed, role sender)
        : random_{seed}
        , sender_{sender} {}

    unsigned below(unsigned limit) { return std::uniform_int_distribution<unsigned>{0, limit - 1}(random_); }

    octets make() {
        octets bytes;
        bool in_message = false;
        for (unsigned i = 1 + below(12); i != 0; --i) {
            const bool starts = !in_message || below(40) == 0;
            const bool fin = below(3) != 0;
            switch (below(8)) {
            case 0: bytes += frame(9, text(below(126))); continue;
            case 1: bytes += frame(10, text(below(126))); continue;
            case 2:
                if (below(4) == 0) bytes += frame(8, close_body());
                continue;
            default: break;
            }
            bytes += frame(starts ? 1 + below(2) : 0, text(size()), fin);
            in_message = !fin;
        }
        if (below(2) == 0) mutate(bytes);
        return bytes;
    }

private:
    unsigned size() {
        static constexpr std::array edges{0U, 1U, 125U, 126U, 127U, 300U, 65535U, 65536U};
        return below(8) == 0 ? edges[below(below(4) == 0 ? 8 : 6)] : below(40);
    }

    octets text(unsigned size) {
        static constexpr std::array<std::string_view, 6> characters{
            "a", "Z", "\xc3\xb6", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "\xed\x9f\xbf"};
        octets out;
        while (out.size() < size)
            out += characters[below(6)];
        if (below(8) == 0) out.resize(size);
        return out.size() > 125 && size <= 125 ? out.substr(0, 125) : out;
    }

    octets close_body() {
        if (below(4) == 0) return {};
        static constexpr std::array codes{1000U, 1001U, 1005U, 1006U, 1011U,
                                          1015U, 2999U, 3000U, 4999U, 5000U};
        const auto body = close_payload(codes[below(10)], text(below(40)));
        return below(10) == 0 ? body.substr(0, 1) : body;
    }

    octets frame(unsigned op, std::string_view payload, bool fin = true) {
        frame_shape shape{.fin = fin};
        for (auto& each : shape.key)
            each = static_cast<unsigned char>(random_());
        return frame_bytes(sender_, op, payload, shape);
    }

    void mutate(octets& bytes) {
        for (unsigned i = 1 + below(3); i != 0 && !bytes.empty(); --i) {
            const auto at = below(static_cast<unsigned>(std::min<std::size_t>(bytes.size(), 2000)));
            switch (below(4)) {
            case 0: bytes[at] = static_cast<char>(bytes[at] ^ static_cast<char>(1U << below(8))); break;
            case 1: bytes.erase(at, 1 + below(4)); break;
            case 2: bytes.insert(at, 1, static_cast<char>(random_())); break;
            default: bytes.resize(at); break;
            }
        }
    }

    std::mt19937 random_;
    role sender_;
};

} // namespace

TEST_CASE(
    "finds what the reference decoder finds in streams of frames, right and broken, however they are cut") {
    const auto self = GENERATE(values({role::client, role::server}));
    std::size_t failures = 0;
    std::size_t messages = 0;
    for (unsigned seed = 1; seed <= 3000; ++seed) {
        stream_maker maker{seed, peer_of(self)};
        const auto bytes = maker.make();
        session_options options;
        reference_limits limits;
        if (maker.below(3) == 0) {
            options.limits.message_bytes = limits.message_bytes = maker.below(400);
            options.limits.message_fragments = limits.message_fragments = 1 + maker.below(4);
        }
        const auto wanted = reference_decode(self, bytes, limits);
        const auto replies = reference_replies(wanted);
        const unsigned sizes = std::array{1U, 3U, 30U, 300U, 100'000U}[maker.below(5)];
        for (const bool whole : {true, false}) {
            session s{self, options};
            const auto got = play(s, bytes, [&] { return whole ? bytes.size() : 1 + maker.below(sizes); });
            if (got.events != wanted) {
                CAPTURE(seed, whole, to_hex(bytes, 400), describe(wanted), describe(got.events));
                REQUIRE((got.events == wanted));
            }
            const auto frames = read_frames(got.written);
            const auto expected = read_frames(replies);
            REQUIRE(frames);
            REQUIRE(frames->size() == expected->size());
            for (std::size_t i = 0; i < frames->size(); ++i) {
                const bool same = (*frames)[i].same_but_mask((*expected)[i]) &&
                                  (*frames)[i].masked == (self == role::client);
                REQUIRE(same);
            }
        }
        // The same in pieces.
        options.deliver_fragments = true;
        session s{self, options};
        const auto pieces = join_fragments(play(s, bytes, [&] { return 1 + maker.below(sizes); }).events);
        std::size_t at = 0;
        octets text;
        for (const auto& e : pieces) {
            if (e.what == event::kind::fragment) {
                text += e.payload;
                if (!e.last) continue;
            }
            if (at < wanted.size() && wanted[at].what == event::kind::message) {
                CHECK(
                    (e.what == event::kind::fragment && wanted[at].op == e.op && wanted[at].payload == text));
                text.clear();
            } else {
                CHECK((at < wanted.size() && wanted[at] == e));
            }
            ++at;
        }
        CHECK(at == wanted.size());
        for (const auto& e : wanted) {
            failures += e.what == event::kind::failed ? 1U : 0U;
            messages += e.what == event::kind::message ? 1U : 0U;
        }
    }
    // The streams are worth the time.
    CHECK(failures > 500);
    CHECK(messages > 3000);
}
