#include <duplex/handshake/deflate_negotiation.hpp>

#include "support/catch.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

using namespace duplex;

namespace {

std::vector<extension_offer> parsed(std::string_view value) {
    std::vector<extension_offer> list;
    REQUIRE(parse_extensions(value, list));
    return list;
}

/// As "ssnt csnt s15 c15", or "declined".
std::string shown(const std::optional<deflate_params>& params) {
    if (!params) return "declined";
    std::string text;
    if (params->server_no_context_takeover) text += "snt ";
    if (params->client_no_context_takeover) text += "cnt ";
    return text + "s" + std::to_string(params->server_max_window_bits) + " c" +
           std::to_string(params->client_max_window_bits);
}

struct served {
    std::string agreed;
    std::string answer;
};

served serve(std::string_view offers, const deflate_options& options) {
    served out;
    out.answer = "what was there before";
    const auto agreed = accept_deflate(parsed(offers), options, out.answer);
    out.agreed = shown(agreed);
    CHECK(agreed.has_value() != out.answer.empty());
    return out;
}

/// As `shown`, "invalid", or "none" where there is no permessage-deflate.
std::string answered(std::string_view answer, const deflate_options& offered = {}) {
    errc error = errc::aborted;
    const auto agreed = read_deflate_answer(parsed(answer), offered, error);
    if (error == errc::deflate_answer_invalid) {
        CHECK_FALSE(agreed);
        return "invalid";
    }
    CHECK(error == errc{});
    return agreed ? shown(agreed) : "none";
}

constexpr deflate_options takeover{.context_takeover = true, .peer_context_takeover = true};

/// What is wrong in an offer and in an answer alike.
constexpr std::string_view malformed[] = {
    "server_no_context_takeover=",
    "server_no_context_takeover=true",
    "server_no_context_takeover=0",
    "client_no_context_takeover=1",
    "server_no_context_takeover; server_no_context_takeover",
    "client_no_context_takeover; client_no_context_takeover",
    "server_max_window_bits",
    "server_max_window_bits=7",
    "server_max_window_bits=16",
    "server_max_window_bits=0",
    "server_max_window_bits=08",
    "server_max_window_bits=010",
    "server_max_window_bits=8.0",
    "server_max_window_bits=+9",
    "server_max_window_bits=-9",
    "server_max_window_bits=0x9",
    "server_max_window_bits=9a",
    "server_max_window_bits=100",
    "server_max_window_bits=1",
    "server_max_window_bits=20",
    "server_max_window_bits=18446744073709551625",
    "server_max_window_bits=\"16\"",
    "server_max_window_bits=\"08\"",
    "server_max_window_bits=10; server_max_window_bits=10",
    "server_max_window_bits=10; server_max_window_bits",
    "client_max_window_bits=7",
    "client_max_window_bits=16",
    "client_max_window_bits=08",
    "client_max_window_bits=1a",
    "client_max_window_bits=99999999999999999999",
    "client_max_window_bits; client_max_window_bits",
    "client_max_window_bits=10; client_max_window_bits=10",
    "client_max_window_bits; client_max_window_bits=10",
    "unknown",
    "unknown=1",
    "constructor",
    "Server_no_context_takeover",
    "server_no_context_takeover2",
    "max_window_bits=10",
};

/// A value that the grammar itself refuses ends the handshake before anybody reads parameters.
bool is_grammar(std::string_view parameters) {
    std::vector<extension_offer> list;
    return parse_extensions(std::string("permessage-deflate; ").append(parameters), list);
}

} // namespace

TEST_CASE("a client offers what its options say, and lets any server ask for a smaller window") {
    CHECK(deflate_offer({}) == "permessage-deflate; server_no_context_takeover; "
                               "client_no_context_takeover; client_max_window_bits");
    CHECK(deflate_offer(takeover) == "permessage-deflate; client_max_window_bits");
    CHECK(deflate_offer({.max_peer_window_bits = 10, .context_takeover = true}) ==
          "permessage-deflate; server_no_context_takeover; server_max_window_bits=10; "
          "client_max_window_bits");
    CHECK(deflate_offer({.max_window_bits = 9, .context_takeover = true, .peer_context_takeover = true}) ==
          "permessage-deflate; client_max_window_bits");
}

