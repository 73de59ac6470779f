#pragma once

#include <duplex/http/token.hpp>

#include <array>
#include <chrono>
#include <cstddef>
#include <optional>
#include <string_view>

namespace duplex {

namespace detail {

/// Takes a date apart from its front; after the first mismatch everything fails.
class date_reader {
public:
    constexpr explicit date_reader(std::string_view text) noexcept
        : rest_{text} {}

    /// Nothing is left, and nothing was wrong.
    [[nodiscard]] constexpr bool complete() const noexcept { return good_ && rest_.empty(); }

    constexpr bool literal(std::string_view expected) noexcept {
        good_ = good_ && rest_.starts_with(expected);
        if (good_) rest_.remove_prefix(expected.size());
        return good_;
    }

    /// Exactly `count` digits.
    constexpr int number(std::size_t count) noexcept {
        good_ = good_ && rest_.size() >= count;
        int value = 0;
        for (std::size_t i = 0; good_ && i < count; ++i) {
            good_ = is_digit(rest_[i]);
            value = value * 10 + (rest_[i] - '0');
        }
        if (good_) rest_.remove_prefix(count);
        return value;
    }

    /// Two digits, of which the first may be a space.
    constexpr int padded_number() noexcept {
        return rest_.starts_with(' ') && literal(" ") ? number(1) : number(2);
    }

    /// Which of the names stands here, counted from 1.
    template <std::size_t Count>
    constexpr unsigned one_of(const std::array<std::string_view, Count>& names) noexcept {
        for (unsigned i = 0; good_ && i < Count; ++i)
            if (rest_.starts_with(names[i])) {
                rest_.remove_prefix(names[i].size());
                return i + 1;
            }
        good_ = false;
        return 0;
    }

    /// "08:49:37"; a second may be a leap second.
    constexpr std::chrono::seconds time_of_day() noexcept {
        const int hour = number(2);
        literal(":");
        const int minute = number(2);
        literal(":");
        const int second = number(2);
        good_ = good_ && hour < 24 && minute < 60 && second <= 60;
        return std::chrono::hours{hour} + std::chrono::minutes{minute} + std::chrono::seconds{second};
    }

private:
    std::string_view rest_;
    bool good_ = true;
};

} // namespace detail

/// Reads an HTTP-date (RFC 9110 5.6.7) in any of its three forms, as recipients must: "Sun, 06 Nov 1994
/// 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994". None where it is malformed,
/// or no day of the calendar; whether the day of the week is the right one is not looked at. `now` tells the
/// century of a year of two digits.
[[nodiscard]] constexpr std::optional<std::chrono::sys_seconds>
parse_http_date(std::string_view text, std::chrono::sys_seconds now) noexcept {
    using namespace std::chrono;
    constexpr std::array<std::string_view, 7> days{"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    constexpr std::array<std::string_view, 7> long_days{"Sunday",   "Monday", "Tuesday", "Wednesday",
                                                        "Thursday", "Friday", "Saturday"};
    constexpr std::array<std::string_view, 12> months{"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                      "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    detail::date_reader in{text};
    int in_year = 0;
    unsigned in_month = 0;
    int in_day = 0;
    seconds time{};
    bool century_missing = false;
    if (text.size() > 3 && text[3] == ',') {
        in.one_of(days);
        in.literal(", ");
        in_day = in.number(2);
        in.literal(" ");
        in_month = in.one_of(months);
        in.literal(" ");
        in_year = in.number(4);
        in.literal(" ");
        time = in.time_of_day();
        in.literal(" GMT");
    } else if (text.size() > 3 && text[3] == ' ') {
        in.one_of(days);
        in.literal(" ");
        in_month = in.one_of(months);
        in.literal(" ");
        in_day = in.padded_number();
        in.literal(" ");
        time = in.time_of_day();
        in.literal(" ");
        in_year = in.number(4);
    } else {
        in.one_of(long_days);
        in.literal(", ");
        in_day = in.number(2);
        in.literal("-");
        in_month = in.one_of(months);
        in.literal("-");
        in_year = in.number(2);
        in.literal(" ");
        time = in.time_of_day();
        in.literal(" GMT");
        century_missing = true;
    }
    if (!in.complete()) return std::nullopt;
    if (century_missing) {
        // RFC 9110 5.6.7: what seems more than 50 years ahead was in the past.
        const int this_year = static_cast<int>(year_month_day{floor<std::chrono::days>(now)}.year());
        in_year += this_year / 100 * 100;
        if (in_year > this_year + 50) in_year -= 100;
    }
    const year_month_day date{year{in_year}, month{in_month}, day{static_cast<unsigned>(in_day)}};
    if (!date.ok()) return std::nullopt;
    return sys_days{date} + time;
}

} // namespace duplex
