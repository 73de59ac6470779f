#include <duplex/protocol/session.hpp>

// Random lives of a session in which messages wait their turn, next to a slow and obvious model of it: what
// is written, and what became of each message, is the same.

#include "support/catch.hpp"
#include "support/output.hpp"
#include "support/wire.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <vector>

using namespace duplex;
using namespace duplex::testing;

namespace {

struct waiting_message {
    octets payload;
    message_options options{};
    time_point expires = no_deadline;
    bool fragment = false;
    bool first = true;
    bool last = true;
    bool begun = false;

    [[nodiscard]] bool loose() const { return !fragment && !begun; }
    [[nodiscard]] bool urgent() const { return options.priority == message_priority::urgent; }
};

struct frame_to_come {
    octets payload;
    bool starts = true; ///< not a continuation
    bool fin = true;
    bool piece = false; ///< of a message that is sent in pieces
    std::uint64_t tag = 0;
    std::uint64_t end = 0;
};

class model {
public:
    model(role self, const session_options& options)
        : self_{self}
        , options_{options} {}

    std::vector<frame_to_come> frames;
    std::map<std::uint64_t, message_fate> fates;

    [[nodiscard]] std::size_t waiting_bytes() const {
        std::size_t sum = 0;
        for (const auto& each : waiting_)
            sum += framed(each.payload.size());
        return sum;
    }
    [[nodiscard]] std::size_t queued() const { return data_queued() + waiting_bytes() + control; }

    std::size_t control = 0; ///< bytes of the control lane
    time_point now{};

    send_status send(waiting_message message) {
        expire();
        refill();
        message.expires = deadline_after(now, message.options.time_to_live);
        const auto key = message.options.key;
        auto old = std::find_if(waiting_.begin(), waiting_.end(), [&](const auto& each) {
            return key != 0 && each.loose() && each.options.key == key;
        });
        const bool is_replacing = old != waiting_.end();
        const std::size_t size = message.payload.size();
        const bool at_once = waiting_.empty() && may_commit(size) && (message.fragment || !is_long(size));
        auto policy = message.options.when_full;
        if (policy == overflow::by_default) policy = options_.when_full;
        // What would be dropped, the oldest first.
        std::vector<std::size_t> victims;
        for (std::size_t i = 0;; ++i) {
            std::size_t bytes = queued() - (is_replacing ? framed(old->payload.size()) : 0);
            std::size_t count = waiting_.size() - (is_replacing ? 1 : 0) - victims.size();
            for (const auto each : victims)
                bytes -= framed(waiting_[each].payload.size());
            if ((bytes == 0 || bytes + size <= options_.limits.queue_bytes) &&
                (at_once || count < options_.limits.queue_messages))
                break;
            if (message.fragment && !message.first) {
                const auto [less_bytes, less_count] = behind_fragments();
                if (less_count != 0 &&
                    (bytes == less_bytes || bytes - less_bytes + size <= options_.limits.queue_bytes) &&
                    (at_once || count - less_count < options_.limits.queue_messages))
                    break;
            }
            if (policy == overflow::wait) return send_status::would_wait;
            if (message.fragment || policy == overflow::fail) return send_status::queue_full;
            while (i < waiting_.size() &&
                   (!waiting_[i].loose() || waiting_[i].urgent() || (is_replacing && &waiting_[i] == &*old)))
                ++i;
            if (policy == overflow::drop_newest || i >= waiting_.size()) {
                tell(message.options.tag, message_fate::dropped);
                return send_status::dropped;
            }
            victims.push_back(i);
        }
        const bool same_place = is_replacing && old->urgent() == message.urgent();
        if (is_replacing) {
            tell(old->options.tag, message_fate::replaced);
            if (same_place)
                *old = message;
            else
                old->payload = "!"; // goes below
        }
        for (auto each = victims.rbegin(); each != victims.rend(); ++each) {
            tell(waiting_[*each].options.tag, message_fate::dropped);
            if (is_replacing && waiting_.begin() + static_cast<long>(*each) < old) --old;
            waiting_.erase(waiting_.begin() + static_cast<long>(*each));
        }
        if (is_replacing && !same_place) waiting_.erase(old);
        if (!same_place) waiting_.push_back(message);
        refill();
        return queued() > options_.limits.queue_watermark ? send_status::above_watermark : send_status::ok;
    }

    bool withdraw(std::uint64_t tag) {
        const auto found = std::find_if(waiting_.begin(), waiting_.end(), [&](const auto& each) {
            return each.loose() && each.options.tag == tag;
        });
        if (found == waiting_.end()) return false;
        waiting_.erase(found);
        refill();
        return true;
    }

    /// The transport took the data up to there.
    void written(std::uint64_t position) {
        written_ = position;
        for (const auto& each : frames)
            if (each.end <= position && each.fin) tell(each.tag, message_fate::written);
        refill();
    }

