#include <duplex/duplex.hpp>

#include <asio/io_context.hpp>
#include <asio/post.hpp>

#include <cstdio>

#if !defined(ASIO_STANDALONE)
#error "duplex::duplex stands on standalone Asio"
#endif
#if defined(ASIO_NO_DEPRECATED)
#error "duplex takes no names from its users"
#endif

int main() {
    asio::io_context io;
    bool ran = false;
    asio::post(io, [&] { ran = true; });
    io.run();
    std::printf("duplex %s on Asio %d\n", DUPLEX_VERSION_STRING, ASIO_VERSION);
    return ran ? 0 : 1;
}
