// Compressed messages in any pieces: they inflate to what they do as a whole, never past their limit, and to
// what zlib itself makes of them; and any bytes that are compressed come back.

#include "fuzz/chunks.hpp"

#include <duplex/deflate/zlib_codec.hpp>

#include <algorithm>
#include <cstring>
#include <string>

using namespace duplex;
using namespace duplex::testing;

namespace {

struct result {
    errc error{};
    std::string bytes{};
};

result expand(message_codec& codec, const fuzz_input& input, std::string_view message, bool whole,
              std::size_t limit) {
    byte_buffer out;
    result got;
    auto rest = message;
    std::size_t turn = 0;
    do {
        const auto piece = rest.substr(0, whole ? rest.size() : input.size_of(turn++));
        rest.remove_prefix(piece.size());
        exact_block block{piece};
        got.error = codec.expand(block.bytes(), rest.empty(), out, limit);
        must(piece.empty() || std::memcmp(block.bytes().data(), piece.data(), piece.size()) == 0,
             "the piece is only read");
        must(out.size() <= limit && out.capacity() <= std::max<std::size_t>(limit, 64), "the limit is kept");
        block.scribble();
    } while (!rest.empty() && got.error == errc{});
    if (!out.empty()) got.bytes.assign(reinterpret_cast<const char*>(out.data()), out.size());
    return got;
}

/// libdeflate, which has only whole messages, takes codes that lack some symbols or have too many of them,
/// which no compressor makes and zlib refuses.
bool overlooked(const result& pieces, const result& whole) {
#if defined(DUPLEX_LIBDEFLATE)
    return whole.error == errc{} && pieces.error == errc::deflate_data_invalid;
#else
    return (void)pieces, (void)whole, false;
#endif
}

/// What zlib makes of a message without final blocks, up to `most` bytes.
std::string plainly(std::string_view message, std::size_t most) {
    std::string data{message};
    data.append("\0\0\xff\xff", 4);
    std::string out(most + 1, '\0');
    z_stream z{};
    must(inflateInit2(&z, -15) == Z_OK, "zlib begins");
    z.next_in = reinterpret_cast<Bytef*>(data.data());
    z.avail_in = static_cast<uInt>(data.size());
    z.next_out = reinterpret_cast<Bytef*>(out.data());
    z.avail_out = static_cast<uInt>(out.size());
    const int done = inflate(&z, Z_SYNC_FLUSH);
    out.resize(done == Z_OK ? out.size() - z.avail_out : 0);
    inflateEnd(&z);
    return out;
}

void come_back(const fuzz_input& input, message_codec& from, message_codec& to) {
    byte_buffer sent;
    auto rest = input.bytes;
    std::size_t turn = 0;
    do {
        const auto piece = rest.substr(0, input.size_of(turn++));
        rest.remove_prefix(piece.size());
        must(from.compress(std::as_bytes(std::span{piece}), rest.empty(), sent), "it is compressed");
    } while (!rest.empty());
    must(!sent.empty(), "no compressed message is empty");
    byte_buffer got;
    must(to.expand(sent.bytes(), true, got, input.bytes.size()) == errc{}, "it is fine");
    must(got.size() == input.bytes.size() &&
             (got.empty() || std::memcmp(got.data(), input.bytes.data(), got.size()) == 0),
         "it comes back");
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const fuzz_input input{data, size};
    const deflate_params agreed{.server_no_context_takeover = input.flag(0),
                                .client_no_context_takeover = input.flag(0),
                                .client_max_window_bits = input.flag(1) ? 9 : 15};
    const deflate_options options{.level = input.flag(2) ? 1 : 6,
                                  .context_takeover = true,
                                  .peer_context_takeover = true,
                                  .max_ratio = input.flag(3) ? std::size_t{3} : std::size_t{0}};
    const std::size_t limit = input.flag(4) ? 1000 : std::size_t{1} << 18;
    zlib_codec client{role::client, agreed, options};
    zlib_codec server{role::server, agreed, options};
    // A message before it, so that there is a window to refer to.
    if (input.flag(5)) come_back({data, std::min<std::size_t>(size, 64)}, server, client);
    zlib_codec other{role::client, agreed, options};
    if (input.flag(5)) {
        zlib_codec again{role::server, agreed, options};
        come_back({data, std::min<std::size_t>(size, 64)}, again, other);
    }

    const auto pieces = expand(client, input, input.bytes, false, limit);
    const auto whole = expand(other, input, input.bytes, true, limit);
    // Counted with what has arrived, a ratio may be too high for a moment.
    if (options.max_ratio == 0 && !overlooked(pieces, whole)) {
        must(pieces.error == whole.error, "the same error");
        must(pieces.bytes == whole.bytes, "the same bytes");
    }
    if (whole.error == errc{} && !input.bytes.empty() && (!input.flag(5) || input.flag(0))) {
        const auto plain = plainly(input.bytes, limit);
        // Nothing where there are final blocks, which zlib stops at.
        must(plain.empty() || plain == whole.bytes, "the same as by zlib");
    }
    // What failed ends its connection; the streams it had serve others.
    zlib_codec from{role::client, agreed, options};
    zlib_codec to{role::server, agreed, {}};
    for (int i = 0; i < 3; ++i)
        come_back(input, from, to);
    return 0;
}
