#pragma once

#include <duplex/net/detail/asio_compat.hpp>
#include <duplex/test/detail/stream_link.hpp>
#include <duplex/test/fail_count.hpp>

#include <asio/async_result.hpp>
#include <asio/buffer.hpp>
#include <asio/execution/context.hpp>
#include <asio/execution_context.hpp>
#include <asio/io_context.hpp>
#include <asio/query.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>

namespace duplex::test {

/// One end of an in-memory full-duplex connection, for tests: an Asio AsyncReadStream and AsyncWriteStream
/// that can split, delay, forge and fail.
///
/// Completion: always posted, through the stream's executor and then the handler's; an operation that cannot
/// go on yet waits, in order with others of its kind. `error::eof` where the peer ended its stream and
/// everything is read, `error::broken_pipe` where nobody will read what is written, `error::bad_descriptor`
/// after `close`. Cancellation: `total`, `partial` and `terminal`; a cancelled operation moved no bytes.
/// Threads: the two ends may live on different threads; all functions of one end may be called from any
/// thread, but for moving and destroying it. Destroying it closes it. A moved-from stream is closed, and may
/// only be asked for that and for its executor, assigned to and destroyed.
template <class Executor = asio::io_context::executor_type>
class basic_stream {
    template <detail::direction Direction>
    using initiate = detail::initiate_stream_op<Direction, Executor>;
    using signature = void(std::error_code, std::size_t);

public:
    using executor_type = Executor;

    /// The same stream with another executor type; Asio's `as_default_on` needs it.
    template <class Other>
    struct rebind_executor {
        using other = basic_stream<Other>;
    };

    basic_stream(basic_stream&&) noexcept = default;

    /// Takes over the stream, pending operations and all, under another executor type of the same context.
    template <class Other>
    requires(!std::same_as<Other, Executor> && std::convertible_to<Other, Executor>)
        basic_stream(basic_stream<Other>&& other)
    noexcept // NOLINT: implicit, as Asio's own
        : executor_(other.executor_)
        , link_(std::move(other.link_))
        , side_(other.side_) {}

    basic_stream& operator=(basic_stream&& other) {
        if (this != &other) {
            close();
            executor_ = other.executor_;
            link_ = std::move(other.link_);
            side_ = other.side_;
        }
        return *this;
    }

    ~basic_stream() { close(); }

    [[nodiscard]] executor_type get_executor() const noexcept { return executor_; }

    /// Reads at least one byte, and what fits; the memory of `buffers` has to live until completion.
    template <class Buffers, class Token = asio::default_completion_token_t<executor_type>>
    requires asio::is_mutable_buffer_sequence<Buffers>::value auto
    async_read_some(const Buffers& buffers,
                    Token&& token = asio::default_completion_token_t<executor_type>()) {
        return asio::async_initiate<Token, signature>(
            initiate<detail::direction::read>(link_, side_, executor_), token, buffers);
    }

    /// Writes at least one byte, and what `capacity` leaves room for; the memory of `buffers` has to live
    /// until completion.
    template <class Buffers, class Token = asio::default_completion_token_t<executor_type>>
    requires asio::is_const_buffer_sequence<Buffers>::value auto
    async_write_some(const Buffers& buffers,
                     Token&& token = asio::default_completion_token_t<executor_type>()) {
        return asio::async_initiate<Token, signature>(
            initiate<detail::direction::write>(link_, side_, executor_), token, buffers);
    }

    [[nodiscard]] bool is_open() const { return link_ && link_->is_open(side_); }

    /// Ends both directions: pending operations of this end are aborted, the peer reads eof after what was
    /// sent.
    void close() {
        if (link_) link_->close(side_);
    }

    /// Half close: the peer reads eof after what was sent; this end can still read.
    void shutdown_send() { link_->shutdown(side_); }

    /// Completes the pending operations of this end with `error::operation_aborted`.
    void cancel() {
        if (link_) link_->cancel(side_);
    }

