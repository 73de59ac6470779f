// A WebSocket client for the command line: sends the lines it reads, prints the messages that come.

#include "command_line.hpp"
#include "compression.hpp"
#include "stdin_lines.hpp"

#include <duplex/net/connect.hpp>
#if defined(EXAMPLE_HAS_TLS)
#include <duplex/tls.hpp>
#endif

#include <asio/io_context.hpp>
#include <asio/signal_set.hpp>
#include <asio/steady_timer.hpp>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

namespace {

constexpr const char* usage =
    "usage: ws [options] URL\n"
    "\n"
    "Sends each line of standard input to a ws:// or wss:// URL as a text message, and prints each message "
    "that\n"
    "comes on a line: text as it is, binary in hexadecimal. After the end of the input it waits for answers\n"
    "until none has come for a while, then closes. ws+unix:PATH[:TARGET] is a unix socket.\n"
    "\n"
    "  --subprotocol NAME      a subprotocol to offer; may be given several times, best first\n"
    "  --header 'NAME: VALUE'  a header to add to the request; may be given several times\n"
    "  --origin ORIGIN         the Origin to claim\n"
    "  --deflate[=takeover|no-takeover]\n"
    "                          offers to compress messages, with windows that are kept between messages\n"
    "                          (takeover) or without (the default)\n"
    "  --redirects N           follow so many redirects (default: 0)\n"
    "  --cacert FILE           trusts the certificates in FILE (PEM) instead of the system's\n"
    "  --cert FILE, --key FILE the certificate to show to the server, and its key\n"
    "  --insecure              accepts any certificate: for experiments only\n"
    "  --binary                send binary messages\n"
    "  --ping                  send a Ping once connected, and print how long its Pong took\n"
    "  --count N               close after N messages came, whether or not the input has ended\n"
    "  --wait SECONDS          the while without an answer after the end of the input (default: 1)\n"
    "  --timeout SECONDS       give up when it isn't all over by then (default: never)\n"
    "  --quiet                 print nothing but messages, answers to --ping, and errors\n"
    "\n"
    "exit status: 0 after an orderly close (1000, 1001, or no code) with all N messages, 1 after anything\n"
    "else, 2 for a mistake on the command line\n";

struct settings {
    std::string url;
    duplex::connect_options connect;
    std::uint64_t count = 0;
    std::chrono::seconds wait{1};
    std::chrono::seconds timeout{0};
    duplex::opcode kind = duplex::opcode::text;
    bool ping = false;
    bool quiet = false;
};

settings read_settings(int argc, char** argv) {
    constexpr std::uint64_t day = 24 * 60 * 60;
    settings chosen;
    example::command_line line{argc, argv, usage};
    while (line.next()) {
        if (line.name() == "--subprotocol") {
            chosen.connect.subprotocols.emplace_back(line.value());
        } else if (line.name() == "--header") {
            const std::string_view header = line.value();
            const auto colon = header.find(':');
            if (colon == header.npos) line.fail("--header takes 'NAME: VALUE'");
            const auto value = header.find_first_not_of(' ', colon + 1);
            chosen.connect.headers.add(header.substr(0, colon),
                                       value == header.npos ? "" : header.substr(value));
        } else if (line.name() == "--origin") {
            chosen.connect.origin = line.value();
        } else if (line.name() == "--deflate") {
            chosen.connect.deflate = example::read_deflate(line);
        } else if (line.name() == "--redirects") {
            chosen.connect.max_redirects = static_cast<std::uint32_t>(line.number(0, 100));
        } else if (line.name() == "--cacert") {
            chosen.connect.tls.ca_file = line.value();
        } else if (line.name() == "--cert") {
            chosen.connect.tls.certificate_file = line.value();
        } else if (line.name() == "--key") {
            chosen.connect.tls.key_file = line.value();
        } else if (line.name() == "--insecure") {
            chosen.connect.tls.insecure_accept_any_certificate = true;
        } else if (line.name() == "--count") {
            chosen.count = line.number(1, UINT64_MAX);
        } else if (line.name() == "--wait") {
            chosen.wait = std::chrono::seconds{line.number(0, day)};
        } else if (line.name() == "--timeout") {
            chosen.timeout = std::chrono::seconds{line.number(1, day)};
        } else if (line.name() == "--binary") {
            chosen.kind = duplex::opcode::binary;
        } else if (line.name() == "--ping") {
            chosen.ping = true;
        } else if (line.name() == "--quiet") {
            chosen.quiet = true;
        } else if (line.is_option() || !chosen.url.empty()) {
            line.unknown();
        } else {
            chosen.url = line.name();
        }
    }
    if (chosen.url.empty()) line.fail("the URL is missing");
    return chosen;
}

/// Standard output may share its descriptor with a standard input that was made non-blocking.
void print(std::string_view text) {
    while (!text.empty()) {
        const ssize_t size = ::write(STDOUT_FILENO, text.data(), text.size());
        if (size > 0) {
            text.remove_prefix(static_cast<std::size_t>(size));
        } else if (errno == EAGAIN) {
            pollfd ready{STDOUT_FILENO, POLLOUT, 0};
            ::poll(&ready, 1, -1);
        } else if (errno != EINTR) {
            return;
        }
    }
}

/// What a server says about itself goes to a terminal without what terminals obey: the controls of ASCII, and
/// those that Unicode has above them (U+0080 to U+009F).
std::string harmless(std::string_view text) {
    std::string result{text};
    const bool is_utf8 = duplex::is_valid_utf8(std::as_bytes(std::span{text}));
    for (std::size_t i = 0; i < result.size(); ++i) {
        const auto byte = static_cast<unsigned char>(result[i]);
        const bool begins_control =
            byte == 0xC2 && i + 1 < result.size() && static_cast<unsigned char>(result[i + 1]) < 0xA0;
        if (begins_control) result[i + 1] = '?';
        if ((byte < 0x20 && byte != '\n') || byte == 0x7F || begins_control || (byte >= 0x80 && !is_utf8))
            result[i] = '?';
    }
    return result;
}

std::string as_hexadecimal(std::span<const std::byte> bytes) {
    std::string text;
    text.reserve(bytes.size() * 2 + 1);
    for (const std::byte each : bytes) {
        text += "0123456789abcdef"[std::to_integer<unsigned>(each) >> 4];
        text += "0123456789abcdef"[std::to_integer<unsigned>(each) & 15];
    }
    return text;
}

/// One connection with everything around it. All of it runs on the one thread of the context.
class client {
public:
    client(asio::io_context& io, settings&& chosen)
        : settings_{std::move(chosen)}
        , lines_{io}
        , silence_{io}
        , timeout_{io}
        , signals_{io, SIGINT, SIGTERM} {
        lines_.on_line = [this](std::string_view line) { return send(line); };
        lines_.on_end = [this] { wait_for_answers(); };
        if (settings_.timeout.count() > 0) {
            timeout_.expires_after(settings_.timeout);
            timeout_.async_wait([this](std::error_code error) {
                if (!error) fail("it took longer than --timeout");
            });
        }
        signals_.async_wait([this](std::error_code error, int) {
            if (error) return;
            if (connection_)
                connection_.close(duplex::close_code::going_away);
            else
                fail("interrupted");
        });
        duplex::async_connect(
            io, settings_.url, settings_.connect,
            [this](std::error_code error, connection_type made) { connected(error, std::move(made)); });
    }

