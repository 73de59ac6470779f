#include <duplex/http/uri.hpp>

#include "support/catch.hpp"

#include <cstddef>
#include <string>
#include <string_view>

namespace {

using namespace std::string_view_literals;
using duplex::errc;
using duplex::uri;

uri parsed(std::string_view text) {
    uri out;
    CAPTURE(text);
    REQUIRE_FALSE(duplex::parse_uri(text, out));
    return out;
}

/// The error for `text`; `errc{}` where it is accepted.
errc error_of(std::string_view text) {
    uri out;
    return duplex::errc_of(duplex::parse_uri(text, out), errc{});
}

std::string normal(std::string_view text) { return parsed(text).to_string(); }

// evaluated by the compiler, which also sees a step outside of the groups
static_assert(duplex::detail::parse_ipv6("1:2:3:4:5:6:1.2.3.4"));
static_assert(!duplex::detail::parse_ipv6("1:2:3:4:5:6:7:1.2.3.4"));
static_assert(!duplex::detail::parse_ipv6("1:2:3:4:5:6:7:8:9"));
static_assert(!duplex::detail::parse_ipv6("1:2:3:4:5:6:7:8::"));

} // namespace

TEST_CASE("splits a ws URL into its parts", "[uri]") {
    const auto url = parsed("ws://example.com:9002/chat/room?x=1&y=2");
    CHECK_FALSE(url.secure);
    CHECK(url.host == "example.com");
    CHECK_FALSE(url.host_is_ipv6);
    CHECK(url.port == 9002);
    CHECK(url.target == "/chat/room?x=1&y=2");
    CHECK(url.user.empty());
    CHECK(url.password.empty());
    CHECK(url.host_header() == "example.com:9002");
    CHECK(url.origin() == "http://example.com:9002");
    CHECK(url.to_string() == "ws://example.com:9002/chat/room?x=1&y=2");
}

TEST_CASE("the scheme decides about TLS and the default port, in any case", "[uri]") {
    CHECK(parsed("ws://a").port == 80);
    CHECK(parsed("wss://a").port == 443);
    CHECK(parsed("wss://a").secure);
    CHECK(parsed("WSS://a") == parsed("wss://a"));
    CHECK(parsed("http://a") == parsed("ws://a"));
    CHECK(parsed("HttpS://a") == parsed("wss://a"));
    CHECK(parsed("wss://a").origin() == "https://a");
    CHECK(parsed("ws://a:443").host_header() == "a:443");
    CHECK(parsed("wss://a:80").host_header() == "a:80");
}

TEST_CASE("a default port does not show", "[uri]") {
    CHECK(normal("ws://a:80/") == "ws://a/");
    CHECK(normal("wss://a:443/") == "wss://a/");
    CHECK(parsed("wss://a:443").host_header() == "a");
    CHECK(parsed("ws://a:80").origin() == "http://a");
}

TEST_CASE("an empty path is a slash", "[uri]") {
    CHECK(parsed("ws://a").target == "/");
    CHECK(parsed("ws://a/").target == "/");
    CHECK(parsed("ws://a?q").target == "/?q");
    CHECK(parsed("ws://a/?").target == "/?");
    CHECK(parsed("ws://a//b").target == "//b");
}

TEST_CASE("a host is put into lower case, a path is not", "[uri]") {
    CHECK(normal("ws://EXAMPLE.com./Path") == "ws://example.com./Path");
}

TEST_CASE("other schemes are refused", "[uri]") {
    for (const auto text : {"ftp://a"sv, "localhost:9002"sv, "example.com"sv, "/chat"sv, "://a"sv,
                            "wsss://a"sv, "javascript:1"sv, "a#b"sv}) {
        CAPTURE(text);
        CHECK(error_of(text) == errc::url_scheme_unsupported);
    }
}

TEST_CASE("malformed URLs are refused", "[uri]") {
    for (const auto text :
         {""sv, "ws:"sv, "ws:a"sv, "ws:/a"sv, "ws:/a/b"sv, "ws:\\\\a"sv, "ws://a\\b"sv, "ws://a/b\\c"sv}) {
        CAPTURE(text);
        CHECK(error_of(text) == errc::url_invalid);
    }
}

