#include <duplex/tls/detail/tls_layer.hpp>

#include "support/catch.hpp"
#include "support/system_faults.hpp"
#include "support/tls_script.hpp"

#include <duplex/net/buffer_pool.hpp>

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace {

using namespace duplex;
using namespace duplex::testing;

/// How a wire cuts what passes.
enum class cutting { none, bytes, sevens, random, random_and_blocking };

[[nodiscard]] std::function<std::size_t()> portions(cutting how, std::uint32_t seed) {
    switch (how) {
    case cutting::none: return {};
    case cutting::bytes: return [] { return std::size_t{1}; };
    case cutting::sevens: return [] { return std::size_t{7}; };
    default:
        return [state = seed, blocks = how == cutting::random_and_blocking]() mutable {
            state = state * 1664525U + 1013904223U;
            const auto drawn = state >> 16U;
            return blocks && drawn % 3 == 0 ? std::size_t{0} : std::size_t{1 + drawn % 2000};
        };
    }
}

void cut(scripted_pair& pair, cutting how) {
    pair.client_wire.portion = portions(how, 1);
    pair.server_wire.portion = portions(how, 2);
}

/// The lengths of the records in what was written.
[[nodiscard]] std::vector<std::size_t> records_in(std::string_view bytes) {
    std::vector<std::size_t> found;
    while (bytes.size() >= 5) {
        const auto size = static_cast<std::size_t>(static_cast<unsigned char>(bytes[3])) * 256 +
                          static_cast<unsigned char>(bytes[4]);
        found.push_back(size);
        bytes.remove_prefix(std::min(bytes.size(), size + 5));
    }
    return found;
}

[[nodiscard]] std::unique_ptr<detail::transport_layer> tls_layer_for(const tls_context& server) {
    detail::ssl_ptr ssl{SSL_new(server.native_handle())};
    SSL_set_accept_state(ssl.get());
    return detail::tls_layer::make(std::move(ssl));
}

} // namespace

TEST_CASE("TLS arrives whole and in order however the transport cuts it") {
    const int newest = GENERATE(TLS1_2_VERSION, TLS1_3_VERSION);
    const int depth = GENERATE(1, 2);
    const auto how = GENERATE(cutting::none, cutting::bytes, cutting::sevens, cutting::random,
                              cutting::random_and_blocking);
    const std::size_t room = GENERATE(std::size_t{1} << 30U, std::size_t{4096}, std::size_t{5});
    CAPTURE(newest, depth, static_cast<int>(how), room);
    scripted_pair pair{depth, newest};
    cut(pair, how);
    pair.to_server.room = pair.to_client.room = room;
    pair.run();
    REQUIRE(pair.established());
    CHECK(SSL_version(pair.ssl_of_client) == newest);

    // Both ways at once, in writes of one large buffer and of many small ones.
    const auto there = sample_text(how == cutting::bytes ? 5000 : 70001, 1);
    const auto back = sample_text(17000, 2);
    pair.server.read_size = 1000;
    pair.server.gather = 64;
    pair.server.piece = 77;
    pair.client.send(there);
    pair.server.send(back);
    pair.run();
    CHECK(pair.client.all_sent());
    CHECK(pair.server.all_sent());
    CHECK((pair.server.received == there));
    CHECK((pair.client.received == back));
    CHECK_FALSE(pair.client.error);
    CHECK_FALSE(pair.server.error);

    // An end is told as such, and what comes the other way still does.
    pair.to_server.room = pair.to_client.room = std::size_t{1} << 30U;
    pair.client.end();
    pair.run();
    CHECK(pair.server.error == asio::error::eof);
}

