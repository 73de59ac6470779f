#include <duplex/handshake/client_handshake.hpp>

#include "handshake/client_script.hpp"
#include "handshake/feeding.hpp"
#include "support/catch.hpp"
#include "support/system_faults.hpp"

#include <cstddef>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

using namespace client_script;

TEST_CASE("writes the request of RFC 6455 1.3") {
    client_handshake_options options;
    options.subprotocols = {"chat", "superchat"};
    options.origin = "http://example.com";
    options.user_agent = "";
    CHECK(request_for(options) == "GET /chat HTTP/1.1\r\n"
                                  "Host: server.example.com\r\n"
                                  "Upgrade: websocket\r\n"
                                  "Connection: Upgrade\r\n"
                                  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                                  "Sec-WebSocket-Version: 13\r\n"
                                  "Sec-WebSocket-Protocol: chat, superchat\r\n"
                                  "Origin: http://example.com\r\n"
                                  "\r\n");
}

TEST_CASE("writes a request without what was not asked for") {
    CHECK(request_for() == "GET /chat HTTP/1.1\r\n"
                           "Host: server.example.com\r\n"
                           "Upgrade: websocket\r\n"
                           "Connection: Upgrade\r\n"
                           "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                           "Sec-WebSocket-Version: 13\r\n"
                           "User-Agent: duplex\r\n"
                           "\r\n");
}

TEST_CASE("takes target and Host from the URL") {
    CHECK(
        request_for({}, "ws://h:9002/a/b?c=d&e").starts_with("GET /a/b?c=d&e HTTP/1.1\r\nHost: h:9002\r\n"));
    CHECK(request_for({}, "wss://h").starts_with("GET / HTTP/1.1\r\nHost: h\r\n"));
    CHECK(request_for({}, "wss://[::1]:9002/").starts_with("GET / HTTP/1.1\r\nHost: [::1]:9002\r\n"));
}

TEST_CASE("sends the URL's login as Basic credentials unless the caller has its own") {
    CHECK(has(request_for({}, "ws://Aladdin:open%20sesame@h/"),
              "\r\nAuthorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n"));
    CHECK(has(request_for({}, "ws://user@h/"), "\r\nAuthorization: Basic dXNlcjo=\r\n"));
    CHECK(has(request_for({}, "ws://:secret@h/"), "\r\nAuthorization: Basic OnNlY3JldA==\r\n"));
    CHECK_FALSE(has(request_for({}, "ws://h/"), "Authorization"));

    const auto own = request_for(with_headers({{"authorization", "Bearer abc"}}), "ws://a:b@h/");
    CHECK(has(own, "\r\nauthorization: Bearer abc\r\n"));
    CHECK_FALSE(has(own, "Basic"));
}

TEST_CASE("sends the caller's headers in their order behind the handshake's own") {
    CHECK(request_for(with_headers({{"Cookie", "a=b; c=d"}, {"X-Empty", ""}, {"Cookie", "e"}}))
              .ends_with("User-Agent: duplex\r\nCookie: a=b; c=d\r\nX-Empty: \r\nCookie: e\r\n\r\n"));
}

TEST_CASE("lets the caller replace Host, Origin and User-Agent once") {
    client_handshake_options options;
    options.origin = "http://unused.example";
    options.headers = {{"host", "virtual.example:81"}, {"ORIGIN", "null"}, {"user-agent", "mine"}};
    const auto request = request_for(options);
    CHECK(request.starts_with("GET /chat HTTP/1.1\r\nHost: virtual.example:81\r\n"));
    CHECK_FALSE(has(request, "server.example.com"));
    CHECK_FALSE(has(request, "unused.example"));
    CHECK_FALSE(has(request, "duplex"));
    CHECK(request.ends_with("13\r\nORIGIN: null\r\nuser-agent: mine\r\n\r\n"));

    CHECK(refusal_of(with_headers({{"Host", "a"}, {"host", "a"}})) == errc::header_reserved);
    CHECK(refusal_of(with_headers({{"Origin", "null"}, {"Origin", "null"}})) == errc::header_reserved);
    CHECK(refusal_of(with_headers({{"User-Agent", "a"}, {"User-Agent", "b"}})) == errc::header_reserved);
    CHECK(refusal_of(with_headers({{"Authorization", "a"}, {"Authorization", "b"}})) ==
          errc::header_reserved);
    for (const std::string_view host : {"", "a b", "a,b", "a/b", "a:b", "user@a"}) {
        CAPTURE(host);
        CHECK(refusal_of(with_headers({{"Host", host}})) == errc::header_value_invalid);
    }
}

