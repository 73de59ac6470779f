#include <duplex/net/connection.hpp>

// Each policy of the send queue over the system's sockets, whose peer stops reading and then reads again:
// what arrives is what was told to be written, in its order.

#include "support/sockets.hpp"
#include "support/stuck.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

using namespace duplex;
using namespace duplex::testing;

namespace {

constexpr std::uint64_t count = 400;
constexpr std::size_t payload = 5'000;

[[nodiscard]] connection_options hundred_kilobytes(overflow when_full) {
    auto made = without_deadlines();
    made.limits.queue_bytes = 100'000;
    made.limits.commit_bytes = 8'000;
    made.when_full = when_full;
    return made;
}

/// A message that shows its number.
[[nodiscard]] std::string numbered(std::uint64_t number) {
    auto text = std::to_string(number) + ' ';
    text.append(payload - text.size(), 'x');
    return text;
}

/// Far more is sent than the sockets and the queue hold, while the peer does not read.
template <class Stream>
struct stalled : socket_fixture<Stream> {
    explicit stalled(overflow policy)
        : socket_fixture<Stream>{hundred_kilobytes(policy), 100'000} {
        this->open();
        this->it->async_run(noting{told, low_water, then}, ended.handler());
    }

    /// From the connection's own thread, or as another one would.
    void send_all(bool elsewhere, message_options options = {}) {
        for (std::uint64_t i = 1; i <= count; ++i) {
            options.tag = i;
            const auto send = [&] {
                const auto status = this->it->send(numbered(i), options);
                if (accepted(status)) taken.push_back(i);
                if (status == send_status::dropped) ++dropped;
                if (!accepted(status) && status != send_status::dropped) ++refused;
                CHECK(this->it->buffered_amount() <= 2 * 100'000);
            };
            if (elsewhere)
                send();
            else
                asio::post(this->io, send);
            turn();
        }
        turn();
    }
    void turn() {
        this->io.restart();
        this->io.poll();
    }

    /// The peer reads to the Close, and answers with the end.
    void read_on() {
        static_cast<void>(this->it->close());
        this->peer.non_blocking(true);
        octets wire;
        std::array<char, 100'000> memory;
        std::error_code error;
        while (!error || error == asio::error::would_block) {
            turn();
            wire.append(memory.data(), this->peer.read_some(asio::buffer(memory), error));
            if (const auto frames = read_frames(wire); frames && !frames->empty() && frames->back().op == 8)
                break;
        }
        const auto frames = read_frames(wire);
        REQUIRE(frames);
        for (const auto& each : *frames)
            if (each.op == 1)
                arrived.push_back(std::stoull(each.payload));
            else
                close_body = each.payload;
        this->peer.close();
        run_until(this->io, [&] { return ended.calls != 0; });
    }

    [[nodiscard]] std::vector<std::uint64_t> fated(message_fate fate) const {
        std::vector<std::uint64_t> all;
        for (const auto& [tag, how] : told)
            if (how == fate) all.push_back(tag);
        return all;
    }

    fates told;
    int low_water = 0;
    std::function<void()> then;
    ending<> ended;
    std::vector<std::uint64_t> taken;
    std::vector<std::uint64_t> arrived;
    std::size_t dropped = 0;
    std::size_t refused = 0;
    std::string close_body;
};

using numbers = std::vector<std::uint64_t>;

template <class Stream>
void each_policy() {
    const bool elsewhere = GENERATE(false, true);
    SECTION("what has no room is refused") {
        stalled<Stream> one{overflow::fail};
        one.send_all(elsewhere);
        CHECK(one.refused + one.taken.size() == count);
        CHECK(one.refused > 0);
        one.read_on();
        CHECK(one.arrived == one.taken);
        CHECK(one.fated(message_fate::written) == one.taken);
        CHECK(one.told.size() == one.taken.size());
        CHECK(one.low_water == 0);
    }
    SECTION("the newest is dropped") {
        stalled<Stream> one{overflow::drop_newest};
        one.send_all(elsewhere);
        CHECK(one.refused == 0);
        CHECK((one.dropped == 0) == elsewhere);
        const auto lost = one.fated(message_fate::dropped);
        CHECK(lost.size() > 50);
        one.read_on();
        CHECK(one.arrived == one.fated(message_fate::written));
        CHECK(one.arrived.size() + lost.size() == count);
        // Those before the first that found no room. There may be some again before the last: the system's
        // buffers grow.
        CHECK(one.arrived.size() >= lost.front() - 1);
        CHECK(one.arrived[lost.front() - 2] == lost.front() - 1);
        CHECK(std::is_sorted(one.arrived.begin(), one.arrived.end()));
    }
    SECTION("the oldest is dropped") {
        stalled<Stream> one{overflow::drop_oldest};
        one.send_all(elsewhere);
        CHECK(one.refused + one.dropped == 0);
        one.read_on();
        const auto lost = one.fated(message_fate::dropped);
        CHECK(lost.size() > 50);
        CHECK(one.arrived == one.fated(message_fate::written));
        CHECK(one.arrived.size() + lost.size() == count);
        CHECK(one.arrived.back() == count);
        CHECK(std::is_sorted(one.arrived.begin(), one.arrived.end()));
        CHECK(one.arrived.front() == 1);
    }
    SECTION("the latest with the key stands for all") {
        stalled<Stream> one{overflow::fail};
        one.send_all(elsewhere, {.key = 7});
        CHECK(one.refused == 0);
        one.read_on();
        CHECK(one.arrived == one.fated(message_fate::written));
        CHECK(one.arrived.back() == count);
        CHECK(one.fated(message_fate::replaced).size() + one.arrived.size() == count);
        CHECK(one.fated(message_fate::replaced).size() > 50);
    }
    SECTION("the connection is closed") {
        stalled<Stream> one{overflow::close};
        one.send_all(elsewhere);
        CHECK_FALSE(one.it->is_open());
        one.read_on();
        CHECK(one.close_body == close_payload(1008, "queue full"));
        CHECK(one.arrived == one.fated(message_fate::written));
        CHECK(one.told.size() == one.taken.size());
        CHECK(one.arrived.size() + one.fated(message_fate::dropped).size() == one.taken.size());
    }
    SECTION("who can wait waits") {
        stalled<Stream> one{overflow::wait};
        numbers done;
        const auto send_all = [&] {
            for (std::uint64_t i = 1; i <= count; ++i)
                one.it->async_send(numbered(i), message_options{}, [&, i](std::error_code error) {
                    if (!error) done.push_back(i);
                });
        };
        if (elsewhere)
            send_all();
        else
            asio::post(one.io, send_all);
        one.turn();
        one.turn();
        CHECK(done.size() < count / 2);
        CHECK(one.it->buffered_amount() <= 100'000 + payload);
        // A Close would not wait for those that wait for room.
        one.peer.non_blocking(true);
        octets wire;
        std::array<char, 100'000> memory;
        while (done.size() < count) {
            one.turn();
            std::error_code error;
            wire.append(memory.data(), one.peer.read_some(asio::buffer(memory), error));
        }
        CHECK(std::is_sorted(done.begin(), done.end()));
        CHECK(done.size() == count);
    }
}

} // namespace

TEST_CASE("over sockets whose peer stops reading the policy decides, and what arrives was told") {
    SECTION("a socket in the poll set") { each_policy<tcp_socket>(); }
    SECTION("Asio's socket") { each_policy<asio_socket>(); }
    SECTION("a unix socket") { each_policy<local_socket>(); }
}
