#include <duplex/http/uri_reference.hpp>

#include "support/catch.hpp"

#include <string>
#include <string_view>
#include <utility>
#include <vector>

using duplex::errc;
using duplex::parse_uri;
using duplex::resolve_uri;
using duplex::uri;

namespace {

uri parsed(std::string_view text) {
    uri made;
    REQUIRE_FALSE(parse_uri(text, made));
    return made;
}

std::string resolved(std::string_view base, std::string_view reference) {
    uri found;
    const auto error = resolve_uri(parsed(base), reference, found);
    return error ? error.message() : found.to_string();
}

errc error_of(std::string_view reference) {
    uri found = parsed("ws://kept/");
    const auto error = resolve_uri(parsed("wss://example.com/a"), reference, found);
    CHECK(found == parsed("ws://kept/"));
    return duplex::errc_of(error, errc{});
}

} // namespace

TEST_CASE("references resolve as the examples of RFC 3986 5.4 do") {
    const std::vector<std::pair<std::string_view, std::string_view>> examples{
        {"g", "/b/c/g"},
        {"./g", "/b/c/g"},
        {"g/", "/b/c/g/"},
        {"/g", "/g"},
        {"?y", "/b/c/d;p?y"},
        {"g?y", "/b/c/g?y"},
        {"#s", "/b/c/d;p?q"},
        {"g#s", "/b/c/g"},
        {"g?y#s", "/b/c/g?y"},
        {";x", "/b/c/;x"},
        {"g;x", "/b/c/g;x"},
        {"", "/b/c/d;p?q"},
        {".", "/b/c/"},
        {"./", "/b/c/"},
        {"..", "/b/"},
        {"../", "/b/"},
        {"../g", "/b/g"},
        {"../..", "/"},
        {"../../", "/"},
        {"../../g", "/g"},
        // abnormal ones
        {"../../../g", "/g"},
        {"../../../../g", "/g"},
        {"/./g", "/g"},
        {"/../g", "/g"},
        {"g.", "/b/c/g."},
        {".g", "/b/c/.g"},
        {"g..", "/b/c/g.."},
        {"..g", "/b/c/..g"},
        {"./../g", "/b/g"},
        {"./g/.", "/b/c/g/"},
        {"g/./h", "/b/c/g/h"},
        {"g/../h", "/b/c/h"},
        {"g;x=1/./y", "/b/c/g;x=1/y"},
        {"g;x=1/../y", "/b/c/y"},
        {"g?y/./x", "/b/c/g?y/./x"},
        {"g?y/../x", "/b/c/g?y/../x"},
        {"g#s/../x", "/b/c/g"},
    };
    for (const auto& [reference, expected] : examples) {
        CAPTURE(std::string{reference});
        CHECK(resolved("http://a/b/c/d;p?q", reference) == "ws://a" + std::string{expected});
    }
    CHECK(resolved("http://a/b/c/d;p?q", "//g") == "ws://g/");
}

TEST_CASE("a reference with a scheme is a URL of its own") {
    CHECK(resolved("ws://a/b", "wss://other.example:9002/x?y") == "wss://other.example:9002/x?y");
    CHECK(resolved("ws://a/b", "HTTPS://Other/") == "wss://other/");
    CHECK(resolved("wss://a/b", "http://other") == "ws://other/");
    CHECK(resolved("ws://a/b", "ws://other/x/../y/./z") == "ws://other/y/z");
    CHECK(resolved("ws://a/b", "ws://other/x#top") == "ws://other/x");
}

TEST_CASE("a reference that names only a host keeps the scheme") {
    CHECK(resolved("wss://a:1/b", "//other/x") == "wss://other/x");
    CHECK(resolved("ws://a:1/b", "//other:2?x") == "ws://other:2/?x");
    CHECK(resolved("ws://a/", "//[2001:DB8::1]:3/") == "ws://[2001:db8::1]:3/");
}

