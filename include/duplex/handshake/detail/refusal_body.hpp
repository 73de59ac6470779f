#pragma once

#include <duplex/handshake/detail/own_headers.hpp>
#include <duplex/http/fields.hpp>
#include <duplex/http/token.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace duplex::detail {

/// Collects the body of an answer that refuses the upgrade (RFC 9112 6), up to a bound. The connection is not
/// used again, so whatever is malformed simply ends the body.
class refusal_body {
public:
    refusal_body() noexcept = default;

    refusal_body(unsigned status, const fields& headers, std::size_t most_bytes) noexcept
        : most_(most_bytes) {
        // RFC 9110 6.4.1: these have no body, whatever their headers say
        if (status < 200 || status == 204 || status == 304 || most_bytes == 0) return;
        if (any_lists(headers, "Transfer-Encoding", "chunked")) {
            part_ = part::size_digits;
        } else if (const auto length = find_only(headers, "Content-Length");
                   length && parse_length(*length)) {
            part_ = remaining_ == 0 ? part::complete : part::counted;
        } else {
            part_ = part::until_end;
        }
    }

    /// Takes the next bytes and says whether the body, or as much of it as is kept, is complete.
    [[nodiscard]] bool receive(std::span<const std::byte> input) {
        std::string_view text(reinterpret_cast<const char*>(input.data()), input.size());
        while (!text.empty() && part_ != part::complete)
            text.remove_prefix(take_some(text));
        return part_ == part::complete;
    }

    [[nodiscard]] std::string take() noexcept { return std::move(body_); }

private:
    enum class part : std::uint8_t {
        complete,
        counted,     ///< `remaining_` bytes of a body with Content-Length
        until_end,   ///< all until the stream ends
        size_digits, ///< of a chunk
        size_rest,   ///< up to the end of the line with the size
        chunk,       ///< `remaining_` bytes
        chunk_end,
    };

    /// Deals with at least one byte.
    std::size_t take_some(std::string_view text) {
        switch (part_) {
        case part::counted: return keep_counted(text, part::complete);
        case part::until_end: return keep(text);
        case part::size_digits: return take_size_digit(text.front());
        case part::size_rest:
            if (text.front() == '\n')
                part_ = remaining_ == 0 ? part::complete : part::chunk;
            else
                count_line();
            return 1;
        case part::chunk: return keep_counted(text, part::chunk_end);
        case part::chunk_end:
            if (text.front() == '\n') {
                line_ = 0;
                part_ = part::size_digits;
            } else if (text.front() == '\r') {
                count_line();
            } else {
                part_ = part::complete;
            }
            return 1;
        case part::complete: break;
        }
        return text.size();
    }

    std::size_t take_size_digit(char c) noexcept {
        constexpr std::string_view digits = "0123456789abcdef";
        const auto value = digits.find(to_lower(c));
        if (value == std::string_view::npos) {
            // RFC 9112 7.1: at least one digit; an extension may follow
            part_ = line_ == 0 ? part::complete : part::size_rest;
            return part_ == part::complete ? 1 : 0;
        }
        if (line_ == 0) remaining_ = 0;
        if (remaining_ > std::numeric_limits<std::uint64_t>::max() >> 4) {
            part_ = part::complete;
            return 1;
        }
        remaining_ = remaining_ << 4 | value;
        count_line();
        return 1;
    }

    /// Bounds what is spent on bytes that are no body.
    void count_line() noexcept {
        constexpr std::uint16_t longest_line = 1024;
        if (++line_ > longest_line) part_ = part::complete;
    }

    std::size_t keep_counted(std::string_view text, part next) {
        if (remaining_ < text.size()) text = text.substr(0, static_cast<std::size_t>(remaining_));
        remaining_ -= text.size();
        const std::size_t used = text.size();
        if (remaining_ == 0) part_ = next;
        keep(text);
        return used;
    }

    std::size_t keep(std::string_view text) {
        body_.append(text.substr(0, most_ - body_.size()));
        if (body_.size() == most_) part_ = part::complete;
        return text.size();
    }

    [[nodiscard]] bool parse_length(std::string_view text) noexcept {
        if (text.empty() || text.size() > 18 || !std::all_of(text.begin(), text.end(), is_digit))
            return false;
        for (const char c : text)
            remaining_ = remaining_ * 10 + static_cast<std::uint64_t>(c - '0');
        return true;
    }

    std::string body_;
    std::size_t most_ = 0;
    std::uint64_t remaining_ = 0;
    std::uint16_t line_ = 0; ///< bytes seen of the line with a chunk's size
    part part_ = part::complete;
};

} // namespace duplex::detail
