#include <duplex/http/head_parser.hpp>

#include "support/catch.hpp"

#include <algorithm>
#include <cstddef>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace {

using namespace std::string_view_literals;
using duplex::errc;
using duplex::fields;
using duplex::head_kind;
using duplex::head_parser;
using duplex::http_limits;
using state = enum head_parser::result::state;

struct head {
    state end = state::need_more;
    std::size_t consumed = 0;
    errc error{};
    std::size_t error_offset = 0;
    std::string method, target, reason;
    unsigned minor_version = 0;
    unsigned status = 0;
    fields headers;

    friend bool operator==(const head&, const head&) = default;
};

/// Feeds `text` in pieces, each in memory of its own that is gone before the next one comes. `next(at)` is
/// where the piece that begins at `at` ends.
template <class Next>
head read_in_pieces(head_kind kind, std::string_view text, const http_limits& limits, Next next) {
    head_parser parser(kind, limits);
    head out;
    for (std::size_t at = 0; at < text.size() && out.end == state::need_more;) {
        const std::size_t end = std::min(next(at), text.size());
        const auto piece = std::as_bytes(std::span(text.substr(at, end - at)));
        const auto result = parser.feed(std::vector<std::byte>(piece.begin(), piece.end()));
        // all of a piece belongs to the head while more is needed
        if (result.state == state::need_more && result.consumed != piece.size()) FAIL("bytes were left over");
        out.end = result.state;
        out.consumed += result.consumed;
        at = end;
    }
    if (out.end == state::done) {
        if (kind == head_kind::request) {
            out.method = parser.method();
            out.target = parser.target();
        } else {
            out.status = parser.status();
            out.reason = parser.reason();
        }
        out.minor_version = parser.http_minor_version();
        out.headers = parser.headers();
    }
    if (out.end == state::failed) {
        out.error = parser.error();
        out.error_offset = parser.error_offset();
    }
    return out;
}

head read_whole(head_kind kind, std::string_view text, const http_limits& limits = {}) {
    return read_in_pieces(kind, text, limits, [&](std::size_t) { return text.size(); });
}

head read_bytewise(head_kind kind, std::string_view text, const http_limits& limits = {}) {
    return read_in_pieces(kind, text, limits, [](std::size_t at) { return at + 1; });
}

/// Reads `text` whole, byte by byte and split at each position, which must all come to the same.
head read(head_kind kind, std::string_view text, const http_limits& limits = {}) {
    const head whole = read_whole(kind, text, limits);
    REQUIRE(read_bytewise(kind, text, limits) == whole);
    std::vector<std::size_t> different;
    for (std::size_t split = 1; split < text.size(); ++split) {
        const auto next = [&](std::size_t at) { return at < split ? split : text.size(); };
        if (read_in_pieces(kind, text, limits, next) != whole) different.push_back(split);
    }
    REQUIRE(different == std::vector<std::size_t>{});
    return whole;
}

head request(std::string_view text, const http_limits& limits = {}) {
    return read(head_kind::request, text, limits);
}

head response(std::string_view text, const http_limits& limits = {}) {
    return read(head_kind::response, text, limits);
}

using fault = std::pair<errc, std::size_t>;

/// What is wrong, and where in it.
using places = std::vector<std::pair<std::string_view, std::size_t>>;

constexpr fault line_fault(std::size_t at) { return {errc::http_start_line_invalid, at}; }
constexpr fault field_fault(std::size_t at) { return {errc::http_header_invalid, at}; }
constexpr fault feed_fault(std::size_t at) { return {errc::http_bare_line_feed, at}; }

/// The rule that is broken and where. Nothing before that byte may fail, and that byte must, whatever
/// follows.
fault fault_of(head_kind kind, std::string_view text, const http_limits& limits = {}) {
    const head all = read(kind, text, limits);
    REQUIRE(all.end == state::failed);
    REQUIRE(all.consumed == all.error_offset);
    REQUIRE(all.error_offset < text.size());
    REQUIRE(read_whole(kind, text.substr(0, all.error_offset), limits).end == state::need_more);
    REQUIRE(read_whole(kind, text.substr(0, all.error_offset + 1), limits) == all);
    return {all.error, all.error_offset};
}

fault request_fault(std::string_view text, const http_limits& limits = {}) {
    return fault_of(head_kind::request, text, limits);
}

