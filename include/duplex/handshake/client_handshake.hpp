#pragma once

#include <duplex/core/base64.hpp>
#include <duplex/core/error.hpp>
#include <duplex/core/limits.hpp>
#include <duplex/core/random.hpp>
#include <duplex/handshake/accept_key.hpp>
#include <duplex/handshake/deflate_negotiation.hpp>
#include <duplex/handshake/detail/final_head.hpp>
#include <duplex/handshake/detail/own_headers.hpp>
#include <duplex/handshake/detail/refusal_body.hpp>
#include <duplex/handshake/detail/refusal_words.hpp>
#include <duplex/handshake/extension_list.hpp>
#include <duplex/handshake/origin_policy.hpp>
#include <duplex/handshake/outcome.hpp>
#include <duplex/http/credentials.hpp>
#include <duplex/http/fields.hpp>
#include <duplex/http/head_parser.hpp>
#include <duplex/http/head_writer.hpp>
#include <duplex/http/token.hpp>
#include <duplex/http/uri.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace duplex {

/// What a client asks for in its opening handshake.
struct client_handshake_options {
    /// Offered in order of preference; each a token, each once (RFC 6455 4.1).
    std::vector<std::string> subprotocols{};
    /// Sent after the handshake's own. Host, Origin, User-Agent and Authorization, each at most once, replace
    /// what the URL and the options below would give.
    fields headers{};
    std::string origin{};              ///< empty: no Origin, as from a client that is no browser
    std::string user_agent = "duplex"; ///< empty: no User-Agent
    std::string extensions{};          ///< offered, as in Sec-WebSocket-Extensions; empty: none
    /// Offers permessage-deflate (RFC 7692), behind `extensions`.
    std::optional<deflate_options> deflate{};
    http_limits limits{}; ///< for the answer
};

/// The client's side of the opening handshake (RFC 6455 4.1) as bytes out and bytes in: start, send
/// `request()`, pass what comes to `receive` until it is done, then look at `outcome()`. It can be started
/// again.
class client_handshake {
public:
    enum class progress : std::uint8_t { need_more, done };

    /// Checks everything the caller gave and writes the request. After an error `request()` is empty:
    /// `errc::subprotocol_invalid`, `subprotocol_duplicated`, `header_name_invalid`, `header_value_invalid`,
    /// `header_reserved`, `url_host_invalid`, `url_invalid`, `credentials_invalid`, `random_source_failed`.
    [[nodiscard]] std::error_code start(const uri& to, const client_handshake_options& options = {}) {
        *this = client_handshake();
        std::array<std::byte, 16> nonce;
        // RFC 6455 4.1: chosen anew and at random for each connection
        if (!fill_random(nonce)) return make_error_code(errc::random_source_failed);
        return start(to, options, nonce);
    }

    /// The same with a nonce that is not random, for tests that must be repeatable.
    [[nodiscard]] std::error_code start(const uri& to, const client_handshake_options& options,
                                        std::span<const std::byte, 16> nonce) {
        *this = client_handshake();
        if (const auto error = check(to, options)) return error;
        write_request(to, options, nonce);
        head_ = detail::final_head(options.limits);
        outcome_.error.clear();
        outcome_.url = to.to_string();
        step_ = step::head;
        return {};
    }

    /// The bytes to send; valid until the next start.
    [[nodiscard]] std::string_view request() const noexcept { return request_; }

    /// Takes the next bytes of the answer. Bytes behind the head of a 101 go to `outcome().leftover`; once
    /// done, takes nothing.
    progress receive(std::span<const std::byte> input) {
        while (step_ == step::head) {
            switch (head_.feed(input)) {
            case head_parser::result::state::need_more: return progress::need_more;
            case head_parser::result::state::failed: return finish(make_error_code(head_.parser().error()));
            case head_parser::result::state::done: head_done(input);
            }
        }
        if (step_ == step::body && body_.receive(input)) finish_refusal();
        return step_ == step::done ? progress::done : progress::need_more;
    }

