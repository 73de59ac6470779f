// The parts of the core by themselves, beside the simplest thing that could stand in their place.

#include <duplex/core/frame_header.hpp>
#include <duplex/core/mask.hpp>
#include <duplex/core/utf8.hpp>
#include <duplex/handshake/accept_key.hpp>
#include <duplex/http/head_parser.hpp>
#include <duplex/protocol/frame_encoder.hpp>
#include <duplex/protocol/session.hpp>

#include <benchmark/benchmark.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace {

constexpr duplex::mask_key key{std::byte{0x37}, std::byte{0xFA}, std::byte{0x21}, std::byte{0x3D}};

void count_bytes(benchmark::State& state, std::size_t each) {
    state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(each));
}

std::vector<std::byte> some_bytes(std::size_t size) {
    std::vector<std::byte> made(size);
    for (std::size_t i = 0; i < size; ++i)
        made[i] = static_cast<std::byte>(i * 131 + (i >> 8));
    return made;
}

// --- masking: size, and how far the data lies behind a 64-byte boundary ---

std::byte* behind_boundary(std::vector<std::byte>& buffer, std::size_t offset) {
    const auto at = reinterpret_cast<std::uintptr_t>(buffer.data());
    return buffer.data() + (64 - at % 64) % 64 + offset;
}

void mask_in_place(benchmark::State& state) {
    const auto size = static_cast<std::size_t>(state.range(0));
    auto buffer = some_bytes(size + 128);
    std::byte* const data = behind_boundary(buffer, static_cast<std::size_t>(state.range(1)));
    for (auto _ : state) {
        duplex::mask({data, size}, key);
        benchmark::ClobberMemory();
    }
    count_bytes(state, size);
}

void mask_with_copy(benchmark::State& state) {
    const auto size = static_cast<std::size_t>(state.range(0));
    const auto from = some_bytes(size);
    auto buffer = some_bytes(size + 128);
    std::byte* const to = behind_boundary(buffer, static_cast<std::size_t>(state.range(1)));
    for (auto _ : state) {
        duplex::mask_copy(to, from, key);
        benchmark::ClobberMemory();
    }
    count_bytes(state, size);
}

void memcpy_beside(benchmark::State& state) {
    const auto size = static_cast<std::size_t>(state.range(0));
    const auto from = some_bytes(size);
    auto buffer = some_bytes(size + 128);
    std::byte* const to = behind_boundary(buffer, static_cast<std::size_t>(state.range(1)));
    for (auto _ : state) {
        std::memcpy(to, from.data(), size);
        benchmark::ClobberMemory();
    }
    count_bytes(state, size);
}

void sizes_and_offsets(benchmark::internal::Benchmark* of) {
    of->ArgNames({"size", "offset"})->ArgsProduct({{8, 32, 125, 1024, 16384, 1048576}, {0, 3}});
}
BENCHMARK(mask_in_place)->Apply(sizes_and_offsets);
BENCHMARK(mask_with_copy)->Apply(sizes_and_offsets);
BENCHMARK(memcpy_beside)->Apply(sizes_and_offsets);

// --- UTF-8 ---

/// At least `size` bytes of whole characters.
std::string text_of(std::string_view characters, std::size_t size) {
    std::string made;
    while (made.size() < size)
        made += characters;
    return made;
}

std::string sample(std::int64_t kind, std::size_t size) {
    switch (kind) {
    case 0: return text_of("{\"user\": 4711, \"text\": \"good morning\"} ", size);
    case 1: return text_of("Grüße aus Köln, café olé, naïve; ok? ", size);
    case 2: return text_of("今日は天気がいいから散歩しましょう。", size);
    default: return text_of("😀🎉🚀 ok 👍🏽 ", size);
    }
}

