#pragma once

// The opening handshake over a stream (RFC 6455 4): drives the sans-I/O handshakes of handshake/.

#include <duplex/core/detail/words.hpp>
#include <duplex/net/impl/connection_state.hpp>

namespace duplex::detail {

template <class Stream>
bool connection_state<Stream>::opening_start(role self, waiter<std::error_code>& done) {
    std::error_code error;
    if (is_.ended)
        error = errc::not_open;
    else if (!opening_)
        error = errc::already_open;
    else if (opening_->waiting)
        error = errc::operation_pending;
    else if (self == role::server ? opening_->client != nullptr : opening_->server.has_value())
        error = errc::already_open;
    else if (opening_->server && !opening_->server->response().empty())
        error = errc::already_open;
    if (error) {
        done.complete(completion::post, error);
        return false;
    }
    opening_->waiting = &done;
    if (const auto& budget = opening_->options.budget; budget && !opening_->counted) {
        opening_->counted = budget.begin_handshake();
        if (!opening_->counted) {
            opening_done(errc::budget_full);
            return false;
        }
    }
    if (opening_->deadline == no_deadline) {
        const auto& times = opening_->options.timeouts;
        opening_->deadline =
            deadline_after(service_->precise_now(), securing() ? times.tls : times.handshake);
    }
    update_deadline();
    return true;
}

/// The TLS handshake comes first, and is not over.
template <class Stream>
bool connection_state<Stream>::securing() noexcept {
    if constexpr (layered)
        return opening_ && !stream_.layers().established();
    else
        return false;
}

/// Goes on with the TLS handshake, as far as it can without waiting.
template <class Stream>
void connection_state<Stream>::secure() {
    if constexpr (layered) {
        using progress = transport_layer::progress;
        std::error_code error;
        switch (stream_.layers().establish(stream_, error)) {
        case progress::done: return secured();
        case progress::wants_read:
            if constexpr (polled) this->readable_ = this->readable_ || unread();
            return start_read();
        case progress::wants_write: return await_writable();
        case progress::failed: return opening_done(error);
        }
    }
}

/// What the opening would have begun with.
template <class Stream>
void connection_state<Stream>::secured() {
    if constexpr (polled) this->readable_ = true;
    opening_->deadline = deadline_after(service_->precise_now(), opening_->options.timeouts.handshake);
    update_deadline();
    if (opening_->client)
        opening_written();
    else
        opening_received({}, {});
}

/// The first step of an opening: nothing is completed from inside of it.
template <class Stream>
template <class Step>
void connection_state<Stream>::begin_opening(Step step) {
    opening_->initiating = true;
    if (securing())
        secure();
    else
        step();
    if (opening_) opening_->initiating = false;
}

template <class Stream>
void connection_state<Stream>::read_request(waiter<std::error_code>& done) {
    if (!opening_start(role::server, done)) return;
    (void)opening_->as_server();
    begin_opening([&] { opening_received({}, {}); });
}

template <class Stream>
void connection_state<Stream>::accept(std::shared_ptr<const server_handshake_options> options,
                                      waiter<std::error_code>& done) {
    if (!opening_start(role::server, done)) return;
    (void)opening_->as_server();
    opening_->accept_options = std::move(options);
    begin_opening([&] { opening_received({}, {}); });
}

template <class Stream>
DUPLEX_RARE void connection_state<Stream>::reject(unsigned status, const fields& headers,
                                                  std::string_view body, waiter<std::error_code>& done) {
    if (!opening_start(role::server, done)) return;
    auto& server = opening_->as_server();
    if (const auto error = server.reject(status, headers, body)) return opening_done(error);
    begin_opening([&] { opening_write(server.response()); });
}

template <class Stream>
void connection_state<Stream>::handshake(const uri& to, const client_handshake_options& options,
                                         waiter<std::error_code>& done) {
    if (!opening_start(role::client, done)) return;
    auto client = client_opening::make();
    auto wrong = check_deflate(options.deflate);
    if (!wrong) wrong = client->handshake.start(to, options);
    if (wrong) return opening_done(wrong);
    opening_->deflate = options.deflate;
    const auto request = client->handshake.request();
    opening_->client = std::move(client);
    opening_->to_write = request;
    begin_opening([&] { opening_written(); });
}

/// Feeds bytes to the handshake, or how the stream ended, and does what comes next: read more, answer, or
/// end.
template <class Stream>
void connection_state<Stream>::opening_received(std::span<const std::byte> bytes, std::error_code ended) {
    auto& now = *opening_;
    if (now.refused) {
        // The answer is out: what still comes is read only so that the peer gets to see it.
        if (ended)
            end();
        else
            start_read();
        return;
    }
    if (now.client) {
        auto outcome = now.client->receive(bytes, bool{ended});
        if (!outcome) return start_read();
        // A refusal is one, too, where its body was cut off.
        const bool cut_off = ended && ended != asio::error::eof && outcome->error != errc::upgrade_refused;
        const auto error = cut_off ? ended : outcome->error;
        if (!error) return become_open(role::client, std::move(*outcome));
        keep_outcome(std::move(*outcome));
        return opening_done(error);
    }
    auto& server = *now.server;
    if (ended) {
        if (ended != asio::error::eof) return opening_done(ended);
        server.eof();
        return opening_done(server.outcome().error);
    }
    switch (server.receive(bytes)) {
    case server_handshake::progress::need_more: return start_read();
    case server_handshake::progress::request_ready: return opening_request_ready();
    case server_handshake::progress::failed: return opening_write(server.response());
    }
}

template <class Stream>
void connection_state<Stream>::opening_request_ready() {
    auto& now = *opening_;
    // The request was all that was asked for: it stays, to be accepted or rejected.
    if (!now.accept_options) {
        auto* waiting = std::exchange(now.waiting, nullptr);
        return waiting->complete(completion::post, {});
    }
    const auto options = std::exchange(now.accept_options, nullptr);
    auto error = check_deflate(options->deflate);
    if (!error) error = now.server->accept(*options);
    now.deflate = options->deflate;
    if (error && now.server->response().empty()) {
        // The caller's own mistake: the request can still be answered.
        auto* waiting = std::exchange(now.waiting, nullptr);
        return waiting->complete(completion::post, error);
    }
    opening_write(now.server->response());
}

template <class Stream>
void connection_state<Stream>::opening_write(std::string_view bytes) {
    opening_->to_write = bytes;
    opening_written();
}

/// Writes on, and goes on behind the last byte.
template <class Stream>
void connection_state<Stream>::opening_written() {
    auto& now = *opening_;
    if constexpr (layered) {
        if (std::error_code error; unsent() && !flush_layers(error))
            return error == asio::error::would_block ? await_writable() : opening_done(error);
    }
    if (!now.to_write.empty()) {
        const asio::const_buffer rest{now.to_write.data(), now.to_write.size()};
        if constexpr (traits::waits) {
            std::error_code error;
            const std::size_t size = stream_.write_some(rest, error);
            if (error && error != asio::error::would_block && error != asio::error::try_again)
                return opening_done(error);
            now.to_write.remove_prefix(size);
            if (!now.to_write.empty() || unsent()) return await_writable();
        } else {
            is_.writing = true;
            stream_.async_write_some(rest, write_handler{pointer{this}});
            return;
        }
    }
    if (now.client) return start_read();
    const auto error = now.server->outcome().error;
    if (error) {
        // The peer reads the refusal, then ends: closing at once could take the answer away from it.
        now.refused = true;
        now.deadline = deadline_after(service_->precise_now(), now.options.timeouts.close);
        update_deadline();
        keep_outcome(now.server->take_outcome());
        is_.shut = traits::shutdown_send(stream_);
        if (auto* waiting = std::exchange(now.waiting, nullptr)) waiting->complete(completion::post, error);
        if (!is_.shut) return end();
        return start_read();
    }
    become_open(role::server, now.server->take_outcome());
}

/// The handshake is over without a connection.
template <class Stream>
DUPLEX_RARE void connection_state<Stream>::opening_done(std::error_code error) {
    auto* waiting = std::exchange(opening_->waiting, nullptr);
    const bool misuse = error == condition::misuse;
    if (!misuse) {
        // A stream that was given up from the beginning knows better what is wrong with it.
        if (const auto* end = how_it_ended(); end && end->transport) error = end->transport;
        const auto where = securing() ? phase::tls : phase::upgrade;
        if (!outcome()) {
            // As far as the answer has come.
            auto known = opening_->client ? opening_->client->receive({}, true) : std::nullopt;
            keep_outcome(known ? std::move(*known) : handshake_outcome{});
        }
        auto& kept = *outcome();
        // That the server ended it is said of another error.
        if (kept.error != error) kept.why.clear();
        kept.error = error;
        kept.phase = where;
        if constexpr (layered)
            if (const auto* layer = stream_.layers().top())
                if (const auto known = layer->explanation(); !known.empty()) kept.why = words(known);
        end();
    }
    if (waiting) waiting->complete(completion::post, error);
}

template <class Stream>
DUPLEX_RARE void connection_state<Stream>::cancel_opening() {
    if (opening_ && opening_->waiting) opening_done(asio::error::operation_aborted);
}

/// Shows who observes it what comes and goes from now on.
template <class Stream>
DUPLEX_RARE void connection_state<Stream>::observe(const handshake_outcome& outcome) {
    wire_start start{.self = session_.self(), .options = *session_.shared_options(), .now = service_->now()};
    if (session_.codec() != nullptr) {
        start.deflate = outcome.deflate;
        start.deflating = *opening_->deflate;
    }
    start.number = observed_connections.fetch_add(1, std::memory_order_relaxed) + 1;
    // A connection goes on where whoever wants to look at it can't.
    (void)nothrow([&] { (void)session_.observe(opening_->options.observer(start)); });
}

template <class Stream>
void connection_state<Stream>::become_open(role self, handshake_outcome&& outcome) {
    session_ = session{self, session_.shared_options(), service_->now()};
    if (outcome.deflate && opening_->deflate) {
        auto codec = default_codec(self, *outcome.deflate, *opening_->deflate);
        if (!codec) session_.fail(errc::out_of_memory);
        session_.use(std::move(codec));
    }
    if (opening_->options.observer) observe(outcome);
    auto* waiting = std::exchange(opening_->waiting, nullptr);
    const auto how = opening_->initiating ? completion::post : completion::dispatch;
    const bool forgotten = opening_->forgotten;
    opening_.reset();
    if (!outcome.leftover.empty()) {
        // Bytes behind the head belong to the WebSocket.
        auto rest = std::make_unique<byte_buffer>();
        if (!rest->append(outcome.leftover)) session_.fail(errc::out_of_memory);
        session_.receive(rest->bytes());
        with_seldom().stash = std::move(rest);
        outcome.leftover = {};
    }
    if (!forgotten) keep_outcome(std::move(outcome));
    open_.store(true, std::memory_order_release);
    update_deadline();
    waiting->complete(how, {});
}

} // namespace duplex::detail
