#include <duplex/net/connection.hpp>

#include "support/connected.hpp"
#include "support/fault_life.hpp"

#include <duplex/test/fail_count.hpp>

#include <chrono>
#include <optional>
#include <string>
#include <utility>

using namespace duplex;
using namespace duplex::testing;
using namespace std::chrono_literals;

namespace {

/// Long enough for every deadline there is.
template <class Fixture>
void outlast(Fixture& fixture) {
    for (int i = 0; i < 30; ++i)
        fixture.pass(10'000ms);
}

/// A whole life: opening, an echo of small and large messages, closing. Every operation must end once.
struct whole_life {
    explicit whole_life(test::fail_count& failure, bool at_server, bool at_client, std::size_t capacity) {
        if (at_server) both.server.stream().fail_with(failure);
        if (at_client) both.client.stream().fail_with(failure);
        both.server.stream().capacity(capacity);
        both.client.stream().capacity(capacity);
    }

    void live() {
        both.server.async_accept([this](std::error_code error) {
            ++accepted;
            if (error) return;
            both.server.async_run([this](const message& m) { static_cast<void>(both.server.send(m)); },
                                  [this](std::error_code) { ++ran; });
        });
        both.client.async_handshake(uri_of("ws://localhost/"), [this](std::error_code error) {
            ++shaken;
            if (error) return;
            opened = true;
            for (const std::size_t size : {std::size_t{5}, std::size_t{200}, std::size_t{100'000}}) {
                ++sends;
                both.client.async_send(std::string(size, 'x'), [this](std::error_code) { ++sent; });
            }
            both.client.async_ping([this](std::error_code, std::chrono::nanoseconds) { ++pinged; });
            both.client.async_drain([this](std::error_code) { ++drained; });
            read();
        });
        both.run();
        outlast(both);
    }

    void check() const {
        CHECK(accepted == 1);
        CHECK(shaken == 1);
        CHECK(ran <= 1);
        if (both.server.result() && accepted == 1)
            CHECK(ran == (both.server.opening_outcome()->error ? 0 : 1));
        if (!opened) return;
        CHECK(sent == sends);
        CHECK(pinged == 1);
        CHECK(drained == 1);
        CHECK(reads == reads_ended);
        CHECK(closed == 1);
        CHECK(both.client.result());
    }
    [[nodiscard]] bool went_well() const {
        return both.client.result() && both.client.result()->was_clean && messages == 3;
    }

private:
    void read() {
        ++reads;
        both.client.async_read([this](std::error_code error, const message&) {
            ++reads_ended;
            if (!error && ++messages < 3) return read();
            both.client.async_close([this](std::error_code) { ++closed; });
        });
    }

    connected_pair both;
    int accepted = 0;
    int shaken = 0;
    int ran = 0;
    int sends = 0;
    int sent = 0;
    int pinged = 0;
    int drained = 0;
    int reads = 0;
    int reads_ended = 0;
    int messages = 0;
    int closed = 0;
    bool opened = false;
};

} // namespace

TEST_CASE("whatever step of a life fails, every operation ends once") {
    const auto where = GENERATE(values({1, 2, 3}));
    const auto capacity = GENERATE(values<std::size_t>({0, 30'000}));
    CAPTURE(where, capacity);
    bool well = false;
    const auto failures = test::for_each_failure([&](test::fail_count& failure) {
        CAPTURE(failure.count());
        whole_life life{failure, (where & 1) != 0, (where & 2) != 0, capacity};
        life.live();
        life.check();
        well = life.went_well();
    });
    CHECK(well);
    CHECK(failures > 5);
}

TEST_CASE("whatever step fails under scripted frames, a run ends once") {
    const auto self = GENERATE(values({role::server, role::client}));
    const auto limit = GENERATE(values<std::size_t>({0, 50}));
    CAPTURE(self, limit);
    int messages = 0;
    bool clean = false;
    const auto failures = test::for_each_failure([&](test::fail_count& failure) {
        CAPTURE(failure.count());
        scripted one{self};
        one.it->stream().fail_with(failure);
        one.it->stream().read_limit(limit);
        ending<> opened;
        ending<> run;
        messages = 0;
        clean = false;
        if (self == role::server) {
            one.it->async_accept(opened.handler());
            one.peer.send(plain_request);
            one.run();
        } else {
            one.it->async_handshake(uri_of("ws://localhost/"), opened.handler());
            one.run();
            // Not sent where the first write failed.
            if (const auto request = one.peer.take_pending(); !request.empty())
                one.peer.send(answer_to(request));
            one.run();
        }
        CHECK(opened.calls == 1);
        if (!opened.error) {
            one.it->async_run(
                [&](const message& m) {
                    ++messages;
                    static_cast<void>(one.it->send(m));
                },
                run.handler());
            one.run();
            one.comes(opcode::text, "frag", {.fin = false});
            one.comes(opcode::ping, "p");
            one.comes(opcode::continuation, "ment");
            one.comes(opcode::binary, std::string(20'000, 'l'));
            one.comes(opcode::text, "small");
            one.comes(opcode::close, close_payload(1000));
            one.peer.shutdown_send();
            one.run();
            outlast(one);
            CHECK(run.calls == 1);
            REQUIRE(one.it->result());
            clean = one.it->result()->was_clean;
            CHECK(bool{run.error} != clean);
        }
        outlast(one);
        CHECK_FALSE(one.it->stream().is_open());
    });
    CHECK(messages == 3);
    CHECK(clean);
    CHECK(failures > 5);
}

TEST_CASE("whatever step fails while messages wait for room, each has one fate") {
    fault_plan plan;
    plan.client.limits.queue_bytes = 30'000;
    plan.client.limits.queue_watermark = 10'000;
    plan.client.limits.commit_bytes = 5'000;
    plan.client.when_full = overflow::wait;
    plan.sizes = {5, 20'000, 200};
    plan.closes = GENERATE(fault_plan::closer::client, fault_plan::closer::server);
    fail_each_step(plan);
}

TEST_CASE("whatever step fails while both ends close, each operation ends once") {
    fault_plan plan;
    plan.sizes = {5, 70'000};
    plan.closes = fault_plan::closer::both;
    plan.client_reads = GENERATE(fault_plan::reading::batches, fault_plan::reading::messages);
    fail_each_step(plan);
}

TEST_CASE("whatever step fails while messages come and go in fragments, each operation ends once") {
    fault_plan plan;
    plan.server.deliver_fragments = true;
    plan.client.fragment_bytes = 1'000;
    plan.sizes = {5, 30'000};
    fail_each_step(plan);
}

TEST_CASE("whatever step fails before both ends are destroyed in a callback, each operation ends once") {
    fault_plan plan;
    plan.closes = fault_plan::closer::destroys_in_callback;
    plan.sizes = {5, 30'000};
    fail_each_step(plan);
}
