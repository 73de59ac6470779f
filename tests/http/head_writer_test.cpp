#include <duplex/http/head_writer.hpp>

#include <duplex/http/head_parser.hpp>

#include "support/catch.hpp"

#include <span>
#include <string>

TEST_CASE("writes a request head", "[head_writer]") {
    std::string head = "before|";
    duplex::append_request_line(head, "GET", "/chat?x=1");
    duplex::append_field(head, "Host", "example.com");
    duplex::append_fields(head, {{"X-A", "1"}, {"X-Empty", ""}});
    duplex::append_end(head);
    CHECK(head == "before|GET /chat?x=1 HTTP/1.1\r\nHost: example.com\r\nX-A: 1\r\nX-Empty: \r\n\r\n");
}

TEST_CASE("writes a status line with the registered reason", "[head_writer]") {
    std::string line;
    duplex::append_status_line(line, 101);
    CHECK(line == "HTTP/1.1 101 Switching Protocols\r\n");
}

TEST_CASE("writes a status line with a reason of the caller", "[head_writer]") {
    std::string line;
    duplex::append_status_line(line, 403, "Not you");
    CHECK(line == "HTTP/1.1 403 Not you\r\n");
}

TEST_CASE("writes a status line without a reason where none is registered, its space included",
          "[head_writer]") {
    std::string line;
    duplex::append_status_line(line, 599);
    CHECK(line == "HTTP/1.1 599 \r\n");
}

TEST_CASE("every status with which an error is answered has a reason", "[head_writer]") {
    for (const auto& row : duplex::detail::explanations) {
        CAPTURE(row.name);
        if (row.http_status != 0) CHECK_FALSE(duplex::reason_phrase(row.http_status).empty());
    }
    CHECK(duplex::reason_phrase(426) == "Upgrade Required");
    CHECK(duplex::reason_phrase(0).empty());
    CHECK(duplex::reason_phrase(999).empty());
}

TEST_CASE("what is written is read back", "[head_writer]") {
    const duplex::fields sent{{"Host", "a"}, {"X-Empty", ""}, {"X-Text", "a \t\xC3\xA4"}};
    std::string head;
    duplex::append_status_line(head, 503);
    duplex::append_fields(head, sent);
    duplex::append_end(head);
    duplex::head_parser parser(duplex::head_kind::response);
    const auto result = parser.feed(std::as_bytes(std::span(head)));
    CHECK(result.state == duplex::head_parser::result::state::done);
    CHECK(result.consumed == head.size());
    CHECK(parser.status() == 503);
    CHECK(parser.reason() == "Service Unavailable");
    CHECK(parser.headers() == sent);
}
