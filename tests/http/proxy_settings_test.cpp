#include <duplex/http/proxy_settings.hpp>

#include "support/catch.hpp"

#include <cstdint>
#include <cstdlib>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

using namespace std::string_view_literals;
using duplex::errc;
using duplex::proxy;
using duplex::proxy_kind;

namespace {

proxy parsed(std::string_view text) {
    proxy result;
    CAPTURE(text);
    REQUIRE_FALSE(parse_proxy(text, result));
    return result;
}

/// The error of `text`, which must leave alone what it was to be read into.
std::error_code error_of(std::string_view text) {
    const proxy before{proxy_kind::socks5, "before", 1, "u", "p"};
    proxy result = before;
    const auto error = parse_proxy(text, result);
    CHECK((!error || result == before));
    return error;
}

using variables = std::map<std::string, std::string>;

/// What an environment gives for a server, and which of its variables were looked at.
struct found {
    std::error_code error;
    std::optional<proxy> chosen;
    std::vector<std::string> asked;
};

const proxy before{proxy_kind::https, "before", 1, {}, {}};

found look_up(const variables& environment, std::string_view url) {
    duplex::uri to;
    REQUIRE_FALSE(parse_uri(url, to));
    found result{{}, before, {}};
    std::string last; // as getenv may: the next call overwrites what the one before gave
    result.error = duplex::proxy_from_environment(
        [&](const char* name) -> const char* {
            result.asked.emplace_back(name);
            const auto variable = environment.find(name);
            last.assign(last.size(), '?');
            if (variable == environment.end()) return nullptr;
            last = variable->second;
            return last.c_str();
        },
        to, result.chosen);
    return result;
}

/// The host of the proxy for a server; empty for a direct connection.
std::string proxy_for(const variables& environment, std::string_view url) {
    const auto result = look_up(environment, url);
    REQUIRE_FALSE(result.error);
    return result.chosen ? result.chosen->host : "";
}

/// True where `list` in no_proxy makes a server be connected directly.
bool is_direct(std::string_view list, std::string_view url) {
    const auto lower = proxy_for({{"all_proxy", "http://p"}, {"no_proxy", std::string(list)}}, url);
    const auto upper = proxy_for({{"all_proxy", "http://p"}, {"NO_PROXY", std::string(list)}}, url);
    CHECK(lower == upper);
    return lower.empty();
}

} // namespace

TEST_CASE("reads a proxy's URL") {
    CHECK(parsed("http://proxy.example:3128") == proxy{proxy_kind::http, "proxy.example", 3128, {}, {}});
    CHECK(parsed("https://proxy.example:8443/") == proxy{proxy_kind::https, "proxy.example", 8443, {}, {}});
    CHECK(parsed("socks5://127.0.0.1:9050") == proxy{proxy_kind::socks5, "127.0.0.1", 9050, {}, {}});
    CHECK(parsed("socks5h://u:p@PROXY:1") == proxy{proxy_kind::socks5, "proxy", 1, "u", "p"});
    CHECK(parsed("HTTP://a") == parsed("http://a"));
    CHECK(parsed("SOCKS5h://a") == parsed("socks5://a"));
}

TEST_CASE("a proxy's URL has its scheme's port where it names none") {
    CHECK(parsed("http://a").port == 80);
    CHECK(parsed("https://a").port == 443);
    CHECK(parsed("socks5://a").port == 1080);
    CHECK(parsed("socks5h://a/").port == 1080);
    CHECK(parsed("socks5://a:").port == 1080);
    CHECK(parsed("a").port == 80);
    CHECK(parsed("http://a:65535").port == 65535);
}

TEST_CASE("a proxy without a scheme is one of HTTP") {
    CHECK(parsed("proxy.example:3128") == parsed("http://proxy.example:3128"));
    CHECK(parsed("localhost") == parsed("http://localhost"));
    CHECK(parsed("u:p@[::1]:8080/") == parsed("http://u:p@[::1]:8080"));
    CHECK(parsed("127.0.0.1:8080").host == "127.0.0.1");
}

TEST_CASE("a proxy at an IPv6 address loses its brackets") {
    CHECK(parsed("http://[2001:DB8:0::1]:8080") == proxy{proxy_kind::http, "2001:db8::1", 8080, {}, {}});
    CHECK(parsed("[::1]").host == "::1");
}

