#pragma once

#include <duplex/core/limits.hpp>
#include <duplex/http/head_parser.hpp>

#include <cstddef>
#include <span>

namespace duplex::detail {

/// The head of a server's or a proxy's final answer, which may come behind informational ones (RFC 9110
/// 15.2); those are skipped, so many of them.
class final_head {
public:
    explicit final_head(const http_limits& limits = {}) noexcept
        : limits_{limits} {}

    /// Takes the next bytes; what it took is gone from `input`.
    [[nodiscard]] auto feed(std::span<const std::byte>& input) {
        for (;;) {
            const auto result = parser_.feed(input);
            input = input.subspan(result.consumed);
            if (result.state != head_parser::result::state::done) return result.state;
            const unsigned status = parser_.status();
            if (status >= 200 || status == 101 || informational_++ == most_informational) return result.state;
            parser_ = head_parser(head_kind::response, limits_);
        }
    }

    /// Whether anything has come of it.
    [[nodiscard]] bool has_begun() const noexcept {
        return informational_ != 0 || parser_.error_offset() != 0;
    }
    [[nodiscard]] head_parser& parser() noexcept { return parser_; }
    [[nodiscard]] const http_limits& limits() const noexcept { return limits_; }

private:
    static constexpr unsigned most_informational = 8;

    http_limits limits_;
    head_parser parser_{head_kind::response, limits_};
    unsigned informational_ = 0;
};

} // namespace duplex::detail
