#pragma once

#include <duplex/core/detail/inlining.hpp>
#include <duplex/net/detail/asio_compat.hpp>
#include <duplex/net/detail/layer_stack.hpp>
#include <duplex/net/detail/unix_socket.hpp>
#include <duplex/net/layered_socket.hpp>

#include <asio/basic_stream_socket.hpp>
#include <asio/buffer.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/socket_base.hpp>

#if defined(__linux__)
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>
#endif

#include <array>
#include <cerrno>
#include <cstddef>
#include <system_error>
#include <type_traits>
#include <utility>

namespace duplex {

#if defined(__linux__)

/// A connected TCP or unix socket that belongs to an `io_context` but not to Asio's reactor: connections on
/// it wait together in one epoll set, which costs a fraction of an operation each, and an idle one takes no
/// memory there. Everything else is as with `asio::ip::tcp::socket`, as far as it makes sense under a
/// WebSocket. One thread at a time. A process that forks leaves its connections to the parent: the child
/// shares the set, and may only exec.
///
/// Elsewhere than on Linux the name stands for Asio's own socket.
class tcp_socket {
public:
    using executor_type = asio::io_context::executor_type;
    using protocol_type = asio::ip::tcp;
    using endpoint_type = asio::ip::tcp::endpoint;
    using native_handle_type = int;

    /// Tells a connection to wait in its context's set.
    static constexpr bool waits_in_set = true;

    /// Takes over a connected socket.
    tcp_socket(const executor_type& executor, native_handle_type connected) noexcept
        : executor_{executor}
        , handle_{connected} {}

    /// Takes over one of Asio's, which must have nothing under way. Where that fails this one is not open.
    explicit tcp_socket(asio::basic_stream_socket<asio::ip::tcp, executor_type>&& connected)
        : executor_{connected.get_executor()} {
        std::error_code error;
        const int released = connected.release(error);
        if (!error) handle_ = released;
    }

    tcp_socket(tcp_socket&& other) noexcept
        : executor_{other.executor_}
        , handle_{std::exchange(other.handle_, -1)}
        , keeps_delay_{other.keeps_delay_}
        , end_follows_{other.end_follows_}
        , layers_{std::move(other.layers_)} {}
    tcp_socket& operator=(tcp_socket&& other) noexcept {
        if (this == &other) return *this;
        close();
        executor_ = other.executor_;
        handle_ = std::exchange(other.handle_, -1);
        keeps_delay_ = other.keeps_delay_;
        end_follows_ = other.end_follows_;
        layers_ = std::move(other.layers_);
        return *this;
    }
    ~tcp_socket() { close(); }

    [[nodiscard]] executor_type get_executor() const noexcept { return executor_; }
    [[nodiscard]] native_handle_type native_handle() const noexcept { return handle_; }
    [[nodiscard]] bool is_open() const noexcept { return handle_ >= 0; }

    /// Whether a connection leaves the system's ways with small writes as they are: for a unix socket, which
    /// has none, or by `socket_options::no_delay`. Before it is the connection's.
    void keep_delay(bool keep) noexcept { keeps_delay_ = keep; }
    [[nodiscard]] bool keeps_delay() const noexcept { return keeps_delay_; }

    /// `asio::error::address_family_not_supported` for a unix socket: it has no such address.
    [[nodiscard]] endpoint_type local_endpoint(std::error_code& error) const noexcept {
        return endpoint(&::getsockname, error);
    }
    [[nodiscard]] endpoint_type remote_endpoint(std::error_code& error) const noexcept {
        return endpoint(&::getpeername, error);
    }
#if defined(__cpp_exceptions)
    /// The same; throws `std::system_error`.
    [[nodiscard]] endpoint_type local_endpoint() const {
        return or_throw([this](std::error_code& error) { return local_endpoint(error); });
    }
    [[nodiscard]] endpoint_type remote_endpoint() const {
        return or_throw([this](std::error_code& error) { return remote_endpoint(error); });
    }
#endif

    template <class Option>
    std::error_code set_option(const Option& option, std::error_code& error) noexcept {
        const auto of = protocol_for(option);
        return error = result(::setsockopt(handle_, option.level(of), option.name(of), option.data(of),
                                           static_cast<socklen_t>(option.size(of))));
    }
    template <class Option>
    std::error_code get_option(Option& option, std::error_code& error) const noexcept {
        const auto of = protocol_for(option);
        auto size = static_cast<socklen_t>(option.size(of));
        error = result(::getsockopt(handle_, option.level(of), option.name(of), option.data(of), &size));
        if (!error) option.resize(of, size);
        return error;
    }

    /// Reads without waiting. `asio::error::would_block` where nothing has come, `asio::error::eof` at the
    /// end.
    [[nodiscard]] DUPLEX_ALWAYS_INLINE std::size_t read_some(asio::mutable_buffer into,
                                                             std::error_code& error) noexcept {
        error.clear();
        if (layers_) [[unlikely]]
            return layers_.read_some(*this, into, error);
        return read_plain(into, error);
    }

    /// Writes without waiting what there is room for.
    [[nodiscard]] DUPLEX_ALWAYS_INLINE std::size_t write_some(asio::const_buffer from,
                                                              std::error_code& error) noexcept {
        error.clear();
        if (layers_) [[unlikely]]
            return layers_.write_some(*this, from, error);
        return write_plain(from, error);
    }

