#pragma once

#include <duplex/core/detail/inlining.hpp>
#include <duplex/http/token.hpp>

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace duplex {

/// `name` or `name=value` behind an extension (RFC 6455 9.1). The value is without its quotes.
struct extension_parameter {
    std::string name{};
    std::optional<std::string> value{};
};

/// One extension of a Sec-WebSocket-Extensions header with its parameters, in their order.
struct extension_offer {
    std::string name{};
    std::vector<extension_parameter> parameters{};
};

/// Most extensions in one handshake, and most parameters of one extension.
inline constexpr std::size_t max_extensions = 32;
inline constexpr std::size_t max_extension_parameters = 32;

namespace detail {

/// Reads a Sec-WebSocket-Extensions value once, from left to right.
class extension_scanner {
public:
    explicit extension_scanner(std::string_view text) noexcept
        : text_(text) {}

    [[nodiscard]] bool at_end() const noexcept { return position_ == text_.size(); }

    void skip_blanks() noexcept {
        while (!at_end() && is_white_space(text_[position_]))
            ++position_;
    }

    /// Eats `c` and the blanks around it.
    [[nodiscard]] bool eat(char c) noexcept {
        skip_blanks();
        if (at_end() || text_[position_] != c) return false;
        ++position_;
        skip_blanks();
        return true;
    }

    /// The token here; empty where there is none.
    [[nodiscard]] std::string_view token() noexcept {
        const auto from = position_;
        while (!at_end() && is_token_char(text_[position_]))
            ++position_;
        return text_.substr(from, position_ - from);
    }

    /// RFC 6455 9.1: a quoted value must be a token once its backslashes are gone.
    [[nodiscard]] bool value(std::string& to) {
        if (at_end() || text_[position_] != '"') {
            to = token();
            return !to.empty();
        }
        for (++position_; !at_end(); ++position_) {
            if (text_[position_] == '"') {
                ++position_;
                return !to.empty();
            }
            if (text_[position_] == '\\' && ++position_ == text_.size()) return false;
            if (!is_token_char(text_[position_])) return false;
            to.push_back(text_[position_]);
        }
        return false;
    }

private:
    std::string_view text_;
    std::size_t position_ = 0;
};

[[nodiscard]] inline bool parse_parameter(extension_scanner& scanner, extension_parameter& parameter) {
    parameter.name = scanner.token();
    if (parameter.name.empty()) return false;
    if (!scanner.eat('=')) return true;
    return scanner.value(parameter.value.emplace());
}

} // namespace detail

/// Parses the value of one Sec-WebSocket-Extensions header (RFC 6455 9.1) and appends what it lists; several
/// headers are parsed one after the other into the same vector. False for a malformed value or one that
/// passes `max_extensions` or `max_extension_parameters`; `append_to` then holds what came before. Empty list
/// elements are skipped (RFC 9110 5.6.1.2).
[[nodiscard]] DUPLEX_RARE inline bool parse_extensions(std::string_view header_value,
                                                       std::vector<extension_offer>& append_to) {
    detail::extension_scanner scanner(header_value);
    for (;;) {
        while (scanner.eat(',')) {
        }
        if (scanner.at_end()) return true;

        extension_offer offer;
        offer.name = scanner.token();
        if (offer.name.empty() || append_to.size() == max_extensions) return false;
        while (scanner.eat(';')) {
            if (offer.parameters.size() == max_extension_parameters) return false;
            if (!detail::parse_parameter(scanner, offer.parameters.emplace_back())) return false;
        }
        append_to.push_back(std::move(offer));
        if (!scanner.at_end() && !scanner.eat(',')) return false;
    }
}

/// True where `extensions` lists one of this name; names are compared exactly.
[[nodiscard]] inline bool lists_extension(const std::vector<extension_offer>& extensions,
                                          std::string_view name) noexcept {
    return std::any_of(extensions.begin(), extensions.end(),
                       [&](const extension_offer& offer) { return offer.name == name; });
}

} // namespace duplex
