#include <duplex/handshake/origin_policy.hpp>

#include "support/catch.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

using duplex::origin_allowed;
using duplex::detail::split_host;

namespace {

bool same_origin(std::string_view origin, std::string_view host, bool secure) {
    return origin_allowed(origin, host, secure, {});
}

bool listed(std::string_view origin, const std::vector<std::string>& allow_list) {
    return origin_allowed(origin, "unrelated.example", false, allow_list);
}

} // namespace

TEST_CASE("allows a request without an Origin, which comes from no browser") {
    CHECK(origin_allowed(std::nullopt, "example.com", false, {}));
    CHECK(origin_allowed(std::nullopt, "example.com", true, std::vector<std::string>{"https://example.com"}));
}

TEST_CASE("allows the origin that Host names when there is no list") {
    CHECK(same_origin("http://example.com", "example.com", false));
    CHECK(same_origin("https://example.com", "example.com", true));
    CHECK(same_origin("http://example.com:8080", "example.com:8080", false));
    CHECK(same_origin("http://[::1]:9002", "[::1]:9002", false));
    CHECK(same_origin("HTTP://Example.COM", "eXample.com", false));
}

TEST_CASE("fills in default ports on both sides") {
    CHECK(same_origin("http://example.com:80", "example.com", false));
    CHECK(same_origin("http://example.com", "example.com:80", false));
    CHECK(same_origin("https://example.com", "example.com:443", true));
    CHECK(same_origin("https://example.com:443", "example.com", true));
    CHECK(same_origin("http://example.com", "example.com:", false));
    CHECK(listed("https://example.com:443", {"https://example.com"}));
    CHECK(listed("https://example.com", {"https://example.com:443"}));
    CHECK(listed("ws://example.com", {"ws://example.com:80"}));
    CHECK(listed("WSS://example.com:443", {"wss://example.com"}));
    CHECK_FALSE(listed("wss://example.com:80", {"wss://example.com"}));
    CHECK_FALSE(same_origin("https://example.com:80", "example.com", true));
    CHECK_FALSE(same_origin("http://example.com:443", "example.com", false));
}

TEST_CASE("refuses another scheme, host or port") {
    const auto* origin = GENERATE(values<const char*>({
        "https://example.com",
        "ws://example.com",
        "ftp://example.com",
        "http://example.com:8080",
        "http://example.org",
        "http://www.example.com",
        "http://evil-example.com",
        "http://evilexample.com",
        "http://example.com.evil",
        "http://example.com.evil.example",
        "http://example.comm",
        "http://example.co",
        "http://example.com.",
        "http://localhost",
        "http://127.0.0.1",
    }));
    CAPTURE(origin);
    CHECK_FALSE(same_origin(origin, "example.com", false));
    CHECK_FALSE(listed(origin, {"http://example.com"}));
}

TEST_CASE("refuses what is no origin") {
    const auto origin = GENERATE(values<std::string>({
        "",
        "null",
        "*",
        "example.com",
        "//example.com",
        "://example.com",
        "http:example.com",
        "http:/example.com",
        "http://",
        "http://:80",
        "http:///example.com",
        "http://example.com/",
        "http://example.com/path",
        "http://example.com?x",
        "http://example.com#x",
        "http://user@example.com",
        "http://example.com@evil.example",
        "http://evil.example\\@example.com",
        "http://example.com,http://evil.example",
        "http://example.com http://evil.example",
        "http://evil.example http://example.com",
        " http://example.com",
        "http://example.com ",
        "http://example.com:80x",
        "http://example.com:-80",
        "http://example.com:0",
        "http://example.com:65616",
        "http://example.com:99999999999999999999",
        "http://example.com:80:80",
        "http://[::1",
        "http://[]",
        "http://[::1]x",
        "http://[example.com]",
        std::string("http://example.com\0", 19),
        "http://example.com\n",
    }));
    CAPTURE(origin);
    CHECK_FALSE(same_origin(origin, "example.com", false));
    CHECK_FALSE(same_origin(origin, origin, false));
    CHECK_FALSE(listed(origin, {"http://example.com"}));
}

TEST_CASE("refuses every origin where Host is malformed and there is no list") {
    CHECK_FALSE(same_origin("http://example.com", "", false));
    CHECK_FALSE(same_origin("http://example.com", "example.com, example.com", false));
    CHECK_FALSE(same_origin("http://example.com", "example.com/", false));
}

