#pragma once

#include <duplex/net/detail/asio_config.hpp>

#include <asio/error.hpp>

#include <atomic>
#include <concepts>
#include <cstddef>
#include <memory>
#include <system_error>

namespace duplex::test {

/// Counts operations and makes the `n`-th of them fail; copies share one count, so that one `fail_count` can
/// be attached to any number of streams. Any thread may use it.
class fail_count {
public:
    /// The `n`-th operation fails with `error`, counted from 1; no operation fails where `n` is 0.
    explicit fail_count(std::size_t n, std::error_code error = asio::error::connection_reset)
        : state_(std::make_shared<state>(n, error)) {}

    /// Counts an operation that begins; gives the error with which it has to fail, or none.
    [[nodiscard]] std::error_code next() noexcept {
        const auto number = state_->count.fetch_add(1, std::memory_order_relaxed) + 1;
        return number == state_->n ? state_->error : std::error_code{};
    }

    /// Whether the `n`-th operation has come, and so has failed.
    [[nodiscard]] bool triggered() const noexcept { return state_->n != 0 && count() >= state_->n; }

    /// The operations counted so far, the failed one included.
    [[nodiscard]] std::size_t count() const noexcept { return state_->count.load(std::memory_order_relaxed); }

private:
    struct state {
        state(std::size_t which, std::error_code with) noexcept
            : n(which)
            , error(with) {}

        const std::size_t n;
        const std::error_code error;
        std::atomic<std::size_t> count{0};
    };

    std::shared_ptr<state> state_;
};

/// Calls `run(fail_count&)` with `n` = 1, 2, 3 ... until a run ends without its failure having been
/// triggered; returns how many runs failed, which is the number of operations that a good run takes. Each run
/// must begin from nothing, attach the `fail_count` to its streams, and end whatever fails.
template <std::invocable<fail_count&> F>
std::size_t for_each_failure(F run, std::error_code error = asio::error::connection_reset) {
    for (std::size_t n = 1;; ++n) {
        fail_count failure{n, error};
        run(failure);
        if (!failure.triggered()) return n - 1;
    }
}

} // namespace duplex::test
