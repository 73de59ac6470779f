// websocketpp_server PORT [broadcast]: no locks, no logging.

#include "../websocketpp_config.hpp"

#include <websocketpp/server.hpp>

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <set>
#include <string_view>

namespace {

using server_type = websocketpp::server<websocketpp_config<websocketpp::config::asio>>;
using websocketpp::connection_hdl;

/// The frame of a message, made once for everyone.
server_type::message_ptr prepared(const server_type::message_ptr& from) {
    namespace frame = websocketpp::frame;
    const auto size = from->get_payload().size();
    const auto made =
        std::make_shared<server_type::connection_type::message_type>(nullptr, from->get_opcode(), size);
    made->set_header(frame::prepare_header(frame::basic_header{from->get_opcode(), size, true, false},
                                           frame::extended_header{size}));
    made->set_payload(from->get_payload());
    made->set_prepared(true);
    return made;
}

} // namespace

int main(int count, char** arguments) {
    if (count < 2) return 2;
    server_type server;
    server.clear_access_channels(websocketpp::log::alevel::all);
    server.clear_error_channels(websocketpp::log::elevel::all);
    server.init_asio();
    server.set_reuse_addr(true);
    server.set_listen_backlog(4096);
    server.set_max_message_size(std::size_t{16} << 20);
    server.set_tcp_post_init_handler([&](connection_hdl to) {
        server.get_con_from_hdl(to)->get_raw_socket().set_option(boost::asio::ip::tcp::no_delay{true});
    });

    std::set<connection_hdl, std::owner_less<connection_hdl>> everyone;
    if (count > 2 && std::string_view{arguments[2]} == "broadcast") {
        server.set_open_handler([&](connection_hdl to) { everyone.insert(to); });
        server.set_close_handler([&](connection_hdl to) { everyone.erase(to); });
        server.set_message_handler([&](connection_hdl, server_type::message_ptr message) {
            const auto shared = prepared(message);
            websocketpp::lib::error_code error;
            for (const auto& to : everyone)
                server.send(to, shared, error);
        });
    } else {
        server.set_message_handler([&](connection_hdl to, server_type::message_ptr message) {
            websocketpp::lib::error_code error;
            server.send(to, message, error);
        });
    }
    server.listen(boost::asio::ip::tcp::endpoint{boost::asio::ip::address_v4::loopback(),
                                                 static_cast<std::uint16_t>(std::atoi(arguments[1]))});
    server.start_accept();
    server.run();
}
