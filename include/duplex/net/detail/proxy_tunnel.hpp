#pragma once

#include <duplex/core/detail/intrusive_ptr.hpp>
#include <duplex/core/detail/words.hpp>
#include <duplex/handshake/detail/proxy_dialogue.hpp>
#include <duplex/handshake/outcome.hpp>
#include <duplex/net/buffer_pool.hpp>
#include <duplex/net/detail/context_member.hpp>
#include <duplex/net/detail/context_service.hpp>
#include <duplex/net/detail/waiter.hpp>
#include <duplex/net/stream_traits.hpp>

#include <asio/buffer.hpp>
#include <asio/error.hpp>

#include <cstddef>
#include <span>
#include <system_error>
#include <utility>

namespace duplex::detail {

/// Speaks with a proxy until it is out of the way. `Socket` is a `layered_socket`, connected to the proxy,
/// with the proxy's own TLS as its layer where there is one. Runs on the socket's executor; what waits owns
/// it, and deadlines are the owner's.
template <class Socket>
class proxy_tunnel final : public counted_member<proxy_tunnel<Socket>> {
public:
    using waiter_type = waiter<std::error_code, Socket, handshake_outcome>;
    using pointer = intrusive_ptr<proxy_tunnel>;

    proxy_tunnel(Socket&& connected, proxy_dialogue&& dialogue, waiter_type& done)
        : service_{context_service::of(connected.get_executor())}
        , socket_{std::move(connected)}
        , dialogue_{std::move(dialogue)}
        , to_write_{dialogue_.request()}
        , done_{&done} {
        service_.join(*this);
        stream_traits<Socket>::prepare(socket_);
    }
    ~proxy_tunnel() {
        service_.leave(*this);
        // The context is going away, and the socket's service went before ours.
        if (done_) done_->abandon();
    }

    void start() { go_on(); }

    /// Gives up; completes with `error`.
    void cancel(std::error_code error) {
        if (done_) finish(error, {});
    }

private:
    /// As far as it goes without waiting.
    void go_on() {
        while (done_) {
            std::error_code error;
            if (!socket_.layers().established()) {
                using progress = transport_layer::progress;
                switch (socket_.layers().establish(socket_, error)) {
                case progress::done: continue;
                case progress::wants_read: return await(Socket::wait_read);
                case progress::wants_write: return await(Socket::wait_write);
                case progress::failed: return fail(error);
                }
            }
            if (!to_write_.empty()) {
                const auto size =
                    socket_.write_some(asio::const_buffer{to_write_.data(), to_write_.size()}, error);
                to_write_ = to_write_.subspan(size);
            } else if (socket_.layers().unsent()) {
                (void)socket_.layers().flush(socket_, error);
            } else {
                read(error);
            }
            if (error == asio::error::would_block || error == asio::error::try_again)
                return await(writing() ? Socket::wait_write : Socket::wait_read);
            if (error) return fail(error);
        }
    }

    [[nodiscard]] bool writing() noexcept { return !to_write_.empty() || socket_.layers().unsent(); }

    void read(std::error_code& error) {
        const auto lease = receive_lease::take();
        const auto room = lease.bytes();
        if (room.empty()) {
            error = errc::out_of_memory;
            return;
        }
        const auto size = socket_.read_some(asio::mutable_buffer{room.data(), room.size()}, error);
        if (error == asio::error::eof) {
            error.clear();
            dialogue_.eof();
            return finish_with(dialogue_.take_outcome());
        }
        if (error) return;
        switch (dialogue_.receive(room.first(size))) {
        case proxy_dialogue::progress::need_more: return;
        case proxy_dialogue::progress::send: to_write_ = dialogue_.request(); return;
        case proxy_dialogue::progress::done: return finish_with(dialogue_.take_outcome());
        }
    }

    void await(typename Socket::wait_type what) {
        socket_.async_wait(what, [self = pointer{this}](std::error_code error) {
            if (!self->done_) return;
            if (error)
                self->fail(error);
            else
                self->go_on();
        });
    }

    void fail(std::error_code error) {
        handshake_outcome known{.phase = phase::proxy};
        if (const auto* layer = socket_.layers().top()) known.why = words(layer->explanation());
        finish(error, std::move(known));
    }

    void finish_with(handshake_outcome&& known) {
        const auto error = known.error;
        finish(error, std::move(known));
    }

    void finish(std::error_code error, handshake_outcome&& known) {
        const pointer self{this};
        known.error = error;
        auto* done = std::exchange(done_, nullptr);
        if (error) {
            std::error_code ignored;
            socket_.close(ignored);
        }
        done->complete(completion::post, error, std::move(socket_), std::move(known));
    }

    void on_deadline() noexcept override {}
    void on_shutdown() noexcept override {
        if (auto* done = std::exchange(done_, nullptr)) done->abandon();
    }

    context_service& service_;
    Socket socket_;
    proxy_dialogue dialogue_;
    std::span<const std::byte> to_write_; ///< in `dialogue_`
    waiter_type* done_;                   ///< null when it is over
};

} // namespace duplex::detail
