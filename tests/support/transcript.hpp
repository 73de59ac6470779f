#pragma once

#include "support/catch.hpp"
#include "support/seen_event.hpp"
#include "support/wire.hpp"

#include <duplex/protocol/session.hpp>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace duplex::testing {

/// A scripted conversation with a session.
///
///     transcript(role::server).peer("81 85 37 fa 21 3d 7f 9f 4d 51 58").expect(message("Hello"))
///         .act([](session& s) { (void)s.send(opcode::text, "Hello"); }).expect_write("81 05 48 65 6c 6c 6f")
///         .check();
///
/// `check` plays it with the peer's bytes in one window a step, cut in two at every position, byte by byte
/// and, where the session offers it, received directly; then with the written bytes taken one segment and one
/// byte at a time and cut at every position. Each window is a heap block of its exact size, so that a
/// sanitizer sees a read behind its end, and is scribbled over once `next` has said `need_more`.
///
/// A script for `role::server` plays for `role::client` as well where it uses `peer_frame`; what is written
/// is compared without the mask, whose key is random, but for the mask bit, which the role demands.
class transcript {
public:
    explicit transcript(role self, const session_options& options = {})
        : self_{self}
        , options_{options} {}

    /// Bytes come from the peer.
    transcript& peer(std::string_view hex) { return peer_bytes(from_hex(hex)); }

    transcript& peer_bytes(octets bytes) {
        if (!steps_.empty() && steps_.back().does == does::peer)
            steps_.back().bytes += bytes;
        else
            steps_.push_back({.does = does::peer, .bytes = std::move(bytes)});
        return *this;
    }

    /// A frame comes from the peer, masked where the peer is the client.
    transcript& peer_frame(opcode op, std::string_view payload, const frame_shape& shape = {}) {
        return peer_bytes(frame_bytes(peer_of(self_), op, payload, shape));
    }

    /// The next event is this one.
    transcript& expect(seen_event wanted) {
        steps_.push_back({.does = does::expect, .wanted = std::move(wanted)});
        return *this;
    }

    /// No event is left.
    transcript& expect_nothing() {
        steps_.push_back({.does = does::expect_nothing});
        return *this;
    }

    /// Everything there is to write is this: unmasked frames, whatever the role.
    transcript& expect_write(std::string_view hex) { return expect_write_bytes(from_hex(hex)); }

    transcript& expect_write_bytes(octets bytes) {
        steps_.push_back({.does = does::expect_write, .bytes = std::move(bytes)});
        return *this;
    }

    transcript& expect_write_frame(opcode op, std::string_view payload, const frame_shape& shape = {}) {
        auto bytes = frame_bytes(role::server, op, payload, shape);
        if (!steps_.empty() && steps_.back().does == does::expect_write)
            steps_.back().bytes += bytes;
        else
            expect_write_bytes(std::move(bytes));
        return *this;
    }

    /// The application does something.
    transcript& act(std::function<void(session&)> action) {
        steps_.push_back({.does = does::act, .action = std::move(action)});
        return *this;
    }

    /// Time goes on to `ms` milliseconds after the start, and what is due is done.
    transcript& at(int ms) {
        return act([ms](session& s) { s.on_time(time_point{} + std::chrono::milliseconds{ms}); });
    }

    /// The peer ends the stream.
    transcript& eof() {
        return act([](session& s) { s.eof(); });
    }

    transcript& expect_transport(transport_step wanted) {
        steps_.push_back({.does = does::expect_transport, .transport = wanted});
        return *this;
    }

