#pragma once

#include <duplex/core/detail/nothrow.hpp>
#include <duplex/tls/detail/openssl.hpp>

#include <algorithm>
#include <cstddef>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace duplex::detail {

/// A client's newest session with each of the servers it spoke with last. Thread-safe.
///
/// Holds copies: OpenSSL spoils the session of a connection that goes without close_notify, as TLS 1.0 wanted
/// it and RFC 5246 7.2.1 no longer does.
class tls_session_cache {
public:
    /// A session holds the server's certificates: some kilobytes.
    static constexpr std::size_t most = 64;

    void put(std::string_view server, const SSL_SESSION* session) noexcept {
        // What is replaced is freed without the lock.
        entry old;
        entry made{{}, ssl_session_ptr{SSL_SESSION_dup(session)}};
        if (!made.session) return;
        const std::lock_guard lock{mutex_};
        static_cast<void>(nothrow([&] {
            made.server = server;
            entries_.reserve(std::min(entries_.size() + 1, most));
            auto place = find(server);
            if (place == entries_.end() && entries_.size() == most) place = entries_.begin();
            if (place != entries_.end()) {
                old = std::move(*place);
                entries_.erase(place);
            }
            entries_.push_back(std::move(made));
        }));
    }

    /// The session to go on with, if there is one. RFC 8446 C.4: a session of TLS 1.3 is used once, lest
    /// whoever listens can tell that two connections are of one client.
    [[nodiscard]] ssl_session_ptr take(std::string_view server) noexcept {
        const std::lock_guard lock{mutex_};
        const auto found = find(server);
        if (found == entries_.end()) return nullptr;
        if (SSL_SESSION_get_protocol_version(found->session.get()) < TLS1_3_VERSION)
            return ssl_session_ptr{SSL_SESSION_dup(found->session.get())};
        ssl_session_ptr last = std::move(found->session);
        entries_.erase(found);
        return last;
    }

    /// After a handshake that failed: perhaps for the session's sake.
    void drop(std::string_view server) noexcept {
        entry old;
        const std::lock_guard lock{mutex_};
        if (const auto found = find(server); found != entries_.end()) {
            old = std::move(*found);
            entries_.erase(found);
        }
    }

    [[nodiscard]] std::size_t size() const noexcept {
        const std::lock_guard lock{mutex_};
        return entries_.size();
    }

private:
    struct entry {
        std::string server;
        ssl_session_ptr session;
    };

    [[nodiscard]] std::vector<entry>::iterator find(std::string_view server) noexcept {
        return std::find_if(entries_.begin(), entries_.end(),
                            [server](const entry& each) { return each.server == server; });
    }

    mutable std::mutex mutex_;
    std::vector<entry> entries_; ///< the newest last
};

} // namespace duplex::detail