    /// Once the context has run dry.
    [[nodiscard]] int exit_status() const { return exit_status_; }

private:
    using connection_type = duplex::tcp_connection<>;

    void connected(std::error_code error, connection_type&& made) {
        if (finished_) return;
        if (error) {
            // Mistakes in the URL or an option are found before anything is sent.
            const int status = error == duplex::condition::misuse ? 2 : 1;
            std::string why = "can't connect to " + settings_.url + ": " + error.message();
            return fail(why + describe(*made.opening_outcome()), status);
        }
        connection_ = std::move(made);
        if (!settings_.quiet) {
            const auto& opening = *connection_.opening_outcome();
            std::fprintf(stderr, "connected to %s%s%s\n", opening.url.c_str(),
                         opening.subprotocol.empty() ? "" : ", subprotocol ", opening.subprotocol.c_str());
        }
        connection_.async_run([this](const duplex::message& message) { received(message); },
                              [this](std::error_code ended) { closed(ended); });
        if (settings_.ping) {
            connection_.async_ping([](std::error_code failed, std::chrono::nanoseconds time) {
                if (failed) return;
                char text[64];
                std::snprintf(text, sizeof text, "pong after %.3f ms\n",
                              static_cast<double>(time.count()) / 1e6);
                print(text);
            });
        }
        lines_.start();
    }

