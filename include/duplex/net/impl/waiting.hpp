#pragma once

// Operations that wait for something other than messages.

#include <duplex/net/connection.hpp>

namespace duplex {
namespace detail {

template <class Stream>
template <class... Args>
void connection_state<Stream>::withdraw(waiter_list<Args...>& list, listed_waiter<Args...>& which) {
    list.remove(which);
    if constexpr (sizeof...(Args) == 1)
        which.complete(completion::post, asio::error::operation_aborted);
    else
        which.complete(completion::post, asio::error::operation_aborted, {});
}

} // namespace detail

template <async_stream Stream>
template <class Token>
auto connection<Stream>::async_drain(Token&& token) {
    return asio::async_initiate<Token, void(std::error_code)>(
        [](auto handler, pointer state) {
            auto* op = make_waiter<detail::listed_waiter<std::error_code>, std::error_code>(
                std::move(handler), state);
            op->connect_cancellation(
                *state, [](state_type& of, auto& which) { of.withdraw(of.waiting()->drains, which); });
            state->drain(*op);
        },
        token, state_);
}

template <async_stream Stream>
template <class Token>
auto connection<Stream>::async_ping(Token&& token) {
    return asio::async_initiate<Token, void(std::error_code, std::chrono::nanoseconds)>(
        [](auto handler, pointer state) {
            auto* op = make_waiter<detail::ping_waiter, std::error_code, std::chrono::nanoseconds>(
                std::move(handler), state);
            op->connect_cancellation(
                *state, [](state_type& of, auto& which) { of.withdraw(of.waiting()->pings, which); });
            state->ping_then(*op);
        },
        token, state_);
}

template <async_stream Stream>
template <class Token>
auto connection<Stream>::async_close(close_code code, std::string_view reason, close_how how, Token&& token) {
    return asio::async_initiate<Token, void(std::error_code)>(
        [how](auto handler, pointer state, close_code with, std::string why) {
            auto* op = make_waiter<detail::listed_waiter<std::error_code>, std::error_code>(
                std::move(handler), state);
            op->connect_cancellation(
                *state, [](state_type& of, auto& which) { of.withdraw(of.waiting()->closes, which); });
            state->close_then(with, why, how, *op);
        },
        token, state_, code, std::string{reason});
}

} // namespace duplex
