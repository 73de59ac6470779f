// duplex_deflate_server PORT deflate|deflate-takeover

#include "duplex_echo.hpp"

#include <duplex/deflate.hpp>

int main(int count, char** arguments) {
    if (count < 3) return 2;
    bench::run(arguments[1], arguments[2]);
}
