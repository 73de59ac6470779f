#include <duplex/deflate.hpp>

#include <cstdio>
#include <span>
#include <string_view>

int main() {
    constexpr std::string_view text = "Hello, Hello, Hello";
    const auto client = duplex::make_zlib_codec(duplex::role::client, {}, {});
    const auto server = duplex::make_zlib_codec(duplex::role::server, {}, {});
    duplex::byte_buffer sent;
    duplex::byte_buffer got;
    const bool compressed = client && client->compress(std::as_bytes(std::span{text}), true, sent);
    const bool back = server && server->expand(sent.bytes(), true, got, 1024) == duplex::errc{};
    std::printf("zlib %s: %zu bytes travel as %zu\n", zlibVersion(), text.size(), sent.size());
    const std::string_view same{reinterpret_cast<const char*>(got.data()), got.size()};
    return compressed && back && same == text && duplex::detail::default_codec != nullptr ? 0 : 1;
}