TEST_CASE("controls and spaces are refused anywhere in a URL", "[uri]") {
    constexpr auto text = "wss://user:pass@host.example:9002/path?query"sv;
    REQUIRE(error_of(text) == errc{});
    std::string accepted;
    for (const char c : {'\0', '\t', '\n', '\r', ' ', '\x1f', '\x7f'})
        for (std::size_t at = 0; at <= text.size(); ++at)
            if (error_of(std::string(text).insert(at, 1, c)) != errc::url_invalid)
                accepted += std::to_string(int{c}) + " at " + std::to_string(at) + "; ";
    CHECK(accepted.empty());
    CHECK(error_of("ws://a/ HTTP/1.1\r\nX-Evil: 1\r\n") == errc::url_invalid);
}

TEST_CASE("a fragment is refused, an empty one too", "[uri]") {
    for (const auto text : {"ws://a/#f"sv, "ws://a#"sv, "ws://a/?q#"sv, "ws://u#@a/"sv}) {
        CAPTURE(text);
        CHECK(error_of(text) == errc::url_has_fragment);
    }
    CHECK(parsed("ws://a/%23").target == "/%23");
}

TEST_CASE("broken percent escapes are refused", "[uri]") {
    for (const auto text : {"ws://a/%"sv, "ws://a/%4"sv, "ws://a/%4g"sv, "ws://a/%g4"sv, "ws://a?%%41"sv,
                            "ws://u%4@a"sv, "ws://u:%zz@a"sv, "ws://u%4g@a"sv, "ws://u:%g4@a"sv}) {
        CAPTURE(text);
        CHECK(error_of(text) == errc::url_invalid);
    }
    CHECK(parsed("ws://a/%4a%4A%00").target == "/%4a%4A%00");
}

TEST_CASE("what a target may not hold is percent-encoded", "[uri]") {
    CHECK(parsed("ws://a/\xC3\xA4?\xFF").target == "/%C3%A4?%FF");
    CHECK(parsed("ws://a/\"<>^`{|}").target == "/%22%3C%3E%5E%60%7B%7C%7D");
    constexpr auto plain = "/-._~!$&'()*+,;=:@/[]?/?"sv;
    CHECK(parsed("ws://a" + std::string(plain)).target == plain);
}

TEST_CASE("hosts that no name service could know are refused", "[uri]") {
    for (const auto text : {"ws://"sv,
                            "ws:///path"sv,
                            "ws://?q"sv,
                            "ws://:80"sv,
                            "ws://u@"sv,
                            "ws://u@:80/"sv,
                            "ws://a%41"sv,
                            "ws://a,b"sv,
                            "ws://a!"sv,
                            "ws://a^"sv,
                            "ws://a|b"sv,
                            "ws://<a>"sv,
                            "ws://a\xC3\xA4.example"sv,
                            "ws://."sv,
                            "ws://.a"sv,
                            "ws://a..b"sv,
                            "ws://a.."sv,
                            "ws://a]"sv,
                            "ws://a[::1]"sv,
                            "ws://*"sv,
                            "ws://a;b"sv}) {
        CAPTURE(text);
        CHECK(error_of(text) == errc::url_host_invalid);
    }
    CHECK(parsed("ws://my_host-1.example~").host == "my_host-1.example~");
}

TEST_CASE("an IPv4 address has one spelling", "[uri]") {
    CHECK(parsed("ws://127.0.0.1").host == "127.0.0.1");
    CHECK(parsed("ws://255.255.255.255").host == "255.255.255.255");
    for (const auto host :
         {"256.0.0.1"sv, "1.2.3"sv, "1.2.3.4.5"sv, "2130706433"sv, "0x7f.0.0.1"sv, "1.2.3.0x4"sv, "a.0x"sv,
          "01.2.3.4"sv, "1.2.3.04"sv, "1.2.3.4."sv, "a.1"sv, "0"sv}) {
        CAPTURE(host);
        CHECK(error_of("ws://" + std::string(host) + "/") == errc::url_host_invalid);
    }
    CHECK(parsed("ws://1.2.3.4a").host == "1.2.3.4a");
    CHECK(parsed("ws://1a.0xg").host == "1a.0xg");
}

