#pragma once

#include <utility>

namespace duplex::detail {

/// A list of items that it owns, linked through their members `before` and `after`.
template <class Item>
class linked_items {
public:
    linked_items() noexcept = default;
    linked_items(const linked_items&) = delete;
    linked_items& operator=(const linked_items&) = delete;
    ~linked_items() {
        while (first_ != nullptr)
            delete std::exchange(first_, first_->after);
    }

    [[nodiscard]] bool empty() const noexcept { return first_ == nullptr; }
    [[nodiscard]] Item* first() const noexcept { return first_; }

    void push_back(Item* added) noexcept { insert_before(nullptr, added); }

    /// At the end, where `next` is null.
    void insert_before(Item* next, Item* added) noexcept {
        added->after = next;
        added->before = std::exchange(next != nullptr ? next->before : last_, added);
        (added->before != nullptr ? added->before->after : first_) = added;
    }

    /// Gives it away.
    Item* remove(Item* of) noexcept {
        (of->before != nullptr ? of->before->after : first_) = of->after;
        (of->after != nullptr ? of->after->before : last_) = of->before;
        of->before = of->after = nullptr;
        return of;
    }

private:
    Item* first_ = nullptr;
    Item* last_ = nullptr;
};

} // namespace duplex::detail