TEST_CASE("undoes the percent-encoding of a proxy's login") {
    const auto one = parsed("http://us%20er:p%40ss%3Aw%2Ford@a");
    CHECK(one.user == "us er");
    CHECK(one.password == "p@ss:w/ord");
    CHECK(parsed("http://user@a").user == "user");
    CHECK(parsed("http://user@a").password.empty());
    CHECK(parsed("http://:secret@a").user.empty());
    CHECK(parsed("http://:secret@a").password == "secret");
    CHECK(parsed("http://u:a:b@a").password == "a:b");
    CHECK(parsed("http://%C3%A4@a").user == "\xC3\xA4");
}

TEST_CASE("shows a proxy without its login") {
    CHECK(parsed("http://u:p@A").to_string() == "http://a:80");
    CHECK(parsed("https://u:p@a:1").to_string() == "https://a:1");
    CHECK(parsed("socks5://u:p@[::1]").to_string() == "socks5h://[::1]:1080");
    for (const auto text : {"http://a:1"sv, "https://[::1]"sv, "socks5://a"sv})
        CHECK(parsed(parsed(text).to_string()) == parsed(text));
}

TEST_CASE("other schemes of proxies are refused") {
    for (const auto text : {"socks4://a"sv, "socks4a://a"sv, "socks://a"sv, "ws://a"sv, "ftp://a"sv, "://a"sv,
                            "httpx://a"sv, "a/b://c"sv}) {
        CAPTURE(text);
        CHECK(error_of(text) == errc::proxy_scheme_unsupported);
    }
}

TEST_CASE("a malformed URL of a proxy is refused") {
    for (const auto text : {
             ""sv,
             "/"sv,
             "//a"sv,
             "http:"sv,
             "http:/a"sv,
             "http:/"sv,
             "socks5:a"sv,
             "http://"sv,
             "http:///"sv,
             "http://:80"sv,
             "http://u:p@"sv,
             "http://a:0"sv,
             "http://a:65536"sv,
             "http://a:99999999999999999999"sv,
             "http://a:b"sv,
             "http://a:-1"sv,
             "http://a:1:2"sv,
             "a:b:c"sv,
             "http://a,b"sv,
             "http://a;b"sv,
             "http://*"sv,
             "http://1.2.3"sv,
             "http://a..b"sv,
             "http://[::1"sv,
             "http://[::g]"sv,
             "http://[fe80::1%25eth0]"sv,
             "http://::1"sv,
             "http://a/path"sv,
             "http://a//"sv,
             "http://a/?q"sv,
             "http://a?q"sv,
             "http://a#f"sv,
             "http://a/#"sv,
             "http://u:p/w@a"sv,
             "http://u\\v:p@a"sv,
             "http://u:p@b@a"sv,
             "http://%zz@a"sv,
             "http://u:%4@a"sv,
             "http://u%3Ab:c@a"sv,
             "http://u%0D%0AX:c@a"sv,
             "http://u:c%00@a"sv,
             "http://u:c%7F@a"sv,
             "http://\xC3\xA4"sv,
             "http://a\\b"sv,
             " "sv,
         }) {
        CAPTURE(text);
        CHECK(error_of(text) == errc::proxy_url_invalid);
    }
}

TEST_CASE("controls and spaces are refused anywhere in a proxy's URL") {
    constexpr auto text = "socks5://user:pass@host.example:9002/"sv;
    REQUIRE_FALSE(error_of(text));
    for (const char c : {'\0', '\t', '\n', '\r', ' ', '\x1f', '\x7f'})
        for (std::size_t at = 0; at <= text.size(); ++at) {
            CAPTURE(int{c}, at);
            CHECK(error_of(std::string(text).insert(at, 1, c)) == errc::proxy_url_invalid);
        }
}

TEST_CASE("no variable means no proxy") {
    const auto result = look_up({}, "ws://h");
    CHECK_FALSE(result.error);
    CHECK_FALSE(result.chosen.has_value());
    CHECK(proxy_for({{"no_proxy", "h"}}, "wss://h").empty());
}

TEST_CASE("each scheme has its variables, and the first that is set counts") {
    variables all{{"ws_proxy", "a1"},    {"WS_PROXY", "a2"},  {"http_proxy", "a3"},  {"HTTP_PROXY", "evil"},
                  {"wss_proxy", "b1"},   {"WSS_PROXY", "b2"}, {"https_proxy", "b3"}, {"HTTPS_PROXY", "b4"},
                  {"all_proxy", "c1"},   {"ALL_PROXY", "c2"}, {"ftp_proxy", "d"},    {"socks_proxy", "d"},
                  {"Http_Proxy", "evil"}};
    auto plain = all;
    for (const auto& [name, host] : {std::pair{"ws_proxy", "a1"},
                                     {"WS_PROXY", "a2"},
                                     {"http_proxy", "a3"},
                                     {"all_proxy", "c1"},
                                     {"ALL_PROXY", "c2"},
                                     {"", ""}}) {
        CHECK(proxy_for(plain, "ws://h") == host);
        plain.erase(name);
    }
    auto secure = all;
    for (const auto& [name, host] : {std::pair{"wss_proxy", "b1"},
                                     {"WSS_PROXY", "b2"},
                                     {"https_proxy", "b3"},
                                     {"HTTPS_PROXY", "b4"},
                                     {"all_proxy", "c1"},
                                     {"ALL_PROXY", "c2"},
                                     {"", ""}}) {
        CHECK(proxy_for(secure, "wss://h") == host);
        secure.erase(name);
    }
}