TEST_CASE("an IPv6 address loses its brackets and gets its shortest form", "[uri]") {
    const auto url = parsed("wss://[2001:DB8:0:0:0:0:0:1]:9002/x");
    CHECK(url.host == "2001:db8::1");
    CHECK(url.host_is_ipv6);
    CHECK(url.port == 9002);
    CHECK(url.host_header() == "[2001:db8::1]:9002");
    CHECK(url.origin() == "https://[2001:db8::1]:9002");
    CHECK(url.to_string() == "wss://[2001:db8::1]:9002/x");
    CHECK(parsed("ws://[::1]").host_header() == "[::1]");

    const auto host = [](std::string_view text) { return parsed("ws://[" + std::string(text) + "]").host; };
    CHECK(host("::") == "::");
    CHECK(host("0:0:0:0:0:0:0:0") == "::");
    CHECK(host("1::") == "1::");
    CHECK(host("::0001") == "::1");
    CHECK(host("1:2:3:4:5:6:7:8") == "1:2:3:4:5:6:7:8");
    CHECK(host("1:2:3:4:5:6:7::") == "1:2:3:4:5:6:7:0");
    CHECK(host("::2:3:4:5:6:7:8") == "0:2:3:4:5:6:7:8");
    CHECK(host("1:0:0:4:0:0:0:8") == "1:0:0:4::8");
    CHECK(host("1:0:0:4:5:0:0:8") == "1::4:5:0:0:8");
    CHECK(host("1:2::7:8") == "1:2::7:8");
    CHECK(host("ABCD:ef01::10:a0") == "abcd:ef01::10:a0");
    CHECK(host("::ffff:192.168.0.1") == "::ffff:c0a8:1");
    CHECK(host("1:2:3:4:5:6:1.2.3.4") == "1:2:3:4:5:6:102:304");
    CHECK(host("64:ff9b::1.2.3.4") == "64:ff9b::102:304");
}

TEST_CASE("malformed IPv6 addresses are refused", "[uri]") {
    for (const auto literal : {""sv,
                               ":"sv,
                               ":::"sv,
                               "1"sv,
                               ":1"sv,
                               "1:"sv,
                               "::1:"sv,
                               ":1::"sv,
                               "1::2::3"sv,
                               "1:2:3:4:5:6:7"sv,
                               "1:2:3:4:5:6:7:8:9"sv,
                               "1:2:3:4:5:6:7:8::"sv,
                               "::1:2:3:4:5:6:7:8"sv,
                               "1:2:3:4::5:6:7:8"sv,
                               "12345::"sv,
                               "g::"sv,
                               "::1.2.3"sv,
                               "::1.2.3.256"sv,
                               "::1.2.3.4:5"sv,
                               "1.2.3.4"sv,
                               "1.2.3.4::"sv,
                               "1:2:3:4:5:6:7:1.2.3.4"sv,
                               "::01.2.3.4"sv,
                               "::a.2.3.4"sv,
                               "fe80::1%eth0"sv,
                               "fe80::1%25eth0"sv,
                               "v1.a"sv,
                               "[::1]"sv,
                               "::1/64"sv}) {
        CAPTURE(literal);
        CHECK(error_of("ws://[" + std::string(literal) + "]/") == errc::url_host_invalid);
    }
    for (const auto text :
         {"ws://[::1"sv, "ws://[::1]a"sv, "ws://[::1]]"sv, "ws://::1"sv, "ws://::1/"sv, "ws://[::1]80"sv}) {
        CAPTURE(text);
        CHECK(error_of(text) == errc::url_host_invalid);
    }
}

TEST_CASE("ports are 1 to 65535 and an empty one is the default", "[uri]") {
    CHECK(parsed("ws://a:1").port == 1);
    CHECK(parsed("ws://a:65535").port == 65535);
    CHECK(parsed("ws://a:00080").port == 80);
    CHECK(parsed("ws://a:").port == 80);
    CHECK(parsed("wss://[::1]:/x").port == 443);
    for (const auto port : {"0"sv, "00"sv, "65536"sv, "70000"sv, "4294967376"sv, "18446744073709551696"sv,
                            "-1"sv, "+1"sv, "8o"sv, "80:80"sv, ":"sv, "0x50"sv, "\xD9\xA1"sv}) {
        CAPTURE(port);
        CHECK(error_of("ws://a:" + std::string(port)) == errc::url_port_invalid);
        CHECK(error_of("ws://[::1]:" + std::string(port) + "/") == errc::url_port_invalid);
    }
}

TEST_CASE("user and password are decoded and stay out of every normal form", "[uri]") {
    const auto url = parsed("wss://al%20ice:p%40ss:w%3Ard@example.com/x");
    CHECK(url.user == "al ice");
    CHECK(url.password == "p@ss:w:rd");
    CHECK(url.host == "example.com");
    CHECK(url.to_string() == "wss://example.com/x");
    CHECK(url.host_header() == "example.com");
    CHECK(url.origin() == "https://example.com");
    CHECK(parsed("ws://u@a").user == "u");
    CHECK(parsed("ws://:p@a").password == "p");
    CHECK(parsed("ws://@a") == parsed("ws://a"));
    CHECK(parsed("ws://a/b@c").host == "a");
    CHECK(parsed("ws://a?b@c").host == "a");
}