fault response_fault(std::string_view text, const http_limits& limits = {}) {
    return fault_of(head_kind::response, text, limits);
}

/// The fault in a request that has `lines` where its headers belong; the offset counts from there.
fault header_fault(std::string_view lines) {
    constexpr auto line = "GET / HTTP/1.1\r\n"sv;
    const auto [error, offset] = request_fault(std::string(line).append(lines));
    REQUIRE(offset >= line.size());
    // headers follow the same rules in both directions
    constexpr auto status_line = "HTTP/1.1 200 OK\r\n"sv;
    REQUIRE(response_fault(std::string(status_line).append(lines)) ==
            fault(error, offset - line.size() + status_line.size()));
    return {error, offset - line.size()};
}

/// The value of header "X" as it is read from `line`.
std::string value_in(std::string_view line) {
    const auto got = request("GET / HTTP/1.1\r\n" + std::string(line) + "\r\n\r\n");
    REQUIRE(got.end == state::done);
    REQUIRE(got.headers.size() == 1);
    return std::string(got.headers.find("X").value());
}

constexpr auto upgrade = "GET /chat?x=1 HTTP/1.1\r\nHost: example.com:9002\r\nUpgrade:websocket\r\n"
                         "Connection: keep-alive, Upgrade\r\nX:  a b\t \r\nX:\r\n\r\n"sv;

} // namespace

TEST_CASE("reads a request", "[head_parser]") {
    const auto got = request(upgrade);
    CHECK(got.end == state::done);
    CHECK(got.consumed == upgrade.size());
    CHECK(got.method == "GET");
    CHECK(got.target == "/chat?x=1");
    CHECK(got.minor_version == 1);
    CHECK(got.headers == fields{{"Host", "example.com:9002"},
                                {"Upgrade", "websocket"},
                                {"Connection", "keep-alive, Upgrade"},
                                {"X", "a b"},
                                {"X", ""}});
}

TEST_CASE("reads a response", "[head_parser]") {
    const auto got = response("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n");
    CHECK(got.end == state::done);
    CHECK(got.status == 101);
    CHECK(got.reason == "Switching Protocols");
    CHECK(got.minor_version == 1);
    CHECK(got.headers == fields{{"Upgrade", "websocket"}});
}

TEST_CASE("a head may be of HTTP/1.0 and have no headers", "[head_parser]") {
    const auto asked = request("GET / HTTP/1.0\r\n\r\n");
    CHECK(asked.end == state::done);
    CHECK(asked.minor_version == 0);
    CHECK(asked.headers.empty());
    CHECK(response("HTTP/1.0 404 Not Found\r\n\r\n").minor_version == 0);
}

TEST_CASE("every head that is cut short needs more", "[head_parser]") {
    for (std::size_t size = 0; size < upgrade.size(); ++size)
        if (read_whole(head_kind::request, upgrade.substr(0, size)).end != state::need_more) FAIL(size);
    CHECK(read_whole(head_kind::request, upgrade).end == state::done);
}

TEST_CASE("bytes after the head stay with the caller", "[head_parser]") {
    for (const auto tail : {"\x81\x05Hello"sv, "\r\n"sv, "GET / HTTP/1.1\r\n\r\n"sv, "\0"sv}) {
        const auto got = request(std::string(upgrade).append(tail));
        CHECK(got.end == state::done);
        CHECK(got.consumed == upgrade.size());
    }
}

TEST_CASE("a parser that is done or has failed takes no more", "[head_parser]") {
    head_parser parser(head_kind::request);
    const auto bytes = std::as_bytes(std::span(upgrade));
    REQUIRE(parser.feed(bytes).state == state::done);
    CHECK(parser.feed(bytes).state == state::done);
    CHECK(parser.feed(bytes).consumed == 0);
    CHECK(parser.target() == "/chat?x=1");

    parser = head_parser(head_kind::request);
    REQUIRE(parser.feed(std::as_bytes(std::span("G\0"sv))).state == state::failed);
    CHECK(parser.feed(bytes).state == state::failed);
    CHECK(parser.feed(bytes).consumed == 0);
    CHECK(parser.error() == errc::http_start_line_invalid);
    CHECK(parser.error_offset() == 1);
}

