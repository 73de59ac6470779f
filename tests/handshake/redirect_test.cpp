#include <duplex/handshake/redirect.hpp>

#include "support/catch.hpp"

#include <string>
#include <string_view>

using namespace duplex;

namespace {

uri parsed(std::string_view text) {
    uri made;
    REQUIRE_FALSE(parse_uri(text, made));
    return made;
}

std::string led_to(std::string_view from, std::string_view location) {
    uri to;
    const auto error = follow_redirect(parsed(from), {{"Location", location}}, to);
    if (error) return std::string{explain(errc_of(error, errc{})).name};
    const auto login = to.user.empty() && to.password.empty() ? "" : to.user + ':' + to.password + '@';
    return login + to.to_string();
}

} // namespace

TEST_CASE("five statuses redirect, and no others") {
    for (unsigned status = 0; status < 1000; ++status) {
        CAPTURE(status);
        const bool expected =
            status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
        CHECK(is_redirect(status) == expected);
    }
}

TEST_CASE("a redirect leads where its Location says") {
    CHECK(led_to("ws://a/x/y", "z") == "ws://a/x/z");
    CHECK(led_to("ws://a/x/y", "https://b:444/z") == "wss://b:444/z");
    CHECK(led_to("wss://a/", "//b/z") == "wss://b/z");
    CHECK(led_to("ws://a/", "") == "ws://a/");
}

TEST_CASE("a redirect without one Location that can be gone to is invalid") {
    const auto from = parsed("ws://a/");
    uri to = parsed("ws://kept/");
    CHECK(follow_redirect(from, {}, to) == errc::redirect_invalid);
    CHECK(follow_redirect(from, {{"Location", "/a"}, {"location", "/b"}}, to) == errc::redirect_invalid);
    CHECK(follow_redirect(from, {{"Location", "ftp://b/"}}, to) == errc::redirect_invalid);
    CHECK(follow_redirect(from, {{"Location", "ws://"}}, to) == errc::redirect_invalid);
    CHECK(follow_redirect(from, {{"Location", "/a b"}}, to) == errc::redirect_invalid);
    CHECK(follow_redirect(from, {{"Location", "/a b"}}, to) == condition::handshake_failure);
    CHECK(to == parsed("ws://kept/"));
}

TEST_CASE("no redirect leads to a unix socket, but within one") {
    CHECK(led_to("ws://a/", "ws+unix:/run/docker.sock:/") == "redirect_invalid");
    CHECK(led_to("ws+unix:/run/one:/x/y", "ws+unix:/run/other:/") == "redirect_invalid");
    CHECK(led_to("ws+unix:/run/one:/x/y", "z?q") == "ws+unix:/run/one:/x/z?q");
    CHECK(led_to("ws+unix:/run/one:/x/y", "/z") == "ws+unix:/run/one:/z");
    CHECK(led_to("ws+unix:/run/one:/x/y", "ws://a/z") == "ws://a/z");
    CHECK_FALSE(same_origin(parsed("ws+unix:/run/one"), parsed("ws+unix:/run/other")));
    CHECK_FALSE(same_origin(parsed("ws+unix:/run/one"), parsed("ws://localhost")));
}

TEST_CASE("a redirect never leads from wss to ws") {
    CHECK(led_to("wss://a/", "ws://a/") == "redirect_insecure");
    CHECK(led_to("wss://a/", "http://b/") == "redirect_insecure");
    CHECK(led_to("wss://a/", "HTTP://a:443/") == "redirect_insecure");
    CHECK(led_to("ws://a/", "ws://b/") == "ws://b/");
    CHECK(led_to("wss://a/", "https://b/") == "wss://b/");
}

TEST_CASE("a login of the URL stays within its origin") {
    CHECK(led_to("ws://me:pw@a/x", "y") == "me:pw@ws://a/y");
    CHECK(led_to("ws://me:pw@a/x", "ws://A:80/y") == "me:pw@ws://a/y");
    CHECK(led_to("ws://me:pw@a/x", "ws://you:k@a/y") == "you:k@ws://a/y");
    CHECK(led_to("ws://me:pw@a/x", "ws://b/y") == "ws://b/y");
    CHECK(led_to("ws://me:pw@a/x", "ws://a:81/y") == "ws://a:81/y");
    CHECK(led_to("ws://me:pw@a/x", "wss://a/y") == "wss://a/y");
    CHECK(led_to("ws://me:pw@a/x", "//a.b/y") == "ws://a.b/y");
}

TEST_CASE("an origin is scheme, host and port") {
    CHECK(same_origin(parsed("ws://a/x"), parsed("ws://me@A:80/y?z")));
    CHECK_FALSE(same_origin(parsed("ws://a/"), parsed("wss://a:80/")));
    CHECK_FALSE(same_origin(parsed("ws://a/"), parsed("ws://a:81/")));
    CHECK_FALSE(same_origin(parsed("ws://a/"), parsed("ws://a.b/")));
    CHECK_FALSE(same_origin(parsed("ws://[::1]/"), parsed("ws://[::2]/")));
}

TEST_CASE("secrets do not go on to another origin, all else does, in its order") {
    const fields all{{"X-A", "1"},  {"authorization", "Basic x"}, {"COOKIE", "a=b"}, {"Cookie", "c=d"},
                     {"Host", "a"}, {"Proxy-Authorization", "x"}, {"X-A", "2"},      {"Cookies", "kept"}};
    CHECK(headers_for_other_origin(all) == fields{{"X-A", "1"}, {"X-A", "2"}, {"Cookies", "kept"}});
    CHECK(headers_for_other_origin({}).empty());
}