TEST_CASE("never looks at HTTP_PROXY, which a CGI program's client may set") {
    CHECK(proxy_for({{"HTTP_PROXY", "http://evil"}}, "ws://h").empty());
    CHECK(proxy_for({{"HTTP_PROXY", "http://evil"}}, "wss://h").empty());
    for (const auto* url : {"ws://h", "wss://h"})
        for (const auto& name : look_up({}, url).asked)
            CHECK(name != "HTTP_PROXY");
}

TEST_CASE("the variable of the other scheme does not count") {
    CHECK(proxy_for({{"https_proxy", "http://p"}, {"HTTPS_PROXY", "http://p"}}, "ws://h").empty());
    CHECK(proxy_for({{"http_proxy", "http://p"}}, "wss://h").empty());
}

TEST_CASE("an empty variable counts as none") {
    CHECK(proxy_for({{"https_proxy", ""}, {"HTTPS_PROXY", "http://p"}}, "wss://h") == "p");
    CHECK(proxy_for({{"http_proxy", ""}, {"all_proxy", "http://p"}}, "ws://h") == "p");
    CHECK(proxy_for({{"http_proxy", ""}, {"all_proxy", ""}}, "ws://h").empty());
    CHECK(proxy_for({{"http_proxy", "http://p"}, {"no_proxy", ""}}, "ws://h") == "p");
    CHECK(proxy_for({{"http_proxy", "http://p"}, {"no_proxy", ""}, {"NO_PROXY", "h"}}, "ws://h").empty());
}

TEST_CASE("takes all of a proxy's URL from the environment") {
    const auto result = look_up({{"https_proxy", "socks5h://us%40er:p@[::1]:9050/"}}, "wss://h");
    REQUIRE_FALSE(result.error);
    CHECK(result.chosen == proxy{proxy_kind::socks5, "::1", 9050, "us@er", "p"});
}

TEST_CASE("a malformed proxy in the environment is an error and no direct connection") {
    for (const auto* text :
         {" ", "http://", "http://a:b", "http://a/path", "http://a\r\nb", " http://a", "a\n"}) {
        CAPTURE(text);
        for (const auto* name : {"http_proxy", "all_proxy"}) {
            const auto result = look_up({{name, text}, {"ALL_PROXY", "http://good"}}, "ws://h");
            CHECK(result.error == errc::proxy_url_invalid);
            CHECK(result.chosen == before);
        }
    }
    CHECK(look_up({{"https_proxy", "socks4://a"}}, "wss://h").error == errc::proxy_scheme_unsupported);
    CHECK_FALSE(look_up({{"https_proxy", "socks4://a"}}, "ws://h").error);
    CHECK_FALSE(look_up({{"https_proxy", "socks4://a"}, {"no_proxy", "h"}}, "wss://h").error);
}

TEST_CASE("a domain in no_proxy stands for itself and what is in it") {
    for (const auto* list :
         {"example.com", ".example.com", "*.example.com", "EXAMPLE.com", "example.com.", ".example.com.",
          "a,example.com,b", "a, example.com", "a example.com\tb", " ,\t,, example.com ,"}) {
        CAPTURE(list);
        CHECK(is_direct(list, "ws://example.com"));
        CHECK(is_direct(list, "wss://example.com."));
        CHECK(is_direct(list, "ws://EXAMPLE.COM:9002/"));
        CHECK(is_direct(list, "ws://www.example.com"));
        CHECK(is_direct(list, "ws://a.b.example.com"));
        CHECK_FALSE(is_direct(list, "ws://evilexample.com"));
        CHECK_FALSE(is_direct(list, "ws://example.com.evil"));
        CHECK_FALSE(is_direct(list, "ws://example.co"));
        CHECK_FALSE(is_direct(list, "ws://xample.com"));
        CHECK_FALSE(is_direct(list, "ws://com"));
        CHECK_FALSE(is_direct(list, "ws://10.0.0.1"));
        CHECK_FALSE(is_direct(list, "ws://[::1]"));
    }
}

