#include <websocketpp/config/asio_no_tls.hpp>
#include <websocketpp/server.hpp>

int main() {
    using server_type = websocketpp::server<websocketpp::config::asio>;
    server_type server;
    server.init_asio();
    server.set_message_handler(
        [&](websocketpp::connection_hdl to, server_type::message_ptr message) { server.send(to, message); });
    server.listen(9002);
    server.start_accept();
    server.run();
}
