// duplex_tls_server PORT echo|broadcast CERTIFICATE KEY

#include "duplex_echo.hpp"

#include <duplex/tls.hpp>

#include <cstdio>
#include <string>

int main(int count, char** arguments) {
    if (count < 5) return 2;
    duplex::tls_server_context tls;
    std::string why;
    if (const auto error = tls.reload({.certificate_file = arguments[3], .key_file = arguments[4]}, &why)) {
        std::fprintf(stderr, "%s: %s\n", error.message().c_str(), why.c_str());
        return 1;
    }
    bench::run(arguments[1], arguments[2], tls.security());
}