    /// The server ended the stream: the end of a refusal whose length was not given, otherwise
    /// `errc::connection_lost`.
    progress eof() {
        if (step_ == step::head) {
            // One that waits for TLS says nothing to what is none.
            outcome_.why =
                !head_.has_begun() && outcome_.url.starts_with("ws://")
                    ? "the server ended the connection without an answer. Is this a port for wss://?"
                    : "the server ended the connection before its answer was complete";
            finish(make_error_code(errc::connection_lost));
        }
        if (step_ == step::body) finish_refusal();
        return progress::done;
    }

    /// Complete once `receive` or `eof` said done. Errors: those of `head_parser`, `errc::upgrade_refused`
    /// (with the answer's status, headers and body), `http_version_unsupported`, `upgrade_header_invalid`,
    /// `connection_header_invalid`, `accept_invalid`, `extension_list_invalid`, `extension_not_offered`,
    /// `deflate_answer_invalid`, `subprotocol_not_offered`, `connection_lost`; `not_open` where nothing was
    /// started.
    [[nodiscard]] const handshake_outcome& outcome() const noexcept { return outcome_; }
    [[nodiscard]] handshake_outcome take_outcome() noexcept { return std::move(outcome_); }

private:
    enum class step : std::uint8_t { head, body, done };

    [[nodiscard]] static std::error_code check(const uri& to, const client_handshake_options& options) {
        if (!detail::split_host(to.host_header()) || (!to.host_is_ipv6 && to.host.find(':') != to.host.npos))
            return make_error_code(errc::url_host_invalid);
        if (!to.target.starts_with('/') || !detail::all_of_class(to.target, detail::char_class::target))
            return make_error_code(errc::url_invalid);
        if (!detail::is_login(to.user, to.password)) return make_error_code(errc::credentials_invalid);

        for (auto one = options.subprotocols.begin(); one != options.subprotocols.end(); ++one) {
            if (!is_token(*one)) return make_error_code(errc::subprotocol_invalid);
            // RFC 6455 4.1: all must be different
            if (std::find(options.subprotocols.begin(), one, *one) != one)
                return make_error_code(errc::subprotocol_duplicated);
        }

        if (const auto error = detail::check_own_headers(options.headers)) return error;
        for (const std::string_view name : {"Host", "Origin", "User-Agent", "Authorization"})
            if (options.headers.count(name) > 1) return make_error_code(errc::header_reserved);
        if (const auto host = options.headers.find("Host"); host && !detail::split_host(*host))
            return make_error_code(errc::header_value_invalid);
        if (!is_field_value(options.origin) || !is_field_value(options.user_agent))
            return make_error_code(errc::header_value_invalid);
        if (std::vector<extension_offer> offers; !parse_extensions(options.extensions, offers))
            return make_error_code(errc::header_value_invalid);
        if (options.deflate)
            if (const errc wrong = duplex::check(*options.deflate); wrong != errc{}) return wrong;
        return {};
    }

    void write_request(const uri& to, const client_handshake_options& options,
                       std::span<const std::byte, 16> nonce) {
        const fields& headers = options.headers;
        std::array<char, handshake_key_size> key{};
        base64_encode(nonce, key);
        const std::string_view key_text(key.data(), key.size());
        expected_accept_ = accept_key(key_text);
        for (const auto& one : options.subprotocols)
            offered_subprotocols_.append(offered_subprotocols_.empty() ? "" : ", ").append(one);
        offered_extensions_ = trim(options.extensions);
        deflate_ = options.deflate;
        if (deflate_)
            offered_extensions_.append(offered_extensions_.empty() ? "" : ", ")
                .append(deflate_offer(*deflate_));

        request_.reserve(512);
        append_request_line(request_, "GET", to.target);
        // RFC 9110 7.2: Host comes first
        append_field(request_, "Host", headers.find("Host").value_or(to.host_header()));
        append_field(request_, "Upgrade", "websocket");
        append_field(request_, "Connection", "Upgrade");
        append_field(request_, "Sec-WebSocket-Key", key_text);
        append_field(request_, "Sec-WebSocket-Version", "13");
        if (!offered_subprotocols_.empty())
            append_field(request_, "Sec-WebSocket-Protocol", offered_subprotocols_);
        if (!offered_extensions_.empty())
            append_field(request_, "Sec-WebSocket-Extensions", offered_extensions_);
        if (!options.origin.empty() && !headers.find("Origin"))
            append_field(request_, "Origin", options.origin);
        if (!options.user_agent.empty() && !headers.find("User-Agent"))
            append_field(request_, "User-Agent", options.user_agent);
        if ((!to.user.empty() || !to.password.empty()) && !headers.find("Authorization"))
            append_field(request_, "Authorization", detail::basic_value(to.user, to.password));
        for (const auto field : headers)
            if (!equals_ignoring_case(field.name, "Host")) append_field(request_, field.name, field.value);
        append_end(request_);
    }

