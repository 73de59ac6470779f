#pragma once

#include <duplex/core/byte_buffer.hpp>
#include <duplex/core/detail/nothrow.hpp>
#include <duplex/core/frame_header.hpp>
#include <duplex/core/utf8.hpp>
#include <duplex/protocol/frame_encoder.hpp>

#include <cstddef>
#include <memory>
#include <span>
#include <string_view>
#include <system_error>

namespace duplex {

/// A message encoded once and sent many times. Servers send the same unmasked bytes to every peer (RFC
/// 6455 5.1), so the frame is shared by reference; a client masks a copy. Immutable: copies and sends from
/// any thread.
class prepared_message {
public:
    prepared_message() noexcept = default;

    /// Encodes a text message, which must be UTF-8; see `error()`.
    [[nodiscard]] static prepared_message text(std::string_view payload) noexcept {
        return make(opcode::text, std::as_bytes(std::span{payload.data(), payload.size()}));
    }

    /// Encodes a binary message.
    [[nodiscard]] static prepared_message binary(std::span<const std::byte> payload) noexcept {
        return make(opcode::binary, payload);
    }

    /// `errc::text_not_utf8` or `errc::out_of_memory` where there is nothing to send.
    [[nodiscard]] std::error_code error() const noexcept {
        return error_ == errc{} ? std::error_code{} : make_error_code(error_);
    }

    [[nodiscard]] explicit operator bool() const noexcept { return frame_ != nullptr; }
    [[nodiscard]] opcode op() const noexcept { return op_; }

    /// The frame as a server sends it. Valid as long as any copy of this message.
    [[nodiscard]] std::span<const std::byte> frame() const noexcept {
        return frame_ ? frame_->bytes() : std::span<const std::byte>{};
    }

    /// The payload alone, same lifetime.
    [[nodiscard]] std::span<const std::byte> payload() const noexcept {
        return frame().subspan(header_size_);
    }

    /// What keeps `frame()` alive.
    [[nodiscard]] std::shared_ptr<const void> owner() const noexcept { return frame_; }

private:
    static prepared_message make(opcode op, std::span<const std::byte> payload) noexcept {
        prepared_message made;
        made.op_ = op;
        if (op == opcode::text && !is_valid_utf8(payload)) {
            made.error_ = errc::text_not_utf8;
            return made;
        }
        const frame_header header{.op = op, .length = payload.size()};
        byte_buffer frame;
        if (!frame.reserve(max_frame_header_size + payload.size()) || !encode_frame(frame, header, payload)) {
            made.error_ = errc::out_of_memory;
            return made;
        }
        const std::size_t header_size = frame.size() - payload.size();
        if (detail::nothrow([&] { made.frame_ = std::make_shared<byte_buffer>(std::move(frame)); }))
            made.header_size_ = header_size;
        else
            made.error_ = errc::out_of_memory;
        return made;
    }

    std::shared_ptr<const byte_buffer> frame_;
    std::size_t header_size_ = 0;
    opcode op_ = opcode::binary;
    errc error_{};
};

} // namespace duplex
