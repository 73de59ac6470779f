#pragma once

#include <duplex/core/byte_buffer.hpp>

#include <cstddef>
#include <optional>
#include <span>

#if defined(DUPLEX_LIBDEFLATE)

#include <duplex/core/random.hpp>
#include <duplex/deflate/detail/last_block.hpp>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <utility>

#include <libdeflate.h>

#endif

namespace duplex::detail {

#if defined(DUPLEX_LIBDEFLATE)

/// Messages that lie whole in memory and refer to nothing before them, by libdeflate, which is faster at
/// those than zlib and does nothing else. What it can't do, or not well, is left to zlib.
class whole_messages {
public:
    /// Bytes from which messages are compressed here: libdeflate clears large tables for each.
    static constexpr std::size_t least = 1024;

    /// Appends what `message` compresses to, for `level` 1 to 9, ended as by zlib's flush without the tail
    /// 00 00 ff ff. False where zlib has to do it: nothing was appended.
    [[nodiscard]] bool compress(int level, std::span<const std::byte> message, byte_buffer& out) noexcept {
        if (message.size() < least || !make()) return false;
        auto* const with = compressor_for(effort(level));
        if (with == nullptr) return false;
        const auto before = out.size();
        while (!message.empty()) {
            const auto part = message.first(std::min(message.size(), part_bytes));
            message = message.subspan(part.size());
            if (append(with, part, message.empty(), out)) continue;
            out.shrink(out.size() - before);
            return false;
        }
        return true;
    }

    /// What a `message`, whose tail was taken off, inflates to; it lasts until the next call of any
    /// function. Nothing where zlib has to look at it: it may be broken, or large, or end in another way.
    /// Codes that lack symbols, or have more than there are, may pass here and not with zlib.
    [[nodiscard]] std::optional<std::span<const std::byte>>
    expand(std::span<const std::byte> message) noexcept {
        if (message.size() > packed_bytes - ending_bytes || !make()) return {};
        if (!decompressor_) decompressor_.reset(libdeflate_alloc_decompressor());
        if (!decompressor_) return {};
        auto* const plain = state_->scratch.data();
        auto* const packed = plain + plain_bytes;
        std::memcpy(packed, message.data(), message.size());
        std::memcpy(packed + message.size(), state_->ending.data(), ending_bytes);
        std::size_t taken = 0;
        std::size_t made = 0;
        if (libdeflate_deflate_decompress_ex(decompressor_.get(), packed, message.size() + ending_bytes,
                                             plain, plain_bytes, &taken, &made) != LIBDEFLATE_SUCCESS)
            return {};
        // Less is taken where a block before was a final one. Where the message ends amid a block, the ending
        // is read as a part of that, which shows, but where it is text of a stored one.
        if (taken != message.size() + ending_bytes || made < mark_bytes) return {};
        made -= mark_bytes;
        const auto* const mark = state_->ending.data() + stored_header_bytes;
        if (std::memcmp(plain + made, mark, mark_bytes) != 0) return {};
        if (made >= stored_header_bytes &&
            std::memcmp(plain + made - stored_header_bytes, state_->ending.data(), stored_header_bytes) == 0)
            return {};
        return std::span<const std::byte>{plain, made};
    }

    /// Bytes held, roughly.
    [[nodiscard]] std::size_t memory() const noexcept {
        std::size_t bytes = state_ ? sizeof *state_ : 0;
        if (decompressor_) bytes += 12000;
        for (const auto& each : compressors_)
            if (each.made) bytes += 670000;
        return bytes;
    }

private:
    /// Of a message that is compressed at a time. Parts refer to nothing in those before.
    static constexpr std::size_t part_bytes = std::size_t{128} << 10;
    /// Of a message that is expanded.
    static constexpr std::size_t packed_bytes = std::size_t{64} << 10;
    static constexpr std::size_t plain_bytes = part_bytes;

    static constexpr std::size_t stored_header_bytes = 4;
    static constexpr std::size_t mark_bytes = 8;
    /// Behind a message: instead of the empty stored block, whose tail goes without saying (RFC 7692 7.2.2),
    /// one with a mark that no peer knows, and behind it a final block, with which libdeflate is content:
    /// a stored one, for which it makes no tables.
    static constexpr std::size_t ending_bytes = stored_header_bytes + mark_bytes + 1 + stored_header_bytes;

