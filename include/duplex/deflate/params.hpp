#pragma once

#include <duplex/core/error.hpp>

#include <cstddef>

namespace duplex {

/// What both sides agreed to in the opening handshake (RFC 7692 7.1). Window sizes are the base-2 logarithms
/// of bytes, 8 to 15.
struct deflate_params {
    bool server_no_context_takeover = false; ///< the server compresses each message on its own
    bool client_no_context_takeover = false; ///< the client does
    int server_max_window_bits = 15;         ///< of the server's compressor
    int client_max_window_bits = 15;         ///< of the client's compressor

    bool operator==(const deflate_params&) const = default;
};

/// What this side wants of permessage-deflate, as a client or a server. By default neither side keeps a
/// window between messages, so that an idle connection holds no memory for it.
struct deflate_options {
    /// How hard the compressor tries, 1 to 9; 0 stores. Most WebSocket servers take 1: what is sent once and
    /// read once seldom earns back the time that more takes. Where libdeflate compresses, these stand for its
    /// levels 4, 5, 6, 6, 7, 7, 7, 8 and 9.
    int level = 1;
    /// How much memory the compressor takes for that, 1 to 9: 2^(level + 9) bytes. A message begins with the
    /// clearing of half as many, which is what short ones pay for more. libdeflate does not ask.
    int memory_level = 5;
    /// The own compressor's window, 8 to 15; 8 counts as 9, the smallest that zlib has. Where the peer asks
    /// for 8, that is agreed to, and what is sent stays uncompressed.
    int max_window_bits = 15;
    /// What is asked of the peer's compressor, 8 to 15. A server can ask only those clients that say they
    /// know how to, and takes the others with 15; a server that does not do what a client asks is not talked
    /// to compressed.
    int max_peer_window_bits = 15;
    /// The own compressor keeps its window between messages, where the peer lets it: similar messages shrink
    /// far more, for about 2^(max_window_bits + 2) + 2^(memory_level + 9) bytes a connection.
    bool context_takeover = false;
    /// The peer's compressor may do so, for about 2^max_peer_window_bits + 8192 bytes a connection.
    bool peer_context_takeover = false;
    /// Messages of fewer bytes travel as they are.
    std::size_t threshold = 256;
    /// Most bytes that a byte received may inflate to, looked at in messages that inflate to more than
    /// `ratio_floor`; 0 for any. Passed: `errc::deflate_ratio_exceeded`. Off by default: no message passes
    /// 1032, one of zeros comes close, and `limits::message_bytes` ends either while it inflates.
    std::size_t max_ratio = 0;
    /// Stops trying for a while where messages did not shrink.
    bool adaptive = true;

    /// Bytes up to which any ratio is fine.
    static constexpr std::size_t ratio_floor = std::size_t{64} << 10;

    bool operator==(const deflate_options&) const = default;
};

/// `errc{}`, or `errc::deflate_option_invalid` where one of `options` is out of its range.
[[nodiscard]] constexpr errc check(const deflate_options& options) noexcept {
    const auto within = [](int value, int least, int most) { return value >= least && value <= most; };
    const bool fine = within(options.level, 0, 9) && within(options.memory_level, 1, 9) &&
                      within(options.max_window_bits, 8, 15) && within(options.max_peer_window_bits, 8, 15);
    return fine ? errc{} : errc::deflate_option_invalid;
}

} // namespace duplex
