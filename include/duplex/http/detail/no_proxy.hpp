#pragma once

#include <duplex/http/token.hpp>
#include <duplex/http/uri.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace duplex::detail {

/// An address of either family, its bits from the front of `groups`.
struct ip_address {
    ipv6_groups groups{};
    unsigned bits = 0; ///< 32 or 128
};

[[nodiscard]] constexpr std::optional<ip_address> parse_ip(std::string_view text) noexcept {
    if (const auto four = parse_ipv4(text))
        return ip_address{
            {static_cast<std::uint16_t>(*four >> 16), static_cast<std::uint16_t>(*four & 0xFFFF)}, 32};
    if (const auto six = parse_ipv6(text)) return ip_address{*six, 128};
    return std::nullopt;
}

/// A decimal number up to `most`, of at least one digit and nothing else.
[[nodiscard]] constexpr std::optional<unsigned> parse_number(std::string_view digits,
                                                             unsigned most) noexcept {
    if (digits.empty()) return std::nullopt;
    unsigned number = 0;
    for (const char c : digits) {
        if (!is_digit(c)) return std::nullopt;
        number = number * 10 + static_cast<unsigned>(c - '0');
        if (number > most) return std::nullopt;
    }
    return number;
}

/// True where `network`, an address or a block of them ("10.0.0.0/8", RFC 4632 3.1, RFC 4291 2.3), has
/// `address` in it. Addresses are compared, not their spelling.
[[nodiscard]] constexpr bool is_in_network(const ip_address& address, std::string_view network) noexcept {
    const auto slash = network.find('/');
    const auto first = parse_ip(network.substr(0, slash));
    if (!first || first->bits != address.bits) return false;
    unsigned prefix = address.bits;
    if (slash != std::string_view::npos) {
        const auto given = parse_number(network.substr(slash + 1), prefix);
        if (!given) return false;
        prefix = *given;
    }
    for (std::size_t i = 0; prefix != 0; ++i) {
        const unsigned here = prefix < 16 ? prefix : 16;
        if ((address.groups[i] ^ first->groups[i]) >> (16 - here) != 0) return false;
        prefix -= here;
    }
    return true;
}

/// True where `host` is `domain` or in it. A dot or "*." before a domain and a dot behind either mean
/// nothing.
[[nodiscard]] constexpr bool is_in_domain(std::string_view host, std::string_view domain) noexcept {
    if (domain.starts_with("*.")) domain.remove_prefix(1);
    if (domain.starts_with('.')) domain.remove_prefix(1);
    if (domain.ends_with('.')) domain.remove_suffix(1);
    if (host.ends_with('.')) host.remove_suffix(1);
    if (domain.empty() || host.size() < domain.size()) return false;
    const std::size_t before = host.size() - domain.size();
    return equals_ignoring_case(host.substr(before), domain) && (before == 0 || host[before - 1] == '.');
}

/// True where one entry of no_proxy is about this host and port.
[[nodiscard]] constexpr bool no_proxy_entry_matches(std::string_view entry, std::string_view host,
                                                    std::uint16_t port) noexcept {
    // The port: behind brackets, or behind the one colon there is. Two colons make an IPv6 address.
    const bool brackets = entry.starts_with('[');
    const auto end = brackets ? entry.find(']') : entry.find(':');
    if (brackets && end == std::string_view::npos) return false;
    if (brackets || (end != std::string_view::npos && end == entry.rfind(':'))) {
        auto rest = entry.substr(brackets ? end + 1 : end);
        if (!rest.empty() && (rest.front() != ':' || parse_number(rest.substr(1), 0xFFFF) != port))
            return false;
        entry = brackets ? entry.substr(1, end - 1) : entry.substr(0, end);
    }
    if (entry == "*") return !brackets;
    // an address is in no domain: "1.2.3.4" is not in "3.4"
    if (const auto address = parse_ip(host)) return is_in_network(*address, entry);
    return !brackets && is_in_domain(host, entry);
}

/// True where a list as in no_proxy, its entries between commas or white space, names this host and port. An
/// entry that can't be read is about no host.
[[nodiscard]] constexpr bool no_proxy_matches(std::string_view list, std::string_view host,
                                              std::uint16_t port) noexcept {
    constexpr std::string_view separators = ", \t";
    while (true) {
        const auto begin = list.find_first_not_of(separators);
        if (begin == std::string_view::npos) return false;
        list.remove_prefix(begin);
        const auto entry = list.substr(0, list.find_first_of(separators));
        if (no_proxy_entry_matches(entry, host, port)) return true;
        list.remove_prefix(entry.size());
    }
}

} // namespace duplex::detail
