#pragma once

#include <duplex/net/detail/asio_config.hpp>

#include <asio/buffer.hpp>

#include <concepts>
#include <cstddef>
#include <system_error>

namespace duplex {

namespace detail {

struct io_probe {
    void operator()(std::error_code, std::size_t) const noexcept;
};

/// A `tcp_socket`, where that is not Asio's own.
template <class Stream>
concept waits_in_set = requires {
    requires Stream::waits_in_set;
};

} // namespace detail

/// What a connection can stand on: a `tcp_socket`, or any stream with Asio's `async_read_some` and
/// `async_write_some` and an executor. At most one read and one write are under way at a time.
template <class Stream>
concept async_stream = std::move_constructible<Stream> && requires(Stream& stream) {
    typename Stream::executor_type;
    { stream.get_executor() } -> std::convertible_to<typename Stream::executor_type>;
} &&(detail::waits_in_set<Stream> ||
     requires(Stream & stream, asio::mutable_buffer in, asio::const_buffer out) {
         stream.async_read_some(in, detail::io_probe{});
         stream.async_write_some(out, detail::io_probe{});
     });

} // namespace duplex
