#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <string_view>

namespace duplex {

namespace detail {

/// What a byte may be part of; a byte can be of several classes.
struct char_class {
    static constexpr std::uint8_t token = 1;  ///< RFC 9110 5.6.2
    static constexpr std::uint8_t value = 2;  ///< RFC 9110 5.5: visible, obs-text, SP, HTAB
    static constexpr std::uint8_t target = 4; ///< RFC 9112 3.2: visible ASCII, no fragment
};

inline constexpr auto char_classes = [] {
    std::array<std::uint8_t, 256> table{};
    const auto add = [&table](std::size_t from, std::size_t to, std::uint8_t bits) {
        for (; from <= to; ++from)
            table[from] = static_cast<std::uint8_t>(table[from] | bits);
    };
    add('\t', '\t', char_class::value);
    add(' ', 0x7E, char_class::value);
    add(0x80, 0xFF, char_class::value);
    add('!', '"', char_class::target);
    add('$', 0x7E, char_class::target);
    add('0', '9', char_class::token);
    add('A', 'Z', char_class::token);
    add('a', 'z', char_class::token);
    for (const char c : std::string_view{"!#$%&'*+-.^_`|~"})
        add(static_cast<unsigned char>(c), static_cast<unsigned char>(c), char_class::token);
    return table;
}();

[[nodiscard]] constexpr bool is_of_class(char c, std::uint8_t bits) noexcept {
    return (char_classes[static_cast<unsigned char>(c)] & bits) != 0;
}

[[nodiscard]] constexpr bool all_of_class(std::string_view text, std::uint8_t bits) noexcept {
    for (const char c : text)
        if (!is_of_class(c, bits)) return false;
    return true;
}

/// RFC 9110 5.6.3: the white space allowed round values and list elements.
[[nodiscard]] constexpr bool is_white_space(char c) noexcept { return c == ' ' || c == '\t'; }

[[nodiscard]] constexpr bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }

/// Lower case for ASCII letters only, whatever the locale.
[[nodiscard]] constexpr char to_lower(char c) noexcept {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
}

[[nodiscard]] constexpr bool is_alpha(char c) noexcept {
    const char lower = to_lower(c);
    return lower >= 'a' && lower <= 'z';
}

} // namespace detail

/// True for a character of which tokens are made (RFC 9110 5.6.2).
[[nodiscard]] constexpr bool is_token_char(char c) noexcept {
    return detail::is_of_class(c, detail::char_class::token);
}

/// True for a method, a field name, a subprotocol (RFC 9110 5.6.2); false for an empty view.
[[nodiscard]] constexpr bool is_token(std::string_view text) noexcept {
    return !text.empty() && detail::all_of_class(text, detail::char_class::token);
}

/// True for what a header may carry as its value (RFC 9110 5.5): no CR, LF, NUL or other control character,
/// no white space at either end. An empty value is valid.
[[nodiscard]] constexpr bool is_field_value(std::string_view text) noexcept {
    if (text.empty()) return true;
    if (detail::is_white_space(text.front()) || detail::is_white_space(text.back())) return false;
    return detail::all_of_class(text, detail::char_class::value);
}

/// Compares as field names and most tokens are compared: ASCII letters without regard to case.
[[nodiscard]] constexpr bool equals_ignoring_case(std::string_view a, std::string_view b) noexcept {
    if (a.size() != b.size()) return false;
    // Most come as they are written everywhere.
    if (a == b) return true;
    for (std::size_t i = 0; i < a.size(); ++i)
        if (detail::to_lower(a[i]) != detail::to_lower(b[i])) return false;
    return true;
}

/// `text` without the spaces and tabs at its ends (RFC 9110 5.6.3).
[[nodiscard]] constexpr std::string_view trim(std::string_view text) noexcept {
    while (!text.empty() && detail::is_white_space(text.front()))
        text.remove_prefix(1);
    while (!text.empty() && detail::is_white_space(text.back()))
        text.remove_suffix(1);
    return text;
}

/// The elements of a comma-separated list, without the white space round them (RFC 9110 5.6.1). Commas inside
/// quoted strings do not separate; a quoted string that never ends reaches to the end of the list. One pass
/// over the list takes time linear in its length. The elements are views of the text that was given.
class list_view {
public:
    class iterator {
    public:
        using value_type = std::string_view;
        using difference_type = std::ptrdiff_t;
        using reference = std::string_view;
        using iterator_category = std::input_iterator_tag;
        using iterator_concept = std::forward_iterator_tag;

        constexpr iterator() noexcept = default;

        [[nodiscard]] constexpr std::string_view operator*() const noexcept { return element_; }

        constexpr iterator& operator++() noexcept {
            advance();
            return *this;
        }

        constexpr iterator operator++(int) noexcept {
            const iterator old = *this;
            advance();
            return old;
        }

        [[nodiscard]] friend constexpr bool operator==(const iterator& a, const iterator& b) noexcept {
            return a.element_.data() == b.element_.data() && a.element_.size() == b.element_.size();
        }

    private:
        friend class list_view;

        constexpr explicit iterator(std::string_view text) noexcept
            : rest_(text) {
            advance();
        }

        constexpr void advance() noexcept {
            // RFC 9110 5.6.1.2: empty elements are skipped
            std::size_t begin = 0;
            while (begin < rest_.size() && (rest_[begin] == ',' || detail::is_white_space(rest_[begin])))
                ++begin;
            if (begin == rest_.size()) {
                *this = {};
                return;
            }
            std::size_t end = begin;
            bool quoted = false;
            for (; end < rest_.size() && (quoted || rest_[end] != ','); ++end) {
                if (rest_[end] == '"') quoted = !quoted;
                // RFC 9110 5.6.4: a backslash takes the meaning from the character after it
                else if (quoted && rest_[end] == '\\' && end + 1 < rest_.size())
                    ++end;
            }
            element_ = trim(rest_.substr(begin, end - begin));
            rest_.remove_prefix(end);
        }

        std::string_view element_;
        std::string_view rest_;
    };

    constexpr explicit list_view(std::string_view text) noexcept
        : text_(text) {}

    [[nodiscard]] constexpr iterator begin() const noexcept { return iterator(text_); }
    [[nodiscard]] constexpr iterator end() const noexcept { return {}; }
    [[nodiscard]] constexpr bool empty() const noexcept { return begin() == end(); }

private:
    std::string_view text_;
};

/// True where the list has `token` as one of its elements, without regard to case (RFC 6455 4.2.1: the
/// "Upgrade" token of Connection).
[[nodiscard]] constexpr bool list_contains_token(std::string_view list, std::string_view token) noexcept {
    for (const auto element : list_view(list))
        if (equals_ignoring_case(element, token)) return true;
    return false;
}

} // namespace duplex
