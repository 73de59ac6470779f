#pragma once

#include <cstdint>
#include <string_view>

namespace duplex {

/// The frame opcodes of RFC 6455 5.2. The values 3-7 and 11-15 are reserved and never represented.
enum class opcode : std::uint8_t {
    continuation = 0x0,
    text = 0x1,
    binary = 0x2,
    close = 0x8,
    ping = 0x9,
    pong = 0xA,
};

/// RFC 6455 5.5: the most significant bit of a control opcode is set.
[[nodiscard]] constexpr bool is_control(opcode op) noexcept {
    return (static_cast<unsigned>(op) & 0x8U) != 0;
}

/// RFC 6455 5.2: true for opcodes without a meaning, which fail the connection.
[[nodiscard]] constexpr bool is_reserved_opcode(unsigned bits) noexcept { return (bits & 0x7U) > 2; }

[[nodiscard]] constexpr std::string_view to_string(opcode op) noexcept {
    switch (op) {
    case opcode::continuation: return "continuation";
    case opcode::text: return "text";
    case opcode::binary: return "binary";
    case opcode::close: return "close";
    case opcode::ping: return "ping";
    case opcode::pong: return "pong";
    }
    return "reserved";
}

} // namespace duplex