TEST_CASE("chooses a fresh random key for each start") {
    client_handshake handshake;
    REQUIRE_FALSE(handshake.start(uri_of("ws://h/")));
    const std::string first(handshake.request());
    REQUIRE_FALSE(handshake.start(uri_of("ws://h/")));
    const std::string second(handshake.request());
    CHECK(first.size() == second.size());
    CHECK(first != second);
    const auto from = first.find("Sec-WebSocket-Key: ") + 19;
    CHECK(duplex::is_valid_key(first.substr(from, 24)));
    CHECK(first.substr(from + 24, 2) == "\r\n");
}

#if defined(DUPLEX_TESTING_FAULTS)

TEST_CASE("does not start without a random key") {
    client_handshake handshake;
    REQUIRE_FALSE(start(handshake)); // what an earlier start has left must go
    std::error_code error;
    // A thread of its own, which has no seed from earlier.
    std::thread([&] {
        const duplex::testing::scripted_random system{duplex::testing::scripted_random::none};
        error = handshake.start(uri_of("ws://h/"));
    }).join();
    CHECK(error == errc::random_source_failed);
    CHECK(handshake.request().empty());
    CHECK(handshake.receive(feeding::bytes(good_head + "\r\n")) == progress::done);
    CHECK(handshake.outcome().error == errc::not_open);
}

#endif

TEST_CASE("refuses a subprotocol that is no token before a byte is written") {
    const auto name = GENERATE(values<std::string>({
        "",
        " ",
        "a b",
        "a,b",
        "chat ",
        " chat",
        "chat\r\nX-Injected: 1",
        "chat\n",
        "chat\r",
        std::string("chat\0", 5),
        "chat\x7F",
        "ch\xC3\xA4t",
        "\"chat\"",
        "chat;v=1",
        "a/b",
    }));
    CAPTURE(name);
    CHECK(refusal_of(with_subprotocols({name})) == errc::subprotocol_invalid);
    CHECK(refusal_of(with_subprotocols({"good", name})) == errc::subprotocol_invalid);
}

TEST_CASE("refuses a subprotocol that is named twice") {
    CHECK(refusal_of(with_subprotocols({"a", "b", "a"})) == errc::subprotocol_duplicated);
    CHECK(has(request_for(with_subprotocols({"a", "A"})), "\r\nSec-WebSocket-Protocol: a, A\r\n"));
}

TEST_CASE("refuses control characters from the caller before a byte is written") {
    const auto text = GENERATE(values<std::string>({
        "a\r\nX-Injected: 1",
        "a\rb",
        "a\nb",
        std::string("a\0b", 3),
        "a\x01",
        "a\x7F",
        " a",
        "a\t",
    }));
    CAPTURE(text);
    client_handshake_options origin;
    origin.origin = text;
    CHECK(refusal_of(origin) == errc::header_value_invalid);
    client_handshake_options user_agent;
    user_agent.user_agent = text;
    CHECK(refusal_of(user_agent) == errc::header_value_invalid);
    CHECK(refusal_of(with_headers({{"X-Mine", text}})) == errc::header_value_invalid);
    CHECK(refusal_of(with_headers({{"Host", text}})) == errc::header_value_invalid);
    CHECK(refusal_of(with_headers({{text, "value"}})) == errc::header_name_invalid);

    duplex::uri target = uri_of("ws://h/");
    target.target = "/" + text;
    CHECK(refusal_of({}, target) == errc::url_invalid);
    duplex::uri host = uri_of("ws://h/");
    host.host = text;
    CHECK(refusal_of({}, host) == errc::url_host_invalid);
}

TEST_CASE("refuses a header name that is no token") {
    for (const std::string_view name : {"", "a b", "a:", "a,b", "\xC3\xA4"}) {
        CAPTURE(name);
        CHECK(refusal_of(with_headers({{name, "1"}})) == errc::header_name_invalid);
    }
}

