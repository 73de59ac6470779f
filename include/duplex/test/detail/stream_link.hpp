#pragma once

#include <duplex/net/detail/waiter.hpp>
#include <duplex/test/detail/stream_op.hpp>
#include <duplex/test/fail_count.hpp>

#include <asio/associated_cancellation_slot.hpp>
#include <asio/cancellation_type.hpp>
#include <asio/error.hpp>
#include <asio/execution_context.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

namespace duplex::test::detail {

/// What the two ends of a pair share: two pipes and the operations that wait for them.
class stream_link {
public:
    struct settings {
        std::size_t read_limit = 0;
        std::size_t write_limit = 0;
        std::size_t capacity = 0;
        std::optional<fail_count> failure;
    };

    struct statistics {
        std::size_t reads = 0;
        std::size_t writes = 0;
        std::uint64_t bytes_read = 0;
        std::uint64_t bytes_written = 0;
    };

    [[nodiscard]] std::uint64_t next_id() noexcept { return id_.fetch_add(1, std::memory_order_relaxed); }

    void start(unsigned side, direction kind, stream_op* op) {
        transact([&](op_queue& done) {
            auto& me = ends_[side];
            const bool writing = kind == direction::write;
            if (!me.open) return finish(op, asio::error::bad_descriptor, done);
            if (me.set.failure) {
                if (const auto error = me.set.failure->next()) return finish(op, error, done);
            }
            if (op->wants_nothing()) return count(me, kind, op, done);
            if (writing && ends_[side ^ 1U].in_ended) return finish(op, asio::error::broken_pipe, done);
            (writing ? me.writes : me.reads).push(op);
            pump(writing ? side : side ^ 1U, done);
        });
    }

    void cancel(unsigned side, std::uint64_t id) {
        transact([&](op_queue& done) {
            for (auto* queue : {&ends_[side].reads, &ends_[side].writes}) {
                if (auto* op = queue->remove(id)) finish(op, asio::error::operation_aborted, done);
            }
        });
    }

    void cancel(unsigned side) {
        transact([&](op_queue& done) { abort(ends_[side], done); });
    }

    void close(unsigned side) {
        transact([&](op_queue& done) {
            auto& me = ends_[side];
            if (!me.open) return;
            me.open = false;
            abort(me, done);
            end_pipe(side, done);
            end_pipe(side ^ 1U, done);
        });
    }

    /// Ends what `from` sends; what is in the pipe can still be read.
    void shutdown(unsigned from) {
        transact([&](op_queue& done) { end_pipe(from, done); });
    }

    void append(unsigned from, std::string_view bytes) {
        transact([&](op_queue& done) {
            ends_[from ^ 1U].in.append(bytes);
            pump(from, done);
        });
    }

    [[nodiscard]] std::string take(unsigned from) {
        std::string all;
        transact([&](op_queue& done) {
            all = ends_[from ^ 1U].in.take();
            pump(from, done);
        });
        return all;
    }

    template <class F>
    void configure(unsigned side, F change) {
        transact([&](op_queue& done) {
            change(ends_[side].set);
            pump(side, done);
        });
    }

    [[nodiscard]] std::string pending(unsigned side) const {
        const std::lock_guard lock(mutex_);
        return std::string(ends_[side].in.view());
    }

    [[nodiscard]] bool is_open(unsigned side) const {
        const std::lock_guard lock(mutex_);
        return ends_[side].open;
    }

    [[nodiscard]] statistics counted(unsigned side) const {
        const std::lock_guard lock(mutex_);
        return ends_[side].counted;
    }

    /// Destroys the operations of one end without calling their handlers: its execution context is ending.
    void abandon(unsigned side) {
        op_queue dying; // outlives the lock: a handler's destructor may come back here
        const std::lock_guard lock(mutex_);
        for (auto* queue : {&ends_[side].reads, &ends_[side].writes}) {
            while (auto* op = queue->pop()) {
                dying.push(op);
            }
        }
    }

private:
    struct end {
        op_queue reads;
        op_queue writes;
        pipe in;
        bool in_ended = false; ///< no more bytes come through `in`
        bool open = true;
        settings set;
        statistics counted;
    };

    /// Handlers are posted after the lock is gone: an executor may run what it likes meanwhile.
    template <class F>
    void transact(F step) {
        op_queue done;
        {
            const std::lock_guard lock(mutex_);
            step(done);
        }
        done.complete_all();
    }

    static void finish(stream_op* op, std::error_code error, op_queue& done) noexcept {
        op->error = error;
        done.push(op);
    }

    static void count(end& of, direction kind, stream_op* op, op_queue& done) noexcept {
        auto& number = kind == direction::read ? of.counted.reads : of.counted.writes;
        auto& bytes = kind == direction::read ? of.counted.bytes_read : of.counted.bytes_written;
        ++number;
        bytes += op->bytes;
        done.push(op);
    }

