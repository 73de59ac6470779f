#include <duplex/handshake/client_handshake.hpp>

#include "handshake/feeding.hpp"
#include "support/catch.hpp"

#include <array>
#include <cstddef>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

using duplex::client_handshake;
using duplex::client_handshake_options;
using duplex::errc;
using duplex::handshake_outcome;
using progress = client_handshake::progress;

namespace {

// RFC 6455 1.3: the nonce "the sample nonce" and its accept value
constexpr std::string_view sample_nonce = "the sample nonce";
const std::string upgrade = "Upgrade: websocket\r\n";
const std::string connection = "Connection: Upgrade\r\n";
const std::string accept = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";
const std::string status_101 = "HTTP/1.1 101 Switching Protocols\r\n";
const std::string good_head = status_101 + upgrade + connection + accept;

duplex::uri uri_of(std::string_view text) {
    duplex::uri result;
    REQUIRE_FALSE(parse_uri(text, result));
    return result;
}

std::error_code start(client_handshake& handshake, const client_handshake_options& options = {},
                      const duplex::uri& to = uri_of("ws://server.example.com/chat")) {
    return handshake.start(to, options, feeding::bytes(sample_nonce).first<16>());
}

/// The request for these options.
std::string request_for(const client_handshake_options& options = {},
                        std::string_view url = "ws://server.example.com/chat") {
    client_handshake handshake;
    REQUIRE_FALSE(start(handshake, options, uri_of(url)));
    return std::string(handshake.request());
}

bool has(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

/// What `options` cannot be started with; the request must have stayed empty.
std::error_code refusal_of(const client_handshake_options& options,
                           const duplex::uri& to = uri_of("ws://server.example.com/chat")) {
    client_handshake handshake;
    REQUIRE_FALSE(start(handshake)); // what an earlier start has left must go
    const auto error = start(handshake, options, to);
    CHECK(handshake.request().empty());
    CHECK(handshake.receive(feeding::bytes(good_head + "\r\n")) == progress::done);
    CHECK(handshake.outcome().error == errc::not_open);
    return error;
}

/// Checks the outcome of `answer` in every cut.
template <class Check>
void for_each_cut(const std::string& answer, const client_handshake_options& options, Check check) {
    for (const auto& cut : feeding::all_cuts(answer)) {
        CAPTURE(answer, cut.size(), cut.front().size());
        client_handshake handshake;
        REQUIRE_FALSE(start(handshake, options));
        const auto rest = feeding::feed(handshake, cut);
        handshake.eof();
        auto outcome = handshake.take_outcome();
        for (const char c : rest)
            outcome.leftover.push_back(static_cast<std::byte>(c));
        check(outcome);
    }
}

void check_error(const std::string& answer, errc error, const client_handshake_options& options = {}) {
    for_each_cut(answer, options, [&](const handshake_outcome& outcome) {
        CHECK(outcome.error == error);
        CHECK(outcome.subprotocol.empty());
        CHECK(outcome.extensions.empty());
    });
}

void check_open(const std::string& answer, const client_handshake_options& options = {},
                std::string_view subprotocol = {}) {
    for_each_cut(answer, options, [&](const handshake_outcome& outcome) {
        CHECK_FALSE(outcome.error);
        CHECK(outcome.status == 101);
        CHECK(outcome.subprotocol == subprotocol);
        CHECK(outcome.leftover.empty());
    });
}

/// Checks a refusal in every cut; the stream ends behind `answer`.
void check_refusal(const std::string& answer, unsigned status, std::string_view body,
                   std::size_t body_limit = 16384) {
    client_handshake_options options;
    options.limits.refusal_body_bytes = body_limit;
    for_each_cut(answer, options, [&](const handshake_outcome& outcome) {
        CHECK(outcome.error == errc::upgrade_refused);
        CHECK(outcome.status == status);
        CHECK(outcome.body == body);
    });
}

/// Whether the refusal is over behind `answer` although the stream goes on.
bool complete(const std::string& answer) {
    client_handshake handshake;
    REQUIRE_FALSE(start(handshake));
    return handshake.receive(feeding::bytes(answer)) == progress::done;
}

client_handshake_options with_subprotocols(std::vector<std::string> list) {
    client_handshake_options options;
    options.subprotocols = std::move(list);
    return options;
}

client_handshake_options with_headers(duplex::fields headers) {
    client_handshake_options options;
    options.headers = std::move(headers);
    return options;
}

client_handshake_options with_extensions(std::string extensions) {
    client_handshake_options options;
    options.extensions = std::move(extensions);
    return options;
}

} // namespace

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

TEST_CASE("takes Upgrade and Connection in any case and spelling") {
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

TEST_CASE("shows status, reason, headers and body of a refusal") {
    const unsigned status = GENERATE(values<unsigned>({200, 301, 401, 403, 426, 503}));
    const auto answer = "HTTP/1.1 " + std::to_string(status) +
                        " Some Words\r\nLocation: /elsewhere\r\nRetry-After: 5\r\nContent-Length: 12\r\n\r\n"
                        "why it isn't";
    CHECK(complete(answer));
    check_refusal(answer, status, "why it isn't");
    for_each_cut(answer, {}, [](const handshake_outcome& outcome) {
        CHECK(outcome.reason == "Some Words");
        CHECK(outcome.headers.find("location") == "/elsewhere");
        CHECK(outcome.headers.find("retry-after") == "5");
    });
}

TEST_CASE("a refusal that looks like an acceptance but for its status is a refusal") {
    check_refusal("HTTP/1.1 200 OK\r\n" + upgrade + connection + accept + "\r\n", 200, "");
}

TEST_CASE("takes a refusal of HTTP/1.0") { check_refusal("HTTP/1.0 403 Forbidden\r\n\r\nno", 403, "no"); }

TEST_CASE("reads a refusal's body up to its Content-Length") {
    const std::string head = "HTTP/1.1 403 Forbidden\r\n";
    check_refusal(head + "Content-Length: 3\r\n\r\nwhyHTTP/1.1 101", 403, "why");
    check_refusal(head + "Content-Length: 5\r\n\r\nwhy", 403, "why"); // the stream ended early
    check_refusal(head + "Content-Length: 0\r\n\r\nwhy", 403, "");
    CHECK(complete(head + "Content-Length: 0\r\n\r\n"));
    CHECK_FALSE(complete(head + "Content-Length: 4\r\n\r\nwhy"));
    CHECK_FALSE(complete(head + "Content-Length: 999999999999999999\r\n\r\nwhy"));
}

TEST_CASE("reads a refusal's body to the end of the stream where no length counts") {
    const auto* length = GENERATE(values<const char*>({
        "",
        "Content-Length: x\r\n",
        "Content-Length: -1\r\n",
        "Content-Length: 2, 2\r\n",
        "Content-Length: 2\r\nContent-Length: 2\r\n",
        "Content-Length: 18446744073709551618\r\n",
        "Content-Length:\r\n",
    }));
    const auto answer = std::string("HTTP/1.1 503 Busy\r\n") + length + "\r\nlater";
    CHECK_FALSE(complete(answer));
    check_refusal(answer, 503, "later");
}

TEST_CASE("a refusal whose status has no body ends with its head") {
    const auto* status = GENERATE(values<const char*>({"204", "304"}));
    CHECK(complete(std::string("HTTP/1.1 ") + status + " X\r\nContent-Length: 5\r\n\r\n"));
}

TEST_CASE("decodes a chunked refusal") {
    const std::string head =
        "HTTP/1.1 401 Unauthorized\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n";
    const auto check = [&](const std::string& chunks, std::string_view body) {
        CHECK(complete(head + chunks));
        check_refusal(head + chunks, 401, body);
    };
    check("5\r\nHello\r\n0\r\n\r\n", "Hello");
    check("5\r\nHello\r\n7\r\n, world\r\n0\r\n", "Hello, world");
    check("A;name=value\r\n0123456789\r\n000\r\nTrailer: x\r\n\r\n", "0123456789");
    check("0b \r\nhello\r\nhe\r\n\r\n0\r\n\r\n", "hello\r\nhe\r\n");
    check("0\r\n\r\n", "");
}

TEST_CASE("a malformed chunk ends a refusal's body") {
    const std::string head = "HTTP/1.1 401 Unauthorized\r\nTransfer-Encoding: Chunked\r\n\r\n";
    for (const auto* chunks :
         {"x", "\r\n", ";", "-1\r\n", "2\r\nokXX", "2\r\nok\r\nx", "fffffffffffffffff\r\n"}) {
        CAPTURE(chunks);
        CHECK(complete(head + chunks));
        check_refusal(head + chunks, 401, std::string_view(chunks).starts_with('2') ? "ok" : "");
    }
    CHECK(complete(head + std::string(2000, '0')));
    CHECK(complete(head + "1;" + std::string(2000, 'x')));
    CHECK(complete(head + "1\r\na" + std::string(2000, '\r')));
    CHECK_FALSE(complete(head + "ffffffffffffffff\r\nab"));
}

TEST_CASE("keeps no more of a refusal's body than the limit") {
    const std::string head = "HTTP/1.1 403 Forbidden\r\n";
    check_refusal(head + "\r\n0123456789", 403, "01234", 5);
    check_refusal(head + "Content-Length: 10\r\n\r\n0123456789", 403, "01234", 5);
    check_refusal(head + "Content-Length: 5\r\n\r\n01234", 403, "01234", 5);
    check_refusal(head + "Transfer-Encoding: chunked\r\n\r\n3\r\n012\r\n7\r\n3456789\r\n0\r\n\r\n", 403,
                  "01234", 5);
    check_refusal(head + "\r\n0123456789", 403, "", 0);

    SECTION("and is done as soon as it is reached") {
        client_handshake_options options;
        options.limits.refusal_body_bytes = 5;
        client_handshake handshake;
        REQUIRE_FALSE(start(handshake, options));
        CHECK(handshake.receive(feeding::bytes(head + "\r\n0123")) == progress::need_more);
        CHECK(handshake.receive(feeding::bytes("4")) == progress::done);
        CHECK(handshake.receive(feeding::bytes("5")) == progress::done);
        CHECK(handshake.outcome().body == "01234");
    }
    SECTION("by default too") {
        client_handshake handshake;
        REQUIRE_FALSE(start(handshake));
        CHECK(handshake.receive(feeding::bytes(head + "\r\n" + std::string(1 << 20, 'x'))) == progress::done);
        CHECK(handshake.outcome().body.size() == duplex::http_limits{}.refusal_body_bytes);
    }
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
