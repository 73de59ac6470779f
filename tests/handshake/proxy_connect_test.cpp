#include <duplex/handshake/proxy_connect.hpp>

#include "handshake/feeding.hpp"
#include "support/catch.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

using duplex::errc;
using duplex::handshake_outcome;
using duplex::proxy_connect;
using duplex::proxy_connect_options;
using progress = proxy_connect::progress;

namespace {

const std::string established = "HTTP/1.1 200 Connection established\r\n";

std::string request_for(const proxy_connect_options& options = {},
                        std::string_view host = "server.example.com", std::uint16_t port = 443) {
    proxy_connect handshake;
    REQUIRE_FALSE(handshake.start(host, port, options));
    return std::string(handshake.request());
}

bool has(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

/// What cannot be started; the request must have stayed empty.
std::error_code refusal_of(const proxy_connect_options& options, std::string_view host = "h",
                           std::uint16_t port = 80) {
    proxy_connect handshake;
    REQUIRE_FALSE(handshake.start("h", 80)); // what an earlier start has left must go
    const auto error = handshake.start(host, port, options);
    CHECK(handshake.request().empty());
    CHECK(handshake.receive(feeding::bytes(established + "\r\n")) == progress::done);
    CHECK(handshake.outcome().error == errc::not_open);
    return error;
}

proxy_connect_options with_headers(duplex::fields headers) {
    proxy_connect_options options;
    options.headers = std::move(headers);
    return options;
}

proxy_connect_options with_login(std::string user, std::string password) {
    proxy_connect_options options;
    options.user = std::move(user);
    options.password = std::move(password);
    return options;
}

/// Checks the outcome of `answer`, behind which the stream ends, in every cut.
template <class Check>
void for_each_cut(const std::string& answer, Check check, const proxy_connect_options& options = {}) {
    for (const auto& cut : feeding::all_cuts(answer)) {
        CAPTURE(answer, cut.size(), cut.front().size());
        proxy_connect handshake;
        REQUIRE_FALSE(handshake.start("h", 80, options));
        const auto rest = feeding::feed(handshake, cut);
        handshake.eof();
        auto outcome = handshake.take_outcome();
        for (const char c : rest)
            outcome.leftover.push_back(static_cast<std::byte>(c));
        check(outcome);
    }
}

void check_open(const std::string& answer, unsigned status = 200, std::string_view leftover = {}) {
    for_each_cut(answer, [&](const handshake_outcome& outcome) {
        CHECK_FALSE(outcome.error);
        CHECK(outcome.status == status);
        CHECK(outcome.body.empty());
        CHECK(feeding::text(outcome.leftover) == leftover);
    });
}

void check_error(const std::string& answer, errc error, unsigned status = 0, std::string_view body = {}) {
    for_each_cut(answer, [&](const handshake_outcome& outcome) {
        CHECK(outcome.error == error);
        CHECK(outcome.status == status);
        CHECK(outcome.body == body);
    });
}

/// Whether all is said with `answer` although the stream goes on.
bool complete(const std::string& answer) {
    proxy_connect handshake;
    REQUIRE_FALSE(handshake.start("h", 80));
    return handshake.receive(feeding::bytes(answer)) == progress::done;
}

} // namespace

TEST_CASE("asks a proxy for a tunnel to host and port") {
    CHECK(request_for() == "CONNECT server.example.com:443 HTTP/1.1\r\n"
                           "Host: server.example.com:443\r\n"
                           "User-Agent: duplex\r\n"
                           "\r\n");
}

TEST_CASE("names the port of a tunnel even where it is the usual one") {
    CHECK(request_for({}, "h", 80).starts_with("CONNECT h:80 HTTP/1.1\r\nHost: h:80\r\n"));
    CHECK(
        request_for({}, "127.0.0.1", 1).starts_with("CONNECT 127.0.0.1:1 HTTP/1.1\r\nHost: 127.0.0.1:1\r\n"));
    CHECK(request_for({}, "h", 65535).starts_with("CONNECT h:65535 HTTP/1.1\r\nHost: h:65535\r\n"));
}

TEST_CASE("puts an IPv6 address into brackets where a tunnel leads to it") {
    CHECK(request_for({}, "2001:db8::1", 9002)
              .starts_with("CONNECT [2001:db8::1]:9002 HTTP/1.1\r\nHost: [2001:db8::1]:9002\r\n"));
}

TEST_CASE("sends a proxy's login as Basic credentials unless the caller has its own") {
    CHECK(has(request_for(with_login("Aladdin", "open sesame")),
              "\r\nProxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n"));
    CHECK(has(request_for(with_login("user", "")), "\r\nProxy-Authorization: Basic dXNlcjo=\r\n"));
    CHECK(has(request_for(with_login("", "secret")), "\r\nProxy-Authorization: Basic OnNlY3JldA==\r\n"));
    CHECK(has(request_for(with_login("u", "a:b")), "\r\nProxy-Authorization: Basic dTphOmI=\r\n"));
    // RFC 7617 2.1: UTF-8
    CHECK(has(request_for(with_login("test", "123\xC2\xA3")),
              "\r\nProxy-Authorization: Basic dGVzdDoxMjPCow==\r\n"));
    CHECK_FALSE(has(request_for(), "Authorization"));

    auto options = with_login("a", "b");
    options.headers = {{"proxy-authorization", "Bearer abc"}};
    const auto own = request_for(options);
    CHECK(has(own, "\r\nproxy-authorization: Bearer abc\r\n"));
    CHECK_FALSE(has(own, "Basic"));
}

TEST_CASE("sends the caller's headers to the proxy in their order") {
    CHECK(request_for(with_headers({{"X-B", "1"}, {"X-Empty", ""}, {"X-A", "2"}, {"X-B", "3"}}))
              .ends_with("User-Agent: duplex\r\nX-B: 1\r\nX-Empty: \r\nX-A: 2\r\nX-B: 3\r\n\r\n"));
    CHECK(request_for(with_headers({{"user-agent", "mine"}})).ends_with("443\r\nuser-agent: mine\r\n\r\n"));
    proxy_connect_options options;
    options.user_agent = "";
    CHECK(request_for(options).ends_with("Host: server.example.com:443\r\n\r\n"));
}

TEST_CASE("refuses a host to which no tunnel can lead before a byte is written") {
    const auto host = GENERATE(values<std::string>({
        "",
        "a b",
        "a\r\nX-Injected: 1",
        "a\n",
        "a\r",
        std::string("a\0", 2),
        "a\x7F",
        "a/b",
        "a@b",
        "a?b",
        "a#b",
        "a:1",
        "a..b",
        "[::1]",
        "::1]:80 HTTP/1.1\r\nX-Injected: 1",
        "fe80::1%eth0",
        "1.2.3",
        "b\xC3\xBC"
        "cher",
    }));
    CAPTURE(host);
    CHECK(refusal_of({}, host) == errc::url_host_invalid);
}

TEST_CASE("refuses port 0 of a tunnel") { CHECK(refusal_of({}, "h", 0) == errc::url_port_invalid); }

TEST_CASE("refuses control characters for a proxy before a byte is written") {
    const auto text = GENERATE(values<std::string>({
        "a\r\nX-Injected: 1",
        "a\rb",
        "a\nb",
        std::string("a\0b", 3),
        "a\x01",
        "a\x7F",
        "a\t",
    }));
    CAPTURE(text);
    CHECK(refusal_of(with_login(text, "b")) == errc::proxy_credentials_invalid);
    CHECK(refusal_of(with_login("a", text)) == errc::proxy_credentials_invalid);
    proxy_connect_options user_agent;
    user_agent.user_agent = text;
    CHECK(refusal_of(user_agent) == errc::header_value_invalid);
    CHECK(refusal_of(with_headers({{"X-Mine", text}})) == errc::header_value_invalid);
    CHECK(refusal_of(with_headers({{"Proxy-Authorization", text}})) == errc::header_value_invalid);
    CHECK(refusal_of(with_headers({{text, "value"}})) == errc::header_name_invalid);
}

TEST_CASE("refuses a colon in the user name for an HTTP proxy") {
    CHECK(refusal_of(with_login("a:b", "c")) == errc::proxy_credentials_invalid);
    CHECK(refusal_of(with_login(":", "")) == errc::proxy_credentials_invalid);
}

TEST_CASE("refuses headers that belong to the tunnel's request") {
    const auto* name = GENERATE(values<const char*>({
        "Host",
        "host",
        "Connection",
        "upgrade",
        "Content-Length",
        "transfer-encoding",
        "Sec-WebSocket-Key",
    }));
    CAPTURE(name);
    CHECK(refusal_of(with_headers({{"X-Mine", "1"}, {name, "1"}})) == errc::header_reserved);
    CHECK(refusal_of(with_headers({{"User-Agent", "a"}, {"user-agent", "b"}})) == errc::header_reserved);
    CHECK(refusal_of(with_headers({{"Proxy-Authorization", "a"}, {"proxy-authorization", "b"}})) ==
          errc::header_reserved);
}

TEST_CASE("opens a tunnel with any 2xx, of either version of HTTP") {
    check_open(established + "\r\n");
    check_open("HTTP/1.0 200 Connection established\r\n\r\n");
    check_open("HTTP/1.0 200 Connection Established\r\nProxy-agent: Apache/2.4\r\n\r\n");
    check_open("HTTP/1.1 200\r\n\r\n");
    check_open("HTTP/1.1 200 \r\n\r\n");
    check_open("HTTP/1.1 204 No Content\r\n\r\n", 204);
    check_open("HTTP/1.1 205 Reset Content\r\n\r\n", 205);
    check_open("HTTP/1.1 299 Fine\r\n\r\n", 299);
}

TEST_CASE("shows what a proxy said with the tunnel") {
    for_each_cut(established + "Via: 1.1 a\r\nVia: 1.1 b\r\n\r\n", [](const handshake_outcome& outcome) {
        CHECK(outcome.reason == "Connection established");
        CHECK(outcome.headers.count("via") == 2);
    });
}

TEST_CASE("a 2xx to CONNECT has no body, whatever its headers say") {
    const auto* headers = GENERATE(values<const char*>({
        "Content-Length: 5\r\n",
        "Content-Length: 0\r\n",
        "Content-Length: nonsense\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Connection: close\r\n",
    }));
    check_open(established + headers + "\r\nHello", 200, "Hello");
    CHECK(complete(established + headers + "\r\n"));
}

TEST_CASE("gives the bytes behind a 2xx to the tunnel") {
    const std::string bytes("HTTP/1.1 407 x\r\n\r\n\x00\x16\x03\x01\r\n\r\n", 26);
    check_open(established + "\r\n" + bytes, 200, bytes);
}

TEST_CASE("takes nothing once the tunnel is open") {
    proxy_connect handshake;
    REQUIRE_FALSE(handshake.start("h", 80));
    CHECK(handshake.receive(feeding::bytes(established + "\r\nab")) == progress::done);
    CHECK(handshake.receive(feeding::bytes("cd")) == progress::done);
    CHECK(handshake.eof() == progress::done);
    CHECK_FALSE(handshake.outcome().error);
    CHECK(feeding::text(handshake.outcome().leftover) == "ab");
}

TEST_CASE("skips a bounded number of informational answers of a proxy") {
    const std::string informational = "HTTP/1.1 100 Continue\r\nX: y\r\n\r\n";
    check_open(informational + "HTTP/1.1 103 Early Hints\r\n\r\n" + established + "\r\n");
    check_error(informational + "HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno", errc::proxy_refused, 403,
                "no");
    std::string eight;
    for (int i = 0; i < 8; ++i)
        eight += informational;
    check_open(eight + established + "\r\n");
    CHECK_FALSE(complete(eight));
    CHECK(complete(eight + informational));
    check_error(eight + informational + established + "\r\n", errc::proxy_answer_invalid, 100);
}

TEST_CASE("a proxy that changes the protocol unasked opens no tunnel") {
    check_error("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nabc",
                errc::proxy_answer_invalid, 101);
}

TEST_CASE("shows status, reason, headers and body of a proxy's refusal") {
    const unsigned status =
        GENERATE(values<unsigned>({300, 302, 400, 401, 403, 405, 426, 502, 503, 504, 999}));
    const auto answer = "HTTP/1.1 " + std::to_string(status) +
                        " Some Words\r\nX-Squid-Error: ERR_ACCESS_DENIED 0\r\nContent-Length: 3\r\n\r\nwhy";
    CHECK(complete(answer));
    check_error(answer + "more", errc::proxy_refused, status, "why");
    for_each_cut(answer, [](const handshake_outcome& outcome) {
        CHECK(outcome.reason == "Some Words");
        CHECK(outcome.headers.find("x-squid-error") == "ERR_ACCESS_DENIED 0");
        CHECK(outcome.leftover.empty());
    });
}

TEST_CASE("an HTTP proxy that wants a login is told from one that refuses") {
    const std::string head =
        "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=\"x\"\r\n";
    check_error(head + "Content-Length: 5\r\n\r\nlogin", errc::proxy_authentication_required, 407, "login");
    check_error(head + "Transfer-Encoding: chunked\r\n\r\n5\r\nlogin\r\n0\r\n\r\n",
                errc::proxy_authentication_required, 407, "login");
    check_error(head + "\r\nuntil the end", errc::proxy_authentication_required, 407, "until the end");
    CHECK(complete(head + "Content-Length: 0\r\n\r\n"));
    for_each_cut(head + "\r\n", [](const handshake_outcome& outcome) {
        CHECK(outcome.headers.find("Proxy-Authenticate") == "Basic realm=\"x\"");
    });
    check_error("HTTP/1.0 407 Login\r\n\r\n", errc::proxy_authentication_required, 407);
}

TEST_CASE("keeps no more of a proxy's refusal than the limit") {
    proxy_connect_options options;
    options.limits.refusal_body_bytes = 5;
    for_each_cut(
        "HTTP/1.1 403 Forbidden\r\n\r\n0123456789",
        [](const handshake_outcome& outcome) {
            CHECK(outcome.error == errc::proxy_refused);
            CHECK(outcome.body == "01234");
        },
        options);
    proxy_connect handshake;
    REQUIRE_FALSE(handshake.start("h", 80));
    CHECK(handshake.receive(feeding::bytes("HTTP/1.1 403 No\r\n\r\n" + std::string(1 << 20, 'x'))) ==
          progress::done);
    CHECK(handshake.outcome().body.size() == duplex::http_limits{}.refusal_body_bytes);
}

TEST_CASE("keeps a proxy's head within the limits") {
    const auto outcome_of = [](const std::string& answer) {
        proxy_connect_options options;
        options.limits.start_line_bytes = 40;
        options.limits.head_bytes = 100;
        options.limits.header_count = 3;
        proxy_connect handshake;
        REQUIRE_FALSE(handshake.start("h", 80, options));
        CHECK(handshake.receive(feeding::bytes(answer)) == progress::done);
        return handshake.take_outcome();
    };
    CHECK_FALSE(outcome_of(established + "A: 1\r\nB: 2\r\nC: 3\r\n\r\n").error);
    CHECK(outcome_of("HTTP/1.1 200 " + std::string(28, 'x')).error == errc::start_line_too_long);
    CHECK(outcome_of(established + "A: " + std::string(100, 'x')).error == errc::head_too_long);
    CHECK(outcome_of(established + "A: 1\r\nB: 2\r\nC: 3\r\nD: 4\r\n\r\n").error == errc::too_many_headers);
}

TEST_CASE("says so where a proxy answers in another protocol") {
    proxy_connect handshake;
    REQUIRE_FALSE(handshake.start("h", 80));
    CHECK(handshake.receive(feeding::bytes(std::string("\x05\xFF", 2))) == progress::done);
    CHECK(handshake.outcome().error == errc::http_start_line_invalid);
    CHECK(handshake.outcome().why == "the proxy's answer is not HTTP: does it speak SOCKS?");
    CHECK(handshake.outcome().phase == duplex::phase::proxy);
}

TEST_CASE("takes nothing malformed for a tunnel") {
    const std::string head = "HTTP/1.1 200 OK\r\n";
    check_error("HTTP/2 200\r\n\r\n", errc::http_version_unsupported);
    check_error("HTTP/1.2 200 OK\r\n\r\n", errc::http_version_unsupported);
    check_error("HTTP/1.1 020 OK\r\n\r\n", errc::http_start_line_invalid);
    check_error("HTTP/1.1 2000 OK\r\n\r\n", errc::http_start_line_invalid);
    check_error(std::string("\x05\x00", 2), errc::http_start_line_invalid);
    check_error("<html>", errc::http_start_line_invalid);
    check_error("HTTP/1.1 200 OK\n\n", errc::http_bare_line_feed);
    check_error(head + "A: 1\n", errc::http_bare_line_feed);
    check_error(head + "A : 1\r\n\r\n", errc::http_header_invalid);
    check_error(head + "A: 1\r\n 2\r\n\r\n", errc::http_obsolete_fold);
    check_error(head + "A: 1\r\n\rX", errc::http_header_invalid);
}

TEST_CASE("a proxy that ends the stream inside its head has opened nothing") {
    const auto answer = established + "Via: 1.1 a\r\n\r\n";
    for (std::size_t size = 0; size < answer.size(); ++size) {
        CAPTURE(size);
        proxy_connect handshake;
        REQUIRE_FALSE(handshake.start("h", 80));
        CHECK(handshake.receive(feeding::bytes(answer.substr(0, size))) == progress::need_more);
        CHECK(handshake.eof() == progress::done);
        CHECK(handshake.outcome().error == errc::connection_lost);
        CHECK(handshake.receive(feeding::bytes(answer.substr(size))) == progress::done);
        CHECK(handshake.outcome().error == errc::connection_lost);
    }
}

TEST_CASE("asks for a tunnel again with another start") {
    proxy_connect handshake;
    CHECK(handshake.outcome().error == errc::not_open);
    CHECK(handshake.receive(feeding::bytes(established)) == progress::done);
    REQUIRE_FALSE(handshake.start("a", 1));
    CHECK(handshake.receive(feeding::bytes("HTTP/1.1 407 Login\r\nContent-Length: 1\r\n\r\nx")) ==
          progress::done);
    REQUIRE_FALSE(handshake.start("b", 2, with_login("u", "p")));
    CHECK(handshake.request().starts_with("CONNECT b:2 "));
    CHECK(handshake.outcome().body.empty());
    CHECK(handshake.receive(feeding::bytes(established + "\r\n")) == progress::done);
    CHECK_FALSE(handshake.outcome().error);
    CHECK(handshake.outcome().status == 200);
}
