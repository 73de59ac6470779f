#pragma once

#include <duplex/core/error.hpp>
#include <duplex/core/limits.hpp>
#include <duplex/handshake/detail/final_head.hpp>
#include <duplex/handshake/detail/own_headers.hpp>
#include <duplex/handshake/detail/refusal_body.hpp>
#include <duplex/handshake/detail/refusal_words.hpp>
#include <duplex/handshake/outcome.hpp>
#include <duplex/http/credentials.hpp>
#include <duplex/http/fields.hpp>
#include <duplex/http/head_parser.hpp>
#include <duplex/http/head_writer.hpp>
#include <duplex/http/token.hpp>
#include <duplex/http/uri.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

namespace duplex {

/// What a client says to an HTTP proxy beside where it wants to go.
struct proxy_connect_options {
    std::string user{};     ///< sent as Basic credentials (RFC 7617); no colon in it
    std::string password{}; ///< both empty: no credentials
    /// Sent to the proxy, not to the server. User-Agent and Proxy-Authorization, each at most once, replace
    /// what the other options would give.
    fields headers{};
    std::string user_agent = "duplex"; ///< empty: no User-Agent
    http_limits limits{};              ///< for the answer
};

/// Asks an HTTP proxy for a tunnel to a server by CONNECT (RFC 9110 9.3.6) as bytes out and bytes in: start,
/// send `request()`, pass what comes to `receive` until it is done, then look at `outcome()`. With a tunnel
/// the same connection leads to the server: TLS or the opening handshake come next. It can be started again.
class proxy_connect {
public:
    enum class progress : std::uint8_t { need_more, done };

    /// Checks everything the caller gave and writes the request. `host` is a name or an address, an IPv6 one
    /// without brackets: what `uri::host` is. After an error `request()` is empty: `errc::url_host_invalid`,
    /// `url_port_invalid`, `proxy_credentials_invalid`, `header_name_invalid`, `header_value_invalid`,
    /// `header_reserved`.
    [[nodiscard]] std::error_code start(std::string_view host, std::uint16_t port,
                                        const proxy_connect_options& options = {}) {
        *this = proxy_connect();
        if (const auto error = check(host, port, options)) return error;
        write_request(host, port, options);
        head_ = detail::final_head(options.limits);
        outcome_.error.clear();
        step_ = step::head;
        return {};
    }

    /// The bytes to send, credentials among them; valid until the next start.
    [[nodiscard]] std::string_view request() const noexcept { return request_; }

    /// Takes the next bytes of the answer. Bytes behind the head that opens the tunnel go to
    /// `outcome().leftover`; once done, takes nothing.
    progress receive(std::span<const std::byte> input) {
        while (step_ == step::head) {
            switch (head_.feed(input)) {
            case head_parser::result::state::need_more: return progress::need_more;
            case head_parser::result::state::failed: return head_failed(head_.parser().error());
            case head_parser::result::state::done: head_done(input);
            }
        }
        if (step_ == step::body && body_.receive(input)) finish_refusal();
        return step_ == step::done ? progress::done : progress::need_more;
    }

    /// The proxy ended the stream: the end of a refusal whose length was not given, otherwise
    /// `errc::connection_lost`.
    progress eof() {
        if (step_ == step::head) finish(errc::connection_lost);
        if (step_ == step::body) finish_refusal();
        return progress::done;
    }

    /// Complete once `receive` or `eof` said done; without an error the tunnel is open, and `leftover` are
    /// its first bytes. Errors: those of `head_parser`, `errc::proxy_refused` and
    /// `proxy_authentication_required` (with the answer's status, headers and body), `proxy_answer_invalid`
    /// (no final answer behind informational ones, or a change of protocol nobody asked for),
    /// `connection_lost`; `not_open` where nothing was started.
    [[nodiscard]] const handshake_outcome& outcome() const noexcept { return outcome_; }
    [[nodiscard]] handshake_outcome take_outcome() noexcept { return std::move(outcome_); }

private:
    enum class step : std::uint8_t { head, body, done };

    [[nodiscard]] static std::error_code check(std::string_view host, std::uint16_t port,
                                               const proxy_connect_options& options) {
        if (is_ipv6(host) ? !detail::parse_ipv6(host) : !detail::is_host_name(host))
            return make_error_code(errc::url_host_invalid);
        if (port == 0) return make_error_code(errc::url_port_invalid);
        if (!detail::is_login(options.user, options.password))
            return make_error_code(errc::proxy_credentials_invalid);

        const fields& headers = options.headers;
        if (const auto error = detail::check_own_headers(headers)) return error;
        // RFC 9112 3.2: Host says the same as the target
        if (headers.find("Host")) return make_error_code(errc::header_reserved);
        for (const std::string_view name : {"User-Agent", "Proxy-Authorization"})
            if (headers.count(name) > 1) return make_error_code(errc::header_reserved);
        if (!is_field_value(options.user_agent)) return make_error_code(errc::header_value_invalid);
        return {};
    }

    void write_request(std::string_view host, std::uint16_t port, const proxy_connect_options& options) {
        const fields& headers = options.headers;
        // RFC 9112 3.2.3: the port shows even where it is the usual one
        std::string authority;
        if (is_ipv6(host))
            authority.append(1, '[').append(host).append(1, ']');
        else
            authority = host;
        authority.append(1, ':').append(std::to_string(port));

        append_request_line(request_, "CONNECT", authority);
        append_field(request_, "Host", authority);
        if ((!options.user.empty() || !options.password.empty()) && !headers.find("Proxy-Authorization"))
            append_field(request_, "Proxy-Authorization",
                         detail::basic_value(options.user, options.password));
        if (!options.user_agent.empty() && !headers.find("User-Agent"))
            append_field(request_, "User-Agent", options.user_agent);
        append_fields(request_, headers);
        append_end(request_);
    }

    [[nodiscard]] static bool is_ipv6(std::string_view host) noexcept {
        return host.find(':') != std::string_view::npos;
    }

    void head_done(std::span<const std::byte> rest) {
        const unsigned status = head_.parser().status();
        outcome_.status = status;
        outcome_.reason = head_.parser().reason();
        outcome_.headers = head_.parser().take_headers();
        if (status < 200) {
            finish(errc::proxy_answer_invalid);
        } else if (status < 300) {
            // RFC 9110 9.3.6: the tunnel begins behind the head, whatever Content-Length and
            // Transfer-Encoding say
            outcome_.leftover.assign(rest.begin(), rest.end());
            finish({});
        } else {
            step_ = step::body;
            body_ = detail::refusal_body(status, outcome_.headers, head_.limits().refusal_body_bytes);
        }
    }

    progress head_failed(errc error) {
        // RFC 9112 4: all that speaks HTTP begins like that.
        if (error == errc::http_start_line_invalid)
            outcome_.why = "the proxy's answer is not HTTP: does it speak SOCKS?";
        return finish(error);
    }

    void finish_refusal() {
        outcome_.body = body_.take();
        outcome_.why = detail::refusal_words("proxy", outcome_.status, outcome_.reason, outcome_.body);
        // RFC 9110 15.5.8
        finish(outcome_.status == 407 ? errc::proxy_authentication_required : errc::proxy_refused);
    }

    progress finish(errc error) noexcept {
        outcome_.error = error == errc{} ? std::error_code() : make_error_code(error);
        step_ = step::done;
        return progress::done;
    }

    std::string request_;
    detail::final_head head_;
    detail::refusal_body body_;
    handshake_outcome outcome_{.error = make_error_code(errc::not_open), .phase = phase::proxy};
    step step_ = step::done;
};

} // namespace duplex
