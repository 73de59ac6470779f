#pragma once

// The whole life of two connections that talk with each other, for loops in which each operation of their
// streams fails in turn: whatever fails, everything that was begun ends once.

#include "support/connected.hpp"

#include <duplex/test/fail_count.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

namespace duplex::testing {

/// Counts what was begun and what has ended. It must outlive the operations.
class tally {
public:
    /// A handler that may be called once, and then calls `next(error)`.
    template <class Next>
    [[nodiscard]] auto once(Next next) {
        ++begun_;
        return [this, called = std::make_shared<bool>(false), next](std::error_code error,
                                                                    auto&&... more) mutable {
            CHECK_FALSE(std::exchange(*called, true));
            ++ended_;
            next(error, std::move(more)...);
        };
    }
    [[nodiscard]] auto once() {
        return once([](std::error_code, auto&&...) {});
    }

    [[nodiscard]] int begun() const noexcept { return begun_; }
    [[nodiscard]] int ended() const noexcept { return ended_; }

private:
    int begun_ = 0;
    int ended_ = 0;
};

struct fault_plan {
    enum class closer : std::uint8_t { client, server, both, destroys_in_callback };
    enum class reading : std::uint8_t { run, batches, messages };

    connection_options server{};
    connection_options client{};
    server_handshake_options accept{};
    client_handshake_options handshake{};
    std::vector<std::size_t> sizes{5, 200, 100'000};
    closer closes = closer::client;
    reading client_reads = reading::run;
    std::size_t capacity = 0; ///< of both streams
    bool failing_server = true;
    bool failing_client = true;
};

/// The client sends messages of all sizes, each in three ways, and pings; the server echoes them.
class fault_life {
public:
    fault_life(const fault_plan& plan, const test::fail_count& failure)
        : plan_{plan}
        , both_{plan.server, plan.client} {
        server_.emplace(std::move(both_.server));
        client_.emplace(std::move(both_.client));
        if (plan.failing_server) server_->stream().fail_with(failure);
        if (plan.failing_client) client_->stream().fail_with(failure);
        server_->stream().capacity(plan.capacity);
        client_->stream().capacity(plan.capacity);
    }

