#pragma once

// Part of websocket.hpp: what the object does.

#include <duplex/detail/compiled.hpp>
#include <duplex/detail/websocket_core.hpp>
#include <duplex/http/uri.hpp>
#include <duplex/net/connect.hpp>

#include <asio/bind_cancellation_slot.hpp>
#include <asio/dispatch.hpp>
#include <asio/post.hpp>

#include <mutex>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

namespace duplex {

DUPLEX_FUNCTION std::string error_event::what() const {
    std::string text = error.message();
    if (!why.empty())
        text.append(": ").append(why);
    else if (response && response->status != 0 && response->status != 101)
        text.append(": server answered ")
            .append(std::to_string(response->status))
            .append(" ")
            .append(response->reason);
    return text;
}

namespace detail {

DUPLEX_FUNCTION websocket_core::websocket_core(asio::io_context& context)
    : executor_{asio::make_strand(context)}
    , service_{context_service::of(executor_)} {
    service_.join(*this);
}

DUPLEX_FUNCTION websocket_core::~websocket_core() { service_.leave(*this); }

DUPLEX_FUNCTION std::error_code websocket_core::open(std::string_view url, connect_options&& options) {
    if (opened_.exchange(true, std::memory_order_relaxed)) return errc::already_open;
    {
        const std::lock_guard lock{mutex_};
        url_ = shown_url_ = url;
        if (options.reconnect) {
            again_ = std::make_unique<reconnecting>(options);
            if (options.reconnect->keep_queue)
                kept_.emplace(options.connection.limits, options.connection.check_outgoing_text);
        }
    }
    state_.store(ready_state::connecting, std::memory_order_release);
    asio::post(executor_, [self = pointer{this}, options = std::move(options)]() mutable {
        self->connect(std::move(options));
    });
    return {};
}

DUPLEX_FUNCTION ready_state websocket_core::ready() const noexcept {
    const auto known = state();
    // WHATWG WebSockets 9.3.1: the closing handshake has begun, perhaps by the peer.
    return known == ready_state::open && !handle().is_open() ? ready_state::closing : known;
}

DUPLEX_FUNCTION send_status websocket_core::send(opcode op, std::span<const std::byte> payload,
                                                 compression how) {
    for (;;) {
        connection_type::handle_type to;
        bool keeps = false;
        {
            const std::lock_guard lock{mutex_};
            if (must_keep()) return kept_->keep(op, payload, how, handle_.buffered_amount());
            keeps = kept_.has_value();
            to = handle_;
        }
        // WHATWG: sending while connecting is an error; while closing or closed it is too late, and nothing
        // is queued.
        if (!to || state() != ready_state::open) return send_status::not_open;
        const auto status = to.send(op, payload, {.how = how});
        // Where the connection has ended meanwhile it is kept after all.
        if (status != send_status::not_open || !keeps) return status;
    }
}

DUPLEX_FUNCTION std::error_code websocket_core::close(close_code code, std::string_view reason) {
    // WHATWG WebSockets 9.3.4: an application closes with 1000 or 3000-4999.
    const auto number = to_number(code);
    if (code != close_code::no_status && number != 1000 && (number < 3000 || number > 4999))
        return errc::close_code_not_allowed;
    if (const auto error = check_close(code, reason)) return error;
    auto before = state();
    do {
        if (before == ready_state::closing || before == ready_state::closed) return {};
    } while (!state_.compare_exchange_weak(before, ready_state::closing, std::memory_order_acq_rel));
    asio::post(executor_,
               [self = pointer{this}, code, why = std::string{reason}] { self->start_close(code, why); });
    return {};
}

DUPLEX_FUNCTION std::size_t websocket_core::buffered() const noexcept {
    const std::lock_guard lock{mutex_};
    return handle_.buffered_amount() + (kept_ ? kept_->bytes() : 0);
}

DUPLEX_FUNCTION void websocket_core::release() {
    released_.store(true, std::memory_order_release);
    asio::dispatch(executor_, [self = pointer{this}] {
        self->cancel_.emit(asio::cancellation_type::terminal);
        self->stop_waiting();
        self->drop_kept();
        self->connection_ = connection_type{};
    });
}

DUPLEX_FUNCTION void websocket_core::connect(connect_options&& options) {
    if (released() || finished_) return;
    const auto to = copy(url_);
    uri parsed;
    auto error = parse_uri(to, parsed);
    if (!error) {
        const std::lock_guard lock{mutex_};
        shown_url_ = parsed.to_string();
    }
    // A close may have come first.
    if (state() != ready_state::connecting) return finish_aborted(phase::prepare);
    // A run of ours takes whole messages.
    if (!error && options.connection.deliver_fragments) error = errc::fragments_not_taken;
    if (error) return finish_unopened(error, nullptr);
    attempting_ = true;
    async_connect(executor_, to, std::move(options),
                  asio::bind_cancellation_slot(
                      cancel_.slot(), [self = pointer{this}](std::error_code failed, connection_type made) {
                          self->connected(failed, std::move(made));
                      }));
}

struct websocket_core::runner {
    websocket_core* core;
    void operator()(const message& received) const {
        // WHATWG WebSockets: messages are delivered while open only.
        if (!core->released() && core->state() == ready_state::open && core->on_message)
            core->on_message(received);
    }
};

DUPLEX_FUNCTION void websocket_core::connected(std::error_code error, connection_type&& made) {
    attempting_ = false;
    if (released()) return;
    // Closed by the application, and whatever came of that.
    if (error && state() == ready_state::closing) return finish_aborted(made.opening_outcome()->phase);
    if (error) return finish_unopened(error, made.opening_outcome());
    {
        const std::lock_guard lock{mutex_};
        handle_ = made.handle();
        protocol_ = made.opening_outcome()->subprotocol;
        extensions_ = made.opening_outcome()->extensions;
        shown_url_ = made.opening_outcome()->url;
        holding_ = kept_.has_value();
    }
    // Another thread may be closing.
    auto before = ready_state::connecting;
    if (!state_.compare_exchange_strong(before, ready_state::open, std::memory_order_acq_rel))
        return finish_aborted(phase::upgrade);
    connection_ = std::move(made);
    connection_.forget_opening();
    // The run is under way before on_open, which may send, close, destroy or throw; it delivers nothing
    // before this function is left.
    const pointer self{this};
    connection_.async_run(runner{this}, [self](std::error_code failed) { self->ended(failed); });
    openings_.fetch_add(1, std::memory_order_relaxed);
    if (again_) again_->count.opened(service_.precise_now());
    if (on_open) tell_open();
    if (kept_) send_kept(false);
}

DUPLEX_FUNCTION void websocket_core::tell_open() {
    struct on_exit {
        websocket_core& core;
        bool returned = false;
        ~on_exit() {
            core.telling_open_ = false;
            if (!returned) core.fail_open();
        }
    } exit{*this};
    telling_open_ = true;
    on_open();
    exit.returned = true;
}

DUPLEX_FUNCTION void websocket_core::fail_open() {
    open_threw_ = true;
    state_.store(ready_state::closing, std::memory_order_release);
    if (connection_) connection_.close(close_code::internal_error);
}

DUPLEX_FUNCTION void websocket_core::start_close(close_code code, const std::string& reason) {
    if (released()) return;
    if (connection_) {
        // RFC 6455 5.5.1: nothing follows a Close.
        if (kept_) send_kept(true);
        connection_.close(code, reason);
    } else if (attempting_) {
        cancel_.emit(asio::cancellation_type::terminal);
    } else {
        // Between two attempts
        finish_aborted(phase::prepare);
    }
}

DUPLEX_FUNCTION void websocket_core::finish_unopened(std::error_code error, const handshake_outcome* known) {
    error_event event{error, nullptr, {}, phase::prepare};
    if (known) {
        if (known->status != 0) event.response = known;
        event.why = known->why;
        event.phase = known->phase;
    }
    lost(event, close_event{}, again_ && again_->rules.is_final(error, known ? known->status : 0));
}

DUPLEX_FUNCTION void websocket_core::finish_aborted(phase where) {
    lost({errc::aborted, nullptr, {}, where}, close_event{}, true);
}

DUPLEX_FUNCTION void websocket_core::ended(std::error_code error) {
    if (released()) return;
    close_event event;
    // WHATWG WebSockets: a connection that fails has no code and was not clean, whatever the peer
    // answers.
    if (open_threw_) return finish({errc::callback_threw, nullptr, {}, phase::open}, event);
    if (const auto* result = connection_.result()) {
        event.code = to_number(result->code);
        event.reason = result->reason;
        event.was_clean = result->was_clean;
        event.begun_by = result->begun_by;
    }
    // A peer may answer the Close of a deadline of ours with any code.
    const bool final =
        again_ && (error ? again_->rules.is_final(error) : again_->rules.is_final(close_code{event.code}));
    const bool closing = state() == ready_state::closing || event.code != to_number(close_code::abnormal);
    lost({event.was_clean ? std::error_code{} : error, nullptr, {}, closing ? phase::closing : phase::open},
         event, final);
}

DUPLEX_FUNCTION void websocket_core::finish(const error_event& error, const close_event& event) {
    const pointer self{this};
    if (std::exchange(finished_, true)) return;
    state_.store(ready_state::closed, std::memory_order_release);
    stop_waiting();
    drop_kept();
    struct on_exit {
        websocket_core& core;
        const close_event& event;
        bool returned = false;
        ~on_exit() {
            if (returned) return;
            // on_error threw, and two exceptions can't leave at once.
            asio::post(core.executor_, [self = pointer{&core}, later = event] { self->tell_close(later); });
        }
    } exit{*this, event};
    if (error.error && on_error && !released()) on_error(error);
    exit.returned = true;
    tell_close(event);
}

DUPLEX_FUNCTION void websocket_core::tell_close(const close_event& event) {
    const pointer self{this};
    if (on_close && !released()) on_close(event);
}

DUPLEX_FUNCTION websocket_core::connection_type::handle_type websocket_core::handle() const {
    const std::lock_guard lock{mutex_};
    return handle_;
}

} // namespace detail
} // namespace duplex

#include <duplex/impl/websocket_reconnect.hpp>
