#pragma once

#include <duplex/core/detail/inlining.hpp>
#include <duplex/core/error.hpp>
#include <duplex/core/limits.hpp>
#include <duplex/handshake/accept_key.hpp>
#include <duplex/handshake/deflate_negotiation.hpp>
#include <duplex/handshake/detail/own_headers.hpp>
#include <duplex/handshake/detail/request_fields.hpp>
#include <duplex/handshake/extension_list.hpp>
#include <duplex/handshake/origin_policy.hpp>
#include <duplex/handshake/outcome.hpp>
#include <duplex/http/fields.hpp>
#include <duplex/http/head_parser.hpp>
#include <duplex/http/head_writer.hpp>
#include <duplex/http/token.hpp>

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

/// How a server answers opening handshakes.
struct server_handshake_options {
    /// Those it speaks, in its own order of preference; each a token.
    std::vector<std::string> subprotocols{};
    /// Origins that may connect, or "*"; empty: the server's own (see `origin_allowed`).
    std::vector<std::string> origins{};
    fields headers{};                   ///< added to the 101
    std::string server_name = "duplex"; ///< of the 101's Server header; empty: none
    std::string extensions{};           ///< accepted, as in Sec-WebSocket-Extensions; empty: none
    /// Takes an offer of permessage-deflate (RFC 7692); then `extensions` is not looked at.
    std::optional<deflate_options> deflate{};
    bool secure = false;  ///< the page's own scheme is https: TLS here or at a proxy in front
    http_limits limits{}; ///< for the request; to be given to the constructor
};

/// Most subprotocols in one request.
inline constexpr std::size_t max_subprotocols = 64;

/// The server's side of the opening handshake (RFC 6455 4.2) as bytes in and bytes out: pass what comes to
/// `receive`; once the request is ready look at it and `accept` or `reject` it; send `response()`.
class server_handshake {
public:
    enum class progress : std::uint8_t { need_more, request_ready, failed };

    explicit server_handshake(const http_limits& limits = {}) noexcept
        : parser_(head_kind::request, limits) {}

    /// Takes the next bytes of the request. After `failed` `response()` holds the answer that
    /// `outcome().error` calls for, to be sent before the connection is closed. Once the request is ready or
    /// has failed, takes nothing.
    progress receive(std::span<const std::byte> input) {
        if (step_ != step::head) return step_ == step::ready ? progress::request_ready : progress::failed;
        const auto result = parser_.feed(input);
        if (result.state == head_parser::result::state::need_more) return progress::need_more;
        if (result.state == head_parser::result::state::failed) return refuse(parser_.error());
        outcome_.headers = parser_.take_headers();
        if (const auto error = check_request()) return refuse(*error);
        const auto rest = input.subspan(result.consumed);
        outcome_.leftover.assign(rest.begin(), rest.end());
        step_ = step::ready;
        return progress::request_ready;
    }

    /// The client ended the stream. Before an answer: `errc::connection_lost`, and there is no response.
    void eof() noexcept {
        if (step_ == step::answered) return;
        outcome_.error = make_error_code(errc::connection_lost);
        step_ = step::answered;
    }

    // The request. Meaningful once it is ready; views live until `take_outcome`.

    /// Path and query.
    [[nodiscard]] std::string_view target() const noexcept { return outcome_.target; }
    [[nodiscard]] const fields& headers() const noexcept { return outcome_.headers; }
    [[nodiscard]] std::optional<std::string_view> origin() const noexcept {
        return outcome_.headers.find("Origin");
    }
    /// With the port where one was given.
    [[nodiscard]] std::string_view host() const noexcept {
        return host_.empty() ? outcome_.headers.find("Host").value_or("") : std::string_view(host_);
    }
    /// Offered by the client, in its order of preference.
    [[nodiscard]] const std::vector<std::string>& subprotocols() const noexcept { return subprotocols_; }
    /// Offered by the client, in its order of preference.
    [[nodiscard]] const std::vector<extension_offer>& extensions() const noexcept { return extensions_; }

    /// Answers 101 with the first subprotocol of `options` that the client offered, or 403 where its origin
    /// may not connect (`errc::origin_not_allowed`). The caller's own faults leave the request unanswered:
    /// `errc::header_name_invalid`, `header_value_invalid`, `header_reserved`, `subprotocol_invalid`,
    /// `extension_not_offered`; `not_open` before the request is ready, `already_open` after an answer.
    [[nodiscard]] std::error_code accept(const server_handshake_options& options) {
        // RFC 6455 4.2.2: where none matches, the header is left out and the client decides
        std::string_view chosen;
        for (const std::string_view ours : options.subprotocols) {
            if (!is_token(ours)) return make_error_code(errc::subprotocol_invalid);
            if (chosen.empty() && offers_subprotocol(ours)) chosen = ours;
        }
        return accept(options, chosen);
    }