TEST_CASE("one empty line before a request is skipped", "[head_parser]") {
    const auto got = request("\r\nGET / HTTP/1.1\r\n\r\n");
    CHECK(got.end == state::done);
    CHECK(got.method == "GET");
    CHECK(got.consumed == 20);
    CHECK(request_fault("\r\n\r\nGET / HTTP/1.1\r\n\r\n") == line_fault(2));
    CHECK(request_fault("\rGET / HTTP/1.1\r\n\r\n") == line_fault(1));
    CHECK(request_fault("\nGET / HTTP/1.1\r\n\r\n") == feed_fault(0));
    CHECK(response_fault("\r\nHTTP/1.1 200 OK\r\n\r\n") == line_fault(0));
}

TEST_CASE("what is no request fails at its first byte", "[head_parser]") {
    for (const auto bytes :
         {"\x16\x03\x01\x02"sv, "\0\0"sv, " GET"sv, "\x81\x05"sv, "{\"a\":1}"sv, "\xEF\xBB\xBFGET"sv}) {
        CAPTURE(bytes);
        CHECK(request_fault(bytes) == line_fault(0));
    }
    // HTTP/2 with prior knowledge
    CHECK(request_fault("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n") == fault(errc::http_version_unsupported, 11));
}

TEST_CASE("what is no response fails at its first byte", "[head_parser]") {
    for (const auto bytes : {"\x16\x03"sv, "SSH-2.0"sv, "<html>"sv, " HTTP/1.1 200"sv, "200 OK"sv}) {
        CAPTURE(bytes);
        CHECK(response_fault(bytes) == line_fault(0));
    }
    CHECK(response_fault("http/1.1 200 OK\r\n") == line_fault(0));
    CHECK(response_fault("HTTQ") == line_fault(3));
}

TEST_CASE("a method is a token", "[head_parser]") {
    CHECK(request("M-SEARCH * HTTP/1.1\r\n\r\n").method == "M-SEARCH");
    CHECK(request("get / HTTP/1.1\r\n\r\n").method == "get");
    CHECK(request_fault("GE(T / HTTP/1.1\r\n") == line_fault(2));
    CHECK(request_fault("GET\t/ HTTP/1.1\r\n") == line_fault(3));
    CHECK(request_fault("GET\r\n") == line_fault(3));
    CHECK(request_fault("GET\n") == feed_fault(3));
}

TEST_CASE("a target is a path, an absolute URL or an asterisk", "[head_parser]") {
    for (const auto target : {"/"sv, "//"sv, "/a/b?c=%20&d=\"<>^`{|}[]\\'"sv, "*"sv, "http://a"sv,
                              "http://a/"sv, "WSS+x-1.0://a:80/b?c"sv}) {
        CAPTURE(target);
        const auto got = request("GET " + std::string(target) + " HTTP/1.1\r\n\r\n");
        CHECK(got.end == state::done);
        CHECK(got.target == target);
    }
}

TEST_CASE("other forms of a target are refused where they begin to differ", "[head_parser]") {
    const places wrong{
        {" /", 0},        {"?q", 0},      {"a", 1},        {"a/b", 1},       {"example.com:80", 12},
        {"http:a", 5},    {"http:/a", 6}, {"http://", 7},  {"http:///a", 7}, {"http://?a", 7},
        {"1http://a", 0}, {"+a://", 0},   {"ht_tp://", 2}, {"**", 1},        {"*/", 1},
        {"/a\tb", 2},     {"/a#b", 2},    {"/a\x7f", 2},   {"/\xC3\xA4", 1}, {"/a\0b"sv, 2},
        {"/a\rb", 2},     {":", 0},       {"/a\r\n", 2},
    };
    for (const auto& [target, offset] : wrong) {
        CAPTURE(target);
        CHECK(request_fault("GET " + std::string(target) + " HTTP/1.1\r\n") == line_fault(4 + offset));
    }
    CHECK(request_fault("GET /\n") == feed_fault(5));
}

TEST_CASE("a version is read to the letter", "[head_parser]") {
    const places wrong{
        {"http/1.1", 0},  {"HTTP 1.1", 4},  {"HTTP/x.1", 5},     {"HTTP/11", 6},    {"HTTP/1.x", 7},
        {"HTTP/1.11", 8}, {" HTTP/1.1", 0}, {"HTTP/1.1 ", 8},    {"HTTP/1.1\t", 8}, {"HTTP/1.\xFF", 7},
        {"HTTPS/1.1", 4}, {"\r\n", 0},      {"HTTP/1.1\r\r", 9},
    };
    for (const auto& [version, offset] : wrong) {
        CAPTURE(version);
        CHECK(request_fault("GET / " + std::string(version) + "\r\n\r\n") == line_fault(6 + offset));
    }
    CHECK(request_fault("GET / HTTP/1.1\n") == feed_fault(14));
}

