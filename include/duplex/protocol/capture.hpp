#pragma once

#include <duplex/deflate/params.hpp>
#include <duplex/protocol/detail/varint.hpp>
#include <duplex/protocol/session_options.hpp>
#include <duplex/protocol/wire_tap.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string_view>
#include <type_traits>

namespace duplex {

/// What is wrong with a capture.
enum class capture_error : std::uint8_t {
    none,
    not_a_capture,   ///< it does not begin as one
    version_unknown, ///< a later duplex has written it
    cut_short,       ///< it ends inside a record, or before the first
    malformed,
    no_codec, ///< its messages are compressed: the program does not include duplex/deflate.hpp
    out_of_memory,
};

[[nodiscard]] constexpr std::string_view to_string(capture_error error) noexcept {
    switch (error) {
    case capture_error::none: return "none";
    case capture_error::not_a_capture: return "this is no capture";
    case capture_error::version_unknown: return "the capture was made by a later version";
    case capture_error::cut_short: return "the capture is cut short";
    case capture_error::malformed: return "the capture is malformed";
    case capture_error::no_codec: return "messages are compressed, and there is no permessage-deflate here";
    case capture_error::out_of_memory: return "memory ran out";
    }
    return "unknown";
}

/// One thing that happened.
struct capture_record {
    /// As it is written.
    enum class kind : std::uint8_t {
        received = 1,  ///< `bytes` came, in one read
        sent,          ///< `bytes` were taken, and end what one write took
        sent_part,     ///< `bytes` were taken by a write of which the next records tell more
        offered,       ///< `size` bytes are held by a write that goes on in the background
        timed,         ///< `session::on_time`, while what the peer sends was being read
        timed_unheard, ///< the same while it wasn't
        ended,         ///< the peer ended the stream
        cut,           ///< the recorder's limit was reached: more happened
    };