TEST_CASE("a side that ended still hears what the other one has to say") {
    const int newest = GENERATE(TLS1_2_VERSION, TLS1_3_VERSION);
    scripted_pair pair{1, newest};
    pair.run();
    pair.client.send("a last word");
    pair.client.end();
    pair.run();
    CHECK(pair.server.received == "a last word");
    CHECK(pair.server.error == asio::error::eof);

    const std::string_view answer{"an answer"};
    const asio::const_buffer only{answer.data(), answer.size()};
    std::error_code error;
    CHECK(pair.server.layer->write_some(pair.server_wire, {&only, 1}, error) == answer.size());
    CHECK_FALSE(error);
    pair.run();
    CHECK(pair.client.received == answer);
}

TEST_CASE("an end in any place is told, after all that came before it") {
    const int newest = GENERATE(TLS1_2_VERSION, TLS1_3_VERSION);
    CAPTURE(newest);
    const std::string text = "forty bytes of text that are not to be lost";
    std::size_t handshake = 0;
    std::size_t data = 0;
    std::size_t all = static_cast<std::size_t>(-1);
    for (std::size_t n = 0; n <= all; n = (n < all || all == 0) ? n + 1 : n) {
        // The first run is whole.
        scripted_pair pair{1, newest};
        const bool whole = all == static_cast<std::size_t>(-1);
        if (!whole) {
            pair.to_server.left = n;
            pair.to_server.ended = n == 0;
            pair.to_server.told = false;
        }
        pair.client.send(text);
        pair.client.end();
        if (whole) {
            scripted_pair shorter{1, newest};
            shorter.run();
            handshake = shorter.to_server.passed.size();
            shorter.client.send(text);
            shorter.run();
            data = shorter.to_server.passed.size();
        }
        pair.run();
        CAPTURE(n, handshake, data);
        if (whole) {
            CHECK(pair.server.error == asio::error::eof);
            CHECK(pair.server.received == text);
            all = pair.to_server.passed.size();
            n = static_cast<std::size_t>(-1);
            continue;
        }
        // Lengths vary by a byte or two: signatures do.
        REQUIRE(pair.server.error);
        if (n + 8 < handshake) CHECK(pair.server.error == errc::tls_handshake_failed);
        if (n > handshake + 8 && n + 2 < all) CHECK(pair.server.error == errc::tls_truncated);
        if (pair.server.error == asio::error::eof) CHECK(n + 8 >= all);
        CHECK((pair.server.received.empty() || pair.server.received == text));
        if (n > data + 8) CHECK(pair.server.received == text);
        if (n == all) break;
    }
}

TEST_CASE("a transport that breaks at any call ends both sides, after all that came before") {
    const int newest = GENERATE(TLS1_2_VERSION, TLS1_3_VERSION);
    const int depth = GENERATE(1, 2);
    CAPTURE(newest, depth);
    const auto there = sample_text(20000, 1);
    const auto back = sample_text(300, 2);
    std::size_t failures = 0;
    for (bool failed = true; failed;) {
        scripted_pair pair{depth, newest};
        const auto before = pair.client_wire.reads + pair.client_wire.writes;
        pair.client_wire.fails_at = before + ++failures;
        pair.client.send(there);
        pair.server.send(back);
        pair.run();
        failed = pair.client_wire.broken();
        CAPTURE(failures);
        if (!failed) {
            CHECK((pair.server.received == there));
            CHECK((pair.client.received == back));
            continue;
        }
        if (!pair.client.error) {
            // Writing has failed, and nothing told it to read.
            CHECK(pair.client.write_error == asio::error::connection_reset);
            CHECK(pair.client.layer->unsent());
            pair.client_wire.end();
            std::byte room[16];
            std::error_code error;
            CHECK(pair.client.layer->read_some(pair.client_wire, asio::buffer(room), error) == 0);
            CHECK(error == asio::error::connection_reset);
            pair.run();
        } else {
            CHECK(pair.client.error == asio::error::connection_reset);
        }
        REQUIRE(pair.server.error);
        CHECK(there.starts_with(pair.server.received));
        CHECK(back.starts_with(pair.client.received));
    }
    CHECK(failures > 5);
}

