#pragma once

#include <duplex/core/base64.hpp>
#include <duplex/core/detail/sha1_instructions.hpp>
#include <duplex/core/endian.hpp>
#include <duplex/core/sha1.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
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
    constexpr std::size_t size = handshake_key_size + guid.size();

    // SHA-1 of the key with the GUID behind it: 60 bytes. One block has no room for their number as well, so
    // there is a second, the same for all keys.
    static constexpr auto second = [] {
        std::array<std::byte, 64> block{};
        store_big(block.data() + 56, std::uint64_t{size * 8});
        return block;
    }();
    std::array<std::byte, 64> first{};
    const auto put = [&first](std::string_view text, std::size_t at) {
        for (std::size_t i = 0; i < text.size(); ++i)
            first[at + i] = static_cast<std::byte>(text[i]);
    };
    put(key.substr(0, handshake_key_size), 0);
    put(guid, handshake_key_size);
    first[size] = std::byte{0x80};
    auto state = detail::sha1_begin;
    if (detail::has_sha1_instructions()) {
        detail::sha1_by_instructions(state, first.data());
        detail::sha1_by_instructions(state, second.data());
    } else {
        static constexpr auto second_spread = detail::sha1_spread(second.data());
        detail::sha1_block(state, detail::sha1_spread(first.data()));
        detail::sha1_block(state, second_spread);
    }

    std::array<char, 28> accept{};
    static_cast<void>(base64_encode(detail::sha1_digest(state), accept));
    return accept;
}

} // namespace duplex