    void live() {
        begin();
        go_on();
    }
    void begin() {
        server_->async_accept(plan_.accept, all_.once([this](std::error_code error) {
            if (!error) serve();
        }));
        client_->async_handshake(uri_of("ws://localhost/"), plan_.handshake,
                                 all_.once([this](std::error_code error) {
                                     if (!error) talk();
                                 }));
    }
    /// Again where something was thrown.
    void go_on() {
        both_.run();
        // Long enough for every deadline there is.
        for (int i = 0; i < 30; ++i)
            both_.pass(std::chrono::milliseconds{10'000});
    }

    void check() {
        ask_for_fates();
        CHECK(all_.ended() == all_.begun());
        CHECK(fates_ <= tagged_);
        if (!destroyed_) CHECK(fates_ == tagged_);
        for (auto* each : {&server_, &client_}) {
            if (!*each) continue;
            CHECK_FALSE((*each)->is_open());
            CHECK((*each)->buffered_amount() == 0);
            CHECK_FALSE((*each)->stream().is_open());
        }
    }
    /// Ends it where operations may have thrown instead of beginning.
    void check_destroyed() {
        ask_for_fates();
        server_.reset();
        client_.reset();
        both_.run();
        CHECK(all_.ended() <= all_.begun());
        CHECK(fates_ <= tagged_);
    }
    [[nodiscard]] bool went_well() const {
        if (plan_.closes == fault_plan::closer::destroys_in_callback) return destroyed_;
        return echoed_ == wanted() && client_->result() && client_->result()->was_clean &&
               server_->result() && server_->result()->was_clean;
    }

private:
    struct client_handlers {
        fault_life& life;
        void on_message(const message&) const { life.echo_came(); }
        void on_fate(std::uint64_t, message_fate) const { ++life.fates_; }
        void on_low_water() const {}
    };
    struct server_handlers {
        fault_life& life;
        void on_message(const message& m) const { life.answer(m); }
        void on_fragment(const message& m, bool last) const { life.gather(m, last); }
        void on_ping(std::span<std::byte>) const {}
    };

    [[nodiscard]] int wanted() const { return static_cast<int>(plan_.sizes.size()) * 3; }

    void serve() {
        server_->async_run(server_handlers{*this}, all_.once());
        server_->async_ping(all_.once());
    }

    void answer(const message& m) {
        static_cast<void>(server_->send(m));
        server_sent();
    }
    void gather(const message& m, bool last) {
        gathered_.append(m.text());
        if (!last) return;
        static_cast<void>(server_->send(opcode::binary, view(std::exchange(gathered_, {}))));
        server_sent();
    }
    void server_sent() {
        if (++answered_ != wanted()) return;
        server_->async_drain(all_.once());
        if (plan_.closes == fault_plan::closer::server || plan_.closes == fault_plan::closer::both)
            server_->async_close(all_.once());
    }

    void talk() {
        for (const std::size_t size : plan_.sizes) {
            const std::string text(size, 'x');
            client_->async_send(text, all_.once());
            client_->async_send(text, message_options{.key = ++key_}, all_.once());
            // The last may find no room, where the others have to wait for it.
            const auto status = client_->send(text, {.when_full = overflow::drop_newest, .tag = key_});
            if (accepted(status) || status == send_status::dropped) ++tagged_;
            if (!accepted(status)) client_->async_send(text, all_.once());
        }
        client_->async_ping(all_.once());
        client_->async_drain(all_.once());
        read();
    }

    void read() {
        switch (plan_.client_reads) {
        case fault_plan::reading::run: client_->async_run(client_handlers{*this}, all_.once()); return;
        case fault_plan::reading::batches:
            client_->async_read_batch(
                all_.once([this](std::error_code error, message_batch<test::stream> batch) {
                    for (const message& each : batch) {
                        static_cast<void>(each);
                        echo_came();
                    }
                    if (!error) read_on();
                }));
            return;
        case fault_plan::reading::messages:
            client_->async_read(all_.once([this](std::error_code error, const message&) {
                if (error) return;
                echo_came();
                read_on();
            }));
            return;
        }
    }
    void read_on() {
        if (client_) read();
    }
    /// Those that no run was told.
    void ask_for_fates() {
        while (client_ && client_->next_fate())
            ++fates_;
    }

    void echo_came() {
        if (++echoed_ != wanted() &&
            !(plan_.closes == fault_plan::closer::destroys_in_callback && echoed_ == 2))
            return;
        switch (plan_.closes) {
        case fault_plan::closer::server: return;
        case fault_plan::closer::destroys_in_callback:
            destroyed_ = true;
            server_.reset();
            client_.reset();
            return;
        default: client_->async_close(all_.once());
        }
    }

    fault_plan plan_;
    connected_pair both_;
    tally all_;
    std::optional<memory_connection> server_;
    std::optional<memory_connection> client_;
    std::string gathered_;
    std::uint64_t key_ = 0;
    int tagged_ = 0;
    int fates_ = 0;
    int answered_ = 0;
    int echoed_ = 0;
    bool destroyed_ = false;
};

/// Lets each operation of the streams fail in turn, those of either end and of both.
inline void fail_each_step(fault_plan plan) {
    const int where = GENERATE(1, 2, 3);
    plan.failing_server = (where & 1) != 0;
    plan.failing_client = (where & 2) != 0;
    plan.capacity = GENERATE(values<std::size_t>({0, 30'000}));
    CAPTURE(where, plan.capacity);
    bool well = false;
    const auto failures = test::for_each_failure([&](test::fail_count& failure) {
        CAPTURE(failure.count());
        fault_life life{plan, failure};
        life.live();
        life.check();
        well = life.went_well();
    });
    CHECK(well);
    CHECK(failures > 5);
}

} // namespace duplex::testing