TEST_CASE("keys change in the middle of traffic, on both sides") {
    const int depth = GENERATE(1, 2);
    const auto how = GENERATE(cutting::none, cutting::sevens, cutting::random_and_blocking);
    CAPTURE(depth, static_cast<int>(how));
    scripted_pair pair{depth};
    cut(pair, how);
    pair.to_server.room = pair.to_client.room = 3000;
    pair.run();
    REQUIRE(pair.established());
    std::string there;
    std::string back;
    for (unsigned i = 0; i < 8; ++i) {
        there += sample_text(5000, i);
        back += sample_text(3000, i + 100);
        pair.client.send(sample_text(5000, i));
        pair.server.send(sample_text(3000, i + 100));
        for (int steps = 0; steps < 5; ++steps) {
            pair.client.step();
            pair.server.step();
        }
        const auto kind = i % 2 == 0 ? SSL_KEY_UPDATE_REQUESTED : SSL_KEY_UPDATE_NOT_REQUESTED;
        CHECK(SSL_key_update(i % 3 == 0 ? pair.ssl_of_server : pair.ssl_of_client, kind) == 1);
    }
    pair.run();
    CHECK((pair.server.received == there));
    CHECK((pair.client.received == back));
    CHECK(pair.client.all_sent());
    CHECK(pair.server.all_sent());
}

TEST_CASE("a handshake whose last bytes find no room is not over") {
    const int depth = GENERATE(1, 2);
    const auto blocked = std::string{GENERATE("client", "server")};
    CAPTURE(depth, blocked);
    scripted_pair pair{depth};
    auto& out = blocked == "client" ? pair.to_server : pair.to_client;
    auto& end = blocked == "client" ? pair.client : pair.server;
    auto& ssl = blocked == "client" ? pair.ssl_of_client : pair.ssl_of_server;
    // Up to where OpenSSL is done; from then on nothing gets through.
    while (!SSL_is_init_finished(ssl)) {
        out.room = std::size_t{1} << 30U;
        auto& other = &end == &pair.client ? pair.server : pair.client;
        other.step();
        out.room = out.bytes.size() + (SSL_get_state(ssl) == TLS_ST_BEFORE ? 5000 : 1);
        end.step();
        out.room = std::size_t{1} << 30U;
        if (SSL_is_init_finished(ssl)) break;
    }
    CHECK(end.layer->unsent());
    CHECK_FALSE(end.layer->established());
    pair.run();
    CHECK(pair.established());
}

TEST_CASE("records are as large as the peer wants them") {
    auto context = client_with(trusting());
    REQUIRE(SSL_CTX_set_tlsext_max_fragment_length(context.native_handle(), TLSEXT_max_fragment_length_512) ==
            1);
    scripted_pair pair{context, server_with(as_localhost())};
    pair.run();
    REQUIRE(pair.established());
    const auto text = sample_text(20000);
    pair.server.send(text);
    pair.run();
    CHECK((pair.client.received == text));
}

TEST_CASE("small buffers share a record, and large ones lie in records of 16 KiB") {
    scripted_pair pair;
    pair.run();
    REQUIRE(pair.established());
    const auto before = pair.to_server.passed.size();
    std::vector<std::string> texts;
    std::vector<asio::const_buffer> from;
    std::string all;
    std::size_t most_records = 1;
    SECTION("64 small ones, one empty, one of nothing") {
        for (unsigned i = 0; i < 62; ++i)
            texts.push_back(sample_text(i == 30 ? 0 : 50 + i, i));
        from.emplace_back();
    }
    SECTION("a head and a large payload") {
        texts = {sample_text(14), sample_text(100000)};
        most_records = 7;
    }
    SECTION("exactly one record") { texts = {sample_text(16384)}; }
    SECTION("one byte more") {
        texts = {sample_text(16385)};
        most_records = 2;
    }
    for (const auto& each : texts) {
        from.emplace_back(each.data(), each.size());
        all += each;
    }
    std::error_code error;
    CHECK(pair.client.layer->write_some(pair.client_wire, from, error) == all.size());
    CHECK_FALSE(error);
    CHECK(records_in(std::string_view{pair.to_server.passed}.substr(before)).size() <= most_records);
    pair.run();
    CHECK((pair.server.received == all));
}

