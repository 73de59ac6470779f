#pragma once

#include <string_view>

namespace duplex::detail {

/// True for a user name or a password that may not be sent: RFC 7617 2 has no place for control characters,
/// and in RFC 1929, which has, they are the line end of the file from which a login was read.
[[nodiscard]] constexpr bool has_controls(std::string_view text) noexcept {
    for (const char c : text)
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) return true;
    return false;
}

} // namespace duplex::detail
