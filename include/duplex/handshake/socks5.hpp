#pragma once

#include <duplex/core/error.hpp>
#include <duplex/handshake/outcome.hpp>
#include <duplex/http/credentials.hpp>
#include <duplex/http/uri.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace duplex {

/// How a client logs in to a SOCKS5 proxy (RFC 1929): both of 1-255 bytes, or both empty for no login.
struct socks5_options {
    std::string user{};
    std::string password{};
};

/// Asks a SOCKS5 proxy for a connection to a server (RFC 1928) as bytes out and bytes in: start, send
/// `request()`, pass what comes to `receive`; where it says `send`, send the new `request()` and go on, until
/// it is done; then look at `outcome()`. The proxy resolves the server's name. It can be started again.
class socks5_connect {
public:
    enum class progress : std::uint8_t { need_more, send, done };

    /// Checks everything the caller gave and writes what there will be to send. `host` is a name of at most
    /// 255 bytes or an address, an IPv6 one without brackets: what `uri::host` is. After an error `request()`
    /// is empty: `errc::url_host_invalid`, `url_port_invalid`, `proxy_credentials_invalid`.
    [[nodiscard]] std::error_code start(std::string_view host, std::uint16_t port,
                                        const socks5_options& options = {}) {
        *this = socks5_connect();
        if (const auto error = check(host, port, options)) return error;
        write_greeting(options);
        write_login(options);
        write_connect(host, port);
        outcome_.error.clear();
        ask(0, login_begin_, step::method);
        return {};
    }

    /// The bytes to send now, credentials among them; empty where it is the proxy's turn. Valid until the
    /// next `receive` or start.
    [[nodiscard]] std::span<const std::byte> request() const noexcept {
        return std::span(messages_).subspan(send_begin_, send_size_);
    }

    /// Takes the next bytes from the proxy; whoever calls it has sent `request()`. Bytes behind the proxy's
    /// last answer go to `outcome().leftover`; once done, takes nothing.
    progress receive(std::span<const std::byte> input) {
        send_size_ = 0;
        while (!input.empty() && step_ != step::done) {
            // a proxy that answers what it was not asked yet is none
            if (send_size_ != 0)
                finish(errc::proxy_answer_invalid);
            else
                take(std::to_integer<std::uint8_t>(input.front()));
            input = input.subspan(1);
            if (step_ == step::done && !outcome_.error) outcome_.leftover.assign(input.begin(), input.end());
        }
        if (step_ == step::done) return progress::done;
        return send_size_ != 0 ? progress::send : progress::need_more;
    }

    /// The proxy ended the stream: `errc::connection_lost`.
    progress eof() noexcept {
        if (step_ != step::done) finish(errc::connection_lost);
        return progress::done;
    }

    /// Complete once `receive` or `eof` said done; without an error the way to the server is open, and
    /// `leftover` are its first bytes. Errors: `errc::proxy_refused` (`status` is the reply's number and
    /// `reason` its words, RFC 1928 6), `proxy_authentication_required` (a login was wanted, or another
    /// one), `proxy_authentication_failed`, `proxy_answer_invalid`, `connection_lost`; `not_open` where
    /// nothing was started.
    [[nodiscard]] const handshake_outcome& outcome() const noexcept { return outcome_; }
    [[nodiscard]] handshake_outcome take_outcome() noexcept { return std::move(outcome_); }

private:
    /// What the proxy answers next.
    enum class step : std::uint8_t { method, login, reply, done };

    static constexpr std::uint8_t version = 5;
    static constexpr std::uint8_t login_version = 1; // RFC 1929 2
    // RFC 1928 3
    static constexpr std::uint8_t method_none = 0;
    static constexpr std::uint8_t method_login = 2;
    static constexpr std::uint8_t no_method = 0xFF;
    // RFC 1928 4, 5
    static constexpr std::uint8_t command_connect = 1;
    static constexpr std::uint8_t address_ipv4 = 1;
    static constexpr std::uint8_t address_name = 3;
    static constexpr std::uint8_t address_ipv6 = 4;

    [[nodiscard]] static std::error_code check(std::string_view host, std::uint16_t port,
                                               const socks5_options& options) {
        constexpr std::size_t longest = 255; // one byte tells the length
        if (host.find(':') != std::string_view::npos ? !detail::parse_ipv6(host)
                                                     : host.size() > longest || !detail::is_host_name(host))
            return make_error_code(errc::url_host_invalid);
        if (port == 0) return make_error_code(errc::url_port_invalid);
        const auto& [user, password] = options;
        // RFC 1929 2: neither may be empty
        if (user.empty() != password.empty() || user.size() > longest || password.size() > longest ||
            detail::has_controls(user) || detail::has_controls(password))
            return make_error_code(errc::proxy_credentials_invalid);
        return {};
    }

    void put(std::size_t number) { messages_.push_back(static_cast<std::byte>(number)); }