    /// The same with the application's own choice of subprotocol; empty: none. One that was not offered is
    /// the caller's fault: `errc::subprotocol_not_offered`.
    [[nodiscard]] std::error_code accept(const server_handshake_options& options,
                                         std::string_view subprotocol) {
        if (step_ != step::ready)
            return make_error_code(step_ == step::head ? errc::not_open : errc::already_open);
        if (const auto error = check_answer(options, subprotocol)) return error;
        if (!origin_allowed(origin(), host(), options.secure, options.origins)) {
            refuse(errc::origin_not_allowed);
            return outcome_.error;
        }
        outcome_.status = 101;
        outcome_.subprotocol = subprotocol;
        if (options.deflate)
            outcome_.deflate = accept_deflate(extensions_, *options.deflate, outcome_.extensions);
        else
            outcome_.extensions = trim(options.extensions);
        write_acceptance(options);
        step_ = step::answered;
        return {};
    }

    /// Answers with a plain HTTP response and ends the handshake with `errc::request_rejected`. `status` is
    /// 200-599, any other is sent as 500; `headers` may replace the Content-Type (text/plain). The caller's
    /// own faults leave the request unanswered: `errc::header_name_invalid`, `header_value_invalid`,
    /// `header_reserved`, `already_open` after an answer.
    DUPLEX_RARE std::error_code reject(unsigned status, const fields& headers = {},
                                       std::string_view body = {}) {
        if (step_ == step::answered) return make_error_code(errc::already_open);
        if (const auto error = detail::check_own_headers(headers)) return error;
        end_with(errc::request_rejected, status >= 200 && status <= 599 ? status : 500, headers, body);
        return {};
    }

    /// The client was too slow: answers 408 and ends with `errc::handshake_timeout`. Nothing after an answer.
    void time_out() {
        if (step_ != step::answered) refuse(errc::handshake_timeout);
    }

    /// The bytes to send; empty until there is an answer.
    [[nodiscard]] std::string_view response() const noexcept { return response_; }

    [[nodiscard]] const handshake_outcome& outcome() const noexcept { return outcome_; }
    [[nodiscard]] handshake_outcome take_outcome() noexcept { return std::move(outcome_); }

private:
    enum class step : std::uint8_t { head, ready, answered };

    /// RFC 6455 4.2.1. The order is such that a request from something other than a WebSocket client gets the
    /// answer that tells it so.
    [[nodiscard]] std::optional<errc> check_request() {
        const detail::request_fields found{outcome_.headers};
        if (parser_.http_minor_version() == 0) return errc::http_version_unsupported;
        if (parser_.method() != "GET") return errc::method_not_get;
        if (const auto error = check_target(found.host.only())) return error;
        if (!found.upgrade) return errc::upgrade_required;
        if (!found.connection) return errc::connection_upgrade_missing;
        if (found.version.only() != "13") return errc::version_unsupported;
        if (!is_valid_key(found.key.only())) return errc::key_invalid;
        // RFC 9112 6.1: what a proxy takes for a body must not be taken for frames here
        if (found.body) return errc::request_has_body;
        // RFC 6454 7.3: at most one Origin
        if (found.origin.count > 1) return errc::http_header_duplicated;
        std::copy(found.key.value.begin(), found.key.value.end(), key_.begin());
        return found.lists ? read_lists() : std::nullopt;
    }

    /// RFC 9112 3.2: the target is a path, or a URL whose host then stands for that of Host.
    [[nodiscard]] std::optional<errc> check_target(std::string_view host) {
        if (!detail::split_host(host)) return errc::host_missing;
        std::string_view target = parser_.target();
        if (!target.starts_with('/')) {
            const auto mark = target.find("://");
            if (mark == std::string_view::npos) return errc::http_start_line_invalid;
            const auto scheme = target.substr(0, mark);
            if (!equals_ignoring_case(scheme, "http") && !equals_ignoring_case(scheme, "https") &&
                !equals_ignoring_case(scheme, "ws") && !equals_ignoring_case(scheme, "wss"))
                return errc::http_start_line_invalid;
            target.remove_prefix(mark + 3);
            host_ = target.substr(0, target.find_first_of("/?"));
            if (!detail::split_host(host_)) return errc::host_missing;
            target.remove_prefix(host_.size());
        }
        if (!target.starts_with('/')) outcome_.target = '/';
        outcome_.target.append(target);
        return std::nullopt;
    }

