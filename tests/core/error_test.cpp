#include <duplex/core/error.hpp>

#include "support/catch.hpp"

#include <array>
#include <cstddef>
#include <set>
#include <string>
#include <string_view>
#include <system_error>

using duplex::close_code;
using duplex::condition;
using duplex::errc;

namespace {

constexpr auto& table = duplex::detail::explanations;

constexpr auto rows = [] {
    std::array<duplex::explanation, table.size()> all;
    for (std::size_t i = 0; i < all.size(); ++i)
        all[i] = duplex::explain(table[i].error);
    return all;
}();

} // namespace

TEST_CASE("every error has exactly one row, in the order of the enumeration") {
    for (std::size_t i = 0; i < table.size(); ++i) {
        CAPTURE(i, std::string(table[i].words));
        CHECK(static_cast<std::size_t>(table[i].error) == i + 1);
    }
    // The last enumerator has the last row, so none is missing at the end either.
    CHECK(static_cast<std::size_t>(errc::random_source_failed) == rows.size());
}

TEST_CASE("every row is filled") {
    std::set<std::string_view> names;
    std::set<std::string_view> texts;
    for (const auto& row : rows) {
        CAPTURE(std::string(row.name));
        CHECK_FALSE(row.name.empty());
        CHECK_FALSE(row.text.empty());
        CHECK_FALSE(row.source.empty());
        CHECK(row.source.find('|') == row.source.npos);
        CHECK(row.text.back() != '.');
        CHECK(static_cast<int>(row.group) >= static_cast<int>(condition::protocol_violation));
        CHECK(static_cast<int>(row.group) <= static_cast<int>(condition::ended));
        names.insert(row.name);
        texts.insert(row.text);
    }
    CHECK(names.size() == rows.size());
    CHECK(texts.size() == rows.size());
}

TEST_CASE("the name of a row is its enumerator") {
    CHECK(duplex::explain(errc::reserved_bits_set).name == "reserved_bits_set");
    CHECK(duplex::explain(errc::close_reason_not_utf8).name == "close_reason_not_utf8");
    CHECK(duplex::explain(errc::deflate_data_invalid).name == "deflate_data_invalid");
    CHECK(duplex::explain(errc::message_too_big).name == "message_too_big");
    CHECK(duplex::explain(errc::message_expired).name == "message_expired");
    CHECK(duplex::explain(errc::deflate_ratio_exceeded).name == "deflate_ratio_exceeded");
    CHECK(duplex::explain(errc::tag_too_large).name == "tag_too_large");
    CHECK(duplex::explain(errc::life_timeout).name == "life_timeout");
    CHECK(duplex::explain(errc::close_timeout).name == "close_timeout");
    CHECK(duplex::explain(errc::http_start_line_invalid).name == "http_start_line_invalid");
    CHECK(duplex::explain(errc::method_not_get).name == "method_not_get");
    CHECK(duplex::explain(errc::upgrade_refused).name == "upgrade_refused");
    CHECK(duplex::explain(errc::deflate_answer_invalid).name == "deflate_answer_invalid");
    CHECK(duplex::explain(errc::too_many_redirects).name == "too_many_redirects");
    CHECK(duplex::explain(errc::proxy_refused).name == "proxy_refused");
    CHECK(duplex::explain(errc::proxy_answer_invalid).name == "proxy_answer_invalid");
    CHECK(duplex::explain(errc::url_invalid).name == "url_invalid");
    CHECK(duplex::explain(errc::socket_path_invalid).name == "socket_path_invalid");
    CHECK(duplex::explain(errc::call_timeout).name == "call_timeout");
    CHECK(duplex::explain(errc::proxy_credentials_invalid).name == "proxy_credentials_invalid");
    CHECK(duplex::explain(errc::credentials_invalid).name == "credentials_invalid");
    CHECK(duplex::explain(errc::tls_not_spoken).name == "tls_not_spoken");
    CHECK(duplex::explain(errc::tls_handshake_failed).name == "tls_handshake_failed");
    CHECK(duplex::explain(errc::tls_ca_invalid).name == "tls_ca_invalid");
    CHECK(duplex::explain(errc::deflate_not_available).name == "deflate_not_available");
    CHECK(duplex::explain(errc::deflate_option_invalid).name == "deflate_option_invalid");
    CHECK(duplex::explain(errc::tls_not_loaded).name == "tls_not_loaded");
    CHECK(duplex::explain(errc::origin_invalid).name == "origin_invalid");
    CHECK(duplex::explain(errc::host_not_numeric).name == "host_not_numeric");
    CHECK(duplex::explain(errc::fragments_not_taken).name == "fragments_not_taken");
    CHECK(duplex::explain(errc::operation_pending).name == "operation_pending");
    CHECK(duplex::explain(errc::closed).name == "closed");
    CHECK(duplex::explain(errc::random_source_failed).name == "random_source_failed");
}

TEST_CASE("a Close code that is sent may travel") {
    for (const auto& row : rows) {
        CAPTURE(std::string(row.name));
        CHECK((row.close == close_code::no_status || duplex::may_travel(row.close)));
    }
}

