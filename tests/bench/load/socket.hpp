#pragma once

#include "options.hpp"
#include "report.hpp"
#include "tls.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace bench {

[[noreturn]] inline void system_failure(std::string what) {
    throw failure{std::move(what) + ": " + std::strerror(errno)};
}

/// A file descriptor.
class descriptor {
public:
    descriptor() noexcept = default;
    explicit descriptor(int fd) noexcept
        : fd_{fd} {}
    descriptor(descriptor&& other) noexcept
        : fd_{std::exchange(other.fd_, -1)} {}
    descriptor& operator=(descriptor&& other) noexcept {
        std::swap(fd_, other.fd_);
        return *this;
    }
    ~descriptor() {
        if (fd_ >= 0) ::close(fd_);
    }
    [[nodiscard]] int get() const noexcept { return fd_; }

private:
    int fd_ = -1;
};

/// A connected socket, with TLS or without. Sends and receives as the system does.
class stream {
public:
    explicit stream(descriptor socket) noexcept
        : socket_{std::move(socket)} {}

    [[nodiscard]] const descriptor& socket() const noexcept { return socket_; }
    /// Before the socket is set to non-blocking.
    void secure(bool sparing) { tls_ = open_tls(socket_.get(), sparing); }

    [[nodiscard]] ssize_t send(const unsigned char* from, std::size_t size) {
        return tls_ ? tls_->send(from, size) : ::send(socket_.get(), from, size, MSG_NOSIGNAL);
    }
    [[nodiscard]] ssize_t receive(unsigned char* into, std::size_t size) {
        return tls_ ? tls_->receive(into, size) : ::recv(socket_.get(), into, size, 0);
    }
    /// Something that was sent is still here.
    [[nodiscard]] bool unsent() const noexcept { return tls_ && tls_->unsent(); }

private:
    descriptor socket_;
    std::unique_ptr<tls_channel> tls_;
};

/// Fails where the system will not give `count` descriptors.
inline void need_descriptors(std::size_t count) {
    rlimit limit{};
    ::getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur < count + 32)
        throw failure{"descriptor limit too low: " + std::to_string(limit.rlim_cur) + " (ulimit -n), " +
                      std::to_string(count + 32) + " are needed"};
}

/// The key and its answer are the example of RFC 6455 1.3.
inline constexpr std::string_view upgrade_request = "GET / HTTP/1.1\r\n"
                                                    "Host: localhost\r\n"
                                                    "Upgrade: websocket\r\n"
                                                    "Connection: Upgrade\r\n"
                                                    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                                                    "Sec-WebSocket-Version: 13\r\n\r\n";
/// The same one, which offers permessage-deflate.
[[nodiscard]] inline std::string upgrade_request_for(compression deflate) {
    std::string request{upgrade_request};
    if (deflate == compression::none) return request;
    request.resize(request.size() - 2);
    request += "Sec-WebSocket-Extensions: permessage-deflate";
    if (deflate == compression::no_takeover)
        request += "; server_no_context_takeover; client_no_context_takeover";
    return request += "\r\n\r\n";
}
inline constexpr std::string_view upgrade_proof = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// True once `head` is the whole answer to `upgrade_request`; anything but an accepted upgrade is a failure.
inline bool is_upgraded(std::string_view head) {
    const auto end = head.find("\r\n\r\n");
    if (end == head.npos) return false;
    if (head.substr(0, 12) != "HTTP/1.1 101" || head.find(upgrade_proof) == head.npos)
        throw failure{"the upgrade was refused: " + std::string{head.substr(0, head.find('\r'))}};
    if (end + 4 != head.size()) throw failure{"the server sent frames before any request"};
    return true;
}

/// Fails where the server has not agreed to just what `upgrade_request_for` offers it: it would be measured
/// at less work than others, or at more.
inline void check_agreement(std::string head, compression deflate) {
    if (deflate == compression::none) return;
    for (char& each : head)
        if (each >= 'A' && each <= 'Z') each = static_cast<char>(each - 'A' + 'a');
    const auto begin = head.find("\r\nsec-websocket-extensions:");
    const auto line =
        begin == head.npos ? "" : head.substr(begin + 2, head.find("\r\n", begin + 2) - begin - 2);
    const auto has = [&line](const char* what) { return line.find(what) != line.npos; };
    if (!has("permessage-deflate")) throw failure{"the server does not agree to compress"};
    if (deflate == compression::no_takeover && !has("server_no_context_takeover"))
        throw failure{"the server keeps its window although it is asked not to"};
    if (deflate == compression::takeover && has("no_context_takeover"))
        throw failure{"the server keeps no windows between messages: " + line};
    if (has("client_max_window_bits")) throw failure{"the server asks for a window unasked"};
}

