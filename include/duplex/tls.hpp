#pragma once

// TLS, for clients of wss:// URLs and for servers: included in any source of a program that links to
// duplex::tls.

#include <duplex/tls/client_security.hpp>
#include <duplex/tls/tls_server_context.hpp>
