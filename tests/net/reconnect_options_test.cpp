#include <duplex/net/reconnect_options.hpp>

#include "support/catch.hpp"

#include <asio/error.hpp>

#include <chrono>
#include <cstdint>
#include <string_view>
#include <system_error>

namespace {

using namespace duplex;
using namespace std::chrono_literals;

constexpr std::chrono::system_clock::time_point now{std::chrono::seconds{1'700'000'000}};

handshake_outcome refusal(std::string_view retry_after) {
    handshake_outcome made;
    made.error = errc::upgrade_refused;
    made.status = 503;
    made.headers.add("retry-after", retry_after);
    return made;
}

TEST_CASE("a server that is done is not asked again", "[reconnect_options]") {
    const reconnect_options options;
    for (const unsigned code : {1000U, 1005U, 1008U})
        CHECK(options.is_final(close_code{static_cast<std::uint16_t>(code)}));
    for (const unsigned code :
         {1001U, 1002U, 1003U, 1006U, 1007U, 1009U, 1010U, 1011U, 1012U, 1013U, 1014U, 3000U, 4999U})
        CHECK_FALSE(options.is_final(close_code{static_cast<std::uint16_t>(code)}));
    CHECK_FALSE(reconnect_options{.final_codes = {}}.is_final(close_code::normal));
    CHECK(reconnect_options{.final_codes = {close_code{4400}}}.is_final(close_code{4400}));
}

TEST_CASE("what time does not mend is final", "[reconnect_options]") {
    const reconnect_options options;
    for (const errc each :
         {errc::url_invalid, errc::url_scheme_unsupported, errc::tls_not_available, errc::tls_options_invalid,
          errc::header_value_invalid, errc::subprotocol_invalid, errc::fragments_not_taken,
          errc::tls_certificate_mismatch, errc::tls_certificate_expired, errc::tls_certificate_untrusted,
          errc::tls_certificate_required, errc::tls_certificate_rejected, errc::proxy_authentication_required,
          errc::proxy_authentication_failed, errc::aborted, errc::callback_threw}) {
        CAPTURE(explain(each).name);
        CHECK(options.is_final(make_error_code(each)));
    }
}

TEST_CASE("what time may mend is not", "[reconnect_options]") {
    const reconnect_options options;
    for (const errc each :
         {errc::connect_timeout, errc::tls_timeout, errc::handshake_timeout, errc::pong_timeout,
          errc::idle_timeout, errc::write_timeout, errc::close_timeout, errc::connection_lost,
          errc::tls_truncated, errc::tls_handshake_failed, errc::tls_not_spoken, errc::upgrade_refused,
          errc::accept_invalid, errc::proxy_refused, errc::reserved_bits_set, errc::message_too_big,
          errc::out_of_memory}) {
        CAPTURE(explain(each).name);
        CHECK_FALSE(options.is_final(make_error_code(each)));
    }
    CHECK_FALSE(options.is_final(asio::error::connection_refused));
    CHECK_FALSE(options.is_final(asio::error::host_not_found));
    CHECK_FALSE(options.is_final(std::make_error_code(std::errc::network_unreachable)));
    // Other categories have these numbers for something else.
    const auto number = static_cast<int>(errc::tls_certificate_expired);
    CHECK_FALSE(options.is_final(std::error_code{number, std::generic_category()}));
}

TEST_CASE("a status 4xx is final, but for those that pass", "[reconnect_options]") {
    reconnect_options options;
    const auto is_final = [&](unsigned status) { return options.is_final(errc::upgrade_refused, status); };
    for (const unsigned status : {400U, 401U, 403U, 404U, 410U, 426U, 499U})
        CHECK(is_final(status));
    for (const unsigned status : {0U, 200U, 302U, 399U, 408U, 425U, 429U, 500U, 501U, 503U, 599U})
        CHECK_FALSE(is_final(status));
    CHECK(options.is_final(errc::proxy_refused, 403));
    CHECK_FALSE(options.is_final(errc::proxy_refused, 503));
    // The number that a SOCKS5 proxy answers with
    CHECK_FALSE(options.is_final(errc::proxy_refused, 5));
    // Any other error says more than the status.
    CHECK_FALSE(options.is_final(errc::connection_lost, 404));
    options.passing_statuses = {401};
    CHECK_FALSE(is_final(401));
    CHECK(is_final(408));
}

TEST_CASE("an answer's Retry-After is what it asks for", "[reconnect_options]") {
    CHECK(wish_of(refusal("120"), now).least == 120s);
    CHECK(wish_of(refusal("120"), now).spread == 0s);
    CHECK(wish_of(refusal("0"), now).least == 0s);
    CHECK(wish_of(refusal("99999999999999999999"), now).least == 24h);
    CHECK(wish_of(refusal("Tue, 14 Nov 2023 22:14:20 GMT"), now).least == 60s);
    CHECK(wish_of(refusal("Tue, 14 Nov 2023 22:00:00 GMT"), now).least == 0s);
    for (const std::string_view bad : {"", "soon", "-1", "1.5", "1 s"}) {
        CAPTURE(bad);
        CHECK(wish_of(refusal(bad), now).least == 0s);
    }
    CHECK(wish_of(handshake_outcome{}, now).least == 0s);
}

} // namespace
