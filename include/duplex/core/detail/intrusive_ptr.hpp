#pragma once

#include <atomic>
#include <cstdint>
#include <utility>

namespace duplex::detail {

/// A count of owners inside the object; the last one deletes it.
template <class Derived>
class counted {
public:
    void add_owner() const noexcept { owners_.fetch_add(1, std::memory_order_relaxed); }

    /// False where the last owner is gone, and the object with it.
    [[nodiscard]] bool add_owner_if_any() const noexcept {
        auto count = owners_.load(std::memory_order_relaxed);
        while (count != 0)
            if (owners_.compare_exchange_weak(count, count + 1, std::memory_order_relaxed)) return true;
        return false;
    }

    void drop_owner() const noexcept {
        if (owners_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete static_cast<const Derived*>(this);
    }

protected:
    counted() noexcept = default;
    ~counted() = default;
    counted(const counted&) = delete;
    counted& operator=(const counted&) = delete;

private:
    mutable std::atomic<std::uint32_t> owners_{0};
};

/// Shares a `counted` object.
template <class T>
class intrusive_ptr {
public:
    constexpr intrusive_ptr() noexcept = default;
    explicit intrusive_ptr(T* object) noexcept
        : object_{object} {
        if (object_) object_->add_owner();
    }
    explicit intrusive_ptr(T& object) noexcept
        : object_{&object} {
        object.add_owner();
    }
    constexpr intrusive_ptr(const intrusive_ptr& other) noexcept
        : object_{other.object_} {
        if (object_) object_->add_owner();
    }
    constexpr intrusive_ptr(intrusive_ptr&& other) noexcept
        : object_{std::exchange(other.object_, nullptr)} {}
    intrusive_ptr& operator=(intrusive_ptr other) noexcept {
        std::swap(object_, other.object_);
        return *this;
    }
    constexpr ~intrusive_ptr() {
        if (object_) object_->drop_owner();
    }

    /// Gives the ownership away, and takes one over that was given away.
    [[nodiscard]] T* release() noexcept { return std::exchange(object_, nullptr); }
    [[nodiscard]] static intrusive_ptr adopt(T* released) noexcept {
        intrusive_ptr owner;
        owner.object_ = released;
        return owner;
    }

    [[nodiscard]] constexpr T* get() const noexcept { return object_; }
    T& operator*() const noexcept { return *object_; }
    T* operator->() const noexcept { return object_; }
    constexpr explicit operator bool() const noexcept { return object_ != nullptr; }
    void reset() noexcept { intrusive_ptr{}.swap(*this); }
    void swap(intrusive_ptr& other) noexcept { std::swap(object_, other.object_); }

private:
    T* object_ = nullptr;
};

} // namespace duplex::detail
