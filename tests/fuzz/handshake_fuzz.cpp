// Opening handshakes in any pieces, as the server and as the client see them: the outcome is that of the
// whole, and what the server answers is a head that can be read.

#include "fuzz/chunks.hpp"

#include <duplex/handshake/client_handshake.hpp>
#include <duplex/handshake/server_handshake.hpp>

#include <array>
#include <string>
#include <vector>

using namespace duplex;
using namespace duplex::testing;

namespace {

/// Gives `input` to `take` in pieces until it says that it has enough; returns what is left.
template <class Take>
std::string_view feed(const fuzz_input& input, bool whole, Take take) {
    auto rest = input.bytes;
    for (std::size_t turn = 0; !rest.empty(); ++turn) {
        const auto piece = rest.substr(0, whole ? rest.size() : input.size_of(turn));
        rest.remove_prefix(piece.size());
        exact_block block{piece};
        const bool enough = take(block.bytes());
        block.scribble();
        if (enough) break;
    }
    return rest;
}

void check_head(std::string_view text, head_kind kind) {
    head_parser parser{kind};
    const auto result = parser.feed(std::as_bytes(std::span{text.data(), text.size()}));
    must(result.state == head_parser::result::state::done, "what is written is a head");
}

void check_same(const handshake_outcome& a, const handshake_outcome& b) {
    must(a.error == b.error, "the same error");
    must(a.status == b.status && a.reason == b.reason, "the same status");
    must(a.subprotocol == b.subprotocol, "the same subprotocol");
    must(a.extensions == b.extensions, "the same extensions");
    must(a.body == b.body, "the same body");
    must(a.target == b.target, "the same target");
    auto other = b.headers.begin();
    for (const auto& field : a.headers) {
        must(other != b.headers.end() && *other == field, "the same headers");
        ++other;
    }
    must(other == b.headers.end(), "as many headers");
}

std::string text_of(const std::vector<std::byte>& bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

struct served {
    handshake_outcome outcome;
    std::string response;
    std::string rest; ///< bytes behind the head
};

served serve(const fuzz_input& input, bool whole) {
    server_handshake handshake;
    using progress = server_handshake::progress;
    auto ended = progress::need_more;
    const auto rest = feed(input, whole, [&](std::span<const std::byte> piece) {
        ended = handshake.receive(piece);
        return ended != progress::need_more;
    });
    served out;
    if (ended == progress::request_ready) {
        must(!handshake.host().empty(), "an acceptable request has a host");
        const server_handshake_options options{.subprotocols = {"chat", "superchat"},
                                               .origins = input.flag(1) ? std::vector<std::string>{"*"}
                                                                        : std::vector<std::string>{}};
        if (input.flag(2))
            (void)handshake.reject(403, {{"X-Why", "fuzz"}}, "no");
        else
            (void)handshake.accept(options);
    } else if (ended == progress::need_more) {
        if (input.flag(2)) handshake.time_out();
        handshake.eof();
    }
    out.response = handshake.response();
    out.outcome = handshake.take_outcome();
    if (!out.response.empty()) check_head(out.response, head_kind::response);
    must((out.outcome.status == 101) == !out.outcome.error, "101 and no error are the same");
    must(ended != progress::request_ready || !out.response.empty(), "a request is answered");
    if (!out.outcome.error) out.rest = text_of(out.outcome.leftover).append(rest);
    return out;
}

served ask(const fuzz_input& input, bool whole) {
    client_handshake handshake;
    uri to;
    to.host = "example.com";
    to.target = "/chat";
    // RFC 6455 1.3: the nonce of the example, whose answer is s3pPLMBiTxaQ9kYGzzhZRbK+xOo=
    static constexpr std::string_view text = "the sample nonce";
    std::array<std::byte, 16> nonce;
    std::memcpy(nonce.data(), text.data(), nonce.size());
    must(!handshake.start(to, {.subprotocols = {"chat", "superchat"}}, nonce), "the request is fine");
    check_head(handshake.request(), head_kind::request);
    using progress = client_handshake::progress;
    auto ended = progress::need_more;
    const auto rest = feed(input, whole, [&](std::span<const std::byte> piece) {
        ended = handshake.receive(piece);
        return ended == progress::done;
    });
    if (ended == progress::need_more)
        must(handshake.eof() == progress::done, "the end of the stream ends it");
    served out;
    out.outcome = handshake.take_outcome();
    must(out.outcome.body.size() <= http_limits{}.refusal_body_bytes, "the body stays within its limit");
    if (!out.outcome.error) {
        must(out.outcome.status == 101, "only 101 opens a connection");
        must(out.outcome.subprotocol.empty() || out.outcome.subprotocol == "chat" ||
                 out.outcome.subprotocol == "superchat",
             "only an offered subprotocol is agreed");
        must(out.outcome.extensions.empty(), "no extension was offered");
        out.rest = text_of(out.outcome.leftover).append(rest);
    }
    return out;
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const fuzz_input input{data, size};
    const bool server = !input.flag(0);
    const auto pieces = server ? serve(input, false) : ask(input, false);
    const auto whole = server ? serve(input, true) : ask(input, true);
    check_same(pieces.outcome, whole.outcome);
    must(pieces.response == whole.response, "the same answer");
    must(pieces.rest == whole.rest, "the same bytes are left over");
    return 0;
}
