#include <duplex/handshake/server_handshake.hpp>

#include <duplex/handshake/client_handshake.hpp>

#include "handshake/feeding.hpp"
#include "handshake/server_script.hpp"
#include "support/catch.hpp"

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

using namespace server_script;

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
    auto unchanged = ready(good + "\r\n");
    CHECK_FALSE(unchanged.reject(304, {{"ETag", "\"1\""}}, "text"));
    CHECK(unchanged.response() == "HTTP/1.1 304 Not Modified\r\nConnection: close\r\nETag: \"1\"\r\n\r\n");
}

TEST_CASE("names the method that is allowed, unless the application does") {
    auto handshake = ready(good + "\r\n");
    CHECK_FALSE(handshake.reject(405));
    CHECK(has(handshake.response(), "\r\nAllow: GET\r\n"));
    auto own = ready(good + "\r\n");
    CHECK_FALSE(own.reject(405, {{"allow", "GET, HEAD"}}));
    CHECK(has(own.response(), "\r\nallow: GET, HEAD\r\n"));
    CHECK_FALSE(has(own.response(), "\r\nAllow"));
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
