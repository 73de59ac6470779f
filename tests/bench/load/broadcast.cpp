// Every connection subscribes by being open. The first one publishes as well, and keeps a number of publishes
// in flight; a publish is over when it has come to every connection. What is counted is deliveries.

#include "clockwork.hpp"
#include "lane.hpp"

namespace bench {

namespace {

class broadcast_run {
public:
    explicit broadcast_run(const options& with)
        : with_{with}
        , server_{with.port}
        , ring_{with.kind, with.size, with.in_flight, read_size}
        , buffer_(read_size)
        , flights_(with.in_flight)
        , delivered_(with.connections)
        , lanes_{open_lanes(server_, events_, with)}
        , result_{with.server} {}

    void run() {
        clockwork clock{with_, result_};
        publish(with_.in_flight);
        while (clock.goes_on())
            turn(true);
        while (in_flight_ != 0)
            turn(false);
        result_.print("broadcast");
    }

private:
    /// A publish on its way.
    struct flight {
        std::uint64_t sent_at = 0;
        std::size_t missing = 0; ///< connections that it has not come to
    };

    void turn(bool again) {
        std::size_t over = 0;
        const auto ready = [&](std::uint32_t tag, bool can_read) {
            lane& one = lanes_[tag];
            one.flush(ring_);
            if (!can_read) return;
            const std::size_t frames = one.receive(ring_, buffer_);
            if (frames == 0) return;
            const auto time = now();
            for (std::size_t i = 0; i < frames; ++i) {
                flight& of = flights_[delivered_[tag]++ % flights_.size()];
                result_.latency.add(time - of.sent_at);
                if (--of.missing == 0) ++over;
            }
            result_.count += frames;
        };
        if (!events_.wait(with_.patience, ready)) throw failure{"the server makes no progress"};
        in_flight_ -= over;
        if (again) publish(over);
    }

    void publish(std::size_t count) {
        if (count == 0) return;
        const auto time = now();
        for (std::size_t i = 0; i < count; ++i)
            flights_[published_++ % flights_.size()] = {time, lanes_.size()};
        in_flight_ += count;
        lanes_[0].send(ring_, count);
    }

    const options& with_;
    target server_;
    poller events_;
    frame_ring ring_;
    std::vector<unsigned char> buffer_;
    std::vector<flight> flights_;
    std::vector<std::uint64_t> delivered_; ///< messages a connection
    std::vector<lane> lanes_;
    measurement result_;
    std::uint64_t published_ = 0;
    std::size_t in_flight_ = 0;
};

} // namespace

void run_broadcast(const options& with) { broadcast_run{with}.run(); }

} // namespace bench