TEST_CASE("a server answers what was offered with what it agreed to") {
    struct row {
        std::string_view offer;
        deflate_options options;
        std::string_view agreed;
        std::string_view answer; ///< behind the name
    };
    const deflate_options small{.max_window_bits = 12,
                                .max_peer_window_bits = 11,
                                .context_takeover = true,
                                .peer_context_takeover = true};
    const deflate_options eight{.max_window_bits = 8, .max_peer_window_bits = 8};
    const row rows[] = {
        {"", takeover, "s15 c15", ""},
        {"", {}, "snt cnt s15 c15", "; server_no_context_takeover; client_no_context_takeover"},
        {"; server_no_context_takeover", takeover, "snt s15 c15", "; server_no_context_takeover"},
        {"; client_no_context_takeover", takeover, "cnt s15 c15", "; client_no_context_takeover"},
        {"; server_max_window_bits=10", takeover, "s10 c15", "; server_max_window_bits=10"},
        {"; server_max_window_bits=\"10\"", takeover, "s10 c15", "; server_max_window_bits=10"},
        {"; server_max_window_bits=\"1\\0\"", takeover, "s10 c15", "; server_max_window_bits=10"},
        // Named, so it is answered.
        {"; server_max_window_bits=15", takeover, "s15 c15", "; server_max_window_bits=15"},
        {"; server_max_window_bits=8", takeover, "s8 c15", "; server_max_window_bits=8"},
        {"; client_max_window_bits", takeover, "s15 c15", ""},
        {"; client_max_window_bits=15", takeover, "s15 c15", ""},
        {"; client_max_window_bits=9", takeover, "s15 c9", "; client_max_window_bits=9"},
        {"; client_max_window_bits=8", takeover, "s15 c8", "; client_max_window_bits=8"},
        // Not named, so the client would not know what it means; the own window may be told to anybody.
        {"", small, "s12 c15", "; server_max_window_bits=12"},
        {"; client_max_window_bits", small, "s12 c11",
         "; server_max_window_bits=12; client_max_window_bits=11"},
        {"; client_max_window_bits=14; server_max_window_bits=14", small, "s12 c11",
         "; server_max_window_bits=12; client_max_window_bits=11"},
        {"; client_max_window_bits=10; server_max_window_bits=9", small, "s9 c10",
         "; server_max_window_bits=9; client_max_window_bits=10"},
        {"; client_max_window_bits", eight, "snt cnt s9 c8",
         "; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=9; "
         "client_max_window_bits=8"},
        // What others send.
        {"; client_max_window_bits=15; server_max_window_bits=15", takeover, "s15 c15",
         "; server_max_window_bits=15"},
        {";server_no_context_takeover;client_no_context_takeover", takeover, "snt cnt s15 c15",
         "; server_no_context_takeover; client_no_context_takeover"},
    };
    for (const auto& row : rows) {
        CAPTURE(std::string(row.offer));
        const auto got = serve(std::string("permessage-deflate").append(row.offer), row.options);
        CHECK(got.agreed == row.agreed);
        CHECK(got.answer == std::string("permessage-deflate").append(row.answer));
    }
}

TEST_CASE("a malformed offer is declined, and the next one is taken") {
    int looked_at = 0;
    for (const auto parameters : malformed) {
        CAPTURE(std::string(parameters));
        if (!is_grammar(parameters)) continue;
        ++looked_at;
        const auto offer = std::string("permessage-deflate; ").append(parameters);
        CHECK(serve(offer, takeover).agreed == "declined");
        CHECK(serve(offer + "; client_no_context_takeover", takeover).agreed == "declined");
        CHECK(serve("permessage-deflate; client_no_context_takeover; " + std::string(parameters), takeover)
                  .agreed == "declined");
        const auto both = serve(offer + ", foo, permessage-deflate; server_max_window_bits=11", takeover);
        CHECK(both.agreed == "s11 c15");
        CHECK(both.answer == "permessage-deflate; server_max_window_bits=11");
    }
    CHECK(looked_at > 30);
}

TEST_CASE("the first acceptable offer is the one that counts") {
    CHECK(serve("permessage-deflate; server_max_window_bits=10, permessage-deflate", takeover).agreed ==
          "s10 c15");
    CHECK(serve("permessage-deflate, permessage-deflate; server_max_window_bits=10", takeover).agreed ==
          "s15 c15");
    CHECK(serve("x-webkit-deflate-frame, permessage-bzip2, permessage-deflate; client_max_window_bits", {})
              .agreed == "snt cnt s15 c15");
    CHECK(serve("x-webkit-deflate-frame", {}).agreed == "declined");
    CHECK(serve("Permessage-Deflate", {}).agreed == "declined");
    CHECK(serve("", {}).agreed == "declined");
}

