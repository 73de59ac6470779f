#pragma once

// What lies between the protocol and the socket, as TLS does: asked only where there may be such a layer.

#include <duplex/net/impl/connection_state.hpp>

namespace duplex::detail {

template <class Stream>
DUPLEX_ALWAYS_INLINE bool connection_state<Stream>::unread() noexcept {
    if constexpr (layered)
        return stream_.layers().unread();
    else
        return false;
}

template <class Stream>
DUPLEX_ALWAYS_INLINE bool connection_state<Stream>::unsent() noexcept {
    if constexpr (layered)
        return stream_.layers().unsent();
    else
        return false;
}

template <class Stream>
DUPLEX_ALWAYS_INLINE bool connection_state<Stream>::flush_layers(std::error_code& error) noexcept {
    if constexpr (layered)
        return stream_.layers().flush(stream_, error);
    else
        return true;
}

template <class Stream>
DUPLEX_ALWAYS_INLINE void connection_state<Stream>::note_progress() noexcept {
    if constexpr (layered)
        if (stream_.layers().moved()) session_.write_progress();
}

} // namespace duplex::detail
