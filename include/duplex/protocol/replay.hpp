#pragma once

#include <duplex/core/byte_buffer.hpp>
#include <duplex/core/frame_header.hpp>
#include <duplex/core/mask.hpp>
#include <duplex/protocol/capture.hpp>
#include <duplex/protocol/frame_trace.hpp>
#include <duplex/protocol/session.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <utility>

namespace duplex {

/// How a replay went.
struct replayed {
    capture_error error = capture_error::none;
    std::size_t position = 0; ///< bytes of the capture that were read; after an error, where it is wrong
    bool was_cut = false;     ///< the recorder's limit was reached: more happened than is known
    /// What the transport took when it was recorded, and now: the same frames, where the handler does what
    /// the application did. Masking keys, which are drawn anew (RFC 6455 5.3), are all zero in both.
    byte_buffer recorded{};
    byte_buffer output{};
    std::size_t left = 0; ///< bytes that the session still had to be written in the end

    [[nodiscard]] bool same_output() const noexcept {
        return recorded.size() == output.size() &&
               (recorded.empty() || std::memcmp(recorded.data(), output.data(), output.size()) == 0);
    }
};

/// Takes the masks off the frames in `bytes`, the last of which may be cut.
inline void unmask_frames(std::span<std::byte> bytes) noexcept {
    while (bytes.size() >= 2) {
        const auto second = std::to_integer<unsigned>(bytes[1]);
        const bool masked = (second & 0x80U) != 0;
        const std::size_t extra = (second & 0x7FU) == 126 ? 2 : (second & 0x7FU) == 127 ? 8 : 0;
        const std::size_t head = 2 + extra + (masked ? sizeof(mask_key) : 0);
        if (bytes.size() < head) return;
        std::uint64_t length = second & 0x7FU;
        if (extra == 2) length = load_big<std::uint16_t>(&bytes[2]);
        if (extra == 8) length = load_big<std::uint64_t>(&bytes[2]);
        const auto payload = bytes.subspan(
            head, static_cast<std::size_t>(std::min<std::uint64_t>(length, bytes.size() - head)));
        if (masked) {
            mask_key key;
            std::copy_n(&bytes[2 + extra], key.size(), key.begin());
            mask(payload, key);
            std::fill_n(&bytes[2 + extra], key.size(), std::byte{0});
        }
        bytes = bytes.subspan(head + payload.size());
    }
}

namespace detail {

/// A session that is told what another was.
template <class Handler>
class replaying {
public:
    replaying(session& with, replayed& result, Handler& handler) noexcept
        : session_{with}
        , result_{result}
        , handler_{handler} {}

    /// False when memory ran out.
    [[nodiscard]] bool follow(const capture_record& record) {
        using kind = capture_record::kind;
        const time_point now = time_point{} + record.when;
        session_.at(now);
        switch (record.what) {
        case kind::received: {
            byte_buffer window;
            if (!window.append(record.bytes)) return false;
            session_.receive(window.bytes());
            tell_events();
            // What was sent back by reference lies in it.
            session_.settle();
            return true;
        }
        case kind::sent:
        case kind::sent_part:
            to_take_ += record.bytes.size();
            if (!result_.recorded.append(record.bytes)) return false;
            return record.what == kind::sent_part || take();
        case kind::offered: hold(record.size); return true;
        case kind::timed:
        case kind::timed_unheard: session_.on_time(now, record.what == kind::timed); break;
        case kind::ended: session_.eof(); break;
        case kind::cut: result_.was_cut = true; return true;
        }
        tell_events();
        return true;
    }

private:
    void tell_events() {
        while (const event found = session_.next())
            handler_(session_, found);
    }

    /// As much in one write as was then. With fewer segments than there are the rest comes later, as it did.
    void hold(std::uint64_t size) noexcept {
        std::size_t most = 0;
        std::size_t all = 0;
        do {
            ++most;
            const std::size_t count = session_.gather(std::span{segments_}.first(most));
            all = 0;
            for (std::size_t i = 0; i < count; ++i)
                all += segments_[i].size();
            count_ = count;
        } while (all < size && most < segments_.size());
        session_.hold_output();
        held_ = true;
    }

    /// Takes what was taken then, or what there is of it.
    [[nodiscard]] bool take() {
        std::size_t left = std::exchange(to_take_, 0);
        while (left != 0) {
            if (!std::exchange(held_, false)) count_ = session_.gather(segments_);
            std::size_t taken = 0;
            for (std::size_t i = 0; i < count_ && taken < left; ++i) {
                const auto piece = segments_[i].first(std::min(segments_[i].size(), left - taken));
                if (!result_.output.append(piece)) return false;
                taken += piece.size();
            }
            if (taken == 0) return true;
            session_.consumed(taken);
            left -= taken;
        }
        tell_events();
        return true;
    }

    session& session_;
    replayed& result_;
    Handler& handler_;
    std::array<segment, 64> segments_{};
    std::size_t count_ = 0;
    std::size_t to_take_ = 0; ///< by one write
    bool held_ = false;       ///< the segments are those of a write that goes on
};

} // namespace detail

/// Plays a capture to a new session: the chunks that came, at their times, and the writes that took what was
/// sent. Calls `handler(session&, const event&)` for each event; what the application did then, it does
/// there. Whatever is wrong with the capture is told when what comes before has been played. Exceptions of
/// the handler's go through. Memory: as a connection with the limits of the capture.
template <class Handler>
[[nodiscard]] replayed replay(std::span<const std::byte> capture, Handler&& handler) {
    replayed result;
    capture_reader reader{capture};
    const wire_start& start = reader.start();
    const auto over = [&](capture_error error) {
        result.error = error;
        result.position = reader.position();
        unmask_frames(result.recorded.bytes());
        unmask_frames(result.output.bytes());
        return std::move(result);
    };
    if (reader.error() != capture_error::none) return over(reader.error());
    session with{start.self, start.options, time_point{}};
    if (start.deflate) {
        if (detail::default_codec == nullptr) return over(capture_error::no_codec);
        auto codec = detail::default_codec(start.self, *start.deflate, start.deflating);
        if (!codec) return over(capture_error::out_of_memory);
        with.use(std::move(codec));
    }
    detail::replaying player{with, result, handler};
    while (const auto record = reader.next())
        if (!player.follow(*record)) return over(capture_error::out_of_memory);
    result.left = with.queued();
    return over(reader.error());
}

} // namespace duplex
