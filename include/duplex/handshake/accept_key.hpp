#pragma once

#include <duplex/core/base64.hpp>
#include <duplex/core/sha1.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <span>
#include <string_view>

namespace duplex {

/// Characters of a Sec-WebSocket-Key: 16 bytes in base64.
inline constexpr std::size_t handshake_key_size = 24;

/// True for a Sec-WebSocket-Key a server may answer: 16 bytes in base64 (RFC 6455 4.1).
[[nodiscard]] constexpr bool is_valid_key(std::string_view key) noexcept {
    constexpr auto in_alphabet = [](char c) {
        return detail::base64_values[static_cast<unsigned char>(c)] != detail::base64_invalid;
    };
    // RFC 6455 4.1: its own example ends in "C==", so the unused bits before the padding may be anything.
    return key.size() == handshake_key_size && key.substr(22) == "==" &&
           std::all_of(key.begin(), key.begin() + 22, in_alphabet);
}

/// The Sec-WebSocket-Accept that proves that `key` was read (RFC 6455 4.2.2). `key` is one that
/// `is_valid_key` accepts; characters after its 24th do not count.
[[nodiscard]] inline std::array<char, 28> accept_key(std::string_view key) noexcept {
    constexpr std::string_view guid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    key = key.substr(0, handshake_key_size);

    std::array<char, handshake_key_size + guid.size()> text{};
    std::copy(key.begin(), key.end(), text.begin());
    std::copy(guid.begin(), guid.end(), text.begin() + static_cast<std::ptrdiff_t>(key.size()));

    const auto digest = sha1(std::as_bytes(std::span(text).first(key.size() + guid.size())));
    std::array<char, 28> accept{};
    static_cast<void>(base64_encode(digest, accept));
    return accept;
}

} // namespace duplex
