#pragma once

#include <duplex/core/error.hpp>
#include <duplex/core/limits.hpp>
#include <duplex/http/fields.hpp>
#include <duplex/http/token.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace duplex {

enum class head_kind : std::uint8_t { request, response };

/// Reads the head of one HTTP/1.x message as its bytes arrive (RFC 9112). Each byte is looked at once,
/// however the head is cut into pieces. Memory grows with the bytes that came and stays within `http_limits`.
/// Strict: what two readers could understand in two ways is refused, at its first byte.
class head_parser {
public:
    struct result {
        enum class state : std::uint8_t { need_more, done, failed };
        state state;
        /// Bytes of this input that belong to the head; where it failed, those before the fault.
        std::size_t consumed;
    };

    explicit head_parser(head_kind kind, const http_limits& limits = {}) noexcept
        : limits_(limits)
        , step_(kind == head_kind::request ? step::request_begin : step::version)
        , kind_(kind) {}

    /// Takes the next bytes. Never consumes past the end of the head; once the head is done or has failed,
    /// consumes nothing and says the same again.
    [[nodiscard]] result feed(std::span<const std::byte> input) {
        const std::string_view text(reinterpret_cast<const char*>(input.data()), input.size());
        // Most heads come whole: then this is all the memory they take.
        if (offset_ == 0) {
            const std::size_t bytes = std::min(text.size(), limits_.head_bytes);
            headers_.reserve(std::min(bytes / typical_field, limits_.header_count), bytes);
        }
        std::size_t used = 0;
        while (used < text.size() && step_ != step::done && step_ != step::failed)
            used += take(text.substr(used));
        if (step_ == step::failed) return {result::state::failed, used};
        return {step_ == step::done ? result::state::done : result::state::need_more, used};
    }

    /// The rule that was broken: a limit, `errc::http_start_line_invalid`, `http_header_invalid`,
    /// `http_bare_line_feed`, `http_obsolete_fold` or `http_version_unsupported`. Only where `feed` failed.
    [[nodiscard]] errc error() const noexcept { return error_; }

    /// How many bytes of the head came before the one that broke the rule.
    [[nodiscard]] std::size_t error_offset() const noexcept { return offset_; }

    /// A token (RFC 9110 9.1), in the case in which it came. The views below live as long as the parser stays
    /// where it is, and mean something once `feed` was done.
    [[nodiscard]] std::string_view method() const noexcept {
        return std::string_view(line_).substr(0, method_size_);
    }

    /// The request target: a path with its query, an absolute URL, or "*" (RFC 9112 3.2).
    [[nodiscard]] std::string_view target() const noexcept {
        return std::string_view(line_).substr(method_size_);
    }

    /// 0 or 1: HTTP/1.0 or HTTP/1.1.
    [[nodiscard]] unsigned http_minor_version() const noexcept { return minor_version_; }

    /// 100-999 (RFC 9112 4).
    [[nodiscard]] unsigned status() const noexcept { return status_; }

    /// The server's words for the status; may be empty and may hold bytes above 0x7F (RFC 9112 4).
    [[nodiscard]] std::string_view reason() const noexcept { return line_; }

    /// The fields in their order, values without the white space round them (RFC 9112 5.1).
    [[nodiscard]] const fields& headers() const noexcept { return headers_; }

    /// Gives the fields away.
    [[nodiscard]] fields take_headers() noexcept { return std::move(headers_); }

private:
    /// Bytes of a field as they are in most heads.
    static constexpr std::size_t typical_field = 24;

    /// What the next byte is looked at for.
    enum class step : std::uint8_t {
        request_begin,
        empty_line_feed,
        method,
        target_begin,
        target_scheme,
        target_slashes,
        target_authority,
        target,
        target_end,
        version,
        status,
        status_end,
        reason,
        line_end,
        start_line_feed,
        name_begin,
        name,
        value_begin,
        value,
        value_line_feed,
        last_line_feed,
        done,
        failed,
    };

    using classes = detail::char_class;

    /// Deals with at least one byte of `text`, or fails. Returns how many bytes it took.
    std::size_t take(std::string_view text) {
        const std::size_t allowed = room(text.front());
        if (allowed == 0) return 0;
        text = text.substr(0, allowed);
        const std::size_t used = step_ < step::name_begin ? take_of_start_line(text) : take_of_field(text);
        offset_ += used;
        return used;
    }

    /// How many bytes the limits leave for this step, `next` among them; fails where there are none.
    std::size_t room(char next) noexcept {
        if (offset_ >= limits_.head_bytes) return fail(errc::head_too_long);
        const std::size_t of_head = limits_.head_bytes - offset_;
        if (step_ >= step::name_begin) return of_head;
        const std::size_t length = offset_ - line_begin_;
        if (length < limits_.start_line_bytes) return std::min(of_head, limits_.start_line_bytes - length);
        // the line end does not count; whether it may come here is the step's matter
        return next == '\r' || next == '\n' ? 1 : fail(errc::start_line_too_long);
    }

