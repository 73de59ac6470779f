#include <duplex/deflate.hpp>
#include <duplex/protocol/session.hpp>

// Messages that wait their turn with windows that both sides keep: what is dropped or overtaken on the way
// must never have been in them.

#include "support/catch.hpp"
#include "support/output.hpp"
#include "support/seen_event.hpp"
#include "support/wire.hpp"

#include <array>
#include <map>
#include <random>
#include <string>
#include <vector>

using namespace duplex;
using namespace duplex::testing;

TEST_CASE("what waits is compressed in the order in which it leaves") {
    const auto self = GENERATE(values({role::client, role::server}));
    const auto kept = GENERATE(true, false);
    const deflate_options wanted{
        .context_takeover = true, .peer_context_takeover = true, .threshold = 0, .adaptive = false};
    const deflate_params agreed{.server_no_context_takeover = !kept, .client_no_context_takeover = !kept};
    session_options options;
    options.when_full = overflow::drop_oldest;
    options.limits.queue_bytes = 3000;
    options.limits.commit_bytes = 200;
    options.fragment_bytes = 150;
    session from{self, options};
    session to{peer_of(self)};
    from.use(detail::default_codec(self, agreed, wanted));
    to.use(detail::default_codec(peer_of(self), agreed, wanted));

    std::mt19937 random{7};
    std::map<std::uint64_t, octets> sent;
    std::map<std::uint64_t, message_fate> told;
    std::vector<octets> received;
    const auto write = [&](std::size_t most) {
        octets bytes = gathered(from).substr(0, most);
        from.consumed(bytes.size());
        to.receive(std::as_writable_bytes(std::span{bytes}));
        while (const auto e = to.next()) {
            REQUIRE(e.what == event::kind::message);
            received.emplace_back(e.text());
        }
        // `next` has kept what it needs of the window.
        while (const auto fate = from.next_fate())
            REQUIRE(told.emplace(fate->tag, fate->fate).second);
    };
    for (std::uint64_t tag = 1; tag <= 600; ++tag) {
        octets text = std::to_string(tag) + ":";
        while (text.size() < 20 + random() % 400)
            text += random() % 3 != 0 ? "the same again " : std::to_string(random());
        message_options how{.tag = tag};
        if (random() % 4 == 0) how.priority = message_priority::urgent;
        if (random() % 4 == 0) how.key = 1 + random() % 5;
        if (random() % 5 == 0) how.how = compression::none;
        const auto status = random() % 3 == 0 ? from.send(prepared_message::text(text, how.how), how)
                                              : from.send(opcode::text, view(text), how);
        if (accepted(status)) sent[tag] = text;
        if (random() % 3 == 0) write(1 + random() % 300);
    }
    while (from.queued() != 0)
        write(100);
    std::size_t written = 0;
    for (const auto& [tag, text] : sent)
        if (told.at(tag) == message_fate::written) ++written;
    CHECK(received.size() == written);
    CHECK(written < sent.size());
    for (const auto& text : received) {
        const auto tag = std::stoull(text);
        REQUIRE((sent[tag] == text));
        REQUIRE((told[tag] == message_fate::written));
    }
}
