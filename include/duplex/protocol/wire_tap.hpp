#pragma once

#include <duplex/core/role.hpp>
#include <duplex/deflate/params.hpp>
#include <duplex/protocol/keepalive.hpp>
#include <duplex/protocol/session_options.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace duplex {

/// What a session that begins is known by.
struct wire_start {
    role self = role::server;
    session_options options{};
    std::optional<deflate_params> deflate{}; ///< agreed; none where messages are not compressed
    deflate_options deflating{};             ///< how this side does it
    time_point now{};
    std::uint64_t number = 0; ///< counts the observed connections of the program
};

/// Sees what a session's transport delivers and takes (`session::observe`): raw bytes, in order, masked as
/// they travel; with TLS, what is in it. Called from inside the session, which must not be touched. The bytes
/// end with the call.
class wire_tap {
public:
    wire_tap() noexcept = default;
    wire_tap(const wire_tap&) = delete;
    wire_tap& operator=(const wire_tap&) = delete;
    virtual ~wire_tap() = default;

    /// The transport delivered these, before anything is made of them.
    virtual void received(std::span<const std::byte> bytes, time_point now) noexcept = 0;
    /// The transport took these. `last`: what one write took ends with them.
    virtual void sent(std::span<const std::byte> bytes, bool last, time_point now) noexcept = 0;

    // What else the session is told, for those who want to tell it again.

    /// So many bytes are held by a write that goes on in the background.
    virtual void offered(std::size_t, time_point) noexcept {}
    /// `session::on_time` was called.
    virtual void timed(time_point, bool /*listening*/) noexcept {}
    /// The peer ended the stream.
    virtual void ended(time_point) noexcept {}
};

} // namespace duplex
