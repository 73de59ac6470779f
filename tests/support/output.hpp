#pragma once

// What a send queue or a session has to write, as bytes.

#include "support/catch.hpp"
#include "support/wire.hpp"

#include <duplex/core/byte_buffer.hpp>
#include <duplex/protocol/send_queue.hpp>

#include <cstddef>
#include <string_view>
#include <vector>

namespace duplex::testing {

/// A payload to be taken over.
inline byte_buffer owned(std::string_view payload) {
    byte_buffer buffer;
    REQUIRE(buffer.append(view(payload)));
    return buffer;
}

/// What one write would be given.
template <class From>
octets gathered(From& from, std::size_t limit = 8) {
    std::vector<segment> segments(limit);
    const auto count = from.gather(segments);
    octets bytes;
    for (std::size_t i = 0; i < count; ++i)
        bytes += to_octets(segments[i]);
    return bytes;
}

/// Writes all there is.
template <class From>
octets drained(From& from) {
    octets all;
    for (auto bytes = gathered(from); !bytes.empty(); bytes = gathered(from)) {
        from.consumed(bytes.size());
        all += bytes;
    }
    if constexpr (requires { from.empty(); }) REQUIRE(from.empty());
    return all;
}

} // namespace duplex::testing
