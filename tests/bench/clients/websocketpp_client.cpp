// websocketpp_client PORT CONNECTIONS IN_FLIGHT SIZE MESSAGES: no locks, no logging.

#include "../websocketpp_config.hpp"
#include "client_run.hpp"

#include <websocketpp/client.hpp>

namespace {

using client_type = websocketpp::client<websocketpp_config<websocketpp::config::asio_client>>;
using websocketpp::connection_hdl;

} // namespace

int main(int count, char** arguments) {
    client_run run{count, arguments};
    client_type client;
    client.clear_access_channels(websocketpp::log::alevel::all);
    client.clear_error_channels(websocketpp::log::elevel::all);
    client.init_asio();
    client.set_tcp_post_init_handler([&](connection_hdl to) {
        client.get_con_from_hdl(to)->get_raw_socket().set_option(boost::asio::ip::tcp::no_delay{true});
    });

    const auto send = [&](connection_hdl to) {
        websocketpp::lib::error_code error;
        client.send(to, run.payload(), websocketpp::frame::opcode::binary, error);
        if (error) client_run::fail("the connection has ended");
    };
    client.set_open_handler([&](connection_hdl to) {
        for (std::size_t k = 0; k < run.in_flight(); ++k)
            send(to);
    });
    client.set_message_handler([&](connection_hdl to, client_type::message_ptr message) {
        run.received(message->get_payload().data(), message->get_payload().size());
        send(to);
    });
    client.set_fail_handler([](connection_hdl) { client_run::fail("no connection"); });
    client.set_close_handler([](connection_hdl) { client_run::fail("the connection has ended"); });

    for (std::size_t i = 0; i < run.connections(); ++i) {
        websocketpp::lib::error_code error;
        const auto connection = client.get_connection(run.url(), error);
        if (error) client_run::fail("no connection");
        client.connect(connection);
    }
    client.run();
}