TEST_CASE("what is unsent stays bounded, and goes out before anything else") {
    scripted_pair pair;
    pair.run();
    pair.to_server.room = 1000;
    pair.server.pauses = true;
    const auto text = sample_text(1 << 20);
    pair.client.send(text);
    pair.run();
    CHECK(pair.client.layer->unsent());
    const asio::const_buffer more{text.data(), text.size()};
    std::error_code error;
    CHECK(pair.client.layer->write_some(pair.client_wire, {&more, 1}, error) == 0);
    CHECK(error == asio::error::would_block);
    CHECK_FALSE(pair.client.layer->flush(pair.client_wire, error));
    CHECK(error == asio::error::would_block);
    CHECK_FALSE(pair.client.layer->moved());
    // Steps too small to let anything new in are told of.
    pair.to_server.room += 10;
    CHECK_FALSE(pair.client.layer->flush(pair.client_wire, error));
    CHECK(pair.client.layer->moved());
    pair.server.pauses = false;
    pair.run();
    CHECK(pair.client.all_sent());
    CHECK((pair.server.received == text));
}

TEST_CASE("a peer that sends without end what gives nothing to read does not keep the thread") {
    channel in;
    channel out;
    scripted_wire wire{in, out};
    scripted_end server{tls_layer_for(server_with(as_localhost())), wire};
    tls_end client{client_with(trusting())};
    REQUIRE_FALSE(prepare_tls_client(client.ssl(), "localhost", 443));
    const auto pass = [&] {
        client.step();
        in.bytes += client.take();
        in.told = false;
    };
    while (!client.done() || !server.layer->established()) {
        pass();
        while (server.step())
            continue;
        client.give(std::exchange(out.bytes, {}));
    }
    // Key changes, and nothing else.
    for (int i = 0; i < 500; ++i) {
        REQUIRE(SSL_key_update(client.ssl(), SSL_KEY_UPDATE_NOT_REQUESTED) == 1);
        pass();
    }
    wire.portion = [] { return std::size_t{40}; };
    const auto before = wire.reads;
    std::byte room[100];
    std::error_code error;
    CHECK(server.layer->read_some(wire, asio::buffer(room), error) == 0);
    CHECK(error == asio::error::would_block);
    CHECK(server.layer->unread());
    CHECK(wire.reads - before < 50);
    REQUIRE(SSL_write(client.ssl(), "end", 3) == 3);
    pass();
    while (server.step())
        continue;
    CHECK(server.received == "end");
    CHECK_FALSE(server.error);
}

