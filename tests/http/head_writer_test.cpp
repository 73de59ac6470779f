#include <duplex/http/head_writer.hpp>

#include <duplex/http/head_parser.hpp>

#include "support/catch.hpp"

#include <array>
#include <span>
#include <string>
#include <utility>

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
        CAPTURE(row.words);
        if (row.http_status != 0) CHECK_FALSE(duplex::reason_phrase(row.http_status).empty());
    }
    CHECK(duplex::reason_phrase(426) == "Upgrade Required");
    CHECK(duplex::reason_phrase(0).empty());
    CHECK(duplex::reason_phrase(999).empty());
}

TEST_CASE("each registered reason is spelled as in its document", "[head_writer]") {
    const std::array rows{
        // RFC 9110 15
        std::pair{100U, "Continue"},
        std::pair{101U, "Switching Protocols"},
        std::pair{200U, "OK"},
        std::pair{201U, "Created"},
        std::pair{202U, "Accepted"},
        std::pair{203U, "Non-Authoritative Information"},
        std::pair{204U, "No Content"},
        std::pair{205U, "Reset Content"},
        std::pair{206U, "Partial Content"},
        std::pair{300U, "Multiple Choices"},
        std::pair{301U, "Moved Permanently"},
        std::pair{302U, "Found"},
        std::pair{303U, "See Other"},
        std::pair{304U, "Not Modified"},
        std::pair{305U, "Use Proxy"},
        std::pair{307U, "Temporary Redirect"},
        std::pair{308U, "Permanent Redirect"},
        std::pair{400U, "Bad Request"},
        std::pair{401U, "Unauthorized"},
        std::pair{402U, "Payment Required"},
        std::pair{403U, "Forbidden"},
        std::pair{404U, "Not Found"},
        std::pair{405U, "Method Not Allowed"},
        std::pair{406U, "Not Acceptable"},
        std::pair{407U, "Proxy Authentication Required"},
        std::pair{408U, "Request Timeout"},
        std::pair{409U, "Conflict"},
        std::pair{410U, "Gone"},
        std::pair{411U, "Length Required"},
        std::pair{412U, "Precondition Failed"},
        std::pair{413U, "Content Too Large"},
        std::pair{414U, "URI Too Long"},
        std::pair{415U, "Unsupported Media Type"},
        std::pair{416U, "Range Not Satisfiable"},
        std::pair{417U, "Expectation Failed"},
        std::pair{421U, "Misdirected Request"},
        std::pair{422U, "Unprocessable Content"},
        std::pair{426U, "Upgrade Required"},
        std::pair{500U, "Internal Server Error"},
        std::pair{501U, "Not Implemented"},
        std::pair{502U, "Bad Gateway"},
        std::pair{503U, "Service Unavailable"},
        std::pair{504U, "Gateway Timeout"},
        std::pair{505U, "HTTP Version Not Supported"},
        // RFC 8470 5.2
        std::pair{425U, "Too Early"},
        // RFC 6585
        std::pair{428U, "Precondition Required"},
        std::pair{429U, "Too Many Requests"},
        std::pair{431U, "Request Header Fields Too Large"},
        std::pair{511U, "Network Authentication Required"},
        // RFC 7725 3
        std::pair{451U, "Unavailable For Legal Reasons"},
    };
    for (const auto& [status, reason] : rows) {
        CAPTURE(status);
        CHECK(duplex::reason_phrase(status) == reason);
        std::string line;
        duplex::append_status_line(line, status);
        CHECK(line == "HTTP/1.1 " + std::to_string(status) + " " + reason + "\r\n");
    }
}

TEST_CASE("a status that nobody registered has no reason", "[head_writer]") {
    for (const unsigned status :
         {0U, 99U, 104U, 199U, 299U, 306U, 399U, 418U, 430U, 499U, 599U, 600U, 4294967295U}) {
        CAPTURE(status);
        CHECK(duplex::reason_phrase(status).empty());
    }
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
