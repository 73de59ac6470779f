#pragma once

#include <duplex/core/byte_buffer.hpp>
#include <duplex/core/error.hpp>
#include <duplex/core/role.hpp>
#include <duplex/deflate/params.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <system_error>

namespace duplex {

/// Compresses the messages of a connection and inflates those of its peer (RFC 7692 7.2). One thread at a
/// time; it need not be the same one.
class message_codec {
public:
    message_codec() noexcept = default;
    message_codec(const message_codec&) = delete;
    message_codec& operator=(const message_codec&) = delete;
    virtual ~message_codec() = default;

    /// Appends the compressed form of `payload` to `out`. `last`: the message ends with it, so that the tail
    /// 00 00 ff ff is taken off (RFC 7692 7.2.1). A message may come in several calls, between which `out`
    /// may be emptied, and each of which flushes. False when memory ran out: the message can't be gone on
    /// with, the next one can.
    [[nodiscard]] virtual bool compress(std::span<const std::byte> payload, bool last,
                                        byte_buffer& out) noexcept = 0;

    /// The message that was just compressed, or begun to be, goes out as it was: forgets what the peer will
    /// not have seen.
    virtual void discard() noexcept = 0;

    /// Whether it is worth trying on a message of so many bytes. Asked once for each message that could be
    /// compressed.
    [[nodiscard]] virtual bool worth_trying(std::size_t size) noexcept = 0;

    /// Appends what `piece`, already unmasked and never written to, inflates to. `last`: the message ends
    /// with it. `limit`: most bytes that `out` may hold; not one more is ever written. `errc{}`,
    /// `message_too_big`, `deflate_ratio_exceeded`, `deflate_data_invalid` or `out_of_memory`, and after one
    /// of these no more of the peer's messages can be read.
    [[nodiscard]] virtual errc expand(std::span<const std::byte> piece, bool last, byte_buffer& out,
                                      std::size_t limit) noexcept = 0;

    /// Between messages: gives back what need not be kept. What is kept for the length of a message goes back
    /// by itself at its end; this drops the compressor's window too. What the peer's messages may refer to
    /// stays.
    virtual void release() noexcept = 0;

    /// Of what its compressor refers to.
    [[nodiscard]] virtual int window_bits() const noexcept = 0;

    /// Bytes held now, roughly.
    [[nodiscard]] virtual std::size_t memory() const noexcept = 0;

    /// Payload bytes of compressed messages, as they travelled and as they are outside: kept for the session
    /// that uses the codec, which counts them.
    struct byte_counts {
        std::uint64_t deflated_in = 0;
        std::uint64_t inflated_in = 0;
        std::uint64_t deflated_out = 0;
        std::uint64_t inflated_out = 0;
    };
    byte_counts counts{};
};

/// Makes the codec of one connection, whose options `check` found fine; null when memory ran out.
using codec_maker = std::unique_ptr<message_codec> (*)(role self, const deflate_params& agreed,
                                                       const deflate_options& options) noexcept;

namespace detail {

/// How connections get a codec. Set where a source of the program includes duplex/deflate.hpp; others go
/// without zlib, and without permessage-deflate.
inline codec_maker default_codec = nullptr;

/// What keeps a connection from compressing as it is asked to.
[[nodiscard]] inline std::error_code check_deflate(const std::optional<deflate_options>& wanted) noexcept {
    if (!wanted) return {};
    if (default_codec == nullptr) return errc::deflate_not_available;
    const errc wrong = check(*wanted);
    return wrong == errc{} ? std::error_code{} : make_error_code(wrong);
}

} // namespace detail
} // namespace duplex
