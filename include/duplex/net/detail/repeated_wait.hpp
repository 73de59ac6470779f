#pragma once

// Waiting for one descriptor to become readable, again and again: Linux only.

#if defined(__linux__)

#include <duplex/net/detail/asio_compat.hpp>

#if defined(ASIO_HAS_EPOLL) && !defined(ASIO_HAS_IO_URING_AS_DEFAULT) && ASIO_VERSION < 103900 &&            \
    !defined(DUPLEX_PORTABLE_WAIT)
#define DUPLEX_WAITS_IN_REACTOR 1
#include <asio/detail/reactor.hpp>
#include <asio/detail/reactor_op.hpp>
#else
#include <asio/posix/basic_stream_descriptor.hpp>
#endif

#include <cstddef>
#include <system_error>

#include <unistd.h>

namespace duplex::detail {

/// Who is called when the wait is over: on the context's thread, also after it was called off.
class wait_owner {
public:
    virtual void on_wait_over() = 0;

protected:
    ~wait_owner() = default;
};

#if defined(DUPLEX_WAITS_IN_REACTOR)

/// By an operation of Asio's reactor that stays in place and tells it that nothing is left to read, so that
/// beginning anew costs no system call: `async_wait` would register the descriptor each time. What is used
/// here of Asio's inside is the same in all versions seen; others get the variant below.
class repeated_wait final : private asio::detail::reactor_op {
public:
    repeated_wait(asio::io_context& context, wait_owner& owner)
        : reactor_op{std::error_code{}, &perform, &complete}
        , reactor_{asio::use_service<asio::detail::reactor>(context)}
        , owner_{owner} {
        reactor_.init_task();
    }
    repeated_wait(const repeated_wait&) = delete;
    repeated_wait& operator=(const repeated_wait&) = delete;

    [[nodiscard]] bool is_open() const noexcept { return handle_ >= 0; }
    [[nodiscard]] int native_handle() const noexcept { return handle_; }

    /// Takes over a descriptor.
    [[nodiscard]] std::error_code assign(int descriptor) {
        if (const int error = reactor_.register_descriptor(descriptor, data_); error != 0) {
            ::close(descriptor);
            return {error, asio::error::get_system_category()};
        }
        handle_ = descriptor;
        return {};
    }

    /// When readiness comes, and at once where it has come since the last time. One at a time.
    void start() {
        ec_ = std::error_code{};
        reactor_.start_op(asio::detail::reactor::read_op, handle_, data_, this, true, true);
    }
    void cancel() noexcept { reactor_.cancel_ops(handle_, data_); }

    /// Before its context goes away. The context runs or drops what it still holds of the wait before the
    /// wait is destroyed.
    void close() noexcept {
        if (!is_open()) return;
        reactor_.deregister_descriptor(handle_, data_, true);
        ::close(handle_);
        handle_ = -1;
        reactor_.cleanup_descriptor_data(data_);
    }

private:
    static status perform(reactor_op*) { return done_and_exhausted; }

    static void complete(void* context, asio::detail::operation* self, const std::error_code&, std::size_t) {
        // Without a context it is only thrown away.
        if (context) static_cast<repeated_wait*>(self)->owner_.on_wait_over();
    }

    asio::detail::reactor& reactor_;
    wait_owner& owner_;
    asio::detail::reactor::per_descriptor_data data_{};
    int handle_ = -1;
};

#else

/// By `async_wait`.
class repeated_wait final {
public:
    repeated_wait(asio::io_context& context, wait_owner& owner)
        : descriptor_{context}
        , owner_{owner} {}

    [[nodiscard]] bool is_open() const noexcept { return descriptor_.is_open(); }
    [[nodiscard]] int native_handle() { return descriptor_.native_handle(); }

    [[nodiscard]] std::error_code assign(int descriptor) {
        std::error_code error;
        descriptor_.assign(descriptor, error);
        if (error) ::close(descriptor);
        return error;
    }

    void start() {
        descriptor_.async_wait(asio::posix::descriptor_base::wait_read,
                               [&owner = owner_](std::error_code) { owner.on_wait_over(); });
    }
    void cancel() noexcept {
        std::error_code ignored;
        descriptor_.cancel(ignored);
    }
    void close() noexcept {
        std::error_code ignored;
        descriptor_.close(ignored);
    }

private:
    asio::posix::basic_stream_descriptor<asio::io_context::executor_type> descriptor_;
    wait_owner& owner_;
};

#endif

} // namespace duplex::detail

#endif
