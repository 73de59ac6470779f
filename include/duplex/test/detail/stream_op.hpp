#pragma once

#include <duplex/net/detail/operation_memory.hpp>
#include <duplex/net/detail/waiter.hpp>

#include <asio/associated_allocator.hpp>
#include <asio/associated_executor.hpp>
#include <asio/buffer.hpp>
#include <asio/executor_work_guard.hpp>
#include <asio/recycling_allocator.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <new>
#include <string>
#include <string_view>
#include <system_error>
#include <tuple>
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

template <direction Direction, class Buffers, class Handler, class Executor>
class buffer_op final : public stream_op {
    using handler_executor = asio::associated_executor_t<Handler, Executor>;
    using bound = duplex::detail::bound_handler<Handler, std::tuple<std::error_code, std::size_t>>;
    using posted = duplex::detail::posted_handler<handler_executor, bound>;
    using allocator = typename bound::allocator_type;
    /// Known where the operation is complete.
    template <class Op>
    using memory_of = duplex::detail::operation_memory<Op, posted, allocator>;

public:
    template <class H>
    [[nodiscard]] static buffer_op* create(H&& handler, const Buffers& buffers, const Executor& executor) {
        return ::new (memory_of<buffer_op>::allocate(allocator_of(handler)))
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
        const auto from = allocator_of(handler_);
        const auto work = std::move(work_);
        auto handler_work = std::move(handler_work_);
        bound call(std::move(handler_), {error, bytes});
        this->~buffer_op();
        typename memory_of<buffer_op>::room room{from, this};
        memory_of<buffer_op>::post(work.get_executor(), posted(std::move(handler_work), std::move(call)),
                                   room);
    }

    /// The memory goes back before the handler dies: the handler may own where it came from.
    void destroy() noexcept override {
        const auto from = allocator_of(handler_);
        [[maybe_unused]] Handler dying(std::move(handler_));
        this->~buffer_op();
        memory_of<buffer_op>::free(from, this);
    }

private:
    [[nodiscard]] static allocator allocator_of(const Handler& handler) noexcept {
        return asio::get_associated_allocator(handler, asio::recycling_allocator<void>());
    }

    asio::executor_work_guard<handler_executor> handler_work_;
    asio::executor_work_guard<Executor> work_;
    Buffers buffers_;
    Handler handler_;
};

} // namespace duplex::test::detail