TEST_CASE("versions other than 1.0 and 1.1 are unsupported", "[head_parser]") {
    CHECK(request_fault("GET / HTTP/2.0\r\n") == fault(errc::http_version_unsupported, 11));
    CHECK(request_fault("GET / HTTP/0.9\r\n") == fault(errc::http_version_unsupported, 11));
    CHECK(request_fault("GET / HTTP/1.2\r\n") == fault(errc::http_version_unsupported, 13));
    CHECK(response_fault("HTTP/2 200\r\n") == fault(errc::http_version_unsupported, 5));
    CHECK(response_fault("HTTP/1.9 200\r\n") == fault(errc::http_version_unsupported, 7));
}

TEST_CASE("a status is three digits", "[head_parser]") {
    CHECK(response("HTTP/1.1 100 \r\n\r\n").status == 100);
    CHECK(response("HTTP/1.1 999 \r\n\r\n").status == 999);
    const places wrong{
        {"20 OK", 2},  {"2000 OK", 3}, {"2x0 OK", 1},  {" 200 OK", 0}, {"-20 OK", 0},
        {"099 OK", 0}, {"200OK", 3},   {"200\tOK", 3}, {"\r\n", 0},    {"20\r\n", 2},
    };
    for (const auto& [status, offset] : wrong) {
        CAPTURE(status);
        CHECK(response_fault("HTTP/1.1 " + std::string(status) + "\r\n\r\n") == line_fault(9 + offset));
    }
    CHECK(response_fault("HTTP/1.1\t200 OK\r\n") == line_fault(8));
    CHECK(response_fault("HTTP/1.1 200\n") == feed_fault(12));
}

TEST_CASE("a reason may be empty or missing and may hold bytes above 127", "[head_parser]") {
    CHECK(response("HTTP/1.1 200 \r\n\r\n").reason.empty());
    CHECK(response("HTTP/1.1 200\r\n\r\n").end == state::done);
    CHECK(response("HTTP/1.1 200\r\n\r\n").reason.empty());
    CHECK(response("HTTP/1.1 404 Ni\xC3\xA9t\tda  \r\n\r\n").reason == "Ni\xC3\xA9t\tda  ");
    CHECK(response_fault("HTTP/1.1 200 O\0K\r\n"sv) == line_fault(14));
    CHECK(response_fault("HTTP/1.1 200 OK\rX") == line_fault(16));
    CHECK(response_fault("HTTP/1.1 200 OK\n") == feed_fault(15));
}

TEST_CASE("white space round a value is not part of it", "[head_parser]") {
    CHECK(value_in("X:a") == "a");
    CHECK(value_in("X: \t a \t") == "a");
    CHECK(value_in("X: a  b\t\tc") == "a  b\t\tc");
    CHECK(value_in("X:").empty());
    CHECK(value_in("X: \t ").empty());
    CHECK(value_in("X: a:b:") == "a:b:");
    CHECK(value_in("X: \xFF\x80") == "\xFF\x80");
}

TEST_CASE("a field name is a token that its colon follows at once", "[head_parser]") {
    const places wrong{
        {": a", 0},    {"Host : a", 4},   {"Host\t: a", 4},      {"Ho st: a", 2},
        {"Host", 4},   {"H\0st: a"sv, 1}, {"H\xC3\xB6st: a", 1}, {"Host\x7f: a", 4},
        {"(a): b", 0}, {"a,b: c", 1},     {"\0"sv, 0},           {"a\r\n", 1},
    };
    for (const auto& [line, offset] : wrong) {
        CAPTURE(line);
        CHECK(header_fault(std::string(line) + "\r\n\r\n") == field_fault(offset));
    }
}

TEST_CASE("no control character passes in a value", "[head_parser]") {
    for (int i = 0; i < 0x80; ++i) {
        const char c = static_cast<char>(i);
        if ((i >= 0x20 && i != 0x7F) || c == '\t' || c == '\r' || c == '\n') continue;
        CAPTURE(i);
        CHECK(header_fault(std::string("X: a") + c + "b\r\n") == field_fault(4));
        CHECK(header_fault(std::string("X: ") + c + "b\r\n") == field_fault(3));
        CHECK(header_fault(std::string("X: a ") + c + "\r\n") == field_fault(5));
    }
}

