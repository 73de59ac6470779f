#include <duplex/deflate/zlib_codec.hpp>

// What codecs hold, give back, and do where there is no memory.

#include "support/block_cache.hpp"
#include "support/catch.hpp"
#include "support/deflating.hpp"
#include "support/system_faults.hpp"

#include <cstddef>
#include <memory>
#include <random>
#include <string_view>
#include <thread>
#include <vector>

using namespace duplex;
using namespace duplex::testing;
using detail::stream_pool;

namespace {

constexpr deflate_options takeover{.context_takeover = true, .peer_context_takeover = true};
constexpr deflate_params no_takeover{.server_no_context_takeover = true, .client_no_context_takeover = true};
constexpr std::string_view hello = "Hello, Hello, Hello, Hello, Hello, Hello";

std::unique_ptr<message_codec> make(role self, const deflate_params& agreed, const deflate_options& options) {
    auto made = make_zlib_codec(self, agreed, options);
    REQUIRE(made);
    return made;
}

} // namespace

TEST_CASE("a codec without context takeover holds nothing between messages, and the thread little") {
    stream_pool::clear();
    std::vector<std::unique_ptr<message_codec>> clients;
    std::vector<std::unique_ptr<message_codec>> servers;
    for (int i = 0; i < 100; ++i) {
        clients.push_back(make(role::client, no_takeover, {}));
        servers.push_back(make(role::server, no_takeover, {}));
        CHECK(inflated(*servers.back(), deflated(*clients.back(), hello)).bytes == hello);
        CHECK(inflated(*clients.back(), deflated(*servers.back(), hello)).bytes == hello);
    }
    for (int i = 0; i < 100; ++i) {
        CHECK(clients[static_cast<std::size_t>(i)]->memory() <= 256);
        CHECK(servers[static_cast<std::size_t>(i)]->memory() <= 256);
    }
    // One of each kind is all that was needed.
    CHECK(stream_pool::memory() > 100000);
    const auto for_whole = stream_pool::whole()->memory();
    CHECK(stream_pool::memory() - for_whole < 250000);
    CHECK(for_whole < 300000);
    stream_pool::clear();
    CHECK(stream_pool::memory() == 0);
}

TEST_CASE("a codec amid a message holds a stream until its end") {
    const auto codec = make(role::client, no_takeover, {});
    byte_buffer out;
    REQUIRE(codec->compress(view(hello), false, out));
    CHECK(codec->memory() > 10000);
    codec->release(); // not now
    CHECK(codec->memory() > 10000);
    REQUIRE(codec->compress(view(hello), true, out));
    CHECK(codec->memory() <= 256);
    byte_buffer back;
    REQUIRE((codec->expand(out.bytes().first(3), false, back, 1000) == errc{}));
    CHECK(codec->memory() > 5000);
    REQUIRE((codec->expand(out.bytes().subspan(3), true, back, 1000) == errc{}));
    CHECK(codec->memory() <= 256);
}

TEST_CASE("a window is taken when it is first used, and the own one can be given back") {
    const auto client = make(role::client, {}, takeover);
    const auto server = make(role::server, {}, takeover);
    CHECK(client->memory() <= 256);
    const auto first = deflated(*client, hello);
    CHECK(client->memory() > 100000);
    client->release();
    CHECK(client->memory() <= 256);
    CHECK(inflated(*server, first).bytes == hello);
    const auto kept = server->memory();
    CHECK(kept > 32768);
    CHECK(kept < 50000);
    server->release(); // the peer's stays: its messages may refer to it
    CHECK(server->memory() == kept);
    CHECK(inflated(*server, deflated(*client, hello)).bytes == hello);
    CHECK(inflated(*server, deflated(*client, hello)).bytes == hello);
}

TEST_CASE("smaller windows take less memory") {
    const deflate_params small{.server_max_window_bits = 9, .client_max_window_bits = 9};
    const auto client = make(role::client, small, takeover);
    const auto server = make(role::server, small, takeover);
    CHECK(inflated(*server, deflated(*client, hello)).bytes == hello);
    CHECK(client->memory() < 40000);
    CHECK(server->memory() < 10000);
}

TEST_CASE("the thread keeps a bounded number of streams, whatever their shapes") {
    stream_pool::clear();
    for (int round = 0; round < 3; ++round) {
        std::vector<std::unique_ptr<message_codec>> busy;
        for (int i = 0; i < 20; ++i) {
            busy.push_back(make(role::client, no_takeover, {.level = i % 9 + 1, .memory_level = 9}));
            byte_buffer out;
            REQUIRE(busy.back()->compress(view(hello), false, out));
            REQUIRE((busy.back()->expand(view(from_hex("f2")), false, out, 1000) == errc{}));
        }
        busy.clear();
        CHECK(stream_pool::memory() < 4 * (450000 + 50000));
    }
    stream_pool::clear();
}