TEST_CASE("takes the lower-case list of direct servers alone where both are set") {
    const variables both{{"all_proxy", "p"}, {"no_proxy", "a"}, {"NO_PROXY", "b"}};
    CHECK(proxy_for(both, "ws://a").empty());
    CHECK(proxy_for(both, "ws://b") == "p");
}

TEST_CASE("an asterisk in no_proxy stands for every server") {
    for (const auto* url : {"ws://h", "wss://1.2.3.4", "ws://[::1]:9002"}) {
        CHECK(is_direct("*", url));
        CHECK(is_direct("a, *", url));
        for (const auto* list : {"*a", "**", "[*]", "*.", "h*", "?"})
            CHECK_FALSE(is_direct(list, url));
    }
    CHECK(is_direct("*:9002", "ws://h:9002"));
    CHECK_FALSE(is_direct("*:9002", "ws://h"));
}

TEST_CASE("an entry of no_proxy may be for one port") {
    CHECK(is_direct("example.com:9002", "ws://example.com:9002"));
    CHECK(is_direct(".example.com:9002", "ws://a.example.com:9002"));
    CHECK_FALSE(is_direct("example.com:9002", "ws://example.com"));
    CHECK_FALSE(is_direct("example.com:9002", "ws://example.com:900"));
    CHECK(is_direct("example.com:80", "ws://example.com"));
    CHECK(is_direct("example.com:443", "wss://example.com"));
    CHECK_FALSE(is_direct("example.com:80", "wss://example.com"));
    CHECK(is_direct("1.2.3.4:9002", "ws://1.2.3.4:9002"));
    CHECK_FALSE(is_direct("1.2.3.4:9002", "ws://1.2.3.4:9003"));
    CHECK(is_direct("[::1]:9002", "ws://[::1]:9002"));
    CHECK_FALSE(is_direct("[::1]:9002", "ws://[::1]:9003"));
    for (const auto* list : {"example.com:", "example.com:x", "example.com:80x", "example.com:65616",
                             "example.com:-80", "example.com:80:80", ":80", ":"}) {
        CAPTURE(list);
        CHECK_FALSE(is_direct(list, "ws://example.com"));
    }
}

TEST_CASE("an address in no_proxy stands for itself in every spelling") {
    CHECK(is_direct("127.0.0.1", "ws://127.0.0.1:9002"));
    CHECK_FALSE(is_direct("127.0.0.1", "ws://127.0.0.2"));
    CHECK(is_direct("::1", "ws://[::1]"));
    CHECK(is_direct("[::1]", "ws://[::1]"));
    CHECK(is_direct("0:0::0001", "ws://[::1]"));
    CHECK(is_direct("2001:DB8::A", "ws://[2001:db8:0::a]"));
    CHECK_FALSE(is_direct("::1", "ws://[::2]"));
    CHECK_FALSE(is_direct("::1", "ws://localhost"));
    CHECK_FALSE(is_direct("localhost", "ws://127.0.0.1"));
    CHECK_FALSE(is_direct("0.0.0.1", "ws://[::1]"));
    CHECK_FALSE(is_direct("::", "ws://0.0.0.0"));
}

TEST_CASE("an address is in no domain of no_proxy") {
    for (const auto* list : {"0.1", ".0.0.1", "*.0.0.1", "1", "127", "127.", "127.0.0.", "127.0.0.1."}) {
        CAPTURE(list);
        CHECK_FALSE(is_direct(list, "ws://127.0.0.1"));
    }
}

TEST_CASE("no_proxy may have blocks of IPv4 addresses") {
    CHECK(is_direct("10.0.0.0/8", "ws://10.255.0.1"));
    CHECK_FALSE(is_direct("10.0.0.0/8", "ws://11.0.0.0"));
    CHECK(is_direct("10.1.2.3/8", "ws://10.9.9.9"));
    CHECK(is_direct("192.168.16.0/20", "ws://192.168.31.255"));
    CHECK_FALSE(is_direct("192.168.16.0/20", "ws://192.168.32.0"));
    CHECK(is_direct("192.168.0.0/16", "ws://192.168.255.255"));
    CHECK_FALSE(is_direct("192.168.0.0/16", "ws://192.169.0.0"));
    CHECK(is_direct("192.168.0.0/17", "ws://192.168.127.1"));
    CHECK_FALSE(is_direct("192.168.0.0/17", "ws://192.168.128.1"));
    CHECK(is_direct("1.2.3.4/32", "ws://1.2.3.4"));
    CHECK_FALSE(is_direct("1.2.3.4/32", "ws://1.2.3.5"));
    CHECK(is_direct("1.2.3.4/31", "ws://1.2.3.5"));
    CHECK(is_direct("0.0.0.0/0", "ws://1.2.3.4"));
    CHECK_FALSE(is_direct("0.0.0.0/0", "ws://[::1]"));
    CHECK_FALSE(is_direct("0.0.0.0/0", "ws://h"));
    CHECK(is_direct("10.0.0.0/8:9002", "ws://10.0.0.1:9002"));
    CHECK_FALSE(is_direct("10.0.0.0/8:9002", "ws://10.0.0.1"));
}

