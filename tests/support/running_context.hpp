#pragma once

#include <asio/executor_work_guard.hpp>
#include <asio/io_context.hpp>

#include <cstddef>
#include <thread>
#include <vector>

namespace duplex::testing {

/// A context with threads of its own, until it is out of work.
class running_context {
public:
    explicit running_context(std::size_t threads = 1)
        : threads_(threads) {}
    ~running_context() { join(); }

    void start() {
        for (auto& each : threads_)
            each = std::thread{[this] { io.run(); }};
    }
    void join() {
        work_.reset();
        for (auto& each : threads_)
            if (each.joinable()) each.join();
    }

    asio::io_context io;

private:
    asio::executor_work_guard<asio::io_context::executor_type> work_ = asio::make_work_guard(io);
    std::vector<std::thread> threads_;
};

} // namespace duplex::testing
