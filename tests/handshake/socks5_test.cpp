#include <duplex/handshake/socks5.hpp>

#include "handshake/feeding.hpp"
#include "support/catch.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

using namespace std::string_literals;
using duplex::errc;
using duplex::handshake_outcome;
using duplex::socks5_connect;
using duplex::socks5_options;
using progress = socks5_connect::progress;

namespace {

const socks5_options login{"user", "secret"};
const std::string greeting = "\x05\x01\x00"s;
const std::string greeting_with_login = "\x05\x02\x00\x02"s;
const std::string login_message = "\x01\x04user\x06secret"s;
const std::string connect_to_h = "\x05\x01\x00\x03\x01h\x00\x50"s;

const std::string choose_none = "\x05\x00"s;
const std::string choose_login = "\x05\x02"s;
const std::string login_accepted = "\x01\x00"s;
const std::string opened = "\x05\x00\x00\x01\x7F\x00\x00\x01\x1F\x90"s;

std::string sent(const socks5_connect& handshake) { return feeding::text(handshake.request()); }

/// What came of a proxy that waits with each answer for what it answers.
struct conversation {
    std::vector<std::string> sent;
    handshake_outcome outcome;
};

/// Passes on `answers`, each of them cut as `cut(answer)` says; the stream ends behind the last one.
template <class Cut>
conversation converse(const std::vector<std::string>& answers, const socks5_options& options, Cut cut) {
    conversation seen;
    socks5_connect handshake;
    REQUIRE_FALSE(handshake.start("h", 80, options));
    std::string rest;
    bool done = false;
    for (const auto& answer : answers) {
        if (!done) seen.sent.push_back(sent(handshake));
        progress last = progress::need_more;
        for (const auto piece : cut(answer)) {
            if (done) {
                rest += piece;
                continue;
            }
            last = handshake.receive(feeding::bytes(piece));
            CHECK((last == progress::send) == !handshake.request().empty());
            done = last == progress::done;
        }
    }
    CHECK(handshake.eof() == progress::done);
    CHECK(handshake.request().empty());
    seen.outcome = handshake.take_outcome();
    if (!seen.outcome.error)
        for (const char c : rest)
            seen.outcome.leftover.push_back(static_cast<std::byte>(c));
    return seen;
}

/// Checks a conversation with the answers whole, each split in two at every position, and byte by byte.
template <class Check>
void for_each_cut(const std::vector<std::string>& answers, const socks5_options& options, Check check) {
    std::size_t longest = 0;
    for (const auto& answer : answers)
        longest = answer.size() > longest ? answer.size() : longest;
    for (std::size_t at = 0; at <= longest; ++at) {
        CAPTURE(at);
        check(converse(answers, options, [at](std::string_view answer) {
            if (at == 0 || at >= answer.size()) return feeding::pieces{answer};
            return feeding::pieces{answer.substr(0, at), answer.substr(at)};
        }));
    }
    check(converse(answers, options, [](std::string_view answer) {
        feeding::pieces single;
        for (std::size_t i = 0; i < answer.size(); ++i)
            single.push_back(answer.substr(i, 1));
        return single;
    }));
}

void check_open(const std::vector<std::string>& answers, const socks5_options& options,
                const std::vector<std::string>& expected, std::string_view leftover = {}) {
    for_each_cut(answers, options, [&](const conversation& seen) {
        CHECK(seen.sent == expected);
        CHECK_FALSE(seen.outcome.error);
        CHECK(seen.outcome.status == 0);
        CHECK(feeding::text(seen.outcome.leftover) == leftover);
    });
}

void check_error(const std::vector<std::string>& answers, errc error, const socks5_options& options = {}) {
    for_each_cut(answers, options, [&](const conversation& seen) {
        CHECK(seen.outcome.error == error);
        CHECK(seen.outcome.leftover.empty());
    });
}

/// What is sent to a proxy that wants no login.
std::string connect_message(std::string_view host, std::uint16_t port) {
    socks5_connect handshake;
    REQUIRE_FALSE(handshake.start(host, port));
    CHECK(handshake.receive(feeding::bytes(choose_none)) == progress::send);
    return sent(handshake);
}

/// What cannot be started; nothing may be sent.
std::error_code refusal_of(std::string_view host, std::uint16_t port, const socks5_options& options = {}) {
    socks5_connect handshake;
    REQUIRE_FALSE(handshake.start("h", 80, login)); // what an earlier start has left must go
    const auto error = handshake.start(host, port, options);
    CHECK(handshake.request().empty());
    CHECK(handshake.receive(feeding::bytes(choose_none)) == progress::done);
    CHECK(handshake.outcome().error == errc::not_open);
    return error;
}

} // namespace

