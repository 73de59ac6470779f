#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <utility>

namespace duplex::detail {

/// Finds items by `options.key`, which is not zero and differs between them; linked through their member
/// `same_bucket`.
template <class Item>
class key_index {
public:
    /// Makes room for one item more; false where there is none for any. With too few buckets it goes on more
    /// slowly.
    [[nodiscard]] bool make_room() noexcept {
        if (count_ < size_) return true;
        const std::size_t wanted = size_ == 0 ? 16 : size_ * 2;
        std::unique_ptr<Item* []> more { new (std::nothrow) Item* [wanted] {} };
        if (!more) return size_ != 0;
        const auto old = std::exchange(buckets_, std::move(more));
        const std::size_t old_size = std::exchange(size_, wanted);
        for (std::size_t i = 0; i < old_size; ++i)
            for (Item* each = old[i]; each != nullptr;)
                link(*std::exchange(each, each->same_bucket));
        return true;
    }

    void add(Item& added) noexcept {
        link(added);
        ++count_;
    }

    void remove(Item& from) noexcept {
        Item** at = &bucket(from.options.key);
        while (*at != &from)
            at = &(*at)->same_bucket;
        *at = std::exchange(from.same_bucket, nullptr);
        --count_;
    }

    [[nodiscard]] Item* find(std::uint64_t key) const noexcept {
        if (count_ == 0) return nullptr;
        Item* each = bucket(key);
        while (each != nullptr && each->options.key != key)
            each = each->same_bucket;
        return each;
    }

private:
    [[nodiscard]] Item*& bucket(std::uint64_t key) const noexcept {
        // Keys are often consecutive numbers or addresses: the high half of the product has bits of all.
        return buckets_[static_cast<std::size_t>((key * 0x9E37'79B9'7F4A'7C15U) >> 32U) & (size_ - 1)];
    }
    void link(Item& added) noexcept { added.same_bucket = std::exchange(bucket(added.options.key), &added); }

    std::unique_ptr<Item*[]> buckets_;
    std::size_t size_ = 0; ///< a power of two
    std::size_t count_ = 0;
};

} // namespace duplex::detail
