#pragma once

#include <duplex/http/uri.hpp>
#include <duplex/tls/detail/openssl.hpp>

#include <cstddef>
#include <cstdio>
#include <ctime>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace duplex::detail {

/// Text from a certificate as it may stand in a log: bounded, and nothing in it moves a terminal's cursor.
[[nodiscard]] inline std::string printable(std::string_view text) {
    constexpr std::size_t longest = 64;
    std::string out{text.substr(0, longest)};
    for (char& c : out)
        if (c < 0x20 || c > 0x7E) c = '?';
    if (text.size() > longest) out += "...";
    return out;
}

[[nodiscard]] inline std::string_view view_of(const ASN1_STRING* text) noexcept {
    return {reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)),
            static_cast<std::size_t>(ASN1_STRING_length(text))};
}

/// The most telling part of a subject or an issuer.
[[nodiscard]] inline std::string short_name(const X509_NAME* name) {
    for (const int part : {NID_commonName, NID_organizationName, NID_organizationalUnitName})
        if (const int at = X509_NAME_get_index_by_NID(name, part, -1); at >= 0)
            return printable(view_of(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at))));
    return "(no name)";
}

[[nodiscard]] inline std::string short_name(const GENERAL_NAME& name) {
    if (name.type == GEN_DNS) return printable(view_of(name.d.dNSName));
    if (name.type != GEN_IPADD) return {};
    const auto bytes = view_of(name.d.iPAddress);
    const auto byte = [bytes](std::size_t i) { return static_cast<unsigned char>(bytes[i]); };
    if (bytes.size() == 4)
        return std::to_string(byte(0)) + '.' + std::to_string(byte(1)) + '.' + std::to_string(byte(2)) + '.' +
               std::to_string(byte(3));
    if (bytes.size() != 16) return {};
    ipv6_groups groups;
    for (std::size_t i = 0; i < groups.size(); ++i)
        groups[i] = static_cast<std::uint16_t>(byte(2 * i) << 8 | byte(2 * i + 1));
    return format_ipv6(groups);
}

/// Which hosts a certificate is for, the first few of them (RFC 9525 2); empty where it is for none.
[[nodiscard]] inline std::string host_names(const X509* certificate) {
    struct free_names {
        void operator()(GENERAL_NAMES* names) const noexcept { GENERAL_NAMES_free(names); }
    };
    const std::unique_ptr<GENERAL_NAMES, free_names> names{
        static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr))};
    std::string out;
    const int count = names ? sk_GENERAL_NAME_num(names.get()) : 0;
    int shown = 0;
    for (int i = 0; i < count; ++i) {
        const std::string name = short_name(*sk_GENERAL_NAME_value(names.get(), i));
        if (name.empty()) continue;
        if (++shown > 3) return out + " and others";
        out.append(out.empty() ? "" : ", ").append(name);
    }
    return out;
}

[[nodiscard]] inline std::string date_of(const ASN1_TIME* time) {
    std::tm parts{};
    if (ASN1_TIME_to_tm(time, &parts) != 1) return "an unreadable date";
    char text[32];
    if (std::strftime(text, sizeof text, "%Y-%m-%d", &parts) == 0) return "an unreadable date";
    return text;
}

/// Why the certificate of a peer was not accepted, kept while it can still be seen.
struct certificate_fault {
    int code = X509_V_OK;
    bool own = true;   ///< the peer's own certificate, not one of its issuers
    std::string names; ///< the hosts that it is for
    std::string subject;
    std::string issuer;
    std::string begins;
    std::string ends;

    certificate_fault() = default;
    explicit certificate_fault(X509_STORE_CTX* from)
        : code{X509_STORE_CTX_get_error(from)}
        , own{X509_STORE_CTX_get_error_depth(from) == 0} {
        const X509* certificate = X509_STORE_CTX_get_current_cert(from);
        if (!certificate) return;
        names = host_names(certificate);
        subject = short_name(X509_get_subject_name(certificate));
        issuer = short_name(X509_get_issuer_name(certificate));
        begins = date_of(X509_get0_notBefore(certificate));
        ends = date_of(X509_get0_notAfter(certificate));
    }
};

} // namespace duplex::detail
