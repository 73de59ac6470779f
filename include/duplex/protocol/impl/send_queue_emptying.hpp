#pragma once

// How a send queue empties: what the next write takes of both lanes, and what of it was written.

#include <duplex/protocol/send_queue.hpp>

namespace duplex {

inline std::size_t send_queue::gather(std::span<segment> out) noexcept {
    std::size_t count = 0;
    gathered_before_ = 0;
    gathered_control_ = 0;
    gathered_data_ = 0;
    if (other_bytes_ == 0) [[likely]]
        return gather_data(0, data_bytes_, out, 0);
    // A Pong that waits leaves with this batch: after it there may be a Close, and nothing follows that.
    if (control_.size() <= control_capacity) admit_late_pong();
    const std::size_t control = control_.size() - control_at_;
    if (control == 0) return gather_data(0, data_bytes_, out, 0);
    // A frame whose first bytes are gone is finished first; then control frames, then the rest.
    gathered_before_ = static_cast<std::size_t>(boundary_ - data_consumed_);
    count = gather_data(0, gathered_before_, out, count);
    if (count == out.size()) return count;
    out[count++] = segment{control_.data() + control_at_, control};
    gathered_control_ = control;
    if (!late_pong_.empty()) return count;
    return gather_data(gathered_before_, data_bytes_, out, count);
}

inline std::size_t send_queue::gather_data(std::size_t from, std::size_t to, std::span<segment> out,
                                           std::size_t count) noexcept {
    std::size_t at = 0;
    const auto add = [&](const std::byte* data, std::size_t size) {
        const std::size_t begin = std::max(from, at);
        const std::size_t end = std::min(to, at + size);
        if (begin < end) {
            out[count++] = segment{data + (begin - at), end - begin};
            gathered_data_ = end;
        }
        at += size;
    };
    for (std::size_t i = head_; i < pieces_.size() && at < to && count < out.size(); ++i)
        add(pieces_[i].data, pieces_[i].size);
    if (at < to && count < out.size()) add(tail_.data() + tail_at_, tail_.size() - tail_at_);
    return count;
}

template <class F>
void send_queue::each_gathered(std::size_t size, F f) const noexcept {
    const auto data = [&](std::size_t from, std::size_t to) {
        std::size_t at = 0;
        const auto show = [&](const std::byte* begin, std::size_t length) {
            const std::size_t first = std::max(from, at);
            const std::size_t last = std::min(to, at + length);
            at += length;
            if (first >= last) return;
            size -= last - first;
            f(segment{begin + (first + length - at), last - first}, size);
        };
        for (std::size_t i = head_; i < pieces_.size() && at < to; ++i)
            show(pieces_[i].data, pieces_[i].size);
        if (at < to) show(tail_.data() + tail_at_, tail_.size() - tail_at_);
    };
    if (gathered_control_ == 0) return data(0, size);
    const std::size_t before = std::min(size, gathered_before_);
    data(0, before);
    if (const std::size_t control = std::min(size, gathered_control_); control != 0) {
        size -= control;
        f(segment{control_.data() + control_at_, control}, size);
    }
    data(before, before + size);
}

DUPLEX_NEVER_INLINE inline void send_queue::consume_both(std::size_t size) noexcept {
    const std::size_t before = std::min(size, gathered_before_);
    consume_data(before);
    gathered_before_ -= std::min(gathered_before_, before);
    size -= before;
    const std::size_t control = std::min(size, gathered_control_);
    consume_control(control);
    gathered_control_ -= control;
    consume_data(size - control);
}

DUPLEX_NEVER_INLINE inline void send_queue::consume_part(std::size_t size) noexcept {
    if (size == 0) return;
    find_boundary(data_consumed_ + size);
    data_consumed_ += size;
    data_bytes_ -= size;
    while (size != 0 && head_ < pieces_.size()) {
        piece& front = pieces_[head_];
        if (size < front.size) {
            front.data += size;
            front.size -= size;
            return;
        }
        size -= front.size;
        drop_front();
    }
    // What is partly written does not grow: it would keep its consumed bytes for ever.
    tail_at_ += size;
    tail_closed_ = tail_closed_ || size != 0;
}

inline bool send_queue::push_parts(const frame_header& header,
                                   std::span<const std::span<const std::byte>> parts) noexcept {
    if (tail_closed_ && !seal_tail()) return false;
    const std::size_t before = tail_.size();
    if (!encode_header(tail_, header)) return false;
    const std::size_t payload = tail_.size();
    if (!tail_.append_all(parts)) {
        tail_.shrink(payload - before);
        return false;
    }
    if (header.masked) mask(tail_.bytes().subspan(payload), header.key);
    data_bytes_ += tail_.size() - before;
    return true;
}

DUPLEX_RARE inline bool send_queue::push_instead(const frame_header& header,
                                                 std::span<const std::byte> payload) noexcept {
    byte_buffer frame;
    if (!reserve_pieces(2) || !encode_frame(frame, header, payload)) return false;
    drop_what_has_not_begun();
    (void)seal_tail(); // there is room for it
    piece added;
    added.own = std::move(frame);
    added.data = added.own.data();
    added.size = added.own.size();
    append(std::move(added));
    return true;
}

DUPLEX_RARE inline void send_queue::drop_what_has_not_begun() noexcept {
    find_boundary(begun());
    auto left = static_cast<std::size_t>(boundary_ - data_consumed_);
    if (left >= data_bytes_) return;
    data_bytes_ = left;
    std::size_t kept = head_;
    for (; kept < pieces_.size() && left != 0; ++kept) {
        pieces_[kept].size = std::min(pieces_[kept].size, left);
        left -= pieces_[kept].size;
    }
    // What of the tail is kept lies behind all pieces.
    pieces_.erase(pieces_.begin() + static_cast<std::ptrdiff_t>(kept), pieces_.end());
    if (left != 0) {
        tail_.shrink(tail_.size() - tail_at_ - left);
    } else {
        tail_.clear();
        tail_at_ = 0;
        tail_closed_ = false;
    }
}

inline void send_queue::drop_front() noexcept {
    piece& front = pieces_[head_++];
    front.own.release();
    front.shared.reset();
    front.size = 0;
    if (head_ > 16 && head_ > pieces_.size() / 2) {
        pieces_.erase(pieces_.begin(), pieces_.begin() + static_cast<std::ptrdiff_t>(head_));
        head_ = 0;
    }
}

DUPLEX_NEVER_INLINE inline void send_queue::drop_pieces() noexcept {
    for (std::size_t i = head_; i < pieces_.size(); ++i)
        if (pieces_[i].block && pieces_[i].own.capacity() > tail_.capacity()) tail_.swap(pieces_[i].own);
    pieces_.clear();
    head_ = 0;
}

inline void send_queue::find_boundary(std::uint64_t target) noexcept {
    std::size_t index = head_;
    std::uint64_t begin = data_consumed_;
    while (boundary_ < target) {
        while (index < pieces_.size() && boundary_ - begin >= pieces_[index].size)
            begin += pieces_[index++].size;
        const std::byte* data = index < pieces_.size() ? pieces_[index].data : tail_.data() + tail_at_;
        const std::byte* header = data + (boundary_ - begin);
        const auto length7 = std::to_integer<unsigned>(header[1]) & 0x7FU;
        const bool masked = (std::to_integer<unsigned>(header[1]) & 0x80U) != 0;
        const std::uint64_t length = length7 == 126   ? load_big<std::uint16_t>(header + 2)
                                     : length7 == 127 ? load_big<std::uint64_t>(header + 2)
                                                      : length7;
        boundary_ += frame_header_size(length, masked) + length;
    }
}

inline void send_queue::consume_control(std::size_t size) noexcept {
    control_at_ += size;
    other_bytes_ -= size;
    control_consumed_ += size;
    if (control_at_ != control_.size() || size == 0) return;
    control_.clear();
    control_at_ = 0;
    admit_late_pong();
}

} // namespace duplex
