#include <duplex/deflate.hpp>

#include <cstdio>
#include <span>
#include <string>
#include <string_view>

#if defined(DUPLEX_LIBDEFLATE) != EXPECT_LIBDEFLATE
#error "libdeflate is there and not used, or the other way round"
#endif

int main() {
    std::string text;
    while (text.size() < 20000)
        text += "Hello, Hello, " + std::to_string(text.size());
    const auto client = duplex::make_zlib_codec(duplex::role::client, {}, {});
    const auto server = duplex::make_zlib_codec(duplex::role::server, {}, {});
    duplex::byte_buffer sent;
    duplex::byte_buffer got;
    const bool compressed = client && client->compress(std::as_bytes(std::span{text}), true, sent);
    const bool back = server && server->expand(sent.bytes(), true, got, text.size()) == duplex::errc{};
#if defined(DUPLEX_LIBDEFLATE)
    std::printf("libdeflate %s, ", LIBDEFLATE_VERSION_STRING);
#endif
    std::printf("zlib %s: %zu bytes travel as %zu\n", zlibVersion(), text.size(), sent.size());
    const std::string_view same{reinterpret_cast<const char*>(got.data()), got.size()};
    return compressed && back && same == text && duplex::detail::default_codec != nullptr ? 0 : 1;
}
