#pragma once

#include <duplex/http/date.hpp>
#include <duplex/http/token.hpp>

#include <algorithm>
#include <chrono>
#include <optional>
#include <string_view>

namespace duplex {

/// The longest wait that `parse_retry_after` gives.
inline constexpr std::chrono::seconds longest_retry_after = std::chrono::hours{24};

/// How long a server that answers 503 or 429 wants not to be asked (RFC 9110 10.2.3: Retry-After, a number of
/// seconds or an HTTP-date), from `now` on. Between 0, which a date in the past gives too, and
/// `longest_retry_after`, so that no sum with it overflows; none where the value is malformed.
[[nodiscard]] constexpr std::optional<std::chrono::seconds>
parse_retry_after(std::string_view value, std::chrono::system_clock::time_point now) noexcept {
    using std::chrono::seconds;
    if (value.empty()) return std::nullopt;
    if (std::all_of(value.begin(), value.end(), detail::is_digit)) {
        seconds wait{0};
        for (const char c : value)
            wait = std::min(wait * 10 + seconds{c - '0'}, longest_retry_after);
        return wait;
    }
    // Whole seconds before they are subtracted: not every date fits into the clock's own unit.
    const auto begun = std::chrono::floor<seconds>(now);
    const auto date = parse_http_date(value, begun);
    if (!date) return std::nullopt;
    return std::clamp(*date - begun, seconds{0}, longest_retry_after);
}

} // namespace duplex
