#include <duplex/tls/tls_context.hpp>

#include <cstdio>
#include <string>
#include <system_error>

int main() {
    std::error_code error;
    const auto context = duplex::make_tls_client_context({}, error);
    std::string why;
    std::error_code refused;
    const auto none = duplex::make_tls_server_context({}, refused, &why);
    std::printf("%s; a server with nothing: %s\n", OPENSSL_VERSION_TEXT, why.c_str());
    return context && !error && !none && refused == duplex::errc::tls_certificate_invalid ? 0 : 1;
}
