#pragma once

// What a connection has at some times of its life only.

#include <duplex/core/budget.hpp>
#include <duplex/core/byte_buffer.hpp>
#include <duplex/core/detail/nothrow.hpp>
#include <duplex/handshake/outcome.hpp>
#include <duplex/handshake/server_handshake.hpp>
#include <duplex/net/connection_options.hpp>
#include <duplex/net/detail/client_opening.hpp>
#include <duplex/net/detail/inbox.hpp>
#include <duplex/net/detail/waiter.hpp>
#include <duplex/protocol/closing.hpp>
#include <duplex/protocol/latency.hpp>
#include <duplex/protocol/message_options.hpp>

#include <bit>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace duplex::detail {

/// What is going on with an open connection.
struct situation {
    bool writing = false;      ///< a write waits for the stream
    bool batch_out = false;    ///< a batch looks at the window
    std::uint8_t paused = 0;   ///< why nothing is read: see below
    bool serving_soon = false; ///< at the end of the loop's turn
    bool flush_soon = false;   ///< at the end of the loop's turn
    bool shut = false;         ///< our direction of the transport is ended
    bool ended = false;        ///< the transport is closed
    bool released = false;     ///< the owner is gone

    static constexpr std::uint8_t by_queue = 1;       ///< a run: the queue is above its watermark
    static constexpr std::uint8_t by_application = 2; ///< until it says otherwise

    /// None of these: an open connection between two messages.
    [[nodiscard]] bool ordinary() const noexcept {
        static_assert(sizeof(situation) == sizeof(std::uint64_t));
        return std::bit_cast<std::uint64_t>(*this) == 0;
    }
};

/// Who waits for a pong.
class ping_waiter : public listed_waiter<std::error_code, std::chrono::nanoseconds> {
public:
    std::uint64_t written_mark = 0; ///< control bytes up to the end of the Ping
    time_point written = no_deadline;

protected:
    ~ping_waiter() = default;
};

/// What is needed until the connection is open.
struct opening_parts {
    explicit opening_parts(const connection_options& with)
        : options{with} {}

    connection_options options;
    std::optional<server_handshake> server{};
    answer_reader::owner client{nullptr, nullptr};
    waiter<std::error_code>* waiting = nullptr;
    time_point deadline = no_deadline;
    std::string_view to_write{};
    /// Set by an accept that first has to read the request.
    std::shared_ptr<const server_handshake_options> accept_options{};
    std::optional<deflate_options> deflate{}; ///< accepted or offered
    bool refused = false;                     ///< the answer is written; the peer's end is awaited
    bool initiating = false;                  ///< inside the function that began the operation
    bool forgotten = false;                   ///< nobody will look at its outcome
    budget::handshake counted{};              ///< its place in the budget, where there is one

    /// The server's side, begun if need be.
    [[nodiscard]] server_handshake& as_server() { return server ? *server : server.emplace(options.http); }
};

/// How it came to its end.
struct ending {
    std::optional<close_result> result;
    std::error_code transport; ///< what the stream said
};
/// Those that wait for something other than messages. Most connections never have any.
struct waiters {
    waiter_list<std::error_code> sent; ///< keys: positions in the stream of data
    waiter_list<std::error_code> drains;
    waiter_list<std::error_code> closes;
    waiter_list<std::error_code, std::chrono::nanoseconds> pings; ///< keys: numbers of Pings
    std::uint64_t ping_count = 0;
};

/// What has become of messages whose options ask for something, and who waits for it.
struct send_wishes {
    waiter_list<std::error_code> sent; ///< keys: tags of our own
    room_queue for_room;
    time_point earliest = no_deadline; ///< when one of those has waited too long
    std::uint64_t tags = 0;
    bool low_water = false;

    /// Without memory for it a fate is not told.
    void keep(const told_fate& told) noexcept {
        (void)nothrow([&] { fates_.push_back(told); });
    }
    [[nodiscard]] bool has_fates() const noexcept { return next_ != fates_.size(); }
    [[nodiscard]] std::optional<told_fate> next_fate() noexcept {
        if (!has_fates()) return std::nullopt;
        const told_fate next = fates_[next_++];
        if (!has_fates())
            forget_told();
        else if (next_ >= 64 && next_ >= fates_.size() / 2)
            fates_.erase(fates_.begin(),
                         fates_.begin() + static_cast<std::ptrdiff_t>(std::exchange(next_, 0)));
        return next;
    }

private:
    void forget_told() noexcept {
        fates_ = {};
        next_ = 0;
    }

    // Not a deque: that one takes memory from the beginning, and throws where there is none.
    std::vector<told_fate> fates_; ///< of the application's messages, those from `next_` on not told yet
    std::size_t next_ = 0;
};

/// What came before the application paused the reading, and after.
struct withheld_reading {
    std::span<std::byte> unread{}; ///< of the window; in the end it lies in the stash
    bool completed = false;        ///< a read of the stream has, as follows, and nobody has looked at it
    std::error_code error{};
    std::size_t size = 0;
};

/// What most open connections have none of.
struct seldom {
    std::unique_ptr<handshake_outcome> outcome; ///< how the opening went, until that is forgotten
    std::unique_ptr<byte_buffer> stash;         ///< the rest of a window, kept for the next read
    std::unique_ptr<ending> end;
    std::unique_ptr<waiters> waiting;
    std::unique_ptr<send_wishes> wishes;
    std::unique_ptr<withheld_reading> withheld;
    std::unique_ptr<latency> answers; ///< from the first time on that somebody asks

    [[nodiscard]] bool empty() const noexcept {
        return !outcome && !stash && !end && !waiting && !wishes && !withheld && !answers;
    }
};

} // namespace duplex::detail
