// websocketpp_deflate_server PORT deflate|deflate-takeover: the client says which of them it is. The level is
// zlib's usual one, 6; it can't be chosen.

#include "websocketpp_echo.hpp"

#include <websocketpp/extensions/permessage_deflate/enabled.hpp>

namespace {

struct compressing : websocketpp::config::asio {
    struct permessage_deflate_config {
        using request_type = websocketpp::config::asio::request_type;
        static const bool allow_disabling_context_takeover = true;
        static const std::uint8_t minimum_outgoing_window_bits = 8;
    };
    using permessage_deflate_type =
        websocketpp::extensions::permessage_deflate::enabled<permessage_deflate_config>;
};

} // namespace

int main(int count, char** arguments) {
    if (count < 3) return 2;
    bench::run<compressing>(arguments[1], arguments[2], [](auto&) {});
}