TEST_CASE("each broken rule has the Close code that RFC 6455 7.4.1 names") {
    CHECK(duplex::close_code_for(errc::reserved_bits_set) == close_code::protocol_error);
    CHECK(duplex::close_code_for(errc::unmasked_frame) == close_code::protocol_error);
    CHECK(duplex::close_code_for(errc::masked_frame) == close_code::protocol_error);
    CHECK(duplex::close_code_for(errc::close_code_invalid) == close_code::protocol_error);
    CHECK(duplex::close_code_for(errc::invalid_utf8) == close_code::invalid_payload);
    CHECK(duplex::close_code_for(errc::close_reason_not_utf8) == close_code::invalid_payload);
    CHECK(duplex::close_code_for(errc::deflate_data_invalid) == close_code::invalid_payload);
    CHECK(duplex::close_code_for(errc::deflate_ratio_exceeded) == close_code::policy_violation);
    CHECK(duplex::close_code_for(errc::message_too_big) == close_code::message_too_big);
    CHECK(duplex::close_code_for(errc::too_many_fragments) == close_code::policy_violation);
    CHECK(duplex::close_code_for(errc::budget_full) == close_code::try_again_later);
    CHECK(duplex::close_code_for(errc::idle_timeout) == close_code::going_away);
    CHECK(duplex::close_code_for(errc::life_timeout) == close_code::going_away);
    CHECK(duplex::close_code_for(errc::out_of_memory) == close_code::internal_error);
    CHECK(duplex::close_code_for(errc::connection_lost) == close_code::no_status);
}

TEST_CASE("what breaks RFC 6455 closes the connection, and misuse tells the peer nothing") {
    for (const auto& row : rows) {
        CAPTURE(std::string(row.name));
        if (row.group == condition::protocol_violation) {
            CHECK(row.close != close_code::no_status);
            CHECK(row.http_status == 0);
        }
        if (row.group == condition::misuse) {
            CHECK(row.close == close_code::no_status);
            CHECK(row.http_status == 0);
        }
        if (row.group == condition::handshake_failure) CHECK(row.close == close_code::no_status);
    }
}

TEST_CASE("a server answers with an HTTP status that is an error") {
    for (const auto& row : rows) {
        CAPTURE(std::string(row.name));
        CHECK((row.http_status == 0 || (row.http_status >= 400 && row.http_status <= 599)));
    }
    CHECK(duplex::http_status_for(errc::version_unsupported) == 426);
    CHECK(duplex::http_status_for(errc::origin_not_allowed) == 403);
    CHECK(duplex::http_status_for(errc::head_too_long) == 431);
    CHECK(duplex::http_status_for(errc::accept_invalid) == 0);
}

TEST_CASE("an error compares equal to its condition and to no other") {
    for (const auto& row : rows) {
        const std::error_code ec = row.error;
        for (int c = static_cast<int>(condition::protocol_violation); c <= static_cast<int>(condition::ended);
             ++c) {
            CAPTURE(std::string(row.name), c);
            CHECK((ec == static_cast<condition>(c)) == (static_cast<int>(row.group) == c));
        }
    }
    const std::error_code ec = errc::pong_timeout;
    CHECK(ec == condition::timeout);
    CHECK(ec != condition::misuse);
    CHECK(ec == errc::pong_timeout);
    CHECK(ec != errc::idle_timeout);
}

TEST_CASE("an error of another category is in no group") {
    const auto other = std::make_error_code(std::errc::timed_out);
    CHECK(other != condition::timeout);
    CHECK(std::error_code{} != condition::protocol_violation);
}

TEST_CASE("a message says the rule and where it stands") {
    for (const auto& row : rows) {
        const std::error_code ec = row.error;
        CAPTURE(std::string(row.name));
        CHECK(ec.message() == std::string(row.text) + " (" + std::string(row.source) + ")");
    }
    CHECK(std::error_code(errc::invalid_utf8).message() == "a text message is not UTF-8 (RFC 6455 8.1)");
    CHECK(std::string_view(duplex::error_category().name()) == "duplex");
    // A server that was started and a socket that was opened have this one in common.
    CHECK(std::error_code(errc::already_open).message().find("handshake") == std::string::npos);
}

TEST_CASE("each condition has words of its own") {
    std::set<std::string> words;
    for (int c = static_cast<int>(condition::protocol_violation); c <= static_cast<int>(condition::ended);
         ++c)
        words.insert(duplex::make_error_condition(static_cast<condition>(c)).message());
    CHECK(words.size() == 6);
    CHECK(words.count("unknown") == 0);
    CHECK(duplex::condition_category().message(99) == "unknown");
    CHECK(std::string_view(duplex::condition_category().name()) == "duplex.condition");
}

TEST_CASE("explain takes any number without harm") {
    CHECK(duplex::explain(static_cast<errc>(0)).error == rows.front().error);
    CHECK(duplex::explain(static_cast<errc>(255)).error == rows.front().error);
}

TEST_CASE("an error code gives back its errc, and another category the fallback") {
    CHECK(duplex::errc_of(errc::queue_full, errc::aborted) == errc::queue_full);
    CHECK(duplex::errc_of(std::make_error_code(std::errc::broken_pipe), errc::aborted) == errc::aborted);
}