/// A plain decoder: a table gives the length that a first byte announces, and the least and greatest second
/// byte.
bool plain_is_valid_utf8(std::string_view text) {
    struct lead {
        std::uint8_t length;
        std::uint8_t low;
        std::uint8_t high;
    };
    static const auto leads = [] {
        std::array<lead, 256> made{};
        for (unsigned i = 0; i < 0x80; ++i)
            made[i] = {1, 0, 0};
        for (unsigned i = 0xC2; i < 0xF5; ++i)
            made[i] = {static_cast<std::uint8_t>(i < 0xE0 ? 2 : i < 0xF0 ? 3 : 4), 0x80, 0xBF};
        made[0xE0].low = 0xA0;
        made[0xED].high = 0x9F;
        made[0xF0].low = 0x90;
        made[0xF4].high = 0x8F;
        return made;
    }();
    const auto byte = [&](std::size_t at) { return static_cast<std::uint8_t>(text[at]); };
    std::size_t at = 0;
    while (at < text.size()) {
        const lead& first = leads[byte(at)];
        if (first.length == 0 || first.length > text.size() - at) return false;
        if (first.length > 1 && (byte(at + 1) < first.low || byte(at + 1) > first.high)) return false;
        for (std::size_t i = 2; i < first.length; ++i)
            if ((byte(at + i) & 0xC0U) != 0x80) return false;
        at += first.length;
    }
    return true;
}

void utf8(benchmark::State& state) {
    const auto text = sample(state.range(0), static_cast<std::size_t>(state.range(1)));
    for (auto _ : state)
        if (!duplex::is_valid_utf8(text)) return state.SkipWithError("valid text was refused");
    count_bytes(state, text.size());
}

void utf8_plain_beside(benchmark::State& state) {
    const auto text = sample(state.range(0), static_cast<std::size_t>(state.range(1)));
    for (auto _ : state)
        if (!plain_is_valid_utf8(text)) return state.SkipWithError("valid text was refused");
    count_bytes(state, text.size());
}

void utf8_with_unmasking(benchmark::State& state) {
    auto text = sample(state.range(0), static_cast<std::size_t>(state.range(1)));
    const auto bytes = std::as_writable_bytes(std::span{text.data(), text.size()});
    // With a key of zeros the text stays what it is, however often it is unmasked; nothing looks at the key.
    duplex::mask_key zeros{};
    benchmark::DoNotOptimize(zeros);
    for (auto _ : state) {
        duplex::utf8_validator validator;
        if (!duplex::unmask_and_validate(bytes, zeros, 0, validator) || !validator.complete())
            return state.SkipWithError("valid text was refused");
    }
    count_bytes(state, text.size());
}

void kinds_and_sizes(benchmark::internal::Benchmark* of) {
    of->ArgNames({"ascii0_mixed1_cjk2_emoji3", "size"})->ArgsProduct({{0, 1, 2, 3}, {64, 1024, 65536}});
}
BENCHMARK(utf8)->Apply(kinds_and_sizes);
BENCHMARK(utf8_with_unmasking)->Apply(kinds_and_sizes);
BENCHMARK(utf8_plain_beside)->Apply(kinds_and_sizes);

// --- frames ---

duplex::frame_header header_of(benchmark::State& state) {
    return {.masked = true, .key = key, .length = static_cast<std::uint64_t>(state.range(0))};
}

void header_encode(benchmark::State& state) {
    auto header = header_of(state);
    std::array<std::byte, duplex::max_frame_header_size> bytes{};
    for (auto _ : state) {
        benchmark::DoNotOptimize(header);
        benchmark::DoNotOptimize(duplex::encode_frame_header(header, bytes.data()));
        benchmark::ClobberMemory();
    }
    state.SetItemsProcessed(state.iterations());
}

void header_decode(benchmark::State& state) {
    std::array<std::byte, duplex::max_frame_header_size> bytes{};
    const auto size = duplex::encode_frame_header(header_of(state), bytes.data());
    duplex::frame_header header;
    for (auto _ : state) {
        benchmark::DoNotOptimize(bytes);
        const auto parsed =
            duplex::parse_frame_header(bytes.data(), bytes.size(), duplex::role::server, 0, header);
        if (parsed.size != size) return state.SkipWithError("a valid header was refused");
        benchmark::DoNotOptimize(header);
    }
    state.SetItemsProcessed(state.iterations());
}
BENCHMARK(header_encode)->Arg(64)->Arg(1024)->Arg(1 << 20);
BENCHMARK(header_decode)->Arg(64)->Arg(1024)->Arg(1 << 20);

