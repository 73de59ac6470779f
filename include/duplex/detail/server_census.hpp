#pragma once

// What a server counts, on whatever thread it happens, and how it asks its threads for the rest.

#include <duplex/core/detail/intrusive_ptr.hpp>
#include <duplex/detail/server_counters.hpp>

#include <asio/executor_work_guard.hpp>
#include <asio/io_context.hpp>
#include <asio/post.hpp>

#include <atomic>
#include <cstddef>
#include <functional>
#include <mutex>
#include <system_error>
#include <utility>

namespace duplex::detail {

/// The counters of a server. Any thread: it is asked as connections come and go, never for a message.
class server_census {
public:
    /// Lets `change` count something.
    template <class Change>
    void count(Change change) noexcept {
        const std::lock_guard lock{mutex_};
        change(counters_);
    }

    [[nodiscard]] server_counters now() const noexcept {
        const std::lock_guard lock{mutex_};
        return counters_;
    }

private:
    mutable std::mutex mutex_;
    server_counters counters_{};
};

/// One call of `server::counters(done)`: each shard adds what goes through its open connections.
class server_survey final : public counted<server_survey> {
public:
    using pointer = intrusive_ptr<server_survey>;

    /// `all` and the traffic of a shard are of the same moment where there is one shard.
    server_survey(asio::io_context& home, std::size_t shards, std::function<server_counters()> all,
                  std::function<void(const server_counters&)> done)
        : home_{home.get_executor()}
        , shards_left_{shards}
        , all_{std::move(all)}
        , done_{std::move(done)} {}

    /// On a shard's thread. The last of them has `done` called on the home thread.
    void add(const session_counters& traffic) {
        {
            const std::lock_guard lock{mutex_};
            traffic_ += traffic;
        }
        if (shards_left_.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
        auto all = all_();
        all.open_traffic = traffic_;
        asio::post(home_.get_executor(), [self = pointer{this}, all] {
            self->home_.reset();
            if (const auto done = std::exchange(self->done_, {})) done(all);
        });
    }

private:
    /// Whoever runs the home context gets to hear of it.
    asio::executor_work_guard<asio::io_context::executor_type> home_;
    std::atomic<std::size_t> shards_left_;
    std::mutex mutex_;
    session_counters traffic_{};
    std::function<server_counters()> all_;
    std::function<void(const server_counters&)> done_;
};

} // namespace duplex::detail