TEST_CASE("user names that readers could understand in two ways are refused", "[uri]") {
    for (const auto text : {"ws://good@evil@a"sv, "ws://u%3Ax:p@a"sv, "ws://u%0D%0A@a"sv, "ws://u:p%00@a"sv,
                            "ws://u:%7F@a"sv}) {
        CAPTURE(text);
        CHECK(error_of(text) == errc::url_invalid);
    }
}

TEST_CASE("a ws+unix URL is a socket's path and a target behind a colon", "[uri]") {
    const auto url = parsed("ws+unix:/run/chat.sock:/room?x=1&y=2");
    CHECK(url.socket_path == "/run/chat.sock");
    CHECK(url.target == "/room?x=1&y=2");
    CHECK_FALSE(url.secure);
    CHECK(url.host == "localhost");
    CHECK_FALSE(url.host_is_ipv6);
    CHECK(url.port == 80);
    CHECK(url.user.empty());
    CHECK(url.password.empty());
    CHECK(url.host_header() == "localhost");
    CHECK(url.origin() == "http://localhost");
    CHECK(url.to_string() == "ws+unix:/run/chat.sock:/room?x=1&y=2");
    CHECK(parsed("WS+Unix:/run/chat.sock:/room?x=1&y=2") == url);
    CHECK(parsed("ws+unix:///run/chat.sock:/room?x=1&y=2") == url);
    CHECK_FALSE(parsed("ws+unix:/run/other.sock:/room?x=1&y=2") == url);
    CHECK(parsed("ws://localhost/room").socket_path.empty());
}

TEST_CASE("a ws+unix URL without a target asks for a slash", "[uri]") {
    for (const auto text : {"ws+unix:/s"sv, "ws+unix:/s:"sv, "ws+unix:/s:/"sv}) {
        CAPTURE(text);
        CHECK(parsed(text).socket_path == "/s");
        CHECK(parsed(text).target == "/");
        CHECK(normal(text) == "ws+unix:/s");
    }
    CHECK(parsed("ws+unix:/s:?q").target == "/?q");
    CHECK(parsed("ws+unix:/s:/?").target == "/?");
}

TEST_CASE("only the first colon of a ws+unix URL ends its path", "[uri]") {
    CHECK(parsed("ws+unix:/s:/a:b?c:d").target == "/a:b?c:d");
    CHECK(parsed("ws+unix:/s:/a:b?c:d").socket_path == "/s");
    CHECK(parsed("ws+unix:/s:/a?ws://b").target == "/a?ws://b");
    CHECK(parsed("ws+unix:/s://b").target == "//b");
}

TEST_CASE("the path of a ws+unix URL may be relative, abstract, and percent-encoded", "[uri]") {
    CHECK(parsed("ws+unix:run/s").socket_path == "run/s");
    CHECK(parsed("ws+unix:./s:/x").socket_path == "./s");
    CHECK(parsed("ws+unix:../s").socket_path == "../s");
    CHECK(parsed("ws+unix:@name:/x").socket_path == "@name");
    CHECK(parsed("ws+unix:/a%3Ab%3fc%23d%25e%20f:/x").socket_path == "/a:b?c#d%e f");
    CHECK(parsed("ws+unix:/a@b").socket_path == "/a@b");
    CHECK(parsed("ws+unix:/\xC3\xA4").socket_path == "/\xC3\xA4");
    CHECK(parsed("ws+unix:///////s").socket_path == "/////s");
    CHECK(parsed("ws+unix:/MixedCase").socket_path == "/MixedCase");
    CHECK(parsed("ws+unix:/s:/\xC3\xA4").target == "/%C3%A4");
    const std::string longer(5000, 'x'); // how long it may be the system says
    CHECK(parsed("ws+unix:/" + longer).socket_path == "/" + longer);
}

TEST_CASE("the normal form of a ws+unix URL is read back as the same socket", "[uri]") {
    for (const auto text : {"ws+unix:/s"sv, "WS+UNIX:///s:"sv, "ws+unix:rel/s:?q"sv, "ws+unix:@n:/a:b"sv,
                            "ws+unix:////s"sv, "ws+unix:/a%3Ab%3Fc%23d%25e%20f%5C%01%7f\xFF\"<>[]|^`{}:/t"sv,
                            "ws+unix:%2f%2fs"sv, "ws+unix:%40n"sv}) {
        CAPTURE(text);
        CHECK(parsed(normal(text)) == parsed(text));
        CHECK(normal(normal(text)) == normal(text));
    }
    CHECK(normal("ws+unix:/a%3ab") == "ws+unix:/a%3Ab");
}

