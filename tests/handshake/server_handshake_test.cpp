#include <duplex/handshake/server_handshake.hpp>

#include "handshake/feeding.hpp"
#include "handshake/server_script.hpp"
#include "support/catch.hpp"

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

using namespace server_script;

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

TEST_CASE("a server takes Upgrade and Connection in any case and spelling") {
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
    check("HTTPS://[::1]:82/", "/", "[::1]:82");
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
