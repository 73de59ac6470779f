#pragma once

// Reads the lines of standard input without blocking an io_context.

#include <asio/error.hpp>
#include <asio/io_context.hpp>
#include <asio/posix/stream_descriptor.hpp>
#include <asio/post.hpp>

#include <array>
#include <cerrno>
#include <functional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#if !defined(ASIO_HAS_POSIX_STREAM_DESCRIPTOR)
#error "stdin_lines.hpp needs a system with POSIX descriptors"
#endif

#include <fcntl.h>
#include <unistd.h>

namespace example {

/// Standard input, line by line. A terminal, a pipe or a socket is read when it has something; a file, which
/// always has and which epoll therefore refuses, in one go with everything else that the context does.
class stdin_lines {
public:
    /// Called with each line, without its end. Returning false pauses until `resume`.
    std::function<bool(std::string_view line)> on_line;
    std::function<void()> on_end;

    explicit stdin_lines(asio::io_context& io)
        : io_{io}
        , waiting_{io}
        , flags_{::fcntl(STDIN_FILENO, F_GETFL)} {
        std::error_code error;
        waiting_.assign(STDIN_FILENO, error);
        pollable_ = !error;
    }
    stdin_lines(const stdin_lines&) = delete;
    stdin_lines& operator=(const stdin_lines&) = delete;
    ~stdin_lines() { stop(); }

    void start() { read_more(); }

    /// Goes on after a pause.
    void resume() {
        if (std::exchange(paused_, false)) deliver();
    }

    void stop() {
        stopped_ = true;
        if (!waiting_.is_open()) return;
        waiting_.release();
        // Waiting has made the descriptor non-blocking, for everybody who shares it: a shell, for one.
        if (flags_ != -1) ::fcntl(STDIN_FILENO, F_SETFL, flags_);
    }

private:
    void read_more() {
        if (stopped_) return;
        if (pollable_) {
            waiting_.async_wait(asio::posix::stream_descriptor::wait_read, [this](std::error_code error) {
                if (stopped_ || error == asio::error::operation_aborted) return;
                // Asio says only now that a file can't be waited for.
                if (error) pollable_ = false;
                read();
            });
        } else {
            asio::post(io_, [this] {
                if (!stopped_) read();
            });
        }
    }

    void read() {
        std::array<char, 16384> buffer;
        const ssize_t size = ::read(STDIN_FILENO, buffer.data(), buffer.size());
        if (size < 0 && (errno == EAGAIN || errno == EINTR)) return read_more();
        ended_ = size <= 0;
        if (size > 0) pending_.append(buffer.data(), static_cast<std::size_t>(size));
        deliver();
    }

    void deliver() {
        while (!stopped_) {
            const auto end = pending_.find('\n', searched_);
            if (end == std::string::npos) break;
            const std::string_view line{pending_.data() + begin_, end - begin_};
            begin_ = searched_ = end + 1;
            if (!on_line(line)) {
                paused_ = true;
                return;
            }
        }
        if (stopped_) return;
        pending_.erase(0, begin_);
        begin_ = 0;
        searched_ = pending_.size();
        if (!ended_) return read_more();
        // The last line may lack its end.
        if (!pending_.empty()) on_line(std::exchange(pending_, {}));
        stop();
        on_end();
    }

    asio::io_context& io_;
    asio::posix::stream_descriptor waiting_;
    int flags_;
    bool pollable_ = false;
    bool paused_ = false;
    bool ended_ = false;
    bool stopped_ = false;
    std::string pending_;
    std::size_t begin_ = 0;    ///< of the next line in `pending_`
    std::size_t searched_ = 0; ///< no line ends before this
};

} // namespace example