    std::size_t take_of_start_line(std::string_view text) {
        const char c = text.front();
        switch (step_) {
        case step::request_begin:
            step_ = step::method;
            if (c != '\r') return take_of_start_line(text);
            step_ = step::empty_line_feed;
            return 1;
        case step::empty_line_feed:
            // RFC 9112 2.2: one empty line may stand before a request
            line_begin_ = offset_ + 1;
            return c == '\n' ? go(step::method) : fail_at(c, errc::http_start_line_invalid);
        case step::method:
            if (is_token_char(c)) return append(text, classes::token);
            if (c != ' ' || line_.empty()) return fail_at(c, errc::http_start_line_invalid);
            method_size_ = line_.size();
            return go(step::target_begin);
        case step::target_begin:
        case step::target_scheme:
        case step::target_slashes:
        case step::target_authority: return take_of_target_form(c);
        case step::target:
            if (detail::is_of_class(c, classes::target)) return append(text, classes::target);
            [[fallthrough]];
        case step::target_end:
            return c == ' ' ? go(step::version) : fail_at(c, errc::http_start_line_invalid);
        case step::version:
            // Most come whole. What is left of a line that is too long doesn't.
            if (constexpr std::string_view usual = "HTTP/1.1\r\n";
                kind_ == head_kind::request && counter_ == 0 && text.starts_with(usual)) {
                minor_version_ = 1;
                step_ = step::name_begin;
                return usual.size();
            }
            return take_of_version(c);
        case step::status: return take_of_status(c);
        case step::status_end:
            // RFC 9112 4: servers that leave out the space before an empty reason are common
            if (c == ' ') return go(step::reason);
            [[fallthrough]];
        case step::line_end:
            return c == '\r' ? go(step::start_line_feed) : fail_at(c, errc::http_start_line_invalid);
        case step::reason:
            if (detail::is_of_class(c, classes::value)) return append(text, classes::value);
            return c == '\r' ? go(step::start_line_feed) : fail_at(c, errc::http_start_line_invalid);
        case step::start_line_feed:
            return c == '\n' ? go(step::name_begin) : fail(errc::http_start_line_invalid);
        default: return fail(errc::http_start_line_invalid);
        }
    }

    /// RFC 9112 3.2: "/path", "scheme://rest" or "*". The authority form is for CONNECT, which has no use
    /// here.
    std::size_t take_of_target_form(char c) {
        const bool first = line_.size() == method_size_;
        if (step_ == step::target_slashes) {
            if (c != '/') return fail_at(c, errc::http_start_line_invalid);
            if (line_.back() == '/') step_ = step::target_authority;
        } else if (step_ == step::target_authority) {
            // RFC 9110 4.2.1: a host is never empty
            if (!detail::is_of_class(c, classes::target) || c == '/' || c == '?')
                return fail_at(c, errc::http_start_line_invalid);
            step_ = step::target;
        } else if (first && c == '/') {
            step_ = step::target;
        } else if (first && c == '*') {
            step_ = step::target_end;
        } else if (!first && c == ':') {
            step_ = step::target_slashes;
        } else if (detail::is_alpha(c) ||
                   (!first && (detail::is_digit(c) || c == '+' || c == '-' || c == '.'))) {
            step_ = step::target_scheme; // RFC 3986 3.1
        } else {
            return fail_at(c, errc::http_start_line_invalid);
        }
        line_.push_back(c);
        return 1;
    }

    /// RFC 9112 2.3: "HTTP/" and two digits, in upper case.
    std::size_t take_of_version(char c) noexcept {
        constexpr std::string_view pattern = "HTTP/1.";
        constexpr std::size_t major = 5;
        if (counter_ < pattern.size()) {
            if (c != pattern[counter_])
                return counter_ == major && detail::is_digit(c) ? fail(errc::http_version_unsupported)
                                                                : fail_at(c, errc::http_start_line_invalid);
            ++counter_;
            return 1;
        }
        if (counter_ == pattern.size()) {
            if (!detail::is_digit(c)) return fail_at(c, errc::http_start_line_invalid);
            if (c > '1') return fail(errc::http_version_unsupported);
            minor_version_ = static_cast<std::uint8_t>(c - '0');
            if (kind_ == head_kind::request) return go(step::line_end);
            ++counter_;
            return 1;
        }
        counter_ = 0;
        return c == ' ' ? go(step::status) : fail_at(c, errc::http_start_line_invalid);
    }