    struct state {
        std::array<std::byte, ending_bytes> ending{};
        last_block end;
        std::array<std::byte, plain_bytes + packed_bytes> scratch;
    };
    struct compressor_deleter {
        void operator()(libdeflate_compressor* made) const noexcept { libdeflate_free_compressor(made); }
    };
    struct decompressor_deleter {
        void operator()(libdeflate_decompressor* made) const noexcept { libdeflate_free_decompressor(made); }
    };
    struct compressor {
        int effort = 0;
        std::unique_ptr<libdeflate_compressor, compressor_deleter> made{};
    };

    /// libdeflate's level for one of zlib's: that which shrinks messages of 16 KiB more, and takes about as
    /// long as zlib, both ways counted. Those above 9 take ten times as long and 9 MB.
    [[nodiscard]] static int effort(int level) noexcept {
        static constexpr std::array<std::int8_t, 9> efforts{4, 5, 6, 6, 7, 7, 7, 8, 9};
        return efforts[static_cast<std::size_t>(std::clamp(level, 1, 9) - 1)];
    }

    [[nodiscard]] bool make() noexcept {
        if (state_) return true;
        // Default-initialised: the scratch need not be cleared.
        std::unique_ptr<state> made{new (std::nothrow) state};
        if (!made) return false;
        static constexpr std::array begin{std::byte{mark_bytes}, std::byte{0}, std::byte{0xFF ^ mark_bytes},
                                          std::byte{0xFF}};
        static constexpr std::array end{std::byte{1}, std::byte{0}, std::byte{0}, std::byte{0xFF},
                                        std::byte{0xFF}};
        static_assert(begin.size() + mark_bytes + end.size() == ending_bytes);
        std::copy(begin.begin(), begin.end(), made->ending.begin());
        if (!fill_random(std::span{made->ending}.subspan(begin.size(), mark_bytes))) return false;
        std::copy(end.begin(), end.end(), made->ending.end() - end.size());
        state_ = std::move(made);
        return true;
    }

    /// Two are kept, the last one that was used in front.
    [[nodiscard]] libdeflate_compressor* compressor_for(int effort) noexcept {
        if (compressors_[0].effort != effort || !compressors_[0].made)
            std::swap(compressors_[0], compressors_[1]);
        auto& first = compressors_[0];
        if (first.effort != effort || !first.made)
            first = {effort, decltype(first.made){libdeflate_alloc_compressor(effort)}};
        return first.made.get();
    }

    /// A part of a message, which ends with an empty stored block, but for the tail with the `last`.
    [[nodiscard]] bool append(libdeflate_compressor* with, std::span<const std::byte> part, bool last,
                              byte_buffer& out) noexcept {
        auto& scratch = state_->scratch;
        const auto size = libdeflate_deflate_compress(with, part.data(), part.size(), scratch.data(),
                                                      scratch.size() - stored_header_bytes - 1);
        if (size == 0) return false;
        const auto place = state_->end.find(std::span{scratch}.first(size));
        if (!place) return false;
        // A final block ends the data for good with many that read it, though RFC 7692 7.2.3.4 allows it: it
        // is made one that is not. The header of the empty block is three bits, zeros as those that fill up
        // the last byte.
        scratch[place->header / 8] &= ~(std::byte{1} << place->header % 8);
        auto end = (place->end + 3 + 7) / 8;
        if (end > size) scratch[size] = std::byte{0};
        if (!last) {
            static constexpr std::array tail{std::byte{0}, std::byte{0}, std::byte{0xFF}, std::byte{0xFF}};
            std::memcpy(scratch.data() + end, tail.data(), tail.size());
            end += tail.size();
        }
        return out.append(std::span{scratch}.first(end));
    }

    std::array<compressor, 2> compressors_{};
    std::unique_ptr<libdeflate_decompressor, decompressor_deleter> decompressor_{};
    std::unique_ptr<state> state_{};
};

#else

/// Without libdeflate all is done by zlib.
class whole_messages {
public:
    [[nodiscard]] bool compress(int, std::span<const std::byte>, byte_buffer&) noexcept { return false; }
    [[nodiscard]] std::optional<std::span<const std::byte>> expand(std::span<const std::byte>) noexcept {
        return {};
    }
    [[nodiscard]] std::size_t memory() const noexcept { return 0; }
};

#endif

} // namespace duplex::detail
