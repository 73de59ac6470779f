#pragma once

#include <duplex/core/detail/inlining.hpp>
#include <duplex/core/detail/intrusive_ptr.hpp>
#include <duplex/core/detail/words.hpp>
#include <duplex/net/address_race.hpp>
#include <duplex/net/detail/asio_compat.hpp>
#include <duplex/net/detail/context_member.hpp>
#include <duplex/net/detail/context_service.hpp>
#include <duplex/net/detail/waiter.hpp>

#include <asio/basic_stream_socket.hpp>
#include <asio/ip/address.hpp>
#include <asio/ip/tcp.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

namespace duplex::detail {

/// How a race connects.
template <class Socket>
struct connect_race_options {
    /// What sockets are bound to. Endpoints of its other family are left out.
    std::optional<asio::ip::address> local_address{};
    /// 0: one of the system's choice.
    std::uint16_t local_port = 0;
    /// Sets options of a socket that is open, before it is bound and connected. An error fails the attempt.
    /// It must not throw.
    std::function<std::error_code(Socket&)> prepare{};
    /// RFC 8305 4: attempts with the first family before one with the other.
    std::size_t first_family_count = 1;
    /// The time between attempts. The context's wheel rounds a deadline up to its next step, and looks once a
    /// step: two steps late at most, one on average. So RFC 8305's recommended minimum of 100 ms is asked
    /// for, for 100 to 600 ms; where nothing ticked before it is 250 ms most times, which is what it
    /// recommends. To ask for that would mean 250 to 750 ms.
    address_race_options race{.attempt_delay = std::chrono::milliseconds{100}};
};

/// Connects to whichever of a host's endpoints answers first (net/address_race.hpp). Runs on the executor of
/// its sockets, which must be a strand where the context has several threads. `Socket`: one of Asio's, for
/// TCP; tests bring another.
///
/// Every attempt under way owns the race, and until it is over there is one. When it is over the sockets that
/// have not won are closed, and what their attempts end with is not looked at.
template <class Socket>
class connect_race final : public counted_member<connect_race<Socket>> {
public:
    using executor_type = typename Socket::executor_type;
    using endpoint_type = asio::ip::tcp::endpoint;
    using options_type = connect_race_options<Socket>;
    using waiter_type = waiter<std::error_code, Socket>;
    using pointer = intrusive_ptr<connect_race>;

    /// `found`: in the resolver's order.
    connect_race(const executor_type& executor, std::span<const endpoint_type> found, options_type&& options,
                 waiter_type& done)
        : service_{context_service::of(executor)}
        , executor_{executor}
        , options_{std::move(options)}
        , endpoints_{order(found, options_)}
        , sockets_(endpoints_.size())
        , race_{endpoints_.size(), options_.race}
        , done_{&done} {
        service_.join(*this);
    }
    ~connect_race() {
        service_.leave(*this);
        // The context is going away, and the sockets' service went before ours.
        if (done_) done_->abandon();
    }

    void start() { go_on(race_.start(service_.precise_now())); }

    /// Gives up; completes with `error`.
    void cancel(std::error_code error) {
        if (done_) finish(error, Socket{executor_});
    }

    /// What became of each attempt that did not win: "192.0.2.1:80 Connection refused; [2001:db8::1]:80 no
    /// answer". Empty where none was made.
    [[nodiscard]] DUPLEX_RARE std::string failures() const {
        std::string text;
        for (std::size_t i = 0; i < errors_.size() && text.size() < most_words; ++i) {
            const auto address = endpoints_[i].address();
            if (!text.empty()) text += "; ";
            text += address.is_v6() ? '[' + address.to_string() + ']' : address.to_string();
            text.append(1, ':').append(std::to_string(endpoints_[i].port())).append(1, ' ');
            text += errors_[i] ? errors_[i].message() : "no answer";
        }
        return text;
    }

private:
    [[nodiscard]] static std::vector<endpoint_type> order(std::span<const endpoint_type> found,
                                                          const options_type& options) {
        const auto is_v6 = [](const endpoint_type& each) { return each.address().is_v6(); };
        auto mixed = interleave(found, is_v6, options.first_family_count);
        if (const auto& local = options.local_address)
            std::erase_if(mixed, [&](const auto& each) { return is_v6(each) != local->is_v6(); });
        return mixed;
    }

