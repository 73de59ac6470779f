// websocketpp_server PORT [broadcast]

#include "websocketpp_echo.hpp"

int main(int count, char** arguments) {
    if (count < 2) return 2;
    bench::run<websocketpp::config::asio>(arguments[1], count > 2 ? arguments[2] : "echo", [](auto&) {});
}
