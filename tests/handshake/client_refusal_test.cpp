#include <duplex/handshake/client_handshake.hpp>

#include "handshake/client_script.hpp"
#include "handshake/feeding.hpp"
#include "support/catch.hpp"

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

using namespace client_script;

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

TEST_CASE("a login that no URL could have is refused before anything is written") {
    duplex::uri to;
    to.host = "h";
    duplex::client_handshake handshake;
    to.user = "a:b";
    CHECK(handshake.start(to) == duplex::errc::credentials_invalid);
    CHECK(handshake.request().empty());
    to.user = "a";
    to.password = "x\n";
    CHECK(handshake.start(to) == duplex::errc::credentials_invalid);
    to.password = "x:y";
    CHECK_FALSE(handshake.start(to));
    CHECK(handshake.outcome().url == "ws://h/");
}
