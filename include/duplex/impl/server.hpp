#pragma once

// Part of server.hpp: what a server does.

#include <duplex/core/budget.hpp>
#include <duplex/core/detail/inlining.hpp>
#include <duplex/detail/compiled.hpp>
#include <duplex/detail/server_shard.hpp>
#include <duplex/detail/server_threads.hpp>
#include <duplex/handshake/detail/own_headers.hpp>
#include <duplex/handshake/origin_policy.hpp>
#include <duplex/http/token.hpp>
#include <duplex/net/detail/kept_call.hpp>
#include <duplex/net/detail/unix_socket.hpp>
#include <duplex/server.hpp>

#include <asio/io_context.hpp>
#include <asio/ip/address.hpp>

#include <atomic>
#include <cstddef>
#include <memory>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

namespace duplex {
namespace detail {

DUPLEX_RARE DUPLEX_FUNCTION server_core::server_core(server_options&& with)
    : options{std::move(with)}
    , places{options.max_connections} {
    if (auto& shared = options.connection.budget; !shared) shared = budget{budget_limits{}};
    server_handshake_options answer;
    answer.subprotocols = std::move(options.subprotocols);
    answer.origins = std::move(options.origins);
    answer.headers = std::move(options.headers);
    answer.deflate = options.deflate;
    answer.secure = options.secure || options.tls;
    answer.limits = options.connection.http;
    handshake = std::make_shared<const server_handshake_options>(std::move(answer));
}

DUPLEX_FUNCTION server_core::~server_core() = default;

DUPLEX_RARE DUPLEX_FUNCTION std::error_code server_core::check() const {
    if (!options.path.empty()) {
        if (const auto error = check_socket_path(options.path)) return error;
    } else if (!options.host.empty()) {
        std::error_code error;
        (void)asio::ip::make_address(options.host, error);
        if (error) return errc::host_not_numeric;
    }
    for (const auto& each : handshake->origins)
        if (!is_origin_entry(each)) return errc::origin_invalid;
    // Whoever takes connections over may run them with `on_fragment`; the server's own run has none.
    if (options.connection.deliver_fragments && !on_connection) return errc::fragments_not_taken;
    for (const auto& each : handshake->subprotocols)
        if (!is_token(each)) return errc::subprotocol_invalid;
    if (const auto error = check_deflate(handshake->deflate)) return error;
    if (const auto error = check_own_headers(handshake->headers)) return error;
    return options.tls ? options.tls->check() : std::error_code{};
}

[[nodiscard]] inline bool runs_on(asio::io_context& context) noexcept {
    return context.get_executor().running_in_this_thread();
}

} // namespace detail

DUPLEX_FUNCTION server::server(asio::io_context& context, server_options options)
    : core_{new detail::server_core{std::move(options)}}
    , context_{context} {}

DUPLEX_RARE DUPLEX_FUNCTION server::~server() {
    core_->gone.store(true, std::memory_order_relaxed);
    abort_shards();
    give_back_threads();
}

DUPLEX_RARE DUPLEX_FUNCTION void server::start(std::error_code& error) {
    error = shards_.empty() ? core_->check() : make_error_code(errc::already_open);
    if (error) return;
    const auto& options = core_->options;
    listen_options where;
    where.host = options.host;
    where.port = options.port;
    where.path = options.path;
    where.permissions = options.permissions;
    where.socket = options.socket;
    where.reuse_port = options.threads > 1;
    // Listeners that share a port share it with those of any other program of the same user as well: a
    // port that is taken shows only to one that doesn't share.
    if (where.reuse_port && where.port != 0 && where.path.empty()) error = probe(where);
    if (!error) error = add_shard(context_, where);
    for (unsigned i = 1; i < options.threads && !error; ++i) {
        where.port = shards_.front()->port();
        auto* worker = asio::use_service<detail::server_threads>(context_).take();
        if (!worker) {
            error = std::make_error_code(std::errc::resource_unavailable_try_again);
            break;
        }
        workers_.push_back(worker);
        error = add_shard(worker->context(), where);
    }
    if (error) {
        shards_.clear();
        return give_back_threads();
    }
    port_ = shards_.front()->port();
    for (auto& each : shards_) {
        if (&each->context() == &context_)
            each->start();
        else
            detail::post_call(each->context().get_executor(), each, [](auto& shard) { shard.start(); });
    }
}

DUPLEX_RARE DUPLEX_FUNCTION void server::stop(close_code code) {
    if (check_close(code, {})) code = close_code::going_away;
    for (auto& each : shards_)
        each->stop_soon(code);
}

DUPLEX_RARE DUPLEX_FUNCTION void server::drain(std::chrono::milliseconds within,
                                               std::function<void(const drain_result&)> done,
                                               close_code code) {
    if (check_close(code, {})) code = close_code::going_away;
    // Shards, and one more that stands for the call itself: none of them ends it before all are asked.
    const detail::server_drain::pointer waits{
        new detail::server_drain{core_, context_, shards_.size() + 1, std::move(done)}};
    waits->begin(within, [shards = shards_] {
        for (const auto& each : shards)
            detail::post_call(each->context().get_executor(), each, [](auto& shard) { shard.cut(); });
    });
    for (auto& each : shards_)
        each->drain_soon(code, waits);
    waits->shard_ended();
}

DUPLEX_RARE DUPLEX_FUNCTION void server::counters(std::function<void(const server_counters&)> done) {
    // The call itself stands for one more: a server that was not started has no shard.
    const detail::server_survey::pointer survey{
        new detail::server_survey{context_, shards_.size() + 1, [core = core_] { return core->census.now(); },
                                  [core = core_, done = std::move(done)](const server_counters& all) {
                                      if (done && !core->gone.load(std::memory_order_relaxed)) done(all);
                                  }}};
    for (const auto& each : shards_)
        asio::post(each->context().get_executor(), [each, survey] { survey->add(each->open_traffic()); });
    survey->add({});
}

DUPLEX_RARE DUPLEX_FUNCTION std::error_code server::probe(listen_options where) {
    where.reuse_port = false;
    return listener<>{context_.get_executor()}.open(where);
}

DUPLEX_RARE DUPLEX_FUNCTION std::error_code server::add_shard(asio::io_context& context,
                                                              const listen_options& where) {
    shards_.emplace_back(new detail::server_shard{core_, context, context_});
    // Only ports can be shared by sockets of their own.
    if (!where.path.empty() && shards_.size() > 1) return shards_.back()->share(*shards_.front());
    return shards_.back()->open(where);
}

DUPLEX_RARE DUPLEX_FUNCTION void server::abort_shards() {
    bool on_worker = false;
    for (auto* each : workers_)
        on_worker = on_worker || detail::runs_on(each->context());
    for (auto& each : shards_) {
        const bool elsewhere = &each->context() == &context_ ? on_worker : !detail::runs_on(each->context());
        if (!elsewhere) {
            each->abort();
        } else if (&each->context() == &context_) {
            // Perhaps nobody runs it at the moment.
            detail::post_call(context_.get_executor(), each, [](auto& shard) { shard.abort(); });
        } else {
            core_->aborting.fetch_add(1, std::memory_order_relaxed);
            detail::post_call(each->context().get_executor(), each, [](auto& shard) { shard.abort_told(); });
        }
    }
    while (const auto left = core_->aborting.load(std::memory_order_acquire))
        core_->aborting.wait(left, std::memory_order_acquire);
}

DUPLEX_RARE DUPLEX_FUNCTION void server::give_back_threads() {
    for (auto* each : workers_)
        asio::use_service<detail::server_threads>(context_).give_back(*each);
    workers_.clear();
}

} // namespace duplex
