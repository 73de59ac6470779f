#include <duplex/deflate.hpp>
#include <duplex/net/observe.hpp>

// Compressed conversations, counted, shown, recorded and played again.

#include "support/connected.hpp"
#include "support/seen_event.hpp"

#include <duplex/protocol/replay.hpp>

#include <string>
#include <vector>

using namespace duplex;
using namespace duplex::testing;

namespace {

octets json(unsigned seed) {
    octets text = "[";
    for (unsigned i = seed; text.size() < 3000; ++i)
        text += R"({"symbol":"ABC","price":)" + std::to_string(100 + i * 7 % 900) + R"(,"side":"buy"},)";
    return text;
}

struct compressed_pair : on_manual_time {
    explicit compressed_pair(const deflate_options& how, const connection_options& server_options,
                             const connection_options& client_options = {})
        : server{std::move(ends.first), server_options}
        , client{std::move(ends.second), client_options} {
        server_handshake_options accept;
        accept.deflate = how;
        client_handshake_options offer;
        offer.deflate = how;
        ending<> accepted;
        ending<> shaken;
        server.async_accept(accept, accepted.handler());
        client.async_handshake(uri_of("ws://localhost/chat"), offer, shaken.handler());
        run();
        REQUIRE(accepted.well());
        REQUIRE(shaken.well());
        REQUIRE(server.opening_outcome()->deflate);
    }

    memory_connection server;
    memory_connection client;
};

} // namespace

TEST_CASE("a compressed conversation is recorded, and plays again") {
    const bool takeover = GENERATE(false, true);
    const deflate_options how{
        .context_takeover = takeover, .peer_context_takeover = takeover, .threshold = 0, .adaptive = false};
    octets capture;
    std::vector<std::string> traced;
    connection_options options;
    options.observer =
        observe_both(record_wire([&](const wire_start&) -> capture_sink {
                         return [&](std::span<const std::byte> bytes) { capture += to_octets(bytes); };
                     }),
                     trace_frames([&](const traced_frame& frame) { traced.push_back(to_string(frame)); }, 2));
    compressed_pair pair{how, options};
    std::vector<octets> live;
    ending<> ended;
    ending<> client_ended;
    pair.server.async_run(
        [&](const duplex::message& m) {
            live.emplace_back(m.text());
            CHECK(accepted(pair.server.send(m)));
        },
        ended.handler());
    pair.client.async_run([](const duplex::message&) {}, client_ended.handler());
    for (unsigned i = 0; i < 5; ++i) {
        CHECK(accepted(pair.client.send(json(i))));
        CHECK(accepted(pair.client.ping({})));
        CHECK(accepted(pair.client.send(std::string_view{json(i)}, {.how = compression::none})));
        pair.run();
    }
    REQUIRE(live.size() == 10);
    CHECK(traced.at(1).starts_with("in  text fin rsv1 masked "));

    std::vector<octets> again;
    const auto result = replay(view(capture), [&](session& s, const event& e) {
        if (e.what != event::kind::message) return;
        again.emplace_back(e.text());
        CHECK(accepted(s.send(e.op, e.payload)));
    });
    CHECK((result.error == capture_error::none));
    CHECK((again == live));
    CHECK(result.same_output());
    CHECK(result.left == 0);

    // Damage is found out, or plays as something else.
    for (std::size_t at = 0; at < capture.size(); at += 7) {
        octets damaged = capture;
        damaged[at] = static_cast<char>(damaged[at] ^ 0x55);
        const auto played = replay(view(damaged), [](session&, const event&) {});
        CHECK(played.position <= damaged.size());
    }
}

TEST_CASE("counters tell what compression leaves") {
    connection_options options;
    compressed_pair pair{{.threshold = 0, .adaptive = false}, options};
    ending<> ended;
    ending<> client_ended;
    pair.server.async_run([](const duplex::message&) {}, ended.handler());
    pair.client.async_run([](const duplex::message&) {}, client_ended.handler());
    const octets text = json(1);
    CHECK(accepted(pair.client.send(text)));
    CHECK(accepted(pair.client.send(std::string_view{text}, {.how = compression::none})));
    pair.run();
    const auto sent = pair.client.counters();
    const auto came = pair.server.counters();
    CHECK(sent.inflated_out == text.size());
    CHECK(sent.deflated_out > 0);
    CHECK(sent.deflated_out < text.size() / 2);
    CHECK(came.inflated_in == text.size());
    CHECK(came.deflated_in == sent.deflated_out);
    CHECK(came.messages_in == 2);
    // A prepared message is compressed apart from the connection.
    CHECK(accepted(pair.server.send(prepared_message::text(text))));
    pair.run();
    CHECK(pair.server.counters().inflated_out == text.size());
    CHECK(pair.server.counters().deflated_out == pair.client.counters().deflated_in);
    CHECK(pair.server.counters().messages_out == 1);
}