TEST_CASE("reaches a server through a SOCKS5 proxy without a login") {
    check_open({choose_none, opened}, {}, {greeting, connect_to_h});
}

TEST_CASE("logs in to a SOCKS5 proxy that chooses so") {
    check_open({choose_login, login_accepted, opened}, login,
               {greeting_with_login, login_message, connect_to_h});
}

TEST_CASE("does not log in to a SOCKS5 proxy that wants no login") {
    check_open({choose_none, opened}, login, {greeting_with_login, connect_to_h});
}

TEST_CASE("leaves it to a SOCKS5 proxy to resolve a name") {
    CHECK(connect_message("example.com", 443) == "\x05\x01\x00\x03\x0B"
                                                 "example.com\x01\xBB"s);
    const auto longest = std::string(127, 'a') + '.' + std::string(127, 'b');
    CHECK(connect_message(longest, 0x1234) == "\x05\x01\x00\x03\xFF"s + longest + "\x12\x34");
}

TEST_CASE("gives a SOCKS5 proxy an address as one") {
    CHECK(connect_message("192.168.0.255", 65535) == "\x05\x01\x00\x01\xC0\xA8\x00\xFF\xFF\xFF"s);
    CHECK(connect_message("2001:db8::ff01", 1) ==
          "\x05\x01\x00\x04\x20\x01\x0D\xB8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xFF\x01\x00\x01"s);
}

TEST_CASE("reads a SOCKS5 reply to its end and not past it") {
    const auto address = GENERATE(values<std::string>({
        "\x01\x00\x00\x00\x00"s,
        "\x04" + std::string(16, '\xFE'),
        "\x03\x00"s,
        "\x03\x01x"s,
        "\x03\xFF" + std::string(255, 'n'),
    }));
    const auto reply = "\x05\x00\x00"s + address + "\x00\x00"s;
    check_open({choose_none, reply}, {}, {greeting, connect_to_h});
    check_open({choose_none, reply + "\x05\x00\x81\x00"s}, {}, {greeting, connect_to_h}, "\x05\x00\x81\x00"s);
    check_error({choose_none, reply.substr(0, reply.size() - 1)}, errc::connection_lost);
}

TEST_CASE("takes nothing once a SOCKS5 proxy has opened the way") {
    socks5_connect handshake;
    REQUIRE_FALSE(handshake.start("h", 80));
    CHECK(handshake.receive(feeding::bytes(choose_none)) == progress::send);
    CHECK(handshake.receive(feeding::bytes(opened + "ab")) == progress::done);
    CHECK(handshake.receive(feeding::bytes("cd")) == progress::done);
    CHECK(handshake.eof() == progress::done);
    CHECK_FALSE(handshake.outcome().error);
    CHECK(feeding::text(handshake.outcome().leftover) == "ab");
}

TEST_CASE("tells each refusal of a SOCKS5 proxy in the words of RFC 1928 6") {
    const std::vector<std::pair<unsigned, std::string_view>> replies{
        {1, "general SOCKS server failure"},
        {2, "connection not allowed by ruleset"},
        {3, "network unreachable"},
        {4, "host unreachable"},
        {5, "connection refused"},
        {6, "TTL expired"},
        {7, "command not supported"},
        {8, "address type not supported"},
        {9, "unassigned reply"},
        {255, "unassigned reply"},
    };
    for (const auto& [reply, words] : replies) {
        CAPTURE(reply);
        auto answer = opened;
        answer[1] = static_cast<char>(reply);
        // a refusal may be cut short behind its number
        for (const auto size : {answer.size(), std::size_t{2}})
            for_each_cut({choose_none, answer.substr(0, size)}, {},
                         [number = reply, text = words](const conversation& seen) {
                             CHECK(seen.outcome.error == errc::proxy_refused);
                             CHECK(seen.outcome.status == number);
                             CHECK(seen.outcome.reason == text);
                             CHECK(seen.outcome.leftover.empty());
                         });
    }
}