    /// How far it came, why no further, and what the headers and the body of an answer say about it.
    static std::string describe(const duplex::handshake_outcome& answer) {
        std::string text = "\n  phase: " + std::string{to_string(answer.phase)};
        if (!answer.why.empty()) text += "\n  " + answer.why;
        if (answer.status == 0 || answer.status == 101) return text;
        text += '\n';
        for (const auto name :
             {"Location", "WWW-Authenticate", "Retry-After", "Sec-WebSocket-Version", "Server"})
            answer.headers.for_each(name, [&](std::string_view value) {
                text.append("  ").append(name).append(": ").append(harmless(value)).append("\n");
            });
        return text + '\n' + harmless(std::string_view{answer.body}.substr(0, 2000));
    }

    bool send(std::string_view line) {
        const auto status = connection_.send(settings_.kind, std::as_bytes(std::span{line}));
        if (status == duplex::send_status::ok) return true;
        if (!accepted(status)) {
            // After the connection's end there is no more to say than its own reason.
            if (connection_.is_open()) fail("can't send a line: " + to_error_code(status).message());
            return false;
        }
        // More waits to be sent than is good: the input pauses until it's gone.
        connection_.async_drain([this](std::error_code error) {
            if (!error) lines_.resume();
        });
        return false;
    }

    void received(const duplex::message& message) {
        print((message.is_text() ? std::string{message.text()} : as_hexadecimal(message.bytes())) + '\n');
        ++messages_;
        if (settings_.count != 0 && messages_ >= settings_.count) return close();
        if (waiting_) wait_for_answers();
    }

    /// The input has ended; so does the connection, once nothing has come for a while.
    void wait_for_answers() {
        if (settings_.count != 0) return;
        waiting_ = true;
        silence_.expires_after(settings_.wait);
        silence_.async_wait([this](std::error_code error) {
            if (!error) close();
        });
    }

    void close() {
        lines_.stop();
        connection_.close();
    }

    void closed(std::error_code error) {
        if (finished_) return;
        const auto& result = *connection_.result();
        const auto code = result.code;
        std::string text = "closed with " + std::to_string(to_number(code));
        if (const auto name = to_string(code); !name.empty()) text.append(" (").append(name).append(")");
        if (!result.reason.empty()) text += ": " + harmless(result.reason);
        if (error) text += ": " + error.message();
        const bool orderly = !error && result.was_clean &&
                             (code == duplex::close_code::normal || code == duplex::close_code::going_away ||
                              code == duplex::close_code::no_status);
        if (!orderly) return fail(text);
        if (messages_ < settings_.count)
            return fail(text + " after " + std::to_string(messages_) + " of " +
                        std::to_string(settings_.count) + " messages");
        if (!settings_.quiet) std::fprintf(stderr, "%s\n", text.c_str());
        exit_status_ = 0;
        finish();
    }

    void fail(const std::string& why, int status = 1) {
        if (finished_) return;
        std::fprintf(stderr, "%s\n", why.c_str());
        exit_status_ = status;
        finish();
    }

    /// Leaves the context nothing to wait for.
    void finish() {
        finished_ = true;
        lines_.stop();
        silence_.cancel();
        timeout_.cancel();
        signals_.cancel();
        if (connection_) connection_.abort();
    }

    settings settings_;
    connection_type connection_;
    example::stdin_lines lines_;
    asio::steady_timer silence_;
    asio::steady_timer timeout_;
    asio::signal_set signals_;
    std::uint64_t messages_ = 0;
    int exit_status_ = 1;
    bool waiting_ = false;
    bool finished_ = false;
};

} // namespace

int main(int argc, char** argv) {
    auto chosen = read_settings(argc, argv);
    // Where there is no standard input, its number would go to the next descriptor that is opened.
    if (::fcntl(STDIN_FILENO, F_GETFD) == -1) (void)::open("/dev/null", O_RDONLY);
    asio::io_context io{1};
    client the_client{io, std::move(chosen)};
    io.run();
    return the_client.exit_status();
}
