#pragma once

// All of duplex: what an application uses, and through it every floor beneath.

#include <duplex/version.hpp>

#include <duplex/blocking_client.hpp>
#include <duplex/net/connect.hpp>
#include <duplex/net/connection.hpp>
#include <duplex/net/listener.hpp>
#include <duplex/net/within.hpp>
#include <duplex/server.hpp>
#include <duplex/websocket.hpp>
