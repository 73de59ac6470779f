#pragma once

// Everything that differs between the Asio versions duplex supports (1.22.1 and newer) lives here.

#include <asio/version.hpp>

#if ASIO_VERSION < 102201
#error "duplex needs Asio 1.22.1 or newer"
#endif
