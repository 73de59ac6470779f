#pragma once

// Two TLS layers joined by memory that behaves as sockets do at their worst: it takes and gives as little as
// a test likes, says of itself only what an edge-triggered poll would, breaks and ends anywhere.

#include "support/catch.hpp"
#include "support/tls_pair.hpp"

#include <duplex/net/detail/transport_layer.hpp>
#include <duplex/tls/detail/tls_layer.hpp>

#include <asio/buffer.hpp>
#include <asio/error.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace duplex::testing {

/// Bytes on their way.
struct channel {
    std::string bytes{};
    std::size_t room = static_cast<std::size_t>(-1); ///< how many there may be at a time
    std::size_t left = static_cast<std::size_t>(-1); ///< those that still pass before the sender is cut off
    bool ended = false;
    bool told = true;     ///< the receiver knows what there is
    bool refused = false; ///< the sender found no room
    std::string passed{}; ///< all that was ever written
};

/// One end of two channels.
class scripted_wire final : public detail::raw_transport {
public:
    scripted_wire(channel& in, channel& out) noexcept
        : in_{in}
        , out_{out} {}

    std::size_t read_some(asio::mutable_buffer into, std::error_code& error) noexcept override {
        ++reads;
        if ((error = next_failure())) return 0;
        const auto most = portion ? portion() : into.size();
        const auto size = std::min({most, into.size(), in_.bytes.size()});
        if (size == 0 && into.size() != 0) {
            if (in_.bytes.empty() && in_.ended) {
                error = asio::error::eof;
            } else {
                error = asio::error::would_block;
                // It will be told again of what it was denied.
                if (!in_.bytes.empty()) in_.told = false;
            }
            return 0;
        }
        std::memcpy(into.data(), in_.bytes.data(), size);
        in_.bytes.erase(0, size);
        return size;
    }

    std::size_t write_some(asio::const_buffer from, std::error_code& error) noexcept override {
        ++writes;
        if ((error = next_failure())) return 0;
        const auto room = out_.room - std::min(out_.room, out_.bytes.size());
        const auto size = std::min({portion ? portion() : from.size(), from.size(), room});
        if (size == 0 && from.size() != 0) {
            error = asio::error::would_block;
            out_.refused = true;
            return 0;
        }
        const std::string_view taken{static_cast<const char*>(from.data()), size};
        out_.passed += taken;
        const auto through = std::min(size, out_.left);
        out_.left -= through;
        out_.bytes += taken.substr(0, through);
        if (out_.left == 0) out_.ended = true;
        out_.told = false;
        return size;
    }

    /// What an edge-triggered poll says, once.
    [[nodiscard]] bool became_readable() noexcept { return !std::exchange(in_.told, true); }
    [[nodiscard]] bool became_writable() noexcept {
        return out_.refused && out_.bytes.size() < out_.room && std::exchange(out_.refused, false);
    }
    void end() noexcept {
        out_.ended = true;
        out_.told = false;
    }

    std::function<std::size_t()> portion; ///< bytes of the next call; 0: it would block
    std::size_t reads = 0;
    std::size_t writes = 0;
    std::size_t fails_at = 0; ///< the call from which on everything fails; 0: none
    [[nodiscard]] bool broken() const noexcept { return fails_at != 0 && reads + writes >= fails_at; }

private:
    [[nodiscard]] std::error_code next_failure() const noexcept {
        return broken() ? std::error_code{asio::error::connection_reset} : std::error_code{};
    }

    channel& in_;
    channel& out_;
};

/// Does with a layer what a connection does with its socket, and only when the wire says so.
class scripted_end {
public:
    scripted_end(std::unique_ptr<detail::transport_layer> of, scripted_wire& over)
        : layer{std::move(of)}
        , wire{over} {}

    void send(std::string_view bytes) {
        pending_ += bytes;
        may_write_ = true;
    }
    void end() { ends_ = may_write_ = true; }

    /// False where there is nothing to do.
    bool step() {
        may_read_ = wire.became_readable() || may_read_;
        may_write_ = wire.became_writable() || may_write_;
        if (error) return false;
        // What others left in OpenSSL's queue of errors must not matter, and nothing of ours stays there.
        ERR_raise(ERR_LIB_SSL, SSL_R_BAD_RECORD_TYPE);
        const bool moved = layer->established() ? go_on() : open();
        if (const auto left = ERR_get_error(); left != 0)
            CHECK(ERR_GET_REASON(left) == SSL_R_BAD_RECORD_TYPE);
        CHECK(ERR_peek_error() == 0);
        ERR_clear_error();
        return moved;
    }

    [[nodiscard]] bool all_sent() const { return pending_.empty() && !layer->unsent(); }

