#pragma once

#include <duplex/core/endian.hpp>
#include <duplex/core/error.hpp>
#include <duplex/core/mask.hpp>
#include <duplex/core/opcode.hpp>
#include <duplex/core/role.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace duplex {

/// The header of a frame (RFC 6455 5.2).
struct frame_header {
    bool fin = true;
    std::uint8_t rsv = 0; ///< RSV1 is 4, RSV2 is 2, RSV3 is 1
    opcode op = opcode::binary;
    bool masked = false;
    mask_key key{}; ///< meaningless unless masked
    std::uint64_t length = 0;

    bool operator==(const frame_header&) const = default;
};

/// Two bytes, at most eight of extended length, at most four of masking key.
inline constexpr std::size_t max_frame_header_size = 14;

/// The longest payload whose length is in the second byte of the header (RFC 6455 5.2).
inline constexpr std::size_t max_short_length = 125;

/// The reserved bit of a compressed message's first frame (RFC 7692 6).
inline constexpr std::uint8_t rsv_compressed = 4;

/// The payload of a control frame is at most this long (RFC 6455 5.5).
inline constexpr std::size_t max_control_payload = max_short_length;

/// Bytes that the header of a frame of `length` payload bytes takes.
[[nodiscard]] constexpr std::size_t frame_header_size(std::uint64_t length, bool masked) noexcept {
    return 2U + (length < 126 ? 0U : length <= 0xFFFF ? 2U : 8U) + (masked ? 4U : 0U);
}

/// Writes the header to `to`, which has room for `max_frame_header_size`; returns its size. The length takes
/// its shortest form (RFC 6455 5.2).
inline std::size_t encode_frame_header(const frame_header& header, std::byte* to) noexcept {
    const unsigned first = (header.fin ? 0x80U : 0U) | (static_cast<unsigned>(header.rsv) << 4U) |
                           static_cast<unsigned>(header.op);
    const unsigned mask_bit = header.masked ? 0x80U : 0U;
    to[0] = static_cast<std::byte>(first);
    std::size_t size = 2;
    if (header.length < 126) {
        to[1] = static_cast<std::byte>(mask_bit | static_cast<unsigned>(header.length));
    } else if (header.length <= 0xFFFF) {
        to[1] = static_cast<std::byte>(mask_bit | 126U);
        store_big(to + 2, static_cast<std::uint16_t>(header.length));
        size = 4;
    } else {
        to[1] = static_cast<std::byte>(mask_bit | 127U);
        store_big(to + 2, header.length);
        size = 10;
    }
    if (header.masked) {
        std::memcpy(to + size, header.key.data(), header.key.size());
        size += header.key.size();
    }
    return size;
}

/// What `parse_frame_header` made of the bytes.
struct parsed_header {
    std::size_t size = 0; ///< of the header; 0 while more bytes are needed, or after an error
    errc error{};         ///< set when a rule is broken
};

/// Reads a frame header that `self` receives. Rules are checked on the earliest byte that can break them, so
/// that nothing is ever awaited or allocated for a frame that is wrong (RFC 6455 5.1, 5.2, 5.5).
/// `allowed_rsv` are the reserved bits that an extension has claimed for the first frame of a data message.
[[nodiscard]] inline parsed_header parse_frame_header(const std::byte* from, std::size_t available, role self,
                                                      std::uint8_t allowed_rsv, frame_header& out) noexcept {
    if (available == 0) return {};
    const auto first = std::to_integer<unsigned>(from[0]);
    const unsigned rsv = (first >> 4U) & 0x7U;
    const unsigned op = first & 0xFU;
    const bool fin = (first & 0x80U) != 0;
    // RFC 6455 5.2: a non-zero reserved bit without an extension that defines it fails the connection. RFC
    // 7692 6: the one that it defines is for the first frame of a data message alone.
    const bool begins_message =
        op == static_cast<unsigned>(opcode::text) || op == static_cast<unsigned>(opcode::binary);
    if (rsv != 0 && (rsv & ~(begins_message ? static_cast<unsigned>(allowed_rsv) : 0U)) != 0) [[unlikely]]
        return {0, errc::reserved_bits_set};
    // RFC 6455 5.2: an unknown opcode fails the connection.
    if (is_reserved_opcode(op)) [[unlikely]]
        return {0, errc::reserved_opcode};
    const bool control = (op & 0x8U) != 0;
    // RFC 6455 5.5: control frames are never fragmented.
    if (control && !fin) [[unlikely]]
        return {0, errc::control_frame_fragmented};
    if (available < 2) return {};

    const auto second = std::to_integer<unsigned>(from[1]);
    const bool masked = (second & 0x80U) != 0;
    const unsigned length7 = second & 0x7FU;
    // RFC 6455 5.1: a server closes on an unmasked frame, a client on a masked one.
    if (masked != (self == role::server)) [[unlikely]]
        return {0, masked ? errc::masked_frame : errc::unmasked_frame};
    // RFC 6455 5.5: control frames carry at most 125 bytes.
    if (control && length7 > max_control_payload) [[unlikely]]
        return {0, errc::control_frame_too_long};

    std::size_t size = 2;
    std::uint64_t length = length7;
    if (length7 == 126) {
        if (available < 4) return {};
        length = load_big<std::uint16_t>(from + 2);
        size = 4;
        // RFC 6455 5.2: the minimal number of bytes must be used.
        if (length < 126) [[unlikely]]
            return {0, errc::length_not_minimal};
    } else if (length7 == 127) {
        // RFC 6455 5.2: the most significant bit must be 0. It is in the third byte already.
        if (available > 2 && (std::to_integer<unsigned>(from[2]) & 0x80U) != 0) [[unlikely]]
            return {0, errc::length_out_of_range};
        if (available < 8) return {};
        // RFC 6455 5.2: the minimal number of bytes must be used. Without the first six, two would do.
        if ((load_big<std::uint64_t>(from) & 0xFFFF'FFFF'FFFFU) == 0) [[unlikely]]
            return {0, errc::length_not_minimal};
        if (available < 10) return {};
        length = load_big<std::uint64_t>(from + 2);
        size = 10;
    }
    if (masked) {
        if (available - size < out.key.size()) return {};
        std::memcpy(out.key.data(), from + size, out.key.size());
        size += out.key.size();
    }
    out.fin = fin;
    out.rsv = static_cast<std::uint8_t>(rsv);
    out.op = static_cast<opcode>(op);
    out.masked = masked;
    out.length = length;
    return {size, errc{}};
}

} // namespace duplex
