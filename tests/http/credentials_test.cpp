#include <duplex/http/credentials.hpp>

#include "support/catch.hpp"

#include <string>
#include <string_view>

using duplex::basic_credentials;
using duplex::bearer_credentials;
using duplex::condition;
using duplex::errc;
using namespace std::string_view_literals;

TEST_CASE("a login becomes the examples of RFC 7617") {
    std::string value = "old";
    REQUIRE_FALSE(basic_credentials("Aladdin", "open sesame", value));
    CHECK(value == "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
    REQUIRE_FALSE(basic_credentials("test", "123\xC2\xA3", value));
    CHECK(value == "Basic dGVzdDoxMjPCow==");
    REQUIRE_FALSE(basic_credentials("", "", value));
    CHECK(value == "Basic Og==");
    // Only the first colon separates.
    REQUIRE_FALSE(basic_credentials("u", "a:b", value));
    CHECK(value == "Basic dTphOmI=");
}

TEST_CASE("a login that can't be sent as it is gives no value") {
    std::string value = "old";
    CHECK(basic_credentials("a:b", "c", value) == errc::credentials_invalid);
    CHECK(basic_credentials("a:b", "c", value) == condition::misuse);
    for (const auto bad : {"\n"sv, "\r"sv, "\0"sv, "\x1F"sv, "\x7F"sv, "a\tb"sv}) {
        CAPTURE(static_cast<int>(bad[0]));
        CHECK(basic_credentials(bad, "x", value) == errc::credentials_invalid);
        CHECK(basic_credentials("x", bad, value) == errc::credentials_invalid);
    }
    CHECK(value == "old");
}

TEST_CASE("a token becomes the example of RFC 6750") {
    std::string value;
    REQUIRE_FALSE(bearer_credentials("mF_9.B5f-4.1JqM", value));
    CHECK(value == "Bearer mF_9.B5f-4.1JqM");
    for (const std::string_view good : {"a", "a=", "a==", "~+/-._", "AZaz09", "a===="})
        CHECK_FALSE(bearer_credentials(good, value));
    CHECK(value == "Bearer a====");
}

TEST_CASE("a token with anything else in it gives no value") {
    std::string value = "old";
    for (const auto bad : {""sv, "="sv, "=="sv, "a=b"sv,
                           "a=="
                           "b="sv,
                           "a b"sv, "a\r\nX: y"sv, "a\n"sv, " a"sv, "a\0"sv, "a,b"sv, "a:b"sv, "\"a\""sv,
                           "\xC3\xBC"sv, "a%"sv}) {
        CAPTURE(std::string{bad});
        CHECK(bearer_credentials(bad, value) == errc::credentials_invalid);
    }
    CHECK(value == "old");
}
