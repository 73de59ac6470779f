#pragma once

#include "frame_ring.hpp"

#include <sys/types.h>

#include <cstddef>
#include <cstdint>

namespace bench {

/// permessage-deflate, and whether both sides keep their windows between messages.
enum class compression : std::uint8_t { none, no_takeover, takeover };

struct options {
    std::uint16_t port = 0;
    std::size_t connections = 1; ///< handshakes: those that are under way at a time
    std::size_t in_flight = 1;   ///< messages a connection; broadcast: publishes
    std::size_t size = 64;       ///< payload bytes
    payload_kind kind = payload_kind::binary;
    std::uint64_t warm_up = 300'000'000; ///< nanoseconds before counting begins; none where `messages` is set
    std::uint64_t duration = 2'000'000'000;  ///< nanoseconds
    std::uint64_t messages = 0;              ///< where not 0, the run ends after so many instead
    std::uint64_t patience = 10'000'000'000; ///< nanoseconds without progress that end a run
    bool tls = false;                        ///< not for handshakes
    compression deflate = compression::none; ///< echo and idle only, with messages in JSON
    pid_t server = 0;                        ///< the process whose CPU time is measured
};

void run_echo(const options& with);
void run_broadcast(const options& with);
void run_handshakes(const options& with);
void run_idle(const options& with);

} // namespace bench
