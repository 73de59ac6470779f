#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

/// The peer's bytes in every cut: whole, split in two at every position, and byte by byte.
namespace feeding {

inline std::span<const std::byte> bytes(std::string_view text) {
    return std::as_bytes(std::span(text.data(), text.size()));
}

inline std::string text(std::span<const std::byte> data) {
    return {reinterpret_cast<const char*>(data.data()), data.size()};
}

/// Views of the text that was cut.
using pieces = std::vector<std::string_view>;

std::vector<pieces> all_cuts(std::string&&) = delete;
std::vector<pieces> few_cuts(std::string&&) = delete;

inline std::vector<pieces> all_cuts(const std::string& text) {
    const std::string_view whole = text;
    std::vector<pieces> cuts{{whole}};
    for (std::size_t i = 1; i < whole.size(); ++i)
        cuts.push_back({whole.substr(0, i), whole.substr(i)});
    pieces single;
    for (std::size_t i = 0; i < whole.size(); ++i)
        single.push_back(whole.substr(i, 1));
    cuts.push_back(single);
    return cuts;
}

/// For inputs too long to be split everywhere.
inline std::vector<pieces> few_cuts(const std::string& text) {
    const std::string_view whole = text;
    pieces single;
    for (std::size_t i = 0; i < whole.size(); ++i)
        single.push_back(whole.substr(i, 1));
    return {{whole}, single};
}

/// Passes the pieces on until `handshake` needs no more. Gives the bytes that it was not shown.
template <class Handshake>
std::string feed(Handshake& handshake, const pieces& cut) {
    std::string rest;
    bool more = true;
    for (const auto piece : cut) {
        if (more)
            more = handshake.receive(bytes(piece)) == Handshake::progress::need_more;
        else
            rest += piece;
    }
    return rest;
}

} // namespace feeding
