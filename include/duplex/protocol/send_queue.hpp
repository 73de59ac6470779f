#pragma once

#include <duplex/core/budget.hpp>
#include <duplex/core/byte_buffer.hpp>
#include <duplex/core/detail/copy_short.hpp>
#include <duplex/core/detail/inlining.hpp>
#include <duplex/core/detail/nothrow.hpp>
#include <duplex/core/endian.hpp>
#include <duplex/core/frame_header.hpp>
#include <duplex/core/mask.hpp>
#include <duplex/protocol/detail/frame_run.hpp>
#include <duplex/protocol/frame_encoder.hpp>
#include <duplex/protocol/prepared_message.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <utility>
#include <vector>

namespace duplex {

/// A run of bytes to write. Valid until `consumed` or the next change of the queue that is not a push.
using segment = std::span<const std::byte>;

/// Encoded frames on their way to the transport, in two lanes: data in the order it was pushed, and control
/// frames, which overtake data at the next frame boundary (RFC 6455 5.5: control frames may be injected in
/// the middle of a fragmented message).
///
/// Small frames are copied behind each other into a block, so that a batch of them leaves in one contiguous
/// write. Large payloads are held by reference. Bytes handed out by `gather` stay where they are until
/// consumed, so a write may be under way while more is pushed. An empty queue holds no frames, only memory to
/// reuse.
class send_queue {
public:
    /// Payloads of at least this size are written from where they are instead of being copied into the block.
    static constexpr std::size_t reference_threshold = 16 * 1024;
    /// Room of the control lane, in bytes. Pongs that find it full replace each other; the last of them has
    /// room behind it.
    static constexpr std::size_t control_capacity = 2048;

    send_queue() noexcept = default;
    send_queue(const send_queue&) = delete;
    send_queue& operator=(const send_queue&) = delete;

    // --- filling the data lane; each returns false when memory ran out, and then has changed nothing ---

    /// Copies the payload, masking it where the header says so.
    [[nodiscard]] bool push_copy(const frame_header& header, std::span<const std::byte> payload) noexcept {
        if (tail_closed_ && !seal_tail()) return false;
        const std::size_t before = tail_.size();
        if (!encode_frame(tail_, header, payload)) return false;
        data_bytes_ += tail_.size() - before;
        return true;
    }

    /// The same for a payload that lies in several places.
    [[nodiscard]] bool push_parts(const frame_header& header,
                                  std::span<const std::span<const std::byte>> parts) noexcept;

    /// Drops all frames of the data lane of which no byte has left, or is held by a write, and puts this one
    /// in their place. False when memory ran out, and then nothing has changed.
    [[nodiscard]] bool push_instead(const frame_header& header, std::span<const std::byte> payload) noexcept;

    /// Bytes that the header of a frame of less than `reference_threshold` may have when it is not masked.
    static constexpr std::size_t small_header = 4;

    /// Copies a payload of less than `reference_threshold` behind a header that is not masked, where the
    /// block has room; false, and nothing done, where it has none or the payload is longer.
    [[nodiscard]] DUPLEX_ALWAYS_INLINE bool push_small(opcode op,
                                                       std::span<const std::byte> payload) noexcept {
        if (payload.size() > max_short_length) return push_longer(op, payload);
        std::byte* const at = begin_small(op, 2 + payload.size());
        if (at == nullptr) return false;
        at[1] = static_cast<std::byte>(payload.size());
        detail::copy_short(at + 2, payload.data(), payload.size());
        return true;
    }
    static_assert(reference_threshold <= 0xFFFF);

    /// Takes the payload over, masking it where it lies. It is left alone when memory ran out.
    [[nodiscard]] bool push_owned(const frame_header& header, byte_buffer&& payload) noexcept {
        if (payload.size() < reference_threshold) return push_copy(header, payload.bytes());
        if (!push_header(header)) return false;
        if (header.masked) mask(payload.bytes(), header.key);
        piece added;
        added.own = std::move(payload);
        added.data = added.own.data();
        added.size = added.own.size();
        append(std::move(added));
        return true;
    }

    /// Refers to the payload, which must stay as it is until it is consumed or `settle` was called. Not
    /// masked.
    [[nodiscard]] bool push_borrowed(const frame_header& header,
                                     std::span<const std::byte> payload) noexcept {
        if (!push_header(header)) return false;
        piece added;
        added.borrowed = true;
        added.data = payload.data();
        added.size = payload.size();
        append(std::move(added));
        borrowing_ = true;
        return true;
    }

