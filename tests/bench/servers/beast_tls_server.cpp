// beast_tls_server PORT echo|broadcast CERTIFICATE KEY: over Beast's own stream for TLS, which writes a frame
// as one record where Asio's makes one of the header and one of the payload.

#include "beast_echo.hpp"

#include <boost/asio/ssl/context.hpp>
#include <boost/beast/ssl/ssl_stream.hpp>
#include <boost/beast/websocket/ssl.hpp>

int main(int count, char** arguments) {
    if (count < 5) return 2;
    boost::asio::ssl::context context{boost::asio::ssl::context::tls_server};
    context.use_certificate_chain_file(arguments[3]);
    context.use_private_key_file(arguments[4], boost::asio::ssl::context::pem);
    bench::run<boost::beast::ssl_stream<bench::socket_type>>(arguments[1], arguments[2], context);
}
