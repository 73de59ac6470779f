#pragma once

// No locks, no logging.

#include "../websocketpp_config.hpp"

#include <websocketpp/server.hpp>

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <set>
#include <string_view>

namespace bench {

using websocketpp::connection_hdl;

/// The frame of a message, made once for everyone.
template <class Server>
typename Server::message_ptr prepared(const typename Server::message_ptr& from) {
    namespace frame = websocketpp::frame;
    const auto size = from->get_payload().size();
    const auto made =
        std::make_shared<typename Server::connection_type::message_type>(nullptr, from->get_opcode(), size);
    made->set_header(frame::prepare_header(frame::basic_header{from->get_opcode(), size, true, false},
                                           frame::extended_header{size}));
    made->set_payload(from->get_payload());
    made->set_prepared(true);
    return made;
}

/// A server on a port of this machine. `Base`: the configuration of the library's that it is made from.
/// `prepare` is called with it before it listens.
template <class Base, class Prepare>
void run(char* port, std::string_view mode, Prepare prepare) {
    using server_type = websocketpp::server<websocketpp_config<Base>>;
    using message_ptr = typename server_type::message_ptr;
    server_type server;
    server.clear_access_channels(websocketpp::log::alevel::all);
    server.clear_error_channels(websocketpp::log::elevel::all);
    server.init_asio();
    server.set_reuse_addr(true);
    server.set_listen_backlog(4096);
    server.set_max_message_size(std::size_t{16} << 20);
    server.set_tcp_post_init_handler([&](connection_hdl to) {
        server.get_con_from_hdl(to)->get_raw_socket().lowest_layer().set_option(
            boost::asio::ip::tcp::no_delay{true});
    });

    std::set<connection_hdl, std::owner_less<connection_hdl>> everyone;
    if (mode == "broadcast") {
        server.set_open_handler([&](connection_hdl to) { everyone.insert(to); });
        server.set_close_handler([&](connection_hdl to) { everyone.erase(to); });
        server.set_message_handler([&](connection_hdl, message_ptr message) {
            const auto shared = prepared<server_type>(message);
            websocketpp::lib::error_code error;
            for (const auto& to : everyone)
                server.send(to, shared, error);
        });
    } else {
        server.set_message_handler([&](connection_hdl to, message_ptr message) {
            websocketpp::lib::error_code error;
            server.send(to, message, error);
        });
    }
    prepare(server);
    server.listen(boost::asio::ip::tcp::endpoint{boost::asio::ip::address_v4::loopback(),
                                                 static_cast<std::uint16_t>(std::atoi(port))});
    server.start_accept();
    server.run();
}

} // namespace bench