TEST_CASE("allows what the list has, whatever Host says") {
    const std::vector<std::string> list{"https://one.example", "http://two.example:8080",
                                        "chrome-extension://abcd"};
    CHECK(listed("https://one.example", list));
    CHECK(listed("http://two.example:8080", list));
    CHECK(listed("HTTPS://ONE.example", list));
    CHECK(listed("chrome-extension://abcd", list));
    CHECK_FALSE(listed("http://unrelated.example", list));
    CHECK_FALSE(listed("http://one.example", list));
    CHECK_FALSE(listed("http://two.example", list));
    CHECK_FALSE(listed("chrome-extension://abce", list));
}

TEST_CASE("ignores list entries that are no origin") {
    CHECK_FALSE(
        listed("http://example.com", {"example.com", "http://example.com/", "", "*.com", "http://*"}));
    CHECK(listed("http://example.com", {"example.com", "http://example.com"}));
}

TEST_CASE("knows which entries of a list can match") {
    const auto entry = GENERATE(values<std::string>(
        {"*", "null", "https://example.com", "http://localhost:8080", "https://example.com:443",
         "http://[::1]:9002", "HTTPS://Example.com", "chrome-extension://abcd", "x1+y.z-0://abcd",
         "http://[::FFFF:10.0.0.1]", "http://[fe80::1]"}));
    CAPTURE(entry);
    CHECK(duplex::is_origin_entry(entry));
    CHECK(listed(entry, {entry}));
}

TEST_CASE("knows which entries of a list can not match") {
    const auto entry = GENERATE(values<std::string>({"",
                                                     "NULL",
                                                     "**",
                                                     "example.com",
                                                     "example.com:443",
                                                     "//example.com",
                                                     "https://",
                                                     "https:example.com",
                                                     "https://example.com/",
                                                     "https://example.com/path",
                                                     "https://example.com?x",
                                                     "https://user@example.com",
                                                     "https://example.com:0",
                                                     "https://example.com:65536",
                                                     "*.example.com",
                                                     "https://*.example.com",
                                                     "https://*",
                                                     "*://example.com",
                                                     "1http://example.com",
                                                     "+http://example.com",
                                                     "h_ttp://example.com",
                                                     "h~ttp://example.com",
                                                     "http://[::g]",
                                                     "http://[::1%1]",
                                                     "https://example.com ",
                                                     " https://example.com",
                                                     "https://b\xc3\xbc"
                                                     "cher.example",
                                                     "https://a.example,https://b.example"}));
    CAPTURE(entry);
    CHECK_FALSE(duplex::is_origin_entry(entry));
}

TEST_CASE("allows null only where the list says so") {
    CHECK_FALSE(listed("null", {"http://example.com"}));
    CHECK(listed("null", {"http://example.com", "null"}));
    CHECK_FALSE(listed("NULL", {"null"}));
    CHECK_FALSE(listed("", {"null", ""}));
    CHECK_FALSE(listed("http://null", {"null"}));
}

TEST_CASE("allows everything by a star") {
    const auto* origin = GENERATE(values<const char*>({"http://example.com", "null", "", "nonsense"}));
    CAPTURE(origin);
    CHECK(listed(origin, {"*"}));
    CHECK(listed(origin, {"http://other.example", "*"}));
}

TEST_CASE("splits a Host into its parts") {
    const auto plain = split_host("example.com");
    REQUIRE(plain);
    CHECK(plain->host == "example.com");
    CHECK(plain->port == 0);

    const auto with_port = split_host("a_b.example:65535");
    REQUIRE(with_port);
    CHECK(with_port->host == "a_b.example");
    CHECK(with_port->port == 65535);

    const auto v6 = split_host("[fe80::1]:80");
    REQUIRE(v6);
    CHECK(v6->host == "[fe80::1]");
    CHECK(v6->port == 80);

    for (const std::string_view text : {"", ":80", "a b", "a,b", "a/b", "a@b", "a:65536", "a:x", "[::1",
                                        "[::1]80", "[::/]", "[::G]", "a\\b"}) {
        CAPTURE(text);
        CHECK_FALSE(split_host(text));
    }
}
