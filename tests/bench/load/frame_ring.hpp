#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

namespace bench {

enum class payload_kind : std::uint8_t {
    binary,
    text,    ///< ASCII
    unicode, ///< text of one to four bytes a character
};

/// A small generator of numbers that are the same in each run.
class numbers {
public:
    std::uint32_t next() noexcept {
        state_ ^= state_ << 13U;
        state_ ^= state_ >> 7U;
        state_ ^= state_ << 17U;
        return static_cast<std::uint32_t>(state_ >> 32U);
    }

private:
    std::uint64_t state_ = 0x9E3779B97F4A7C15;
};

/// A round of frames that all differ, as a client writes them and as the server must give them back, made
/// before the first one is sent. Frames that follow each other lie side by side, so that any number in flight
/// is one write, and whatever one read brings is checked by one comparison.
class frame_ring {
public:
    /// `burst`: most frames in one `outgoing`. `lookahead`: most bytes from one `expected`.
    frame_ring(payload_kind kind, std::size_t size, std::size_t burst, std::size_t lookahead)
        // Enough to notice when the server answers in the wrong order, few enough to stay in the cache.
        : slots_{std::max(burst + 1, std::min<std::size_t>(64, (512 * 1024) / (size + 14)))}
        , head_{size < 126       ? 2U
                : size <= 0xFFFF ? 4U
                                 : 10U}
        , out_frame_{head_ + 4 + size}
        , in_frame_{head_ + size} {
        out_.reserve((slots_ + burst) * out_frame_);
        in_.reserve(slots_ * in_frame_ + lookahead);
        numbers random;
        for (std::size_t i = 0; i < slots_; ++i)
            add(kind, size, random);
        for (std::size_t i = 0; i < burst * out_frame_; ++i)
            out_.push_back(out_[i]);
        for (std::size_t i = 0; i < lookahead; ++i)
            in_.push_back(in_[i]);
    }

    /// Bytes of one frame as it is sent, and as it comes back.
    [[nodiscard]] std::size_t out_frame() const noexcept { return out_frame_; }
    [[nodiscard]] std::size_t in_frame() const noexcept { return in_frame_; }
    /// Bytes after which the two repeat.
    [[nodiscard]] std::size_t out_round() const noexcept { return slots_ * out_frame_; }
    [[nodiscard]] std::size_t in_round() const noexcept { return slots_ * in_frame_; }

    [[nodiscard]] const unsigned char* outgoing(std::size_t at) const noexcept { return out_.data() + at; }
    [[nodiscard]] const unsigned char* expected(std::size_t at) const noexcept { return in_.data() + at; }

private:
    void add(payload_kind kind, std::size_t size, numbers& random) {
        std::vector<unsigned char> payload;
        payload.reserve(size + 4);
        while (payload.size() < size)
            add_character(payload, kind, size - payload.size(), random.next());

        const auto first = static_cast<unsigned char>(kind == payload_kind::binary ? 0x82 : 0x81);
        for (auto* to : {&out_, &in_}) {
            const unsigned mask_bit = to == &out_ ? 0x80 : 0;
            to->push_back(first);
            to->push_back(static_cast<unsigned char>(mask_bit | (head_ == 2   ? size
                                                                 : head_ == 4 ? 126U
                                                                              : 127U)));
            for (std::size_t bytes = head_ - 2; bytes-- > 0;)
                to->push_back(static_cast<unsigned char>(static_cast<std::uint64_t>(size) >> (8 * bytes)));
        }
        unsigned char mask[4];
        for (auto& byte : mask) {
            byte = static_cast<unsigned char>(1 + random.next() % 255);
            out_.push_back(byte);
        }
        for (std::size_t i = 0; i < size; ++i)
            out_.push_back(payload[i] ^ mask[i % 4]);
        in_.insert(in_.end(), payload.begin(), payload.end());
    }

    static void add_character(std::vector<unsigned char>& to, payload_kind kind, std::size_t room,
                              std::uint32_t random) {
        const auto put = [&to](auto... bytes) { (to.push_back(static_cast<unsigned char>(bytes)), ...); };
        if (kind == payload_kind::binary) return put(random);
        const auto tail = [random](unsigned i) { return 0x80U | ((random >> (6U * i + 2U)) & 0x3FU); };
        const unsigned length = kind == payload_kind::text ? 1 : 1 + random % 4;
        if (length > room || length == 1) return put(' ' + (random >> 8U) % 95);
        if (length == 2) return put(0xC3, tail(0));
        if (length == 3) return put(0xE4, 0x80U | tail(0), tail(1));
        put(0xF0, 0x9F, tail(0), tail(1));
    }

    std::size_t slots_;
    std::size_t head_; ///< bytes before the mask
    std::size_t out_frame_;
    std::size_t in_frame_;
    std::vector<unsigned char> out_;
    std::vector<unsigned char> in_;
};

} // namespace bench