TEST_CASE("refuses headers that belong to the handshake, in any case") {
    const auto* name = GENERATE(values<const char*>({
        "Connection",
        "upgrade",
        "SEC-WEBSOCKET-KEY",
        "Sec-WebSocket-Version",
        "sec-websocket-protocol",
        "Sec-WebSocket-Extensions",
        "Sec-WebSocket-Accept",
        "Sec-WebSocket-Anything",
        "Content-Length",
        "transfer-encoding",
    }));
    CAPTURE(name);
    CHECK(refusal_of(with_headers({{"X-Mine", "1"}, {name, "1"}})) == errc::header_reserved);
}

TEST_CASE("refuses a URL put together with an impossible target or host") {
    duplex::uri to;
    to.host = "h";
    for (const std::string_view target : {"", "chat", "*", "/a b", "/a#b", "http://h/"}) {
        CAPTURE(target);
        to.target = target;
        CHECK(refusal_of({}, to) == errc::url_invalid);
    }
    to.target = "/";
    for (const std::string_view host : {"", "a b", "a/b", "a@b", "a:1"}) {
        CAPTURE(host);
        to.host = host;
        CHECK(refusal_of({}, to) == errc::url_host_invalid);
    }
}

TEST_CASE("refuses a malformed offer of extensions before a byte is written") {
    for (const std::string_view text : {"a;", "a b", "a\r\nX: 1", "a; b=\"c d\""}) {
        CAPTURE(text);
        CHECK(refusal_of(with_extensions(std::string(text))) == errc::header_value_invalid);
    }
}

TEST_CASE("opens with the answer of RFC 6455 1.3") {
    check_open(good_head + "Sec-WebSocket-Protocol: chat\r\n\r\n", with_subprotocols({"chat", "superchat"}),
               "chat");
    check_open(good_head + "\r\n");
}

TEST_CASE("shows the answer's headers, status and reason when open") {
    for_each_cut(good_head + "Set-Cookie: a=b\r\nset-cookie: c=d\r\n\r\n", {},
                 [](const handshake_outcome& outcome) {
                     CHECK_FALSE(outcome.error);
                     CHECK(outcome.reason == "Switching Protocols");
                     CHECK(outcome.headers.count("Set-Cookie") == 2);
                     CHECK(outcome.body.empty());
                 });
}

TEST_CASE("gives the bytes behind the answer to the WebSocket") {
    const std::string frames("\x81\x05Hello\x81\x00\r\n\r\n", 13);
    for_each_cut(good_head + "\r\n" + frames, {}, [&](const handshake_outcome& outcome) {
        CHECK_FALSE(outcome.error);
        CHECK(feeding::text(outcome.leftover) == frames);
    });
}

TEST_CASE("a client takes Upgrade and Connection in any case and spelling") {
    const auto* headers = GENERATE(values<const char*>({
        "Upgrade: WebSocket\r\nConnection: Upgrade\r\n",
        "UPGRADE: WEBSOCKET\r\nCONNECTION: UPGRADE\r\n",
        "upgrade:websocket\r\nconnection:upgrade\r\n",
        "Upgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n",
        "Upgrade: websocket\r\nConnection: keep-alive,Upgrade\r\n",
        "Upgrade: websocket\r\nConnection: keep-alive\r\nConnection: upgrade\r\n",
        "Upgrade:  \t websocket \t \r\nConnection: , upgrade ,\r\n",
    }));
    check_open(status_101 + headers + accept + "\r\n");
}

TEST_CASE("takes any reason behind a 101") {
    check_open("HTTP/1.1 101 Web Socket Protocol Handshake\r\n" + upgrade + connection + accept + "\r\n");
    check_open("HTTP/1.1 101 \r\n" + upgrade + connection + accept + "\r\n");
}

TEST_CASE("skips informational answers before the final one") {
    check_open("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + good_head +
               "\r\n");
    check_refusal("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno", 404,
                  "no");
    std::string endless;
    for (int i = 0; i < 20; ++i)
        endless += "HTTP/1.1 102 Processing\r\n\r\n";
    CHECK(complete(endless));
    check_refusal(endless, 102, "");
}

TEST_CASE("refuses a 101 whose Upgrade does not say websocket") {
    const auto* header = GENERATE(values<const char*>({
        "",
        "Upgrade:\r\n",
        "Upgrade: h2c\r\n",
        "Upgrade: websocket2\r\n",
        "Upgrade: websocket, h2c\r\n",
        "Upgrade: websocket\r\nUpgrade: h2c\r\n",
        "X-Upgrade: websocket\r\n",
    }));
    check_error(status_101 + header + connection + accept + "\r\n", errc::upgrade_header_invalid);
}