TEST_CASE("a codec may be used and destroyed on threads that come and go, and after them") {
    std::unique_ptr<message_codec> codec;
    octets sent;
    std::thread{[&] {
        codec = make_zlib_codec(role::client, no_takeover, {});
        byte_buffer out;
        if (codec->compress(view(hello), false, out)) sent = to_octets(out.bytes());
    }}.join();
    std::thread{[&] {
        byte_buffer out;
        if (codec->compress(view(hello), true, out)) sent += to_octets(out.bytes());
    }}.join();
    const auto server = make(role::server, no_takeover, {});
    CHECK(inflated(*server, sent).bytes == octets(hello) + octets(hello));
    // One that outlives its thread's pool.
    std::thread{[] {
        thread_local std::unique_ptr<message_codec> late;
        late = make_zlib_codec(role::client, no_takeover, {});
        byte_buffer out;
        (void)late->compress(view(hello), true, out);  // the pool comes after `late`, and goes before it
        (void)late->compress(view(hello), false, out); // which then holds a stream
    }}.join();
}

#if defined(DUPLEX_TESTING_FAULTS)

namespace {

/// Where it is, this thread's allocations are counted.
struct counted {
    counted() { allocation_counts::here = {.on = true}; }
    ~counted() { allocation_counts::here.on = false; }
    counted(const counted&) = delete;
    counted& operator=(const counted&) = delete;
};

} // namespace

TEST_CASE("messages without context takeover allocate nothing once the thread is warm") {
    const auto codec = make(role::client, no_takeover, {});
    byte_buffer sent;
    byte_buffer back;
    const auto go = [&] {
        sent.clear();
        back.clear();
        return codec->compress(view(hello), true, sent) &&
               codec->expand(sent.bytes(), true, back, 1000) == errc{};
    };
    REQUIRE(go());
    bool fine = true;
    long made = 0;
    {
        const counted all;
        for (int i = 0; i < 100; ++i)
            fine = go() && fine;
        made = allocation_counts::here.made;
    }
    CHECK(fine);
    CHECK(made == 0);
}

TEST_CASE("nothing is left behind by codecs that are gone, amid a message or not") {
    stream_pool::clear();
    (void)forget_blocks();
    long live = 0;
    {
        const counted all;
        for (const auto& agreed : {deflate_params{}, no_takeover}) {
            for (const bool amid : {false, true}) {
                const auto codec = make_zlib_codec(role::client, agreed, takeover);
                byte_buffer sent;
                byte_buffer back;
                if (!codec->compress(view(hello), true, sent) ||
                    codec->expand(sent.bytes(), true, back, 1000) != errc{})
                    live += 1000000;
                if (amid && (!codec->compress(view(hello), false, sent) ||
                             codec->expand(view("\xf2"), false, back, 1000) != errc{}))
                    live += 1000000;
            }
        }
        stream_pool::clear();
        live += allocation_counts::here.live;
    }
    CHECK(live == 0);
}

TEST_CASE("where memory runs out at any place a message fails, nothing leaks, and the next one goes") {
    const auto& agreed = GENERATE_COPY(values({deflate_params{}, no_takeover}));
    // Large enough for several rooms in a row, of which a later one may be missing.
    octets text(20000, 'x');
    std::mt19937 random{37};
    while (text.size() < 80000)
        text.push_back(static_cast<char>(random()));
    const auto compressed = plainly_deflated(text);
    bool compressed_once = false;
    bool expanded_once = false;
    int failures = 0;
    for (long enough = 0; !compressed_once || !expanded_once; ++enough) {
        REQUIRE(enough < 100);
        CAPTURE(enough);
        const auto codec = make(role::client, agreed, takeover);
        stream_pool::clear();
        {
            byte_buffer out;
            REQUIRE(out.append(view("before")));
            bool done = false;
            {
                const scarce_memory few{enough};
                done = codec->compress(view(text), true, out);
            }
            if (!done) {
                ++failures;
                CHECK(to_octets(out.bytes()) == "before");
            }
            compressed_once = compressed_once || done;
        }
        stream_pool::clear();
        {
            byte_buffer out;
            errc error{};
            {
                const scarce_memory few{enough};
                error = codec->expand(view(compressed), true, out, 100000);
            }
            CHECK((error == errc{} || error == errc::out_of_memory));
            if (error == errc{})
                CHECK((to_octets(out.bytes()) == text));
            else
                ++failures;
            expanded_once = expanded_once || error == errc{};
        }
        const auto peer = make(role::server, agreed, takeover);
        codec->discard();
        CHECK((inflated(*peer, deflated(*codec, text)) == expanded{errc{}, text}));
    }
    CHECK(failures > (agreed == no_takeover ? 4 : 8));
    CHECK_FALSE(without_memory([&] { return make_zlib_codec(role::client, agreed, takeover) != nullptr; }));
}

#endif