    /// Shares a frame that was encoded before.
    [[nodiscard]] bool push_prepared(const prepared_message& message) noexcept {
        const auto frame = message.frame();
        if (frame.size() >= reference_threshold) return push_shared(message.owner(), frame);
        // Where nothing else is queued, or the messages sent before to the same peers.
        if (tail_.empty()) {
            if (const auto* const run = detail::frame_run::with(message)) {
                if (pieces_.size() == head_) return push_shared(*run, {(*run)->last(), frame.size()});
                if (piece& before = pieces_.back();
                    before.shared == *run && before.data + before.size == (*run)->last()) {
                    before.size += frame.size();
                    data_bytes_ += frame.size();
                    return true;
                }
            }
        }
        if (tail_closed_ && !seal_tail()) return false;
        if (!tail_.append(frame)) return false;
        data_bytes_ += frame.size();
        return true;
    }

    /// Copies what is still borrowed: call before borrowed memory changes. False when memory ran out; the
    /// queue can then no longer be written.
    [[nodiscard]] bool settle() noexcept {
        if (!borrowing_) [[likely]]
            return true;
        borrowing_ = false;
        for (std::size_t i = head_; i < pieces_.size(); ++i) {
            piece& each = pieces_[i];
            if (!each.borrowed) continue;
            if (!each.own.append({each.data, each.size})) return false;
            each.data = each.own.data();
            each.borrowed = false;
        }
        return true;
    }

    /// True while something that was borrowed may not be written yet.
    [[nodiscard]] bool borrows() const noexcept { return borrowing_; }

    /// Takes the memory over that borrowed payloads lie in, or frees it. False when memory ran out, as in
    /// `settle`.
    [[nodiscard]] bool adopt(byte_buffer&& lent) noexcept {
        const std::byte* const begin = lent.data();
        const std::byte* const end = begin + lent.size();
        for (std::size_t i = head_; i < pieces_.size(); ++i) {
            piece& each = pieces_[i];
            if (!each.borrowed || each.data < begin || each.data >= end) continue;
            if (lent.data() != nullptr) {
                each.own = std::move(lent);
            } else {
                // Sent twice: it may be gone with the first.
                if (!each.own.append({each.data, each.size})) return false;
                each.data = each.own.data();
            }
            each.borrowed = false;
        }
        return true;
    }

    // --- filling the control lane ---

    /// Queues a Pong. Where the lane is full it replaces the last Pong that found it full (RFC 6455 5.5.3:
    /// only the most recent Ping has to be answered), so a flood of Pings costs a bounded amount of memory.
    [[nodiscard]] bool push_pong(const frame_header& header, std::span<const std::byte> payload) noexcept {
        if (late_pong_.empty() && push_control(header, payload)) return true;
        other_bytes_ -= late_pong_.size();
        late_pong_.clear();
        const bool encoded = encode_frame(late_pong_, header, payload);
        other_bytes_ += late_pong_.size();
        return encoded;
    }

    /// A Pong waits for room: one that comes now takes its place.
    [[nodiscard]] bool replaces_pongs() const noexcept { return !late_pong_.empty(); }

    /// Takes the memory of the control lane, all at once: what lies in it must not move. False when there is
    /// none.
    [[nodiscard]] bool open_control() noexcept {
        constexpr std::size_t largest = max_frame_header_size + max_control_payload;
        return control_.reserve(control_capacity + largest);
    }

    /// Queues a control frame ahead of the data; false when the lane is full or memory ran out.
    [[nodiscard]] bool push_control(const frame_header& header, std::span<const std::byte> payload) noexcept {
        if (!open_control()) return false;
        if (control_.size() + max_frame_header_size + payload.size() > control_capacity) return false;
        const std::size_t before = control_.size();
        if (!encode_frame(control_, header, payload)) return false;
        other_bytes_ += control_.size() - before;
        return true;
    }

    // --- emptying ---

    /// Fills `out` with what is to be written next; returns how many segments it took. More may remain.
    [[nodiscard]] std::size_t gather(std::span<segment> out) noexcept;

    /// All there is to write where that is one segment of data, as it is most of the time; else empty, and
    /// `gather` tells.
    [[nodiscard]] DUPLEX_ALWAYS_INLINE segment only_segment() noexcept {
        if (other_bytes_ != 0) return {};
        const std::byte* only = tail_.data() + tail_at_;
        if (!pieces_.empty()) [[unlikely]] {
            if (pieces_.size() - head_ != 1 || !tail_.empty()) return {};
            only = pieces_[head_].data;
        }
        gathered_control_ = 0;
        gathered_data_ = data_bytes_;
        return {only, data_bytes_};
    }

    /// Counts bytes as written, in the order of the last `gather`. True where that is all of the data lane,
    /// and nothing of the other; false where there may be more.
    DUPLEX_ALWAYS_INLINE bool consumed(std::size_t size) noexcept {
        writing_ = false;
        if (gathered_control_ == 0) [[likely]] {
            if (size == data_bytes_) [[likely]] {
                consume_all();
                return true;
            }
            consume_part(size);
        } else {
            consume_both(size);
        }
        return false;
    }

