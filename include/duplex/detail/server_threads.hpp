#pragma once

#include <duplex/core/detail/inlining.hpp>
#include <duplex/net/detail/asio_config.hpp>

#include <asio/executor_work_guard.hpp>
#include <asio/io_context.hpp>

#include <memory>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

namespace duplex::detail {

/// One of them.
class server_worker {
public:
    server_worker()
        : work_{context_.get_executor()}
        , thread_{[this] { context_.run(); }} {}

    [[nodiscard]] asio::io_context& context() noexcept { return context_; }

private:
    friend class server_threads;

    struct own_context : asio::io_context {
        own_context()
            : asio::io_context{1} {}
        using asio::io_context::shutdown;
    };

    own_context context_;
    asio::executor_work_guard<asio::io_context::executor_type> work_;
    bool taken_ = true;
    std::thread thread_;
};

/// The threads that servers start beside the one which runs their context. Each has a context of its own. A
/// thread whose server is gone waits for the next one, and all end with the context they were started for: so
/// handles, and connections that a server has given away, may outlive the server here as on its own context.
class server_threads final : public asio::execution_context::service {
public:
    using key_type = server_threads;
    inline static asio::execution_context::id id;

    explicit server_threads(asio::execution_context& context)
        : asio::execution_context::service{context} {}

    /// A thread for the caller alone, until it is given back; null where the system has none.
    [[nodiscard]] DUPLEX_RARE server_worker* take() {
        const std::lock_guard lock{mutex_};
        for (auto& each : workers_) {
            if (each->taken_) continue;
            each->taken_ = true;
            return each.get();
        }
#if defined(__cpp_exceptions)
        try {
            workers_.push_back(std::make_unique<server_worker>());
        } catch (const std::system_error&) {
            return nullptr;
        }
#else
        workers_.push_back(std::make_unique<server_worker>());
#endif
        return workers_.back().get();
    }

    void give_back(server_worker& unused) {
        const std::lock_guard lock{mutex_};
        unused.taken_ = false;
    }

private:
    DUPLEX_RARE void shutdown() noexcept override {
        for (auto& each : workers_)
            each->context_.stop();
        for (auto& each : workers_)
            if (each->thread_.joinable()) each->thread_.join();
        // Handlers go now, while what they hold of other contexts still exists, and the contexts last.
        for (auto& each : workers_)
            each->context_.shutdown();
    }

    std::mutex mutex_;
    std::vector<std::unique_ptr<server_worker>> workers_;
};

} // namespace duplex::detail
