#include <duplex/handshake/server_handshake.hpp>

#include <duplex/handshake/client_handshake.hpp>

#include "handshake/feeding.hpp"
#include "support/catch.hpp"

#include <cstddef>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

using duplex::errc;
using duplex::server_handshake;
using duplex::server_handshake_options;
using progress = server_handshake::progress;

namespace {

const std::string get = "GET /chat HTTP/1.1\r\n";
const std::string host = "Host: server.example.com\r\n";
const std::string upgrade = "Upgrade: websocket\r\n";
const std::string connection = "Connection: Upgrade\r\n";
const std::string key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
const std::string version = "Sec-WebSocket-Version: 13\r\n";
const std::string good = get + host + upgrade + connection + key + version;

bool has(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

/// A handshake that has read all of `request`.
server_handshake ready(const std::string& request) {
    server_handshake handshake;
    CAPTURE(request);
    REQUIRE(handshake.receive(feeding::bytes(request)) == progress::request_ready);
    return handshake;
}

/// Checks a request that must be taken, in every cut.
template <class Check>
void for_each_cut(const std::string& request, Check check) {
    for (const auto& cut : feeding::all_cuts(request)) {
        CAPTURE(request, cut.size(), cut.front().size());
        server_handshake handshake;
        const auto rest = feeding::feed(handshake, cut);
        REQUIRE(handshake.receive({}) == progress::request_ready);
        CHECK(handshake.response().empty());
        check(handshake, rest);
    }
}

void check_ready(const std::string& request) {
    for_each_cut(request, [](server_handshake& handshake, const std::string&) {
        CHECK_FALSE(handshake.accept({}));
        CHECK(handshake.response().starts_with("HTTP/1.1 101 Switching Protocols\r\n"));
        CHECK_FALSE(handshake.outcome().error);
    });
}

/// Checks that `response` is one whole HTTP answer of that status, after which the connection ends.
void check_complete_refusal(std::string_view response, unsigned status) {
    CHECK(response.starts_with("HTTP/1.1 " + std::to_string(status) + " "));
    CHECK(has(response, status == 426 ? "\r\nConnection: Upgrade, close\r\n" : "\r\nConnection: close\r\n"));
    const auto end = response.find("\r\n\r\n");
    REQUIRE(end != std::string_view::npos);
    const auto body = response.substr(end + 4);
    CHECK(has(response.substr(0, end + 2), "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n"));
    CHECK_FALSE(has(response, "Sec-WebSocket-Accept"));
}

void check_refused(const std::string& request, errc error, unsigned status,
                   const duplex::http_limits& limits = {}) {
    for (const auto& cut : feeding::all_cuts(request)) {
        CAPTURE(request, cut.size(), cut.front().size());
        server_handshake handshake(limits);
        feeding::feed(handshake, cut);
        REQUIRE(handshake.receive({}) == progress::failed);
        CHECK(handshake.outcome().error == error);
        CHECK(handshake.outcome().status == status);
        CHECK(handshake.outcome().leftover.empty());
        check_complete_refusal(handshake.response(), status);
        // one line that says why
        CHECK(handshake.response().ends_with(std::string("\r\n\r\n") + make_error_code(error).message() +
                                             "\n"));
        CHECK(handshake.accept({}) == errc::already_open);
    }
}

server_handshake_options speaking(std::vector<std::string> subprotocols) {
    server_handshake_options options;
    options.subprotocols = std::move(subprotocols);
    return options;
}

server_handshake_options with_headers(duplex::fields headers) {
    server_handshake_options options;
    options.headers = std::move(headers);
    return options;
}

server_handshake_options with_origins(std::vector<std::string> origins) {
    server_handshake_options options;
    options.origins = std::move(origins);
    return options;
}

std::string offer(std::string_view value) { return "Sec-WebSocket-Protocol: " + std::string(value) + "\r\n"; }

/// The subprotocol agreed on; the response must say the same.
std::string agreed(const std::string& headers, const server_handshake_options& options) {
    auto handshake = ready(good + headers + "\r\n");
    REQUIRE_FALSE(handshake.accept(options));
    const auto& result = handshake.outcome().subprotocol;
    CHECK(has(handshake.response(), "Sec-WebSocket-Protocol") == !result.empty());
    if (!result.empty()) CHECK(has(handshake.response(), "\r\nSec-WebSocket-Protocol: " + result + "\r\n"));
    return result;
}

} // namespace

TEST_CASE("answers the request of RFC 6455 1.3") {
    for_each_cut("GET /chat HTTP/1.1\r\n"
                 "Host: server.example.com\r\n"
                 "Upgrade: websocket\r\n"
                 "Connection: Upgrade\r\n"
                 "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                 "Origin: http://example.com\r\n"
                 "Sec-WebSocket-Protocol: chat, superchat\r\n"
                 "Sec-WebSocket-Version: 13\r\n"
                 "\r\n",
                 [](server_handshake& handshake, const std::string&) {
                     CHECK(handshake.target() == "/chat");
                     CHECK(handshake.host() == "server.example.com");
                     CHECK(handshake.origin() == "http://example.com");
                     CHECK(handshake.headers().size() == 7);
                     CHECK(handshake.subprotocols() == std::vector<std::string>{"chat", "superchat"});

                     server_handshake_options options;
                     options.subprotocols = {"chat"};
                     options.origins = {"http://example.com"};
                     options.server_name = "";
                     CHECK_FALSE(handshake.accept(options));
                     CHECK(handshake.response() == "HTTP/1.1 101 Switching Protocols\r\n"
                                                   "Upgrade: websocket\r\n"
                                                   "Connection: Upgrade\r\n"
                                                   "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
                                                   "Sec-WebSocket-Protocol: chat\r\n"
                                                   "\r\n");
                     const auto outcome = handshake.take_outcome();
                     CHECK_FALSE(outcome.error);
                     CHECK(outcome.status == 101);
                     CHECK(outcome.subprotocol == "chat");
                     CHECK(outcome.target == "/chat");
                     CHECK(outcome.headers.find("host") == "server.example.com");
                     CHECK(outcome.leftover.empty());
                 });
}

TEST_CASE("takes Upgrade and Connection in any case and spelling") {
    const auto* headers = GENERATE(values<const char*>({
        "Upgrade: WebSocket\r\nConnection: Upgrade\r\n",
        "UPGRADE: WEBSOCKET\r\nCONNECTION: UPGRADE\r\n",
        "upgrade:websocket\r\nconnection:upgrade\r\n",
        "Upgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n",
        "Upgrade: websocket\r\nConnection: keep-alive,Upgrade\r\n",
        "Upgrade: websocket\r\nConnection: keep-alive\r\nConnection: upgrade\r\n",
        "Upgrade: h2c, websocket\r\nConnection: Upgrade, HTTP2-Settings\r\n",
        "Upgrade: h2c\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n",
    }));
    check_ready(get + host + headers + key + version + "\r\n");
}

TEST_CASE("takes headers in any order and with any spacing") {
    check_ready(get + "sec-websocket-version:13\r\nSEC-WEBSOCKET-KEY: \t dGhlIHNhbXBsZSBub25jZQ== \r\n" +
                connection + upgrade + "host:a:9002\r\n\r\n");
}

TEST_CASE("gives the bytes behind an accepted request to the WebSocket") {
    const std::string frames("\x81\x85\0\0\0\0Hello\r\n\r\n", 15);
    for_each_cut(good + "\r\n" + frames, [&](server_handshake& handshake, const std::string& rest) {
        REQUIRE_FALSE(handshake.accept({}));
        CHECK(feeding::text(handshake.outcome().leftover) + rest == frames);
    });
}

TEST_CASE("drops the bytes behind a refused request") {
    SECTION("refused by its own fault") {
        server_handshake handshake;
        CHECK(handshake.receive(feeding::bytes(get + host + "\r\n" + good + "\r\n")) == progress::failed);
        CHECK(handshake.outcome().leftover.empty());
        CHECK(handshake.receive(feeding::bytes(good + "\r\n")) == progress::failed);
        CHECK(handshake.outcome().error == errc::upgrade_required);
    }
    SECTION("refused by the application") {
        auto handshake = ready(good + "\r\n" + good + "\r\n");
        CHECK_FALSE(handshake.reject(404));
        CHECK(handshake.outcome().leftover.empty());
    }
    SECTION("refused for its origin") {
        auto handshake = ready(good + "Origin: http://evil.example\r\n\r\n" + good + "\r\n");
        CHECK(handshake.accept({}) == errc::origin_not_allowed);
        CHECK(handshake.outcome().leftover.empty());
    }
}

TEST_CASE("takes a target that is a URL, whose host then counts") {
    const auto check = [](const std::string& target, std::string_view path, std::string_view authority) {
        for_each_cut("GET " + target + " HTTP/1.1\r\n" + good.substr(get.size()) + "\r\n",
                     [&](server_handshake& handshake, const std::string&) {
                         CHECK(handshake.target() == path);
                         CHECK(handshake.host() == authority);
                     });
    };
    check("/", "/", "server.example.com");
    check("/a/b?c=/d", "/a/b?c=/d", "server.example.com");
    check("//a/b", "//a/b", "server.example.com");
    check("http://other.example:81/chat?x", "/chat?x", "other.example:81");
    check("WSS://other.example", "/", "other.example");
    check("ws://other.example?x", "/?x", "other.example");
}

TEST_CASE("refuses a target that is neither a path nor a URL of the web") {
    for (const std::string_view target :
         {"*", "ftp://server.example.com/", "chat", "server.example.com:80", "http:///chat"}) {
        check_refused("GET " + std::string(target) + " HTTP/1.1\r\n" + good.substr(get.size()) + "\r\n",
                      errc::http_start_line_invalid, 400);
    }
    for (const std::string_view target : {"http://a@b/chat", "http://a,b/"}) {
        check_refused("GET " + std::string(target) + " HTTP/1.1\r\n" + good.substr(get.size()) + "\r\n",
                      errc::host_missing, 400);
    }
}

TEST_CASE("refuses methods other than GET") {
    const std::string method = GENERATE(values<std::string>({"POST", "PUT", "OPTIONS", "get", "GETX"}));
    check_refused(method + good.substr(3) + "\r\n", errc::method_not_get, 405);
    server_handshake handshake;
    handshake.receive(feeding::bytes(method + good.substr(3) + "\r\n"));
    CHECK(has(handshake.response(), "\r\nAllow: GET\r\n"));
}

TEST_CASE("answers HEAD without a body") {
    server_handshake handshake;
    CHECK(handshake.receive(feeding::bytes("HEAD / HTTP/1.1\r\n" + host + "\r\n")) == progress::failed);
    CHECK(handshake.response().starts_with("HTTP/1.1 405 "));
    CHECK(handshake.response().ends_with("\r\n\r\n"));
}

TEST_CASE("refuses other versions of HTTP") {
    check_refused("GET /chat HTTP/1.0\r\n" + good.substr(get.size()) + "\r\n", errc::http_version_unsupported,
                  505);
    check_refused("GET /chat HTTP/2.0\r\n" + good.substr(get.size()) + "\r\n", errc::http_version_unsupported,
                  505);
}

TEST_CASE("refuses a request without exactly one valid Host") {
    const auto headers = GENERATE(values<std::string>({
        "",
        "Host:\r\n",
        "Host: a b\r\n",
        "Host: a, b\r\n",
        "Host: a/b\r\n",
        "Host: user@a\r\n",
        "Host: a:b\r\n",
        "Host: a:65536\r\n",
        "Host: [::1\r\n",
        "Host: a\r\nHost: a\r\n",
        "Host: a\r\nhost: b\r\n",
    }));
    check_refused(get + headers + upgrade + connection + key + version + "\r\n", errc::host_missing, 400);
}

TEST_CASE("tells a request that asks for no upgrade what is required") {
    const auto headers = GENERATE(values<std::string>({
        "",
        "Upgrade: h2c\r\n",
        "Upgrade: websockets\r\n",
        "Upgrade:\r\n",
        "Connection: keep-alive\r\n",
        "Upgrade: h2c\r\n" + connection + key + version,
        connection + key + version,
        "Content-Length: 5\r\n",
    }));
    check_refused(get + host + headers + "\r\n", errc::upgrade_required, 426);
    server_handshake handshake;
    handshake.receive(feeding::bytes(get + host + headers + "\r\n"));
    CHECK(has(handshake.response(), "\r\nUpgrade: websocket\r\n"));
    CHECK(has(handshake.response(), "\r\nSec-WebSocket-Version: 13\r\n"));
}

TEST_CASE("refuses a request whose Connection has no upgrade token") {
    const std::string header = GENERATE(values<std::string>({
        "",
        "Connection: keep-alive\r\n",
        "Connection: upgraded\r\n",
        "Connection: keep-alive upgrade\r\n",
        "Connection:\r\n",
    }));
    check_refused(get + host + upgrade + header + key + version + "\r\n", errc::connection_upgrade_missing,
                  400);
}

TEST_CASE("names the version it speaks to a client that speaks another") {
    const std::string header = GENERATE(values<std::string>({
        "",
        "Sec-WebSocket-Version: 8\r\n",
        "Sec-WebSocket-Version: 14\r\n",
        "Sec-WebSocket-Version: 013\r\n",
        "Sec-WebSocket-Version: 13, 8\r\n",
        "Sec-WebSocket-Version:\r\n",
        version + version,
        version + "Sec-WebSocket-Version: 8\r\n",
    }));
    check_refused(get + host + upgrade + connection + key + header + "\r\n", errc::version_unsupported, 426);
    server_handshake handshake;
    handshake.receive(
        feeding::bytes(get + host + upgrade + connection + header + "\r\n")); // without a key too
    CHECK(handshake.outcome().error == errc::version_unsupported);
    CHECK(has(handshake.response(), "\r\nUpgrade: websocket\r\n"));
    CHECK(has(handshake.response(), "\r\nSec-WebSocket-Version: 13\r\n"));
}

TEST_CASE("refuses a request without exactly one valid key") {
    const std::string header = GENERATE(values<std::string>({
        "",
        "Sec-WebSocket-Key:\r\n",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=\r\n",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZWE=\r\n",
        "Sec-WebSocket-Key: SGVsbG8sIHdvcmxkIQ==\r\n",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub2-jZQ==\r\n",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==, dGhlIHNhbXBsZSBub25jZQ==\r\n",
        key + key,
        key + "sec-websocket-key: x\r\n",
    }));
    check_refused(get + host + upgrade + connection + version + header + "\r\n", errc::key_invalid, 400);
}

TEST_CASE("refuses a request that announces a body") {
    const std::string header = GENERATE(values<std::string>({
        "Content-Length: 1\r\n",
        "Content-Length: -0\r\n",
        "Content-Length: 0, 5\r\n",
        "Content-Length:\r\n",
        "Content-Length: 0\r\nContent-Length: 5\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Transfer-Encoding: identity\r\n",
        "Transfer-Encoding:\r\n",
    }));
    check_refused(good + header + "\r\n", errc::request_has_body, 400);
}

TEST_CASE("takes a Content-Length of nothing") { check_ready(good + "Content-Length: 0\r\n\r\n"); }

TEST_CASE("refuses several Origins") {
    check_refused(good + "Origin: http://server.example.com\r\nOrigin: http://server.example.com\r\n\r\n",
                  errc::http_header_duplicated, 400);
}

TEST_CASE("names the rule of HTTP that a request breaks") {
    check_refused("\x16\x03\x01\x02", errc::http_start_line_invalid, 400); // TLS on a plain port
    check_refused("GET /chat HTTP/1.1\n", errc::http_bare_line_feed, 400);
    check_refused(get + host + " folded\r\n", errc::http_obsolete_fold, 400);
    check_refused(get + "Host : a\r\n", errc::http_header_invalid, 400);
    check_refused(get + std::string("Host: a\0b\r\n", 11), errc::http_header_invalid, 400);
}

TEST_CASE("holds the request to the limits of its head") {
    duplex::http_limits limits;
    limits.start_line_bytes = 50;
    limits.head_bytes = 300;
    limits.header_count = 7;
    check_refused("GET /" + std::string(100, 'a') + " HTTP/1.1\r\n", errc::start_line_too_long, 414, limits);
    check_refused(get + "X: " + std::string(400, 'x'), errc::head_too_long, 431, limits);
    check_refused(good + "A: 1\r\nB: 2\r\nC: 3\r\n\r\n", errc::too_many_headers, 431, limits);

    server_handshake handshake;
    std::string many = get;
    for (int i = 0; i < 10'000; ++i)
        many += "X: y\r\n";
    CHECK(handshake.receive(feeding::bytes(many)) == progress::failed);
    CHECK(handshake.outcome().error == errc::too_many_headers);
    CHECK(handshake.outcome().headers.size() <= duplex::http_limits{}.header_count);
}

TEST_CASE("reads the offered subprotocols in their order, over several headers") {
    const auto check = [](const std::string& headers, const std::vector<std::string>& expected) {
        for_each_cut(good + headers + "\r\n", [&](server_handshake& handshake, const std::string&) {
            CHECK(handshake.subprotocols() == expected);
        });
    };
    check("", {});
    check(offer("a"), {"a"});
    check(offer("a,b"), {"a", "b"});
    check(offer("a, b"), {"a", "b"});
    check(offer(" ,a\t, ,b,"), {"a", "b"});
    check(offer("b, a") + offer("c"), {"b", "a", "c"});
    check(offer("a, A"), {"a", "A"});
    check(offer("constructor, __proto__"), {"constructor", "__proto__"});
}

TEST_CASE("refuses a subprotocol list that is not one of different tokens") {
    const auto headers = GENERATE(values<std::string>({
        offer(""),
        offer(","),
        offer("a b"),
        offer("a, b c"),
        offer("a/b"),
        offer("\"a\""),
        offer("a, \"b, c\""),
        offer("a;q=1"),
        offer("a, a"),
        offer("a, b") + offer("c, a"),
        offer("a") + offer(""),
        offer("\xC3\xA4"),
    }));
    check_refused(good + headers + "\r\n", errc::subprotocol_list_invalid, 400);
}

TEST_CASE("bounds the number of subprotocols") {
    std::string list = "p0";
    for (std::size_t i = 1; i < duplex::max_subprotocols; ++i)
        list += ",p" + std::to_string(i);
    CHECK(ready(good + offer(list) + "\r\n").subprotocols().size() == duplex::max_subprotocols);
    server_handshake handshake;
    CHECK(handshake.receive(feeding::bytes(good + offer(list + ",x") + "\r\n")) == progress::failed);
    CHECK(handshake.outcome().error == errc::subprotocol_list_invalid);
}

TEST_CASE("reads the offered extensions") {
    for_each_cut(good +
                     "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits, constructor\r\n"
                     "sec-websocket-extensions: foo;a=\"b\"\r\n\r\n",
                 [](server_handshake& handshake, const std::string&) {
                     REQUIRE(handshake.extensions().size() == 3);
                     CHECK(handshake.extensions()[0].name == "permessage-deflate");
                     CHECK(handshake.extensions()[1].name == "constructor");
                     CHECK(handshake.extensions()[2].parameters.at(0).value == "b");
                     REQUIRE_FALSE(handshake.accept({}));
                     CHECK_FALSE(has(handshake.response(), "Extensions"));
                     CHECK(handshake.outcome().extensions.empty());
                 });
    check_ready(good + "Sec-WebSocket-Extensions:\r\n\r\n");
}

TEST_CASE("refuses a malformed extension list") {
    const std::string value =
        GENERATE(values<std::string>({"a;", "a b", "a; b=", "a=b", "\"a\"", "a; b=\"c d\""}));
    check_refused(good + "Sec-WebSocket-Extensions: " + value + "\r\n\r\n", errc::extension_list_invalid,
                  400);
    check_refused(good + "Sec-WebSocket-Extensions: a\r\nSec-WebSocket-Extensions: " + value + "\r\n\r\n",
                  errc::extension_list_invalid, 400);
}

TEST_CASE("answers with the extensions that the application took from the offer") {
    server_handshake_options options;
    options.extensions = "foo; a=1";
    auto handshake = ready(good + "Sec-WebSocket-Extensions: bar, foo; a\r\n\r\n");
    REQUIRE_FALSE(handshake.accept(options));
    CHECK(has(handshake.response(), "\r\nSec-WebSocket-Extensions: foo; a=1\r\n"));
    CHECK(handshake.outcome().extensions == "foo; a=1");

    auto without = ready(good + "\r\n");
    CHECK(without.accept(options) == errc::extension_not_offered);
    options.extensions = "foo\r\nX: y";
    CHECK(without.accept(options) == errc::header_value_invalid);
    CHECK(without.response().empty());
    CHECK_FALSE(without.accept({}));
}

TEST_CASE("reads 64 KiB of separators in a request's lists in one pass") {
    duplex::http_limits limits;
    limits.head_bytes = std::size_t{1} << 20;
    const std::string separators = GENERATE(values<std::string>({
        std::string(65536, ',') + "x",
        std::string(65536, ' ') + ",x",
        std::string(32768, ',') + "x" + std::string(32768, ','),
    }));
    for (const std::string_view name :
         {"Sec-WebSocket-Extensions", "Sec-WebSocket-Protocol", "Connection", "Upgrade"}) {
        const auto request = good + std::string(name) + ": " + separators + "\r\n\r\n";
        for (const auto& cut : feeding::few_cuts(request)) {
            server_handshake handshake(limits);
            feeding::feed(handshake, cut);
            CAPTURE(name);
            CHECK(handshake.receive({}) == progress::request_ready);
        }
    }
    for (const std::string_view name : {"Sec-WebSocket-Key", "Sec-WebSocket-Version"}) {
        server_handshake handshake(limits);
        CAPTURE(name);
        CHECK(handshake.receive(feeding::bytes(good + std::string(name) + ": " + separators + "\r\n\r\n")) ==
              progress::failed);
    }
}

TEST_CASE("picks the subprotocol by the server's own preference") {
    CHECK(agreed(offer("a, b, c"), speaking({"c", "b"})) == "c");
    CHECK(agreed(offer("a,b"), speaking({"x", "b", "a"})) == "b");
    CHECK(agreed(offer("a") + offer("b"), speaking({"b"})) == "b");
}

TEST_CASE("leaves the subprotocol out where none matches") {
    CHECK(agreed("", speaking({"a"})).empty());
    CHECK(agreed(offer("a, b"), {}).empty());
    CHECK(agreed(offer("a, b"), speaking({"A", "c"})).empty());
}

TEST_CASE("lets the application choose among the subprotocols offered") {
    SECTION("one of them") {
        auto handshake = ready(good + offer("a, b") + "\r\n");
        REQUIRE_FALSE(handshake.accept(speaking({"a"}), "b"));
        CHECK(handshake.outcome().subprotocol == "b");
        CHECK(has(handshake.response(), "\r\nSec-WebSocket-Protocol: b\r\n"));
    }
    SECTION("none") {
        auto handshake = ready(good + offer("a, b") + "\r\n");
        REQUIRE_FALSE(handshake.accept(speaking({"a"}), ""));
        CHECK(handshake.outcome().subprotocol.empty());
        CHECK_FALSE(has(handshake.response(), "Sec-WebSocket-Protocol"));
    }
    SECTION("but no other") {
        auto handshake = ready(good + offer("a, b") + "\r\n");
        for (const std::string_view other : {"c", "A", "a, b", "a\r\nX: y"}) {
            CAPTURE(other);
            CHECK(handshake.accept({}, other) == errc::subprotocol_not_offered);
            CHECK(handshake.response().empty());
        }
        CHECK_FALSE(handshake.accept({}, "a"));
    }
}

TEST_CASE("adds the application's headers and the server's name to the 101") {
    server_handshake_options options;
    options.headers = {{"Set-Cookie", "a=b"}, {"Set-Cookie", "c=d"}, {"X-Empty", ""}};
    auto handshake = ready(good + "\r\n");
    REQUIRE_FALSE(handshake.accept(options));
    CHECK(handshake.response().ends_with(
        "\r\nServer: duplex\r\nSet-Cookie: a=b\r\nSet-Cookie: c=d\r\nX-Empty: \r\n\r\n"));
}

TEST_CASE("the application's own faults build no answer and leave the request to be answered") {
    auto handshake = ready(good + "\r\n");
    for (const std::string_view text : {std::string_view("a\r\nX: y"), std::string_view("a\nb"),
                                        std::string_view("a\0b", 3), std::string_view(" a")}) {
        CAPTURE(text);
        CHECK(handshake.accept(with_headers({{"X-Mine", text}})) == errc::header_value_invalid);
        CHECK(handshake.accept(with_headers({{text, "1"}})) == errc::header_name_invalid);
        CHECK(handshake.accept(speaking({std::string(text)})) == errc::subprotocol_invalid);
        CHECK(handshake.reject(404, {{"X-Mine", text}}) == errc::header_value_invalid);
        CHECK(handshake.reject(404, {{text, "1"}}) == errc::header_name_invalid);
        server_handshake_options name;
        name.server_name = text;
        CHECK(handshake.accept(name) == errc::header_value_invalid);
    }
    for (const std::string_view name :
         {"Connection", "upgrade", "Sec-WebSocket-Accept", "Sec-WebSocket-Protocol",
          "Sec-WebSocket-Extensions", "Content-Length", "Transfer-Encoding"}) {
        CAPTURE(name);
        CHECK(handshake.accept(with_headers({{name, "1"}})) == errc::header_reserved);
        CHECK(handshake.reject(404, {{name, "1"}}) == errc::header_reserved);
    }
    CHECK(handshake.response().empty());
    CHECK_FALSE(handshake.outcome().error);
    CHECK_FALSE(handshake.accept({}));
    CHECK(handshake.response().starts_with("HTTP/1.1 101 "));
}

TEST_CASE("refuses a page of another origin by default") {
    const std::string origin = GENERATE(values<std::string>({
        "http://evil.example",
        "https://server.example.com",
        "http://server.example.com:8080",
        "http://evil-server.example.com",
        "http://server.example.com.evil",
        "null",
        "",
    }));
    CAPTURE(origin);
    auto handshake = ready(good + "Origin: " + origin + "\r\n\r\n");
    CHECK(handshake.accept({}) == errc::origin_not_allowed);
    CHECK(handshake.outcome().error == errc::origin_not_allowed);
    CHECK(handshake.outcome().status == 403);
    check_complete_refusal(handshake.response(), 403);
    CHECK(handshake.accept(with_origins({"*"})) == errc::already_open);
}

TEST_CASE("accepts a page of its own origin, one of the list, and a client without an origin") {
    const auto accepted = [](const std::string& headers, const server_handshake_options& options) {
        return !ready(good + headers + "\r\n").accept(options);
    };
    CHECK(accepted("", {}));
    CHECK(accepted("", with_origins({"https://one.example"})));
    CHECK(accepted("Origin: http://server.example.com\r\n", {}));
    CHECK(accepted("Origin: http://server.example.com:80\r\n", {}));
    CHECK(accepted("Origin: https://one.example\r\n", with_origins({"https://one.example"})));
    CHECK(accepted("Origin: null\r\n", with_origins({"*"})));
    CHECK_FALSE(accepted("Origin: http://server.example.com\r\n", with_origins({"https://one.example"})));

    server_handshake_options secure;
    secure.secure = true;
    CHECK(accepted("Origin: https://server.example.com\r\n", secure));
    CHECK_FALSE(accepted("Origin: http://server.example.com\r\n", secure));
}

TEST_CASE("checks the origin whatever subprotocol the application chose") {
    auto handshake = ready(good + offer("a") + "Origin: http://evil.example\r\n\r\n");
    CHECK(handshake.accept({}, "a") == errc::origin_not_allowed);
    CHECK(handshake.outcome().subprotocol.empty());
}

TEST_CASE("rejects with the application's status, headers and body") {
    auto handshake = ready(good + "\r\n");
    CHECK_FALSE(
        handshake.reject(401, {{"WWW-Authenticate", "Basic"}, {"Content-Type", "text/html"}}, "<p>who?"));
    CHECK(handshake.response() == "HTTP/1.1 401 Unauthorized\r\n"
                                  "Connection: close\r\n"
                                  "WWW-Authenticate: Basic\r\n"
                                  "Content-Type: text/html\r\n"
                                  "Content-Length: 7\r\n"
                                  "\r\n"
                                  "<p>who?");
    CHECK(handshake.outcome().error == errc::request_rejected);
    CHECK(handshake.outcome().status == 401);
    CHECK(handshake.accept({}) == errc::already_open);
    CHECK(handshake.reject(500) == errc::already_open);
    CHECK(handshake.response().starts_with("HTTP/1.1 401 "));
}

TEST_CASE("rejects with any final status and no other") {
    const auto status_line = [](unsigned status) {
        auto handshake = ready(good + "\r\n");
        CHECK_FALSE(handshake.reject(status));
        check_complete_refusal(handshake.response(), handshake.outcome().status);
        return std::string(handshake.response().substr(0, handshake.response().find("\r\n")));
    };
    CHECK(status_line(200) == "HTTP/1.1 200 OK");
    CHECK(status_line(302) == "HTTP/1.1 302 Found");
    CHECK(status_line(426) == "HTTP/1.1 426 Upgrade Required");
    CHECK(status_line(503) == "HTTP/1.1 503 Service Unavailable");
    CHECK(status_line(599) == "HTTP/1.1 599 ");
    for (const unsigned status : {0U, 100U, 101U, 199U, 600U, 4294967295U}) {
        CAPTURE(status);
        CHECK(status_line(status) == "HTTP/1.1 500 Internal Server Error");
    }
}

TEST_CASE("sends no body with a status that has none") {
    auto handshake = ready(good + "\r\n");
    CHECK_FALSE(handshake.reject(204, {}, "text"));
    CHECK(handshake.response() == "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
}

TEST_CASE("can reject before the request was read") {
    server_handshake handshake;
    CHECK(handshake.receive(feeding::bytes(get)) == progress::need_more);
    CHECK_FALSE(handshake.reject(503, {{"Retry-After", "5"}}));
    CHECK(handshake.receive(feeding::bytes(good.substr(get.size()) + "\r\n")) == progress::failed);
    check_complete_refusal(handshake.response(), 503);
}

TEST_CASE("accepts nothing before the request is ready") {
    server_handshake handshake;
    CHECK(handshake.accept({}) == errc::not_open);
    CHECK(handshake.receive(feeding::bytes(good)) == progress::need_more);
    CHECK(handshake.accept({}) == errc::not_open);
    CHECK(handshake.response().empty());
    CHECK(handshake.receive(feeding::bytes("\r\n")) == progress::request_ready);
    CHECK_FALSE(handshake.accept({}));
    CHECK(handshake.accept({}) == errc::already_open);
}

TEST_CASE("answers a client that is too slow") {
    const auto request = good + "\r\n";
    for (std::size_t size = 0; size <= request.size(); ++size) {
        CAPTURE(size);
        server_handshake handshake;
        handshake.receive(feeding::bytes(request).first(size));
        handshake.time_out();
        CHECK(handshake.outcome().error == errc::handshake_timeout);
        check_complete_refusal(handshake.response(), 408);
        CHECK(handshake.receive(feeding::bytes(request)) == progress::failed);
    }
}

TEST_CASE("a client that leaves before the answer gets none") {
    const auto request = good + "\r\n";
    for (std::size_t size = 0; size <= request.size(); ++size) {
        CAPTURE(size);
        server_handshake handshake;
        handshake.receive(feeding::bytes(request).first(size));
        handshake.eof();
        CHECK(handshake.outcome().error == errc::connection_lost);
        CHECK(handshake.response().empty());
        CHECK(handshake.accept({}) == errc::already_open);
    }
}

TEST_CASE("neither time nor the stream's end change an answer") {
    auto handshake = ready(good + "\r\n");
    REQUIRE_FALSE(handshake.accept({}));
    const std::string response(handshake.response());
    handshake.time_out();
    handshake.eof();
    CHECK(handshake.response() == response);
    CHECK_FALSE(handshake.outcome().error);
}

TEST_CASE("can be moved at any point") {
    const auto request = good + "Origin: http://x\r\n\r\n";
    for (const auto& cut : feeding::all_cuts(request)) {
        if (cut.size() != 2) continue;
        server_handshake first;
        first.receive(feeding::bytes(cut[0]));
        server_handshake second(std::move(first));
        REQUIRE(second.receive(feeding::bytes(cut[1])) == progress::request_ready);
        server_handshake third(std::move(second));
        CHECK(third.target() == "/chat");
        CHECK(third.origin() == "http://x");
        CHECK_FALSE(third.accept(with_origins({"http://x"})));
    }
}

TEST_CASE("both roles agree with each other") {
    duplex::uri to;
    REQUIRE_FALSE(duplex::parse_uri("wss://user:pass@[::1]:9002/chat?room=1", to));
    duplex::client_handshake_options asked;
    asked.subprotocols = {"v1", "v2"};
    asked.origin = "https://[::1]:9002";
    asked.extensions = "foo; a, bar";
    duplex::client_handshake client;
    REQUIRE_FALSE(client.start(to, asked));

    auto server = ready(std::string(client.request()));
    CHECK(server.target() == "/chat?room=1");
    CHECK(server.host() == "[::1]:9002");
    server_handshake_options options;
    options.subprotocols = {"v3", "v2"};
    options.extensions = "bar";
    options.secure = true;
    REQUIRE_FALSE(server.accept(options));

    CHECK(client.receive(feeding::bytes(server.response())) == duplex::client_handshake::progress::done);
    CHECK_FALSE(client.outcome().error);
    CHECK(client.outcome().subprotocol == "v2");
    CHECK(client.outcome().extensions == "bar");
}

TEST_CASE("a client reads why it was rejected") {
    duplex::uri to;
    REQUIRE_FALSE(duplex::parse_uri("ws://localhost/", to));
    duplex::client_handshake client;
    REQUIRE_FALSE(client.start(to));
    auto server = ready(std::string(client.request()));
    REQUIRE_FALSE(server.reject(503, {{"Retry-After", "5"}}, "come back later"));
    CHECK(client.receive(feeding::bytes(server.response())) == duplex::client_handshake::progress::done);
    CHECK(client.outcome().error == errc::upgrade_refused);
    CHECK(client.outcome().status == 503);
    CHECK(client.outcome().headers.find("retry-after") == "5");
    CHECK(client.outcome().body == "come back later");
}
