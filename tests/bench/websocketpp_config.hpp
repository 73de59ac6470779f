#pragma once

#include <websocketpp/concurrency/none.hpp>
#include <websocketpp/config/asio_no_tls.hpp>
#include <websocketpp/config/asio_no_tls_client.hpp>
#include <websocketpp/logger/stub.hpp>

/// The logger of websocketpp's that writes nothing.
using silent_log = websocketpp::log::stub;

/// One of websocketpp's configurations without what a program of one thread needs not: locks and logs.
template <class Base>
struct websocketpp_config : Base {
    using concurrency_type = websocketpp::concurrency::none;
    using alog_type = silent_log;
    using elog_type = silent_log;
    static constexpr bool enable_multithreading = false;

    struct transport_config : Base::transport_config {
        using concurrency_type = websocketpp::concurrency::none;
        using alog_type = silent_log;
        using elog_type = silent_log;
        static constexpr bool enable_multithreading = false;
    };
    using transport_type = websocketpp::transport::asio::endpoint<transport_config>;
};
