// duplex::core without Asio: WebSockets in a bare poll() loop. The program is an echo server; with
// --self-test it talks to itself over a socket pair and ends.

#include "command_line.hpp"

#include <duplex/handshake/client_handshake.hpp>
#include <duplex/handshake/server_handshake.hpp>
#include <duplex/http/uri.hpp>
#include <duplex/protocol/session.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <climits>
#include <cstddef>
#include <cstdio>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

namespace {

using clock_type = std::chrono::steady_clock;

/// Takes one event of a session, and may send.
using event_handler = std::function<void(duplex::session&, const duplex::event&)>;

/// A WebSocket on a descriptor: moves bytes between the system and the handshake, then the session.
class connection {
public:
    /// The server's side.
    connection(int descriptor, event_handler handler)
        : descriptor_{descriptor}
        , on_event_{std::move(handler)} {
        ::fcntl(descriptor_, F_SETFL, O_NONBLOCK);
    }

    /// The client's side.
    connection(int descriptor, const duplex::uri& to, std::function<void(duplex::session&)> on_open,
               event_handler handler)
        : connection{descriptor, std::move(handler)} {
        on_open_ = std::move(on_open);
        role_ = duplex::role::client;
        if (client_.start(to)) dead_ = true;
        to_write_ = client_.request();
    }
    connection(const connection&) = delete;
    connection& operator=(const connection&) = delete;
    ~connection() { ::close(descriptor_); }

    [[nodiscard]] bool dead() const { return dead_; }

    [[nodiscard]] pollfd wanted() const {
        // Whoever doesn't take our answers isn't read from.
        const bool read = !session_ || !session_->above_watermark();
        const bool write = !to_write_.empty() || (session_ && session_->queued() != 0);
        return {descriptor_, static_cast<short>((read ? POLLIN : 0) | (write ? POLLOUT : 0)), 0};
    }

    [[nodiscard]] duplex::time_point deadline() const {
        return session_ ? session_->next_deadline() : handshake_deadline_;
    }

    /// Does what the descriptor is ready for and what is due.
    void turn(bool readable, duplex::time_point now) {
        if (session_) session_->at(now);
        if (readable) read();
        if (now >= deadline()) {
            if (session_) {
                session_->on_time(now);
                handle_events();
            } else {
                dead_ = true;
            }
        }
        write();
        if (session_) follow_session();
    }

private:
    void read() {
        // A buffer for all connections: none keeps anything in it between two reads.
        static std::array<std::byte, 64 * 1024> window;
        const auto direct = session_ ? session_->direct() : std::span<std::byte>{};
        const auto room = direct.empty() ? std::span<std::byte>{window} : direct;
        const ssize_t size = ::recv(descriptor_, room.data(), room.size(), 0);
        if (size < 0 && (errno == EAGAIN || errno == EINTR)) return;
        if (!session_) {
            if (size > 0)
                open(room.first(static_cast<std::size_t>(size)));
            else
                dead_ = true;
            return;
        }
        if (size <= 0)
            session_->eof();
        else if (direct.empty())
            session_->receive(room.first(static_cast<std::size_t>(size)));
        else
            session_->received_direct(static_cast<std::size_t>(size));
        handle_events();
        if (size <= 0) dead_ = true;
    }

    /// Feeds the opening handshake.
    void open(std::span<const std::byte> bytes) {
        duplex::handshake_outcome outcome;
        if (role_ == duplex::role::client) {
            if (client_.receive(bytes) == duplex::client_handshake::progress::need_more) return;
            outcome = client_.take_outcome();
        } else {
            const auto progress = server_.receive(bytes);
            if (progress == duplex::server_handshake::progress::need_more) return;
            // Here is the place to look at server_.target() and server_.headers(), and to reject.
            if (progress == duplex::server_handshake::progress::request_ready) (void)server_.accept({});
            to_write_ = server_.response();
            outcome = server_.take_outcome();
        }
        if (outcome.error) {
            std::fprintf(stderr, "%s\n", outcome.error.message().c_str());
            write();
            dead_ = true;
            return;
        }
        session_.emplace(role_, duplex::session_options{}, clock_type::now());
        if (on_open_) on_open_(*session_);
        // The first messages may have come along with the handshake.
        session_->receive(outcome.leftover);
        handle_events();
    }

    void handle_events() {
        while (const duplex::event event = session_->next())
            on_event_(*session_, event);
    }

    void write() {
        while (!to_write_.empty()) {
            const ssize_t size = ::send(descriptor_, to_write_.data(), to_write_.size(), MSG_NOSIGNAL);
            if (size < 0) return failed_to_write();
            to_write_.remove_prefix(static_cast<std::size_t>(size));
        }
        std::array<duplex::segment, 16> segments;
        std::array<iovec, 16> vectors;
        while (session_) {
            const std::size_t count = session_->gather(segments);
            if (count == 0) return;
            for (std::size_t i = 0; i < count; ++i)
                vectors[i] = {const_cast<std::byte*>(segments[i].data()), segments[i].size()};
            msghdr message{};
            message.msg_iov = vectors.data();
            message.msg_iovlen = count;
            const ssize_t size = ::sendmsg(descriptor_, &message, MSG_NOSIGNAL);
            if (size < 0) return failed_to_write();
            session_->consumed(static_cast<std::size_t>(size));
        }
    }

