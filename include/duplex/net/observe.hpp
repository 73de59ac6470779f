#pragma once

#include <duplex/core/detail/nothrow.hpp>
#include <duplex/protocol/frame_trace.hpp>
#include <duplex/protocol/recorder.hpp>
#include <duplex/protocol/wire_tap.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <utility>

namespace duplex {

/// Makes what watches a connection once that is open (`connection_options::observer`); null: nothing does.
/// Called on the connection's executor: with several threads, on several. Where it throws, nothing watches.
using wire_observer = std::function<std::unique_ptr<wire_tap>(const wire_start&)>;

namespace detail {

class tracing_tap final : public wire_tap {
public:
    tracing_tap(std::uint64_t number, std::size_t payload_bytes,
                std::function<void(const traced_frame&)> told) noexcept
        : in_{direction::in, payload_bytes}
        , out_{direction::out, payload_bytes}
        , number_{number}
        , told_{std::move(told)} {}

    void received(std::span<const std::byte> bytes, time_point now) noexcept override {
        follow(in_, bytes, now);
    }
    void sent(std::span<const std::byte> bytes, bool, time_point now) noexcept override {
        follow(out_, bytes, now);
    }

private:
    void follow(frame_tracer& tracer, std::span<const std::byte> bytes, time_point now) noexcept {
        if (!told_) return;
        const auto tell = [this](const traced_frame& frame) {
            traced_frame numbered = frame;
            numbered.connection = number_;
            told_(numbered);
        };
        if (!nothrow([&] { tracer.follow(bytes, now, tell); })) told_ = nullptr;
    }

    frame_tracer in_;
    frame_tracer out_;
    std::uint64_t number_;
    std::function<void(const traced_frame&)> told_;
};

class two_taps final : public wire_tap {
public:
    two_taps(std::unique_ptr<wire_tap> first, std::unique_ptr<wire_tap> second) noexcept
        : first_{std::move(first)}
        , second_{std::move(second)} {}

    void received(std::span<const std::byte> bytes, time_point now) noexcept override {
        first_->received(bytes, now);
        second_->received(bytes, now);
    }
    void sent(std::span<const std::byte> bytes, bool last, time_point now) noexcept override {
        first_->sent(bytes, last, now);
        second_->sent(bytes, last, now);
    }
    void offered(std::size_t size, time_point now) noexcept override {
        first_->offered(size, now);
        second_->offered(size, now);
    }
    void timed(time_point now, bool listening) noexcept override {
        first_->timed(now, listening);
        second_->timed(now, listening);
    }
    void ended(time_point now) noexcept override {
        first_->ended(now);
        second_->ended(now);
    }

private:
    std::unique_ptr<wire_tap> first_;
    std::unique_ptr<wire_tap> second_;
};

/// Counts the connections that are observed.
inline std::atomic<std::uint64_t> observed_connections{0};

} // namespace detail

/// Tells of each frame that comes or goes, with the first `payload_bytes` of its payload:
///
///     options.observer = duplex::trace_frames([](const duplex::traced_frame& frame) {
///         std::cerr << to_string(frame) << '\n';
///     });
///
/// What comes is told before it is looked at, what goes once the transport has taken it. The callback must
/// not touch the connection; where it throws, it hears no more of that connection.
[[nodiscard]] inline wire_observer trace_frames(std::function<void(const traced_frame&)> told,
                                                std::size_t payload_bytes = 32) {
    return [told = std::move(told), payload_bytes](const wire_start& start) -> std::unique_ptr<wire_tap> {
        return std::make_unique<detail::tracing_tap>(start.number, payload_bytes, told);
    };
}

/// Where the bytes of a capture go.
using capture_sink = std::function<void(std::span<const std::byte>)>;

/// Records each connection for a `replay`: `open` gives the place for its capture, of `most` bytes at most;
/// none: it is not recorded. Every byte is recorded, secrets included.
[[nodiscard]] inline wire_observer record_wire(std::function<capture_sink(const wire_start&)> open,
                                               std::uint64_t most = std::uint64_t{64} << 20) {
    return [open = std::move(open), most](const wire_start& start) -> std::unique_ptr<wire_tap> {
        auto sink = open(start);
        if (!sink) return nullptr;
        return std::make_unique<recorder<capture_sink>>(start, std::move(sink), most);
    };
}

/// Has both watch.
[[nodiscard]] inline wire_observer observe_both(wire_observer first, wire_observer second) {
    return [first = std::move(first),
            second = std::move(second)](const wire_start& start) -> std::unique_ptr<wire_tap> {
        auto one = first ? first(start) : nullptr;
        auto other = second ? second(start) : nullptr;
        if (!one || !other) return one ? std::move(one) : std::move(other);
        return std::make_unique<detail::two_taps>(std::move(one), std::move(other));
    };
}

} // namespace duplex
