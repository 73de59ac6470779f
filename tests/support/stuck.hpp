#pragma once

// A connection whose peer has stopped reading, and what its run is told of the messages that wait.

#include "support/connected.hpp"

#include <duplex/protocol/message_options.hpp>

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace duplex::testing {

using fates = std::vector<std::pair<std::uint64_t, message_fate>>;

/// A run that writes down what it is told.
struct noting {
    fates& told;
    int& low_water;
    std::function<void()>& then;

    void on_message(const message&) const {}
    void on_fate(std::uint64_t tag, message_fate fate) const {
        told.emplace_back(tag, fate);
        if (then) then();
    }
    void on_low_water() const { ++low_water; }
};

[[nodiscard]] inline connection_options small_queue(overflow when_full) {
    connection_options made = without_deadlines();
    made.limits.queue_bytes = 100;
    made.limits.commit_bytes = 10;
    made.when_full = when_full;
    return made;
}

/// A connection whose peer reads nothing at first.
struct stuck : scripted {
    explicit stuck(const connection_options& options = without_deadlines(), bool with_run = true)
        : scripted{role::server, options} {
        open();
        it->stream().capacity(1);
        if (with_run) it->async_run(noting{told, low_water, then}, ended.handler());
        run();
    }
    void let_go() {
        it->stream().capacity(0);
        run();
    }
    [[nodiscard]] std::vector<std::string> texts() {
        std::vector<std::string> all;
        for (auto& [op, payload] : said())
            all.push_back(payload);
        return all;
    }

    fates told;
    int low_water = 0;
    std::function<void()> then;
    ending<> ended;
};

using strings = std::vector<std::string>;

} // namespace duplex::testing
