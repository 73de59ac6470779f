#pragma once

// For programs that define DUPLEX_COMPILED without the target duplex::compiled: exactly one of their sources
// includes this.

#if !defined(DUPLEX_COMPILED)
#error "duplex/impl/src.hpp is for programs that define DUPLEX_COMPILED everywhere"
#endif

#include <duplex/impl/blocking_client.hpp>
#include <duplex/impl/server.hpp>
#include <duplex/impl/tcp_connection.hpp>
#include <duplex/impl/websocket.hpp>
