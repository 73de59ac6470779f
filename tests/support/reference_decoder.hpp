#pragma once

// A slow and obvious reading of RFC 6455 5 to 8, to judge the real one by: it has all bytes at once, copies
// what it likes, and looks each rule up anew.

#include "support/seen_event.hpp"
#include "support/wire.hpp"

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace duplex::testing {

/// True for UTF-8 by the definition of RFC 3629 3: decode, and look whether the shortest form was used.
[[nodiscard]] inline bool reference_utf8(std::string_view text) {
    const auto byte = [&](std::size_t i) {
        return static_cast<unsigned>(static_cast<unsigned char>(text[i]));
    };
    std::size_t i = 0;
    while (i < text.size()) {
        const unsigned first = byte(i);
        const std::size_t length = first < 0x80 ? 1 : first >> 5U == 6 ? 2 : first >> 4U == 14 ? 3 : 4;
        if (length == 4 && first >> 3U != 30) return false;
        if (text.size() - i < length) return false;
        std::uint32_t code = length == 1 ? first : first & (0xFFU >> (length + 1));
        for (std::size_t k = 1; k < length; ++k) {
            if (byte(i + k) >> 6U != 2) return false;
            code = code << 6U | (byte(i + k) & 63U);
        }
        const std::uint32_t least = length == 1 ? 0 : length == 2 ? 0x80 : length == 3 ? 0x800 : 0x10000;
        if (code < least || code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF)) return false;
        i += length;
    }
    return true;
}

/// True where `text` is UTF-8 or can become it with more bytes: by trying.
[[nodiscard]] inline bool reference_utf8_so_far(std::string_view text) {
    if (reference_utf8(text)) return true;
    // Only what is behind the last whole character matters; that is at most three bytes.
    std::size_t good = text.size();
    for (std::size_t less = 1; less <= 3 && less <= text.size(); ++less)
        if (reference_utf8(text.substr(0, text.size() - less))) good = text.size() - less;
    if (good == text.size()) return false;
    octets tail{text.substr(good)};
    const std::string_view tries = "\x80\x8f\x90\x9f\xa0\xbf";
    for (const char a : tries) {
        if (reference_utf8(tail + a)) return true;
        for (const char b : tries) {
            if (reference_utf8(tail + a + b)) return true;
            for (const char c : tries)
                if (reference_utf8(tail + a + b + c)) return true;
        }
    }
    return false;
}

struct reference_limits {
    std::size_t message_bytes = std::size_t{16} << 20U;
    std::size_t message_fragments = std::size_t{1} << 18U;
};

