#pragma once

#include <duplex/core/detail/inlining.hpp>
#include <duplex/http/fields.hpp>
#include <duplex/http/token.hpp>

#include <array>
#include <cassert>
#include <string>
#include <string_view>

namespace duplex {

/// The registered reason phrase of a status (RFC 9110 15), or an empty view.
[[nodiscard]] constexpr std::string_view reason_phrase(unsigned status) noexcept {
    // Searched as it stands: a table of pointers would be larger than its texts.
    constexpr std::string_view phrases = "\n"
                                         "100 Continue\n"
                                         "101 Switching Protocols\n"
                                         "200 OK\n"
                                         "201 Created\n"
                                         "202 Accepted\n"
                                         "203 Non-Authoritative Information\n"
                                         "204 No Content\n"
                                         "205 Reset Content\n"
                                         "206 Partial Content\n"
                                         "300 Multiple Choices\n"
                                         "301 Moved Permanently\n"
                                         "302 Found\n"
                                         "303 See Other\n"
                                         "304 Not Modified\n"
                                         "305 Use Proxy\n"
                                         "307 Temporary Redirect\n"
                                         "308 Permanent Redirect\n"
                                         "400 Bad Request\n"
                                         "401 Unauthorized\n"
                                         "402 Payment Required\n"
                                         "403 Forbidden\n"
                                         "404 Not Found\n"
                                         "405 Method Not Allowed\n"
                                         "406 Not Acceptable\n"
                                         "407 Proxy Authentication Required\n"
                                         "408 Request Timeout\n"
                                         "409 Conflict\n"
                                         "410 Gone\n"
                                         "411 Length Required\n"
                                         "412 Precondition Failed\n"
                                         "413 Content Too Large\n"
                                         "414 URI Too Long\n"
                                         "415 Unsupported Media Type\n"
                                         "416 Range Not Satisfiable\n"
                                         "417 Expectation Failed\n"
                                         "421 Misdirected Request\n"
                                         "422 Unprocessable Content\n"
                                         "425 Too Early\n"
                                         "426 Upgrade Required\n"
                                         "428 Precondition Required\n"
                                         "429 Too Many Requests\n"
                                         "431 Request Header Fields Too Large\n"
                                         "451 Unavailable For Legal Reasons\n"
                                         "500 Internal Server Error\n"
                                         "501 Not Implemented\n"
                                         "502 Bad Gateway\n"
                                         "503 Service Unavailable\n"
                                         "504 Gateway Timeout\n"
                                         "505 HTTP Version Not Supported\n"
                                         "511 Network Authentication Required\n";
    if (status < 100 || status > 999) return {};
    const std::array<char, 5> wanted{'\n', static_cast<char>('0' + status / 100),
                                     static_cast<char>('0' + status / 10 % 10),
                                     static_cast<char>('0' + status % 10), ' '};
    const auto found = phrases.find(std::string_view{wanted.data(), wanted.size()});
    if (found == phrases.npos) return {};
    const auto begin = found + wanted.size();
    return phrases.substr(begin, phrases.find('\n', begin) - begin);
}

/// Appends "METHOD target HTTP/1.1" and its line end (RFC 9112 3). `method` is a token and `target` visible
/// ASCII; whoever takes them from a caller refuses others first.
inline void append_request_line(std::string& to, std::string_view method, std::string_view target) {
    assert(is_token(method));
    assert(!target.empty() && detail::all_of_class(target, detail::char_class::target));
    to.append(method).append(1, ' ').append(target).append(" HTTP/1.1\r\n");
}

/// Appends "HTTP/1.1 status reason" and its line end (RFC 9112 4). `status` is 100-999; an empty `reason`
/// stands for the registered one.
DUPLEX_RARE inline void append_status_line(std::string& to, unsigned status, std::string_view reason = {}) {
    assert(status >= 100 && status <= 999);
    if (reason.empty()) reason = reason_phrase(status);
    assert(detail::all_of_class(reason, detail::char_class::value));
    const auto digit = [](unsigned value) { return static_cast<char>('0' + value % 10); };
    // RFC 9112 4: the space after the status stays where there is no reason
    const char code[] = {digit(status / 100), digit(status / 10), digit(status), ' '};
    to.append("HTTP/1.1 ").append(code, sizeof code).append(reason).append("\r\n");
}

/// Appends "name: value" and its line end (RFC 9112 5). `name` is a token, `value` passes `is_field_value`;
/// whoever takes them from a caller refuses others first, see `fields::check`.
inline void append_field(std::string& to, std::string_view name, std::string_view value) {
    assert(is_token(name) && is_field_value(value));
    to.append(name).append(": ").append(value).append("\r\n");
}

/// Appends all fields in their order; `list.check()` gives no error.
inline void append_fields(std::string& to, const fields& list) {
    for (const auto field : list)
        append_field(to, field.name, field.value);
}

/// Appends the empty line that ends a head (RFC 9112 2.1).
inline void append_end(std::string& to) { to.append("\r\n"); }

} // namespace duplex
