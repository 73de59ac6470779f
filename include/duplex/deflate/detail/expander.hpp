#pragma once

#include <duplex/core/byte_buffer.hpp>
#include <duplex/core/error.hpp>
#include <duplex/deflate/detail/stream_pool.hpp>
#include <duplex/deflate/detail/zlib_stream.hpp>
#include <duplex/deflate/params.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>

namespace duplex::detail {

/// The receiving half of a codec.
class expander {
public:
    /// `window_bits`: of the peer's window, which it keeps between messages with `takeover`.
    expander(int window_bits, bool takeover, const deflate_options& options) noexcept
        : window_bits_{static_cast<std::int8_t>(std::max(window_bits, 9))}
        , takeover_{takeover}
        , max_ratio_{static_cast<std::uint32_t>(std::min<std::size_t>(options.max_ratio, UINT32_MAX))} {}
    expander(const expander&) = delete;
    expander& operator=(const expander&) = delete;
    ~expander() { forget(); }

    [[nodiscard]] errc expand(std::span<const std::byte> piece, bool last, byte_buffer& out,
                              std::size_t limit) noexcept {
        errc error{};
        if (!piece.empty()) {
            if (last && !stream_ && !takeover_ && expand_whole(piece, out, limit)) return {};
            if (!stream_)
                stream_ = takeover_ ? inflate_stream::make(window_bits_) : stream_pool::take_inflate();
            if (!stream_) return errc::out_of_memory;
            stream_->taken += piece.size();
            error = run(piece, out, limit);
        }
        if (error == errc{} && last) error = finish(out, limit);
        if (error != errc{}) forget();
        return error;
    }

    [[nodiscard]] std::size_t memory() const noexcept { return stream_ ? stream_->memory() : 0; }

private:
    static constexpr std::size_t most_at_once = std::size_t{1} << 30;
    static constexpr std::size_t least_room = 512;

    /// False where zlib has to say what is in it, and what is wrong with it.
    [[nodiscard]] bool expand_whole(std::span<const std::byte> piece, byte_buffer& out,
                                    std::size_t limit) noexcept {
        auto* const pool = stream_pool::whole();
        if (pool == nullptr) return false;
        const auto plain = pool->expand(piece);
        return plain && plain->size() <= limit - std::min(limit, out.size()) &&
               plain->size() <= most_for(piece.size()) && out.reserve(out.size() + plain->size()) &&
               out.append(*plain);
    }

    [[nodiscard]] errc finish(byte_buffer& out, std::size_t limit) noexcept {
        // Zero bytes are taken for an empty message, which some send so. Behind a final block nothing is
        // missing (RFC 7692 7.2.3.4 has a sender put an empty one there).
        if (stream_ && stream_->taken != 0 && !ended_) {
            // RFC 7692 7.2.2: what the sender took off. Read from here, never written behind what came.
            static constexpr std::array tail{std::byte{0}, std::byte{0}, std::byte{0xFF}, std::byte{0xFF}};
            const auto before = stream_->given;
            if (const errc error = run(tail, out, limit); error != errc{}) return error;
            // It must have been the end of a block: otherwise something is missing, or there was too much.
            constexpr int between_blocks = 128, bits_left_or_last = 127;
            const int state = stream_->z().data_type;
            const bool complete =
                ended_ || ((state & between_blocks) != 0 && (state & bits_left_or_last) == 0);
            if (!complete || stream_->given != before) return errc::deflate_data_invalid;
        }
        if (!takeover_)
            forget();
        else if (stream_)
            stream_->taken = stream_->given = 0;
        return {};
    }

    [[nodiscard]] errc run(std::span<const std::byte> piece, byte_buffer& out, std::size_t limit) noexcept {
        while (!piece.empty()) {
            const auto part = piece.first(std::min(piece.size(), most_at_once));
            piece = piece.subspan(part.size());
            z_stream& z = stream_->z();
            // zlib declares its input writable, and does not write to it.
            z.next_in = const_cast<Bytef*>(reinterpret_cast<const Bytef*>(part.data()));
            z.avail_in = static_cast<uInt>(part.size());
            for (bool more = true; more;)
                if (const errc error = step(out, limit, more); error != errc{}) return error;
        }
        return {};
    }

    /// One call of zlib. `more`: there is something left to do.
    [[nodiscard]] errc step(byte_buffer& out, std::size_t limit, bool& more) noexcept {
        z_stream& z = stream_->z();
        if (ended_) {
            if (z.avail_in == 0) return more = false, errc{};
            // RFC 7692 7.2.3.5: a message may go on behind a final block.
            stream_->go_on();
            ended_ = false;
        }
        const auto left = limit - std::min(limit, out.size());
        const auto most = std::min({left, left_of_ratio(), most_at_once});
        // With nothing left there must be nothing more: a byte of room shows whether there is.
        std::byte beyond{};
        std::size_t room = 1;
        std::byte* to = &beyond;
        if (most != 0) {
            if (!make_room(out, most)) return errc::out_of_memory;
            room = std::min(out.capacity() - out.size(), most);
            to = out.data() + out.size();
        }
        z.next_out = reinterpret_cast<Bytef*>(to);
        z.avail_out = static_cast<uInt>(room);
        const int done = inflate(&z, Z_SYNC_FLUSH);
        const auto made = room - z.avail_out;
        if (most == 0 && made != 0) return left == 0 ? errc::message_too_big : errc::deflate_ratio_exceeded;
        out.commit(made);
        stream_->given += made;
        switch (done) {
        case Z_STREAM_END: ended_ = true; return {};
        case Z_OK:
        case Z_BUF_ERROR: // nothing to do
            more = z.avail_out == 0 || (done == Z_OK && z.avail_in != 0);
            return more || z.avail_in == 0 ? errc{} : errc::deflate_data_invalid;
        case Z_MEM_ERROR: return errc::out_of_memory;
        default: return errc::deflate_data_invalid;
        }
    }

    /// Room for something of the `most` that may come. Grows with what came, not with what may.
    [[nodiscard]] bool make_room(byte_buffer& out, std::size_t most) noexcept {
        if (out.capacity() != out.size()) return true;
        const auto wanted = std::max({least_room, out.size(), std::size_t{stream_->z().avail_in} * 2});
        return out.reserve(out.size() + std::min(wanted, most));
    }

    /// Bytes that the message may still inflate to before its ratio is too high.
    [[nodiscard]] std::size_t left_of_ratio() const noexcept {
        return max_ratio_ == 0 ? SIZE_MAX : most_for(stream_->taken) - stream_->given;
    }
    /// What so many may inflate to.
    [[nodiscard]] std::size_t most_for(std::size_t taken) const noexcept {
        if (max_ratio_ == 0) return SIZE_MAX;
        const auto all = taken > SIZE_MAX / max_ratio_ ? SIZE_MAX : taken * max_ratio_;
        return std::max(all, deflate_options::ratio_floor);
    }

    void forget() noexcept {
        if (stream_ && !takeover_) stream_pool::give(std::move(stream_));
        stream_.reset();
        ended_ = false;
    }

    std::int8_t window_bits_;
    bool takeover_;
    bool ended_ = false;      ///< behind a final block
    std::uint32_t max_ratio_; ///< 0 for any
    std::unique_ptr<inflate_stream> stream_;
};

} // namespace duplex::detail
