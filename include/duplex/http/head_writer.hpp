#pragma once

#include <duplex/http/fields.hpp>
#include <duplex/http/token.hpp>

#include <cassert>
#include <string>
#include <string_view>

namespace duplex {

/// The registered reason phrase of a status (RFC 9110 15), or an empty view.
[[nodiscard]] constexpr std::string_view reason_phrase(unsigned status) noexcept {
    switch (status) {
    case 100: return "Continue";
    case 101: return "Switching Protocols";
    case 200: return "OK";
    case 201: return "Created";
    case 202: return "Accepted";
    case 203: return "Non-Authoritative Information";
    case 204: return "No Content";
    case 205: return "Reset Content";
    case 206: return "Partial Content";
    case 300: return "Multiple Choices";
    case 301: return "Moved Permanently";
    case 302: return "Found";
    case 303: return "See Other";
    case 304: return "Not Modified";
    case 305: return "Use Proxy";
    case 307: return "Temporary Redirect";
    case 308: return "Permanent Redirect";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 402: return "Payment Required";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 406: return "Not Acceptable";
    case 407: return "Proxy Authentication Required";
    case 408: return "Request Timeout";
    case 409: return "Conflict";
    case 410: return "Gone";
    case 411: return "Length Required";
    case 412: return "Precondition Failed";
    case 413: return "Content Too Large";
    case 414: return "URI Too Long";
    case 415: return "Unsupported Media Type";
    case 416: return "Range Not Satisfiable";
    case 417: return "Expectation Failed";
    case 421: return "Misdirected Request";
    case 422: return "Unprocessable Content";
    case 425: return "Too Early";
    case 426: return "Upgrade Required";
    case 428: return "Precondition Required";
    case 429: return "Too Many Requests";
    case 431: return "Request Header Fields Too Large";
    case 451: return "Unavailable For Legal Reasons";
    case 500: return "Internal Server Error";
    case 501: return "Not Implemented";
    case 502: return "Bad Gateway";
    case 503: return "Service Unavailable";
    case 504: return "Gateway Timeout";
    case 505: return "HTTP Version Not Supported";
    case 511: return "Network Authentication Required";
    default: return {};
    }
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
inline void append_status_line(std::string& to, unsigned status, std::string_view reason = {}) {
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
