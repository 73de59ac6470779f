#pragma once

#include <duplex/core/detail/inlining.hpp>
#include <duplex/core/utf8.hpp>

#include <cstddef>
#include <string>
#include <string_view>

namespace duplex::detail {

/// The longest explanation of an error, in bytes.
inline constexpr std::size_t most_words = 512;

/// Appends what may come from a peer as it may stand in one line of a log, while `to` is below `most` bytes:
/// "?" for controls, those of Unicode (U+0080 to U+009F, and the two line ends U+2028 and U+2029) included,
/// and for all that is not ASCII where it is not UTF-8. What is cut off leaves "..." in its place.
DUPLEX_RARE inline void append_words(std::string& to, std::string_view text, std::size_t most = most_words) {
    constexpr std::string_view cut = "...";
    const bool utf8 = is_valid_utf8(text);
    const auto size_at = [&](std::size_t at) -> std::size_t {
        const auto lead = static_cast<unsigned char>(text[at]);
        return !utf8 || lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
    };
    const auto harmless = [&](std::string_view one) {
        const auto lead = static_cast<unsigned char>(one[0]);
        if (one.size() == 1) return lead >= 0x20 && lead < 0x7F;
        if (one.size() == 2 && lead == 0xC2) return static_cast<unsigned char>(one[1]) >= 0xA0;
        return one != "\xE2\x80\xA8" && one != "\xE2\x80\xA9";
    };
    std::size_t room = to.size(); // where the text can end so that the dots fit behind it
    for (std::size_t at = 0; at < text.size();) {
        const auto one = text.substr(at, size_at(at));
        const auto shown = harmless(one) ? one : std::string_view{"?"};
        if (to.size() + shown.size() > most) {
            to.resize(room);
            if (room + cut.size() <= most) to += cut;
            return;
        }
        to += shown;
        if (to.size() + cut.size() <= most) room = to.size();
        at += one.size();
    }
}

[[nodiscard]] DUPLEX_RARE inline std::string words(std::string_view text, std::size_t most = most_words) {
    std::string made;
    append_words(made, text, most);
    return made;
}

/// Its first line that has anything in it, without the white space at its ends.
[[nodiscard]] constexpr std::string_view first_line(std::string_view text) noexcept {
    constexpr std::string_view white_space = " \t\r\n";
    const auto begin = text.find_first_not_of(white_space);
    if (begin == std::string_view::npos) return {};
    text = text.substr(begin);
    text = text.substr(0, text.find_first_of("\r\n"));
    return text.substr(0, text.find_last_not_of(white_space) + 1);
}

} // namespace duplex::detail