    kind what = kind::cut;
    std::chrono::nanoseconds when{0}; ///< since the session began
    std::uint64_t size = 0;
    std::span<const std::byte> bytes{}; ///< view into the capture
};

namespace detail {

inline constexpr std::array capture_magic{std::byte{'D'}, std::byte{'X'}, std::byte{'W'}, std::byte{'C'}};
inline constexpr std::byte capture_version{1};
/// Times of a capture end here, long before those of the clock do.
inline constexpr std::int64_t last_capture_time = std::int64_t{1} << 61U;

/// Numbers of a capture's beginning: the session's options, and what is compressed and how. What is added
/// comes last.
inline constexpr std::size_t capture_options = 17;
inline constexpr std::size_t capture_deflate = 13;
/// Longer waits are as good as this one, in milliseconds.
inline constexpr std::int64_t longest_capture_wait = std::int64_t{1} << 40U;
using capture_numbers = std::array<std::uint64_t, capture_options + capture_deflate>;

[[nodiscard]] inline capture_numbers to_numbers(const wire_start& from) noexcept {
    const auto& limits = from.options.limits;
    const auto& times = from.options.timeouts;
    const auto ms = [](timeouts::duration time) {
        return static_cast<std::uint64_t>(std::clamp<std::int64_t>(time.count(), 0, longest_capture_wait));
    };
    const auto number = [](auto value) { return static_cast<std::uint64_t>(value); };
    const auto agreed = from.deflate.value_or(deflate_params{});
    const auto& how = from.deflating;
    return {limits.message_bytes,
            limits.message_fragments,
            limits.queue_watermark,
            limits.queue_bytes,
            limits.queue_messages,
            limits.commit_bytes,
            ms(times.ping_interval),
            ms(times.pong),
            ms(times.idle),
            ms(times.write),
            ms(times.close),
            number(from.options.deliver_fragments),
            number(from.options.check_outgoing_text),
            number(from.options.hold_back),
            number(from.options.when_full),
            number(from.options.overflow_code),
            from.options.fragment_bytes,
            number(agreed.server_no_context_takeover),
            number(agreed.client_no_context_takeover),
            number(agreed.server_max_window_bits),
            number(agreed.client_max_window_bits),
            number(how.level),
            number(how.memory_level),
            number(how.max_window_bits),
            number(how.max_peer_window_bits),
            number(how.context_takeover),
            number(how.peer_context_takeover),
            how.threshold,
            how.max_ratio,
            number(how.adaptive)};
}

/// False where one of them means nothing.
[[nodiscard]] inline bool from_numbers(const capture_numbers& from, bool deflates, wire_start& to) noexcept {
    bool fine = true;
    std::size_t at = 0;
    const auto next = [&](auto& value, std::uint64_t least, std::uint64_t most) {
        const std::uint64_t number = from[at++];
        fine = fine && number >= least && number <= most;
        if (fine) value = static_cast<std::remove_reference_t<decltype(value)>>(number);
    };
    // One that this machine can't count to is no limit here.
    const auto next_size = [&](std::size_t& value) {
        value = static_cast<std::size_t>(
            std::min<std::uint64_t>(from[at++], std::numeric_limits<std::size_t>::max()));
    };
    auto& limits = to.options.limits;
    for (auto* const each : {&limits.message_bytes, &limits.message_fragments, &limits.queue_watermark,
                             &limits.queue_bytes, &limits.queue_messages, &limits.commit_bytes})
        next_size(*each);
    auto& times = to.options.timeouts;
    for (auto* const each : {&times.ping_interval, &times.pong, &times.idle, &times.write, &times.close}) {
        std::int64_t ms = 0;
        next(ms, 0, static_cast<std::uint64_t>(longest_capture_wait));
        *each = timeouts::duration{ms};
    }
    next(to.options.deliver_fragments, 0, 1);
    next(to.options.check_outgoing_text, 0, 1);
    next(to.options.hold_back, 0, 1);
    next(to.options.when_full, 0, static_cast<std::uint64_t>(overflow::wait));
    next(to.options.overflow_code, 0, 0xFFFF);
    next_size(to.options.fragment_bytes);
    if (!deflates) return fine;
    auto& agreed = to.deflate.emplace();
    next(agreed.server_no_context_takeover, 0, 1);
    next(agreed.client_no_context_takeover, 0, 1);
    next(agreed.server_max_window_bits, 8, 15);
    next(agreed.client_max_window_bits, 8, 15);
    auto& how = to.deflating;
    for (auto* const each : {&how.level, &how.memory_level, &how.max_window_bits, &how.max_peer_window_bits})
        next(*each, 0, 15);
    next(how.context_takeover, 0, 1);
    next(how.peer_context_takeover, 0, 1);
    next_size(how.threshold);
    next_size(how.max_ratio);
    next(how.adaptive, 0, 1);
    return fine && check(how) == errc{};
}

} // namespace detail

/// Reads what a `recorder` wrote, whoever wrote it: nothing in it is trusted. The bytes must outlive it.
///
///     capture_reader reader{bytes};
///     while (const auto record = reader.next()) …
///     if (reader.error() != capture_error::none) …
class capture_reader {
public:
    explicit capture_reader(std::span<const std::byte> capture) noexcept
        : all_{capture}
        , rest_{capture} {
        read_start();
    }

    /// What the session was made with; `now` and `number` are not kept. The defaults after an error.
    [[nodiscard]] const wire_start& start() const noexcept { return start_; }

    /// The next record; none at the end, and where something is wrong.
    [[nodiscard]] std::optional<capture_record> next() noexcept;

    [[nodiscard]] capture_error error() const noexcept { return error_; }
    /// How many bytes have been read; after an error, where what is wrong begins.
    [[nodiscard]] std::size_t position() const noexcept { return position_; }

private:
    void read_start() noexcept;
    [[nodiscard]] bool read_numbers(std::span<std::uint64_t> numbers, bool& any) noexcept;

