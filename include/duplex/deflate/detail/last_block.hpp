#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>

namespace duplex::detail {

/// Finds the last block of a raw DEFLATE stream (RFC 1951) and its end, to the bit, which a compressor that
/// ends all that it makes does not tell. For streams that come from such a one: of a broken one it may say
/// anything, but reads nothing beyond it.
class last_block {
public:
    struct place {
        std::size_t header; ///< bits before its header, whose first bit is BFINAL
        std::size_t end;    ///< bits up to its end

        bool operator==(const place&) const = default;
    };

    /// Nothing where the stream is not whole.
    [[nodiscard]] std::optional<place> find(std::span<const std::byte> stream) noexcept {
        stream_ = stream;
        at_ = 0;
        for (;;) {
            const auto header = at_;
            const bool last = take(1) != 0;
            bool fine = false;
            switch (take(2)) {
            case 0: fine = skip_stored(); break;
            case 1:
                use_fixed_codes();
                fine = skip_symbols();
                break;
            case 2:
                if (!take_codes()) break;
                // No symbol of the last block need be looked at where its end can be told from its code.
                if (last && seek_end()) return place{header, at_};
                fine = skip_symbols();
                break;
            default: break;
            }
            if (!fine || at_ > bits()) return {};
            if (last) return place{header, at_};
        }
    }

private:
    static constexpr unsigned most_code_bits = 15;
    static constexpr std::size_t literals = 288, distances = 32, end_of_block = 256;

    using lengths = std::array<std::uint8_t, literals + distances>;

    /// What a code stands for, in a byte: the bits of it and of what follows it, and what it is.
    static constexpr std::uint8_t count_mask = 31, is_end = 32, is_length = 64;

    /// For any bits that may come next what the code that they begin with stands for; 0 where there is none.
    struct table {
        unsigned bits = 0; ///< of the longest code
        std::array<std::uint8_t, std::size_t{1} << most_code_bits> entries;

        /// `entry_of` gives the bits that follow each symbol, and its kind.
        template <class EntryOf>
        void build(std::span<const std::uint8_t> code_lengths, EntryOf entry_of) noexcept {
            bits = std::max<unsigned>(1, *std::max_element(code_lengths.begin(), code_lengths.end()));
            std::memset(entries.data(), 0, std::size_t{1} << bits);
            const auto first = first_codes(code_lengths);
            auto next = first;
            for (std::size_t symbol = 0; symbol < code_lengths.size(); ++symbol) {
                const unsigned length = code_lengths[symbol];
                if (length == 0) continue;
                const auto entry = static_cast<std::uint8_t>(length + entry_of(symbol));
                // Codes lie in the stream from their first bit on, other numbers from their last.
                for (std::size_t i = reversed(next[length]++, length); i < std::size_t{1} << bits;
                     i += std::size_t{1} << length)
                    entries[i] = entry;
            }
        }
        [[nodiscard]] std::uint8_t operator[](std::uint64_t next) const noexcept {
            return entries[next & ((std::uint64_t{1} << bits) - 1)];
        }
    };

    /// RFC 1951 3.2.2: the first code of each length.
    [[nodiscard]] static std::array<unsigned, most_code_bits + 1>
    first_codes(std::span<const std::uint8_t> code_lengths) noexcept {
        std::array<unsigned, most_code_bits + 1> count{}, first{};
        for (const auto length : code_lengths)
            ++count[length];
        count[0] = 0;
        for (std::size_t length = 1; length <= most_code_bits; ++length)
            first[length] = (first[length - 1] + count[length - 1]) << 1;
        return first;
    }

    [[nodiscard]] static std::size_t reversed(unsigned code, unsigned length) noexcept {
        std::size_t turned = 0;
        for (; length > 0; --length, code >>= 1)
            turned = turned << 1 | (code & 1);
        return turned;
    }

    [[nodiscard]] std::size_t bits() const noexcept { return stream_.size() * 8; }

    /// The 57 bits or more that come next; zeros behind the end.
    [[nodiscard]] std::uint64_t next() const noexcept {
        const auto from = at_ / 8;
        std::array<std::byte, 8> raw{};
        if (from + raw.size() <= stream_.size()) [[likely]]
            std::memcpy(raw.data(), stream_.data() + from, raw.size());
        else if (from < stream_.size())
            std::memcpy(raw.data(), stream_.data() + from, stream_.size() - from);
        std::uint64_t value = 0;
        if constexpr (std::endian::native == std::endian::little)
            std::memcpy(&value, raw.data(), sizeof value);
        else
            for (std::size_t i = 0; i < raw.size(); ++i)
                value |= std::uint64_t{std::to_integer<std::uint8_t>(raw[i])} << (8 * i);
        return value >> (at_ % 8);
    }

    [[nodiscard]] std::size_t take(unsigned count) noexcept {
        const auto value = next() & ((std::uint64_t{1} << count) - 1);
        at_ += count;
        return static_cast<std::size_t>(value);
    }

    [[nodiscard]] bool skip_stored() noexcept {
        at_ = (at_ + 7) / 8 * 8;
        const auto size = take(16);
        if (take(16) != (size ^ 0xFFFFU)) return false;
        at_ += size * 8;
        return true;
    }

