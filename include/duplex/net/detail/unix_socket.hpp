#pragma once

// Unix sockets, by the system's own calls: a connection over one is a connection's socket like any other, and
// needs nothing more of Asio.

#include <duplex/core/detail/inlining.hpp>
#include <duplex/core/error.hpp>

#include <asio/error.hpp>

#if defined(__unix__) || defined(__APPLE__)
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#endif

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

namespace duplex::detail {

#if defined(__unix__) || defined(__APPLE__)

[[nodiscard]] inline std::error_code last_system_error() noexcept {
    return {errno, asio::error::get_system_category()};
}

/// A socket's path as the system takes it.
class unix_address {
public:
    /// `errc::socket_path_invalid` where it can't be one: nothing is ever cut off.
    [[nodiscard]] std::error_code set(std::string_view path) noexcept {
        const bool abstract = is_abstract(path);
        // A name in the file system has a NUL behind it.
        const std::size_t most = sizeof address_.sun_path - (abstract ? 0 : 1);
        if (path.size() <= (abstract ? 1 : 0) || path.size() > most) return errc::socket_path_invalid;
        if (path.find('\0') != std::string_view::npos) return errc::socket_path_invalid;
        address_ = {};
        address_.sun_family = AF_UNIX;
        std::memcpy(address_.sun_path, path.data(), path.size());
        if (abstract) address_.sun_path[0] = '\0';
        size_ = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() + (abstract ? 0 : 1));
        return {};
    }

    /// Linux: a name beside the file system, which goes with its socket.
    [[nodiscard]] static bool is_abstract([[maybe_unused]] std::string_view path) noexcept {
#if defined(__linux__)
        return path.starts_with('@');
#else
        return false;
#endif
    }

    [[nodiscard]] const sockaddr* data() const noexcept {
        return reinterpret_cast<const sockaddr*>(&address_);
    }
    [[nodiscard]] socklen_t size() const noexcept { return size_; }

private:
    sockaddr_un address_{};
    socklen_t size_ = 0;
};

/// A system's socket until somebody takes it.
class unix_socket {
public:
    unix_socket() noexcept = default;
    unix_socket(unix_socket&& other) noexcept
        : handle_{std::exchange(other.handle_, -1)} {}
    unix_socket& operator=(unix_socket&& other) noexcept {
        std::swap(handle_, other.handle_);
        return *this;
    }
    ~unix_socket() {
        if (handle_ >= 0) (void)::close(handle_);
    }

    /// One that never blocks.
    [[nodiscard]] static unix_socket open(std::error_code& error) noexcept {
#if defined(SOCK_NONBLOCK) && defined(SOCK_CLOEXEC)
        unix_socket made{::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)};
        if (made.handle_ < 0) error = last_system_error();
#else
        unix_socket made{::socket(AF_UNIX, SOCK_STREAM, 0)};
        if (made.handle_ < 0 || ::fcntl(made.handle_, F_SETFL, O_NONBLOCK) != 0 ||
            ::fcntl(made.handle_, F_SETFD, FD_CLOEXEC) != 0)
            error = last_system_error();
#endif
#if defined(SO_NOSIGPIPE)
        const int on = 1;
        if (made.handle_ >= 0) (void)::setsockopt(made.handle_, SOL_SOCKET, SO_NOSIGPIPE, &on, sizeof on);
#endif
        return made;
    }

    /// A second handle of the same socket.
    [[nodiscard]] static unix_socket copy_of(int handle, std::error_code& error) noexcept {
        unix_socket made{::fcntl(handle, F_DUPFD_CLOEXEC, 0)};
        if (made.handle_ < 0) error = last_system_error();
        return made;
    }

    [[nodiscard]] int handle() const noexcept { return handle_; }
    void release() noexcept { handle_ = -1; }

private:
    explicit unix_socket(int handle) noexcept
        : handle_{handle} {}

    int handle_ = -1;
};

