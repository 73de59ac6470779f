#pragma once

#include <duplex/core/limits.hpp>

#include <chrono>
#include <cstddef>

namespace duplex {

/// Limits and timeouts that go together: `connection_options::use` takes them over, and
/// `duplex::budget{preset.budget}` makes the budget that fits.
struct preset {
    duplex::limits limits{};
    http_limits http{};
    duplex::timeouts timeouts{};
    budget_limits budget{};

    bool operator==(const preset&) const = default;
};

namespace presets {

/// For peers that may be anybody, on lines that may be slow: the defaults of the library.
inline constexpr preset internet{};

/// For machines that trust each other and have memory: large messages, long queues, and deadlines that notice
/// soon who is gone.
inline constexpr preset lan{
    .limits = {.message_bytes = std::size_t{128} << 20,
               .message_fragments = std::size_t{1} << 20,
               .queue_watermark = std::size_t{8} << 20,
               .queue_bytes = std::size_t{256} << 20,
               .queue_messages = std::size_t{4} << 20,
               .commit_bytes = std::size_t{256} << 10},
    .timeouts = {.connect = std::chrono::seconds{3},
                 .tls = std::chrono::seconds{3},
                 .handshake = std::chrono::seconds{3},
                 .ping_interval = std::chrono::seconds{10},
                 .pong = std::chrono::seconds{5},
                 .write = std::chrono::seconds{10},
                 .close = std::chrono::seconds{3}},
    .budget = {.send_bytes = std::size_t{2} << 30, .receive_bytes = std::size_t{2} << 30},
};

/// For devices that have a megabyte or two to spare: small everything, with time for slow hands.
inline constexpr preset embedded{
    .limits = {.message_bytes = std::size_t{64} << 10,
               .message_fragments = 1024,
               .queue_watermark = std::size_t{32} << 10,
               .queue_bytes = std::size_t{128} << 10,
               .queue_messages = 256,
               .commit_bytes = std::size_t{4} << 10},
    .http = {.start_line_bytes = 2048, .head_bytes = 4096, .header_count = 40, .refusal_body_bytes = 1024},
    .timeouts = {.connect = std::chrono::seconds{10},
                 .tls = std::chrono::seconds{20},
                 .handshake = std::chrono::seconds{10},
                 .ping_interval = std::chrono::seconds{60},
                 .pong = std::chrono::seconds{20},
                 .write = std::chrono::seconds{30},
                 .close = std::chrono::seconds{5}},
    .budget = {.send_bytes = std::size_t{1} << 20, .receive_bytes = std::size_t{1} << 20, .handshakes = 16},
};

} // namespace presets
} // namespace duplex