    void use_fixed_codes() noexcept {
        // RFC 1951 3.2.6
        lengths code_lengths{};
        for (std::size_t i = 0; i < literals; ++i)
            code_lengths[i] = i < 144 ? 8 : i < 256 ? 9 : i < 280 ? 7 : 8;
        std::fill_n(code_lengths.begin() + literals, distances, std::uint8_t{5});
        lengths_ = code_lengths;
        literal_count_ = literals;
        distance_count_ = distances;
    }

    /// RFC 1951 3.2.7: the lengths of the codes, themselves in code.
    [[nodiscard]] bool take_codes() noexcept {
        literal_count_ = take(5) + 257;
        distance_count_ = take(5) + 1;
        static constexpr std::uint8_t order[] = {16, 17, 18, 0, 8,  7, 9,  6, 10, 5,
                                                 11, 4,  12, 3, 13, 2, 14, 1, 15};
        std::array<std::uint8_t, std::size(order)> code_lengths{};
        const auto count = take(4) + 4;
        if (count > std::size(order) || literal_count_ > literals) return false;
        for (std::size_t i = 0; i < count; ++i)
            code_lengths[order[i]] = static_cast<std::uint8_t>(take(3));
        // Which symbol a code stands for, above the bits of it.
        std::array<std::uint8_t, 128> symbols{};
        auto next_code = first_codes(code_lengths);
        for (std::size_t symbol = 0; symbol < code_lengths.size(); ++symbol) {
            const unsigned length = code_lengths[symbol];
            if (length == 0) continue;
            for (std::size_t i = reversed(next_code[length]++, length); i < symbols.size();
                 i += std::size_t{1} << length)
                symbols[i] = static_cast<std::uint8_t>(symbol << 3 | length);
        }
        std::size_t made = 0;
        std::uint8_t before = 0;
        const auto all = literal_count_ + distance_count_;
        while (made < all) {
            const auto entry = symbols[next() & 127];
            if (entry == 0 || at_ > bits()) return false;
            at_ += entry & 7U;
            std::size_t times = 1;
            auto length = static_cast<std::uint8_t>(entry >> 3);
            if (length == 16) {
                if (made == 0) return false;
                length = before;
                times = 3 + take(2);
            } else if (length > 16) {
                times = length == 17 ? 3 + take(3) : 11 + take(7);
                length = 0;
            }
            if (times > all - made) return false;
            std::fill_n(lengths_.begin() + static_cast<std::ptrdiff_t>(made), times, length);
            made += times;
            before = length;
        }
        return true;
    }

    [[nodiscard]] std::span<const std::uint8_t> literal_lengths() const noexcept {
        return std::span{lengths_}.first(literal_count_);
    }

    /// To the end of a stream whose last bits are the code of the end and, up to the end of a byte, zeros:
    /// the last bit set is in that code, and how many follow it there is known. A code of zeros alone says
    /// no.
    [[nodiscard]] bool seek_end() noexcept {
        const auto code_lengths = literal_lengths();
        const unsigned length = code_lengths[end_of_block];
        const auto code = first_codes(code_lengths)[length] +
                          static_cast<unsigned>(
                              std::count(code_lengths.begin(), code_lengths.begin() + end_of_block, length));
        if (length == 0 || code == 0) return false;
        std::size_t last = stream_.size();
        while (last > at_ / 8 && stream_[last - 1] == std::byte{0})
            --last;
        if (last == 0) return false;
        const auto set =
            static_cast<std::size_t>(std::bit_width(std::to_integer<unsigned>(stream_[last - 1])));
        const auto end = (last - 1) * 8 + set + static_cast<std::size_t>(std::countr_zero(code));
        if (end < at_ || end > bits() || bits() - end > 7) return false;
        at_ = end;
        return true;
    }

    [[nodiscard]] bool skip_symbols() noexcept {
        literal_table_.build(literal_lengths(), [](std::size_t symbol) -> std::size_t {
            if (symbol < end_of_block) return 0;
            if (symbol == end_of_block) return is_end;
            // RFC 1951 3.2.5: the bits that follow a length.
            const auto length = symbol - 257;
            return is_length + (length < 8 || length >= 28 ? 0 : length / 4 - 1);
        });
        distance_table_.build(std::span{lengths_}.subspan(literal_count_, distance_count_),
                              [](std::size_t symbol) -> std::size_t {
                                  return symbol < 4 ? 0 : symbol / 2 - 1; // and a distance
                              });
        while (at_ <= bits()) {
            const auto ahead = next();
            const unsigned entry = literal_table_[ahead];
            if (entry == 0) return false;
            at_ += entry & count_mask;
            if ((entry & is_end) != 0) return true;
            if ((entry & is_length) == 0) continue;
            const unsigned distance = distance_table_[ahead >> (entry & count_mask)];
            if (distance == 0) return false;
            at_ += distance;
        }
        return false;
    }

    std::span<const std::byte> stream_{};
    std::size_t at_ = 0; ///< bits before the next one
    std::size_t literal_count_ = 0;
    std::size_t distance_count_ = 0;
    lengths lengths_{}; ///< of the codes for literals, then of those for distances
    // Not cleared: what is used of them is made first, and most streams need none.
    table literal_table_;
    table distance_table_;
};

} // namespace duplex::detail
