#pragma once

#include "deflate.hpp"
#include "frame_ring.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace bench {

/// A round of messages that all differ and are alike, as those of an application are: arrays of records in
/// JSON, each filled up with spaces to the size that is asked for. The round is longer than any window, so
/// that no message comes again while a compressor still knows it.
class json_ring {
public:
    explicit json_ring(std::size_t size) {
        numbers random;
        const auto codec = make_deflate_codec(false);
        const auto slots = std::max<std::size_t>(8, (std::size_t{128} << 10) / size);
        for (std::size_t i = 0; i < slots; ++i) {
            messages_.push_back(message(size, random));
            codec->compress(messages_.back(), packed_.emplace_back());
        }
    }

    [[nodiscard]] std::size_t slots() const noexcept { return messages_.size(); }
    [[nodiscard]] std::span<const unsigned char> plain(std::size_t at) const noexcept {
        return messages_[at];
    }
    /// Compressed on its own.
    [[nodiscard]] std::span<const unsigned char> packed(std::size_t at) const noexcept { return packed_[at]; }

private:
    [[nodiscard]] static std::vector<unsigned char> message(std::size_t size, numbers& random) {
        std::string text{'['};
        for (;;) {
            const auto one = record(random);
            if (text.size() + one.size() + 2 > size) break;
            if (text.size() > 1) text += ',';
            text += one;
        }
        text.resize(size - 1, ' ');
        text += size > 1 ? ']' : ' ';
        return {text.begin(), text.end()};
    }

    [[nodiscard]] static std::string record(numbers& random) {
        static constexpr const char* names[] = {"temperature", "humidity", "pressure", "voltage",
                                                "current",     "speed",    "altitude", "level"};
        static constexpr const char* places[] = {"hall-north", "hall-south", "roof", "basement", "yard"};
        const auto one_of = [&](const auto& from) { return from[random.next() % std::size(from)]; };
        char text[256];
        std::snprintf(
            text, sizeof text,
            R"({"id":%u,"sensor":"%s","place":"%s","value":%u.%02u,"time":"2025-%02u-%02uT%02u:%02u:%02uZ",)"
            R"("valid":%s})",
            random.next() % 1000000U, one_of(names), one_of(places), random.next() % 1000U,
            random.next() % 100U, 1 + random.next() % 12U, 1 + random.next() % 28U, random.next() % 24U,
            random.next() % 60U, random.next() % 60U, random.next() % 16U != 0 ? "true" : "false");
        return text;
    }

    std::vector<std::vector<unsigned char>> messages_;
    std::vector<std::vector<unsigned char>> packed_;
};

} // namespace bench
