#pragma once

#include <duplex/core/detail/inlining.hpp>
#include <duplex/core/detail/intrusive_ptr.hpp>
#include <duplex/core/detail/words.hpp>
#include <duplex/core/phase.hpp>
#include <duplex/handshake/client_handshake.hpp>
#include <duplex/handshake/detail/proxy_dialogue.hpp>
#include <duplex/handshake/outcome.hpp>
#include <duplex/handshake/redirect.hpp>
#include <duplex/http/proxy_settings.hpp>
#include <duplex/http/uri.hpp>
#include <duplex/net/connect_options.hpp>
#include <duplex/net/connection.hpp>
#include <duplex/net/detail/connect_race.hpp>
#include <duplex/net/detail/context_service.hpp>
#include <duplex/net/detail/kept_call.hpp>
#include <duplex/net/detail/local_side.hpp>
#include <duplex/net/detail/proxy_tunnel.hpp>
#include <duplex/net/detail/unix_socket.hpp>
#include <duplex/net/detail/waiter.hpp>

#include <asio/basic_stream_socket.hpp>
#include <asio/ip/tcp.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

namespace duplex {

namespace detail {

/// `async_connect`: resolve, connect, open; the first two under one deadline, the third under its own.
template <class Executor>
class connect_operation final : public counted_member<connect_operation<Executor>> {
public:
    using socket_type = asio::basic_stream_socket<asio::ip::tcp, Executor>;
    using connection_type = tcp_connection<Executor>;
    using waiter_type = waiter<std::error_code, connection_type>;
    using pointer = intrusive_ptr<connect_operation>;
    using race_type = connect_race<socket_type>;
    using tunnel_type = proxy_tunnel<layered_socket<socket_type>>;

    connect_operation(const Executor& executor, std::string_view url, connect_options&& options,
                      waiter_type& done)
        : service_{context_service::of(executor)}
        , executor_{executor}
        , resolver_{executor}
        , options_{std::move(options)}
        , url_error_{parse_uri(url, to_)}
        , done_{&done} {
        service_.join(*this);
    }
    ~connect_operation() {
        service_.leave(*this);
        // The context is going away, and the resolver's service went before ours.
        if (done_) done_->abandon();
    }

    void start() {
        phase_ = phase::prepare;
        if (const auto wrong = check()) return finish(wrong);
        phase_ = phase::resolve;
        service_.schedule(*this, deadline_after(service_.precise_now(), options_.connection.timeouts.connect),
                          executor_);
        if (!to_.socket_path.empty()) return connect_to_path();
        const auto& host = proxy_ ? proxy_->host : to_.host;
        const auto port = proxy_ ? proxy_->port : to_.port;
        resolver_.async_resolve(host, std::to_string(port), asio::ip::resolver_base::numeric_service,
                                [self = pointer{this}](std::error_code error, results found) {
                                    self->on_resolved(error, std::move(found));
                                });
    }

    /// Gives up; what is under way ends with `error`.
    void cancel(std::error_code error) {
        if (!done_) return;
        resolver_.cancel();
        if (!connection_) why_ = what_failed(error);
        if (const auto race = std::exchange(race_, {})) race->cancel(error);
        if (const auto tunnel = std::exchange(tunnel_, {})) tunnel->cancel(error);
        if (connection_) connection_.state_->cancel_opening();
        finish(error);
    }

private:
    using results = typename asio::ip::basic_resolver<asio::ip::tcp, Executor>::results_type;