    void check() const {
        std::size_t received = 0;
        std::size_t written = 0;
        for (const auto& each : steps_) {
            if (each.does == does::peer) received += each.bytes.size();
            if (each.does == does::expect_write) written += each.bytes.size();
        }
        must_pass({});
        must_pass({.every_byte = true});
        for (std::size_t cut = 1; cut < received; cut += 1 + received / (received < 10'000 ? 500 : 100)) {
            must_pass({.cut = cut});
            if (received > 16 * 1024) must_pass({.cut = cut, .direct = true});
        }
        if (received > 16 * 1024) must_pass({.direct = true, .direct_most = 5000});
        must_pass({.segments = 1});
        must_pass({.write_most = 1 + written / 10'000});
        must_pass({.segments = 2, .write_most = 3});
        for (std::size_t cut = 1; cut < written; cut += 1 + written / (written < 10'000 ? 300 : 50))
            must_pass({.write_first = cut});
    }

private:
    enum class does { peer, expect, expect_nothing, expect_write, act, expect_transport };

    struct step {
        enum does does {};
        octets bytes{};
        seen_event wanted{};
        std::function<void(session&)> action{};
        transport_step transport{};
    };

    /// One way to play the script.
    struct plan {
        std::size_t cut = 0; ///< of the peer's bytes
        bool every_byte = false;
        bool direct = false;
        std::size_t direct_most = SIZE_MAX;
        std::size_t segments = 8;
        std::size_t write_most = SIZE_MAX;
        std::size_t write_first = 0; ///< bytes that the first write takes
    };

    struct play {
        play(role self, const session_options& options)
            : under_test{self, options} {}
        session under_test;
        std::deque<seen_event> events;
        std::size_t received = 0;
        std::size_t written = 0;
    };

    void must_pass(const plan& how) const {
        const auto wrong = run(how);
        INFO((self_ == role::server ? "server" : "client"));
        INFO("cut at " << how.cut << (how.every_byte ? ", byte by byte" : "")
                       << (how.direct ? ", direct" : "") << "; written by " << how.segments
                       << " segments, at most " << how.write_most << ", first " << how.write_first);
        INFO(wrong);
        REQUIRE(wrong.empty());
    }

    [[nodiscard]] std::string run(const plan& how) const {
        play now{self_, options_};
        for (std::size_t i = 0; i < steps_.size(); ++i) {
            const auto wrong = run(steps_[i], how, now);
            if (!wrong.empty()) return "step " + std::to_string(i) + ": " + wrong;
        }
        pull(now);
        if (!now.events.empty()) return "an event too many: " + describe(now.events.front());
        const auto rest = write(how, now);
        return rest.empty() ? "" : "something too much is written: " + to_hex(rest);
    }

    [[nodiscard]] std::string run(const step& what, const plan& how, play& now) const {
        switch (what.does) {
        case does::peer: receive(what.bytes, how, now); return {};
        case does::act: what.action(now.under_test); return {};
        case does::expect: {
            if (now.events.empty()) pull(now);
            const auto got = now.events.empty() ? seen_event{} : now.events.front();
            if (got != what.wanted) return "expected " + describe(what.wanted) + ", got " + describe(got);
            now.events.pop_front();
            return {};
        }
        case does::expect_nothing:
            pull(now);
            return now.events.empty() ? "" : "expected nothing, got " + describe(now.events.front());
        case does::expect_write: return compare(what.bytes, write(how, now));
        case does::expect_transport:
            return now.under_test.transport() == what.transport
                       ? ""
                       : "expected transport step " + std::to_string(static_cast<int>(what.transport)) +
                             ", got " + std::to_string(static_cast<int>(now.under_test.transport()));
        }
        return {};
    }

    static void pull(play& now) {
        while (const auto e = now.under_test.next()) {
            now.events.push_back(see(e));
            // Pieces of a message are joined: where the windows cut it is chance.
            if (now.events.size() < 2) continue;
            std::vector<seen_event> last{now.events[now.events.size() - 2], now.events.back()};
            last = join_fragments(last);
            if (last.size() == 2) continue;
            now.events.pop_back();
            now.events.back() = last.front();
        }
    }

    static void receive(const octets& bytes, const plan& how, play& now) {
        std::size_t at = 0;
        while (at < bytes.size()) {
            std::size_t size = bytes.size() - at;
            if (how.every_byte)
                size = 1;
            else if (how.cut > now.received && how.cut - now.received < size)
                size = how.cut - now.received;
            if (how.direct) {
                const auto room = now.under_test.direct();
                if (!room.empty()) {
                    size = std::min({size, room.size(), how.direct_most});
                    std::memcpy(room.data(), bytes.data() + at, size);
                    now.under_test.received_direct(size);
                    pull(now);
                    at += size;
                    now.received += size;
                    continue;
                }
                size = std::min(size, how.direct_most);
            }
            // A block of the exact size, for the sanitizer.
            const std::unique_ptr<std::byte[]> window{new std::byte[size]};
            std::memcpy(window.get(), bytes.data() + at, size);
            now.under_test.receive({window.get(), size});
            pull(now);
            std::memset(window.get(), 0xA5, size);
            at += size;
            now.received += size;
        }
    }

    static octets write(const plan& how, play& now) {
        octets out;
        std::array<segment, 8> segments;
        for (;;) {
            const auto count = now.under_test.gather(std::span{segments}.first(how.segments));
            if (count == 0) return out;
            std::size_t size = 0;
            for (std::size_t i = 0; i < count; ++i)
                size += segments[i].size();
            size = std::min(size, how.write_most);
            if (how.write_first > now.written) size = std::min(size, how.write_first - now.written);
            std::size_t left = size;
            for (std::size_t i = 0; left != 0; ++i) {
                const auto part = segments[i].first(std::min(left, segments[i].size()));
                out += to_octets(part);
                left -= part.size();
            }
            now.written += size;
            now.under_test.consumed(size);
        }
    }

    [[nodiscard]] std::string compare(const octets& wanted, const octets& got) const {
        if (self_ == role::server)
            return wanted == got ? "" : "expected to write " + to_hex(wanted) + ", got " + to_hex(got);
        const auto want = read_frames(wanted);
        const auto have = read_frames(got);
        if (!want || !have) return "not whole frames: " + to_hex(got);
        if (want->size() != have->size())
            return "expected " + std::to_string(want->size()) + " frames, got " +
                   std::to_string(have->size());
        for (std::size_t i = 0; i < want->size(); ++i)
            if (!(*have)[i].masked || !(*want)[i].same_but_mask((*have)[i]))
                return "expected to write " + describe((*want)[i]) + ", got " + describe((*have)[i]);
        return {};
    }

    role self_;
    session_options options_;
    std::vector<step> steps_;
};

} // namespace duplex::testing
