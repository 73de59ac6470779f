#include <duplex/deflate/message_codec.hpp>

// Here, before anything else is included: the interface comes without zlib.
#if defined(ZLIB_H) || defined(ZLIB_VERSION)
#error "the interface of codecs reaches zlib"
#endif

#include "support/catch.hpp"

#include <cstddef>
#include <memory>
#include <new>
#include <span>
#include <type_traits>

using namespace duplex;

namespace {

/// What a program may put in the place of zlib.
class storing final : public message_codec {
public:
    bool compress(std::span<const std::byte> payload, bool, byte_buffer& out) noexcept override {
        return out.append(payload);
    }
    void discard() noexcept override {}
    bool worth_trying(std::size_t) noexcept override { return true; }
    errc expand(std::span<const std::byte> piece, bool, byte_buffer& out,
                std::size_t limit) noexcept override {
        if (piece.size() > limit - out.size()) return errc::message_too_big;
        return out.append(piece) ? errc{} : errc::out_of_memory;
    }
    void release() noexcept override {}
    int window_bits() const noexcept override { return 8; }
    std::size_t memory() const noexcept override { return sizeof *this; }
};

std::unique_ptr<message_codec> make_storing(role, const deflate_params&, const deflate_options&) noexcept {
    return std::unique_ptr<message_codec>{new (std::nothrow) storing};
}

} // namespace

TEST_CASE("a codec of the program's own fits where zlib's would") {
    const codec_maker maker = &make_storing;
    const auto codec = maker(role::client, {}, {});
    REQUIRE(codec);
    const std::byte payload[3]{};
    byte_buffer out;
    CHECK(codec->worth_trying(3));
    CHECK(codec->compress(payload, true, out));
    CHECK((codec->expand(payload, true, out, 6) == errc{}));
    CHECK((codec->expand(payload, true, out, 6) == errc::message_too_big));
    STATIC_REQUIRE_FALSE(std::is_copy_constructible_v<message_codec>);
    STATIC_REQUIRE(std::has_virtual_destructor_v<message_codec>);
    STATIC_REQUIRE(std::is_same_v<decltype(detail::default_codec), codec_maker>);
}
