#pragma once

// What a program built without exceptions owes Asio: the function that Asio calls where it would throw.

#include <asio/detail/throw_exception.hpp>

#include <cstdlib>

#if !defined(ASIO_SOURCE_LOCATION_PARAM) // newer versions pass the place of the call along
#define ASIO_SOURCE_LOCATION_PARAM
#endif

namespace asio::detail {

template <typename Exception>
void throw_exception(const Exception& ASIO_SOURCE_LOCATION_PARAM) {
    std::abort();
}

} // namespace asio::detail
