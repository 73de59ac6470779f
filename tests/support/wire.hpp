#pragma once

// Frames as bytes, written and read apart from the library, so that one can judge the other.

#include <duplex/core/opcode.hpp>
#include <duplex/core/role.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace duplex::testing {

/// The bytes of a test are a string: it compares, joins and prints.
using octets = std::string;

[[nodiscard]] inline std::span<const std::byte> view(std::string_view bytes) {
    return std::as_bytes(std::span{bytes.data(), bytes.size()});
}

[[nodiscard]] inline octets to_octets(std::span<const std::byte> bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// "81 05 48 65" to bytes; white space is left out.
[[nodiscard]] inline octets from_hex(std::string_view hex) {
    octets bytes;
    int high = -1;
    for (const char c : hex) {
        const int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
        if (digit < 0) continue;
        if (high >= 0) bytes.push_back(static_cast<char>(high * 16 + digit));
        high = high >= 0 ? -1 : digit;
    }
    return bytes;
}

/// Bytes to hex, cut after `most` of them.
[[nodiscard]] inline std::string to_hex(std::string_view bytes, std::size_t most = 64) {
    std::string hex;
    for (std::size_t i = 0; i < bytes.size() && i < most; ++i) {
        std::array<char, 4> digits{};
        std::snprintf(digits.data(), digits.size(), "%02x ", static_cast<unsigned char>(bytes[i]));
        hex += digits.data();
    }
    if (bytes.size() > most) hex += "… (" + std::to_string(bytes.size()) + " bytes)";
    return hex;
}

/// What of a frame is not its payload.
struct frame_shape {
    bool fin = true;
    unsigned rsv = 0;
    int length_bytes = -1;           ///< 0, 2 or 8 bytes of extended length; -1: the shortest form
    std::optional<bool> masked{};    ///< other than the sender's role demands
    std::uint64_t announce_more = 0; ///< added to the length that the header announces
    std::array<unsigned char, 4> key{0x37, 0xfa, 0x21, 0x3d};
};

/// The bytes of a frame that `sender` sends.
[[nodiscard]] inline octets frame_bytes(role sender, unsigned op, std::string_view payload,
                                        const frame_shape& shape = {}) {
    const bool masked = shape.masked.value_or(sender == role::client);
    const std::uint64_t length = payload.size() + shape.announce_more;
    int extra = shape.length_bytes;
    if (extra < 0) extra = length < 126 ? 0 : length < 65536 ? 2 : 8;
    octets bytes;
    const auto put = [&](std::uint64_t value) { bytes.push_back(static_cast<char>(value & 0xFF)); };
    put((shape.fin ? 0x80U : 0U) | shape.rsv << 4U | op);
    put((masked ? 0x80U : 0U) | (extra == 0 ? length : extra == 2 ? 126U : 127U));
    for (int i = extra - 1; i >= 0; --i)
        put(length >> (8 * i));
    if (masked)
        for (const auto each : shape.key)
            put(each);
    for (std::size_t i = 0; i < payload.size(); ++i)
        put(static_cast<unsigned char>(payload[i]) ^ (masked ? shape.key[i % 4] : 0U));
    return bytes;
}

[[nodiscard]] inline octets frame_bytes(role sender, opcode op, std::string_view payload,
                                        const frame_shape& shape = {}) {
    return frame_bytes(sender, static_cast<unsigned>(op), payload, shape);
}

/// A code and a reason as the payload of a Close frame.
[[nodiscard]] inline octets close_payload(unsigned code, std::string_view reason = {}) {
    octets bytes{static_cast<char>(code >> 8U), static_cast<char>(code & 0xFFU)};
    return bytes.append(reason);
}

/// A frame that was written, its payload unmasked.
struct seen_frame {
    bool fin = true;
    unsigned rsv = 0;
    unsigned op = 0;
    bool masked = false;
    octets payload;
    octets key;

    [[nodiscard]] bool same_but_mask(const seen_frame& other) const {
        return fin == other.fin && rsv == other.rsv && op == other.op && payload == other.payload;
    }
};

/// Reads frames; none where the bytes do not end with a frame.
[[nodiscard]] inline std::optional<std::vector<seen_frame>> read_frames(std::string_view bytes) {
    std::vector<seen_frame> frames;
    std::size_t at = 0;
    const auto byte = [&](std::size_t i) {
        return static_cast<unsigned>(static_cast<unsigned char>(bytes[i]));
    };
    while (at < bytes.size()) {
        if (bytes.size() - at < 2) return {};
        seen_frame frame;
        frame.fin = (byte(at) & 0x80U) != 0;
        frame.rsv = byte(at) >> 4U & 7U;
        frame.op = byte(at) & 15U;
        frame.masked = (byte(at + 1) & 0x80U) != 0;
        std::uint64_t length = byte(at + 1) & 0x7FU;
        const std::size_t extra = length == 126 ? 2 : length == 127 ? 8 : 0;
        at += 2;
        if (bytes.size() - at < extra + (frame.masked ? 4 : 0)) return {};
        if (extra != 0) length = 0;
        for (std::size_t i = 0; i < extra; ++i)
            length = length << 8U | byte(at++);
        if (frame.masked) {
            frame.key = bytes.substr(at, 4);
            at += 4;
        }
        if (bytes.size() - at < length) return {};
        frame.payload = bytes.substr(at, length);
        at += length;
        for (std::size_t i = 0; frame.masked && i < frame.payload.size(); ++i)
            frame.payload[i] = static_cast<char>(frame.payload[i] ^ frame.key[i % 4]);
        frames.push_back(frame);
    }
    return frames;
}

[[nodiscard]] inline std::string describe(const seen_frame& frame) {
    return "{op " + std::to_string(frame.op) + (frame.fin ? " fin" : "") +
           (frame.rsv != 0 ? " rsv " + std::to_string(frame.rsv) : "") + (frame.masked ? " masked " : " ") +
           to_hex(frame.payload) + "}";
}

} // namespace duplex::testing
