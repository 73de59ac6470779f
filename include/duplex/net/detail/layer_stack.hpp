#pragma once

#include <duplex/core/detail/inlining.hpp>
#include <duplex/net/detail/transport_layer.hpp>

#include <asio/buffer.hpp>

#include <array>
#include <cstddef>
#include <memory>
#include <span>
#include <string_view>
#include <system_error>
#include <utility>

namespace duplex::detail {

/// What lies between a socket and those who use it: nothing, TLS, or TLS through TLS. `Socket` has
/// `read_plain` and `write_plain`.
class layer_stack {
public:
    layer_stack() noexcept = default;
    explicit layer_stack(std::unique_ptr<transport_layer> only) noexcept
        : layer_{std::move(only)} {}

    /// Puts another on top.
    void push(std::unique_ptr<transport_layer> added) {
        if (layer_) {
            const auto& below = *layer_;
            layer_ = below.under(std::move(layer_), std::move(added));
        } else
            layer_ = std::move(added);
    }

    [[nodiscard]] explicit operator bool() const noexcept { return layer_ != nullptr; }
    [[nodiscard]] const transport_layer* top() const noexcept { return layer_.get(); }

    /// See `transport_layer`.
    void name_peer(std::string_view name) noexcept {
        if (layer_) layer_->name_peer(name);
    }

    [[nodiscard]] bool established() const noexcept { return !layer_ || layer_->established(); }
    [[nodiscard]] bool unsent() const noexcept { return layer_ && layer_->unsent(); }
    [[nodiscard]] bool unread() const noexcept { return layer_ && layer_->unread(); }
    [[nodiscard]] bool moved() const noexcept { return layer_ && layer_->moved(); }

    template <class Socket>
    [[nodiscard]] transport_layer::progress establish(Socket& socket, std::error_code& error) noexcept {
        over<Socket> with{socket};
        return layer_->establish(with, error);
    }
    template <class Socket>
    [[nodiscard]] DUPLEX_NEVER_INLINE std::size_t read_some(Socket& socket, asio::mutable_buffer into,
                                                            std::error_code& error) noexcept {
        over<Socket> with{socket};
        return layer_->read_some(with, into, error);
    }
    template <class Socket>
    [[nodiscard]] std::size_t write_some(Socket& socket, const asio::const_buffer& from,
                                         std::error_code& error) noexcept {
        over<Socket> with{socket};
        return layer_->write_some(with, std::span{&from, 1}, error);
    }
    template <class Socket, class ConstBuffers>
    [[nodiscard]] DUPLEX_NEVER_INLINE std::size_t write_some(Socket& socket, const ConstBuffers& from,
                                                             std::error_code& error) noexcept {
        std::array<asio::const_buffer, 64> parts;
        std::size_t count = 0;
        for (auto each = asio::buffer_sequence_begin(from);
             each != asio::buffer_sequence_end(from) && count != parts.size(); ++each)
            parts[count++] = asio::const_buffer{*each};
        over<Socket> with{socket};
        return layer_->write_some(with, std::span{parts.data(), count}, error);
    }
    template <class Socket>
    [[nodiscard]] bool flush(Socket& socket, std::error_code& error) noexcept {
        over<Socket> with{socket};
        return layer_->flush(with, error);
    }
    template <class Socket>
    void say_end(Socket& socket) noexcept {
        if (!layer_) return;
        over<Socket> with{socket};
        layer_->say_end(with);
    }

private:
    template <class Socket>
    class over final : public raw_transport {
    public:
        explicit over(Socket& socket) noexcept
            : socket_{socket} {}
        std::size_t read_some(asio::mutable_buffer into, std::error_code& error) noexcept override {
            return socket_.read_plain(into, error);
        }
        std::size_t write_some(asio::const_buffer from, std::error_code& error) noexcept override {
            return socket_.write_plain(from, error);
        }

    private:
        Socket& socket_;
    };

    std::unique_ptr<transport_layer> layer_;
};

} // namespace duplex::detail