TEST_CASE("malformed ws+unix URLs are refused", "[uri]") {
    for (const auto text :
         {"ws+unix:"sv, "ws+unix::"sv, "ws+unix::/x"sv, "ws+unix:/s?q"sv, "ws+unix:/s?q:/x"sv, "ws+unix:?q"sv,
          "ws+unix:/s:x"sv, "ws+unix:/s::/x"sv, "ws+unix:/s:8080/x"sv, "ws+unix:/%"sv, "ws+unix:/%4"sv,
          "ws+unix:/%zz"sv, "ws+unix:/s:/%"sv, "ws+unix:\\s"sv, "ws+unix:/a\\b"sv, "ws+unix:/a b"sv,
          "ws+unix:/s:/ "sv, "ws+unix:/s:/\r\nX: 1"sv, "ws+unix:/\x7f"sv}) {
        CAPTURE(text);
        CHECK(error_of(text) == errc::url_invalid);
    }
    for (const auto text :
         {"ws+unix://"sv, "ws+unix://host/s"sv, "ws+unix://s"sv, "ws+unix://:80/s"sv, "ws+unix://@/s"sv}) {
        CAPTURE(text);
        CHECK(error_of(text) == errc::url_host_invalid);
    }
    for (const auto text : {"ws+unix:/s#"sv, "ws+unix:/s:/x#f"sv, "ws+unix:#"sv}) {
        CAPTURE(text);
        CHECK(error_of(text) == errc::url_has_fragment);
    }
    for (const auto text : {"wss+unix:/s"sv, "http+unix:/s"sv, "unix:/s"sv, "ws+unix"sv, "ws+unixx:/s"sv}) {
        CAPTURE(text);
        CHECK(error_of(text) == errc::url_scheme_unsupported);
    }
    CHECK(error_of("ws+unix:/a%00b") == errc::socket_path_invalid);
    CHECK(error_of("ws+unix:%00name") == errc::socket_path_invalid);
}

TEST_CASE("a refused URL leaves the result as it was", "[uri]") {
    uri out = parsed("wss://u:p@before:1/x");
    const uri before = out;
    for (const auto text :
         {"ws://u:p@a:0/"sv, "ws://a/%"sv, "ws://[::1]x"sv, "ftp://a"sv, "ws://a/#"sv, "ws+unix:/s:/%"sv}) {
        CAPTURE(text);
        CHECK(duplex::parse_uri(text, out));
        CHECK(out == before);
    }
}

TEST_CASE("URLs are equal where all their parts are", "[uri]") {
    const auto url = parsed("wss://u:p@a:1/x");
    CHECK(url == parsed("WSS://u:p@A:1/x"));
    for (const auto other :
         {"ws://u:p@a:1/x"sv, "wss://v:p@a:1/x"sv, "wss://u:q@a:1/x"sv, "wss://u:p@b:1/x"sv,
          "wss://u:p@[::1]:1/x"sv, "wss://u:p@a:2/x"sv, "wss://u:p@a:1/X"sv}) {
        CAPTURE(other);
        CHECK_FALSE(url == parsed(other));
    }
    // A name that looks like an address is none.
    auto name = parsed("ws://[::1]/");
    name.host_is_ipv6 = false;
    CHECK_FALSE(name == parsed("ws://[::1]/"));
}

TEST_CASE("a normal form is read back as itself", "[uri]") {
    for (const auto text :
         {"HTTPS://u:p@EXAMPLE.com:443?q"sv, "ws://[0::1.2.3.4]:81/\xC3\xA4"sv, "ws://a:80"sv}) {
        CAPTURE(text);
        CHECK(normal(normal(text)) == normal(text));
    }
}

TEST_CASE("megabytes of one character in a URL are read in one pass", "[uri]") {
    for (const char c : "a.:@/?%[-"sv) {
        const std::string many(std::size_t{4} << 20, c);
        uri out;
        CAPTURE(c);
        // what matters is that both return; 'a' and the path ones are fine URLs
        CHECK((!duplex::parse_uri("ws://" + many, out)) == (c == 'a' || c == '-'));
        CHECK((!duplex::parse_uri("ws://a/" + many, out)) == (c != '%'));
    }
}