/// Where to connect to, from a few source addresses in turn so that ports suffice.
class target {
public:
    explicit target(std::uint16_t port) noexcept {
        address_.sin_family = AF_INET;
        address_.sin_port = htons(port);
        address_.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    }

    /// A socket that has begun to connect; with `wait` one that has connected.
    [[nodiscard]] descriptor connect(bool wait) {
        descriptor made{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | (wait ? 0 : SOCK_NONBLOCK), 0)};
        if (made.get() < 0) system_failure("socket");
        const int on = 1;
        ::setsockopt(made.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        ::setsockopt(made.get(), IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
        sockaddr_in from{};
        from.sin_family = AF_INET;
        from.sin_addr.s_addr = htonl(INADDR_LOOPBACK + ++count_ % 8);
        if (::bind(made.get(), reinterpret_cast<const sockaddr*>(&from), sizeof from) != 0)
            system_failure("bind");
        if (::connect(made.get(), reinterpret_cast<const sockaddr*>(&address_), sizeof address_) != 0 &&
            (wait || errno != EINPROGRESS))
            system_failure("connect");
        return made;
    }

    /// A WebSocket connection, one of `connections`, its socket set to non-blocking.
    [[nodiscard]] stream open(const options& with) {
        stream made{connect(true)};
        const int socket = made.socket().get();
        const timeval limit{static_cast<time_t>(with.patience / 1'000'000'000), 0};
        ::setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
        if (with.tls) made.secure(with.connections > 1000);
        const auto request = upgrade_request_for(with.deflate);
        if (made.send(reinterpret_cast<const unsigned char*>(request.data()), request.size()) < 0)
            system_failure("send");
        unsigned char head[4096];
        std::size_t size = 0;
        const auto end = now() + with.patience;
        while (!is_upgraded({reinterpret_cast<const char*>(head), size})) {
            const ssize_t got = made.receive(head + size, sizeof head - size);
            if (got == 0) throw failure{"the server closed instead of answering the upgrade"};
            // The tickets of TLS are no answer yet.
            if (got < 0 && (errno != EAGAIN || now() >= end)) system_failure("waiting for the upgrade");
            if (got > 0) size += static_cast<std::size_t>(got);
        }
        check_agreement({reinterpret_cast<const char*>(head), size}, with.deflate);
        ::fcntl(socket, F_SETFL, O_NONBLOCK);
        return made;
    }

private:
    sockaddr_in address_{};
    std::uint32_t count_ = 0;
};

/// An epoll set, edge-triggered: a descriptor is registered once and never touched again.
class poller {
public:
    poller()
        : set_{::epoll_create1(EPOLL_CLOEXEC)} {
        if (set_.get() < 0) system_failure("epoll_create1");
    }

    void add(const descriptor& fd, std::uint32_t tag) {
        epoll_event event{};
        event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
        event.data.u32 = tag;
        if (::epoll_ctl(set_.get(), EPOLL_CTL_ADD, fd.get(), &event) != 0) system_failure("epoll_ctl");
    }

    /// Calls `ready(tag, can_read)` for what is ready; false when `patience` nanoseconds went by.
    template <class Ready>
    bool wait(std::uint64_t patience, Ready ready) {
        const int count = ::epoll_wait(set_.get(), events_, most, static_cast<int>(patience / 1'000'000));
        if (count < 0 && errno != EINTR) system_failure("epoll_wait");
        for (int i = 0; i < count; ++i)
            ready(events_[i].data.u32, (events_[i].events & ~static_cast<std::uint32_t>(EPOLLOUT)) != 0);
        return count != 0;
    }

private:
    static constexpr int most = 512;

    descriptor set_;
    epoll_event events_[most];
};

} // namespace bench
