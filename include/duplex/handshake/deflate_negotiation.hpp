#pragma once

#include <duplex/core/detail/inlining.hpp>
#include <duplex/core/error.hpp>
#include <duplex/deflate/params.hpp>
#include <duplex/handshake/extension_list.hpp>

#include <algorithm>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace duplex {

/// The name under which RFC 7692 registers permessage-deflate.
inline constexpr std::string_view deflate_extension_name = "permessage-deflate";

namespace detail {

/// The parameters of an offer or an answer, as they stand there.
struct deflate_terms {
    bool server_no_context_takeover = false;
    bool client_no_context_takeover = false;
    bool client_bits_named = false; ///< client_max_window_bits is there, with or without a value
    int server_bits = 0;            ///< 0: not there
    int client_bits = 0;            ///< 0: not there, or there without a value
};

/// RFC 7692 7.1.2: a decimal number from 8 to 15 without leading zeros; 0 for anything else.
[[nodiscard]] inline int window_bits_of(const std::optional<std::string>& value) noexcept {
    if (!value) return 0;
    const std::string& text = *value;
    if (text.size() == 1 && (text[0] == '8' || text[0] == '9')) return text[0] - '0';
    if (text.size() == 2 && text[0] == '1' && text[1] >= '0' && text[1] <= '5') return 10 + text[1] - '0';
    return 0;
}

/// False for a parameter that is unknown, there before, or has a value it may not have (RFC 7692 7.1).
[[nodiscard]] inline bool take_deflate_term(const extension_parameter& parameter,
                                            deflate_terms& terms) noexcept {
    const auto flag = [&](bool& set) { return !parameter.value && !std::exchange(set, true); };
    if (parameter.name == "server_no_context_takeover") return flag(terms.server_no_context_takeover);
    if (parameter.name == "client_no_context_takeover") return flag(terms.client_no_context_takeover);
    if (parameter.name == "server_max_window_bits")
        return std::exchange(terms.server_bits, window_bits_of(parameter.value)) == 0 &&
               terms.server_bits != 0;
    if (parameter.name != "client_max_window_bits" || std::exchange(terms.client_bits_named, true))
        return false;
    // RFC 7692 7.1.2.2: in an offer it may do without a value.
    terms.client_bits = window_bits_of(parameter.value);
    return !parameter.value || terms.client_bits != 0;
}

[[nodiscard]] inline std::optional<deflate_terms>
deflate_terms_of(const extension_offer& extension) noexcept {
    deflate_terms terms;
    for (const auto& parameter : extension.parameters)
        if (!take_deflate_term(parameter, terms)) return std::nullopt;
    return terms;
}

[[nodiscard]] inline std::string deflate_text(const deflate_params& params) {
    std::string text{deflate_extension_name};
    if (params.server_no_context_takeover) text += "; server_no_context_takeover";
    if (params.client_no_context_takeover) text += "; client_no_context_takeover";
    if (params.server_max_window_bits != 15)
        text.append("; server_max_window_bits=").append(std::to_string(params.server_max_window_bits));
    if (params.client_max_window_bits != 15)
        text.append("; client_max_window_bits=").append(std::to_string(params.client_max_window_bits));
    return text;
}

} // namespace detail

/// What a client with these options says in Sec-WebSocket-Extensions. There is one offer and no weaker one
/// behind it: what the options demand is demanded. Any server is told that it may ask for a smaller window
/// (RFC 7692 7.1.2.2).
[[nodiscard]] DUPLEX_RARE inline std::string deflate_offer(const deflate_options& options) {
    std::string text = detail::deflate_text({.server_no_context_takeover = !options.peer_context_takeover,
                                             .client_no_context_takeover = !options.context_takeover,
                                             .server_max_window_bits = options.max_peer_window_bits,
                                             .client_max_window_bits = 15});
    return text += "; client_max_window_bits";
}

/// The server's choice of what a client offers, and the element of Sec-WebSocket-Extensions that tells it:
/// the first offer of permessage-deflate that has nothing unknown, malformed or said twice in it, for which
/// RFC 7692 7.1 declines an offer. None where there is none; `answer` is then empty.
[[nodiscard]] DUPLEX_RARE inline std::optional<deflate_params>
accept_deflate(std::span<const extension_offer> offers, const deflate_options& options, std::string& answer) {
    answer.clear();
    for (const auto& offer : offers) {
        if (offer.name != deflate_extension_name) continue;
        const auto terms = detail::deflate_terms_of(offer);
        if (!terms) continue;
        deflate_params agreed;
        agreed.server_no_context_takeover = terms->server_no_context_takeover || !options.context_takeover;
        agreed.client_no_context_takeover =
            terms->client_no_context_takeover || !options.peer_context_takeover;
        // Below 9 only where it is asked for: zlib's compressor knows no such window.
        agreed.server_max_window_bits = std::max(options.max_window_bits, 9);
        if (terms->server_bits != 0)
            agreed.server_max_window_bits = std::min(agreed.server_max_window_bits, terms->server_bits);
        // RFC 7692 7.1.2.2: only a client that named it knows what to do with it.
        if (terms->client_bits_named)
            agreed.client_max_window_bits =
                std::min(options.max_peer_window_bits, terms->client_bits != 0 ? terms->client_bits : 15);
        answer = detail::deflate_text(agreed);
        // RFC 7692 7.1.2.1: an offer that names it is accepted by naming it.
        if (terms->server_bits != 0 && agreed.server_max_window_bits == 15)
            answer += "; server_max_window_bits=15";
        return agreed;
    }
    return std::nullopt;
}

/// What a server agreed to that was sent the `deflate_offer` of these options. None without an error where it
/// does not use permessage-deflate; none and `errc::deflate_answer_invalid` where it answers what RFC 7692
/// 7.1 forbids, which fails the connection.
[[nodiscard]] DUPLEX_RARE inline std::optional<deflate_params>
read_deflate_answer(std::span<const extension_offer> answer, const deflate_options& offered, errc& error) {
    error = {};
    const auto is_deflate = [](const extension_offer& each) { return each.name == deflate_extension_name; };
    const auto found = std::find_if(answer.begin(), answer.end(), is_deflate);
    if (found == answer.end()) return std::nullopt;
    error = errc::deflate_answer_invalid;
    // RFC 7692 6: twice would be two meanings of RSV1.
    if (std::any_of(found + 1, answer.end(), is_deflate)) return std::nullopt;
    const auto terms = detail::deflate_terms_of(*found);
    if (!terms) return std::nullopt;
    // RFC 7692 7.1.2.2: an answer names a number.
    if (terms->client_bits_named && terms->client_bits == 0) return std::nullopt;
    // RFC 7692 7.1.1.1, 7.1.2.1: what was asked for must be granted.
    if (!offered.peer_context_takeover && !terms->server_no_context_takeover) return std::nullopt;
    const int server_bits = terms->server_bits != 0 ? terms->server_bits : 15;
    if (server_bits > offered.max_peer_window_bits) return std::nullopt;
    error = {};
    return deflate_params{.server_no_context_takeover = terms->server_no_context_takeover,
                          .client_no_context_takeover = terms->client_no_context_takeover,
                          .server_max_window_bits = server_bits,
                          .client_max_window_bits = terms->client_bits != 0 ? terms->client_bits : 15};
}

} // namespace duplex
