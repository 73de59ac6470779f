#pragma once

// Messages through codecs, and through zlib itself, used plainly, to judge them.

#include <duplex/deflate/message_codec.hpp>

#include "support/catch.hpp"
#include "support/wire.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <ostream>
#include <random>
#include <string_view>
#include <vector>

#include <zlib.h>

namespace duplex::testing {

/// What came of a message.
struct expanded {
    errc error{};
    octets bytes{};

    bool operator==(const expanded&) const = default;
    friend std::ostream& operator<<(std::ostream& to, const expanded& what) {
        return to << (what.error == errc{} ? "fine" : explain(what.error).name) << ": "
                  << to_hex(what.bytes, 32);
    }
};

/// Cuts `all` into pieces of at most `most` bytes, some of them empty.
template <class Random>
[[nodiscard]] std::vector<std::string_view> cut(std::string_view all, std::size_t most, Random& random) {
    std::vector<std::string_view> pieces;
    while (!all.empty()) {
        const auto size = std::min<std::size_t>(random() % (most + 1), all.size());
        pieces.push_back(all.substr(0, size));
        all.remove_prefix(size);
    }
    if (random() % 2 == 0) pieces.emplace_back();
    return pieces;
}

[[nodiscard]] inline octets deflated(message_codec& codec, const std::vector<std::string_view>& pieces) {
    octets all;
    for (std::size_t i = 0; i < pieces.size(); ++i) {
        // A buffer of its own for each, as fragments leave at once.
        byte_buffer out;
        REQUIRE(out.append(view("before")));
        REQUIRE(codec.compress(view(pieces[i]), i + 1 == pieces.size(), out));
        all += to_octets(out.bytes()).substr(6);
    }
    return all;
}
[[nodiscard]] inline octets deflated(message_codec& codec, std::string_view message) {
    return deflated(codec, std::vector{message});
}

/// `before`: bytes that are in the buffer already.
[[nodiscard]] inline expanded inflated(message_codec& codec, const std::vector<std::string_view>& pieces,
                                       std::size_t limit = SIZE_MAX, std::size_t before = 0) {
    byte_buffer out;
    REQUIRE(out.append(view(octets(before, '.'))));
    errc error{};
    for (std::size_t i = 0; i < pieces.size() && error == errc{}; ++i) {
        const octets kept{pieces[i]};
        error = codec.expand(view(pieces[i]), i + 1 == pieces.size(), out, limit);
        CHECK(kept == pieces[i]);
        CHECK((out.size() <= limit || out.size() == before));
    }
    return {error, to_octets(out.bytes()).substr(before)};
}
[[nodiscard]] inline expanded inflated(message_codec& codec, std::string_view message,
                                       std::size_t limit = SIZE_MAX) {
    return inflated(codec, std::vector{message}, limit);
}

/// A peer that uses zlib plainly.
class plain_inflater {
public:
    explicit plain_inflater(int bits) { REQUIRE(inflateInit2(&z_, -bits) == Z_OK); }
    ~plain_inflater() { inflateEnd(&z_); }
    plain_inflater(const plain_inflater&) = delete;
    plain_inflater& operator=(const plain_inflater&) = delete;

    void reset() { inflateReset(&z_); }
    /// What a message inflates to, byte by byte, so that nothing is reached but through the window; "broken"
    /// where it can't be inflated.
    [[nodiscard]] octets message(octets data) {
        data += from_hex("00 00 ff ff");
        z_.next_in = reinterpret_cast<Bytef*>(data.data());
        z_.avail_in = static_cast<uInt>(data.size());
        octets all;
        for (;;) {
            Bytef one = 0;
            z_.next_out = &one;
            z_.avail_out = 1;
            const int done = inflate(&z_, Z_SYNC_FLUSH);
            if (z_.avail_out == 0) all.push_back(static_cast<char>(one));
            if (done == Z_BUF_ERROR || (done == Z_OK && z_.avail_out != 0)) break;
            if (done != Z_OK) return "broken";
        }
        return z_.avail_in == 0 ? all : "broken";
    }

private:
    z_stream z_{};
};

/// What zlib makes of `message`: `flush` is Z_SYNC_FLUSH, whose tail is taken off, or Z_FINISH.
[[nodiscard]] inline octets plainly_deflated(std::string_view message, int flush = Z_SYNC_FLUSH,
                                             int level = 9) {
    z_stream z{};
    REQUIRE(deflateInit2(&z, level, Z_DEFLATED, -15, 9, Z_DEFAULT_STRATEGY) == Z_OK);
    octets in{message};
    octets out(message.size() + message.size() / 8 + 1000, '\0');
    z.next_in = reinterpret_cast<Bytef*>(in.data());
    z.avail_in = static_cast<uInt>(in.size());
    z.next_out = reinterpret_cast<Bytef*>(out.data());
    z.avail_out = static_cast<uInt>(out.size());
    const int done = deflate(&z, flush);
    CHECK((done == Z_OK || done == Z_STREAM_END));
    out.resize(out.size() - z.avail_out - (flush == Z_SYNC_FLUSH ? 4 : 0));
    deflateEnd(&z);
    return out;
}

/// Bytes of all kinds: words that come again, near and far, runs, and noise.
template <class Random>
[[nodiscard]] octets some_message(std::size_t size, Random& random) {
    static constexpr std::string_view words[] = {
        "{\"id\":", "\"price\":", "true,", "null}", "Hello", "a somewhat longer phrase that comes again, "};
    octets all;
    const unsigned kind = random() % 4;
    while (all.size() < size) {
        if (kind == 0 || (kind == 3 && random() % 3 == 0))
            all.push_back(static_cast<char>(random()));
        else if (kind == 1)
            all.append(random() % 3000, static_cast<char>(random() % 3));
        else if (random() % 4 != 0 || all.empty())
            all += words[random() % std::size(words)];
        else // from anywhere before: a window that is too small would show
            all += all.substr(random() % all.size(), random() % 300);
    }
    all.resize(size);
    return all;
}

} // namespace duplex::testing
