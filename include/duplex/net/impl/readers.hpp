#pragma once

// The three ways to take what a connection receives.

#include <duplex/net/impl/connection_state.hpp>
#include <duplex/net/message_batch.hpp>

#include <tuple>

namespace duplex::detail {

/// `async_read`: one message, with bytes of its own.
template <class Stream>
class single_reader : public reader<Stream> {
public:
    bool consume(connection_state<Stream>& state) override {
        while (const event found = state.session_.next()) {
            if (found.what == event::kind::message) {
                read_ = state.own(found);
                return true;
            }
            state.on_event(found);
            if (found.what == event::kind::closed || found.what == event::kind::failed) {
                error_ = state.final_error();
                return true;
            }
        }
        return false;
    }

    [[nodiscard]] std::tuple<std::error_code, message> arguments(std::error_code error) {
        return {error ? error : error_, std::move(read_)};
    }

protected:
    single_reader() noexcept
        : reader<Stream>{false, false, false} {}
    ~single_reader() = default;

private:
    message read_;
    std::error_code error_;
};

/// `async_read_batch`: all messages of one read, as views.
template <class Stream>
class batch_reader : public reader<Stream> {
public:
    bool consume(connection_state<Stream>& state) override {
        while (const event found = state.session_.next()) {
            if (found.what == event::kind::message) {
                state_ = intrusive_ptr<connection_state<Stream>>{&state};
                first_ = found;
                return true;
            }
            state.on_event(found);
            if (found.what == event::kind::closed || found.what == event::kind::failed) {
                error_ = state.final_error();
                return true;
            }
        }
        return false;
    }

    [[nodiscard]] std::tuple<std::error_code, message_batch<Stream>> arguments(std::error_code error) {
        if (!state_) return {error ? error : error_, message_batch<Stream>{}};
        return {std::error_code{}, message_batch<Stream>{std::move(state_), first_}};
    }

protected:
    batch_reader() noexcept
        : reader<Stream>{true, false, false} {}
    ~batch_reader() = default;

private:
    intrusive_ptr<connection_state<Stream>> state_;
    event first_;
    std::error_code error_;
};

/// `async_run`: every message to a callback, until the connection has ended.
template <class Stream, class Handlers>
class run_reader : public reader<Stream> {
public:
    using lasts = void;

    bool consume(connection_state<Stream>& state) override {
        while (const event found = state.session_.next_in_line()) {
            switch (found.what) {
            case event::kind::message: on_message(message::received(found.op, found.payload)); break;
            case event::kind::fragment:
                if constexpr (takes_fragments)
                    handlers_.on_fragment(message{found.op, found.payload}, found.last);
                break;
            case event::kind::ping:
                if constexpr (requires { handlers_.on_ping(found.payload); })
                    handlers_.on_ping(found.payload);
                break;
            case event::kind::pong:
                state.on_event(found);
                if constexpr (requires { handlers_.on_pong(found.payload); })
                    handlers_.on_pong(found.payload);
                break;
            default: state.on_event(found);
            }
            // A callback may have stopped the run, or destroyed the connection.
            if (state.reader_ != this) return false;
        }
        if constexpr (wants_news)
            if (state.seldom_ && state.seldom_->wishes) [[unlikely]]
                tell(state);
        return false;
    }

    /// What has become of messages.
    void tell([[maybe_unused]] connection_state<Stream>& state) override {
        if constexpr (wants_low_water)
            if (this->takes_low_water && std::exchange(state.seldom_->wishes->low_water, false) &&
                state.is_open())
                handlers_.on_low_water();
        if constexpr (wants_fates)
            while (this->takes_fates && state.reader_ == this) {
                const auto told = state.next_fate();
                if (!told) break;
                handlers_.on_fate(told->tag, told->fate);
            }
    }

protected:
    explicit run_reader(Handlers&& handlers)
        : reader<Stream>{false, true, takes_fragments, wants_fates && takes_fates_now(handlers),
                         wants_low_water && takes_low_water_now(handlers)}
        , handlers_{std::move(handlers)} {}
    ~run_reader() = default;

private:
    static constexpr bool takes_fragments = requires(Handlers & handlers) {
        handlers.on_fragment(message{}, true);
    };

    static constexpr bool wants_fates = requires(Handlers & handlers) {
        handlers.on_fate(std::uint64_t{}, message_fate::written);
    };
    static constexpr bool wants_low_water = requires(Handlers & handlers) { handlers.on_low_water(); };
    static constexpr bool wants_news = wants_fates || wants_low_water;

    // Handlers may know only when a run begins what they want.
    [[nodiscard]] static bool takes_fates_now([[maybe_unused]] const Handlers& handlers) {
        if constexpr (requires { handlers.takes_fates(); }) return handlers.takes_fates();
        return true;
    }
    [[nodiscard]] static bool takes_low_water_now([[maybe_unused]] const Handlers& handlers) {
        if constexpr (requires { handlers.takes_low_water(); }) return handlers.takes_low_water();
        return true;
    }

    void on_message(const message& received) {
        if constexpr (requires { handlers_.on_message(received); })
            handlers_.on_message(received);
        else
            handlers_(received);
    }

    Handlers handlers_;
};

} // namespace duplex::detail
