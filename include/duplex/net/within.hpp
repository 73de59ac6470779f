#pragma once

#include <duplex/net/detail/call_deadline.hpp>

#include <asio/async_result.hpp>

#include <chrono>
#include <system_error>
#include <type_traits>
#include <utility>

namespace duplex {

/// See `within`.
template <class Token>
struct within_token {
    std::chrono::milliseconds limit;
    Token token;
};

/// A completion token that gives an operation of a connection a deadline of its own:
///
///     message m = co_await connection.async_read(duplex::within(5s, asio::use_awaitable));
///
/// Where the operation is not over by then it is cancelled, as by a cancellation slot, and ends with
/// `errc::call_timeout`: a read loses nothing, a handshake ends its connection. The handler's own slot,
/// executor and allocator count as they do without. A limit of zero or less is over at once. Resolution is
/// that of the context's timer wheel (250 ms); it is never early. To adapt the token further, put that
/// inside: `within(5s, as_tuple(use_awaitable))`.
template <class Token>
[[nodiscard]] within_token<std::decay_t<Token>> within(std::chrono::milliseconds limit, Token&& token) {
    return {limit, std::forward<Token>(token)};
}

} // namespace duplex

template <class Token, class... Args>
class asio::async_result<duplex::within_token<Token>, void(std::error_code, Args...)> {
public:
    template <class Initiation, class Within, class... More>
    static auto initiate(Initiation&& begins, Within&& with, More&&... more) {
        Token inner{std::forward<Within>(with).token};
        return asio::async_initiate<Token, void(std::error_code, Args...)>(
            duplex::detail::timed_initiation<std::decay_t<Initiation>>{with.limit,
                                                                       std::forward<Initiation>(begins)},
            inner, std::forward<More>(more)...);
    }
};
