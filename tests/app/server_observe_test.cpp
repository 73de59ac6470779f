#include <duplex/net/observe.hpp>

// What is seen of a server's connections over real sockets, whose peers read when they like.

#include "support/loopback.hpp"
#include "support/wire.hpp"

#include <duplex/protocol/replay.hpp>
#include <duplex/server.hpp>

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace {

using namespace duplex;
using namespace duplex::testing;

void echo(session& s, const event& e) {
    if (e.what == event::kind::message) (void)s.send_back(e.op, e.payload, text_is::utf8);
}

octets from_client(opcode op, std::string_view payload) { return frame_bytes(role::client, op, payload); }

} // namespace

TEST_CASE("what a server does with a peer that reads late is recorded, and plays again") {
    octets capture;
    server_options options;
    options.socket.send_buffer_bytes = 16 * 1024;
    options.connection.observer = record_wire([&](const wire_start&) -> capture_sink {
        return [&](std::span<const std::byte> bytes) { capture += to_octets(bytes); };
    });
    asio::io_context io;
    server it{io, options};
    it.on_message = [](server::peer& peer, const message& m) { CHECK(accepted(peer.send(m))); };
    session_counters counted;
    it.on_close = [&](server::peer& peer, const close_result&) { counted = peer.counters(); };
    it.start();

    // A socket of its own, which reads only when it is told to.
    asio::io_context apart;
    tcp::socket client{apart};
    client.connect({asio::ip::address_v4::loopback(), it.port()});
    asio::write(client, asio::buffer(request_for(it.port())));
    run_until(io, [&] { return it.counters().opened == 1; });
    constexpr std::size_t large = 3'000'000;
    octets to_send = from_client(opcode::text, "one") + from_client(opcode::binary, octets(large, 'b')) +
                     from_client(opcode::ping, "?") + from_client(opcode::text, "two") +
                     from_client(opcode::close, close_payload(1000));
    client.non_blocking(true);
    octets got;
    std::vector<char> buffer(64 * 1024);
    bool ended = false;
    while (!ended) {
        std::error_code error;
        if (!to_send.empty()) {
            to_send.erase(0, client.write_some(asio::buffer(to_send), error));
        } else {
            const std::size_t size = client.read_some(asio::buffer(buffer), error);
            got.append(buffer.data(), size);
            ended = error && error != asio::error::would_block;
        }
        if (io.stopped()) io.restart();
        io.poll();
    }
    client.close();
    run_until(io, [&] { return it.counters().closed.all() == 1; });
    it.stop();
    run_out(io);

    got.erase(0, got.find("\r\n\r\n") + 4);
    const auto result = replay(view(capture), echo);
    CHECK((result.error == capture_error::none));
    CHECK(result.same_output());
    CHECK((to_octets(result.output.bytes()) == got));
    CHECK(counted.bytes_out == got.size());
    CHECK(counted.messages_in == 3);
    CHECK(counted.queue_peak > 100'000);
    CHECK(it.counters().ended_traffic == counted);
}

TEST_CASE("frames of connections on several threads are told with the number of their connection") {
    std::mutex mutex;
    std::map<std::uint64_t, std::vector<std::string>> told;
    server_options options;
    options.threads = 3;
    options.connection.observer = trace_frames([&](const traced_frame& frame) {
        const std::lock_guard lock{mutex};
        told[frame.connection].push_back(to_string(frame));
    });
    asio::io_context io;
    server it{io, options};
    it.on_message = [](server::peer& peer, const message& m) { (void)peer.send(m); };
    it.start();
    std::vector<std::unique_ptr<raw_peer>> peers;
    for (int i = 0; i < 6; ++i) {
        peers.push_back(std::make_unique<raw_peer>(io, it.port()));
        peers.back()->send(request_for(it.port()) + from_client(opcode::text, std::to_string(i)));
    }
    run_until(io, [&] {
        for (auto& each : peers)
            if (each->received().find("\x81\x01") == std::string::npos) return false;
        return true;
    });
    it.stop();
    peers.clear();
    run_out(io);
    const std::lock_guard lock{mutex};
    CHECK(told.size() == 6);
    for (const auto& [number, lines] : told) {
        REQUIRE(lines.size() >= 2);
        CHECK(lines[0].starts_with("in  text fin masked 1 \""));
        CHECK(lines[1] == "out text fin 1 " + lines[0].substr(lines[0].find('"')));
    }
}
