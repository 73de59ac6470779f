#pragma once

// The connections on TCP, for the library of compiled functions.

#include <duplex/net/connection.hpp>

template class duplex::detail::connection_state<duplex::tcp_socket>;