    void failed_to_write() {
        if (errno != EAGAIN && errno != EINTR) dead_ = true;
    }

    /// Ends the transport in the order that RFC 6455 7.1.1 wants.
    void follow_session() {
        switch (session_->transport()) {
        case duplex::transport_step::keep:
        case duplex::transport_step::await_end: break;
        case duplex::transport_step::finish:
            if (session_->queued() == 0) ::shutdown(descriptor_, SHUT_WR);
            break;
        case duplex::transport_step::abort: dead_ = true;
        }
    }

    int descriptor_;
    duplex::role role_ = duplex::role::server;
    duplex::server_handshake server_;
    duplex::client_handshake client_;
    std::string_view to_write_; ///< of the handshake
    std::optional<duplex::session> session_;
    std::function<void(duplex::session&)> on_open_;
    event_handler on_event_;
    duplex::time_point handshake_deadline_ = clock_type::now() + duplex::timeouts{}.handshake;
    bool dead_ = false;
};

using connections = std::list<connection>;

void echo(duplex::session& session, const duplex::event& event) {
    if (event.what == duplex::event::kind::message) (void)session.send(event.op, event.payload);
}

/// Turns all connections, and accepts new ones where there is a listener, until none is left.
void run(connections& all, int listener = -1) {
    std::vector<pollfd> polled;
    while (!all.empty() || listener != -1) {
        polled.clear();
        auto next = duplex::no_deadline;
        for (const auto& each : all) {
            polled.push_back(each.wanted());
            next = std::min(next, each.deadline());
        }
        if (listener != -1) polled.push_back({listener, POLLIN, 0});

        int wait = -1;
        if (next != duplex::no_deadline) {
            const auto left = std::chrono::ceil<std::chrono::milliseconds>(next - clock_type::now()).count();
            wait = static_cast<int>(std::clamp<std::int64_t>(left, 0, INT_MAX));
        }
        ::poll(polled.data(), polled.size(), wait);

        auto result = polled.begin();
        for (auto& each : all)
            each.turn(((result++)->revents & (POLLIN | POLLHUP | POLLERR)) != 0, clock_type::now());
        all.remove_if([](const connection& each) { return each.dead(); });
        if (listener != -1 && result->revents != 0)
            if (const int accepted = ::accept(listener, nullptr, nullptr); accepted != -1)
                all.emplace_back(accepted, echo);
    }
}

int serve(std::uint16_t port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    const int listener = ::socket(AF_INET, SOCK_STREAM, 0);
    const int on = 1;
    ::setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    socklen_t length = sizeof address;
    if (::bind(listener, reinterpret_cast<sockaddr*>(&address), length) != 0 ||
        ::listen(listener, SOMAXCONN) != 0 ||
        ::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &length) != 0) {
        std::perror("can't listen");
        return 1;
    }
    std::printf("listening on ws://127.0.0.1:%d\n", ntohs(address.sin_port));
    std::fflush(stdout);
    ::fcntl(listener, F_SETFL, O_NONBLOCK);
    connections all;
    run(all, listener);
    return 0;
}

/// A client and a server in one loop: three messages there and back, then an orderly end.
int test_itself() {
    const std::vector<std::string> sent{"Hello", std::string(100'000, 'x'), "Grüße, 世界"};
    std::vector<std::string> came;
    bool closed_by_both = false;

    std::array<int, 2> pair{};
    if (::socketpair(AF_UNIX, SOCK_STREAM, 0, pair.data()) != 0) return 1;
    duplex::uri to;
    if (duplex::parse_uri("ws://localhost/", to)) return 1;
    connections all;
    all.emplace_back(pair[0], echo);
    all.emplace_back(
        pair[1], to,
        [&](duplex::session& session) {
            for (const auto& each : sent)
                (void)session.send(duplex::opcode::text, each);
        },
        [&](duplex::session& session, const duplex::event& event) {
            if (event.what == duplex::event::kind::message) came.emplace_back(event.text());
            if (came.size() == sent.size()) (void)session.close(duplex::close_code::normal, "that's all");
            closed_by_both =
                event.what == duplex::event::kind::closed && event.code == duplex::close_code::normal;
        });
    run(all);

    const bool well = came == sent && closed_by_both;
    std::printf("%zu of %zu messages came back, %s\n", came.size(), sent.size(),
                closed_by_both ? "the end was orderly" : "the end was not orderly");
    return well ? 0 : 1;
}

constexpr const char* usage =
    "usage: sans_io [--port PORT | --self-test]\n"
    "\n"
    "Sends every WebSocket message back, on PORT (default: 9002; 0: any free port).\n"
    "With --self-test it exchanges a few messages with itself and ends.\n";

} // namespace

int main(int argc, char** argv) {
    std::uint16_t port = 9002;
    bool self_test = false;
    example::command_line line{argc, argv, usage};
    while (line.next()) {
        if (line.name() == "--port")
            port = static_cast<std::uint16_t>(line.number(0, 65535));
        else if (line.name() == "--self-test")
            self_test = true;
        else
            line.unknown();
    }
    return self_test ? test_itself() : serve(port);
}
