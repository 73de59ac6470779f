#pragma once

#include <duplex/core/detail/inlining.hpp>
#include <duplex/core/detail/words.hpp>

#include <string>
#include <string_view>

namespace duplex::detail {

/// What is said of an answer that refuses: "server answered 403 Forbidden: members only", with the body's
/// first line.
[[nodiscard]] DUPLEX_RARE inline std::string refusal_words(std::string_view who, unsigned status,
                                                           std::string_view reason, std::string_view body) {
    std::string text{who};
    text.append(" answered ").append(std::to_string(status));
    if (!reason.empty()) append_words(text.append(1, ' '), reason);
    const auto line = first_line(body);
    // A page says less in its first line than its status does.
    if (!line.empty() && line.front() != '<') append_words(text.append(": "), line);
    return words(text);
}

} // namespace duplex::detail
