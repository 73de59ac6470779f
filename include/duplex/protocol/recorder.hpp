#pragma once

#include <duplex/core/detail/nothrow.hpp>
#include <duplex/protocol/capture.hpp>
#include <duplex/protocol/wire_tap.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

namespace duplex {

/// Writes down what a session's transport delivers and takes, for a `replay` later: every byte of it, secrets
/// included. `Sink` is called with `std::span<const std::byte>`, piece by piece; where it throws the
/// recording is over.
template <class Sink>
class recorder final : public wire_tap {
public:
    /// `most`: bytes that the capture may have. What does not fit any more, and all that comes behind it, is
    /// left out, and the capture says so; its beginning is always written.
    recorder(const wire_start& start, Sink sink, std::uint64_t most = std::uint64_t{64} << 20)
        : sink_{std::move(sink)}
        , most_{most}
        , start_{start.now} {
        write_start(start);
    }

    void received(std::span<const std::byte> bytes, time_point now) noexcept override {
        write(capture_record::kind::received, now, bytes.size(), bytes);
    }
    void sent(std::span<const std::byte> bytes, bool last, time_point now) noexcept override {
        write(last ? capture_record::kind::sent : capture_record::kind::sent_part, now, bytes.size(), bytes);
    }
    void offered(std::size_t size, time_point now) noexcept override {
        write(capture_record::kind::offered, now, size, {});
    }
    void timed(time_point now, bool listening) noexcept override {
        write(listening ? capture_record::kind::timed : capture_record::kind::timed_unheard, now);
    }
    void ended(time_point now) noexcept override { write(capture_record::kind::ended, now); }

private:
    /// Its kind, when it was, and how long it is.
    static constexpr std::size_t longest_head = 1 + 2 * detail::longest_varint;

    void write_start(const wire_start& start) noexcept {
        const auto numbers = detail::to_numbers(start);
        std::array<std::byte, 8 + (2 + std::tuple_size_v<detail::capture_numbers>)*detail::longest_varint>
            head;
        std::size_t size = 0;
        for (const std::byte each : detail::capture_magic)
            head[size++] = each;
        head[size++] = detail::capture_version;
        head[size++] = start.self == role::client ? std::byte{0} : std::byte{1};
        const auto put = [&](std::uint64_t number) { size += detail::write_varint(&head[size], number); };
        put(detail::capture_options);
        for (std::size_t i = 0; i < detail::capture_options; ++i)
            put(numbers[i]);
        put(start.deflate ? detail::capture_deflate : 0);
        for (std::size_t i = 0; start.deflate && i < detail::capture_deflate; ++i)
            put(numbers[detail::capture_options + i]);
        put_out(std::span{head}.first(size));
    }

    void write(capture_record::kind what, time_point now, std::uint64_t size = 0,
               std::span<const std::byte> bytes = {}) noexcept {
        if (over_) return;
        const std::int64_t when = std::clamp<std::int64_t>(
            std::chrono::duration_cast<std::chrono::nanoseconds>(now - start_).count(), 0,
            detail::last_capture_time);
        std::array<std::byte, longest_head> head;
        std::size_t length = 0;
        const auto begin = [&](capture_record::kind as) {
            head[0] = static_cast<std::byte>(as);
            length = 1 + detail::write_varint(&head[1], detail::fold_sign(when - now_));
        };
        begin(what);
        if (what == capture_record::kind::offered || !bytes.empty())
            length += detail::write_varint(&head[length], size);
        // There is always room left for the record that says what is missing.
        if (written_ + length + bytes.size() + longest_head > most_) {
            begin(capture_record::kind::cut);
            over_ = true;
            if (written_ + length > most_) return;
            bytes = {};
        }
        now_ = when;
        put_out(std::span{head}.first(length));
        if (!bytes.empty()) put_out(bytes);
    }

    void put_out(std::span<const std::byte> bytes) noexcept {
        written_ += bytes.size();
        if (!detail::nothrow([&] { sink_(bytes); })) over_ = true;
    }

    Sink sink_;
    std::uint64_t most_;
    std::uint64_t written_ = 0;
    time_point start_;
    std::int64_t now_ = 0; ///< of the last record
    bool over_ = false;
};

} // namespace duplex