TEST_CASE("a reference without host keeps scheme, host and port") {
    CHECK(resolved("wss://[::1]:9002/a/b?c", "d") == "wss://[::1]:9002/a/d");
    CHECK(resolved("ws://h:81", "d") == "ws://h:81/d");
    CHECK(resolved("ws://h/a?b/c", "d") == "ws://h/d");
    CHECK(resolved("ws://h/a?b/c", "?d") == "ws://h/a?d");
    CHECK(resolved("ws://h/a?b", "?") == "ws://h/a?");
    // A colon makes a scheme only where nothing before it forbids one.
    CHECK(resolved("ws://h/a/", "./x:y") == "ws://h/a/x:y");
    CHECK(resolved("ws://h/a/", "1x:y") == "ws://h/a/1x:y");
    CHECK(resolved("ws://h/a/", "?x:y") == "ws://h/a/?x:y");
    CHECK(resolved("ws://h/a/", "b/ws://x") == "ws://h/a/b/ws://x");
    CHECK(resolved("ws://h//a//b", "..//c") == "ws://h//a//c");
    CHECK(resolved("ws://h/a/", "\xC3\xBC") == "ws://h/a/%C3%BC");
    // Only a dot is a dot.
    CHECK(resolved("ws://h/a/b", "%2e%2e/c") == "ws://h/a/%2e%2e/c");
}

TEST_CASE("user and password go along within their host's references only") {
    const auto base = parsed("ws://me:secret@h/a");
    uri found;
    for (const auto* inside : {"b", "/b", "?b", "", "#b"}) {
        CAPTURE(inside);
        REQUIRE_FALSE(resolve_uri(base, inside, found));
        CHECK(found.user == "me");
        CHECK(found.password == "secret");
    }
    for (const auto* elsewhere : {"//h/b", "ws://h/b", "//other", "wss://other"}) {
        CAPTURE(elsewhere);
        REQUIRE_FALSE(resolve_uri(base, elsewhere, found));
        CHECK(found.user.empty());
        CHECK(found.password.empty());
    }
    REQUIRE_FALSE(resolve_uri(base, "//you:pw@h/b", found));
    CHECK(found.user == "you");
    CHECK(found.password == "pw");
}

TEST_CASE("the result may be written over the base") {
    uri at = parsed("ws://me:secret@h/a/b?c");
    REQUIRE_FALSE(resolve_uri(at, "../d", at));
    CHECK(at.to_string() == "ws://h/d");
    CHECK(at.user == "me");
}

TEST_CASE("a reference to nothing that a WebSocket can go to is refused") {
    CHECK(error_of("ftp://x/") == errc::url_scheme_unsupported);
    CHECK(error_of("mailto:me") == errc::url_scheme_unsupported);
    CHECK(error_of("javascript:1") == errc::url_scheme_unsupported);
    CHECK(error_of("ws:x") == errc::url_invalid);
    CHECK(error_of("wss:/x") == errc::url_invalid);
    CHECK(error_of("//") == errc::url_host_invalid);
    CHECK(error_of("///x") == errc::url_host_invalid);
    CHECK(error_of("ws://") == errc::url_host_invalid);
    CHECK(error_of("//x:0/") == errc::url_port_invalid);
    CHECK(error_of("//x:70000/") == errc::url_port_invalid);
    CHECK(error_of("//a b/") == errc::url_invalid);
    for (const auto* bad : {"a b", "/a\r\nX: y", "a\tb", "\\\\evil", "/%zz", "a%2", "?\x01"}) {
        CAPTURE(bad);
        CHECK(error_of(bad) == errc::url_invalid);
    }
}

TEST_CASE("dot segments of a long path take no longer than its length") {
    std::string path = "ws://h";
    for (int i = 0; i < 20'000; ++i)
        path += "/a";
    for (int i = 0; i < 20'000; ++i)
        path += "/..";
    CHECK(resolved("ws://h/x", path) == "ws://h/");
    CHECK(resolved("ws://h/x", path + "/../../b") == "ws://h/b");
}