TEST_CASE("no_proxy may have blocks of IPv6 addresses") {
    CHECK(is_direct("fd00::/8", "ws://[fdff::1]"));
    CHECK_FALSE(is_direct("fd00::/8", "ws://[fe00::1]"));
    CHECK(is_direct("fe80::/10", "ws://[febf::1]"));
    CHECK_FALSE(is_direct("fe80::/10", "ws://[fec0::1]"));
    CHECK(is_direct("2001:db8::/32", "ws://[2001:db8:ffff::]"));
    CHECK_FALSE(is_direct("2001:db8::/32", "ws://[2001:db9::]"));
    CHECK(is_direct("::1/128", "ws://[::1]"));
    CHECK_FALSE(is_direct("::1/128", "ws://[::]"));
    CHECK(is_direct("::1/127", "ws://[::]"));
    CHECK(is_direct("::/0", "ws://[2001:db8::1]"));
    CHECK_FALSE(is_direct("::/0", "ws://1.2.3.4"));
    CHECK(is_direct("[fd00::/8]:9002", "ws://[fd00::1]:9002"));
}

TEST_CASE("an entry of no_proxy that cannot be read is about no server") {
    for (const auto* list : {"1.2.3.4/33", "1.2.3.4/", "1.2.3.4/x", "1.2.3.4/-1", "1.2.3.4/4294967328",
                             "1.2.3.4/8/8", "1.2.3/24", "/8", "/", "[", "[]", "]", "[1.2.3.4", "[1.2.3.4]x",
                             ".", "..", "http://1.2.3.4", "01.2.3.4"}) {
        CAPTURE(list);
        CHECK_FALSE(is_direct(list, "ws://1.2.3.4"));
        CHECK_FALSE(is_direct(list, "ws://h"));
    }
    for (const auto* list :
         {"::1/129", "::1/", "[::1", "[::1]x", "[::1]/128", "[::1]80", "[::1]x80", "[[::1]]"}) {
        CAPTURE(list);
        CHECK_FALSE(is_direct(list, "ws://[::1]"));
    }
    CHECK_FALSE(is_direct("[h]", "ws://h"));
    CHECK(is_direct("1.2.3.4/33,/,[,h", "ws://h"));
}

TEST_CASE("a long list of direct servers takes linear time") {
    std::string list;
    for (int i = 0; i < 100'000; ++i)
        list += "a.b, [::1";
    CHECK_FALSE(is_direct(list, "ws://h"));
    CHECK_FALSE(is_direct(std::string(1'000'000, ','), "ws://h"));
    CHECK_FALSE(is_direct(std::string(1'000'000, '['), "ws://h"));
    CHECK(is_direct(list + ",h", "ws://h"));
}

TEST_CASE("reads the program's own environment where it is given getenv") {
    duplex::uri to;
    REQUIRE_FALSE(parse_uri("ws://h", to));
    std::optional<proxy> chosen;
    static_cast<void>(duplex::proxy_from_environment(std::getenv, to, chosen));
    static_cast<void>(
        duplex::proxy_from_environment([](const char* name) { return std::getenv(name); }, to, chosen));
    SUCCEED("it compiles; what the environment is like is not this test's");
}

namespace {

template <class Lookup>
concept looks_up = requires(Lookup lookup, std::optional<proxy>& out) {
    duplex::proxy_from_environment(lookup, duplex::uri{}, out);
};

} // namespace

TEST_CASE("only what gives a variable's text looks up an environment") {
    STATIC_REQUIRE(looks_up<const char* (*)(const char*)>);
    STATIC_REQUIRE(looks_up<char* (*)(const char*)>);
    STATIC_REQUIRE_FALSE(looks_up<int (*)(const char*)>);
    STATIC_REQUIRE_FALSE(looks_up<const char* (*)()>);
    STATIC_REQUIRE_FALSE(looks_up<std::string (*)(const char*)>);
}