    /// The same past all layers, with an `error` that comes clear.
    [[nodiscard]] DUPLEX_ALWAYS_INLINE std::size_t read_plain(asio::mutable_buffer into,
                                                              std::error_code& error) noexcept {
        const auto size =
            retried([&] { return ::recv(handle_, into.data(), into.size(), MSG_DONTWAIT); }, error);
        if (size == 0 && !error && into.size() != 0) error = asio::error::eof;
        return size;
    }

    [[nodiscard]] DUPLEX_ALWAYS_INLINE std::size_t write_plain(asio::const_buffer from,
                                                               std::error_code& error) noexcept {
        return retried([&] { return ::send(handle_, from.data(), from.size(), write_flags()); }, error);
    }

    /// The same for several buffers, the first 64 of them.
    template <class ConstBuffers>
    [[nodiscard]] std::size_t write_some(const ConstBuffers& from, std::error_code& error) noexcept {
        error.clear();
        if (layers_) [[unlikely]]
            return layers_.write_some(*this, from, error);
        std::array<iovec, 64> parts;
        std::size_t count = 0;
        for (auto each = asio::buffer_sequence_begin(from);
             each != asio::buffer_sequence_end(from) && count != parts.size(); ++each, ++count) {
            const asio::const_buffer part{*each};
            // The system only reads what a message to send refers to.
            parts[count].iov_base = const_cast<void*>(part.data());
            parts[count].iov_len = part.size();
        }
        msghdr message{};
        message.msg_iov = parts.data();
        message.msg_iovlen = count;
        return retried([&] { return ::sendmsg(handle_, &message, write_flags()); }, error);
    }

    /// Tells that nothing is written behind what is written now, up to a `shutdown` that is called at once:
    /// both may leave in one segment.
    void end_follows() noexcept { end_follows_ = true; }

    std::error_code shutdown(asio::socket_base::shutdown_type what, std::error_code& error) noexcept {
        return error = result(::shutdown(handle_, static_cast<int>(what)));
    }

    /// What secures it; empty where nothing does.
    [[nodiscard]] detail::layer_stack& layers() noexcept { return layers_; }

    /// Gives the system's socket away, which stays connected.
    [[nodiscard]] native_handle_type release() noexcept { return std::exchange(handle_, -1); }

    std::error_code close(std::error_code& error) noexcept {
        error = is_open() ? result(::close(std::exchange(handle_, -1))) : std::error_code{};
        return error;
    }
    void close() noexcept {
        std::error_code ignored;
        close(ignored);
    }

private:
    [[nodiscard]] DUPLEX_NEVER_INLINE static std::error_code result(int returned) noexcept {
        return returned == 0 ? std::error_code{} : std::error_code{errno, asio::error::get_system_category()};
    }

    [[nodiscard]] DUPLEX_ALWAYS_INLINE int write_flags() const noexcept {
        return MSG_DONTWAIT | MSG_NOSIGNAL | (end_follows_ ? MSG_MORE : 0);
    }

    template <class Call>
    [[nodiscard]] DUPLEX_ALWAYS_INLINE static std::size_t retried(Call call,
                                                                  std::error_code& error) noexcept {
        for (;;) {
            const ssize_t done = call();
            if (done >= 0) [[likely]]
                return static_cast<std::size_t>(done);
            if (errno == EINTR) continue;
            error = result(-1);
            return 0;
        }
    }

    template <class Query>
    [[nodiscard]] endpoint_type endpoint(Query query, std::error_code& error) const noexcept {
        error = detail::check_internet_address(handle_);
        if (error) return {};
        endpoint_type found;
        auto size = static_cast<socklen_t>(found.capacity());
        error = result(query(handle_, found.data(), &size));
        if (error) return {};
        found.resize(size);
        return found;
    }

    /// What an option is told; most are the same for IPv4 and IPv6, and nobody need ask which it is.
    template <class Option>
    [[nodiscard]] protocol_type protocol_for(const Option& option) const noexcept {
        const auto v4 = protocol_type::v4();
        const auto v6 = protocol_type::v6();
        if (option.level(v4) == option.level(v6) && option.name(v4) == option.name(v6)) return v6;
        std::error_code error;
        const auto here = local_endpoint(error);
        return error ? v6 : here.protocol();
    }

#if defined(__cpp_exceptions)
    template <class Ask>
    static endpoint_type or_throw(Ask ask) {
        std::error_code error;
        const auto found = ask(error);
        if (error) throw std::system_error{error};
        return found;
    }
#endif

    executor_type executor_;
    native_handle_type handle_ = -1;
    bool keeps_delay_ = false;
    bool end_follows_ = false;
    detail::layer_stack layers_;
};

#else

using tcp_socket = layered_socket<asio::basic_stream_socket<asio::ip::tcp, asio::io_context::executor_type>>;

#endif

namespace detail {

/// The TCP socket that serves an executor best.
template <class Executor>
using tcp_socket_for =
    std::conditional_t<std::is_same_v<Executor, asio::io_context::executor_type>, tcp_socket,
                       layered_socket<asio::basic_stream_socket<asio::ip::tcp, Executor>>>;

} // namespace detail

} // namespace duplex