TEST_CASE("a SOCKS5 proxy that takes none of the ways to log in wants another one") {
    check_error({"\x05\xFF"s}, errc::proxy_authentication_required);
    check_error({"\x05\xFF"s}, errc::proxy_authentication_required, login);
}

TEST_CASE("a SOCKS5 proxy may choose only a way to log in that was offered") {
    check_error({choose_login}, errc::proxy_answer_invalid);
    for (const auto* method : {"\x01", "\x03", "\x7F", "\x80", "\xFE"}) {
        check_error({"\x05"s + method}, errc::proxy_answer_invalid);
        check_error({"\x05"s + method}, errc::proxy_answer_invalid, login);
    }
}

TEST_CASE("tells that a SOCKS5 proxy did not accept the login") {
    check_error({choose_login, "\x01\x01"s}, errc::proxy_authentication_failed, login);
    check_error({choose_login, "\x01\xFF"s}, errc::proxy_authentication_failed, login);
}

TEST_CASE("takes no answer of another protocol for one of SOCKS5") {
    check_error({"\x04\x5A"s}, errc::proxy_answer_invalid);
    check_error({"\x00\x00"s}, errc::proxy_answer_invalid);
    check_error({"HTTP/1.1 400 Bad Request\r\n\r\n"}, errc::proxy_answer_invalid);
    check_error({choose_login, "\x05\x00"s}, errc::proxy_answer_invalid, login);
    check_error({choose_login, "\x00\x00"s}, errc::proxy_answer_invalid, login);
    check_error({choose_none, "\x04" + opened.substr(1)}, errc::proxy_answer_invalid);
    check_error({choose_none, "\x05\x00\x01\x01\x7F\x00\x00\x01\x00\x50"s}, errc::proxy_answer_invalid);
    for (const auto type : {'\0', '\2', '\5', '\xFF'})
        check_error({choose_none, "\x05\x00\x00"s + type + "\x7F\x00\x00\x01\x00\x50"s},
                    errc::proxy_answer_invalid);
}

TEST_CASE("judges an answer of SOCKS5 by its first wrong byte") {
    const auto verdict = [](std::string_view last, const std::vector<std::string>& before = {}) {
        socks5_connect handshake;
        REQUIRE_FALSE(handshake.start("h", 80, login));
        for (const auto& answer : before)
            CHECK(handshake.receive(feeding::bytes(answer)) == progress::send);
        CHECK(handshake.receive(feeding::bytes(last)) == progress::done);
        return handshake.outcome().error;
    };
    CHECK(verdict("H") == errc::proxy_answer_invalid);
    CHECK(verdict("\x05", {choose_login}) == errc::proxy_answer_invalid);
    CHECK(verdict("\x01", {choose_none}) == errc::proxy_answer_invalid);
    CHECK(verdict("\x05\x02", {choose_none}) == errc::proxy_refused);
    CHECK(verdict("\x05\x00\x00\x02"s, {choose_none}) == errc::proxy_answer_invalid);
}

TEST_CASE("refuses a SOCKS5 proxy that answers before it is asked") {
    // Seen where the early answer comes in one piece with the one before.
    const auto check = [](const std::vector<std::string>& answers) {
        const auto seen =
            converse(answers, login, [](std::string_view answer) { return feeding::pieces{answer}; });
        CHECK(seen.outcome.error == errc::proxy_answer_invalid);
        CHECK(seen.outcome.leftover.empty());
        CHECK(seen.sent.size() == answers.size());
    };
    check({choose_none + opened});
    check({choose_none + "\x05"});
    check({choose_login + login_accepted});
    check({choose_login, login_accepted + opened});
}