TEST_CASE("refuses a 101 whose Connection has no upgrade token") {
    const auto* header = GENERATE(values<const char*>({
        "",
        "Connection:\r\n",
        "Connection: close\r\n",
        "Connection: upgraded\r\n",
        "Connection: keep-alive upgrade\r\n",
        "Connection: \"upgrade\"\r\n",
    }));
    check_error(status_101 + upgrade + header + accept + "\r\n", errc::connection_header_invalid);
}

TEST_CASE("refuses a 101 without the one right accept value") {
    const auto header = GENERATE(values<std::string>({
        "",
        "Sec-WebSocket-Accept:\r\n",
        "Sec-WebSocket-Accept: S3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n",
        "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo\r\n",
        "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo==\r\n",
        "Sec-WebSocket-Accept: dGhlIHNhbXBsZSBub25jZQ==\r\n",
        "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=, s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n",
        accept + accept,
        accept + "sec-websocket-accept: x\r\n",
    }));
    check_error(status_101 + upgrade + connection + header + "\r\n", errc::accept_invalid);
}

TEST_CASE("refuses a subprotocol that was not offered") {
    const auto* header = GENERATE(values<const char*>({
        "Sec-WebSocket-Protocol: other\r\n",
        "Sec-WebSocket-Protocol: Chat\r\n",
        "Sec-WebSocket-Protocol: chat, superchat\r\n",
        "Sec-WebSocket-Protocol: chat,\r\n",
        "Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Protocol: chat\r\n",
        "Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Protocol: superchat\r\n",
        "Sec-WebSocket-Protocol:\r\n",
        "Sec-WebSocket-Protocol: cha\r\n",
    }));
    check_error(good_head + header + "\r\n", errc::subprotocol_not_offered,
                with_subprotocols({"chat", "superchat"}));
    check_error(good_head + header + "\r\n", errc::subprotocol_not_offered);
}

TEST_CASE("opens without a subprotocol where the server chose none") {
    check_open(good_head + "\r\n", with_subprotocols({"chat"}), "");
}

TEST_CASE("takes any of the subprotocols that were offered") {
    const auto* name = GENERATE(values<const char*>({"a", "b", "c.v2"}));
    check_open(good_head + "sec-websocket-protocol: " + name + "\r\n\r\n",
               with_subprotocols({"a", "b", "c.v2"}), name);
}

TEST_CASE("refuses an extension that was not offered") {
    check_error(good_head + "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n",
                errc::extension_not_offered);
    check_error(good_head + "Sec-WebSocket-Extensions: constructor\r\n\r\n", errc::extension_not_offered);
    check_error(good_head + "Sec-WebSocket-Extensions: foo, bar\r\n\r\n", errc::extension_not_offered,
                with_extensions("foo"));
    check_error(good_head + "Sec-WebSocket-Extensions: foo\r\nSec-WebSocket-Extensions: bar\r\n\r\n",
                errc::extension_not_offered, with_extensions("foo; x=1"));
    check_error(good_head + "Sec-WebSocket-Extensions: foo;\r\n\r\n", errc::extension_list_invalid,
                with_extensions("foo"));
}

TEST_CASE("keeps the extensions that the server took from the offer") {
    const auto options = with_extensions("permessage-deflate; client_max_window_bits, foo");
    CHECK(has(request_for(options),
              "\r\nSec-WebSocket-Extensions: permessage-deflate; client_max_window_bits, foo\r\n"));
    const auto check = [&](const std::string& headers, std::string_view expected) {
        for_each_cut(good_head + headers + "\r\n", options, [&](const handshake_outcome& outcome) {
            CHECK_FALSE(outcome.error);
            CHECK(outcome.extensions == expected);
        });
    };
    check("", "");
    check("Sec-WebSocket-Extensions:\r\n", "");
    check("Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits=10\r\n",
          "permessage-deflate; client_max_window_bits=10");
    check("Sec-WebSocket-Extensions: foo\r\nsec-websocket-extensions: permessage-deflate\r\n",
          "foo, permessage-deflate");
}

