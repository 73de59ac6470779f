#pragma once

#include <duplex/core/byte_buffer.hpp>
#include <duplex/core/detail/inlining.hpp>
#include <duplex/core/detail/nothrow.hpp>
#include <duplex/core/frame_header.hpp>
#include <duplex/core/utf8.hpp>
#include <duplex/deflate/message_codec.hpp>
#include <duplex/protocol/event.hpp>
#include <duplex/protocol/frame_encoder.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <span>
#include <string_view>
#include <system_error>
#include <utility>

namespace duplex {

/// A message encoded once and sent many times. Servers send the same unmasked bytes to every peer (RFC
/// 6455 5.1), so the frame is shared by reference; a client masks a copy. Immutable: copies and sends from
/// any thread.
class prepared_message {
public:
    prepared_message() noexcept = default;

    /// Encodes a text message, which must be UTF-8; see `error()`. With `compression::automatic` a compressed
    /// twin is made when the first peer is sent it that takes one, and shared by all of those.
    [[nodiscard]] static prepared_message text(std::string_view payload,
                                               compression how = compression::automatic) noexcept {
        return make(opcode::text, std::as_bytes(std::span{payload.data(), payload.size()}), how);
    }

    /// Encodes a binary message.
    [[nodiscard]] static prepared_message binary(std::span<const std::byte> payload,
                                                 compression how = compression::automatic) noexcept {
        return make(opcode::binary, payload, how);
    }

    /// `errc::text_not_utf8` or `errc::out_of_memory` where there is nothing to send.
    [[nodiscard]] std::error_code error() const noexcept {
        return error_ == errc{} ? std::error_code{} : make_error_code(error_);
    }

    [[nodiscard]] explicit operator bool() const noexcept { return encoded_ != nullptr; }
    /// What sending it says where there is nothing to send.
    [[nodiscard]] send_status why_not() const noexcept {
        switch (error_) {
        case errc::text_not_utf8: return send_status::text_not_utf8;
        case errc::out_of_memory: return send_status::out_of_memory;
        default: return send_status::opcode_not_data; // it was never made
        }
    }
    [[nodiscard]] opcode op() const noexcept { return op_; }

    /// The frame as a server sends it. Valid as long as any copy of this message.
    [[nodiscard]] std::span<const std::byte> frame() const noexcept {
        return encoded_ ? encoded_->frame.bytes() : std::span<const std::byte>{};
    }

    /// The payload alone, same lifetime.
    [[nodiscard]] std::span<const std::byte> payload() const noexcept {
        return frame().subspan(header_size_);
    }

    /// What keeps `frame()` alive.
    [[nodiscard]] std::shared_ptr<const void> owner() const noexcept { return encoded_; }

    /// Whether its payload may be compressed.
    [[nodiscard]] compression how() const noexcept { return how_; }

    /// The same compressed, where a peer of `codec`'s takes it and it is shorter; else null. Lives as long as
    /// this message's copies.
    [[nodiscard]] const prepared_message* compressed_for(message_codec& codec) const noexcept {
        if (!encoded_ || how_ == compression::none || codec.window_bits() < 15) return nullptr;
        if (how_ == compression::automatic && !codec.worth_trying(payload().size())) return nullptr;
        const auto* twin = encoded_->twin.load(std::memory_order_acquire);
        if (twin == nullptr) twin = make_twin();
        return *twin ? twin : nullptr;
    }

private:
    struct encoded {
        explicit encoded(byte_buffer&& from) noexcept
            : frame{std::move(from)} {}
        encoded(const encoded&) = delete;
        encoded& operator=(const encoded&) = delete;
        ~encoded() {
            if (const auto* const made = twin.load(std::memory_order_acquire); made != &none_) delete made;
        }
        byte_buffer frame;
        /// Null until somebody asks; `none_` where there is none.
        mutable std::atomic<const prepared_message*> twin{nullptr};
    };

    static prepared_message make(opcode op, std::span<const std::byte> payload, compression how,
                                 std::uint8_t rsv = 0) noexcept {
        prepared_message made;
        made.op_ = op;
        made.how_ = how;
        if (op == opcode::text && rsv == 0 && !is_valid_utf8(payload)) {
            made.error_ = errc::text_not_utf8;
            return made;
        }
        const frame_header header{.rsv = rsv, .op = op, .length = payload.size()};
        byte_buffer frame;
        if (!frame.reserve(max_frame_header_size + payload.size()) || !encode_frame(frame, header, payload)) {
            made.error_ = errc::out_of_memory;
            return made;
        }
        const std::size_t header_size = frame.size() - payload.size();
        if (detail::nothrow([&] { made.encoded_ = std::make_shared<encoded>(std::move(frame)); }))
            made.header_size_ = header_size;
        else
            made.error_ = errc::out_of_memory;
        return made;
    }

    /// Of threads that make it at the same time one is the first.
    [[nodiscard]] const prepared_message* make_twin() const noexcept;

    static const prepared_message none_;

    std::shared_ptr<const encoded> encoded_;
    std::size_t header_size_ = 0;
    opcode op_ = opcode::binary;
    compression how_ = compression::automatic;
    errc error_{};
};

inline const prepared_message prepared_message::none_{};

/// With a window of its own, since what the peers have seen before differs.
DUPLEX_NEVER_INLINE inline const prepared_message* prepared_message::make_twin() const noexcept {
    const prepared_message* made = &none_;
    constexpr deflate_params alone{.server_no_context_takeover = true, .client_no_context_takeover = true};
    if (const auto codec = detail::default_codec ? detail::default_codec(role::server, alone, {}) : nullptr) {
        byte_buffer smaller;
        if (codec->compress(payload(), true, smaller) && smaller.size() < payload().size()) {
            auto twin = make(op_, smaller.bytes(), compression::none, rsv_compressed);
            if (auto* const kept = twin ? new (std::nothrow) prepared_message{std::move(twin)} : nullptr)
                made = kept;
        }
    }
    const prepared_message* before = nullptr;
    if (encoded_->twin.compare_exchange_strong(before, made, std::memory_order_acq_rel)) return made;
    if (made != &none_) delete made;
    return before;
}

} // namespace duplex
