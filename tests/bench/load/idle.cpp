// Opens connections and leaves them alone, so that the server's memory can be looked at. Says `ready` and
// then does what its standard input says: `message` sends one message on each connection and waits for the
// echoes; the end of the input ends the run.

#include "deflate_lane.hpp"
#include "lane.hpp"
#include "options.hpp"

#include <cstdio>

namespace bench {

namespace {

template <class Lane, class Ring>
void exchange(const options& with, poller& events, std::vector<Lane>& lanes, const Ring& ring) {
    std::vector<unsigned char> buffer(read_size);
    std::size_t sent = 0;
    std::size_t missing = 0;
    // A few at a time: a server that must queue would be measured with its queue.
    while (missing != 0 || sent != lanes.size()) {
        while (missing < 16 && sent < lanes.size()) {
            lanes[sent++].send(ring, 1);
            ++missing;
        }
        const auto ready = [&](std::uint32_t tag, bool can_read) {
            lanes[tag].flush(ring);
            if (can_read) missing -= lanes[tag].receive(ring, buffer);
        };
        if (!events.wait(with.patience, ready)) throw failure{"the server makes no progress"};
    }
}

void say(const char* what, std::size_t count) {
    std::printf(R"({"mode":"idle","state":"%s","connections":%zu,"errors":0})"
                "\n",
                what, count);
    std::fflush(stdout);
}

template <class Lane>
void run(const options& with) {
    target server{with.port};
    poller events;
    const auto ring = Lane::make_ring(with);
    auto lanes = open_lanes<Lane>(server, events, with);
    say("ready", lanes.size());
    char line[64];
    while (std::fgets(line, sizeof line, stdin)) {
        if (std::string_view{line} != "message\n") throw failure{"the only command is: message"};
        exchange(with, events, lanes, ring);
        say("message", lanes.size());
    }
}

} // namespace

void run_idle(const options& with) {
    if (with.deflate == compression::none)
        run<lane>(with);
    else
        run<deflate_lane>(with);
}

} // namespace bench
