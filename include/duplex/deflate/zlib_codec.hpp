#pragma once

#include <duplex/deflate/detail/compressor.hpp>
#include <duplex/deflate/detail/expander.hpp>
#include <duplex/deflate/message_codec.hpp>

#include <cstddef>
#include <memory>
#include <new>
#include <span>

namespace duplex {

/// permessage-deflate by zlib. Where a direction goes without context takeover its stream is borrowed from
/// the thread for the length of a message: between messages such a codec holds nothing.
///
/// Where DUPLEX_LIBDEFLATE is defined, the same in all sources of a program, libdeflate does in such a
/// direction what comes whole: messages of 1024 bytes and more that are sent in one piece, and all that are
/// received in one, compressed to no more than 64 KiB of no more than 128 KiB. Some of these in which zlib
/// finds codes that lack symbols, or have too many, pass as libdeflate reads them.
///
/// zlib compresses with windows of 512 bytes and more. Where the peer wants one of 256 (RFC 7692 7.1.2 allows
/// it), `worth_trying` says no to every message, and what is compressed nonetheless is stored. Peers that
/// compress with such a window are understood.
class zlib_codec final : public message_codec {
public:
    zlib_codec(role self, const deflate_params& agreed, const deflate_options& options) noexcept
        : compressor_{bits(self, agreed), !no_takeover(self, agreed), options}
        , expander_{bits(peer_of(self), agreed), !no_takeover(peer_of(self), agreed), options} {}

    [[nodiscard]] bool compress(std::span<const std::byte> payload, bool last,
                                byte_buffer& out) noexcept override {
        return compressor_.compress(payload, last, out);
    }
    void discard() noexcept override { compressor_.discard(); }
    [[nodiscard]] bool worth_trying(std::size_t size) noexcept override {
        return compressor_.worth_trying(size);
    }
    [[nodiscard]] errc expand(std::span<const std::byte> piece, bool last, byte_buffer& out,
                              std::size_t limit) noexcept override {
        return expander_.expand(piece, last, out, limit);
    }
    void release() noexcept override { compressor_.release(); }
    [[nodiscard]] int window_bits() const noexcept override { return compressor_.window_bits(); }
    [[nodiscard]] std::size_t memory() const noexcept override {
        return sizeof *this + compressor_.memory() + expander_.memory();
    }

private:
    [[nodiscard]] static int bits(role of, const deflate_params& agreed) noexcept {
        return of == role::server ? agreed.server_max_window_bits : agreed.client_max_window_bits;
    }
    [[nodiscard]] static bool no_takeover(role of, const deflate_params& agreed) noexcept {
        return of == role::server ? agreed.server_no_context_takeover : agreed.client_no_context_takeover;
    }

    detail::compressor compressor_;
    detail::expander expander_;
};

/// A `codec_maker`.
[[nodiscard]] inline std::unique_ptr<message_codec> make_zlib_codec(role self, const deflate_params& agreed,
                                                                    const deflate_options& options) noexcept {
    return std::unique_ptr<message_codec>{new (std::nothrow) zlib_codec{self, agreed, options}};
}

namespace detail {

/// Programs that include this have permessage-deflate.
inline const bool deflate_is_available = (default_codec = &make_zlib_codec, true);

} // namespace detail
} // namespace duplex
