#pragma once

// Part of websocket.hpp: what happens between its connections.

#include <duplex/core/random.hpp>
#include <duplex/detail/compiled.hpp>
#include <duplex/detail/websocket_core.hpp>
#include <duplex/net/detail/kept_call.hpp>

#include <asio/post.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <mutex>
#include <optional>
#include <string>
#include <system_error>
#include <utility>

namespace duplex {

DUPLEX_FUNCTION std::string reconnect_event::what() const {
    if (cause.error) return cause.what();
    std::string text = "closed by the server with ";
    text.append(std::to_string(close.code));
    if (!close.reason.empty()) text.append(": ").append(close.reason);
    return text;
}

namespace detail {

DUPLEX_FUNCTION void websocket_core::lost(const error_event& error, const close_event& event, bool final) {
    const pointer self{this};
    if (finished_) return;
    if (!again_ || final || state() == ready_state::closing) return finish(error, event);
    const auto delay = next_wait(error, event);
    if (!delay || !back_to_connecting()) return finish(error, event);
    std::string to = copy(url_);
    reconnect_event told{again_->count.attempts(), error, event, *delay, to, again_->options};
    if (!ask(told)) return finish(error, event);
    // Closed meanwhile, which has a step of its own under way
    if (released() || state() != ready_state::connecting) return;
    {
        const std::lock_guard lock{mutex_};
        url_ = shown_url_ = std::move(to);
    }
    wait(told.delay);
}

DUPLEX_FUNCTION std::optional<backoff::duration> websocket_core::next_wait(const error_event& error,
                                                                           const close_event& event) {
    const auto now = service_.precise_now();
    // Where the system has no random bytes, no two clients read the same clock.
    auto random = static_cast<std::uint64_t>(now.time_since_epoch().count()) << 32U;
    std::array<std::byte, sizeof(random)> drawn{};
    if (fill_random(drawn)) std::memcpy(&random, drawn.data(), sizeof(random));
    again_->count.lost(now);
    return again_->count.next(random, error.response
                                          ? wish_of(*error.response, std::chrono::system_clock::now())
                                          : wish_of(close_code{event.code}));
}

DUPLEX_FUNCTION bool websocket_core::back_to_connecting() {
    auto before = state();
    do {
        if (before == ready_state::closing) return false;
    } while (!state_.compare_exchange_weak(before, ready_state::connecting, std::memory_order_acq_rel));
    {
        const std::lock_guard lock{mutex_};
        handle_ = {};
        protocol_.clear();
        extensions_.clear();
        holding_ = false;
    }
    connection_ = connection_type{};
    return true;
}

DUPLEX_FUNCTION bool websocket_core::ask(reconnect_event& event) {
    if (!on_reconnect) return true;
    struct on_exit {
        websocket_core& core;
        const close_event& close;
        bool returned = false;
        ~on_exit() {
            if (returned) return;
            // It threw, and two exceptions can't leave at once.
            asio::post(core.executor_, [self = pointer{&core}, later = close] {
                if (!self->released()) self->finish({errc::callback_threw, nullptr, {}, phase::open}, later);
            });
        }
    } exit{*this, event.close};
    on_reconnect(event);
    exit.returned = true;
    return !event.give_up;
}

DUPLEX_FUNCTION void websocket_core::wait(backoff::duration delay) {
    constexpr backoff::duration longest = std::chrono::hours{24};
    waiting_ = true;
    service_.schedule(*this, service_.precise_now() + std::clamp(delay, backoff::duration{0}, longest),
                      executor_);
}

DUPLEX_FUNCTION void websocket_core::stop_waiting() noexcept {
    if (std::exchange(waiting_, false)) service_.cancel(*this);
}

DUPLEX_FUNCTION void websocket_core::on_deadline() noexcept {
    post_call(executor_, pointer{this}, [](websocket_core& self) { self.wait_over(); });
}

DUPLEX_FUNCTION void websocket_core::wait_over() {
    // Otherwise it was closed or destroyed meanwhile.
    if (std::exchange(waiting_, false)) connect(connect_options{again_->options});
}

/// What waits has no handler that would have to be dropped.
DUPLEX_FUNCTION void websocket_core::on_shutdown() noexcept { waiting_ = false; }

DUPLEX_FUNCTION bool websocket_core::must_keep() const noexcept {
    if (!kept_) return false;
    const auto known = state();
    if (known != ready_state::open) return known == ready_state::connecting;
    // What on_open sends goes before all that was kept.
    if (holding_) return !executor_.running_in_this_thread() || !telling_open_;
    return !handle_.is_open();
}

DUPLEX_FUNCTION void websocket_core::send_kept(bool all) {
    if (!connection_) return;
    {
        const std::lock_guard lock{mutex_};
        auto status = send_status::ok;
        while (!kept_->empty() && (status == send_status::ok || (all && accepted(status)))) {
            const auto next = kept_->front();
            status = connection_.send(next.op, next.payload, {.how = next.how});
            if (accepted(status)) kept_->pop();
        }
        holding_ = !kept_->empty();
        // Where the connection can't take them they wait for the next one.
        if (!holding_ || all ||
            !(status == send_status::above_watermark || status == send_status::queue_full))
            return;
    }
    connection_.async_drain([self = pointer{this}](std::error_code error) {
        if (!error && !self->released()) self->send_kept(false);
    });
}

DUPLEX_FUNCTION void websocket_core::drop_kept() noexcept {
    const std::lock_guard lock{mutex_};
    if (kept_) kept_->clear();
}

} // namespace detail
} // namespace duplex