    /// The caller's mistakes are found before the server hears of anything.
    [[nodiscard]] std::error_code check() {
        if (url_error_) return url_error_;
        if (!to_.socket_path.empty())
            if (const auto error = check_socket_path(to_.socket_path)) return error;
        if (const auto error = from_.set(options_)) return error;
        const std::array<std::byte, 16> nonce{};
        if (const auto error = client_handshake{}.start(to_, options_.for_handshake(), nonce)) {
            why_ = wrong_header(error);
            return error;
        }
        if (const auto error = check_deflate(options_.deflate)) return error;
        if (const auto error = find_proxy()) return error;
        const bool secures = to_.secure || (proxy_ && proxy_->kind == proxy_kind::https);
        if (!secures || options_.security) return {};
        if (!default_security) return errc::tls_not_available;
        std::error_code error;
        options_.security = default_security(options_.tls, error, &why_);
        return error;
    }

    /// For people: the first header that breaks that rule; nothing where none does by itself.
    [[nodiscard]] DUPLEX_RARE std::string wrong_header(const std::error_code& rule) const {
        for (const auto field : options_.headers) {
            fields alone;
            alone.add(field.name, field.value);
            if (check_own_headers(alone) == rule) return "header '" + std::string{field.name} + "'";
        }
        return {};
    }

    [[nodiscard]] std::error_code find_proxy() {
        // A unix socket is on this machine already.
        if (!to_.socket_path.empty()) return {};
        proxy_ = options_.proxy;
        if (!proxy_ && options_.proxy_from_environment) {
            std::string_view last;
            const auto look = [&last](const char* name) {
                const char* const value = std::getenv(name);
                if (value) last = name;
                return value;
            };
            if (const auto error = proxy_from_environment(look, to_, proxy_)) {
                // Its value may have a password in it.
                why_ = "the environment's " + std::string{last} + " names it";
                return error;
            }
        }
        if (!proxy_) return {};
        dialogue_ = {};
        return dialogue_.start(*proxy_, to_.host, to_.port, options_.user_agent, options_.connection.http);
    }

    void connect_to_path() {
#if defined(__unix__) || defined(__APPLE__)
        phase_ = phase::connect;
        std::error_code error;
        auto made = connect_unix(to_.socket_path, error);
        layered_socket<socket_type> connected{executor_};
        if (!error) hand_over(std::move(made), connected, error);
        if (!error) error = set_options(options_.socket, connected);
        if (error) return fail(error);
        connected.keep_delay(true);
        open(std::move(connected));
#endif
    }

    void on_resolved(std::error_code error, results&& found) {
        if (!done_) return;
        if (error) return fail(error);
        phase_ = phase::connect;
        std::vector<asio::ip::tcp::endpoint> endpoints;
        for (const auto& each : found)
            endpoints.push_back(each.endpoint());
        auto then = [self = pointer{this}](std::error_code failed, socket_type socket) {
            self->on_connected(failed, std::move(socket));
        };
        auto* done = waiter_op<typename race_type::waiter_type, decltype(then), Executor, std::error_code,
                               socket_type>::make(std::move(then), executor_);
        race_ = typename race_type::pointer{new race_type{executor_, endpoints, from_.made(), *done}};
        const auto started = race_;
        started->start();
    }

    void on_connected(std::error_code error, socket_type&& socket) {
        if (error && done_) return fail(error);
        race_.reset();
        if (!done_) return;
        layered_socket<socket_type> connected{std::move(socket)};
        connected.keep_delay(!options_.socket.no_delay);
        if (!proxy_) return open(std::move(connected));
        phase_ = phase::proxy;
        if (proxy_->kind == proxy_kind::https) {
            error = secure(connected, proxy_->host, proxy_->port);
            if (error) return finish(error);
            connected.layers().name_peer("the proxy");
        }
        auto then = [self = pointer{this}](std::error_code failed, layered_socket<socket_type> through,
                                           handshake_outcome said) {
            self->on_tunnel(failed, std::move(through), std::move(said));
        };
        auto* done =
            waiter_op<typename tunnel_type::waiter_type, decltype(then), Executor, std::error_code,
                      layered_socket<socket_type>, handshake_outcome>::make(std::move(then), executor_);
        tunnel_ =
            typename tunnel_type::pointer{new tunnel_type{std::move(connected), std::move(dialogue_), *done}};
        const auto started = tunnel_;
        started->start();
    }

