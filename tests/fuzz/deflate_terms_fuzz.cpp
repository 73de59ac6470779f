// Sec-WebSocket-Extensions of any kind, as an offer and as an answer: what is agreed to is within its ranges,
// and an answer that was given is read as what was meant.

#include "fuzz/chunks.hpp"

#include <duplex/handshake/deflate_negotiation.hpp>

#include <string>
#include <vector>

using namespace duplex;
using namespace duplex::testing;

namespace {

void check_params(const deflate_params& params, const deflate_options& options, bool as_server) {
    const auto within = [](int bits) { return bits >= 8 && bits <= 15; };
    must(within(params.server_max_window_bits) && within(params.client_max_window_bits), "8 to 15 bits");
    if (as_server) {
        must(options.context_takeover || params.server_no_context_takeover, "the own window is not kept");
        must(options.peer_context_takeover || params.client_no_context_takeover, "nor is the peer's");
        must(params.server_max_window_bits <= std::max(options.max_window_bits, 9), "the own limit holds");
    } else {
        must(options.peer_context_takeover || params.server_no_context_takeover, "what was asked is granted");
        must(params.server_max_window_bits <= options.max_peer_window_bits, "the limit that was asked holds");
    }
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const fuzz_input input{data, size};
    const deflate_options options{.max_window_bits = input.flag(0) ? 15 : 8 + input.flags % 5,
                                  .max_peer_window_bits = input.flag(1) ? 15 : 8 + input.flags % 7,
                                  .context_takeover = input.flag(2),
                                  .peer_context_takeover = input.flag(3)};
    must(check(options) == errc{}, "the options are fine");
    std::vector<extension_offer> list;
    if (!parse_extensions(input.bytes, list)) return 0;

    std::string answer;
    if (const auto agreed = accept_deflate(list, options, answer)) {
        check_params(*agreed, options, true);
        std::vector<extension_offer> read;
        must(parse_extensions(answer, read) && read.size() == 1, "an answer is one extension");
        errc error{};
        const deflate_options any{.context_takeover = true, .peer_context_takeover = true};
        const auto client = read_deflate_answer(read, any, error);
        must(client == agreed && error == errc{}, "it is read as what was meant");
    } else {
        must(answer.empty(), "without an agreement there is no answer");
    }

    errc error{};
    const auto read = read_deflate_answer(list, options, error);
    must(!read || error == errc{}, "an agreement or an error");
    must(error == errc{} || error == errc::deflate_answer_invalid, "the error is the one for it");
    if (read) check_params(*read, options, false);
    return 0;
}
