#pragma once

#include <duplex/detail/websocket_core.hpp>

#include <asio/io_context.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace duplex {

/// The browser's WebSocket object (WHATWG WebSockets 9.3), for C++:
///
///     duplex::websocket socket{io, "ws://localhost:9002", {"chat.v2", "chat.v1"}};
///     socket.on_open = [&] { socket.send("hello"); };
///     socket.on_message = [&](const duplex::message& m) { std::cout << m.text() << '\n'; };
///     socket.on_error = [&](const duplex::error_event& e) { std::cerr << e.what() << '\n'; };
///     socket.on_close = [&](const duplex::close_event& e) { … e.code, e.reason, e.was_clean … };
///     io.run();
///
/// Events come in the browser's order: open, messages, then at most one error, then exactly one close, and
/// nothing after it. What a browser throws for a bad URL or subprotocol comes as an error event whose code
/// names the rule. `binaryType` has no counterpart: a `message` gives its bytes as they are.
///
/// With `connect_options::reconnect` it connects again by itself. What is lost in between is told by
/// `on_reconnect`, before the wait, and `ready_state()` is connecting until `on_open` comes again: the place
/// to subscribe anew. The order above is that of the last connection: error and close come once, at the end
/// of it all, which is a `close` by the application, what `reconnect_options` call final, the last of the
/// attempts, or `reconnect_event::give_up`.
///
/// Thread rule: all functions: any thread. Callbacks run on the context, one at a time, also when several
/// threads run it; set them before the context can run, or use the constructor without URL and `open`.
///
/// A callback may call every function of the object, destroy it, and throw, but not assign the callback that
/// is running. What leaves `on_open` or `on_message` fails the connection with 1011: then come an error event
/// with `errc::callback_threw` and the close event, as soon as the context runs again. What leaves `on_error`
/// delays the close event until then, what leaves `on_close` changes nothing, and what leaves
/// `on_reconnect` ends it as `on_open` does. The exception goes on to whoever runs the context.
///
/// Destroy it before its context. Once it is destroyed no callback begins; where another thread destroys it,
/// one that is running is not waited for.
class websocket {
    detail::intrusive_ptr<detail::websocket_core> core_;

public:
    std::function<void()>& on_open = core_->on_open;
    std::function<void(const message&)>& on_message = core_->on_message;
    std::function<void(const error_event&)>& on_error = core_->on_error;
    std::function<void(const close_event&)>& on_close = core_->on_close;
    std::function<void(reconnect_event&)>& on_reconnect = core_->on_reconnect;

    /// Does nothing until `open`.
    explicit websocket(asio::io_context& context)
        : core_{new detail::websocket_core{context}} {}

    /// Starts to connect once the context runs. `protocols`: offered subprotocols, in order of preference.
    /// What is wrong with the arguments comes as an error event.
    websocket(asio::io_context& context, std::string_view url, std::vector<std::string> protocols = {},
              connect_options options = {})
        : websocket{context} {
        start(url, std::move(protocols), std::move(options));
    }
    websocket(const websocket&) = delete;
    websocket& operator=(const websocket&) = delete;
    ~websocket() { core_->release(); }

    /// Starts to connect, for an object made without a URL; once, after that `errc::already_open`.
    /// `errc::fragments_not_taken` where the options ask for fragments; nothing happens then. What else is
    /// wrong with the arguments comes as an error event.
    std::error_code open(std::string_view url, std::vector<std::string> protocols = {},
                         connect_options options = {}) {
        if (options.connection.deliver_fragments) return errc::fragments_not_taken;
        return start(url, std::move(protocols), std::move(options));
    }

    /// Queues a text message, which must be UTF-8. Accepted only while `ready_state()` is open, unless
    /// `reconnect_options::keep_queue` keeps it. `how` counts where permessage-deflate was agreed.
    send_status send(std::string_view text, compression how = compression::automatic) {
        return core_->send(opcode::text, std::as_bytes(std::span{text.data(), text.size()}), how);
    }
    /// Queues a binary message.
    send_status send(std::span<const std::byte> binary, compression how = compression::automatic) {
        return core_->send(opcode::binary, binary, how);
    }
    /// Queues a copy of a message that has come, or of any other.
    send_status send(const message& copied, compression how = compression::automatic) {
        return core_->send(copied.op(), copied.bytes(), how);
    }

    /// Starts the closing handshake, or gives up connecting, now and again. Messages that still come are not
    /// shown. `code` is 1000, 3000-4999, or `no_status` for none; `reason` is at most 123 bytes of UTF-8.
    /// Errors name the rule that the arguments break; nothing happens then.
    std::error_code close(close_code code = close_code::no_status, std::string_view reason = {}) {
        return core_->close(code, reason);
    }
    std::error_code close(std::uint16_t code, std::string_view reason = {}) {
        // 1005 says that there is none, and never travels.
        if (code == to_number(close_code::no_status)) return errc::close_code_not_allowed;
        return close(static_cast<close_code>(code), reason);
    }

    /// `closing` as soon as either side has begun to close.
    [[nodiscard]] duplex::ready_state ready_state() const noexcept { return core_->ready(); }
    /// Bytes sent and not yet taken by the transport, framing and what is kept included.
    [[nodiscard]] std::size_t buffered_amount() const noexcept { return core_->buffered(); }
    /// How often it has opened: 1 in the first `on_open`, more where it has connected again.
    [[nodiscard]] std::uint32_t openings() const noexcept { return core_->openings(); }
    /// The URL, normalised once connecting has begun; of an open connection, where redirects have led to.
    [[nodiscard]] std::string url() const { return core_->url(); }
    /// The agreed subprotocol; empty before a connection is open, and where there is none.
    [[nodiscard]] std::string protocol() const { return core_->protocol(); }
    /// The agreed extensions; empty where there are none.
    [[nodiscard]] std::string extensions() const { return core_->extensions(); }

private:
    std::error_code start(std::string_view url, std::vector<std::string>&& protocols,
                          connect_options&& options) {
        if (!protocols.empty()) options.subprotocols = std::move(protocols);
        return core_->open(url, std::move(options));
    }
};

} // namespace duplex

#if !defined(DUPLEX_COMPILED)
#include <duplex/impl/websocket.hpp>
#endif