    void on_tunnel(std::error_code error, layered_socket<socket_type>&& through, handshake_outcome&& said) {
        tunnel_.reset();
        if (!done_) return;
        if (!error) return open(std::move(through));
        if (said.why.empty()) said.why = what_failed(error);
        finish_without(error, std::move(said));
    }

    [[nodiscard]] std::error_code secure(layered_socket<socket_type>& socket, const std::string& host,
                                         std::uint16_t port) const {
        std::error_code error;
        auto layer = options_.security->secure(host, port, error);
        if (!error) socket.layers().push(std::move(layer));
        return error;
    }

    /// The way to the server is open.
    void open(layered_socket<socket_type>&& connected) {
        service_.cancel(*this);
        phase_ = to_.secure ? phase::tls : phase::upgrade;
        if (to_.secure)
            if (const auto error = secure(connected, to_.host, to_.port)) return finish(error);
        connection_ = connection_type{stream_of(std::move(connected)), options_.connection};
        connection_.async_handshake(to_, options_.for_handshake(),
                                    [self = pointer{this}](std::error_code failed) { self->opened(failed); });
    }

    void opened(std::error_code error) {
        if (!done_) return;
        const auto* answer = connection_.opening_outcome();
        if (error != errc::upgrade_refused || !is_redirect(answer->status)) return finish(error);
        // Where nobody wants to go elsewhere the server's words say more than that it does not say where.
        const bool follows = options_.max_redirects != 0;
        if (!follows && !answer->headers.find("Location")) return finish(error);
        if (follows) error = go_elsewhere(*answer);
        if (!error) {
            connection_ = {};
            return start();
        }
        // The answer is the server's, the verdict ours.
        auto known = *answer;
        known.why = words("server answered " + std::to_string(answer->status) + " with Location " +
                          std::string{answer->headers.find("Location").value_or("missing")});
        finish_without(error, std::move(known));
    }

    [[nodiscard]] std::error_code go_elsewhere(const handshake_outcome& answer) {
        if (redirects_ == options_.max_redirects) return errc::too_many_redirects;
        const auto from = to_;
        if (const auto error = follow_redirect(from, answer.headers, to_)) return error;
        ++redirects_;
        if (!same_origin(from, to_)) options_.headers = headers_for_other_origin(options_.headers);
        return {};
    }

    [[nodiscard]] static auto stream_of(layered_socket<socket_type>&& connected) {
        using stream_type = typename connection_type::stream_type;
        if constexpr (std::is_same_v<stream_type, layered_socket<socket_type>>) {
            return std::move(connected);
        } else {
            auto layers = std::move(connected.layers());
            stream_type made{static_cast<socket_type&&>(connected)};
            made.keep_delay(connected.keeps_delay());
            made.layers() = std::move(layers);
            return made;
        }
    }

    /// For people, of what goes on before there is a connection.
    [[nodiscard]] DUPLEX_RARE std::string what_failed(const std::error_code& error) const {
        if (!to_.socket_path.empty()) return "unix socket " + to_.socket_path + " could not be connected";
        const std::string of = proxy_ ? proxy_->host + ", the proxy," : to_.host;
        const bool late = error == errc::connect_timeout;
        if (phase_ == phase::resolve)
            return "name " + of + (late ? " was not resolved in time" : " could not be resolved");
        if (phase_ == phase::connect) {
            const auto failures = race_ ? race_->failures() : std::string{};
            return "no address of " + of + " could be connected" + (failures.empty() ? "" : ": ") + failures;
        }
        if (phase_ == phase::proxy)
            return error == errc::connection_lost ? "the proxy " + proxy_->to_string() +
                                                        " ended the connection before its answer was complete"
                                                  : "on the way through the proxy " + proxy_->to_string();
        return {};
    }

    void fail(std::error_code error) {
        why_ = what_failed(error);
        race_.reset();
        finish(error);
    }

