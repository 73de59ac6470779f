#pragma once

// What all measured clients share: what they are to do, and the count of what they did. C++17, for all of
// them.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <string>

/// A client opens connections, keeps messages in flight on each, and checks every echo. After so many
/// messages it prints what one cost.
class client_run {
public:
    client_run(int count, char** arguments) {
        if (count < 6) fail("usage: PORT CONNECTIONS IN_FLIGHT SIZE MESSAGES");
        port_ = arguments[1];
        connections_ = number(arguments[2]);
        in_flight_ = number(arguments[3]);
        payload_.resize(number(arguments[4]));
        messages_ = number(arguments[5]);
        for (std::size_t i = 0; i < payload_.size(); ++i)
            payload_[i] = static_cast<char>(i * 31 + 7);
    }

    [[nodiscard]] const std::string& port() const { return port_; }
    [[nodiscard]] std::string url() const { return "ws://127.0.0.1:" + port_ + "/"; }
    [[nodiscard]] std::size_t connections() const { return connections_; }
    [[nodiscard]] std::size_t in_flight() const { return in_flight_; }
    [[nodiscard]] const std::string& payload() const { return payload_; }

    /// Takes an echo; at the last one ends the program.
    void received(const void* data, std::size_t size) {
        if (size != payload_.size() || std::memcmp(data, payload_.data(), size) != 0) fail("wrong echo");
        if (++count_ == messages_ / 10) begin();
        if (count_ == messages_) end();
    }

    [[noreturn]] static void fail(const char* why) {
        std::printf("{\"mode\":\"client\",\"errors\":1,\"error\":\"%s\"}\n", why);
        std::fprintf(stderr, "client: %s\n", why);
        std::fflush(stdout);
        std::_Exit(1);
    }

private:
    static std::size_t number(const char* text) { return std::strtoul(text, nullptr, 10); }

    static std::uint64_t nanoseconds(clockid_t clock) {
        timespec now{};
        ::clock_gettime(clock, &now);
        return static_cast<std::uint64_t>(now.tv_sec) * 1000000000U + static_cast<std::uint64_t>(now.tv_nsec);
    }

    void begin() {
        cpu_ = nanoseconds(CLOCK_PROCESS_CPUTIME_ID);
        begin_ = nanoseconds(CLOCK_MONOTONIC);
    }

    [[noreturn]] void end() const {
        const auto counted = messages_ - messages_ / 10;
        const auto cpu = nanoseconds(CLOCK_PROCESS_CPUTIME_ID) - cpu_;
        const double seconds = static_cast<double>(nanoseconds(CLOCK_MONOTONIC) - begin_) / 1e9;
        std::printf("{\"mode\":\"client\",\"messages\":%llu,\"seconds\":%.6f,\"rate\":%.1f,\"cpu_ns\":%llu,"
                    "\"errors\":0}\n",
                    static_cast<unsigned long long>(counted), seconds, static_cast<double>(counted) / seconds,
                    static_cast<unsigned long long>(cpu));
        std::fflush(stdout);
        std::_Exit(0);
    }

    std::string port_;
    std::size_t connections_ = 0;
    std::size_t in_flight_ = 0;
    std::string payload_;
    std::size_t messages_ = 0;
    std::size_t count_ = 0;
    std::uint64_t cpu_ = 0;
    std::uint64_t begin_ = 0;
};
