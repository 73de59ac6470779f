#pragma once

// Completion tokens that left asio::experimental in Asio 1.24.

#if __has_include(<asio/deferred.hpp>)
#include <asio/as_tuple.hpp>
#include <asio/deferred.hpp>
#else
#include <asio/experimental/as_tuple.hpp>
#include <asio/experimental/deferred.hpp>
#endif

namespace duplex::testing {

#if __has_include(<asio/deferred.hpp>)
using asio::as_tuple;
using asio::deferred;
#else
using asio::experimental::as_tuple;
using asio::experimental::deferred;
#endif

} // namespace duplex::testing