    /// At most `bytes` a read; 0 for no limit.
    void read_limit(std::size_t bytes) {
        link_->configure(side_, [=](auto& set) { set.read_limit = bytes; });
    }

    /// At most `bytes` a write; 0 for no limit.
    void write_limit(std::size_t bytes) {
        link_->configure(side_, [=](auto& set) { set.write_limit = bytes; });
    }

    /// Writes of this end wait while `bytes` that it sent are not read yet; 0 for no limit.
    void capacity(std::size_t bytes) {
        link_->configure(side_, [=](auto& set) { set.capacity = bytes; });
    }

    /// Counts the operations of this end from now on, each as it begins; the chosen one fails at once and
    /// moves no bytes, later ones work again.
    void fail_with(const fail_count& failure) {
        link_->configure(side_, [&](auto& set) { set.failure = failure; });
    }

    /// What waits to be read by this end.
    [[nodiscard]] std::string pending() const { return link_->pending(side_); }

    /// Takes what waits to be read by this end, as if it had been read.
    [[nodiscard]] std::string take_pending() { return link_->take(side_ ^ 1U); }

    /// Takes what this end has sent and the peer has not read, as if the peer had read it.
    [[nodiscard]] std::string take_sent() { return link_->take(side_); }

    /// Puts `bytes` before this end as if the peer had sent them, whatever the peer's `capacity` is.
    void inject(std::string_view bytes) { link_->append(side_ ^ 1U, bytes); }

    /// Ends what this end can read, as if the peer had called `shutdown_send`.
    void inject_eof() { link_->shutdown(side_ ^ 1U); }

    /// Sends `bytes` at once, without an operation and whatever `capacity` is.
    void send(std::string_view bytes) { link_->append(side_, bytes); }

    /// Reads of this end that completed without an error.
    [[nodiscard]] std::size_t reads() const { return link_->counted(side_).reads; }

    /// Writes of this end that completed without an error.
    [[nodiscard]] std::size_t writes() const { return link_->counted(side_).writes; }

    /// Bytes that those reads gave.
    [[nodiscard]] std::uint64_t bytes_read() const { return link_->counted(side_).bytes_read; }

    /// Bytes that those writes took.
    [[nodiscard]] std::uint64_t bytes_written() const { return link_->counted(side_).bytes_written; }

private:
    template <class>
    friend class basic_stream;

    template <class First, class Second>
    friend std::pair<basic_stream<First>, basic_stream<Second>> make_stream_pair(const First&, const Second&);

    basic_stream(const Executor& executor, std::shared_ptr<detail::stream_link> link, unsigned side)
        : executor_(executor)
        , link_(std::move(link))
        , side_(side) {
        asio::execution_context& context = asio::query(executor_, asio::execution::context);
        asio::use_service<detail::stream_service>(context).add(link_, side_);
    }

    Executor executor_;
    std::shared_ptr<detail::stream_link> link_;
    unsigned side_;
};

using stream = basic_stream<>;

/// Two connected streams, the first on `first` and the second on `second`, which may be of different
/// contexts.
template <class First, class Second>
[[nodiscard]] std::pair<basic_stream<First>, basic_stream<Second>> make_stream_pair(const First& first,
                                                                                    const Second& second) {
    auto link = std::make_shared<detail::stream_link>();
    return {basic_stream<First>(first, link, 0), basic_stream<Second>(second, link, 1)};
}

/// Two connected streams on `context`.
[[nodiscard]] inline std::pair<stream, stream> make_stream_pair(asio::io_context& context) {
    return make_stream_pair(context.get_executor(), context.get_executor());
}

/// Runs by hand what is ready in `context`, and what becomes ready by that, and never waits; a context that
/// ran out of work is woken first. Returns the number of handlers that ran.
inline std::size_t run_ready(asio::io_context& context) {
    context.restart();
    return context.poll();
}

} // namespace duplex::test