    /// RFC 9112 4: three digits. RFC 9110 15: the first one is not 0.
    std::size_t take_of_status(char c) noexcept {
        if (!detail::is_digit(c) || (counter_ == 0 && c == '0'))
            return fail_at(c, errc::http_start_line_invalid);
        status_ = static_cast<std::uint16_t>(status_ * 10 + (c - '0'));
        if (++counter_ == 3) step_ = step::status_end;
        return 1;
    }

    /// Most fields are right and come whole. Takes nothing where this one is not, or does not: the steps
    /// below find out what is wrong with it.
    std::size_t take_whole_field(std::string_view text) {
        const auto name = run(text, classes::token);
        std::size_t at = name.size();
        if (at == 0 || at == text.size() || text[at] != ':' || headers_.size() >= limits_.header_count)
            return 0;
        ++at;
        while (at < text.size() && detail::is_white_space(text[at]))
            ++at;
        const auto value = run(text.substr(at), classes::value);
        at += value.size();
        if (text.size() - at < 2 || text[at] != '\r' || text[at + 1] != '\n') return 0;
        headers_.add(name, trim(value));
        return at + 2;
    }

    std::size_t take_of_field(std::string_view text) {
        const char c = text.front();
        switch (step_) {
        case step::name_begin:
            if (const std::size_t whole = take_whole_field(text); whole != 0) return whole;
            if (c == '\r') return go(step::last_line_feed);
            if (detail::is_white_space(c))
                // RFC 9112 5.2: a fold continues a field; RFC 9112 2.2: there is none to continue on the
                // first line
                return fail(headers_.empty() ? errc::http_header_invalid : errc::http_obsolete_fold);
            if (!is_token_char(c)) return fail_at(c, errc::http_header_invalid);
            if (headers_.size() >= limits_.header_count) return fail(errc::too_many_headers);
            step_ = step::name;
            [[fallthrough]];
        case step::name:
            if (is_token_char(c)) {
                const auto piece = run(text, classes::token);
                headers_.append_name(piece);
                return piece.size();
            }
            // RFC 9112 5.1: no white space between a name and its colon
            return c == ':' ? go(step::value_begin) : fail_at(c, errc::http_header_invalid);
        case step::value_begin:
            if (detail::is_white_space(c)) return 1;
            step_ = step::value;
            [[fallthrough]];
        case step::value:
            if (detail::is_of_class(c, classes::value)) {
                const auto piece = run(text, classes::value);
                headers_.append_value(piece);
                return piece.size();
            }
            return c == '\r' ? go(step::value_line_feed) : fail_at(c, errc::http_header_invalid);
        case step::value_line_feed:
            // RFC 9112 2.2: a CR that no LF follows
            if (c != '\n') return fail(errc::http_header_invalid);
            headers_.trim_value();
            headers_.end_field();
            return go(step::name_begin);
        case step::last_line_feed: return c == '\n' ? go(step::done) : fail(errc::http_header_invalid);
        default: return fail(errc::http_header_invalid);
        }
    }

    /// The bytes at the front of `text` that are all of one class.
    static std::string_view run(std::string_view text, std::uint8_t bits) noexcept {
        std::size_t size = 0;
        // Most values are visible ASCII: eight bytes at a time, as long as all are between 0x20 and 0x7E.
        if (bits == classes::value) {
            constexpr std::uint64_t ones = 0x0101010101010101;
            for (; text.size() - size >= 8; size += 8) {
                std::uint64_t eight;
                std::memcpy(&eight, text.data() + size, sizeof eight);
                if (((eight | (eight - ones * 0x20) | (eight + ones)) & (ones * 0x80)) != 0) break;
            }
        }
        while (size < text.size() && detail::is_of_class(text[size], bits))
            ++size;
        return text.substr(0, size);
    }

    std::size_t append(std::string_view text, std::uint8_t bits) {
        const auto piece = run(text, bits);
        line_.append(piece);
        return piece.size();
    }

    std::size_t go(step next) noexcept {
        step_ = next;
        return 1;
    }

    std::size_t fail(errc why) noexcept {
        step_ = step::failed;
        error_ = why;
        return 0;
    }

    /// RFC 9112 2.2: a line feed alone ends no line, wherever it stands.
    std::size_t fail_at(char c, errc why) noexcept {
        return fail(c == '\n' ? errc::http_bare_line_feed : why);
    }

    http_limits limits_;
    fields headers_;
    std::string line_; ///< method and target, or the reason
    std::size_t method_size_ = 0;
    std::size_t offset_ = 0;     ///< bytes taken
    std::size_t line_begin_ = 0; ///< offset of the start line
    std::uint16_t status_ = 0;
    std::uint8_t minor_version_ = 0;
    std::uint8_t counter_ = 0; ///< characters seen of the version or of the status
    step step_;
    head_kind kind_;
    errc error_{};
};

} // namespace duplex
