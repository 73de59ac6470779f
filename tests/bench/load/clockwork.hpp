#pragma once

#include "options.hpp"
#include "report.hpp"

#include <cstdint>

namespace bench {

/// When a run counts and when it ends: after a warm-up and a duration, or after a number of messages.
class clockwork {
public:
    clockwork(const options& with, measurement& result)
        : with_{with}
        , result_{result}
        , begin_{now()} {
        if (with.messages != 0) start();
    }

    /// Call once a wake-up; false when the run is over.
    bool goes_on() {
        if (with_.messages != 0) return !running_ || result_.count < with_.messages || finish();
        const auto time = now();
        if (!running_ && time - begin_ >= with_.warm_up) {
            start();
            begin_ = time;
        } else if (running_ && time - begin_ >= with_.duration) {
            return finish();
        }
        return true;
    }

private:
    void start() {
        running_ = true;
        result_.start();
    }
    bool finish() {
        result_.stop();
        return false;
    }

    const options& with_;
    measurement& result_;
    std::uint64_t begin_;
    bool running_ = false;
};

} // namespace bench