TEST_CASE("a line feed alone is refused wherever it stands", "[head_parser]") {
    for (std::size_t at = 0; at < upgrade.size(); ++at) {
        if (at > 0 && upgrade[at - 1] == '\r') continue;
        const head got = read_whole(head_kind::request, std::string(upgrade).insert(at, 1, '\n'));
        if (got.end != state::failed || got.error != errc::http_bare_line_feed || got.error_offset != at)
            FAIL(at);
    }
    CHECK(header_fault("X: a\n\r\n") == feed_fault(4));
    CHECK(header_fault("X: a\r\n\n") == feed_fault(6));
    CHECK(header_fault("X\n: a\r\n") == feed_fault(1));
    CHECK(header_fault("\n") == feed_fault(0));
}

TEST_CASE("a carriage return alone is refused wherever it stands", "[head_parser]") {
    for (std::size_t at = 1; at < upgrade.size(); ++at) {
        const head got = read_whole(head_kind::request, std::string(upgrade).insert(at, 1, '\r'));
        const auto expected =
            at <= upgrade.find('\n') ? errc::http_start_line_invalid : errc::http_header_invalid;
        if (got.end != state::failed || got.error != expected) FAIL(at);
    }
    CHECK(header_fault("X: a\rb\r\n") == field_fault(5));
    CHECK(header_fault("X: a\r\r\n") == field_fault(5));
    CHECK(header_fault("\r\r\n") == field_fault(1));
    CHECK(header_fault("\rX: a\r\n") == field_fault(1));
}

TEST_CASE("a folded header is refused at its fold", "[head_parser]") {
    CHECK(header_fault("X: a\r\n b\r\n\r\n") == fault(errc::http_obsolete_fold, 6));
    CHECK(header_fault("X: a\r\n\tb\r\n\r\n") == fault(errc::http_obsolete_fold, 6));
    CHECK(header_fault("X: a\r\n \r\n\r\n") == fault(errc::http_obsolete_fold, 6));
    // there is nothing to fold on the first line
    CHECK(header_fault(" X: a\r\n\r\n") == field_fault(0));
    CHECK(header_fault("\tX: a\r\n\r\n") == field_fault(0));
}

TEST_CASE("a start line may have as many bytes as its limit and no more", "[head_parser]") {
    constexpr auto line = "GET /chat HTTP/1.1"sv;
    const std::string text = std::string(line) + "\r\n\r\n";
    CHECK(request(text, {.start_line_bytes = line.size()}).end == state::done);
    // the empty line before it is no part of it
    CHECK(request("\r\n" + text, {.start_line_bytes = line.size()}).end == state::done);
    for (std::size_t limit = 1; limit < line.size(); ++limit)
        CHECK(request_fault(text, {.start_line_bytes = limit}) == fault(errc::start_line_too_long, limit));

    constexpr auto status_line = "HTTP/1.1 200 OK"sv;
    const std::string answer = std::string(status_line) + "\r\n\r\n";
    CHECK(response(answer, {.start_line_bytes = status_line.size()}).end == state::done);
    for (std::size_t limit = 0; limit < status_line.size(); ++limit)
        CHECK(response_fault(answer, {.start_line_bytes = limit}) == fault(errc::start_line_too_long, limit));
}

TEST_CASE("a head may have as many bytes as its limit and no more", "[head_parser]") {
    CHECK(request(upgrade, {.head_bytes = upgrade.size()}).end == state::done);
    CHECK(request(std::string(upgrade) + "tail", {.head_bytes = upgrade.size()}).end == state::done);
    for (std::size_t limit = 0; limit < upgrade.size(); ++limit) {
        const head got = read_whole(head_kind::request, upgrade, {.head_bytes = limit});
        if (got.end != state::failed || got.error != errc::head_too_long || got.error_offset != limit)
            FAIL(limit);
    }
    CHECK(request_fault(upgrade, {.head_bytes = 40}) == fault(errc::head_too_long, 40));
}

