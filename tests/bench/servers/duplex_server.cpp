// duplex_server PORT [broadcast]

#include "duplex_echo.hpp"

int main(int count, char** arguments) {
    if (count < 2) return 2;
    bench::run(arguments[1], count > 2 ? arguments[2] : "echo");
}