    void put_counted(std::string_view text) {
        put(text.size());
        const auto bytes = std::as_bytes(std::span(text));
        messages_.insert(messages_.end(), bytes.begin(), bytes.end());
    }

    /// RFC 1928 3: the ways to log in from which the proxy chooses.
    void write_greeting(const socks5_options& options) {
        put(version);
        put(options.user.empty() ? 1 : 2);
        put(method_none);
        if (!options.user.empty()) put(method_login);
        login_begin_ = messages_.size();
    }

    void write_login(const socks5_options& options) {
        if (!options.user.empty()) {
            put(login_version);
            put_counted(options.user);
            put_counted(options.password);
        }
        connect_begin_ = messages_.size();
    }

    /// RFC 1928 4.
    void write_connect(std::string_view host, std::uint16_t port) {
        put(version);
        put(command_connect);
        put(0);
        if (const auto ipv4 = detail::parse_ipv4(host)) {
            put(address_ipv4);
            for (int shift = 24; shift >= 0; shift -= 8)
                put(*ipv4 >> shift & 0xFF);
        } else if (const auto ipv6 = detail::parse_ipv6(host)) {
            put(address_ipv6);
            for (const std::size_t group : *ipv6) {
                put(group >> 8);
                put(group & 0xFF);
            }
        } else {
            put(address_name);
            put_counted(host);
        }
        put(std::size_t{port} >> 8);
        put(std::size_t{port} & 0xFF);
    }

    void ask(std::size_t from, std::size_t to, step answer) noexcept {
        send_begin_ = from;
        send_size_ = to - from;
        step_ = answer;
        taken_ = 0;
    }

    void ask_to_connect() noexcept { ask(connect_begin_, messages_.size(), step::reply); }

    void take(std::uint8_t value) {
        const std::size_t at = taken_++;
        if (step_ == step::reply) {
            take_of_reply(at, value);
        } else if (at == 0) {
            if (value != (step_ == step::method ? version : login_version))
                finish(errc::proxy_answer_invalid);
        } else if (step_ == step::login) {
            // RFC 1929 2: anything but 0 is a failure
            if (value == 0)
                ask_to_connect();
            else
                finish(errc::proxy_authentication_failed);
        } else if (value == method_none) {
            ask_to_connect();
        } else if (value == method_login && login_begin_ != connect_begin_) {
            ask(login_begin_, connect_begin_, step::login);
        } else {
            // RFC 1928 3: one of those offered, or none of them
            finish(value == no_method ? errc::proxy_authentication_required : errc::proxy_answer_invalid);
        }
    }

    /// RFC 1928 6: version, reply, a zero, and an address that is of no use here but must be read to its end.
    void take_of_reply(std::size_t at, std::uint8_t value) {
        switch (at) {
        case 0:
            if (value != version) finish(errc::proxy_answer_invalid);
            break;
        case 1:
            // what some proxies send behind a refusal is cut short
            if (value != 0) refused(value);
            break;
        case 2:
            if (value != 0) finish(errc::proxy_answer_invalid);
            break;
        case 3: take_address_type(value); break;
        default:
            if (at == 4 && name_follows_) reply_size_ += value;
            if (taken_ == reply_size_) finish({});
        }
    }

    void take_address_type(std::uint8_t type) noexcept {
        constexpr std::size_t fixed = 6; // the four bytes up to here and the port
        name_follows_ = type == address_name;
        switch (type) {
        case address_ipv4: reply_size_ = fixed + 4; break;
        case address_ipv6: reply_size_ = fixed + 16; break;
        case address_name: reply_size_ = fixed + 1; break;
        default: finish(errc::proxy_answer_invalid);
        }
    }

    void refused(std::uint8_t reply) {
        constexpr std::array<std::string_view, 9> words{
            "unassigned reply",
            "general SOCKS server failure",
            "connection not allowed by ruleset",
            "network unreachable",
            "host unreachable",
            "connection refused",
            "TTL expired",
            "command not supported",
            "address type not supported",
        };
        outcome_.status = reply;
        outcome_.reason = words[reply < words.size() ? reply : 0];
        outcome_.why = "proxy answered: " + outcome_.reason;
        finish(errc::proxy_refused);
    }

    void finish(errc error) noexcept {
        outcome_.error = error == errc{} ? std::error_code() : make_error_code(error);
        send_size_ = 0;
        step_ = step::done;
    }

    std::vector<std::byte> messages_; ///< greeting, login (where there is one), request to connect
    std::size_t login_begin_ = 0;
    std::size_t connect_begin_ = 0;
    std::size_t send_begin_ = 0;
    std::size_t send_size_ = 0;
    std::size_t taken_ = 0;      ///< bytes of the answer that is under way
    std::size_t reply_size_ = 0; ///< known from its fourth byte on, with a name from its fifth
    handshake_outcome outcome_{.error = make_error_code(errc::not_open), .phase = phase::proxy};
    bool name_follows_ = false;
    step step_ = step::done;
};

} // namespace duplex