TEST_CASE("a client reads what a server agreed to") {
    CHECK(answered("permessage-deflate", takeover) == "s15 c15");
    CHECK(answered("permessage-deflate; server_no_context_takeover", takeover) == "snt s15 c15");
    CHECK(answered("permessage-deflate; server_no_context_takeover") == "snt s15 c15");
    CHECK(answered("permessage-deflate; client_no_context_takeover; server_no_context_takeover") ==
          "snt cnt s15 c15");
    CHECK(answered("permessage-deflate; client_max_window_bits=8", takeover) == "s15 c8");
    CHECK(answered("permessage-deflate; client_max_window_bits=15", takeover) == "s15 c15");
    CHECK(answered("permessage-deflate; server_max_window_bits=8", takeover) == "s8 c15");
    CHECK(answered("permessage-deflate; server_max_window_bits=\"12\"", takeover) == "s12 c15");
    CHECK(answered("foo, permessage-deflate; server_max_window_bits=12, bar", takeover) == "s12 c15");
}

TEST_CASE("a server that does not answer with permessage-deflate does not use it") {
    CHECK(answered("") == "none");
    CHECK(answered("foo; server_max_window_bits=99") == "none");
}

TEST_CASE("an answer that RFC 7692 forbids fails the connection") {
    int looked_at = 0;
    for (const auto parameters : malformed) {
        CAPTURE(std::string(parameters));
        if (!is_grammar(parameters)) continue;
        ++looked_at;
        const auto answer = std::string("permessage-deflate; ").append(parameters);
        CHECK(answered(answer, takeover) == "invalid");
        CHECK(answered("foo, " + answer, takeover) == "invalid");
    }
    CHECK(looked_at > 30);
    // A value is a must here.
    CHECK(answered("permessage-deflate; client_max_window_bits", takeover) == "invalid");
    // RSV1 can have one meaning.
    CHECK(answered("permessage-deflate, permessage-deflate", takeover) == "invalid");
    CHECK(answered("permessage-deflate; server_max_window_bits=10, foo, permessage-deflate", takeover) ==
          "invalid");
}

TEST_CASE("an answer that grants less than was asked for fails the connection") {
    CHECK(answered("permessage-deflate") == "invalid");
    CHECK(answered("permessage-deflate; client_no_context_takeover") == "invalid");
    const deflate_options ten{
        .max_peer_window_bits = 10, .context_takeover = true, .peer_context_takeover = true};
    CHECK(answered("permessage-deflate", ten) == "invalid");
    CHECK(answered("permessage-deflate; server_max_window_bits=11", ten) == "invalid");
    CHECK(answered("permessage-deflate; server_max_window_bits=10", ten) == "s10 c15");
    CHECK(answered("permessage-deflate; server_max_window_bits=8", ten) == "s8 c15");
}

TEST_CASE("whatever the options of both sides, they agree on one thing that keeps both") {
    const int bits[] = {8, 9, 12, 15};
    std::vector<deflate_options> all;
    for (const int own : bits)
        for (const int peer : bits)
            for (const bool keeps : {false, true})
                for (const bool lets : {false, true})
                    all.push_back({.max_window_bits = own,
                                   .max_peer_window_bits = peer,
                                   .context_takeover = keeps,
                                   .peer_context_takeover = lets});
    bool fine = true;
    for (const auto& client : all) {
        for (const auto& server : all) {
            std::string answer;
            const auto there = accept_deflate(parsed(deflate_offer(client)), server, answer);
            errc error{};
            const auto here = read_deflate_answer(parsed(answer), client, error);
            fine = fine && there && here && error == errc{} && *there == *here;
            if (!fine) FAIL(deflate_offer(client) << " was answered by " << answer);
            fine = (client.peer_context_takeover || here->server_no_context_takeover) &&
                   (server.peer_context_takeover || here->client_no_context_takeover) &&
                   (server.context_takeover || here->server_no_context_takeover) &&
                   here->server_max_window_bits <= client.max_peer_window_bits &&
                   here->client_max_window_bits <= server.max_peer_window_bits;
            if (!fine) FAIL(deflate_offer(client) << " was agreed as " << answer);
        }
    }
    CHECK(fine);
}