    void refill() {
        expire();
        while (!waiting_.empty()) {
            auto next = std::find_if(waiting_.begin(), waiting_.end(), [](const auto& each) {
                return each.begun || (each.fragment && !each.first);
            });
            // A later fragment is only due when the first one is gone.
            if (next != waiting_.end() && !next->begun &&
                std::any_of(waiting_.begin(), next, [](const auto& each) { return !each.urgent(); }))
                next = waiting_.end();
            if (next == waiting_.end())
                next =
                    std::find_if(waiting_.begin(), waiting_.end(), [](const auto& e) { return e.urgent(); });
            if (next == waiting_.end()) next = waiting_.begin();
            const bool cut = !next->fragment && (next->begun || is_long(next->payload.size()));
            const auto part =
                cut ? std::min(options_.fragment_bytes, next->payload.size()) : next->payload.size();
            if (!may_commit(part)) return;
            const bool ends = part == next->payload.size();
            pushed_ += framed(part);
            frames.push_back({.payload = next->payload.substr(0, part),
                              .starts = !next->begun && next->first,
                              .fin = next->fragment ? next->last : ends,
                              .piece = next->fragment,
                              .tag = next->options.tag,
                              .end = pushed_});
            if (ends) {
                waiting_.erase(next);
            } else {
                next->begun = true;
                next->payload.erase(0, part);
            }
        }
    }

    void end_waiting(message_fate fate) {
        for (const auto& each : waiting_)
            tell(each.options.tag, fate);
        waiting_.clear();
    }
    void lose_all() {
        end_waiting(message_fate::lost);
        for (const auto& each : frames)
            if (each.end > written_) tell(each.tag, message_fate::lost);
    }

private:
    [[nodiscard]] std::size_t framed(std::size_t size) const {
        return size + (size < 126 ? 2 : size < 65536 ? 4 : 10) + (self_ == role::client ? 4 : 0);
    }
    [[nodiscard]] std::size_t data_queued() const { return static_cast<std::size_t>(pushed_ - written_); }
    [[nodiscard]] bool may_commit(std::size_t size) const {
        return data_queued() == 0 || data_queued() + framed(size) <= options_.limits.commit_bytes;
    }
    /// What waits for the end of a message in pieces, which it must not keep from ending.
    [[nodiscard]] std::pair<std::size_t, std::size_t> behind_fragments() const {
        const bool begun = !frames.empty() && frames.back().piece && !frames.back().fin;
        std::pair<std::size_t, std::size_t> all{};
        bool behind = true;
        for (auto each = waiting_.rbegin(); each != waiting_.rend(); ++each) {
            if (each->fragment) behind = false;
            if (each->urgent() ? !begun : !behind) continue;
            all.first += framed(each->payload.size());
            ++all.second;
        }
        return all;
    }
    [[nodiscard]] bool is_long(std::size_t size) const {
        return options_.fragment_bytes != 0 && size > options_.fragment_bytes;
    }
    void expire() {
        std::erase_if(waiting_, [&](const auto& each) {
            if (!each.loose() || each.expires > now) return false;
            tell(each.options.tag, message_fate::expired);
            return true;
        });
    }
    void tell(std::uint64_t tag, message_fate fate) {
        if (tag != 0) fates.emplace(tag, fate);
    }

    role self_;
    session_options options_;
    std::vector<waiting_message> waiting_; ///< in the order in which they were sent
    std::uint64_t pushed_ = 0;
    std::uint64_t written_ = 0;
};

/// One random life.
class life {
public:
    explicit life(unsigned seed)
        : random_{seed}
        , self_{seed % 2 == 0 ? role::client : role::server}
        , options_{random_options()}
        , s_{self_, options_}
        , model_{self_, options_} {}

    void live() {
        for (int step = 0; step < 200; ++step) {
            CAPTURE(step);
            one_step();
            listen();
            REQUIRE(s_.queued() == model_.queued());
        }
        end();
        compare();
    }

private:
    unsigned below(unsigned limit) { return static_cast<unsigned>(random_() % limit); }
    bool one_of(unsigned n) { return below(n) == 0; }

    session_options random_options() {
        session_options o;
        o.timeouts = {.ping_interval = {}, .idle = {}, .write = {}, .close = {}};
        o.hold_back = true;
        o.limits.commit_bytes = 1 + below(300);
        o.limits.queue_bytes = 300 + below(1500);
        o.limits.queue_watermark = 500;
        o.limits.queue_messages = one_of(3) ? 5 : 1000;
        o.fragment_bytes = one_of(2) ? 0 : 20 + below(100);
        constexpr std::array all{overflow::fail, overflow::drop_newest, overflow::drop_oldest,
                                 overflow::wait};
        o.when_full = all[below(4)];
        return o;
    }

    /// Whose number tells it from all others.
    octets payload() {
        auto text = "#" + std::to_string(++count_) + "#";
        return text + octets(one_of(5) ? below(400) : below(60), 'x');
    }

