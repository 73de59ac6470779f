#pragma once

#include <asio/associated_allocator.hpp>
#include <asio/associated_executor.hpp>
#include <asio/buffer.hpp>
#include <asio/executor_work_guard.hpp>
#include <asio/post.hpp>
#include <asio/recycling_allocator.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

namespace duplex::test::detail {

/// The bytes under way to one end.
class pipe {
public:
    [[nodiscard]] std::size_t size() const noexcept { return bytes_.size() - taken_; }
    [[nodiscard]] bool empty() const noexcept { return size() == 0; }
    [[nodiscard]] std::string_view view() const noexcept { return std::string_view(bytes_).substr(taken_); }

    void append(std::string_view bytes) { bytes_.append(bytes); }

    template <class Buffers>
    std::size_t write(const Buffers& buffers, std::size_t most) {
        const auto count = std::min(asio::buffer_size(buffers), most);
        const auto before = bytes_.size();
        bytes_.resize(before + count);
        return asio::buffer_copy(asio::mutable_buffer(bytes_.data() + before, count), buffers);
    }

    template <class Buffers>
    std::size_t read(const Buffers& buffers, std::size_t most) {
        const auto bytes = view().substr(0, most);
        const auto count = asio::buffer_copy(buffers, asio::const_buffer(bytes.data(), bytes.size()));
        taken_ += count;
        // Moving what is left only when it is the smaller part keeps many small reads linear.
        if (taken_ >= size()) {
            bytes_.erase(0, taken_);
            taken_ = 0;
        }
        return count;
    }

    [[nodiscard]] std::string take() {
        std::string all(view());
        bytes_.clear();
        taken_ = 0;
        return all;
    }

private:
    std::string bytes_;
    std::size_t taken_ = 0;
};

enum class direction : std::uint8_t { read, write };

/// A pending operation, whatever its buffers, handler and executor are.
class stream_op {
public:
    std::uint64_t id = 0;
    std::error_code error;
    std::size_t bytes = 0;

    [[nodiscard]] virtual bool wants_nothing() const noexcept = 0;
    virtual void transfer(pipe& through, std::size_t most) = 0;
    virtual void complete() = 0;         ///< frees the operation and posts its handler
    virtual void destroy() noexcept = 0; ///< frees the operation, handler and all

protected:
    stream_op() = default;
    stream_op(const stream_op&) = delete;
    stream_op& operator=(const stream_op&) = delete;
    ~stream_op() = default;

private:
    friend class op_queue;
    stream_op* next_ = nullptr;
};

/// Operations in the order in which they began; owns them.
class op_queue {
public:
    op_queue() = default;
    op_queue(const op_queue&) = delete;
    op_queue& operator=(const op_queue&) = delete;

    ~op_queue() {
        while (auto* op = pop()) {
            op->destroy();
        }
    }

    [[nodiscard]] bool empty() const noexcept { return first_ == nullptr; }

    void push(stream_op* op) noexcept {
        op->next_ = nullptr;
        *last_ = op;
        last_ = &op->next_;
    }

    [[nodiscard]] stream_op* pop() noexcept { return remove(&first_); }

    [[nodiscard]] stream_op* remove(std::uint64_t id) noexcept {
        auto** link = &first_;
        while (*link != nullptr && (*link)->id != id) {
            link = &(*link)->next_;
        }
        return remove(link);
    }

    void complete_all() {
        while (auto* op = pop()) {
            op->complete();
        }
    }

private:
    [[nodiscard]] stream_op* remove(stream_op** link) noexcept {
        auto* op = *link;
        if (op == nullptr) return nullptr;
        *link = op->next_;
        if (last_ == &op->next_) last_ = link;
        return op;
    }

    stream_op* first_ = nullptr;
    stream_op** last_ = &first_;
};

/// A handler with its results, as `post` wants it.
template <class Handler, class Executor>
class bound_handler {
public:
    using executor_type = asio::associated_executor_t<Handler, Executor>;
    using allocator_type = asio::associated_allocator_t<Handler, asio::recycling_allocator<void>>;

    bound_handler(Handler&& handler, executor_type executor, std::error_code error, std::size_t bytes)
        : handler_(std::move(handler))
        , executor_(std::move(executor))
        , error_(error)
        , bytes_(bytes) {}

    [[nodiscard]] executor_type get_executor() const noexcept { return executor_; }

    [[nodiscard]] allocator_type get_allocator() const noexcept {
        return asio::get_associated_allocator(handler_, asio::recycling_allocator<void>());
    }

    void operator()() { std::move(handler_)(error_, bytes_); }

private:
    Handler handler_;
    executor_type executor_;
    std::error_code error_;
    std::size_t bytes_;
};

template <direction Direction, class Buffers, class Handler, class Executor>
class buffer_op final : public stream_op {
    using bound = bound_handler<Handler, Executor>;
    using handler_executor = typename bound::executor_type;
    using allocator =
        typename std::allocator_traits<typename bound::allocator_type>::template rebind_alloc<buffer_op>;

public:
    template <class H>
    [[nodiscard]] static buffer_op* create(H&& handler, const Buffers& buffers, const Executor& executor) {
        auto memory = allocator_of(handler);
        return ::new (static_cast<void*>(std::allocator_traits<allocator>::allocate(memory, 1)))
            buffer_op(std::forward<H>(handler), buffers, executor);
    }

    template <class H>
    buffer_op(H&& handler, const Buffers& buffers, const Executor& executor)
        : handler_work_(asio::get_associated_executor(handler, executor))
        , work_(executor)
        , buffers_(buffers)
        , handler_(std::forward<H>(handler)) {}

    [[nodiscard]] bool wants_nothing() const noexcept override { return asio::buffer_size(buffers_) == 0; }

    void transfer(pipe& through, std::size_t most) override {
        if constexpr (Direction == direction::read) {
            bytes = through.read(buffers_, most);
        } else {
            bytes = through.write(buffers_, most);
        }
    }

    void complete() override {
        const auto work = std::move(work_);
        const auto handler_work = std::move(handler_work_);
        const auto result = error;
        const auto count = bytes;
        auto handler = release();
        asio::post(work.get_executor(),
                   bound(std::move(handler), handler_work.get_executor(), result, count));
    }

    void destroy() noexcept override { static_cast<void>(release()); }

private:
    [[nodiscard]] static allocator allocator_of(const Handler& handler) noexcept {
        return allocator(asio::get_associated_allocator(handler, asio::recycling_allocator<void>()));
    }

    /// The memory goes back before the handler is called or dies: the handler may own where it came from.
    [[nodiscard]] Handler release() {
        Handler handler(std::move(handler_));
        auto memory = allocator_of(handler);
        this->~buffer_op();
        std::allocator_traits<allocator>::deallocate(memory, this, 1);
        return handler;
    }

    asio::executor_work_guard<handler_executor> handler_work_;
    asio::executor_work_guard<Executor> work_;
    Buffers buffers_;
    Handler handler_;
};

} // namespace duplex::test::detail
