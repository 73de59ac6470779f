#pragma once

#include <duplex/core/byte_buffer.hpp>
#include <duplex/core/close_code.hpp>
#include <duplex/core/endian.hpp>
#include <duplex/core/frame_header.hpp>
#include <duplex/core/utf8.hpp>
#include <duplex/protocol/keepalive.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace duplex {

enum class direction : std::uint8_t { in, out };

/// A frame as it was seen on the wire, right or wrong.
struct traced_frame {
    direction way = direction::in;
    frame_header header{};        ///< `op` may have a reserved value
    std::uint64_t position = 0;   ///< bytes that went the same way before the frame
    std::uint64_t connection = 0; ///< `wire_start::number`
    time_point when{};            ///< when the last byte that is shown here had come, or was taken
    /// The first bytes of the payload, unmasked; compressed where it travelled so. Ends with the callback.
    std::span<const std::byte> payload{};

    /// The payload was longer.
    [[nodiscard]] bool is_cut() const noexcept { return payload.size() < header.length; }
};

/// Finds the frames in the bytes that go one way. It checks nothing: what breaks a rule is shown as it is.
class frame_tracer {
public:
    /// `payload_bytes`: how many of each payload are shown.
    explicit frame_tracer(direction way, std::size_t payload_bytes = 32) noexcept
        : most_{payload_bytes} {
        frame_.way = way;
    }

    /// Calls `told(const traced_frame&)` for each frame once the bytes to show have passed. Without memory
    /// for them they are not shown.
    template <class Told>
    void follow(std::span<const std::byte> bytes, time_point now, Told&& told) {
        while (!bytes.empty()) {
            if (held_ < needed_) {
                hold(bytes);
                if (held_ < needed_ || needs_more()) continue;
                begin();
                if (wanted_ == 0) tell(now, told);
            } else {
                const auto size = static_cast<std::size_t>(std::min<std::uint64_t>(left_, bytes.size()));
                const bool shows = shown_ < wanted_;
                if (shows) show(bytes.first(std::min(size, wanted_ - shown_)));
                position_ += size;
                left_ -= size;
                bytes = bytes.subspan(size);
                if (shows && shown_ == wanted_) tell(now, told);
            }
            if (left_ == 0) next();
        }
    }

private:
    void hold(std::span<const std::byte>& bytes) noexcept {
        const std::size_t size = std::min(needed_ - held_, bytes.size());
        std::copy_n(bytes.begin(), size, head_.begin() + static_cast<std::ptrdiff_t>(held_));
        held_ += size;
        position_ += size;
        bytes = bytes.subspan(size);
    }

    /// The first two bytes tell how long the header is.
    [[nodiscard]] bool needs_more() noexcept {
        const auto second = std::to_integer<unsigned>(head_[1]);
        const std::size_t extra = (second & 0x7FU) == 126 ? 2 : (second & 0x7FU) == 127 ? 8 : 0;
        needed_ = 2 + extra + ((second & 0x80U) != 0 ? 4 : 0);
        return held_ < needed_;
    }

    void begin() noexcept {
        const auto first = std::to_integer<unsigned>(head_[0]);
        const auto second = std::to_integer<unsigned>(head_[1]);
        const std::byte* at = head_.data() + 2;
        frame_header& header = frame_.header;
        header.fin = (first & 0x80U) != 0;
        header.rsv = static_cast<std::uint8_t>((first >> 4U) & 7U);
        header.op = static_cast<opcode>(first & 15U);
        header.masked = (second & 0x80U) != 0;
        header.length = second & 0x7FU;
        if (header.length == 126) {
            header.length = load_big<std::uint16_t>(at);
            at += 2;
        } else if (header.length == 127) {
            header.length = load_big<std::uint64_t>(at);
            at += 8;
        }
        header.key = {};
        if (header.masked) std::copy_n(at, header.key.size(), header.key.begin());
        left_ = header.length;
        wanted_ = static_cast<std::size_t>(std::min<std::uint64_t>(most_, left_));
        frame_.position = position_ - held_;
    }

    void show(std::span<const std::byte> piece) noexcept {
        if (std::byte* const to = kept_.prepare(piece.size()); to != nullptr && kept_.size() == shown_) {
            if (frame_.header.masked)
                mask_copy(to, piece, frame_.header.key, shown_);
            else
                std::copy_n(piece.begin(), piece.size(), to);
            kept_.commit(piece.size());
        }
        shown_ += piece.size();
    }

    template <class Told>
    void tell(time_point now, Told& told) {
        frame_.when = now;
        frame_.payload = kept_.bytes();
        told(static_cast<const traced_frame&>(frame_));
    }

    void next() noexcept {
        needed_ = 2;
        held_ = shown_ = wanted_ = 0;
        kept_.clear();
    }

    std::size_t most_;
    traced_frame frame_{};
    std::array<std::byte, max_frame_header_size> head_{};
    std::size_t needed_ = 2; ///< of the header, as far as it is known
    std::size_t held_ = 0;   ///< of the header
    std::uint64_t left_ = 0; ///< of the payload
    std::size_t wanted_ = 0; ///< bytes of it to show
    std::size_t shown_ = 0;  ///< of those, bytes that have passed
    std::uint64_t position_ = 0;
    byte_buffer kept_;
};

namespace detail {

/// Text that does nothing to a terminal: UTF-8, perhaps cut, without control characters (C1 included).
[[nodiscard]] inline bool is_printable(std::span<const std::byte> text) noexcept {
    unsigned before = 0;
    for (const std::byte each : text) {
        const auto value = std::to_integer<unsigned>(each);
        if (value < 0x20 || value == 0x7F || (before == 0xC2 && value < 0xA0)) return false;
        before = value;
    }
    utf8_validator characters;
    return characters.feed(text);
}

} // namespace detail

/// A line about a frame, without its end: "in  text fin 5 \"Hello\"".
[[nodiscard]] inline std::string to_string(const traced_frame& frame) {
    constexpr std::string_view digits = "0123456789abcdef";
    const auto& header = frame.header;
    std::string line{frame.way == direction::in ? "in  " : "out "};
    const auto op = static_cast<unsigned>(header.op);
    line += is_reserved_opcode(op) ? "opcode " + std::to_string(op) : std::string{to_string(header.op)};
    if (header.fin) line += " fin";
    for (unsigned bit = 0; bit < 3; ++bit)
        if ((header.rsv & (4U >> bit)) != 0) line += " rsv" + std::to_string(bit + 1);
    if (header.masked) line += " masked";
    line += ' ' + std::to_string(header.length);
    auto shown = frame.payload;
    if (header.op == opcode::close && shown.size() >= 2) {
        line += " code " + std::to_string(load_big<std::uint16_t>(shown.data()));
        shown = shown.subspan(2);
    }
    if (shown.empty()) return line;
    // What may be the rest of a compressed message is not taken for text, and neither are its bytes.
    const bool text = header.rsv == 0 && (header.op == opcode::text || header.op == opcode::close ||
                                          header.op == opcode::continuation);
    if (text && detail::is_printable(shown)) {
        line += " \"";
        for (const std::byte each : shown) {
            if (each == std::byte{'"'} || each == std::byte{'\\'}) line += '\\';
            line += static_cast<char>(each);
        }
        line += '"';
    } else {
        for (const std::byte each : shown) {
            const auto value = std::to_integer<unsigned>(each);
            line += ' ';
            line += digits[value >> 4U];
            line += digits[value & 15U];
        }
    }
    if (frame.is_cut()) line += "...";
    return line;
}

} // namespace duplex
