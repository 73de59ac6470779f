// duplex_server PORT [broadcast|unguarded]: the last one echoes without timeouts, and limits that nothing
// reaches

#include "duplex_echo.hpp"

int main(int count, char** arguments) {
    if (count < 2) return 2;
    bench::run(arguments[1], count > 2 ? arguments[2] : "echo");
}
