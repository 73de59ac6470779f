#pragma once

#include <duplex/core/byte_buffer.hpp>
#include <duplex/core/frame_header.hpp>
#include <duplex/core/mask.hpp>

#include <cstddef>
#include <cstring>
#include <span>

namespace duplex {

/// Appends the header of a frame; false when memory ran out (nothing appended).
[[nodiscard]] inline bool encode_header(byte_buffer& to, const frame_header& header) noexcept {
    std::byte* at = to.prepare(max_frame_header_size);
    if (at == nullptr) return false;
    to.commit(encode_frame_header(header, at));
    return true;
}

/// Appends a whole frame; the payload is masked on the way where the header says so (RFC 6455 5.3).
/// `header.length` is that of `payload`. False when memory ran out (nothing appended).
[[nodiscard]] inline bool encode_frame(byte_buffer& to, const frame_header& header,
                                       std::span<const std::byte> payload) noexcept {
    std::byte* at = to.prepare(max_frame_header_size + payload.size());
    if (at == nullptr) return false;
    const std::size_t size = encode_frame_header(header, at);
    if (header.masked)
        mask_copy(at + size, payload, header.key);
    else if (!payload.empty())
        std::memcpy(at + size, payload.data(), payload.size());
    to.commit(size + payload.size());
    return true;
}

} // namespace duplex
