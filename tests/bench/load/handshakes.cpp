// Connections that are opened, closed by a closing handshake, and opened again.

#include "clockwork.hpp"
#include "socket.hpp"

#include <memory>
#include <vector>

namespace bench {

namespace {

/// A Close with code 1000, masked.
constexpr unsigned char close_frame[] = {0x88, 0x82, 0x11, 0x22, 0x33, 0x44, 0x03 ^ 0x11, 0xE8 ^ 0x22};

class handshake_run {
public:
    explicit handshake_run(const options& with)
        : with_{with}
        , server_{with.port}
        , attempts_(with.connections)
        , result_{with.server} {
        need_descriptors(with.connections);
    }

    void run() {
        clockwork clock{with_, result_};
        for (std::uint32_t i = 0; i < attempts_.size(); ++i)
            begin(i);
        const auto ready = [this](std::uint32_t tag, bool can_read) { go_on(tag, can_read); };
        while (clock.goes_on())
            if (!events_.wait(with_.patience, ready)) throw failure{"the server makes no progress"};
        result_.print("handshakes");
    }

private:
    enum class phase : std::uint8_t { connecting, upgrading, closing };

    struct attempt {
        descriptor socket;
        phase at = phase::connecting;
        std::uint64_t began = 0;
        std::size_t size = 0;
        char received[1024];
    };

    void begin(std::uint32_t tag) {
        attempt& one = attempts_[tag];
        one.began = now();
        one.size = 0;
        one.at = phase::connecting;
        one.socket = server_.connect(false);
        events_.add(one.socket, tag);
    }

    void go_on(std::uint32_t tag, bool can_read) {
        attempt& one = attempts_[tag];
        if (one.at == phase::connecting) {
            int error = 0;
            socklen_t size = sizeof error;
            ::getsockopt(one.socket.get(), SOL_SOCKET, SO_ERROR, &error, &size);
            if (error != 0) throw failure{std::string{"connect: "} + std::strerror(error)};
            if (::send(one.socket.get(), upgrade_request.data(), upgrade_request.size(), MSG_NOSIGNAL) < 0)
                system_failure("send");
            one.at = phase::upgrading;
            return;
        }
        if (!can_read) return;
        for (;;) {
            const ssize_t got =
                ::recv(one.socket.get(), one.received + one.size, sizeof one.received - one.size, 0);
            if (got < 0) {
                if (errno != EAGAIN) system_failure("recv");
                return;
            }
            if (got == 0) return ended(tag);
            one.size += static_cast<std::size_t>(got);
            if (one.size == sizeof one.received) throw failure{"the answer to the upgrade is too long"};
            if (one.at == phase::upgrading && is_upgraded({one.received, one.size})) {
                result_.latency.add(now() - one.began);
                ++result_.count;
                one.size = 0;
                one.at = phase::closing;
                if (::send(one.socket.get(), close_frame, sizeof close_frame, MSG_NOSIGNAL) < 0)
                    system_failure("send");
            }
        }
    }

    /// The server ends the connection once it has answered our Close (RFC 6455 7.1.1).
    void ended(std::uint32_t tag) {
        const attempt& one = attempts_[tag];
        if (one.at != phase::closing) throw failure{"the server closed instead of answering the upgrade"};
        if (one.size < 2 || static_cast<unsigned char>(one.received[0]) != 0x88)
            throw failure{"the server ended without a Close frame"};
        begin(tag);
    }

    const options& with_;
    target server_;
    poller events_;
    std::vector<attempt> attempts_;
    measurement result_;
};

} // namespace

void run_handshakes(const options& with) { handshake_run{with}.run(); }

} // namespace bench
