// Heads of requests and answers in any pieces: the parser says the same as of the whole, and what it says
// holds.

#include "fuzz/chunks.hpp"

#include <duplex/http/head_parser.hpp>

#include <string>

using namespace duplex;
using namespace duplex::testing;
using state = enum head_parser::result::state;

namespace {

struct parsed {
    state ended = state::need_more;
    std::size_t consumed = 0;
    head_parser parser;
};

parsed parse(const fuzz_input& input, head_kind kind, const http_limits& limits, bool whole) {
    parsed out{.parser = head_parser{kind, limits}};
    auto rest = input.bytes;
    for (std::size_t turn = 0; !rest.empty() && out.ended == state::need_more; ++turn) {
        const auto piece = rest.substr(0, whole ? rest.size() : input.size_of(turn));
        exact_block block{piece};
        const auto result = out.parser.feed(block.bytes());
        block.scribble();
        must(result.consumed <= piece.size(), "no more is consumed than there was");
        must(result.state != state::need_more || result.consumed == piece.size(),
             "more is asked for when all is used");
        out.ended = result.state;
        out.consumed += result.consumed;
        rest.remove_prefix(piece.size());
    }
    return out;
}

void check_text(std::string_view text) {
    for (const char c : text)
        must(c != '\r' && c != '\n' && c != '\0', "no line end and no NUL gets into a value");
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const fuzz_input input{data, size};
    const auto kind = input.flag(0) ? head_kind::response : head_kind::request;
    http_limits limits;
    if (input.flag(1)) limits = {.start_line_bytes = 40, .head_bytes = 120, .header_count = 3};

    const auto pieces = parse(input, kind, limits, false);
    const auto whole = parse(input, kind, limits, true);
    must(pieces.ended == whole.ended, "pieces end as the whole does");
    must(pieces.consumed == whole.consumed, "pieces consume what the whole does");
    const auto& p = pieces.parser;
    const auto& w = whole.parser;
    if (whole.ended == state::failed) {
        must(p.error() == w.error() && p.error() != errc{}, "the same rule is broken");
        must(p.error_offset() == w.error_offset(), "at the same byte");
        must(w.error_offset() <= input.bytes.size(), "which is one of them");
    }
    if (whole.ended != state::done) return 0;

    must(whole.consumed <= limits.head_bytes, "a head stays within its limit");
    std::size_t count = 0;
    auto other = p.headers().begin();
    for (const auto& field : w.headers()) {
        must(*other == field, "the same fields");
        ++other;
        ++count;
        must(!field.name.empty() && is_token(field.name), "a name is a token");
        check_text(field.value);
        must(field.value.empty() || (field.value.front() != ' ' && field.value.back() != ' '),
             "values are trimmed");
    }
    must(other == p.headers().end(), "as many fields");
    must(count <= limits.header_count, "no more fields than the limit");
    if (kind == head_kind::request) {
        must(p.method() == w.method() && is_token(w.method()), "a method is a token");
        must(p.target() == w.target() && !w.target().empty(), "the same target");
        must(w.target().find(' ') == std::string_view::npos, "which has no space in it");
        check_text(w.target());
    } else {
        must(p.status() == w.status() && w.status() >= 100 && w.status() <= 999, "a status has three digits");
        must(p.reason() == w.reason(), "the same reason");
        check_text(w.reason());
    }
    must(p.http_minor_version() == w.http_minor_version(), "the same version");
    return 0;
}