/// One read of 64 frames through a session, each echoed, and the answer taken out for one write.
void session_echo(benchmark::State& state, duplex::opcode op) {
    constexpr std::size_t frames = 64;
    const auto text = sample(0, static_cast<std::size_t>(state.range(0)));
    const auto payload = std::as_bytes(std::span{text.data(), static_cast<std::size_t>(state.range(0))});
    duplex::byte_buffer arriving;
    for (std::size_t i = 0; i < frames; ++i)
        if (!duplex::encode_frame(arriving, {.op = op, .masked = true, .key = key, .length = payload.size()},
                                  payload))
            return state.SkipWithError("out of memory");

    const auto wire = arriving.bytes();
    std::vector<std::byte> window(wire.size());
    duplex::session session{duplex::role::server};
    std::array<duplex::segment, 16> segments{};
    std::size_t messages = 0;
    for (auto _ : state) {
        std::memcpy(window.data(), wire.data(), wire.size());
        session.receive(window);
        while (const auto event = session.next()) {
            if (event.what != duplex::event::kind::message) return state.SkipWithError("no message");
            session.send(event.op, event.payload);
            ++messages;
        }
        std::size_t size = 0;
        while (const std::size_t count = session.gather(segments)) {
            size = 0;
            for (std::size_t i = 0; i < count; ++i)
                size += segments[i].size();
            session.consumed(size);
        }
        benchmark::DoNotOptimize(size);
    }
    if (messages != frames * static_cast<std::size_t>(state.iterations()))
        state.SkipWithError("messages were lost");
    state.SetItemsProcessed(static_cast<std::int64_t>(messages));
    state.counters["ns_a_message"] = benchmark::Counter(
        static_cast<double>(messages) / 1e9, benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}
void session_echo_binary(benchmark::State& state) { session_echo(state, duplex::opcode::binary); }
void session_echo_text(benchmark::State& state) { session_echo(state, duplex::opcode::text); }
BENCHMARK(session_echo_binary)->Arg(32)->Arg(64)->Arg(125)->Arg(1024);
BENCHMARK(session_echo_text)->Arg(32)->Arg(64)->Arg(125)->Arg(1024);

// --- the opening handshake ---

constexpr std::string_view small_request = "GET /chat HTTP/1.1\r\n"
                                           "Host: localhost:9002\r\n"
                                           "Upgrade: websocket\r\n"
                                           "Connection: Upgrade\r\n"
                                           "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                                           "Sec-WebSocket-Version: 13\r\n\r\n";

constexpr std::string_view browser_request =
    "GET /live/updates?session=8a6e0804-2bd0-4672-b79d-d97027f9071a HTTP/1.1\r\n"
    "Host: www.example.com\r\n"
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Gecko/20100101 Firefox/153.0\r\n"
    "Accept: */*\r\n"
    "Accept-Language: en-US,en;q=0.5\r\n"
    "Accept-Encoding: gzip, deflate, br, zstd\r\n"
    "Sec-WebSocket-Version: 13\r\n"
    "Origin: https://www.example.com\r\n"
    "Sec-WebSocket-Protocol: chat.v2, chat.v1\r\n"
    "Sec-WebSocket-Extensions: permessage-deflate\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    "Connection: keep-alive, Upgrade\r\n"
    "Cookie: id=6b1f0d0e5a6f4f0f9b7a; theme=dark; consent=granted; visits=42\r\n"
    "Sec-Fetch-Dest: empty\r\n"
    "Sec-Fetch-Mode: websocket\r\n"
    "Sec-Fetch-Site: same-origin\r\n"
    "Pragma: no-cache\r\n"
    "Cache-Control: no-cache\r\n"
    "Upgrade: websocket\r\n\r\n";

void head_parse(benchmark::State& state) {
    const auto request = state.range(0) == 0 ? small_request : browser_request;
    for (auto _ : state) {
        duplex::head_parser parser{duplex::head_kind::request};
        const auto result = parser.feed(std::as_bytes(std::span{request.data(), request.size()}));
        if (result.state != duplex::head_parser::result::state::done)
            return state.SkipWithError("a valid request was refused");
        benchmark::DoNotOptimize(parser);
    }
    count_bytes(state, request.size());
}
BENCHMARK(head_parse)->ArgName("small0_browser1")->Arg(0)->Arg(1);

void accept_key(benchmark::State& state) {
    std::string_view sent = "dGhlIHNhbXBsZSBub25jZQ==";
    for (auto _ : state) {
        benchmark::DoNotOptimize(sent);
        benchmark::DoNotOptimize(duplex::accept_key(sent));
    }
    state.SetItemsProcessed(state.iterations());
}
BENCHMARK(accept_key);

} // namespace

BENCHMARK_MAIN();
