#include <duplex/protocol/send_queue.hpp>

#include "support/catch.hpp"
#include "support/output.hpp"
#include "support/wire.hpp"

#include <array>
#include <deque>
#include <memory>
#include <numeric>
#include <random>
#include <string>
#include <vector>

using namespace duplex;
using namespace duplex::testing;

namespace {

constexpr mask_key key{std::byte{1}, std::byte{2}, std::byte{3}, std::byte{4}};

frame_header header_of(opcode op, std::string_view payload, bool masked = false) {
    return {.op = op, .masked = masked, .key = key, .length = payload.size()};
}

octets on_wire(opcode op, std::string_view payload) { return frame_bytes(role::server, op, payload); }

} // namespace

TEST_CASE("an empty queue has nothing to write") {
    send_queue queue;
    CHECK(queue.empty());
    CHECK(gathered(queue).empty());
    queue.consumed(0);
    queue.hold();
    CHECK(queue.settle());
    queue.trim(0);
    CHECK(queue.empty());
}

TEST_CASE("small frames leave in one contiguous segment") {
    send_queue queue;
    octets wanted;
    for (int i = 0; i < 100; ++i) {
        const auto text = "message " + std::to_string(i);
        REQUIRE(queue.push_copy(header_of(opcode::text, text), view(text)));
        wanted += on_wire(opcode::text, text);
    }
    std::array<segment, 8> segments;
    REQUIRE(queue.gather(segments) == 1);
    CHECK((to_octets(segments[0]) == wanted));
    CHECK(queue.bytes() == wanted.size());
    queue.consumed(wanted.size());
    CHECK(queue.empty());
    CHECK(queue.data_written() == wanted.size());
}

TEST_CASE("large payloads are written from where they are, after their header") {
    send_queue queue;
    const octets big(send_queue::reference_threshold, 'b');
    auto payload = owned(big);
    const auto* where = payload.data();
    REQUIRE(queue.push_owned(header_of(opcode::binary, big), std::move(payload)));
    REQUIRE(queue.push_borrowed(header_of(opcode::binary, big), view(big)));
    const auto prepared = prepared_message::binary(view(big));
    REQUIRE(queue.push_prepared(prepared));
    std::array<segment, 8> segments;
    REQUIRE(queue.gather(segments) == 5);
    CHECK(segments[1].data() == where);
    CHECK(segments[3].data() == view(big).data());
    CHECK(segments[4].data() == prepared.frame().data());
    CHECK((drained(queue) ==
           on_wire(opcode::binary, big) + on_wire(opcode::binary, big) + on_wire(opcode::binary, big)));
}

TEST_CASE("a large payload that is taken over is masked where it lies") {
    send_queue queue;
    const octets big(send_queue::reference_threshold + 3, 'b');
    REQUIRE(queue.push_owned(header_of(opcode::binary, big, true), owned(big)));
    const auto frames = read_frames(drained(queue));
    REQUIRE(frames);
    REQUIRE(frames->size() == 1);
    CHECK(frames->front().masked);
    CHECK((frames->front().payload == big));
}

TEST_CASE("control frames overtake the data that has not begun") {
    send_queue queue;
    REQUIRE(queue.push_copy(header_of(opcode::text, "first"), view("first")));
    REQUIRE(queue.push_copy(header_of(opcode::text, "second"), view("second")));
    REQUIRE(queue.push_control(header_of(opcode::ping, "now"), view("now")));
    CHECK(drained(queue) ==
          on_wire(opcode::ping, "now") + on_wire(opcode::text, "first") + on_wire(opcode::text, "second"));
}