    static void abort(end& of, op_queue& done) noexcept {
        finish_all(of.reads, asio::error::operation_aborted, done);
        finish_all(of.writes, asio::error::operation_aborted, done);
    }

    static void finish_all(op_queue& queue, std::error_code error, op_queue& done) noexcept {
        while (auto* op = queue.pop()) {
            finish(op, error, done);
        }
    }

    void end_pipe(unsigned from, op_queue& done) {
        ends_[from ^ 1U].in_ended = true;
        finish_all(ends_[from].writes, asio::error::broken_pipe, done);
        pump(from, done);
    }

    /// Moves bytes from the writes of `side` to the reads of its peer, as far as they go.
    void pump(unsigned side, op_queue& done) {
        auto& from = ends_[side];
        auto& to = ends_[side ^ 1U];
        for (bool moved = true; moved;) {
            moved = false;
            if (const auto most = room(from, to); most > 0 && !from.writes.empty()) {
                auto* op = from.writes.pop();
                op->transfer(to.in, std::min(most, unlimited_if_zero(from.set.write_limit)));
                count(from, direction::write, op, done);
                moved = true;
            }
            if (!to.in.empty() && !to.reads.empty()) {
                auto* op = to.reads.pop();
                op->transfer(to.in, unlimited_if_zero(to.set.read_limit));
                count(to, direction::read, op, done);
                moved = true;
            }
        }
        if (to.in_ended && to.in.empty()) finish_all(to.reads, asio::error::eof, done);
    }

    [[nodiscard]] static std::size_t unlimited_if_zero(std::size_t limit) noexcept {
        return limit == 0 ? std::numeric_limits<std::size_t>::max() : limit;
    }

    [[nodiscard]] static std::size_t room(const end& from, const end& to) noexcept {
        const auto capacity = unlimited_if_zero(from.set.capacity);
        return capacity - std::min(capacity, to.in.size());
    }

    mutable std::mutex mutex_;
    std::atomic<std::uint64_t> id_{0};
    std::array<end, 2> ends_;
};

/// Lets an ending execution context destroy the handlers that still wait, as Asio's own services do: a
/// handler that owns its stream would otherwise live for ever.
class stream_service final : public asio::execution_context::service {
public:
    using key_type = stream_service;
    inline static asio::execution_context::id id;

    explicit stream_service(asio::execution_context& context)
        : asio::execution_context::service(context) {}

    void add(const std::shared_ptr<stream_link>& link, unsigned side) {
        const std::lock_guard lock(mutex_);
        if (ends_.size() >= prune_at_) {
            std::erase_if(ends_, [](const auto& each) { return each.first.expired(); });
            prune_at_ = 2 * ends_.size() + 16;
        }
        ends_.emplace_back(link, side);
    }

private:
    void shutdown() override {
        std::unique_lock lock(mutex_);
        const auto ends = std::move(ends_);
        lock.unlock();
        for (const auto& [weak, side] : ends) {
            if (const auto link = weak.lock()) link->abandon(side);
        }
    }

    std::mutex mutex_;
    std::vector<std::pair<std::weak_ptr<stream_link>, unsigned>> ends_;
    std::size_t prune_at_ = 16;
};

/// What a cancellation slot is given: the operation may be over, and its stream gone.
class cancel_stream_op {
public:
    cancel_stream_op(const std::shared_ptr<stream_link>& link, unsigned side, std::uint64_t id) noexcept
        : link_(link)
        , id_(id)
        , side_(side) {}

    void operator()(asio::cancellation_type type) const {
        if (type == asio::cancellation_type::none) return;
        if (const auto link = link_.lock()) link->cancel(side_, id_);
    }

private:
    std::weak_ptr<stream_link> link_;
    std::uint64_t id_;
    unsigned side_;
};

template <direction Direction, class Executor>
class initiate_stream_op {
public:
    using executor_type = Executor;

    initiate_stream_op(std::shared_ptr<stream_link> link, unsigned side, const Executor& executor)
        : link_(std::move(link))
        , executor_(executor)
        , side_(side) {}

    [[nodiscard]] executor_type get_executor() const noexcept { return executor_; }

    template <class Handler, class Buffers>
    void operator()(Handler&& handler, const Buffers& buffers) const {
        const auto id = link_->next_id();
        // Before the start: once the peer's thread may complete the operation, the slot is no longer ours.
        duplex::detail::connect_slot(asio::get_associated_cancellation_slot(handler),
                                     cancel_stream_op{link_, side_, id});
        using op_type = buffer_op<Direction, Buffers, std::decay_t<Handler>, Executor>;
        auto* op = op_type::create(std::forward<Handler>(handler), buffers, executor_);
        op->id = id;
        link_->start(side_, Direction, op);
    }

private:
    std::shared_ptr<stream_link> link_;
    Executor executor_;
    unsigned side_;
};

} // namespace duplex::test::detail
