#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

namespace bench {

/// Compresses and inflates messages as permessage-deflate does (RFC 7692 7.2), windows of 32 KiB, level 1.
class deflate_codec {
public:
    deflate_codec() = default;
    deflate_codec(const deflate_codec&) = delete;
    deflate_codec& operator=(const deflate_codec&) = delete;
    virtual ~deflate_codec() = default;

    /// Replaces `packed`.
    virtual void compress(std::span<const unsigned char> message, std::vector<unsigned char>& packed) = 0;
    /// Whether `packed` is `message`.
    [[nodiscard]] virtual bool inflates_to(std::span<const unsigned char> packed,
                                           std::span<const unsigned char> message) = 0;
};

/// `takeover`: windows are kept between messages, both ways; otherwise many connections may share it.
[[nodiscard]] std::unique_ptr<deflate_codec> make_deflate_codec(bool takeover);

/// Nothing, or why there is no compression.
[[nodiscard]] const char* why_without_deflate() noexcept;

} // namespace bench