TEST_CASE("a head may have as many headers as its limit and no more", "[head_parser]") {
    constexpr auto line = "GET / HTTP/1.1\r\n"sv;
    const std::string three = std::string(line) + "A: 1\r\nB: 2\r\nC: 3\r\n\r\n";
    CHECK(request(three, {.header_count = 3}).headers.size() == 3);
    CHECK(request_fault(three, {.header_count = 2}) == fault(errc::too_many_headers, line.size() + 12));
    CHECK(request_fault(three, {.header_count = 0}) == fault(errc::too_many_headers, line.size()));
    CHECK(request("GET / HTTP/1.1\r\n\r\n", {.header_count = 0}).end == state::done);
}

TEST_CASE("the default limits stop floods", "[head_parser]") {
    constexpr std::size_t flood = 65'536;
    const http_limits limits;
    const auto flooded = [&](std::string_view text) {
        const head whole = read_whole(head_kind::request, text);
        REQUIRE(whole.end == state::failed);
        REQUIRE(read_bytewise(head_kind::request, text) == whole);
        return fault(whole.error, whole.error_offset);
    };
    const std::string line = "GET / HTTP/1.1\r\n";
    const fault line_too_long{errc::start_line_too_long, limits.start_line_bytes};
    const fault head_too_long{errc::head_too_long, limits.head_bytes};
    CHECK(flooded(std::string(flood, 'G')) == line_too_long);
    CHECK(flooded("GET /" + std::string(flood, 'a')) == line_too_long);
    CHECK(flooded("GET http" + std::string(flood, 'p')) == line_too_long);
    CHECK(flooded(line + std::string(flood, 'X')) == head_too_long);
    for (const char c : {' ', '\t', ',', '"', 'a'})
        for (const auto name : {"Key", "Version", "Protocol", "Extensions"})
            CHECK(flooded(line + "Sec-WebSocket-" + name + ": a" + std::string(flood, c)) == head_too_long);

    std::string many = line;
    for (int i = 0; i < 10'000; ++i)
        many += "X:\r\n";
    CHECK(flooded(many) == fault(errc::too_many_headers, line.size() + 4 * limits.header_count));
    const head answer = read_whole(head_kind::response, "HTTP/1.1 200 " + std::string(flood, 'a'));
    CHECK(fault(answer.error, answer.error_offset) == line_too_long);
}

TEST_CASE("a head of megabytes that comes byte by byte is read once", "[head_parser]") {
    // a parser that looks again at what it has would take some 10^13 steps here, and none of these would end
    constexpr std::size_t size = std::size_t{4} << 20;
    constexpr auto none = std::numeric_limits<std::size_t>::max();
    const http_limits limits{.start_line_bytes = none, .head_bytes = none, .header_count = none};
    const auto bytewise = [&](std::string_view text) {
        const head got = read_bytewise(head_kind::request, text, limits);
        REQUIRE(got.end == state::done);
        REQUIRE(got.consumed == text.size());
        return got;
    };
    const std::string line = "GET / HTTP/1.1\r\n";
    CHECK(bytewise("GET /" + std::string(size, 'a') + " HTTP/1.1\r\n\r\n").target.size() == size + 1);
    CHECK(bytewise(line + "X:" + std::string(size, ' ') + "\r\n\r\n").headers.find("x") == ""sv);
    CHECK(bytewise(line + "X:a" + std::string(size, ' ') + "\r\n\r\n").headers.find("x") == "a"sv);
    CHECK(bytewise(line + "X:a" + std::string(size, ' ') + "b\r\n\r\n").headers.find("x")->size() ==
          size + 2);
    CHECK(bytewise(line + std::string(size, 'X') + ":a\r\n\r\n").headers.size() == 1);
    std::string many = line;
    for (std::size_t i = 0; i < size / 8; ++i)
        many += "X: a \t\r\n";
    CHECK(bytewise(many + "\r\n").headers.count("x") == size / 8);
}

TEST_CASE("a parser can be moved in the middle of a head", "[head_parser]") {
    const auto bytes = std::as_bytes(std::span(upgrade));
    for (std::size_t split = 0; split < bytes.size(); ++split) {
        head_parser first(head_kind::request);
        REQUIRE(first.feed(bytes.first(split)).state == state::need_more);
        head_parser second(std::move(first));
        REQUIRE(second.feed(bytes.subspan(split)).state == state::done);
        REQUIRE(second.method() == "GET");
        REQUIRE(second.headers().find("host") == "example.com:9002"sv);
    }
}
