#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <span>
#include <string_view>

namespace duplex::testing {

/// What a fuzzer made: flags, sizes of pieces, and the bytes that come in these pieces.
struct fuzz_input {
    std::uint8_t flags = 0;
    std::string_view sizes{};
    std::string_view bytes{};

    /// The first byte holds the flags, the second the number of sizes that follow (up to 15).
    fuzz_input(const std::uint8_t* data, std::size_t size) {
        std::string_view all{reinterpret_cast<const char*>(data), size};
        if (all.size() < 2) return;
        flags = data[0];
        all.remove_prefix(1);
        const std::size_t count = static_cast<unsigned char>(all.front()) % 16U;
        all.remove_prefix(1);
        sizes = all.substr(0, count);
        bytes = all.substr(sizes.size());
    }

    [[nodiscard]] bool flag(unsigned which) const { return (flags >> which & 1U) != 0; }

    /// The size of piece `turn`; without sizes there is one piece.
    [[nodiscard]] std::size_t size_of(std::size_t turn) const {
        if (sizes.empty()) return SIZE_MAX;
        return std::size_t{1} + static_cast<unsigned char>(sizes[turn % sizes.size()]);
    }
};

/// A heap block of the exact size, so that a sanitizer sees a read behind it.
class exact_block {
public:
    explicit exact_block(std::string_view bytes)
        : data_{new std::byte[bytes.size()]}
        , size_{bytes.size()} {
        if (size_ != 0) std::memcpy(data_.get(), bytes.data(), size_);
    }
    [[nodiscard]] std::span<std::byte> bytes() { return {data_.get(), size_}; }
    void scribble() { std::memset(data_.get(), 0xA5, size_); }

private:
    std::unique_ptr<std::byte[]> data_;
    std::size_t size_;
};

/// Ends the program, which is what a fuzzer takes for a finding.
inline void must(bool holds, const char* what) {
    if (holds) return;
    std::fprintf(stderr, "broken: %s\n", what);
    std::abort();
}

} // namespace duplex::testing
