// websocketpp_tls_server PORT echo|broadcast CERTIFICATE KEY

#include "websocketpp_echo.hpp"

#include <websocketpp/config/asio.hpp>

int main(int count, char** arguments) {
    if (count < 5) return 2;
    namespace ssl = boost::asio::ssl;
    const auto context = std::make_shared<ssl::context>(ssl::context::tls_server);
    context->use_certificate_chain_file(arguments[3]);
    context->use_private_key_file(arguments[4], ssl::context::pem);
    bench::run<websocketpp::config::asio_tls>(arguments[1], arguments[2], [context](auto& server) {
        server.set_tls_init_handler([context](websocketpp::connection_hdl) { return context; });
    });
}