TEST_CASE("refuses a 101 of HTTP/1.0") {
    check_error("HTTP/1.0 101 Switching Protocols\r\n" + upgrade + connection + accept + "\r\n",
                errc::http_version_unsupported);
}

TEST_CASE("names the rule of HTTP that an answer breaks") {
    check_error("SSH-2.0-OpenSSH_9.2\r\n", errc::http_start_line_invalid);
    check_error(good_head + "a b: c\r\n\r\n", errc::http_header_invalid);
    check_error(status_101 + upgrade + " folded\r\n\r\n", errc::http_obsolete_fold);
    check_error("HTTP/1.1 101 OK\n", errc::http_bare_line_feed);
    check_error("HTTP/2.0 101 OK\r\n", errc::http_version_unsupported);
}

TEST_CASE("a stream that ends inside the head is a lost connection") {
    const auto answer = good_head + "\r\n";
    for (std::size_t size = 0; size < answer.size(); ++size) {
        CAPTURE(size);
        client_handshake handshake;
        REQUIRE_FALSE(start(handshake));
        CHECK(handshake.receive(feeding::bytes(answer).first(size)) == progress::need_more);
        CHECK(handshake.eof() == progress::done);
        CHECK(handshake.outcome().error == errc::connection_lost);
    }
}

TEST_CASE("an end of the stream behind the answer changes nothing") {
    client_handshake handshake;
    REQUIRE_FALSE(start(handshake));
    REQUIRE(handshake.receive(feeding::bytes(good_head + "\r\n")) == progress::done);
    CHECK(handshake.eof() == progress::done);
    CHECK_FALSE(handshake.outcome().error);
}

TEST_CASE("holds the answer to the limits of its head") {
    client_handshake_options options;
    options.limits.head_bytes = 300;
    check_error(good_head + "X: " + std::string(400, 'x'), errc::head_too_long, options);
    options.limits.header_count = 3;
    check_error(good_head + "X: y\r\n\r\n", errc::too_many_headers, options);
    options.limits.start_line_bytes = 20;
    check_error(good_head + "\r\n", errc::start_line_too_long, options);
}

TEST_CASE("reads 64 KiB of separators in an answer's lists in one pass") {
    client_handshake_options options = with_extensions("foo");
    options.subprotocols = {"chat"};
    options.limits.head_bytes = std::size_t{1} << 20;
    const std::string separators = GENERATE(values<std::string>({
        std::string(65536, ','),
        std::string(65536, ' ') + ",",
        std::string(65536, ';'),
    }));
    for (const std::string_view name :
         {"Sec-WebSocket-Extensions", "Sec-WebSocket-Protocol", "Connection", "Upgrade"}) {
        const auto answer = good_head + std::string(name) + ": " + separators + "\r\n\r\n";
        std::vector<std::error_code> errors;
        for (const auto& cut : feeding::few_cuts(answer)) {
            client_handshake handshake;
            REQUIRE_FALSE(start(handshake, options));
            feeding::feed(handshake, cut);
            handshake.eof();
            errors.push_back(handshake.outcome().error);
        }
        CAPTURE(name);
        CHECK(errors[0] == errors[1]);
        if (name == "Sec-WebSocket-Protocol") CHECK(errors[0] == errc::subprotocol_not_offered);
        if (name == "Upgrade") CHECK(errors[0] == errc::upgrade_header_invalid);
        if (name == "Connection") CHECK_FALSE(errors[0]);
    }
}

TEST_CASE("takes nothing before it is started") {
    client_handshake handshake;
    CHECK(handshake.request().empty());
    CHECK(handshake.receive(feeding::bytes(good_head + "\r\n")) == progress::done);
    CHECK(handshake.eof() == progress::done);
    CHECK(handshake.outcome().error == errc::not_open);
}

TEST_CASE("can be started again after a refusal") {
    client_handshake handshake;
    REQUIRE_FALSE(start(handshake, with_subprotocols({"chat"})));
    REQUIRE(handshake.receive(feeding::bytes("HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno")) ==
            progress::done);
    REQUIRE_FALSE(start(handshake));
    CHECK_FALSE(has(handshake.request(), "chat\r\n"));
    CHECK(handshake.receive(feeding::bytes(good_head + "\r\n")) == progress::done);
    CHECK_FALSE(handshake.outcome().error);
    CHECK(handshake.outcome().body.empty());
}