/// The file by which clients find a listening socket. It goes with its owner, unless another socket has taken
/// its place meanwhile.
class socket_file {
public:
    socket_file() noexcept = default;
    socket_file(const socket_file&) = delete;
    socket_file& operator=(const socket_file&) = delete;
    ~socket_file() { remove(); }

    /// The socket that was just bound.
    void keep(const std::string& path) {
        struct stat found {};
        if (::lstat(path.c_str(), &found) != 0) return;
        path_ = path;
        device_ = found.st_dev;
        inode_ = found.st_ino;
    }

    void remove() noexcept {
        struct stat found {};
        if (!path_.empty() && ::lstat(path_.c_str(), &found) == 0 && found.st_dev == device_ &&
            found.st_ino == inode_)
            (void)::unlink(path_.c_str());
        path_.clear();
    }

private:
    std::string path_;
    dev_t device_ = 0;
    ino_t inode_ = 0;
};

/// Only sockets of the internet have an address and a port: an error for those of other families.
[[nodiscard]] inline std::error_code check_internet_address(int handle) noexcept {
    sockaddr_storage own{};
    socklen_t size = sizeof own;
    if (::getsockname(handle, reinterpret_cast<sockaddr*>(&own), &size) != 0) return last_system_error();
    if (own.ss_family == AF_INET || own.ss_family == AF_INET6) return {};
    return asio::error::address_family_not_supported;
}

[[nodiscard]] inline std::error_code check_socket_path(std::string_view path) noexcept {
    return unix_address{}.set(path);
}

/// A unix socket connects at once or not at all.
[[nodiscard]] DUPLEX_RARE inline unix_socket connect_unix(std::string_view path,
                                                          std::error_code& error) noexcept {
    unix_address to;
    error = to.set(path);
    if (error) return {};
    auto made = unix_socket::open(error);
    if (!error && ::connect(made.handle(), to.data(), to.size()) != 0) error = last_system_error();
    return made;
}

/// Removes what a server has left behind that was killed; false where it may be somebody's.
[[nodiscard]] inline bool remove_stale(const std::string& path) noexcept {
    struct stat found {};
    if (::lstat(path.c_str(), &found) != 0 || !S_ISSOCK(found.st_mode)) return false;
    std::error_code error;
    const auto trial = connect_unix(path, error);
    return error == asio::error::connection_refused && ::unlink(path.c_str()) == 0;
}

/// Binds and listens, behind `file`. Nobody can connect before it listens, so that `permissions` hold from
/// the first moment.
[[nodiscard]] DUPLEX_RARE inline unix_socket listen_unix(const std::string& path,
                                                         std::optional<unsigned> permissions, int backlog,
                                                         socket_file& file, std::error_code& error) {
    unix_address at;
    error = at.set(path);
    if (error) return {};
    auto made = unix_socket::open(error);
    if (error) return {};
    const bool in_files = !unix_address::is_abstract(path);
    const auto bind = [&] {
        error = ::bind(made.handle(), at.data(), at.size()) == 0 ? std::error_code{} : last_system_error();
    };
    bind();
    if (error == asio::error::address_in_use && in_files && remove_stale(path)) bind();
    if (error) return {};
    if (in_files) file.keep(path);
    if (in_files && permissions && ::chmod(path.c_str(), static_cast<mode_t>(*permissions & 0777U)) != 0)
        error = last_system_error();
    if (!error && ::listen(made.handle(), backlog) != 0) error = last_system_error();
    if (!error) return made;
    file.remove();
    return {};
}

/// Gives a system's socket to one of Asio's, which sees no difference to one of its own.
template <class Socket>
void hand_over(unix_socket&& made, Socket& to, std::error_code& error) {
    to.assign(Socket::protocol_type::v4(), made.handle(), error);
    if (!error) made.release();
    if (!error) to.non_blocking(true, error);
}

#else

[[nodiscard]] inline std::error_code check_socket_path(std::string_view) noexcept {
    return asio::error::operation_not_supported;
}

#endif

} // namespace duplex::detail
