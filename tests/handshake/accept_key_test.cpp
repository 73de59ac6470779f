#include <duplex/handshake/accept_key.hpp>

#include "support/catch.hpp"

#include <string>
#include <string_view>

using duplex::accept_key;
using duplex::is_valid_key;

namespace {

std::string accept_of(std::string_view key) {
    const auto accept = accept_key(key);
    return {accept.data(), accept.size()};
}

} // namespace

TEST_CASE("gives the accept value of RFC 6455's own example") {
    CHECK(accept_of("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

TEST_CASE("gives different accept values for different keys") {
    CHECK(accept_of("AQIDBAUGBwgJCgsMDQ4PEA==") == "C/0nmHhBztSRGR1CwL6Tf4ZjwpY=");
    CHECK(accept_of("AAAAAAAAAAAAAAAAAAAAAA==") != accept_of("AAAAAAAAAAAAAAAAAAAAAQ=="));
}

TEST_CASE("reads no more of a key than its 24 characters") {
    CHECK(accept_of("dGhlIHNhbXBsZSBub25jZQ==" + std::string(1000, 'x')) == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

TEST_CASE("takes 16 bytes in base64 as a key") {
    const auto* key = GENERATE(values<const char*>({
        "dGhlIHNhbXBsZSBub25jZQ==",
        "AQIDBAUGBwgJCgsMDQ4PEC==", // the example of RFC 6455 4.1
        "++++++++++++//////////==",
        "0123456789abcdefghijkl==",
    }));
    CAPTURE(key);
    CHECK(is_valid_key(key));
}

TEST_CASE("takes nothing else as a key") {
    const auto key = GENERATE(values<std::string>({
        "",
        "==",
        "dGhlIHNhbXBsZSBub25jZQ=",
        "dGhlIHNhbXBsZSBub25jZQ",
        "dGhlIHNhbXBsZSBub25jZQ===",
        "dGhlIHNhbXBsZSBub25jZQ== ",
        " dGhlIHNhbXBsZSBub25jZQ=",
        "dGhlIHNhbXBsZSBub25jZWE=",
        "dGhlIHNhbXBsZSBub25jZWFi",
        "dGhlIHNhbXBsZSBub25jZ===",
        "dGhlIHNhbX=sZSBub25jZQ==",
        "dGhlIHNhbXBsZSBub25-ZQ==",
        "dGhlIHNhbXBsZSBub25_ZQ==",
        "dGhlIHNhbXBsZSBub25\r\n==",
        "SGVsbG8sIHdvcmxkIQ==",
        std::string("dGhlIHNhbXBsZSBub25jZ\0==", 24),
        std::string("dGhlIHNhbXBsZSBub25jZ\xFF==", 24),
    }));
    CAPTURE(key);
    CHECK_FALSE(is_valid_key(key));
}