TEST_CASE("a control frame waits for the end of the frame that has begun, wherever that is") {
    const octets big(send_queue::reference_threshold, 'b');
    const octets before = on_wire(opcode::text, "first") + on_wire(opcode::binary, big);
    const octets all = before + on_wire(opcode::text, "last");
    for (std::size_t cut = 1; cut < all.size(); cut += cut < 40 || cut > before.size() - 5 ? 1U : 997U) {
        send_queue queue;
        REQUIRE(queue.push_copy(header_of(opcode::text, "first"), view("first")));
        REQUIRE(queue.push_borrowed(header_of(opcode::binary, big), view(big)));
        REQUIRE(queue.push_copy(header_of(opcode::text, "last"), view("last")));
        octets out = gathered(queue).substr(0, cut);
        queue.consumed(cut);
        REQUIRE(queue.push_control(header_of(opcode::ping, "now"), view("now")));
        out += drained(queue);
        const auto frames = read_frames(out);
        CAPTURE(cut);
        REQUIRE(frames);
        REQUIRE(frames->size() == 4);
        std::size_t place = 0;
        while ((*frames)[place].op != 9)
            ++place;
        CHECK(place == (cut <= on_wire(opcode::text, "first").size() ? 1U : cut <= before.size() ? 2U : 3U));
    }
}

TEST_CASE("the control lane is bounded: a control frame that finds it full is refused") {
    send_queue queue;
    const octets payload(125, 'p');
    std::size_t pushed = 0;
    while (queue.push_control(header_of(opcode::ping, payload), view(payload)))
        ++pushed;
    CHECK(pushed == send_queue::control_capacity / on_wire(opcode::ping, payload).size());
    CHECK(queue.control_pushed() == queue.bytes());
    CHECK(read_frames(drained(queue))->size() == pushed);
    CHECK(queue.control_written() == queue.control_pushed());
    CHECK(queue.push_control(header_of(opcode::ping, payload), view(payload)));
}

TEST_CASE("a flood of Pongs costs a bounded queue, and the most recent one is kept") {
    const auto masked = GENERATE(true, false);
    send_queue queue;
    REQUIRE(queue.push_copy(header_of(opcode::text, "data"), view("data")));
    for (int i = 0; i < 100'000; ++i) {
        const auto text = "ping " + std::to_string(i);
        REQUIRE(queue.push_pong(header_of(opcode::pong, text, masked), view(text)));
        if (queue.bytes() > send_queue::control_capacity + 200) REQUIRE(queue.bytes() == 0);
    }
    const auto frames = read_frames(drained(queue));
    REQUIRE(frames);
    octets last;
    for (const auto& each : *frames)
        if (each.op == 10) last = each.payload;
    CHECK(last == "ping 99999");
    CHECK(frames->back().payload == "data");
}

TEST_CASE("nothing follows a Close, not even a Pong that found the lane full") {
    send_queue queue;
    const octets payload(125, 'p');
    for (int round = 0; round < 3; ++round) {
        for (int i = 0; i < 50; ++i)
            REQUIRE(queue.push_pong(header_of(opcode::pong, payload), view(payload)));
        // A part of the lane is written and it fills again.
        (void)gathered(queue);
        queue.consumed(3);
    }
    REQUIRE(queue.push_copy(header_of(opcode::close, ""), {}));
    const auto rest = drained(queue);
    CHECK(rest.substr(rest.size() - 2) == from_hex("88 00"));
}

TEST_CASE("what was borrowed may go once it is settled") {
    send_queue queue;
    const octets big(send_queue::reference_threshold, 'b');
    auto first = std::make_unique<octets>(big);
    auto second = std::make_unique<octets>(big);
    REQUIRE(queue.push_borrowed(header_of(opcode::binary, *first), view(*first)));
    REQUIRE(queue.push_borrowed(header_of(opcode::binary, *second), view(*second)));
    // A part is written before.
    octets out = gathered(queue).substr(0, 5000);
    queue.consumed(5000);
    REQUIRE(queue.settle());
    REQUIRE(queue.settle());
    first->assign(big.size(), 'x');
    first.reset();
    second.reset();
    out += drained(queue);
    CHECK((out == on_wire(opcode::binary, big) + on_wire(opcode::binary, big)));
}

TEST_CASE("goes on counting where another queue left off") {
    send_queue queue;
    queue.resume_counts(1000, 50);
    CHECK(queue.data_written() == 1000);
    CHECK(queue.data_pushed() == 1000);
    CHECK(queue.control_pushed() == 50);
    REQUIRE(queue.push_copy(header_of(opcode::text, "data"), view("data")));
    REQUIRE(queue.push_control(header_of(opcode::ping, ""), {}));
    CHECK(queue.data_pushed() == 1006);
    CHECK(queue.control_pushed() == 52);
    CHECK(queue.data_written() == 1000);
    (void)gathered(queue);
    queue.consumed(5);
    CHECK(queue.control_written() == 52);
    CHECK(queue.data_written() == 1003);
    CHECK(read_frames(from_hex("81 04 64") + drained(queue)));
    CHECK(queue.data_written() == 1006);
}

