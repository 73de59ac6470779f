// Each connection keeps a number of messages in flight; each that comes back sends the next one.

#include "clockwork.hpp"
#include "deflate_lane.hpp"
#include "lane.hpp"

#include <algorithm>

namespace bench {

namespace {

template <class Lane>
class echo_run {
public:
    explicit echo_run(const options& with)
        : with_{with}
        , server_{with.port}
        , ring_{Lane::make_ring(with)}
        , buffer_(read_size)
        , sent_at_(with.connections * with.in_flight)
        , ends_(with.connections)
        , lanes_{open_lanes<Lane>(server_, events_, with)}
        , result_{with.server} {}

    void run() {
        clockwork clock{with_, result_};
        left_ = with_.messages != 0 ? with_.messages : UINT64_MAX;
        for (std::uint32_t i = 0; i < lanes_.size(); ++i)
            send(i, with_.in_flight, now());
        while (clock.goes_on())
            turn();
        // What is still in flight must come back right, too.
        left_ = 0;
        while (in_flight_ != 0)
            turn();
        result_.print("echo");
    }

private:
    /// Where in the sending times of a connection the oldest one lies, and where the next one goes.
    struct ends {
        std::size_t oldest = 0;
        std::size_t next = 0;
    };

    void turn() {
        const auto ready = [this](std::uint32_t tag, bool can_read) {
            Lane& one = lanes_[tag];
            one.flush(ring_);
            if (!can_read) return;
            const std::size_t frames = one.receive(ring_, buffer_);
            if (frames == 0) return;
            const auto time = now();
            if constexpr (requires { one.taken_bytes(); }) result_.reply_bytes += one.taken_bytes();
            count(tag, frames, time);
            send(tag, frames, time);
        };
        if (!events_.wait(with_.patience, ready)) throw failure{"the server makes no progress"};
    }

    /// The frames of one connection come back in order, so their sending times are a queue.
    void count(std::uint32_t tag, std::size_t frames, std::uint64_t time) {
        std::uint64_t* const times = &sent_at_[tag * with_.in_flight];
        std::size_t& at = ends_[tag].oldest;
        for (std::size_t i = 0; i < frames; ++i) {
            result_.latency.add(time - times[at]);
            if (++at == with_.in_flight) at = 0;
        }
        result_.count += frames;
        in_flight_ -= frames;
    }

    void send(std::uint32_t tag, std::size_t frames, std::uint64_t time) {
        frames = static_cast<std::size_t>(std::min<std::uint64_t>(frames, left_));
        if (frames == 0) return;
        left_ -= frames;
        in_flight_ += frames;
        std::uint64_t* const times = &sent_at_[tag * with_.in_flight];
        std::size_t& at = ends_[tag].next;
        for (std::size_t i = 0; i < frames; ++i) {
            times[at] = time;
            if (++at == with_.in_flight) at = 0;
        }
        lanes_[tag].send(ring_, frames);
    }

    const options& with_;
    target server_;
    poller events_;
    decltype(Lane::make_ring(with_)) ring_;
    std::vector<unsigned char> buffer_;
    std::vector<std::uint64_t> sent_at_; ///< `in_flight` a connection
    std::vector<ends> ends_;
    std::vector<Lane> lanes_;
    measurement result_;
    std::uint64_t left_ = 0; ///< messages still to be sent
    std::uint64_t in_flight_ = 0;
};

} // namespace

void run_echo(const options& with) {
    if (with.deflate == compression::none)
        echo_run<lane>{with}.run();
    else
        echo_run<deflate_lane>{with}.run();
}

} // namespace bench