    /// False, and what is wrong is known.
    [[nodiscard]] bool read(std::uint64_t& number) noexcept {
        const auto found = detail::read_varint(rest_);
        if (!found) return fail(rest_.empty() ? capture_error::cut_short : capture_error::malformed);
        number = *found;
        return true;
    }
    bool fail(capture_error error) noexcept {
        error_ = error;
        rest_ = {};
        return false;
    }

    std::span<const std::byte> all_;
    std::span<const std::byte> rest_;
    std::size_t position_ = 0;
    std::int64_t now_ = 0;
    wire_start start_{};
    capture_error error_ = capture_error::none;
};

/// Numbers that a later version has added are passed over; those it did not write keep their defaults.
inline bool capture_reader::read_numbers(std::span<std::uint64_t> numbers, bool& any) noexcept {
    std::uint64_t count = 0;
    if (!read(count)) return false;
    if (count > 255) return fail(capture_error::malformed);
    any = count != 0;
    for (std::uint64_t i = 0; i < count; ++i) {
        std::uint64_t number = 0;
        if (!read(number)) return false;
        if (i < numbers.size()) numbers[static_cast<std::size_t>(i)] = number;
    }
    return true;
}

inline void capture_reader::read_start() noexcept {
    constexpr std::size_t fixed = detail::capture_magic.size() + 2;
    for (std::size_t i = 0; i < detail::capture_magic.size(); ++i)
        if (i == all_.size() || all_[i] != detail::capture_magic[i])
            return (void)fail(i == all_.size() && i != 0 ? capture_error::cut_short
                                                         : capture_error::not_a_capture);
    if (all_.size() < fixed) return (void)fail(capture_error::cut_short);
    if (all_[fixed - 2] != detail::capture_version) return (void)fail(capture_error::version_unknown);
    if (all_[fixed - 1] > std::byte{1}) return (void)fail(capture_error::malformed);
    wire_start found;
    found.self = all_[fixed - 1] == std::byte{0} ? role::client : role::server;
    rest_ = all_.subspan(fixed);
    auto numbers = detail::to_numbers(wire_start{});
    bool any = false;
    bool deflates = false;
    const auto both = std::span{numbers};
    if (!read_numbers(both.first(detail::capture_options), any)) return;
    if (!read_numbers(both.subspan(detail::capture_options), deflates)) return;
    if (!detail::from_numbers(numbers, deflates, found)) return (void)fail(capture_error::malformed);
    start_ = found;
    position_ = all_.size() - rest_.size();
}

inline std::optional<capture_record> capture_reader::next() noexcept {
    if (rest_.empty()) return {};
    using kind = capture_record::kind;
    const auto number = std::to_integer<std::uint8_t>(rest_.front());
    if (number == 0 || number > static_cast<std::uint8_t>(kind::cut)) {
        (void)fail(capture_error::malformed);
        return {};
    }
    rest_ = rest_.subspan(1);
    capture_record found{.what = static_cast<kind>(number)};
    std::uint64_t step = 0;
    if (!read(step)) return {};
    const std::int64_t change = detail::unfold_sign(step);
    // Neither can overflow: what was read before is in the range.
    const bool in_range = change >= -now_ && change <= detail::last_capture_time - now_;
    if (!in_range) return (void)fail(capture_error::malformed), std::nullopt;
    now_ += change;
    found.when = std::chrono::nanoseconds{now_};
    const bool has_bytes =
        found.what == kind::received || found.what == kind::sent || found.what == kind::sent_part;
    if (has_bytes || found.what == kind::offered) {
        if (!read(found.size)) return {};
    }
    if (has_bytes) {
        if (found.size > rest_.size()) return (void)fail(capture_error::cut_short), std::nullopt;
        found.bytes = rest_.first(static_cast<std::size_t>(found.size));
        rest_ = rest_.subspan(found.bytes.size());
    }
    position_ = all_.size() - rest_.size();
    return found;
}

} // namespace duplex
