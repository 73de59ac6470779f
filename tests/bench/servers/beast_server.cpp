// beast_server PORT [broadcast|deflate|deflate-takeover]

#include "beast_echo.hpp"

int main(int count, char** arguments) {
    if (count < 2) return 2;
    bench::run<bench::socket_type>(arguments[1], count > 2 ? arguments[2] : "echo");
}