    /// With a connection that has nothing but an outcome.
    void finish_without(std::error_code error, handshake_outcome&& known) {
        known.error = error;
        known.url = to_.to_string();
        connection_ = connection_type{stream_of(layered_socket<socket_type>{executor_}), options_.connection,
                                      std::move(known)};
        finish(error);
    }

    void finish(std::error_code error) {
        if (error && done_ && !connection_) {
            handshake_outcome known;
            known.phase = phase_;
            known.why = words(why_);
            return finish_without(error, std::move(known));
        }
        service_.cancel(*this);
        if (auto* done = std::exchange(done_, nullptr))
            done->complete(completion::post, error, std::move(connection_));
    }

    void on_deadline() noexcept override {
        post_call(executor_, pointer{this}, [](connect_operation& self) {
            // From here on the handshake's own deadline counts.
            if (!self.connection_) self.cancel(errc::connect_timeout);
        });
    }
    void on_shutdown() noexcept override {
        if (auto* done = std::exchange(done_, nullptr)) done->abandon();
    }

    context_service& service_;
    Executor executor_;
    asio::ip::basic_resolver<asio::ip::tcp, Executor> resolver_;
    connect_options options_;
    uri to_;
    std::error_code url_error_;
    phase phase_ = phase::prepare;
    std::string why_;
    std::uint32_t redirects_ = 0;
    local_side<socket_type> from_;
    std::optional<proxy> proxy_;
    proxy_dialogue dialogue_;
    intrusive_ptr<race_type> race_;
    intrusive_ptr<tunnel_type> tunnel_;
    connection_type connection_;
    waiter_type* done_;
};

template <class Source>
[[nodiscard]] auto executor_from(Source& source) {
    if constexpr (requires { source.get_executor(); })
        return source.get_executor();
    else
        return source;
}

} // namespace detail

/// Connects to a ws:// or wss:// URL, or the unix socket of a ws+unix: URL: resolves, connects by the address
/// that answers first (RFC 8305), and does the opening handshake; through a proxy where the options or the
/// environment name one. wss takes duplex/tls.hpp, in any source of the program. `where` is an executor or an
/// execution context. Handler: `void(std::error_code, connection)`. Errors: those of the URL and the options
/// (`condition::misuse`), of the resolver and the socket, `errc::connect_timeout`, those of the proxy
/// (`errc::proxy_refused` and others), of redirects (`errc::too_many_redirects` and others), those of
/// `connection::async_handshake`. After an error the connection is not open and has nothing but an
/// `opening_outcome()`: in which phase it was, why, and the server's answer, where there was one; its `url`
/// is where redirects have led to. Cancellation: gives up. Call it on the executor, or before the context
/// runs.
template <class Where, class Token>
auto async_connect(Where&& where, std::string_view url, connect_options options, Token&& token) {
    using executor_type = std::decay_t<decltype(detail::executor_from(where))>;
    using operation = detail::connect_operation<executor_type>;
    using connection_type = typename operation::connection_type;
    return asio::async_initiate<Token, void(std::error_code, connection_type)>(
        [](auto handler, executor_type executor, std::string to, connect_options with) {
            using handler_type = std::decay_t<decltype(handler)>;
            auto* done =
                detail::waiter_op<typename operation::waiter_type, handler_type, executor_type,
                                  std::error_code, connection_type>::make(std::move(handler), executor);
            const typename operation::pointer started{new operation{executor, to, std::move(with), *done}};
            done->connect_cancellation(
                *started, [](operation& of, auto&) { of.cancel(asio::error::operation_aborted); });
            started->start();
        },
        token, detail::executor_from(where), std::string{url}, std::move(options));
}

template <class Where, class Token>
auto async_connect(Where&& where, std::string_view url, Token&& token) {
    return async_connect(where, url, connect_options{}, std::forward<Token>(token));
}

} // namespace duplex
