// The floor that the kernel sets: an echo server that does nothing but read, unmask and write. It checks no
// rule of the protocol and is no server to learn from.
//
//     floor PORT [broadcast]

#include <duplex/handshake/accept_key.hpp>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

namespace {

struct peer {
    int fd = -1;
    bool upgraded = false;
    bool closing = false;
    std::uint8_t head_size = 0;  ///< of a header that has come in part
    std::uint8_t mask_at = 0;    ///< where in the mask the payload goes on
    unsigned char head[14] = {}; ///< that header
    unsigned char mask[4] = {};
    std::uint64_t left = 0; ///< payload bytes to come
    std::size_t index = 0;  ///< in the list of peers
    std::string unsent;
};

constexpr std::size_t window = 512 * 1024;

int set = -1;
bool broadcasts = false;
std::vector<unsigned char> input(window + 64);
std::vector<unsigned char> published;
std::vector<peer*> peers;

void drop(peer* one) {
    ::close(one->fd);
    peers[one->index] = peers.back();
    peers[one->index]->index = one->index;
    peers.pop_back();
    delete one;
}

void watch(peer* one, int how, std::uint32_t what) {
    epoll_event event{};
    event.events = what;
    event.data.ptr = one;
    ::epoll_ctl(set, how, one->fd, &event);
}

void write(peer* one, const unsigned char* from, std::size_t size) {
    if (one->unsent.empty()) {
        const ssize_t sent = ::send(one->fd, from, size, MSG_NOSIGNAL);
        if (sent == static_cast<ssize_t>(size)) return;
        if (sent > 0) {
            from += sent;
            size -= static_cast<std::size_t>(sent);
        }
        watch(one, EPOLL_CTL_MOD, EPOLLOUT);
    }
    one->unsent.append(reinterpret_cast<const char*>(from), size);
}

/// XORs the payload on its way from `from` to `to`, which is not behind it.
void unmask(peer* one, unsigned char* to, const unsigned char* from, std::size_t size) {
    unsigned char turned[8];
    for (unsigned i = 0; i < 8; ++i)
        turned[i] = one->mask[(one->mask_at + i) % 4];
    std::uint64_t key = 0;
    std::memcpy(&key, turned, 8);
    std::size_t i = 0;
    for (; i + 8 <= size; i += 8) {
        std::uint64_t word = 0;
        std::memcpy(&word, from + i, 8);
        word ^= key;
        std::memcpy(to + i, &word, 8);
    }
    for (; i < size; ++i)
        to[i] = from[i] ^ turned[i % 8];
    one->mask_at = static_cast<std::uint8_t>((one->mask_at + size) % 4);
}

/// Turns what was read into what is to be written, in place: it never gets longer. Gives its end.
unsigned char* answer(peer* one, unsigned char* at, const unsigned char* end, unsigned char* to) {
    while (at != end) {
        if (one->left != 0) {
            const auto size = std::min<std::uint64_t>(one->left, static_cast<std::uint64_t>(end - at));
            unmask(one, to, at, size);
            one->left -= size;
            at += size;
            to += size;
            continue;
        }
        unsigned char* const head = one->head;
        const auto want = [&](std::size_t size) {
            while (one->head_size < size && at != end)
                head[one->head_size++] = *at++;
            return one->head_size >= size;
        };
        if (!want(2)) break;
        const unsigned length = head[1] & 0x7FU;
        const std::size_t size = length < 126 ? 2 : length == 126 ? 4 : 10;
        if (!want(size + 4)) break;
        one->left = length;
        if (size > 2) one->left = 0;
        for (std::size_t i = 2; i < size; ++i)
            one->left = one->left << 8U | head[i];
        std::memcpy(one->mask, head + size, 4);
        one->mask_at = 0;
        one->head_size = 0;
        if ((head[0] & 0x0FU) == 9) head[0] = 0x8A;
        if ((head[0] & 0x0FU) == 8) one->closing = true;
        *to++ = head[0];
        *to++ = static_cast<unsigned char>(length);
        for (std::size_t i = 2; i < size; ++i)
            *to++ = head[i];
    }
    return to;
}

bool upgrade(peer* one, std::string_view request) {
    constexpr std::string_view name = "Sec-WebSocket-Key: ";
    const auto same = [](char a, char b) { return (a | 0x20) == (b | 0x20); };
    const auto* found = std::search(request.begin(), request.end(), name.begin(), name.end(), same);
    if (request.end() - found < 64 || !request.ends_with("\r\n\r\n")) return false;
    const auto accept = duplex::accept_key({found + name.size(), duplex::handshake_key_size});
    std::string text = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                       "Sec-WebSocket-Accept: ";
    text.append(accept.data(), accept.size()).append("\r\n\r\n");
    write(one, reinterpret_cast<const unsigned char*>(text.data()), text.size());
    return one->upgraded = true;
}

/// False when the connection is over.
bool receive(peer* one) {
    // The header of the answer is shorter than that of the question, but a part of it may have come before.
    unsigned char* const begin = input.data() + sizeof one->head;
    const ssize_t got = ::recv(one->fd, begin, window, 0);
    if (got < 0) return errno == EAGAIN;
    if (got == 0) return false;
    const auto size = static_cast<std::size_t>(got);
    if (!one->upgraded) return upgrade(one, {reinterpret_cast<const char*>(begin), size});
    unsigned char* const end = answer(one, begin, begin + size, input.data());
    if (broadcasts && !one->closing)
        published.insert(published.end(), input.data(), end);
    else if (end != input.data())
        write(one, input.data(), static_cast<std::size_t>(end - input.data()));
    if (one->closing) ::shutdown(one->fd, SHUT_WR);
    return true;
}

void accept_all(int listener) {
    for (;;) {
        const int fd = ::accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) return;
        const int on = 1;
        ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        auto* one = new peer;
        one->fd = fd;
        one->index = peers.size();
        peers.push_back(one);
        watch(one, EPOLL_CTL_ADD, EPOLLIN);
    }
}

int listen_on(std::uint16_t port) {
    const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    const int on = 1;
    ::setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::bind(listener, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
        ::listen(listener, 4096) != 0) {
        std::perror("floor");
        std::exit(1);
    }
    return listener;
}

} // namespace

int main(int count, char** arguments) {
    if (count < 2) return 2;
    broadcasts = count > 2 && std::string_view{arguments[2]} == "broadcast";
    const int listener = listen_on(static_cast<std::uint16_t>(std::atoi(arguments[1])));
    set = ::epoll_create1(EPOLL_CLOEXEC);
    epoll_event event{};
    event.events = EPOLLIN;
    ::epoll_ctl(set, EPOLL_CTL_ADD, listener, &event);
    epoll_event events[512];
    for (;;) {
        const int ready = ::epoll_wait(set, events, 512, -1);
        for (int i = 0; i < ready; ++i) {
            auto* one = static_cast<peer*>(events[i].data.ptr);
            if (one == nullptr) {
                accept_all(listener);
            } else if ((events[i].events & EPOLLOUT) != 0) {
                std::string unsent;
                unsent.swap(one->unsent);
                watch(one, EPOLL_CTL_MOD, EPOLLIN);
                write(one, reinterpret_cast<const unsigned char*>(unsent.data()), unsent.size());
            } else if (!receive(one)) {
                drop(one);
            }
        }
        if (published.empty()) continue;
        for (peer* one : peers)
            if (one->upgraded) write(one, published.data(), published.size());
        published.clear();
    }
}