    [[nodiscard]] std::optional<errc> read_lists() {
        for (const auto field : outcome_.headers) {
            if (equals_ignoring_case(field.name, "Sec-WebSocket-Protocol")) {
                // RFC 6455 4.1: one or more tokens, all different
                const list_view list(field.value);
                if (list.empty()) return errc::subprotocol_list_invalid;
                for (const auto one : list) {
                    if (!is_token(one) || offers_subprotocol(one) || subprotocols_.size() == max_subprotocols)
                        return errc::subprotocol_list_invalid;
                    subprotocols_.emplace_back(one);
                }
            } else if (equals_ignoring_case(field.name, "Sec-WebSocket-Extensions")) {
                if (!parse_extensions(field.value, extensions_)) return errc::extension_list_invalid;
            }
        }
        return std::nullopt;
    }

    [[nodiscard]] bool offers_subprotocol(std::string_view name) const noexcept {
        return std::find(subprotocols_.begin(), subprotocols_.end(), name) != subprotocols_.end();
    }

    [[nodiscard]] std::error_code check_answer(const server_handshake_options& options,
                                               std::string_view subprotocol) const {
        if (const auto error = detail::check_own_headers(options.headers)) return error;
        if (!is_field_value(options.server_name)) return make_error_code(errc::header_value_invalid);
        if (!subprotocol.empty() && !offers_subprotocol(subprotocol))
            return make_error_code(errc::subprotocol_not_offered);
        if (options.deflate) {
            const errc wrong = check(*options.deflate);
            return wrong == errc{} ? std::error_code{} : make_error_code(wrong);
        }
        if (options.extensions.empty()) return {};
        std::vector<extension_offer> answer;
        if (!parse_extensions(options.extensions, answer)) return make_error_code(errc::header_value_invalid);
        for (const auto& one : answer)
            if (!lists_extension(extensions_, one.name)) return make_error_code(errc::extension_not_offered);
        return {};
    }

    void write_acceptance(const server_handshake_options& options) {
        response_.reserve(256);
        // RFC 6455 4.2.2: what is the same in every answer
        response_.append("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n");
        const auto accept = accept_key({key_.data(), key_.size()});
        append_field(response_, "Sec-WebSocket-Accept", {accept.data(), accept.size()});
        if (!outcome_.subprotocol.empty())
            append_field(response_, "Sec-WebSocket-Protocol", outcome_.subprotocol);
        if (!outcome_.extensions.empty())
            append_field(response_, "Sec-WebSocket-Extensions", outcome_.extensions);
        if (!options.server_name.empty()) append_field(response_, "Server", options.server_name);
        append_fields(response_, options.headers);
        append_end(response_);
    }

    DUPLEX_RARE progress refuse(errc error) {
        end_with(error, http_status_for(error), {}, make_error_code(error).message() + '\n');
        return progress::failed;
    }

    DUPLEX_RARE void end_with(errc error, unsigned status, const fields& headers, std::string_view body) {
        outcome_.error = make_error_code(error);
        outcome_.status = status;
        outcome_.leftover.clear();
        step_ = step::answered;

        append_status_line(response_, status);
        if (status == 426) {
            // RFC 9110 7.8: Connection names Upgrade; RFC 6455 4.4: the version this server speaks
            append_field(response_, "Connection", "Upgrade, close");
            append_field(response_, "Upgrade", "websocket");
            append_field(response_, "Sec-WebSocket-Version", "13");
        } else {
            append_field(response_, "Connection", "close");
        }
        // RFC 9110 15.5.6: 405 names what is allowed
        if (status == 405 && !headers.find("Allow")) append_field(response_, "Allow", "GET");
        append_fields(response_, headers);
        // RFC 9110 6.4.1, 9.3.2: these have no body
        if (status != 204 && status != 304) {
            if (!headers.find("Content-Type"))
                append_field(response_, "Content-Type", "text/plain; charset=utf-8");
            append_field(response_, "Content-Length", std::to_string(body.size()));
        } else {
            body = {};
        }
        append_end(response_);
        if (parser_.method() != "HEAD") response_.append(body);
    }

    head_parser parser_;
    handshake_outcome outcome_;
    std::string host_; ///< of a target that is a URL
    std::vector<std::string> subprotocols_;
    std::vector<extension_offer> extensions_;
    std::string response_;
    std::array<char, handshake_key_size> key_{}; ///< the Sec-WebSocket-Key
    step step_ = step::head;
};

} // namespace duplex
