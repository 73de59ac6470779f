#pragma once

#include <duplex/core/detail/intrusive_ptr.hpp>
#include <duplex/net/timer_wheel.hpp>

namespace duplex::detail {

/// What a context's service knows of a connection.
class context_member : public timer_wheel::entry {
public:
    /// The deadline has come. Called on any of the context's threads, under the service's lock: only posts.
    virtual void on_deadline() = 0;
    /// The context is going away: drop every handler without calling it.
    virtual void on_shutdown() noexcept = 0;
    /// Becomes an owner, or tells that there is none any more; and no owner again.
    [[nodiscard]] virtual bool keep() noexcept = 0;
    virtual void let_it_go() noexcept = 0;

protected:
    ~context_member() = default;

private:
    friend class context_service;
    context_member* next_member_ = nullptr;
    context_member* previous_member_ = nullptr;
};

/// A member that is shared by `intrusive_ptr`. `Base`: `context_member`, or what derives from it.
template <class Derived, class Base = context_member>
class counted_member : public Base, public counted<Derived> {
    [[nodiscard]] bool keep() noexcept final { return this->add_owner_if_any(); }
    void let_it_go() noexcept final { this->drop_owner(); }

protected:
    ~counted_member() = default;
};

} // namespace duplex::detail
