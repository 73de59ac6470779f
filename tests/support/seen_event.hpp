#pragma once

#include "support/wire.hpp"

#include <duplex/protocol/event.hpp>

#include <string>
#include <string_view>
#include <vector>

namespace duplex::testing {

/// An event that outlives its window.
struct seen_event {
    event::kind what = event::kind::need_more;
    opcode op = opcode::binary;
    bool last = true;
    errc error{};
    close_code code = close_code::no_status;
    octets payload{};

    bool operator==(const seen_event&) const = default;
};

[[nodiscard]] inline seen_event see(const event& e) {
    return {e.what, e.op, e.last, e.error, e.code, octets{e.text()}};
}

[[nodiscard]] inline seen_event message(std::string_view text) {
    return {.what = event::kind::message, .op = opcode::text, .payload = octets{text}};
}
[[nodiscard]] inline seen_event binary_message(std::string_view bytes) {
    return {.what = event::kind::message, .payload = octets{bytes}};
}
[[nodiscard]] inline seen_event fragment(opcode op, std::string_view piece, bool last) {
    return {.what = event::kind::fragment, .op = op, .last = last, .payload = octets{piece}};
}
[[nodiscard]] inline seen_event ping(std::string_view payload = {}) {
    return {.what = event::kind::ping, .payload = octets{payload}};
}
[[nodiscard]] inline seen_event pong(std::string_view payload = {}) {
    return {.what = event::kind::pong, .payload = octets{payload}};
}
[[nodiscard]] inline seen_event closed(close_code code = close_code::no_status,
                                       std::string_view reason = {}) {
    return {.what = event::kind::closed, .code = code, .payload = octets{reason}};
}
/// `failed`, with the code that is sent to the peer for `error`.
[[nodiscard]] inline seen_event failed(errc error) {
    const close_code code = close_code_for(error);
    return {.what = event::kind::failed,
            .error = error,
            .code = code == close_code::no_status ? close_code::abnormal : code};
}

/// How windows cut a message into pieces is chance: joins the pieces of a message that follow each other.
/// What of a message arrived before it was found to be wrong is chance, too.
[[nodiscard]] inline std::vector<seen_event> join_fragments(const std::vector<seen_event>& events) {
    std::vector<seen_event> joined;
    for (const auto& each : events) {
        const bool follows =
            !joined.empty() && joined.back().what == event::kind::fragment && !joined.back().last;
        if (follows && each.what == event::kind::fragment) {
            joined.back().payload += each.payload;
            joined.back().last = each.last;
            continue;
        }
        if (follows && each.what == event::kind::failed) joined.pop_back();
        joined.push_back(each);
    }
    return joined;
}

[[nodiscard]] inline std::string describe(const seen_event& e) {
    std::string line;
    switch (e.what) {
    case event::kind::need_more: return "nothing";
    case event::kind::message: line = "message"; break;
    case event::kind::fragment: line = e.last ? "last fragment" : "fragment"; break;
    case event::kind::ping: line = "ping"; break;
    case event::kind::pong: line = "pong"; break;
    case event::kind::closed: line = "closed"; break;
    case event::kind::failed: line = "failed"; break;
    }
    if (e.what == event::kind::message || e.what == event::kind::fragment)
        line.append(" ").append(to_string(e.op));
    if (e.what == event::kind::failed) line.append(" ").append(explain(e.error).name);
    if (e.what == event::kind::closed || e.what == event::kind::failed)
        line += " " + std::to_string(to_number(e.code));
    return line + " [" + to_hex(e.payload) + "]";
}

[[nodiscard]] inline std::string describe(const std::vector<seen_event>& events) {
    std::string lines;
    for (const auto& each : events)
        lines += describe(each) + "; ";
    return lines;
}

} // namespace duplex::testing