    void one_step() {
        switch (below(10)) {
        case 0:
        case 1: consume(); break;
        case 2:
            model_.now += std::chrono::milliseconds{below(20)};
            if (one_of(2)) return s_.at(model_.now);
            s_.on_time(model_.now);
            model_.refill();
            break;
        case 3: {
            const auto tag = 1 + below(count_ + 2);
            const bool withdrawn = model_.withdraw(tag);
            REQUIRE(s_.withdraw(tag) == withdrawn);
            if (withdrawn) withdrawn_.push_back(tag);
            break;
        }
        case 4: (void)s_.ping(view("p")); break;
        default: send_something();
        }
        model_.control = static_cast<std::size_t>(s_.control_pushed() - s_.control_written());
    }

    void send_something() {
        waiting_message m{.payload = payload()};
        if (in_fragments_ || one_of(12)) {
            m.fragment = true;
            m.first = !in_fragments_;
            m.last = one_of(3);
            const auto got = s_.send_fragment(opcode::binary, view(m.payload), m.last);
            REQUIRE(got == model_.send(m));
            if (accepted(got)) in_fragments_ = !m.last;
            return;
        }
        if (!one_of(5)) {
            m.options.tag = count_;
            constexpr std::array all{overflow::by_default, overflow::fail, overflow::drop_newest,
                                     overflow::drop_oldest, overflow::wait};
            m.options.when_full = one_of(3) ? all[below(5)] : overflow::by_default;
            if (one_of(3)) m.options.time_to_live = std::chrono::milliseconds{1 + below(50)};
            if (one_of(3)) m.options.key = 1 + below(4);
            if (one_of(4)) m.options.priority = message_priority::urgent;
        }
        const auto expected = model_.send(m);
        send_status got{};
        if (m.options.tag == 0) {
            got = s_.send(opcode::binary, m.payload);
        } else if (one_of(3)) {
            auto own = owned(m.payload);
            got = s_.send(opcode::binary, std::move(own), m.options);
            if (!accepted(got)) REQUIRE(to_octets(own.bytes()) == m.payload); // NOLINT: it is left alone
        } else if (one_of(3)) {
            got = s_.send(prepared_message::binary(view(m.payload)), m.options);
        } else {
            got = s_.send(opcode::binary, view(m.payload), m.options);
        }
        REQUIRE(got == expected);
        if (m.options.tag != 0 && (accepted(got) || got == send_status::dropped)) taken_.push_back(count_);
    }

    /// The transport takes a part.
    void consume() {
        const auto there = gathered(s_);
        if (there.empty()) return;
        const auto size = one_of(2) ? there.size() : 1 + below(static_cast<unsigned>(there.size()));
        s_.consumed(size);
        wire_ += there.substr(0, size);
        model_.written(s_.data_written());
    }

    void listen() {
        while (const auto told = s_.next_fate())
            REQUIRE(told_.emplace(told->tag, told->fate).second);
    }

    void end() {
        const auto way = below(5);
        closed_ = way == 1 || way == 2 || way == 3;
        if (way == 1) {
            REQUIRE_FALSE(s_.close());
        } else if (way == 2) {
            REQUIRE_FALSE(s_.close_now());
            model_.end_waiting(message_fate::dropped);
        } else if (way == 3) {
            s_.fail(errc::invalid_utf8);
            model_.end_waiting(message_fate::lost);
        } else if (way == 4) {
            s_.drop_output();
            model_.lose_all();
            dropped_ = true;
        }
        for (int i = 0; s_.queued() != 0; ++i) {
            REQUIRE(i < 10'000);
            consume();
        }
        listen();
        REQUIRE_FALSE(s_.next_fate());
    }

    void compare() {
        // Each that was taken has one fate, but for those that were withdrawn.
        REQUIRE(told_ == model_.fates);
        for (const auto tag : taken_)
            REQUIRE(told_.count(tag) +
                        static_cast<std::size_t>(std::count(withdrawn_.begin(), withdrawn_.end(), tag)) ==
                    1);
        if (dropped_) return;
        const auto all = read_frames(wire_);
        REQUIRE(all);
        std::size_t at = 0;
        bool close_seen = false;
        for (const auto& each : *all) {
            REQUIRE_FALSE(close_seen);
            close_seen = each.op == 8;
            if (each.op >= 8) continue;
            REQUIRE(at < model_.frames.size());
            const auto& wanted = model_.frames[at++];
            REQUIRE(each.payload == wanted.payload);
            REQUIRE(each.fin == wanted.fin);
            REQUIRE(each.op == (wanted.starts ? 2U : 0U));
        }
        REQUIRE(at == model_.frames.size());
        REQUIRE(close_seen == closed_);
    }

    std::mt19937 random_;
    role self_;
    session_options options_;
    session s_;
    model model_;
    unsigned count_ = 0;
    bool in_fragments_ = false;
    bool closed_ = false;
    bool dropped_ = false;
    octets wire_;
    std::vector<std::uint64_t> taken_;
    std::vector<std::uint64_t> withdrawn_;
    std::map<std::uint64_t, message_fate> told_;
};

} // namespace

TEST_CASE("messages that wait their turn fare as a model of them does") {
    for (unsigned seed = 0; seed < 400; ++seed) {
        CAPTURE(seed);
        life{seed}.live();
    }
}
