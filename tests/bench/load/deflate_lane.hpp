#pragma once

#include "deflate.hpp"
#include "json_ring.hpp"
#include "options.hpp"
#include "socket.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

namespace bench {

/// A `lane` whose messages are compressed, in JSON, and compared when they are inflated again.
class deflate_lane {
public:
    deflate_lane(stream&& over, const options& with)
        : stream_{std::move(over)}
        , takeover_{with.deflate == compression::takeover}
        , codec_{takeover_ ? std::shared_ptr{make_deflate_codec(true)} : shared_codec()} {}

    [[nodiscard]] static json_ring make_ring(const options& with) { return json_ring{with.size}; }

    [[nodiscard]] const descriptor& socket() const noexcept { return stream_.socket(); }

    void send(const json_ring& ring, std::size_t frames) {
        for (; frames > 0; --frames) {
            if (takeover_) {
                codec_->compress(ring.plain(out_at_), packed_);
                add_frame(packed_);
            } else {
                add_frame(ring.packed(out_at_));
            }
            out_at_ = (out_at_ + 1) % ring.slots();
        }
        flush(ring);
    }

    void flush(const json_ring&) {
        if (sent_ == out_.size() && !stream_.unsent()) return;
        const ssize_t sent = stream_.send(out_.data() + sent_, out_.size() - sent_);
        if (sent < 0) {
            if (errno != EAGAIN) system_failure("send");
            return;
        }
        sent_ += static_cast<std::size_t>(sent);
        if (sent_ == out_.size()) {
            out_.clear();
            sent_ = 0;
        }
    }

    std::size_t receive(const json_ring& ring, std::vector<unsigned char>& buffer) {
        std::size_t frames = 0;
        for (;;) {
            const ssize_t got = stream_.receive(buffer.data(), buffer.size());
            if (got < 0) {
                if (errno != EAGAIN) system_failure("recv");
                return frames;
            }
            if (got == 0) throw failure{"the server closed a connection"};
            const auto size = static_cast<std::size_t>(got);
            frames += take(ring, {buffer.data(), size});
            if (size < buffer.size()) return frames;
        }
    }

    /// Of the payloads that came since the last call, as they came.
    [[nodiscard]] std::uint64_t taken_bytes() noexcept { return std::exchange(taken_bytes_, 0); }

private:
    [[nodiscard]] static std::shared_ptr<deflate_codec> shared_codec() {
        static const std::shared_ptr<deflate_codec> codec{make_deflate_codec(false)};
        return codec;
    }

    void add_frame(std::span<const unsigned char> payload) {
        static constexpr unsigned char mask[4] = {0x5A, 0xC3, 0x17, 0x8E};
        const auto size = payload.size();
        const std::size_t extended = size < 126 ? 0 : size <= 0xFFFF ? 2 : 8;
        out_.push_back(0xC1); // text, RSV1
        out_.push_back(static_cast<unsigned char>(0x80U | (extended == 0   ? size
                                                           : extended == 2 ? 126U
                                                                           : 127U)));
        for (std::size_t bytes = extended; bytes-- > 0;)
            out_.push_back(static_cast<unsigned char>(static_cast<std::uint64_t>(size) >> (8 * bytes)));
        out_.insert(out_.end(), mask, mask + sizeof mask);
        const auto begin = out_.size();
        out_.insert(out_.end(), payload.begin(), payload.end());
        for (std::size_t i = 0; i < size; ++i)
            out_[begin + i] ^= mask[i % sizeof mask];
    }

    /// Frames are looked at where they were read; what of one has come so far is kept.
    std::size_t take(const json_ring& ring, std::span<const unsigned char> got) {
        if (!rest_.empty()) {
            rest_.insert(rest_.end(), got.begin(), got.end());
            got = rest_;
        }
        std::size_t messages = 0;
        while (const std::size_t size = take_frame(ring, got, messages))
            got = got.subspan(size);
        rest_ = std::vector<unsigned char>(got.begin(), got.end());
        return messages;
    }

    /// The size of the whole frame that `got` begins with; 0 where it isn't whole. Counts the messages that
    /// end.
    std::size_t take_frame(const json_ring& ring, std::span<const unsigned char> got, std::size_t& messages) {
        if (got.size() < 2) return 0;
        const unsigned kind = got[0] & 0x7FU;
        const bool last = (got[0] & 0x80U) != 0;
        constexpr unsigned text = 1, rsv1 = 0x40, continuation = 0;
        const bool fitting = begun_ ? kind == continuation : (kind & ~rsv1) == text;
        if (!fitting || got[1] > 127) throw failure{"the server sends something else"};
        std::size_t length = got[1];
        const std::size_t head = length < 126 ? 2 : length == 126 ? 4 : 10;
        if (got.size() < head) return 0;
        if (head > 2) {
            length = 0;
            for (std::size_t i = 2; i < head; ++i)
                length = length << 8U | got[i];
        }
        if (length > got.size() - head) return 0;
        if (!begun_) compressed_ = (kind & rsv1) != 0;
        const auto payload = got.subspan(head, length);
        taken_bytes_ += length;
        if (begun_ || !last) message_.insert(message_.end(), payload.begin(), payload.end());
        if (last) {
            check(begun_ ? message_ : payload, ring.plain(in_at_));
            message_.clear();
            in_at_ = (in_at_ + 1) % ring.slots();
            ++messages;
        }
        begun_ = !last;
        return head + length;
    }

    void check(std::span<const unsigned char> message, std::span<const unsigned char> expected) {
        const bool right = compressed_
                               ? codec_->inflates_to(message, expected)
                               : std::equal(message.begin(), message.end(), expected.begin(), expected.end());
        if (!right) throw failure{"wrong echo"};
    }

    stream stream_;
    bool takeover_;
    std::shared_ptr<deflate_codec> codec_;
    std::vector<unsigned char> packed_;
    std::vector<unsigned char> out_;
    std::vector<unsigned char> rest_;    ///< of a frame that hasn't come whole
    std::vector<unsigned char> message_; ///< what has come of one that comes in several frames
    std::size_t sent_ = 0;
    std::size_t out_at_ = 0;
    std::size_t in_at_ = 0;
    std::uint64_t taken_bytes_ = 0;
    bool begun_ = false;      ///< a message goes on
    bool compressed_ = false; ///< the one that comes
};

} // namespace bench
