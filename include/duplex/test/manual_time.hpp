#pragma once

#include <duplex/net/detail/context_service.hpp>

#include <chrono>

namespace duplex::test {

/// Takes the clock of a context's connections into the test's hands: deadlines come when `advance` says so,
/// and no test has to sleep. Make it before the first connection of the context.
class manual_time {
public:
    explicit manual_time(asio::io_context& context)
        : service_{asio::use_service<duplex::detail::context_service>(context)} {
        service_.use_manual_time();
    }

    /// Moves the time on. What is due is posted to the context: run or poll it then.
    void advance(std::chrono::steady_clock::duration step) { service_.advance(step); }

    [[nodiscard]] time_point now() const noexcept { return service_.now(); }

private:
    duplex::detail::context_service& service_;
};

} // namespace duplex::test