    /// Shows `f` the first `size` bytes of the last `gather`, which are about to be consumed: segment by
    /// segment, each with how many bytes come behind it.
    template <class F>
    void each_gathered(std::size_t size, F f) const noexcept;
    /// Bytes in the last `gather`.
    [[nodiscard]] std::size_t gathered() const noexcept { return gathered_control_ + gathered_data_; }

    /// Until `consumed`, leaves the bytes of the last `gather` where they are, whatever is pushed: needed
    /// while an asynchronous write holds them.
    void hold() noexcept {
        tail_closed_ = !tail_.empty();
        writing_ = true;
    }

    // --- what is there ---

    [[nodiscard]] bool empty() const noexcept { return bytes() == 0; }
    [[nodiscard]] std::size_t bytes() const noexcept { return data_bytes_ + other_bytes_; }
    /// Some of them can be written now.
    [[nodiscard]] bool has_output() const noexcept { return bytes() != waiting_bytes_; }
    /// Of them those in the data lane.
    [[nodiscard]] std::size_t data_bytes() const noexcept { return data_bytes_; }

    /// Counts `size` bytes as queued that wait elsewhere to be pushed, in place of those counted before.
    void count_waiting(std::size_t size) noexcept {
        other_bytes_ += size - waiting_bytes_;
        waiting_bytes_ = size;
    }

    /// Bytes of the data lane written and pushed since the queue was made: a message is written when
    /// `data_written()` has reached what `data_pushed()` was just after it was pushed.
    [[nodiscard]] std::uint64_t data_written() const noexcept { return data_consumed_; }
    [[nodiscard]] std::uint64_t data_pushed() const noexcept { return data_consumed_ + data_bytes_; }
    [[nodiscard]] std::uint64_t control_written() const noexcept { return control_consumed_; }
    [[nodiscard]] std::uint64_t control_pushed() const noexcept {
        return control_consumed_ + control_.size() - control_at_;
    }

    /// Whether the data byte at `position` has left or is held by a write: what is pushed into the control
    /// lane now comes after it.
    [[nodiscard]] bool begun(std::uint64_t position) const noexcept { return begun() > position; }

    /// Continues the counts of a queue that was put aside while empty.
    void resume_counts(std::uint64_t data, std::uint64_t control) noexcept {
        data_consumed_ = boundary_ = data;
        control_consumed_ = control;
        notes = {};
    }

    /// What a session remembers of what is queued. Gone once all of it is written.
    struct session_notes {
        std::uint64_t ping_end =
            0; ///< control bytes up to the end of the keepalive Ping, or of what left it no room
        std::uint64_t close_begin = 0; ///< data bytes before our Close
    };
    session_notes notes{};

    /// Of the budget that the session shares; none where the queue is empty.
    detail::send_charge charge;

    /// Bytes of block held for reuse.
    [[nodiscard]] std::size_t memory() const noexcept { return tail_.capacity(); }

    /// Gives back memory beyond `keep` bytes of block.
    void trim(std::size_t keep) noexcept {
        if (tail_.empty() && tail_.capacity() > keep) tail_.release();
    }

private:
    struct piece {
        const std::byte* data = nullptr; ///< first byte not consumed
        std::size_t size = 0;            ///< bytes not consumed
        byte_buffer own{};
        std::shared_ptr<const void> shared{};
        bool block = false;    ///< was the tail: memory to reuse
        bool borrowed = false; ///< refers to memory that is not ours
    };

    /// Up to here the data lane has left or is held by a write.
    [[nodiscard]] std::uint64_t begun() const noexcept {
        return data_consumed_ + (writing_ ? gathered_data_ : 0);
    }

    /// The same for a length that takes two bytes more.
    [[nodiscard]] DUPLEX_NEVER_INLINE bool push_longer(opcode op,
                                                       std::span<const std::byte> payload) noexcept {
        if (payload.size() >= reference_threshold) return false;
        std::byte* const at = begin_small(op, small_header + payload.size());
        if (at == nullptr) return false;
        at[1] = static_cast<std::byte>(max_short_length + 1);
        store_big(at + 2, static_cast<std::uint16_t>(payload.size()));
        std::memcpy(at + small_header, payload.data(), payload.size());
        return true;
    }
    [[nodiscard]] DUPLEX_ALWAYS_INLINE std::byte* begin_small(opcode op, std::size_t size) noexcept {
        if (tail_closed_ || tail_.capacity() - tail_.size() < size) return nullptr;
        std::byte* const at = tail_.data() + tail_.size();
        at[0] = std::byte{0x80} | static_cast<std::byte>(op);
        tail_.commit(size);
        data_bytes_ += size;
        return at;
    }

