#pragma once

#include <sys/types.h>

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <ctime>
#include <memory>
#include <stdexcept>
#include <string>

namespace bench {

/// What ends a run: a wrong echo, a connection lost, no progress.
struct failure : std::runtime_error {
    using std::runtime_error::runtime_error;
};

inline std::uint64_t nanoseconds(clockid_t clock) noexcept {
    timespec now{};
    ::clock_gettime(clock, &now);
    return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<std::uint64_t>(now.tv_nsec);
}

inline std::uint64_t now() noexcept { return nanoseconds(CLOCK_MONOTONIC); }

/// The CPU time of another process, user and system, all of its threads; 0 for no process.
class cpu_meter {
public:
    explicit cpu_meter(pid_t process) {
        if (process != 0 && ::clock_getcpuclockid(process, &clock_) != 0)
            throw failure{"there is no process " + std::to_string(process)};
        known_ = process != 0;
    }
    [[nodiscard]] std::uint64_t read() const noexcept { return known_ ? nanoseconds(clock_) : 0; }

private:
    clockid_t clock_{};
    bool known_ = false;
};

/// Durations in buckets that are 1.6 % wide.
class histogram {
    static constexpr unsigned sub_bits = 6;
    static constexpr std::size_t size = std::size_t{64 - sub_bits + 1} << sub_bits;

public:
    void add(std::uint64_t value) noexcept { ++counts_[index(value)]; }
    void clear() noexcept {
        for (std::size_t i = 0; i < size; ++i)
            counts_[i] = 0;
    }

    /// The middle of the bucket below which `share` of the values lie; 0 where there are none.
    [[nodiscard]] double quantile(double share) const noexcept {
        std::uint64_t total = 0;
        for (std::size_t i = 0; i < size; ++i)
            total += counts_[i];
        const auto wanted = static_cast<std::uint64_t>(share * static_cast<double>(total));
        std::uint64_t seen = 0;
        for (std::size_t i = 0; i < size; ++i) {
            seen += counts_[i];
            if (seen > wanted) return middle(i);
        }
        return 0;
    }

private:
    static std::size_t index(std::uint64_t value) noexcept {
        const auto width = static_cast<unsigned>(std::bit_width(value));
        if (width <= sub_bits + 1) return static_cast<std::size_t>(value);
        const unsigned shift = width - sub_bits - 1;
        return (std::size_t{shift} << sub_bits) + static_cast<std::size_t>(value >> shift);
    }
    static double middle(std::size_t at) noexcept {
        if (at < (std::size_t{2} << sub_bits)) return static_cast<double>(at);
        const std::size_t shift = (at >> sub_bits) - 1;
        const std::size_t low = at - (shift << sub_bits);
        return (static_cast<double>(low) + 0.5) * static_cast<double>(std::uint64_t{1} << shift);
    }

    std::unique_ptr<std::uint64_t[]> counts_ = std::make_unique<std::uint64_t[]>(size);
};

/// What is counted between two points in time.
class measurement {
public:
    explicit measurement(pid_t server)
        : cpu_{server} {}

    histogram latency;
    std::uint64_t count = 0;
    std::uint64_t reply_bytes = 0; ///< of the payloads, where they are compressed

    void start() noexcept {
        latency.clear();
        count = reply_bytes = 0;
        cpu_begin_ = cpu_.read();
        begin_ = now();
    }
    void stop() noexcept {
        seconds_ = static_cast<double>(now() - begin_) / 1e9;
        cpu_used_ = cpu_.read() - cpu_begin_;
    }

    /// Prints the result as one line of JSON.
    void print(const char* mode) const {
        std::printf(R"({"mode":"%s","messages":%llu,"seconds":%.6f,"rate":%.1f,"cpu_ns":%llu,)"
                    R"("p50_us":%.2f,"p99_us":%.2f,"p999_us":%.2f,)",
                    mode, static_cast<unsigned long long>(count), seconds_,
                    static_cast<double>(count) / seconds_, static_cast<unsigned long long>(cpu_used_),
                    latency.quantile(0.5) / 1e3, latency.quantile(0.99) / 1e3, latency.quantile(0.999) / 1e3);
        if (reply_bytes != 0)
            std::printf(R"("reply_bytes":%.1f,)",
                        static_cast<double>(reply_bytes) / static_cast<double>(count));
        std::puts(R"("errors":0})");
    }

private:
    cpu_meter cpu_;
    std::uint64_t begin_ = 0;
    std::uint64_t cpu_begin_ = 0;
    std::uint64_t cpu_used_ = 0;
    double seconds_ = 0;
};

} // namespace bench
