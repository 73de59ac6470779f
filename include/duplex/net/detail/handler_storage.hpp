#pragma once

#include <array>
#include <cstddef>
#include <new>

namespace duplex::detail {

/// Room for one pending operation, so that starting it again and again allocates nothing.
template <std::size_t Size>
class handler_storage {
public:
    [[nodiscard]] void* allocate(std::size_t size) {
        if (!used_ && size <= Size) {
            used_ = true;
            return bytes_.data();
        }
        return ::operator new(size);
    }

    void deallocate(void* at) noexcept {
        if (at == bytes_.data())
            used_ = false;
        else
            ::operator delete(at);
    }

private:
    alignas(std::max_align_t) std::array<std::byte, Size> bytes_;
    bool used_ = false;
};

/// The allocator face of a `handler_storage`.
template <class T, std::size_t Size>
class storage_allocator {
public:
    using value_type = T;
    template <class U>
    struct rebind {
        using other = storage_allocator<U, Size>;
    };

    explicit storage_allocator(handler_storage<Size>& storage) noexcept
        : storage_{&storage} {}
    template <class U>
    storage_allocator(const storage_allocator<U, Size>& other) noexcept
        : storage_{other.storage()} {}

    [[nodiscard]] T* allocate(std::size_t count) {
        static_assert(alignof(T) <= alignof(std::max_align_t));
        return static_cast<T*>(storage_->allocate(sizeof(T) * count));
    }
    void deallocate(T* at, std::size_t) noexcept { storage_->deallocate(at); }

    [[nodiscard]] handler_storage<Size>* storage() const noexcept { return storage_; }
    template <class U>
    bool operator==(const storage_allocator<U, Size>& other) const noexcept {
        return storage_ == other.storage();
    }

private:
    handler_storage<Size>* storage_;
};

} // namespace duplex::detail
