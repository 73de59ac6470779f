#pragma once

#include <duplex/net/detail/asio_config.hpp>

#include <asio/buffer.hpp>
#include <asio/error.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <system_error>

namespace duplex::detail {

/// What a layer itself reads and writes, without waiting: a socket, or the layer beneath.
class raw_transport {
public:
    /// As a socket's: `asio::error::would_block` where nothing has come, `asio::error::eof` at the end.
    [[nodiscard]] virtual std::size_t read_some(asio::mutable_buffer into,
                                                std::error_code& error) noexcept = 0;
    [[nodiscard]] virtual std::size_t write_some(asio::const_buffer from,
                                                 std::error_code& error) noexcept = 0;

protected:
    ~raw_transport() = default;
};

/// What stands between a connection and its socket: TLS. It never waits; whoever has the socket does. An
/// interface, so that connections are of one type with it and without, and nothing of TLS is in programs that
/// have none.
class transport_layer {
public:
    /// What has to come before it goes on.
    enum class progress : std::uint8_t { done, wants_read, wants_write, failed };

    transport_layer() = default;
    transport_layer(const transport_layer&) = delete;
    transport_layer& operator=(const transport_layer&) = delete;
    virtual ~transport_layer() = default;

    /// The layer's own handshake; again and again, until it is done or has failed. Done, and `established()`,
    /// once all of it has been sent.
    [[nodiscard]] virtual progress establish(raw_transport& over, std::error_code& error) noexcept = 0;
    /// As a socket's. Gives all there is: what it gave less than it was asked for is all, unless `unread()`.
    /// Says `asio::error::would_block` once the transport has, or where it is `unread()`: then there may be
    /// more, after others had their turn.
    [[nodiscard]] virtual std::size_t read_some(raw_transport& over, asio::mutable_buffer into,
                                                std::error_code& error) noexcept = 0;
    /// Takes what it has room for; what the transport did not take of it at once is `unsent()`. An error is
    /// told along with what was taken before it.
    [[nodiscard]] virtual std::size_t write_some(raw_transport& over,
                                                 std::span<const asio::const_buffer> from,
                                                 std::error_code& error) noexcept = 0;
    /// Writes what is unsent; false where some is left, or with an error.
    [[nodiscard]] virtual bool flush(raw_transport& over, std::error_code& error) noexcept = 0;
    /// Tells the peer that nothing more will come, if it can be told at once.
    virtual void say_end(raw_transport& over) noexcept = 0;
    /// What speaks through this one, which it takes over: `above`, as where the way to a proxy is secured and
    /// the connection through it, too. Made by whoever has layers, so that other programs have nothing of it.
    [[nodiscard]] virtual std::unique_ptr<transport_layer>
    under(std::unique_ptr<transport_layer> self, std::unique_ptr<transport_layer> above) const = 0;
    /// What there is to say about its error beyond the code; empty where there is nothing.
    [[nodiscard]] virtual std::string explanation() const = 0;

    /// Who is there, for explanations: "the proxy", of static lifetime. Without: what its role says.
    void name_peer(std::string_view name) noexcept { peer_ = name; }

    [[nodiscard]] bool established() const noexcept { return established_; }
    [[nodiscard]] bool unsent() const noexcept { return unsent_; }
    [[nodiscard]] bool unread() const noexcept { return unread_; }
    /// The transport took something in the last call, of whatever was given when.
    [[nodiscard]] bool moved() const noexcept { return moved_; }

protected:
    std::string_view peer_{};
    bool established_ = false;
    bool unsent_ = false; ///< bytes that the transport has not taken yet, or never will: it is broken
    bool unread_ = false; ///< there may be more to read although the socket has no more
    bool moved_ = false;  ///< the transport took something
};

} // namespace duplex::detail
