#pragma once

#include <cstdint>
#include <memory>
#include <utility>

namespace duplex::detail {

/// Owns an `A` or a `B`, or nothing, in the room of one pointer: the lowest bit of the address, which their
/// alignment leaves free, tells which.
template <class A, class B>
class either_ptr {
public:
    either_ptr() noexcept = default;
    either_ptr(either_ptr&& from) noexcept
        : bits_{std::exchange(from.bits_, 0)} {}
    either_ptr& operator=(either_ptr&& from) noexcept {
        if (this != &from) {
            clear();
            bits_ = std::exchange(from.bits_, 0);
        }
        return *this;
    }
    ~either_ptr() { clear(); }

    /// Null where there is none.
    [[nodiscard]] A* first() const noexcept {
        return (bits_ & is_second) == 0 ? reinterpret_cast<A*>(bits_) : nullptr;
    }
    [[nodiscard]] B* second() const noexcept {
        return (bits_ & is_second) != 0 ? reinterpret_cast<B*>(bits_ ^ is_second) : nullptr;
    }

    /// Leaves nothing.
    [[nodiscard]] std::unique_ptr<A> take_first() noexcept {
        std::unique_ptr<A> taken{first()};
        if (taken) bits_ = 0;
        return taken;
    }

    void keep(std::unique_ptr<A> first) noexcept {
        clear();
        bits_ = reinterpret_cast<std::uintptr_t>(first.release());
    }
    void keep(std::unique_ptr<B> second) noexcept {
        clear();
        if (second) bits_ = reinterpret_cast<std::uintptr_t>(second.release()) | is_second;
    }

private:
    static constexpr std::uintptr_t is_second = 1;

    void clear() noexcept {
        static_assert(alignof(A) > is_second && alignof(B) > is_second);
        delete first();
        delete second();
        bits_ = 0;
    }

    std::uintptr_t bits_ = 0;
};

} // namespace duplex::detail