    [[nodiscard]] bool reserve_pieces(std::size_t more) noexcept {
        if (pieces_.capacity() - pieces_.size() >= more) return true;
        return detail::nothrow([&] { pieces_.reserve(pieces_.size() * 2 + more); });
    }

    /// There is room for it.
    void append(piece&& added) noexcept {
        data_bytes_ += added.size;
        pieces_.push_back(std::move(added));
    }

    /// Refers to bytes that `owner` keeps.
    [[nodiscard]] bool push_shared(std::shared_ptr<const void> owner,
                                   std::span<const std::byte> bytes) noexcept {
        if (!seal_tail() || !reserve_pieces(1)) return false;
        piece added;
        added.shared = std::move(owner);
        added.data = bytes.data();
        added.size = bytes.size();
        append(std::move(added));
        return true;
    }

    /// What comes next goes behind the tail, not into it.
    [[nodiscard]] bool seal_tail() noexcept {
        if (tail_.empty()) return true;
        if (!reserve_pieces(1)) return false;
        piece sealed;
        sealed.data = tail_.data() + tail_at_;
        sealed.size = tail_.size() - tail_at_;
        sealed.own = std::move(tail_);
        sealed.block = true;
        pieces_.push_back(std::move(sealed));
        tail_at_ = 0;
        tail_closed_ = false;
        return true;
    }

    /// Encodes a header whose payload is the piece that is appended behind it, for which there is room then.
    [[nodiscard]] bool push_header(const frame_header& header) noexcept {
        if (!reserve_pieces(3) || (tail_closed_ && !seal_tail())) return false;
        const std::size_t before = tail_.size();
        if (!encode_header(tail_, header)) return false;
        data_bytes_ += tail_.size() - before;
        return seal_tail();
    }

    std::size_t gather_data(std::size_t from, std::size_t to, std::span<segment> out,
                            std::size_t count) noexcept;

    void consume_both(std::size_t size) noexcept;

    void consume_data(std::size_t size) noexcept {
        if (size == data_bytes_)
            consume_all();
        else
            consume_part(size);
    }

    DUPLEX_ALWAYS_INLINE void consume_all() noexcept {
        data_consumed_ += data_bytes_;
        data_bytes_ = 0;
        if (!pieces_.empty()) [[unlikely]]
            drop_pieces();
        borrowing_ = false;
        tail_.clear();
        tail_at_ = 0;
        tail_closed_ = false;
        boundary_ = data_consumed_;
    }

    void consume_part(std::size_t size) noexcept;

    void drop_what_has_not_begun() noexcept;

    void drop_front() noexcept;

    /// Everything is written: keep the largest block for reuse.
    void drop_pieces() noexcept;

    /// Moves `boundary_` to the first frame boundary at or behind `target`, by walking the frame headers.
    /// Only needed when the transport took part of the queue.
    void find_boundary(std::uint64_t target) noexcept;

    void consume_control(std::size_t size) noexcept;

    void admit_late_pong() noexcept {
        if (!late_pong_.empty() && open_control() && control_.append(late_pong_.bytes())) late_pong_.clear();
    }

    std::vector<piece> pieces_; ///< in front of the tail: large payloads, and blocks that may not grow
    std::size_t head_ = 0;      ///< the first piece not consumed
    byte_buffer tail_;          ///< the block that small frames go to
    std::size_t tail_at_ = 0;   ///< its first byte not consumed
    std::size_t data_bytes_ = 0;
    std::uint64_t data_consumed_ = 0;
    std::uint64_t boundary_ = 0; ///< a frame boundary at or behind data_consumed_
    byte_buffer control_;
    byte_buffer late_pong_;
    std::size_t control_at_ = 0;
    std::size_t other_bytes_ = 0;   ///< of the control lane, not consumed, a Pong that waits included; and
                                    ///< those that wait elsewhere
    std::size_t waiting_bytes_ = 0; ///< those that wait elsewhere
    std::uint64_t control_consumed_ = 0;
    std::size_t gathered_before_ = 0;  ///< data bytes that the last gather put before the control lane
    std::size_t gathered_control_ = 0; ///< control bytes in the last gather
    std::size_t gathered_data_ = 0;    ///< data bytes in the last gather
    bool writing_ = false;             ///< the bytes of the last gather are held
    bool borrowing_ = false;
    bool tail_closed_ = false; ///< it must not grow or move
};

/// In one call, so that a pointer whose queue was lent costs its owners no more than a look.
struct send_queue_deleter {
    DUPLEX_NEVER_INLINE void operator()(send_queue* gone) const noexcept { delete gone; }
};
using send_queue_ptr = std::unique_ptr<send_queue, send_queue_deleter>;

} // namespace duplex

#include <duplex/protocol/impl/send_queue_emptying.hpp>
