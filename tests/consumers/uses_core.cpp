#include <duplex/core/close_code.hpp>
#include <duplex/core/error.hpp>
#include <duplex/version.hpp>

#include <cstdio>

#if defined(ASIO_STANDALONE)
#error "duplex::core knows nothing of Asio"
#endif

int main() {
    const auto code = duplex::close_code::going_away;
    std::printf("duplex %s: %d is \"%s\"\n", DUPLEX_VERSION_STRING, int{duplex::to_number(code)},
                duplex::to_string(code).data());
    return duplex::may_travel(code) && !duplex::may_travel(duplex::close_code::abnormal) ? 0 : 1;
}