    std::unique_ptr<detail::transport_layer> layer;
    scripted_wire& wire;
    std::string received;
    std::error_code error;       ///< of reading
    std::error_code write_error; ///< what writing was told
    std::size_t read_size = 65536;
    std::size_t gather = 1;      ///< buffers of a write
    std::size_t piece = 1000000; ///< bytes of each
    bool pauses = false;         ///< doesn't read

private:
    bool open() {
        using progress = detail::transport_layer::progress;
        if (!may_read_ && !may_write_) return false;
        may_read_ = may_write_ = false;
        std::error_code failure;
        switch (layer->establish(wire, failure)) {
        case progress::done:
            CHECK(layer->established());
            CHECK_FALSE(layer->unsent());
            may_read_ = may_write_ = true;
            break;
        case progress::wants_read:
            CHECK_FALSE(layer->unsent());
            may_read_ = layer->unread();
            break;
        case progress::wants_write: CHECK(layer->unsent()); break;
        case progress::failed:
            CHECK(failure);
            error = failure;
            wire.end();
            break;
        }
        return true;
    }

    bool go_on() {
        const bool reads = may_read_ && !pauses;
        const bool writes = std::exchange(may_write_, false) && (ends_ || !all_sent());
        if (reads) read();
        if (writes && !error) write();
        return reads || writes;
    }

    void read() {
        std::vector<std::byte> room(read_size);
        std::error_code failure;
        const auto size = layer->read_some(wire, asio::mutable_buffer{room.data(), room.size()}, failure);
        received.append(reinterpret_cast<const char*>(room.data()), size);
        CHECK((size == 0) == bool{failure});
        const bool nothing = failure == asio::error::would_block;
        // In portions: as where the system has said that a short read need not be the last.
        may_read_ = (!nothing && (size == room.size() || wire.portion)) || layer->unread();
        if (failure && !nothing) {
            error = failure;
            if (failure != asio::error::eof) wire.end();
        }
    }

    void write() {
        std::error_code failure;
        while (!pending_.empty()) {
            std::vector<asio::const_buffer> from;
            for (std::size_t at = 0; at < pending_.size() && from.size() < gather; at += piece)
                from.emplace_back(pending_.data() + at, std::min(piece, pending_.size() - at));
            const auto offered = asio::buffer_size(from);
            const auto size = layer->write_some(wire, from, failure);
            pending_.erase(0, size);
            if (failure || size < offered || layer->unsent()) break;
        }
        if (!failure && layer->unsent()) (void)layer->flush(wire, failure);
        if (failure && failure != asio::error::would_block) write_error = failure;
        if (ends_ && all_sent() && !failure) {
            ends_ = false;
            layer->say_end(wire);
        }
    }

    std::string pending_;
    bool may_read_ = false;
    bool may_write_ = true;
    bool ends_ = false;
};

/// Both.
struct scripted_pair {
    /// `Depth`: how many layers of TLS.
    explicit scripted_pair(int depth = 1, int newest = TLS1_3_VERSION)
        : scripted_pair{up_to(newest, client_with(trusting())), server_with(as_localhost()), depth} {}

    scripted_pair(const tls_context& for_client, const tls_context& for_server, int depth = 1)
        : client{nullptr, client_wire}
        , server{nullptr, server_wire} {
        // The innermost comes first: it is established before the next one is put on top.
        for (int i = 0; i < depth; ++i) {
            ssl_of_client = SSL_new(for_client.native_handle());
            REQUIRE_FALSE(prepare_tls_client(ssl_of_client, "localhost", 443));
            push(client, ssl_of_client);
            ssl_of_server = SSL_new(for_server.native_handle());
            SSL_set_accept_state(ssl_of_server);
            push(server, ssl_of_server);
            if (i + 1 == depth) continue;
            run();
            REQUIRE(established());
        }
        start();
    }

    [[nodiscard]] bool established() const {
        return client.layer->established() && server.layer->established();
    }
    void start() {
        client.send({});
        server.send({});
    }
    /// Until nothing more happens.
    void run() {
        bool moved = true;
        for (std::size_t turns = 0; moved; ++turns) {
            REQUIRE(turns < 5'000'000);
            moved = client.step();
            moved = server.step() || moved;
        }
    }

    channel to_server;
    channel to_client;
    scripted_wire client_wire{to_client, to_server};
    scripted_wire server_wire{to_server, to_client};
    scripted_end client;
    scripted_end server;
    SSL* ssl_of_client = nullptr; ///< of the uppermost layer
    SSL* ssl_of_server = nullptr;

private:
    static void push(scripted_end& on, SSL* ssl) {
        auto made = detail::tls_layer::make(detail::ssl_ptr{ssl});
        REQUIRE(made);
        if (on.layer)
            on.layer = std::make_unique<detail::stacked_layer>(std::move(on.layer), std::move(made));
        else
            on.layer = std::move(made);
    }
};

[[nodiscard]] inline std::string sample_text(std::size_t size, unsigned seed = 1) {
    std::string text(size, ' ');
    std::uint32_t state = seed * 2654435761U + 1;
    for (auto& each : text) {
        state = state * 1664525U + 1013904223U;
        each = static_cast<char>('a' + (state >> 24U) % 26);
    }
    return text;
}

} // namespace duplex::testing