TEST_CASE("a SOCKS5 proxy that ends the stream has opened nothing") {
    const std::vector<std::string> answers{choose_login, login_accepted, opened};
    for (std::size_t last = 0; last < answers.size(); ++last)
        for (std::size_t size = 0; size < answers[last].size(); ++size) {
            std::vector<std::string> cut(answers.begin(),
                                         answers.begin() + static_cast<std::ptrdiff_t>(last));
            cut.push_back(answers[last].substr(0, size));
            CAPTURE(last, size);
            check_error(cut, errc::connection_lost, login);
        }
}

TEST_CASE("shows what is to be sent to a SOCKS5 proxy until the proxy's turn") {
    socks5_connect handshake;
    CHECK(handshake.request().empty());
    REQUIRE_FALSE(handshake.start("h", 80, login));
    CHECK(sent(handshake) == greeting_with_login);
    CHECK(handshake.receive(feeding::bytes("\x05")) == progress::need_more);
    CHECK(handshake.request().empty());
    CHECK(handshake.receive(feeding::bytes("\x02")) == progress::send);
    CHECK(sent(handshake) == login_message);
    CHECK(handshake.receive({}) == progress::need_more);
    CHECK(handshake.request().empty());
}

TEST_CASE("refuses a host that SOCKS5 cannot name before a byte is written") {
    const auto host = GENERATE(values<std::string>({
        "",
        "a b",
        "a\r\nb",
        "a\n",
        "a\0"s,
        "a\x7F",
        "a/b",
        "a:1",
        "[::1]",
        "::g",
        "1.2.3",
        "b\xC3\xBC"
        "cher",
    }));
    CAPTURE(host);
    CHECK(refusal_of(host, 80) == errc::url_host_invalid);
}

TEST_CASE("refuses a name of more than 255 bytes and port 0 for SOCKS5") {
    CHECK(refusal_of(std::string(256, 'a'), 80) == errc::url_host_invalid);
    CHECK(refusal_of("h", 0) == errc::url_port_invalid);
}

TEST_CASE("refuses a login that SOCKS5 cannot carry before a byte is written") {
    const std::string most(255, 'x');
    socks5_connect handshake;
    REQUIRE_FALSE(handshake.start("h", 80, {most, most}));
    CHECK(handshake.receive(feeding::bytes(choose_login)) == progress::send);
    CHECK(sent(handshake) == "\x01\xFF" + most + "\xFF" + most);

    for (const auto& wrong : {""s, most + "x", "a\r\nb"s, "a\n"s, "a\0"s, "a\x7F"s}) {
        CAPTURE(wrong);
        CHECK(refusal_of("h", 80, {wrong, "b"}) == errc::proxy_credentials_invalid);
        CHECK(refusal_of("h", 80, {"a", wrong}) == errc::proxy_credentials_invalid);
    }
}

TEST_CASE("takes any printable bytes in a login for SOCKS5") {
    socks5_connect handshake;
    REQUIRE_FALSE(handshake.start("h", 80, {"a:b", "\xC3\xA4 @"}));
    CHECK(handshake.receive(feeding::bytes(choose_login)) == progress::send);
    CHECK(sent(handshake) == "\x01\x03"
                             "a:b\x04\xC3\xA4 @");
}

TEST_CASE("asks a SOCKS5 proxy again with another start") {
    socks5_connect handshake;
    CHECK(handshake.outcome().error == errc::not_open);
    CHECK(handshake.receive(feeding::bytes(choose_none)) == progress::done);
    CHECK(handshake.eof() == progress::done);
    CHECK(handshake.outcome().error == errc::not_open);
    REQUIRE_FALSE(handshake.start("h", 80, login));
    CHECK(handshake.receive(feeding::bytes("\x05\xFF")) == progress::done);
    REQUIRE_FALSE(handshake.start("h", 80));
    CHECK(sent(handshake) == greeting);
    CHECK(handshake.receive(feeding::bytes(choose_none)) == progress::send);
    CHECK(handshake.receive(feeding::bytes(opened)) == progress::done);
    CHECK_FALSE(handshake.take_outcome().error);
}
