#pragma once

#include <sys/types.h>

#include <cstddef>
#include <memory>

namespace bench {

/// TLS on one of our sockets: 1.3 with TLS_AES_128_GCM_SHA256, which every server has, so that all of them
/// are measured with the same cipher. It believes whatever certificate it is shown: this is a generator of
/// load.
class tls_channel {
public:
    tls_channel() = default;
    tls_channel(const tls_channel&) = delete;
    tls_channel& operator=(const tls_channel&) = delete;
    virtual ~tls_channel() = default;

    /// As `::send`. Takes what was encrypted, although the socket may not have: that is then `unsent`.
    [[nodiscard]] virtual ssize_t send(const unsigned char* from, std::size_t size) = 0;
    /// As `::recv`; less than `size` means that the socket is empty. `EAGAIN` also where only a part of a
    /// record has come.
    [[nodiscard]] virtual ssize_t receive(unsigned char* into, std::size_t size) = 0;
    [[nodiscard]] virtual bool unsent() const noexcept = 0;
};

/// Shakes hands over a connected socket that still blocks. `sparing`: it keeps no buffers between records,
/// which many connections need and few do better without.
[[nodiscard]] std::unique_ptr<tls_channel> open_tls(int socket, bool sparing);

/// Nothing, or why there is no TLS.
[[nodiscard]] const char* why_without_tls() noexcept;

} // namespace bench
