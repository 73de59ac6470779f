#pragma once

#include <duplex/net/detail/transport_layer.hpp>

#include <asio/buffer.hpp>
#include <asio/error.hpp>

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <system_error>
#include <utility>

namespace duplex::detail {

/// A layer over a layer, as where the way to a proxy is secured and the connection through it, too.
class stacked_layer final : public transport_layer {
public:
    stacked_layer(std::unique_ptr<transport_layer> below, std::unique_ptr<transport_layer> above) noexcept
        : below_{std::move(below)}
        , above_{std::move(above)} {}

    progress establish(raw_transport& over, std::error_code& error) noexcept override {
        lower with{*this, over};
        // The lower one's bytes are those that the peer waits for.
        if (below_->unsent() && !below_->flush(over, error) && error != asio::error::would_block)
            return progress::failed;
        const auto made = above_->establish(with, error);
        note();
        return made != progress::failed && unsent_ ? progress::wants_write : made;
    }
    std::size_t read_some(raw_transport& over, asio::mutable_buffer into,
                          std::error_code& error) noexcept override {
        lower with{*this, over};
        const auto size = above_->read_some(with, into, error);
        note();
        return size;
    }
    std::size_t write_some(raw_transport& over, std::span<const asio::const_buffer> from,
                           std::error_code& error) noexcept override {
        lower with{*this, over};
        const auto size = above_->write_some(with, from, error);
        note();
        return size;
    }
    bool flush(raw_transport& over, std::error_code& error) noexcept override {
        lower with{*this, over};
        error.clear();
        if (below_->unsent()) {
            (void)below_->flush(over, error);
            moved_ = below_->moved();
        }
        if (!error && above_->unsent()) (void)above_->flush(with, error);
        // What the upper one is rid of may wait in the lower one.
        if (!error && below_->unsent()) error = asio::error::would_block;
        note();
        return !error;
    }
    void say_end(raw_transport& over) noexcept override {
        lower with{*this, over};
        above_->say_end(with);
        below_->say_end(over);
        note();
    }
    std::unique_ptr<transport_layer> under(std::unique_ptr<transport_layer> self,
                                           std::unique_ptr<transport_layer> above) const override {
        return std::make_unique<stacked_layer>(std::move(self), std::move(above));
    }
    std::string explanation() const override {
        auto words = above_->explanation();
        return words.empty() ? below_->explanation() : words;
    }

private:
    /// What the upper one reads and writes.
    class lower final : public raw_transport {
    public:
        lower(stacked_layer& of, raw_transport& over) noexcept
            : of_{of}
            , over_{over} {
            of.moved_ = false;
        }
        std::size_t read_some(asio::mutable_buffer into, std::error_code& error) noexcept override {
            return of_.below_->read_some(over_, into, error);
        }
        std::size_t write_some(asio::const_buffer from, std::error_code& error) noexcept override {
            const auto size = of_.below_->write_some(over_, {&from, 1}, error);
            of_.moved_ = of_.moved_ || of_.below_->moved();
            return size;
        }

    private:
        stacked_layer& of_;
        raw_transport& over_;
    };

    void note() noexcept {
        unsent_ = above_->unsent() || below_->unsent();
        established_ = established_ || (above_->established() && !unsent_);
        unread_ = above_->unread() || below_->unread();
    }

    std::unique_ptr<transport_layer> below_;
    std::unique_ptr<transport_layer> above_;
};

} // namespace duplex::detail