    /// Starts an attempt, and the next ones as long as they fail before they begin.
    void go_on(address_race::attempt next) {
        while (next) {
            const auto error = begin(*next);
            // Whoever prepared the socket may have cancelled.
            if (!done_) return;
            if (!error) break;
            next = failed(*next, error);
        }
        if (race_.over())
            finish(why_not(), Socket{executor_});
        else
            service_.schedule(*this, race_.next_deadline(), executor_);
    }

    [[nodiscard]] std::error_code begin(std::size_t index) {
        Socket socket{executor_};
        const auto& to = endpoints_[index];
        errors_.resize(index + 1);
        std::error_code error;
        socket.open(to.protocol(), error);
        if (!error && options_.prepare) error = options_.prepare(socket);
        if (!done_) return {};
        if (!error && (options_.local_address || options_.local_port != 0)) {
            const asio::ip::tcp::endpoint any{to.protocol(), options_.local_port};
            socket.bind({options_.local_address.value_or(any.address()), any.port()}, error);
        }
        if (error) return error;
        sockets_[index].emplace(std::move(socket));
        sockets_[index]->async_connect(
            to, [self = pointer{this}, index](std::error_code failed) { self->on_connected(index, failed); });
        return {};
    }

    void on_connected(std::size_t index, std::error_code error) {
        if (!done_) return;
        if (error) {
            sockets_[index].reset();
            return go_on(failed(index, error));
        }
        race_.succeeded(index);
        // At once: a deadline of the owner's that comes now is too late.
        finish({}, std::move(*sockets_[index]), completion::dispatch);
    }

    [[nodiscard]] address_race::attempt failed(std::size_t index, std::error_code error) {
        using way = address_race::way;
        errors_[index] = error;
        const bool missing = is_system_error(error, std::errc::network_unreachable) ||
                             is_system_error(error, std::errc::address_not_available) ||
                             is_system_error(error, std::errc::address_family_not_supported);
        return race_.failed(index, error, missing ? way::missing : way::found, service_.precise_now());
    }

    [[nodiscard]] std::error_code why_not() const {
        if (!endpoints_.empty()) return race_.error();
        // What asio::async_connect says of an empty list
        if (!options_.local_address) return asio::error::not_found;
        return asio::error::address_family_not_supported;
    }

    void finish(std::error_code error, Socket socket, completion how = completion::post) {
        service_.cancel(*this);
        sockets_.clear();
        std::exchange(done_, nullptr)->complete(how, error, std::move(socket));
    }

    void on_time() {
        if (done_) go_on(race_.on_time(service_.precise_now()));
    }

    void on_deadline() noexcept override {
        asio::post(executor_, [self = pointer{this}] { self->on_time(); });
    }
    void on_shutdown() noexcept override {
        if (auto* done = std::exchange(done_, nullptr)) done->abandon();
    }

    context_service& service_;
    executor_type executor_;
    options_type options_;
    const std::vector<endpoint_type> endpoints_; ///< in the order of attempts
    std::vector<std::optional<Socket>> sockets_; ///< of each attempt under way; never moved
    std::vector<std::error_code> errors_;        ///< of each attempt that was made; none: no answer
    address_race race_;
    waiter_type* done_; ///< null when the race is over
};

/// Connects to the first of the endpoints `found` by a resolver that answers. Handler: `void(std::error_code,
/// Socket)`; the socket is not open where there is an error: what `address_race::error` says,
/// `asio::error::not_found` without endpoints, `asio::error::address_family_not_supported` where none fits
/// the local address. Cancellation: gives up. Call it on the executor, or before the context runs.
template <class Socket, class Token>
auto async_connect_race(const typename Socket::executor_type& executor,
                        std::vector<asio::ip::tcp::endpoint> found, connect_race_options<Socket> options,
                        Token&& token) {
    using race = connect_race<Socket>;
    using executor_type = typename Socket::executor_type;
    return asio::async_initiate<Token, void(std::error_code, Socket)>(
        [](auto handler, const executor_type& on, const std::vector<asio::ip::tcp::endpoint>& to,
           connect_race_options<Socket> with) {
            using handler_type = std::decay_t<decltype(handler)>;
            auto* done = waiter_op<typename race::waiter_type, handler_type, executor_type, std::error_code,
                                   Socket>::make(std::move(handler), on);
            const typename race::pointer started{new race{on, to, std::move(with), *done}};
            done->connect_cancellation(*started,
                                       [](race& of, auto&) { of.cancel(asio::error::operation_aborted); });
            started->start();
        },
        token, executor, std::move(found), std::move(options));
}

} // namespace duplex::detail