TEST_CASE("keeps memory for reuse, and gives it back when told to") {
    send_queue queue;
    const octets text(10'000, 't');
    for (int i = 0; i < 3; ++i) {
        REQUIRE(queue.push_copy(header_of(opcode::text, text), view(text)));
        queue.trim(0); // what waits to be written stays
        CHECK((drained(queue) == on_wire(opcode::text, text)));
        CHECK(queue.memory() >= text.size());
        queue.trim(i == 0 ? 100'000 : 100);
        CHECK((queue.memory() != 0) == (i == 0));
    }
    CHECK(queue.empty());
}

namespace {

/// Does everything that can be done with a queue in random order, and knows what has to come out.
class queue_model {
public:
    explicit queue_model(unsigned seed)
        : random_{seed} {}

    void run(int steps) {
        for (int i = 0; i < steps; ++i)
            step();
        while (!queue_.empty())
            write(false);
        check_output();
        REQUIRE(queue_.data_written() == queue_.data_pushed());
    }

private:
    unsigned below(unsigned limit) { return std::uniform_int_distribution<unsigned>{0, limit - 1}(random_); }

    octets some_payload() {
        static constexpr std::array sizes{0U, 1U, 5U, 60U, 125U, 126U, 1000U, 16384U, 20000U, 65536U};
        const auto size = below(10) < 8 ? sizes[below(7)] : sizes[below(10)];
        octets payload(size, '\0');
        for (auto& each : payload)
            each = static_cast<char>(random_());
        return payload;
    }

    void step() {
        switch (below(11)) {
        case 0:
        case 1:
        case 2:
        case 3: push_data(); break;
        case 4: push_control(); break;
        case 5: push_pong(); break;
        case 6:
            // Copies, and what was borrowed is gone.
            REQUIRE(queue_.settle());
            forget_borrowed();
            break;
        default: write(below(2) == 0); break;
        }
    }

    void push_data() {
        const auto payload = some_payload();
        const bool masked = below(2) == 0;
        const auto op = below(2) == 0 ? opcode::text : opcode::binary;
        auto header = header_of(op, payload, masked);
        switch (below(4)) {
        case 0: REQUIRE(queue_.push_copy(header, view(payload))); break;
        case 1: REQUIRE(queue_.push_owned(header, owned(payload))); break;
        case 2:
            header.masked = false;
            borrowed_.push_back(std::make_unique<octets>(payload));
            REQUIRE(queue_.push_borrowed(header, view(*borrowed_.back())));
            break;
        case 3:
            header.op = opcode::binary;
            REQUIRE(queue_.push_prepared(prepared_message::binary(view(payload))));
            break;
        }
        data_.push_back(on_wire(header.op, payload));
    }

    octets numbered() { return std::to_string(++number_) + octets(below(110), 'c'); }

    void push_control() {
        const auto payload = numbered();
        if (queue_.push_control(header_of(opcode::ping, payload, below(2) == 0), view(payload)))
            pings_.push_back(payload);
    }

    void push_pong() {
        const auto payload = numbered();
        REQUIRE(queue_.push_pong(header_of(opcode::pong, payload, below(2) == 0), view(payload)));
        last_pong_ = payload;
    }

    void write(bool hold) {
        std::array<segment, 8> segments;
        const auto count = queue_.gather(std::span{segments}.first(1 + below(8)));
        octets bytes;
        for (std::size_t i = 0; i < count; ++i)
            bytes += to_octets(segments[i]);
        if (queue_.empty()) REQUIRE(count == 0);
        if (!queue_.empty()) REQUIRE(!bytes.empty());
        if (hold) {
            queue_.hold();
            for (unsigned i = below(5); i != 0; --i) {
                switch (below(4)) {
                case 0:
                case 1: push_data(); break;
                case 2: push_control(); break;
                default: push_pong(); break;
                }
            }
            octets still;
            for (std::size_t i = 0; i < count; ++i)
                still += to_octets(segments[i]);
            REQUIRE((still == bytes));
        }
        std::size_t taken = bytes.size();
        if (below(3) != 0) taken = below(static_cast<unsigned>(bytes.size()) + 1);
        if (below(4) == 0) taken = std::min<std::size_t>(taken, below(20));
        out_ += bytes.substr(0, taken);
        // In one or two steps.
        const auto part = below(static_cast<unsigned>(taken) + 1);
        queue_.consumed(part);
        queue_.consumed(taken - part);
        if (queue_.empty()) forget_borrowed();
    }

    void forget_borrowed() {
        for (auto& each : borrowed_)
            each->assign(each->size(), '!');
        borrowed_.clear();
    }

    void check_output() {
        const auto frames = read_frames(out_);
        REQUIRE(frames);
        std::size_t data = 0;
        std::size_t ping = 0;
        std::uint64_t last = 0;
        octets pong;
        for (const auto& frame : *frames) {
            if (frame.op < 8) {
                REQUIRE(data < data_.size());
                REQUIRE((on_wire(static_cast<opcode>(frame.op), frame.payload) == data_[data++]));
                continue;
            }
            if (frame.op == 9) {
                REQUIRE(ping < pings_.size());
                REQUIRE(frame.payload == pings_[ping++]);
                continue;
            }
            // Pongs may be left out, but keep their order.
            REQUIRE(frame.op == 10);
            REQUIRE(std::stoull(frame.payload) > last);
            last = std::stoull(frame.payload);
            pong = frame.payload;
        }
        REQUIRE(data == data_.size());
        REQUIRE(ping == pings_.size());
        REQUIRE(pong == last_pong_);
    }

    std::mt19937 random_;
    send_queue queue_;
    octets out_;
    std::deque<octets> data_;
    std::vector<octets> pings_;
    octets last_pong_;
    std::vector<std::unique_ptr<octets>> borrowed_;
    int number_ = 0;
};

} // namespace

TEST_CASE("tells whether a byte of the data lane has left or is held") {
    send_queue queue;
    CHECK(!queue.begun(0));
    REQUIRE(queue.push_copy(header_of(opcode::text, "first"), view("first")));
    const auto second = queue.data_pushed();
    REQUIRE(queue.push_copy(header_of(opcode::text, "second"), view("second")));
    CHECK(!queue.begun(0));
    std::array<segment, 8> segments;
    REQUIRE(queue.gather(segments) == 1);
    CHECK(!queue.begun(0));
    queue.hold();
    CHECK(queue.begun(0));
    CHECK(queue.begun(second));
    CHECK(!queue.begun(queue.data_pushed()));
    queue.consumed(1);
    CHECK(queue.begun(0));
    CHECK(!queue.begun(1));
    CHECK(!queue.begun(second));
}

TEST_CASE("whatever is pushed, held and half written, whole frames in order come out") {
    for (unsigned seed = 1; seed <= 300; ++seed) {
        CAPTURE(seed);
        queue_model{seed}.run(200);
    }
}

TEST_CASE("puts a small message behind the others, where the block has room for it") {
    send_queue queue;
    CHECK_FALSE(queue.push_small(opcode::text, view("none yet")));
    CHECK(queue.empty());
    REQUIRE(queue.push_copy(header_of(opcode::binary, "first"), view("first")));
    octets expected = on_wire(opcode::binary, "first");
    // Each way of copying: its ends and middle; and both lengths of header.
    std::vector<std::size_t> sizes(126);
    std::iota(sizes.begin(), sizes.end(), std::size_t{0});
    for (const std::size_t size : {126U, 127U, 255U, 256U, 1000U, 16U * 1024 - 1})
        sizes.push_back(size);
    for (const std::size_t size : sizes) {
        octets text(size, 't');
        for (std::size_t i = 0; i < size; ++i)
            text[i] = static_cast<char>('A' + i % 50);
        if (!queue.push_small(opcode::text, view(text))) {
            // No room: the longer way makes some.
            const auto bytes = queue.bytes();
            REQUIRE(bytes == expected.size());
            REQUIRE(queue.push_copy(header_of(opcode::text, text), view(text)));
        }
        expected += on_wire(opcode::text, text);
    }
    REQUIRE(queue.push_copy(header_of(opcode::binary, octets(40'000, 'r')), view(octets(40'000, 'r'))));
    expected += on_wire(opcode::binary, octets(40'000, 'r'));
    // A larger one is better referred to than copied.
    CHECK_FALSE(queue.push_small(opcode::binary, view(octets(send_queue::reference_threshold, 'l'))));
    std::array<segment, 1> out;
    REQUIRE(queue.gather(out) == 1);
    queue.hold();
    // What is being written does not move.
    CHECK_FALSE(queue.push_small(opcode::text, view("held")));
    CHECK(drained(queue) == expected);
}

TEST_CASE("queues to which the same prepared messages go refer to the same bytes") {
    const auto first = prepared_message::text("first");
    const auto second = prepared_message::binary(view("second"));
    send_queue one;
    send_queue other;
    for (const auto& message : {first, second}) {
        REQUIRE(one.push_prepared(message));
        REQUIRE(other.push_prepared(message));
    }
    const octets both = on_wire(opcode::text, "first") + on_wire(opcode::binary, "second");
    CHECK(to_octets(one.only_segment()) == both);
    CHECK(one.only_segment().data() == other.only_segment().data());
    CHECK(one.memory() == 0);

    SECTION("what comes in between is not lost") {
        REQUIRE(other.push_copy(header_of(opcode::text, "own"), view("own")));
        REQUIRE(one.push_prepared(first));
        REQUIRE(other.push_prepared(first));
        CHECK(other.only_segment().empty());
        CHECK(drained(one) == both + on_wire(opcode::text, "first"));
        CHECK(drained(other) == both + on_wire(opcode::text, "own") + on_wire(opcode::text, "first"));
    }
    SECTION("one that missed a message does not get it") {
        const auto third = prepared_message::text("third");
        REQUIRE(one.push_prepared(third));
        const auto fourth = prepared_message::text("fourth");
        REQUIRE(one.push_prepared(fourth));
        REQUIRE(other.push_prepared(fourth));
        CHECK(drained(one) == both + on_wire(opcode::text, "third") + on_wire(opcode::text, "fourth"));
        CHECK(drained(other) == both + on_wire(opcode::text, "fourth"));
    }
    SECTION("each is written at its own pace") {
        one.consumed(3);
        CHECK(to_octets(one.only_segment()) == both.substr(3));
        REQUIRE(one.push_control(header_of(opcode::ping, "p"), view("p")));
        REQUIRE(one.push_prepared(first));
        const octets rest = both.substr(7) + on_wire(opcode::text, "first");
        CHECK(drained(one) == both.substr(3, 4) + on_wire(opcode::ping, "p") + rest);
        CHECK(drained(other) == both);
    }
}

TEST_CASE("any number of prepared messages of any size arrive in order") {
    send_queue queue;
    octets expected;
    for (std::size_t size = 0; size < 20'000; size += 1 + size / 3) {
        for (int i = 0; i < 9; ++i) {
            const octets payload(size, static_cast<char>('a' + i));
            REQUIRE(queue.push_prepared(prepared_message::binary(view(payload))));
            expected += on_wire(opcode::binary, payload);
        }
    }
    CHECK(drained(queue) == expected);
}

TEST_CASE("tells when all there is to write is one segment") {
    send_queue queue;
    CHECK(queue.only_segment().empty());
    REQUIRE(queue.push_copy(header_of(opcode::binary, "one"), view("one")));
    REQUIRE(queue.push_copy(header_of(opcode::binary, "two"), view("two")));
    const octets both = on_wire(opcode::binary, "one") + on_wire(opcode::binary, "two");
    CHECK(to_octets(queue.only_segment()) == both);
    queue.consumed(3);
    CHECK(to_octets(queue.only_segment()) == both.substr(3));
    REQUIRE(queue.push_control(header_of(opcode::ping, "p"), view("p")));
    CHECK(queue.only_segment().empty());
    CHECK(drained(queue) == both.substr(3, 2) + on_wire(opcode::ping, "p") + both.substr(5));
    const octets large(send_queue::reference_threshold, 'l');
    REQUIRE(queue.push_borrowed(header_of(opcode::binary, large), view(large)));
    CHECK(queue.only_segment().empty());
}
