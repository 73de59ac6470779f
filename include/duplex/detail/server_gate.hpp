#pragma once

// What a server's listener asks before it accepts: whether there is room for another connection, and for
// another opening handshake.

#include <duplex/core/budget.hpp>
#include <duplex/core/detail/budget_state.hpp>
#include <duplex/core/detail/intrusive_ptr.hpp>
#include <duplex/core/detail/nothrow.hpp>
#include <duplex/detail/server_core.hpp>
#include <duplex/net/detail/kept_call.hpp>

#include <utility>

namespace duplex::detail {

/// The gate of one shard. Whoever is not let in waits in the backlog, where it costs nothing of the server's
/// and no descriptor; an answer would cost both, for somebody who would come again at once. `Shard` is
/// `counted`, has a context, and is told to `resume` there.
template <class Shard>
class server_gate {
public:
    server_gate(Shard& shard, server_core& core) noexcept
        : core_{core}
        , budget_{core.options.connection.budget}
        , for_place_{shard}
        , for_handshake_{shard} {}
    server_gate(const server_gate&) = delete;
    server_gate& operator=(const server_gate&) = delete;
    ~server_gate() {
        leave();
        stop();
    }

    /// Takes what one connection needs; false: once that is there, the shard is told to resume.
    [[nodiscard]] bool enter() noexcept {
        if (!place_) place_ = core_.take_place(&for_place_);
        if (!place_) return false;
        if (!handshake_) handshake_ = budget_.begin_handshake(&for_handshake_);
        if (handshake_) return true;
        leave();
        return false;
    }
    /// Gives it back.
    void leave() noexcept {
        handshake_.end();
        if (std::exchange(place_, false)) core_.give_place();
    }

    // What was taken goes over to a connection.

    void use_place() noexcept { place_ = false; }
    [[nodiscard]] budget::handshake use_handshake() noexcept { return std::move(handshake_); }

    /// Nobody is told any more.
    void stop() noexcept {
        core_.places.leave(for_place_);
        budget_.stop_waiting(for_handshake_);
    }

private:
    struct waiting final : shared_places::waiter {
        explicit waiting(Shard& with) noexcept
            : shard{with} {}

        bool tell() noexcept override {
            // Its last owner may have let it go on another thread.
            if (!shard.add_owner_if_any()) return true;
            auto kept = intrusive_ptr<Shard>::adopt(&shard);
            return nothrow([&] {
                post_call(shard.context().get_executor(), std::move(kept),
                          [](Shard& told) { told.resume(); });
            });
        }

        Shard& shard;
    };

    server_core& core_;
    const budget budget_;
    waiting for_place_;
    waiting for_handshake_;
    bool place_ = false;
    budget::handshake handshake_;
};

} // namespace duplex::detail
