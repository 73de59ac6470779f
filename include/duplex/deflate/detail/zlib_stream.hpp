#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>

#include <zlib.h>

namespace duplex::detail {

/// A z_stream whose memory is counted. It stays where it is made: zlib keeps a pointer to it.
class zlib_stream {
public:
    zlib_stream(const zlib_stream&) = delete;
    zlib_stream& operator=(const zlib_stream&) = delete;

    [[nodiscard]] z_stream& z() noexcept { return z_; }
    /// Bytes of the current message: a codec that has no stream has none.
    std::size_t taken = 0;
    std::size_t given = 0;

    /// Bytes it holds, itself included.
    [[nodiscard]] std::size_t memory() const noexcept { return bytes_ + sizeof *this; }

protected:
    zlib_stream() noexcept {
        z_.zalloc = &allocate;
        z_.zfree = &free;
        z_.opaque = &bytes_;
    }
    ~zlib_stream() = default;

private:
    /// In front of each block stands its size, as zlib does not tell it again.
    static constexpr std::size_t front = alignof(std::max_align_t);

    [[nodiscard]] static voidpf allocate(voidpf counted, uInt items, uInt size) noexcept {
        const auto wanted = std::uint64_t{items} * size;
        if (wanted > SIZE_MAX / 2) return nullptr;
        const auto bytes = static_cast<std::size_t>(wanted) + front;
        auto* const block = static_cast<std::byte*>(std::malloc(bytes));
        if (block == nullptr) return nullptr;
        ::new (block) std::size_t{bytes};
        *static_cast<std::size_t*>(counted) += bytes;
        return block + front;
    }
    static void free(voidpf counted, voidpf given) noexcept {
        if (given == nullptr) return;
        auto* const block = static_cast<std::byte*>(given) - front;
        *static_cast<std::size_t*>(counted) -= *std::launder(reinterpret_cast<std::size_t*>(block));
        std::free(block);
    }

    z_stream z_{};
    std::size_t bytes_ = 0;
};

/// What a compressor is made with.
struct deflate_shape {
    std::int8_t level = 1;
    std::int8_t memory_level = 5;
    std::int8_t window_bits = 15; ///< 9 to 15

    bool operator==(const deflate_shape&) const = default;
};

/// A compressor, which makes raw DEFLATE data (RFC 1951).
class deflate_stream final : public zlib_stream {
public:
    /// Null when memory ran out.
    [[nodiscard]] static std::unique_ptr<deflate_stream> make(const deflate_shape& shape) noexcept {
        std::unique_ptr<deflate_stream> made{new (std::nothrow) deflate_stream{shape}};
        if (made && deflateInit2(&made->z(), shape.level, Z_DEFLATED, -shape.window_bits, shape.memory_level,
                                 Z_DEFAULT_STRATEGY) != Z_OK)
            return nullptr;
        return made;
    }
    ~deflate_stream() { deflateEnd(&z()); }

    [[nodiscard]] const deflate_shape& shape() const noexcept { return shape_; }
    /// Forgets all that it has seen.
    void reset() noexcept { deflateReset(&z()); }

private:
    explicit deflate_stream(const deflate_shape& shape) noexcept
        : shape_{shape} {}

    deflate_shape shape_;
};

/// What inflates raw DEFLATE data.
class inflate_stream final : public zlib_stream {
public:
    /// Null when memory ran out. The window is taken only once something was inflated.
    [[nodiscard]] static std::unique_ptr<inflate_stream> make(int window_bits) noexcept {
        std::unique_ptr<inflate_stream> made{new (std::nothrow) inflate_stream};
        if (made && inflateInit2(&made->z(), -window_bits) != Z_OK) return nullptr;
        return made;
    }
    ~inflate_stream() { inflateEnd(&z()); }

    void reset() noexcept { inflateReset(&z()); }
    /// Goes on behind a final block as if there had been none: the window stays. A round trip of the window
    /// through inflateGetDictionary and inflateSetDictionary does the same, but a message may have such a
    /// block every two bytes.
    void go_on() noexcept { inflateResetKeep(&z()); }

private:
    inflate_stream() noexcept = default;
};

} // namespace duplex::detail
