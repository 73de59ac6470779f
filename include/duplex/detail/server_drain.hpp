#pragma once

// How a server drains: what waits for the last of its connections, on whatever thread that is.

#include <duplex/core/detail/intrusive_ptr.hpp>
#include <duplex/detail/server_core.hpp>
#include <duplex/net/detail/context_member.hpp>
#include <duplex/net/detail/context_service.hpp>
#include <duplex/net/detail/kept_call.hpp>

#include <asio/io_context.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <functional>
#include <utility>
#include <vector>

namespace duplex::detail {

/// One call of `server::drain`. Shards count themselves off as they become empty; at the deadline they are
/// asked to cut what is left.
class server_drain final : public counted_member<server_drain> {
public:
    using pointer = intrusive_ptr<server_drain>;

    server_drain(intrusive_ptr<server_core> core, asio::io_context& home, std::size_t shards,
                 std::function<void(const drain_result&)> done)
        : core_{std::move(core)}
        , home_{home.get_executor()}
        , service_{&context_service::of(home_)}
        , shards_left_{shards}
        , done_{std::move(done)} {
        service_->join(*this);
    }
    ~server_drain() {
        if (service_) service_->leave(*this);
    }

    /// `cut` is called for each shard at the deadline, on the home thread.
    void begin(timeouts::duration within, std::function<void()> cut) {
        cut_ = std::move(cut);
        service_->schedule(*this, deadline_after(service_->precise_now(), within), home_);
    }

    /// On a shard's thread, as it begins and when its last connection has ended.
    void found(std::size_t connections) noexcept { result_connections_ += connections; }
    void forces(std::size_t connections) noexcept { result_forced_ += connections; }
    void shard_ended() {
        if (shards_left_.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
        post_call(home_, pointer{this}, [](server_drain& self) { self.finish(); });
    }

private:
    void on_deadline() noexcept override {
        post_call(home_, pointer{this}, [](server_drain& self) {
            if (self.cut_) self.cut_();
        });
    }

    void on_shutdown() noexcept override {
        service_ = nullptr;
        cut_ = {};
        done_ = {};
    }

    void finish() {
        if (!service_) return;
        service_->cancel(*this);
        cut_ = {};
        const auto done = std::exchange(done_, {});
        if (done && !core_->gone.load(std::memory_order_relaxed))
            done({.connections = result_connections_, .forced = result_forced_});
    }

    intrusive_ptr<server_core> core_;
    asio::io_context::executor_type home_;
    context_service* service_; ///< null when the context has gone away
    std::atomic<std::size_t> shards_left_;
    std::atomic<std::size_t> result_connections_{0};
    std::atomic<std::size_t> result_forced_{0};
    std::function<void()> cut_;
    std::function<void(const drain_result&)> done_;
};

} // namespace duplex::detail
