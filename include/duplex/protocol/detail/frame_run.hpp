#pragma once

#include <duplex/core/detail/inlining.hpp>
#include <duplex/core/detail/nothrow.hpp>
#include <duplex/protocol/prepared_message.hpp>

#include <array>
#include <cstddef>
#include <cstring>
#include <memory>
#include <utility>

namespace duplex::detail {

/// Frames of prepared messages behind each other, in the order in which this thread sent them. Queues to
/// which the same messages go one after the other, as in a broadcast, refer to the same bytes and copy none.
class frame_run {
public:
    /// Bytes of a run. When it is full another one begins.
    static constexpr std::size_t capacity = std::size_t{16} * 1024;
    /// Longer frames are not worth a copy.
    static constexpr std::size_t longest = 4 * 1024;

    /// The run of this thread, where the frame of `message` is the last; null where it is too long, when
    /// memory ran out, and when the thread is ending. Runs live as long as anybody refers to them.
    [[nodiscard]] static const std::shared_ptr<frame_run>* with(const prepared_message& message) noexcept {
        slot* const here = find();
        if (here == nullptr) return nullptr;
        if (!here->run || here->run->message_ != message.frame().data()) {
            if (message.frame().size() > longest || !here->add(message)) return nullptr;
        }
        return &here->run;
    }

    /// Where the last frame begins.
    [[nodiscard]] const std::byte* last() const noexcept { return last_; }

private:
    /// What a thread has. It keeps the last message alive, so that no other can be taken for it.
    struct slot {
        std::shared_ptr<frame_run> run;
        std::shared_ptr<const void> message;
        ~slot() {
            found_ = nullptr;
            gone_ = true;
        }

        [[nodiscard]] DUPLEX_NEVER_INLINE bool add(const prepared_message& added) noexcept {
            const auto frame = added.frame();
            if (!run || capacity - run->size_ < frame.size()) {
                std::shared_ptr<frame_run> next;
                if (!nothrow([&] { next = std::make_shared<frame_run>(); })) return false;
                run = std::move(next);
            }
            run->last_ = run->bytes_.data() + run->size_;
            std::memcpy(run->bytes_.data() + run->size_, frame.data(), frame.size());
            run->size_ += frame.size();
            run->message_ = frame.data();
            message = added.owner();
            return true;
        }
    };

    [[nodiscard]] static slot* find() noexcept {
        if (found_ == nullptr) [[unlikely]] {
            if (gone_) return nullptr;
            thread_local slot made;
            found_ = &made;
        }
        return found_;
    }

    inline static thread_local constinit slot* found_ = nullptr;
    inline static thread_local constinit bool gone_ = false;

    std::size_t size_ = 0;
    const std::byte* last_ = nullptr;
    const std::byte* message_ = nullptr; ///< whose frame is the last
    std::array<std::byte, capacity> bytes_;
};

} // namespace duplex::detail
