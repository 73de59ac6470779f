// permessage-deflate on our side, by zlib.

#include "deflate.hpp"
#include "report.hpp"

#include <algorithm>

#include <zlib.h>

namespace bench {

namespace {

constexpr unsigned char tail[] = {0, 0, 0xFF, 0xFF};

class zlib_codec final : public deflate_codec {
public:
    explicit zlib_codec(bool takeover)
        : takeover_{takeover} {
        if (deflateInit2(&out_, 1, Z_DEFLATED, -15, 5, Z_DEFAULT_STRATEGY) != Z_OK ||
            inflateInit2(&in_, -15) != Z_OK)
            throw failure{"zlib has no memory"};
    }
    ~zlib_codec() override {
        deflateEnd(&out_);
        inflateEnd(&in_);
    }

    void compress(std::span<const unsigned char> message, std::vector<unsigned char>& packed) override {
        if (!takeover_) deflateReset(&out_);
        packed.resize(deflateBound(&out_, message.size()) + 16);
        out_.next_in = const_cast<Bytef*>(message.data());
        out_.avail_in = static_cast<uInt>(message.size());
        out_.next_out = packed.data();
        out_.avail_out = static_cast<uInt>(packed.size());
        if (deflate(&out_, Z_SYNC_FLUSH) != Z_OK) throw failure{"a message can't be compressed"};
        packed.resize(packed.size() - out_.avail_out - sizeof tail);
    }

    bool inflates_to(std::span<const unsigned char> packed, std::span<const unsigned char> message) override {
        if (!takeover_) inflateReset(&in_);
        inflated_.resize(message.size() + 1); // one more than may come
        in_.next_out = inflated_.data();
        in_.avail_out = static_cast<uInt>(inflated_.size());
        for (const auto part : {packed, std::span<const unsigned char>{tail}}) {
            in_.next_in = const_cast<Bytef*>(part.data());
            in_.avail_in = static_cast<uInt>(part.size());
            const int done = inflate(&in_, Z_SYNC_FLUSH);
            if ((done != Z_OK && done != Z_BUF_ERROR) || in_.avail_in != 0) return false;
        }
        return inflated_.size() - in_.avail_out == message.size() &&
               std::equal(message.begin(), message.end(), inflated_.begin());
    }

private:
    bool takeover_;
    z_stream out_{};
    z_stream in_{};
    std::vector<unsigned char> inflated_;
};

} // namespace

const char* why_without_deflate() noexcept { return nullptr; }

std::unique_ptr<deflate_codec> make_deflate_codec(bool takeover) {
    return std::make_unique<zlib_codec>(takeover);
}

} // namespace bench