TEST_CASE("a peer that only changes keys is not listened to for ever, nor answered beyond a bound") {
    channel in;
    channel out;
    scripted_wire wire{in, out};
    scripted_end server{tls_layer_for(server_with(as_localhost())), wire};
    tls_end client{client_with(trusting())};
    REQUIRE_FALSE(prepare_tls_client(client.ssl(), "localhost", 443));
    const auto pass = [&] {
        client.step();
        in.bytes += client.take();
        in.told = false;
    };
    while (!client.done() || !server.layer->established()) {
        pass();
        while (server.step())
            continue;
        client.give(std::exchange(out.bytes, {}));
    }
    // With a word in between each time, the answers alone must end it.
    const bool with_words = GENERATE(false, true);
    out.room = 0;
    int changes = 0;
    for (; changes < 60'000 && !server.error; ++changes) {
        REQUIRE(SSL_key_update(client.ssl(), SSL_KEY_UPDATE_REQUESTED) == 1);
        client.step();
        if (with_words && changes % 100 == 0) REQUIRE(SSL_write(client.ssl(), "word", 4) == 4);
        pass();
        while (server.step())
            continue;
    }
    CHECK(server.error == errc::tls_record_invalid);
    CHECK(changes > 1000);
    CHECK(changes < 40'000);
}

TEST_CASE("bytes that are no TLS end the connection, in a handshake and behind it") {
    scripted_pair pair;
    const bool later = GENERATE(false, true);
    if (later) pair.run();
    pair.client.send("well");
    if (later) pair.run();
    pair.to_server.bytes = sample_text(100);
    pair.to_server.told = false;
    pair.server.step();
    pair.server.step();
    CAPTURE(later, pair.server.layer->explanation());
    CHECK(pair.server.error == (later ? errc::tls_record_invalid : errc::tls_not_spoken));
    CHECK_FALSE(pair.server.layer->explanation().empty());
    CHECK(pair.server.received == (later ? "well" : ""));
    // The peer is told, and why.
    pair.run();
    CHECK(pair.client.error);
}

TEST_CASE("the rest of a record is waited for, and not asked for again and again") {
    scripted_pair pair;
    const bool later = GENERATE(false, true);
    const auto part = GENERATE(as<std::size_t>{}, 1, 4, 5, 6, 50);
    CAPTURE(later, part);
    if (later) pair.run();
    pair.client.send(sample_text(100));
    REQUIRE(pair.client.step());
    const auto rest = std::exchange(pair.to_server.bytes, pair.to_server.bytes.substr(0, part)).substr(part);
    int steps = 0;
    while (steps < 10 && pair.server.step())
        ++steps;
    CHECK(steps <= 2);
    CHECK_FALSE(pair.server.layer->unread());
    pair.to_server.bytes = rest;
    pair.to_server.told = false;
    pair.run();
    CHECK(pair.server.received == sample_text(100));
}

TEST_CASE("a read into no room says nothing of what there is") {
    scripted_pair pair;
    pair.run();
    pair.server.pauses = true;
    pair.client.send("there");
    pair.run();
    std::error_code error = asio::error::would_block;
    CHECK(pair.server.layer->read_some(pair.server_wire, {}, error) == 0);
    CHECK_FALSE(error);
    pair.server.pauses = false;
    pair.run();
    CHECK(pair.server.received == "there");
}

#if defined(DUPLEX_TESTING_FAULTS)

TEST_CASE("memory that runs out at any point ends a TLS connection, and is told") {
    // What threads keep would come to the rescue.
    std::vector<receive_lease> kept;
    for (int i = 0; i < 8; ++i)
        kept.push_back(receive_lease::take());
    const auto text = sample_text(20000);
    bool ran_out = true;
    for (long enough = 0; ran_out; ++enough) {
        scripted_pair pair;
        pair.run();
        REQUIRE(pair.established());
        pair.to_server.passed.reserve(100000);
        pair.to_server.bytes.reserve(100000);
        std::vector<std::byte> room(65536);
        const asio::const_buffer from{text.data(), text.size()};
        std::error_code write_error;
        std::error_code read_error;
        std::size_t read = 0;
        {
            const scarce_memory scarce{enough};
            const auto taken = pair.client.layer->write_some(pair.client_wire, {&from, 1}, write_error);
            if (taken == text.size() && !write_error) {
                read = pair.server.layer->read_some(
                    pair.server_wire, asio::mutable_buffer{room.data(), room.size()}, read_error);
            }
            ran_out = scarce.ran_out();
        }
        CAPTURE(enough);
        CHECK(ERR_peek_error() == 0);
        // Nothing that looks like waiting for a transport that has nothing to wait for.
        CHECK(write_error != asio::error::would_block);
        CHECK(read_error != asio::error::would_block);
        if (!ran_out) CHECK(read == text.size());
        if (ran_out && !write_error && !read_error && read != text.size()) CHECK(pair.server.layer->unread());
        REQUIRE(enough < 10000);
    }
}

#endif
