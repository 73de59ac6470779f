#pragma once

#include <duplex/core/detail/block_cache.hpp>

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <span>
#include <utility>

namespace duplex {

/// A growable run of bytes that is never zeroed, grows by `realloc` (large blocks move without a copy) and
/// reports exhausted memory instead of throwing. Move-only.
class byte_buffer {
public:
    byte_buffer() noexcept = default;
    byte_buffer(byte_buffer&& other) noexcept
        : data_{std::exchange(other.data_, nullptr)}
        , size_{std::exchange(other.size_, 0)}
        , capacity_{std::exchange(other.capacity_, 0)} {}
    byte_buffer& operator=(byte_buffer&& other) noexcept {
        byte_buffer taken{std::move(other)};
        swap(taken);
        return *this;
    }
    byte_buffer(const byte_buffer&) = delete;
    byte_buffer& operator=(const byte_buffer&) = delete;
    ~byte_buffer() {
        // Most are empty, and a call costs more than a look.
        if (data_ != nullptr) detail::block_cache::give({data_, capacity_});
    }

    [[nodiscard]] std::byte* data() noexcept { return data_; }
    [[nodiscard]] const std::byte* data() const noexcept { return data_; }
    [[nodiscard]] std::size_t size() const noexcept { return size_; }
    [[nodiscard]] std::size_t capacity() const noexcept { return capacity_; }
    [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
    [[nodiscard]] std::span<std::byte> bytes() noexcept { return {data_, size_}; }
    [[nodiscard]] std::span<const std::byte> bytes() const noexcept { return {data_, size_}; }

    /// Makes room for `total` bytes; false when memory ran out (nothing changed). `wish`: how many there may
    /// be in the end, for which memory is taken only where it lies ready.
    [[nodiscard]] bool reserve(std::size_t total, std::size_t wish = 0) noexcept {
        if (total <= capacity_) return true;
        if (const auto warm = detail::block_cache::take(total, wish); warm.data != nullptr) {
            if (size_ != 0) std::memcpy(warm.data, data_, size_);
            if (data_ != nullptr) detail::block_cache::give({data_, capacity_});
            data_ = warm.data;
            capacity_ = warm.capacity;
            return true;
        }
        void* grown = std::realloc(data_, total);
        if (grown == nullptr) return false;
        data_ = static_cast<std::byte*>(grown);
        capacity_ = total;
        return true;
    }

    /// Makes room for `more` bytes behind the contents, growing geometrically, and returns where they go;
    /// null when memory ran out. They count only after `commit`.
    [[nodiscard]] std::byte* prepare(std::size_t more) noexcept {
        if (more > capacity_ - size_) [[unlikely]] {
            if (more > static_cast<std::size_t>(-1) / 4 - size_) return nullptr;
            std::size_t wanted = capacity_ + capacity_ / 2;
            if (wanted < size_ + more) wanted = size_ + more;
            if (wanted < 64) wanted = 64;
            if (!reserve(wanted)) return nullptr;
        }
        return data_ + size_;
    }

    void commit(std::size_t more) noexcept { size_ += more; }

    /// Copies `from` behind the contents; false when memory ran out (nothing changed).
    [[nodiscard]] bool append(std::span<const std::byte> from) noexcept {
        if (from.empty()) return true;
        std::byte* to = prepare(from.size());
        if (to == nullptr) return false;
        std::memcpy(to, from.data(), from.size());
        size_ += from.size();
        return true;
    }

    /// Copies all `parts` behind the contents, one after the other; false when memory ran out (nothing
    /// changed).
    [[nodiscard]] bool append_all(std::span<const std::span<const std::byte>> parts) noexcept {
        std::size_t total = 0;
        for (const auto part : parts) {
            if (part.size() > static_cast<std::size_t>(-1) - total) return false;
            total += part.size();
        }
        std::byte* to = total != 0 ? prepare(total) : nullptr;
        if (to == nullptr) return total == 0;
        for (const auto part : parts) {
            if (!part.empty()) std::memcpy(to, part.data(), part.size());
            to += part.size();
        }
        size_ += total;
        return true;
    }

    /// Takes back the last `less` bytes.
    void shrink(std::size_t less) noexcept { size_ -= less; }

    /// Forgets the contents and keeps the memory.
    void clear() noexcept { size_ = 0; }

    /// Forgets the contents and frees the memory.
    void release() noexcept { byte_buffer{}.swap(*this); }

    void swap(byte_buffer& other) noexcept {
        std::swap(data_, other.data_);
        std::swap(size_, other.size_);
        std::swap(capacity_, other.capacity_);
    }

private:
    std::byte* data_ = nullptr;
    std::size_t size_ = 0;
    std::size_t capacity_ = 0;
};

} // namespace duplex