/// All events that a session of role `self` finds in `bytes`, in order; the last one may be `failed`.
[[nodiscard]] inline std::vector<seen_event> reference_decode(role self, std::string_view bytes,
                                                              const reference_limits& limits = {}) {
    std::vector<seen_event> events;
    const auto fail = [&](errc why) {
        events.push_back(failed(why));
        return events;
    };
    const auto byte = [&](std::size_t i) {
        return static_cast<unsigned>(static_cast<unsigned char>(bytes[i]));
    };

    bool in_message = false;
    seen_event current;
    std::size_t frames = 0;
    std::uint64_t announced = 0;
    std::size_t at = 0;
    while (at < bytes.size()) {
        // 5.2: FIN, RSV1-3, opcode
        const bool fin = (byte(at) & 0x80U) != 0;
        const unsigned op = byte(at) & 0x0FU;
        if ((byte(at) & 0x70U) != 0) return fail(errc::reserved_bits_set);
        if (op != 0 && op != 1 && op != 2 && op != 8 && op != 9 && op != 10)
            return fail(errc::reserved_opcode);
        const bool control = op >= 8;
        if (control && !fin) return fail(errc::control_frame_fragmented);
        ++at;
        if (at == bytes.size()) break;
        // 5.1, 5.2: MASK, payload length
        const bool masked = (byte(at) & 0x80U) != 0;
        if (self == role::server && !masked) return fail(errc::unmasked_frame);
        if (self == role::client && masked) return fail(errc::masked_frame);
        std::uint64_t length = byte(at) & 0x7FU;
        if (control && length > 125) return fail(errc::control_frame_too_long);
        ++at;
        if (length == 126) {
            if (bytes.size() - at < 2) break;
            length = byte(at) * 256U + byte(at + 1);
            at += 2;
            if (length <= 125) return fail(errc::length_not_minimal);
        } else if (length == 127) {
            if (at < bytes.size() && byte(at) >= 0x80) return fail(errc::length_out_of_range);
            // Six zeros leave a number that two bytes can hold.
            if (bytes.size() - at >= 6 && bytes.substr(at, 6) == octets(6, '\0'))
                return fail(errc::length_not_minimal);
            if (bytes.size() - at < 8) break;
            length = 0;
            for (int i = 0; i < 8; ++i)
                length = length * 256U + byte(at++);
        }
        octets key(4, '\0');
        if (masked) {
            if (bytes.size() - at < 4) break;
            key = bytes.substr(at, 4);
            at += 4;
        }
        // 5.4: order of fragments
        if (!control) {
            if (op == 0 && !in_message) return fail(errc::unexpected_continuation);
            if (op != 0 && in_message) return fail(errc::expected_continuation);
            if (op != 0) {
                current = seen_event{.what = event::kind::message, .op = static_cast<opcode>(op)};
                in_message = true;
                frames = 0;
                announced = 0;
            }
            if (++frames > limits.message_fragments) return fail(errc::too_many_fragments);
            if (length > limits.message_bytes - announced) return fail(errc::message_too_big);
            announced += length;
        }
        // 5.3: unmasking
        octets payload{
            bytes.substr(at, length < bytes.size() - at ? static_cast<std::size_t>(length) : octets::npos)};
        for (std::size_t i = 0; i < payload.size(); ++i)
            payload[i] = static_cast<char>(payload[i] ^ key[i % 4]);
        at += payload.size();
        const bool whole = payload.size() == length;

        if (!control) {
            current.payload += payload;
            const bool ends = whole && fin;
            // 8.1: text is UTF-8; what can't become it any more is wrong already
            if (current.op == opcode::text &&
                !(ends ? reference_utf8(current.payload) : reference_utf8_so_far(current.payload)))
                return fail(errc::invalid_utf8);
            if (!ends) continue;
            events.push_back(current);
            in_message = false;
        } else if (!whole) {
            break;
        } else if (op == 9) {
            events.push_back(ping(payload));
        } else if (op == 10) {
            events.push_back(pong(payload));
        } else {
            // 5.5.1, 7.4: the Close frame; nothing that follows it counts
            if (payload.empty()) {
                events.push_back(closed());
                return events;
            }
            if (payload.size() == 1) return fail(errc::close_body_too_short);
            const unsigned code =
                static_cast<unsigned char>(payload[0]) * 256U + static_cast<unsigned char>(payload[1]);
            const bool registered = code == 1000 || code == 1001 || code == 1002 || code == 1003 ||
                                    (code >= 1007 && code <= 1014);
            if (!registered && (code < 3000 || code > 4999)) return fail(errc::close_code_invalid);
            if (!reference_utf8(payload.substr(2))) return fail(errc::close_reason_not_utf8);
            events.push_back(closed(static_cast<close_code>(code), payload.substr(2)));
            return events;
        }
    }
    return events;
}

/// The frames with which `events` have to be answered, unmasked.
[[nodiscard]] inline octets reference_replies(const std::vector<seen_event>& events) {
    octets out;
    for (const auto& e : events) {
        if (e.what == event::kind::ping) out += frame_bytes(role::server, opcode::pong, e.payload);
        if (e.what != event::kind::closed && e.what != event::kind::failed) continue;
        const bool empty = e.code == close_code::no_status;
        out += frame_bytes(role::server, opcode::close, empty ? octets{} : close_payload(to_number(e.code)));
    }
    return out;
}

} // namespace duplex::testing
