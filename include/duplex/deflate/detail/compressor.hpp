#pragma once

#include <duplex/core/byte_buffer.hpp>
#include <duplex/deflate/detail/stream_pool.hpp>
#include <duplex/deflate/detail/zlib_stream.hpp>
#include <duplex/deflate/params.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <utility>

namespace duplex::detail {

/// The sending half of a codec.
class compressor {
public:
    /// `agreed_bits`: of the own window. `takeover`: the peer lets this side keep it between messages.
    compressor(int agreed_bits, bool takeover, const deflate_options& options) noexcept
        : shape_{shape_for(agreed_bits, options)}
        , agreed_bits_{static_cast<std::int8_t>(agreed_bits)}
        , stored_{agreed_bits < least_bits}
        , takeover_{takeover && options.context_takeover}
        , adaptive_{options.adaptive}
        , threshold_{static_cast<std::uint32_t>(std::min<std::size_t>(options.threshold, UINT32_MAX))} {}
    compressor(const compressor&) = delete;
    compressor& operator=(const compressor&) = delete;
    ~compressor() { give_back(); }

    [[nodiscard]] bool compress(std::span<const std::byte> payload, bool last, byte_buffer& out) noexcept {
        if (payload.empty()) {
            if (!last) return true;
            // RFC 7692 7.2.3.6: an empty block without its tail, whatever came before: all of that is
            // flushed.
            if (std::exchange(begun_, false) && !takeover_) give_back();
            static constexpr std::byte block{0};
            return out.append({&block, 1});
        }
        if (last && stands_alone(payload.size()) && compress_whole(payload, out)) return true;
        if (!begun_) {
            if (!stream_) stream_ = stream_pool::take_deflate(shape_);
            if (!stream_) return false;
            begun_ = true;
            stream_->taken = stream_->given = 0;
        }
        const auto before = out.size();
        if (!feed(payload, out)) {
            out.shrink(out.size() - before);
            discard();
            return false;
        }
        stream_->taken += payload.size();
        stream_->given += out.size() - before;
        if (!last) return true;
        // RFC 7692 7.2.1: what a flush ends with goes without saying.
        out.shrink(tail_bytes);
        note(stream_->taken, stream_->given - tail_bytes);
        begun_ = false;
        if (!takeover_) give_back();
        return true;
    }

    void discard() noexcept {
        begun_ = false;
        if (!takeover_)
            give_back();
        else if (stream_)
            stream_->reset();
    }

    [[nodiscard]] bool worth_trying(std::size_t size) noexcept {
        if (size == 0 || size < threshold_ || stored_) return false;
        if (skips_ == 0) return true;
        --skips_;
        return false;
    }

    void release() noexcept {
        if (!begun_) give_back();
    }

    /// What the peer's window allows.
    [[nodiscard]] int window_bits() const noexcept { return agreed_bits_; }
    [[nodiscard]] std::size_t memory() const noexcept { return stream_ ? stream_->memory() : 0; }

private:
    /// The smallest window that zlib's compressor has.
    static constexpr int least_bits = 9;
    static constexpr std::size_t tail_bytes = 4;
    /// A flush with less room than this may be made twice.
    static constexpr std::size_t flush_bytes = 16;
    /// zlib counts with unsigned int.
    static constexpr std::size_t most_at_once = std::size_t{1} << 30;

    /// Where the peer's window is smaller than any of zlib's, data is stored, which refers to nothing.
    [[nodiscard]] static deflate_shape shape_for(int agreed_bits, const deflate_options& options) noexcept {
        if (agreed_bits < least_bits) return {0, 1, static_cast<std::int8_t>(least_bits)};
        const int bits = std::max(std::min(agreed_bits, options.max_window_bits), least_bits);
        return {static_cast<std::int8_t>(options.level), static_cast<std::int8_t>(options.memory_level),
                static_cast<std::int8_t>(bits)};
    }

    /// Whether a message of so many bytes, which comes whole, refers to nothing that the peer may not have.
    [[nodiscard]] bool stands_alone(std::size_t size) const noexcept {
        return !begun_ && !takeover_ && shape_.level != 0 &&
               (shape_.window_bits == 15 || size <= std::size_t{1} << shape_.window_bits);
    }

    [[nodiscard]] bool compress_whole(std::span<const std::byte> payload, byte_buffer& out) noexcept {
        auto* const pool = stream_pool::whole();
        const auto before = out.size();
        if (pool == nullptr || !pool->compress(shape_.level, payload, out)) return false;
        note(payload.size(), out.size() - before);
        return true;
    }

    /// Every call ends with a flush: whoever sends a message in pieces wants them to arrive.
    [[nodiscard]] bool feed(std::span<const std::byte> payload, byte_buffer& out) noexcept {
        do {
            const auto part = payload.first(std::min(payload.size(), most_at_once));
            payload = payload.subspan(part.size());
            if (!run(part, payload.empty() ? Z_SYNC_FLUSH : Z_NO_FLUSH, out)) return false;
        } while (!payload.empty());
        return true;
    }

    [[nodiscard]] bool run(std::span<const std::byte> part, int flush, byte_buffer& out) noexcept {
        z_stream& z = stream_->z();
        // zlib declares its input writable, and does not write to it.
        z.next_in = const_cast<Bytef*>(reinterpret_cast<const Bytef*>(part.data()));
        z.avail_in = static_cast<uInt>(part.size());
        // A short message is done in one call; of a long one most comes to less.
        std::size_t wanted =
            part.size() <= short_bytes ? deflateBound(&z, z.avail_in) + flush_bytes : part.size() / 4;
        do {
            std::byte* const to = out.prepare(wanted);
            if (to == nullptr) return false;
            const auto room = std::min(out.capacity() - out.size(), most_at_once);
            z.next_out = reinterpret_cast<Bytef*>(to);
            z.avail_out = static_cast<uInt>(room);
            // Z_BUF_ERROR: all was done when the room before ran out.
            if (const int done = deflate(&z, flush); done != Z_OK && done != Z_BUF_ERROR) return false;
            out.commit(room - z.avail_out);
            wanted = std::max(short_bytes, z.avail_in / std::size_t{4});
        } while (z.avail_out == 0);
        return true;
    }

    /// Remembers whether a message shrank by a sixteenth, for which a peer may take the trouble.
    void note(std::size_t taken, std::size_t given) noexcept {
        if (!adaptive_) return;
        if (given < taken - taken / 16) {
            misses_ = 0;
            return;
        }
        if (misses_ < most_misses) ++misses_;
        if (misses_ >= few_misses) skips_ = static_cast<std::uint16_t>(first_skips << (misses_ - few_misses));
    }

    void give_back() noexcept { stream_pool::give(std::exchange(stream_, nullptr)); }

    static constexpr std::size_t short_bytes = std::size_t{16} << 10;
    /// After so many messages in a row that did not shrink some are not tried, then one is, and after each
    /// that does not shrink either twice as many are not: 8 to 256.
    static constexpr unsigned few_misses = 4;
    static constexpr unsigned most_misses = few_misses + 5;
    static constexpr unsigned first_skips = 8;

    // Small, since every connection that compresses has it.
    deflate_shape shape_;
    std::int8_t agreed_bits_;
    bool stored_;
    bool takeover_;
    bool adaptive_;
    bool begun_ = false; ///< a message came in part
    std::uint8_t misses_ = 0;
    std::uint16_t skips_ = 0; ///< messages that are not tried
    std::uint32_t threshold_;
    std::unique_ptr<deflate_stream> stream_;
};

} // namespace duplex::detail