    void head_done(std::span<const std::byte> rest) {
        const unsigned status = head_.parser().status();
        outcome_.status = status;
        outcome_.reason = head_.parser().reason();
        outcome_.headers = head_.parser().take_headers();
        if (status != 101) {
            step_ = step::body;
            body_ = detail::refusal_body(status, outcome_.headers, head_.limits().refusal_body_bytes);
            return;
        }
        finish(check_answer());
        if (!outcome_.error) outcome_.leftover.assign(rest.begin(), rest.end());
    }

    [[nodiscard]] std::error_code check_answer() {
        const fields& headers = outcome_.headers;
        if (head_.parser().http_minor_version() == 0) return make_error_code(errc::http_version_unsupported);
        // RFC 6455 4.1: the value of Upgrade is websocket, not a list that has it
        if (const auto upgrade = detail::find_only(headers, "Upgrade");
            !upgrade || !equals_ignoring_case(*upgrade, "websocket"))
            return make_error_code(errc::upgrade_header_invalid);
        if (!detail::any_lists(headers, "Connection", "upgrade"))
            return make_error_code(errc::connection_header_invalid);
        if (detail::find_only(headers, "Sec-WebSocket-Accept") !=
            std::string_view(expected_accept_.data(), expected_accept_.size()))
            return make_error_code(errc::accept_invalid);
        if (const auto error = check_extensions()) return error;
        return check_subprotocol();
    }

    [[nodiscard]] std::error_code check_extensions() {
        std::vector<extension_offer> used;
        for (const auto field : outcome_.headers) {
            if (!equals_ignoring_case(field.name, "Sec-WebSocket-Extensions") || field.value.empty())
                continue;
            if (!parse_extensions(field.value, used)) return make_error_code(errc::extension_list_invalid);
            outcome_.extensions.append(outcome_.extensions.empty() ? "" : ", ").append(field.value);
        }
        if (used.empty()) return {};
        std::vector<extension_offer> offered;
        const bool valid = parse_extensions(offered_extensions_, offered);
        // RFC 6455 9.1: only what was offered
        for (const auto& one : used)
            if (!valid || !lists_extension(offered, one.name)) {
                outcome_.extensions.clear();
                return make_error_code(errc::extension_not_offered);
            }
        if (!deflate_) return {};
        errc wrong{};
        outcome_.deflate = read_deflate_answer(used, *deflate_, wrong);
        return wrong == errc{} ? std::error_code{} : make_error_code(wrong);
    }

    [[nodiscard]] std::error_code check_subprotocol() {
        if (!outcome_.headers.find("Sec-WebSocket-Protocol")) return {};
        // RFC 6455 4.1: one of those offered, compared exactly
        const auto chosen = detail::find_only(outcome_.headers, "Sec-WebSocket-Protocol");
        if (chosen)
            for (const auto offered : list_view(offered_subprotocols_))
                if (*chosen == offered) {
                    outcome_.subprotocol = offered;
                    return {};
                }
        return make_error_code(errc::subprotocol_not_offered);
    }

    void finish_refusal() {
        outcome_.body = body_.take();
        outcome_.why = detail::refusal_words("server", outcome_.status, outcome_.reason, outcome_.body);
        finish(make_error_code(errc::upgrade_refused));
    }

    progress finish(std::error_code error) noexcept {
        outcome_.error = error;
        step_ = step::done;
        return progress::done;
    }

    std::string request_;
    std::string offered_subprotocols_; ///< as sent
    std::string offered_extensions_;   ///< as sent
    std::optional<deflate_options> deflate_;
    std::array<char, 28> expected_accept_{};
    detail::final_head head_;
    detail::refusal_body body_;
    handshake_outcome outcome_{.error = make_error_code(errc::not_open)};
    step step_ = step::done;
};

} // namespace duplex
