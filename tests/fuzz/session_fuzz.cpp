// Frames in any pieces: session finds what the reference decoder finds in the whole, and answers it.

#include "fuzz/chunks.hpp"
#include "support/reference_decoder.hpp"

#include <duplex/protocol/session.hpp>

#include <array>
#include <vector>

using namespace duplex;
using namespace duplex::testing;

namespace {

void write(session& s, octets& out, std::size_t most) {
    std::array<segment, 3> segments;
    for (;;) {
        const auto count = s.gather(segments);
        if (count == 0) return;
        std::size_t taken = 0;
        for (std::size_t i = 0; i < count && taken < most; ++i) {
            const auto part = segments[i].first(std::min(most - taken, segments[i].size()));
            out += to_octets(part);
            taken += part.size();
        }
        s.consumed(taken);
    }
}

/// Fragments put together, so that they compare with messages.
std::vector<seen_event> whole_messages(const std::vector<seen_event>& events) {
    std::vector<seen_event> out;
    octets text;
    for (auto e : events) {
        if (e.what == event::kind::fragment) {
            text += e.payload;
            if (!e.last) continue;
            e.what = event::kind::message;
            e.payload = std::exchange(text, {});
        }
        out.push_back(e);
    }
    return out;
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const fuzz_input input{data, size};
    const role self = input.flag(0) ? role::client : role::server;
    session_options options{.deliver_fragments = input.flag(1)};
    reference_limits limits;
    if (input.flag(2)) {
        options.limits.message_bytes = limits.message_bytes = 300;
        options.limits.message_fragments = limits.message_fragments = 3;
    }
    const std::size_t most_written = input.flag(3) ? 1 : SIZE_MAX;

    session s{self, options};
    std::vector<seen_event> events;
    octets written;
    const auto pull = [&] {
        while (const auto e = s.next()) {
            events.push_back(see(e));
            write(s, written, most_written);
        }
    };
    auto rest = input.bytes;
    for (std::size_t turn = 0; !rest.empty(); ++turn) {
        auto piece = rest.substr(0, input.size_of(turn));
        if (const auto room = input.flag(4) ? s.direct() : std::span<std::byte>{}; !room.empty()) {
            piece = piece.substr(0, room.size());
            std::memcpy(room.data(), piece.data(), piece.size());
            s.received_direct(piece.size());
            pull();
        } else {
            exact_block window{piece};
            s.receive(window.bytes());
            pull();
            window.scribble();
        }
        rest.remove_prefix(piece.size());
    }

    const auto wanted = reference_decode(self, input.bytes, limits);
    if (whole_messages(events) != wanted) {
        std::fprintf(stderr, "reference: %s\nsession:   %s\n", describe(wanted).c_str(),
                     describe(events).c_str());
        must(false, "the events are those of the reference");
    }
    const auto frames = read_frames(written);
    const auto replies = read_frames(reference_replies(wanted));
    must(frames.has_value(), "whole frames are written");
    must(frames->size() == replies->size(), "everything is answered once");
    for (std::size_t i = 0; i < frames->size(); ++i) {
        must((*frames)[i].same_but_mask((*replies)[i]), "each answer is the right one");
        must((*frames)[i].masked == (self == role::client), "a client masks, a server does not");
    }
    const bool open = wanted.empty() || (wanted.back().what != event::kind::closed &&
                                         wanted.back().what != event::kind::failed);
    must(s.is_open() == open, "it is open until something ends it");
    return 0;
}
