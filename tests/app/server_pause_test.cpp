#include <duplex/server.hpp>

#include "support/loopback.hpp"

#include <asio/io_context.hpp>
#include <asio/post.hpp>

#include <chrono>
#include <optional>
#include <string>
#include <vector>

using namespace duplex;
using namespace duplex::testing;
using namespace std::chrono_literals;

TEST_CASE("a server's peer is paused by its callback, gets no more, and goes on where it was") {
    asio::io_context io;
    server it{io, {.host = "127.0.0.1", .port = 0}};
    std::vector<std::string> got;
    std::optional<close_result> ended;
    int resumed = 0;
    it.on_message = [&](server::peer& peer, const message& m) {
        got.emplace_back(m.text());
        if (got.size() > 2) return;
        peer.pause();
        CHECK(peer.is_paused());
        CHECK(accepted(peer.send(m)));
        // What was read with this message would have come first.
        asio::post(io, [&] {
            ++resumed;
            CHECK(got.size() == static_cast<std::size_t>(resumed));
            asio::post(io, [&] { peer.resume(); });
        });
    };
    it.on_close = [&](server::peer&, const close_result& result) { ended = result; };
    it.start();
    watched client{io, "ws://127.0.0.1:" + std::to_string(it.port())};
    client.then_open = [&] {
        for (const auto* each : {"1", "2", "3", "4"})
            client.socket->send(each);
        client.socket->close();
    };
    client.then_close = [&] { it.stop(); };
    run_out(io);
    CHECK(got == std::vector<std::string>{"1", "2", "3", "4"});
    CHECK(resumed == 2);
    REQUIRE(ended);
    CHECK(ended->was_clean);
}
