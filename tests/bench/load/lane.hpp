#pragma once

#include "frame_ring.hpp"
#include "socket.hpp"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

namespace bench {

/// What one read may bring.
inline constexpr std::size_t read_size = std::size_t{1} << 20;

/// One open connection and where it is in the ring of frames.
class lane {
public:
    lane(stream&& over, const options&) noexcept
        : stream_{std::move(over)} {}

    [[nodiscard]] static frame_ring make_ring(const options& with) {
        return {with.kind, with.size, with.in_flight, read_size};
    }

    [[nodiscard]] const descriptor& socket() const noexcept { return stream_.socket(); }

    /// Queues the next `frames` frames and writes what the socket takes.
    void send(const frame_ring& ring, std::size_t frames) {
        unsent_ += frames * ring.out_frame();
        flush(ring);
    }

    /// Writes on where the socket was full.
    void flush(const frame_ring& ring) {
        if (unsent_ == 0 && !stream_.unsent()) return;
        const ssize_t sent = stream_.send(ring.outgoing(out_at_), unsent_);
        if (sent < 0) {
            if (errno != EAGAIN) system_failure("send");
            return;
        }
        unsent_ -= static_cast<std::size_t>(sent);
        out_at_ = (out_at_ + static_cast<std::size_t>(sent)) % ring.out_round();
    }

    /// Reads until the socket is empty and gives the number of frames that have come to their end. Every byte
    /// must be the one expected.
    std::size_t receive(const frame_ring& ring, std::vector<unsigned char>& buffer) {
        std::size_t frames = 0;
        for (;;) {
            const ssize_t got = stream_.receive(buffer.data(), buffer.size());
            if (got < 0) {
                if (errno != EAGAIN) system_failure("recv");
                return frames;
            }
            if (got == 0) throw failure{"the server closed a connection"};
            const auto size = static_cast<std::size_t>(got);
            if (std::memcmp(buffer.data(), ring.expected(in_at_), size) != 0)
                wrong(ring, buffer.data(), size);
            in_at_ = (in_at_ + size) % ring.in_round();
            in_frame_ += size;
            frames += in_frame_ / ring.in_frame();
            in_frame_ %= ring.in_frame();
            // A short read has emptied the socket; what comes now makes a new event.
            if (size < buffer.size()) return frames;
        }
    }

private:
    [[noreturn]] void wrong(const frame_ring& ring, const unsigned char* got, std::size_t size) const {
        std::size_t at = 0;
        const unsigned char* expected = ring.expected(in_at_);
        while (at < size && got[at] == expected[at])
            ++at;
        const auto in_frame = (in_frame_ + at) % ring.in_frame();
        char text[160];
        std::snprintf(text, sizeof text, "wrong echo: byte %zu of a frame of %zu is %02x and should be %02x",
                      in_frame, ring.in_frame(), got[at], expected[at]);
        throw failure{text};
    }

    stream stream_;
    std::size_t unsent_ = 0;
    std::size_t out_at_ = 0;
    std::size_t in_at_ = 0;
    std::size_t in_frame_ = 0;
};

/// Opens all connections and registers them.
template <class Lane = lane>
[[nodiscard]] std::vector<Lane> open_lanes(target& server, poller& events, const options& with) {
    need_descriptors(with.connections);
    std::vector<Lane> lanes;
    lanes.reserve(with.connections);
    for (std::size_t i = 0; i < with.connections; ++i) {
        lanes.emplace_back(server.open(with), with);
        events.add(lanes.back().socket(), static_cast<std::uint32_t>(i));
    }
    return lanes;
}

} // namespace bench
