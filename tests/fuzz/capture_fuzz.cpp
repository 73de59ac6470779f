// Captures of any bytes play as far as they go: whatever they hold, a replay ends and says what is wrong.

#include "fuzz/chunks.hpp"

#include <duplex/protocol/replay.hpp>

#include <cstddef>
#include <cstdint>
#include <span>

using namespace duplex;
using namespace duplex::testing;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto result = replay(std::as_bytes(std::span{data, size}), [](session& s, const event& e) {
        if (e.what == event::kind::message) (void)s.send_back(e.op, e.payload);
    });
    must(result.position <= size, "no more is read than there is");
    must(to_string(result.error) != "unknown", "what is wrong has a name");
    must(result.output.size() <= result.recorded.size(), "no more is taken than was");
    return 0;
}
