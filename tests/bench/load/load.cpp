// The load generator: bare epoll and frames made beforehand, so that the server is what is measured.
//
//     load MODE PORT [NAME VALUE]...
//
// Prints one line of JSON. Every byte that comes back is compared; a wrong one ends the run with 1.

#include "deflate.hpp"
#include "options.hpp"
#include "report.hpp"
#include "tls.hpp"

#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>

namespace {

constexpr const char* usage = R"(usage: load MODE PORT [NAME VALUE]...

modes
  echo         each connection keeps messages in flight, an echo sends the next one
  broadcast    the first connection publishes, each connection receives
  handshakes   connect, upgrade, close, again
  idle         opens connections; `message` on standard input sends one on each

names (default)
  connections  (1) handshakes: those under way at a time
  in_flight    (1) messages a connection; broadcast: publishes
  size         (64) payload bytes of a message
  kind         (binary) or text, which is ASCII, or unicode
  seconds      (2) counted, after a warm-up
  warm_up      (0.3) seconds
  messages     (0) end after so many, without warm-up, instead of by time
  patience     (10) seconds without progress that end the run as failed
  tls          (0) 1: over TLS 1.3 with TLS_AES_128_GCM_SHA256, any certificate will do; not for handshakes
  deflate      (none) no-takeover or takeover: messages in JSON, compressed both ways; echo and idle only
  server       (none) process whose CPU time is measured
)";

[[noreturn]] void misused(const std::string& why) {
    std::fprintf(stderr, "load: %s\n%s", why.c_str(), usage);
    std::exit(2);
}

double number(const char* text) {
    char* end = nullptr;
    const double value = std::strtod(text, &end);
    if (end == text || *end != 0 || !(value >= 0)) misused(std::string{"not a number: "} + text);
    return value;
}

void set(bench::options& to, std::string_view name, const char* value) {
    const auto whole = [value] { return static_cast<std::uint64_t>(number(value)); };
    const auto time = [value] { return static_cast<std::uint64_t>(number(value) * 1e9); };
    if (name == "connections") {
        to.connections = whole();
    } else if (name == "in_flight") {
        to.in_flight = whole();
    } else if (name == "size") {
        to.size = whole();
    } else if (name == "seconds") {
        to.duration = time();
    } else if (name == "warm_up") {
        to.warm_up = time();
    } else if (name == "messages") {
        to.messages = whole();
    } else if (name == "patience") {
        to.patience = time();
    } else if (name == "server") {
        to.server = static_cast<pid_t>(whole());
    } else if (name == "tls") {
        const auto on = number(value);
        if (on != 0 && on != 1) misused("tls is 0 or 1");
        if (on == 1 && bench::why_without_tls() != nullptr) misused(bench::why_without_tls());
        to.tls = on == 1;
    } else if (name == "deflate") {
        const std::string_view how{value};
        if (how != "none" && how != "no-takeover" && how != "takeover")
            misused("deflate is none, no-takeover or takeover");
        if (how != "none" && bench::why_without_deflate() != nullptr) misused(bench::why_without_deflate());
        to.deflate = how == "none"       ? bench::compression::none
                     : how == "takeover" ? bench::compression::takeover
                                         : bench::compression::no_takeover;
    } else if (name == "kind") {
        const std::string_view kind{value};
        if (kind != "binary" && kind != "text" && kind != "unicode")
            misused("kind is binary, text or unicode");
        to.kind = kind == "binary" ? bench::payload_kind::binary
                  : kind == "text" ? bench::payload_kind::text
                                   : bench::payload_kind::unicode;
    } else {
        misused("there is no " + std::string{name});
    }
}

} // namespace

int main(int count, char** arguments) {
    if (count < 3 || count % 2 == 0) misused("a mode, a port, and names with values");
    const std::string_view mode{arguments[1]};
    bench::options with;
    with.port = static_cast<std::uint16_t>(number(arguments[2]));
    for (int i = 3; i < count; i += 2)
        set(with, arguments[i], arguments[i + 1]);
    if (with.connections == 0 || with.in_flight == 0) misused("connections and in_flight are at least 1");
    if (with.tls && mode == "handshakes") misused("handshakes are made without TLS");
    if (with.deflate != bench::compression::none && mode != "echo" && mode != "idle")
        misused("only echo and idle are compressed");
    if (with.deflate != bench::compression::none && with.size == 0) misused("nothing can't be compressed");

    try {
        if (mode == "echo") {
            bench::run_echo(with);
        } else if (mode == "broadcast") {
            bench::run_broadcast(with);
        } else if (mode == "handshakes") {
            bench::run_handshakes(with);
        } else if (mode == "idle") {
            bench::run_idle(with);
        } else {
            misused("there is no mode " + std::string{mode});
        }
    } catch (const std::exception& error) {
        std::printf(R"({"mode":"%s","errors":1,"error":"%s"})"
                    "\n",
                    arguments[1], error.what());
        std::fprintf(stderr, "load: %s\n", error.what());
        return 1;
    }
}
