#pragma once

#include <duplex/core/byte_buffer.hpp>
#include <duplex/core/error.hpp>
#include <duplex/net/buffer_pool.hpp>
#include <duplex/net/detail/transport_layer.hpp>
#include <duplex/tls/detail/openssl.hpp>
#include <duplex/tls/detail/stacked_layer.hpp>
#include <duplex/tls/tls_error.hpp>

#include <asio/buffer.hpp>
#include <asio/error.hpp>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <memory>
#include <new>
#include <span>
#include <string>
#include <system_error>
#include <utility>

namespace duplex::detail {

using ssl_ptr = std::unique_ptr<SSL, openssl_free<&SSL_free>>;

/// TLS on a connection. What comes is read into a buffer of the thread, from which OpenSSL takes record by
/// record; what goes is collected and leaves in one write. Between calls it holds, beside OpenSSL's own
/// state, only bytes for which there was no room.
class tls_layer final : public transport_layer {
public:
    /// `ssl` has its role and its context's rules. Nothing where memory runs out.
    [[nodiscard]] static std::unique_ptr<transport_layer> make(ssl_ptr ssl) noexcept {
        std::unique_ptr<tls_layer> made{new (std::nothrow) tls_layer{std::move(ssl)}};
        BIO* bio = made && method() ? BIO_new(method()) : nullptr;
        if (!bio) return nullptr;
        BIO_set_data(bio, made.get());
        BIO_set_init(bio, 1);
        SSL_set_bio(made->ssl_.get(), bio, bio);
        return made;
    }

    progress establish(raw_transport& over, std::error_code& error) noexcept override {
        error.clear();
        const turn now{*this, over};
        if (!established_ && !failure_ && !SSL_is_init_finished(ssl_.get())) {
            const openssl_errors errors;
            if (SSL_do_handshake(ssl_.get()) != 1 && !starved_) fail();
        }
        // The first bytes of the application may have come along. OpenSSL may hold a part of a record, too.
        unread_ = left_off_ || (!starved_ && has_input());
        // An alert goes out as well, as far as that is possible.
        const bool sent = send();
        if (failure_) {
            error = failure_;
            return progress::failed;
        }
        if (!sent) return progress::wants_write;
        // Only now: the peer may be waiting for the last of it.
        established_ = SSL_is_init_finished(ssl_.get()) == 1;
        // What it took to come here, long chains of certificates say, is nothing to hold against the peer.
        if (established_) unheard_ = 0;
        return established_ ? progress::done : progress::wants_read;
    }

    std::size_t read_some(raw_transport& over, asio::mutable_buffer into,
                          std::error_code& error) noexcept override {
        error.clear();
        std::size_t total = 0;
        // As of a socket: it says nothing of the rest.
        if (into.size() == 0) return 0;
        {
            const turn now{*this, over};
            auto* const to = static_cast<unsigned char*>(into.data());
            while (total < into.size() && !failure_) {
                std::size_t size = 0;
                const int result = SSL_read_ex(ssl_.get(), to + total, into.size() - total, &size);
                total += size;
                if (result == 1) {
                    gave_ = true;
                    unheard_ = 0;
                    // To be told so by OpenSSL costs as much as a small record.
                    if (short_ && !has_input()) break;
                    continue;
                }
                if (starved_) break;
                if (closed())
                    failure_ = asio::error::eof;
                else
                    fail();
            }
            // OpenSSL answers to some of what it reads.
            if (has_output()) (void)send();
        }
        // What ended it is told once all that came before has been.
        unread_ = left_off_ || (total != 0 && (failure_ || total == into.size()));
        if (total == 0) error = failure_ ? failure_ : asio::error::would_block;
        return total;
    }

    std::size_t write_some(raw_transport& over, std::span<const asio::const_buffer> from,
                           std::error_code& error) noexcept override {
        error.clear();
        const turn now{*this, over};
        std::size_t taken = 0;
        if (unsent_ && !send()) {
            error = why_unwritable(asio::error::would_block);
            return 0;
        }
        records pending{from};
        bool whole = true;
        for (auto record = pending.next(); !record.empty() && !why_unwritable();) {
            std::size_t size = 0;
            nothing_follows_ = whole && pending.empty();
            if (SSL_write_ex(ssl_.get(), record.data(), record.size(), &size) != 1) {
                fail();
                break;
            }
            taken += size;
            // RFC 6066 4: the peer may want records that are smaller.
            record = record.subspan(size);
            whole = whole && record.empty();
            if (!record.empty()) continue;
            if (!output_.empty()) break; // the transport is full
            record = pending.next();
        }
        if (has_output()) (void)send();
        error = why_unwritable();
        return taken;
    }

    bool flush(raw_transport& over, std::error_code& error) noexcept override {
        error.clear();
        const turn now{*this, over};
        if (send()) return true;
        error = why_unwritable(asio::error::would_block);
        return false;
    }

    void say_end(raw_transport& over) noexcept override {
        // After an error OpenSSL must not be asked for anything.
        if (!established_ || why_unwritable()) return;
        const turn now{*this, over};
        (void)SSL_shutdown(ssl_.get());
        openssl_errors::clear();
        if (has_output()) (void)send();
    }

    std::unique_ptr<transport_layer> under(std::unique_ptr<transport_layer> self,
                                           std::unique_ptr<transport_layer> above) const override {
        return std::make_unique<stacked_layer>(std::move(self), std::move(above));
    }
    std::string explanation() const override { return explanation_; }

private:
    /// Reads of the transport in one turn: a peer may send without end what gives little to read.
    static constexpr unsigned most_reads = 16;
    /// Bytes of an established connection that give nothing to read: four of the largest records. A peer that
    /// sends more, of KeyUpdates say, only wants to keep us busy.
    static constexpr std::size_t most_unheard = std::size_t{64} * 1024;
    /// Bytes that the transport had no room for. What the application writes stays far below; what OpenSSL
    /// answers by itself must as well.
    static constexpr std::size_t most_unsent = std::size_t{512} * 1024;

    explicit tls_layer(ssl_ptr ssl) noexcept
        : ssl_{std::move(ssl)} {}

    /// While it lives OpenSSL may be called: it reads from `input_`, and what it writes is collected.
    class turn {
    public:
        turn(tls_layer& of, raw_transport& over) noexcept
            : of_{of} {
            of.over_ = &over;
            of.moved_ = of.dry_ = of.short_ = of.starved_ = of.gave_ = of.left_off_ = of.nothing_follows_ =
                false;
            of.reads_ = 0;
            of.input_ = of.kept_.bytes();
        }
        turn(const turn&) = delete;
        turn& operator=(const turn&) = delete;
        ~turn() {
            of_.keep_input();
            of_.collecting_.give_back();
            of_.over_ = nullptr;
        }

    private:
        tls_layer& of_;
    };

    /// What is to be written, cut into records of at most 16 KiB: small pieces together, large ones as they
    /// lie.
    class records {
    public:
        explicit records(std::span<const asio::const_buffer> from) noexcept
            : from_{from} {}

        [[nodiscard]] bool empty() noexcept {
            while (!from_.empty() && offset_ == from_.front().size())
                step();
            return from_.empty();
        }

        [[nodiscard]] std::span<const std::byte> next() noexcept {
            if (empty()) return {};
            const auto here = rest();
            if (here.size() >= most || from_.size() == 1) {
                const auto piece = here.first(std::min(here.size(), most));
                offset_ += piece.size();
                return piece;
            }
            if (!room_) room_ = receive_lease::take();
            if (!room_) {
                // Without memory each piece is a record of its own.
                offset_ += here.size();
                return here;
            }
            std::size_t size = 0;
            while (!from_.empty() && size < most) {
                const auto piece = rest().first(std::min(rest().size(), most - size));
                if (!piece.empty()) std::memcpy(room_.bytes().data() + size, piece.data(), piece.size());
                size += piece.size();
                offset_ += piece.size();
                if (offset_ == from_.front().size()) step();
            }
            return room_.bytes().first(size);
        }

    private:
        /// RFC 8446 5.1
        static constexpr std::size_t most = std::size_t{16} * 1024;

        [[nodiscard]] std::span<const std::byte> rest() const noexcept {
            const auto& front = from_.front();
            return std::span{static_cast<const std::byte*>(front.data()), front.size()}.subspan(offset_);
        }
        void step() noexcept {
            from_ = from_.subspan(1);
            offset_ = 0;
        }

        std::span<const asio::const_buffer> from_;
        std::size_t offset_ = 0;
        receive_lease room_;
    };

    /// The peer's end is none of ours (RFC 8446 6.1). What is not known to be broken is `otherwise`.
    [[nodiscard]] std::error_code why_unwritable(std::error_code otherwise = {}) const noexcept {
        if (failure_ && failure_ != asio::error::eof) return failure_;
        return broken_ ? broken_ : otherwise;
    }

    /// Something broke, in the transport or in TLS itself.
    void fail() noexcept {
        if (broken_)
            failure_ = broken_;
        else if (established_ && ended_)
            failure_ = errc::tls_truncated;
        else
            tell_failure();
        openssl_errors::clear();
    }

    void tell_failure() noexcept {
        failure_ = established_ ? errc::tls_truncated : errc::tls_handshake_failed;
        // Words take memory; without, the code has to do.
        (void)nothrow([&] {
            std::string reason = openssl_errors::last();
            // In a handshake all errors are its own. Later the queue is not emptied before each call, since
            // OpenSSL takes some 200 instructions for that: but what it has just said comes last.
            auto known = explain_tls_error(ssl_.get(), established_ ? ERR_peek_last_error() : 0, peer_);
            // RFC 8446 4.6: a peer may refuse a certificate after its own part of the handshake. All else
            // that is explained as a fault of the handshake is none behind it.
            if (established_ && known.error != errc::tls_certificate_required &&
                known.error != errc::tls_certificate_rejected)
                known = {errc::tls_record_invalid, "TLS broke after the handshake: " + std::move(reason)};
            failure_ = known.error;
            explanation_ = std::move(known.text);
        });
    }

    /// The peer has said that it ends (RFC 8446 6.1), and not in the middle of a message. A fatal alert sets
    /// the same flag, but behind one, too, the handshake counts as unfinished.
    [[nodiscard]] bool closed() const noexcept {
        return (SSL_get_shutdown(ssl_.get()) & SSL_RECEIVED_SHUTDOWN) != 0 &&
               SSL_is_init_finished(ssl_.get()) == 1;
    }

    [[nodiscard]] bool has_input() const noexcept {
        return !input_.empty() || SSL_has_pending(ssl_.get()) == 1;
    }
    [[nodiscard]] bool has_output() const noexcept { return collected_ != 0 || !output_.empty(); }

    /// Takes what OpenSSL writes, and makes one write of as much as there is room for; what goes alone is
    /// not copied for that. False where memory runs out.
    [[nodiscard]] bool collect(std::span<const std::byte> bytes) noexcept {
        if (nothing_follows_ && !has_output()) {
            (void)send(bytes);
            return true;
        }
        while (!bytes.empty() && !broken_) {
            if (output_.empty()) collecting_.refill();
            const auto room = collecting_.bytes();
            // Behind what the transport had no room for everything has to wait.
            if (!output_.empty() || room.empty()) return collect_more(bytes);
            const auto size = std::min(bytes.size(), room.size() - collected_);
            std::memcpy(room.data() + collected_, bytes.data(), size);
            collected_ += size;
            bytes = bytes.subspan(size);
            if (collected_ == room.size()) (void)send();
        }
        return true;
    }

    [[nodiscard]] bool collect_more(std::span<const std::byte> bytes) noexcept {
        if (sent_ > output_.size() / 2) {
            std::memmove(output_.data(), output_.data() + sent_, output_.size() - sent_);
            output_.shrink(sent_);
            sent_ = 0;
        }
        if (output_.size() > most_unsent) {
            broken_ = make_error_code(errc::tls_record_invalid);
            return true;
        }
        return output_.append(bytes);
    }

    /// Writes what was collected; false where some is left.
    [[nodiscard]] bool send() noexcept {
        return send(output_.empty() ? std::span<const std::byte>{collecting_.bytes().first(collected_)}
                                    : output_.bytes().subspan(sent_));
    }

    /// The same of `rest`, which is all that there is.
    [[nodiscard]] bool send(std::span<const std::byte> rest) noexcept {
        while (!rest.empty() && !broken_) {
            std::error_code error;
            const auto size = over_->write_some(asio::const_buffer{rest.data(), rest.size()}, error);
            rest = rest.subspan(size);
            moved_ = moved_ || size != 0;
            if (!error && size != 0) continue;
            if (!error || error == asio::error::would_block || error == asio::error::try_again) {
                if (keep_output(rest)) return false;
                error = make_error_code(errc::out_of_memory);
            }
            broken_ = error;
        }
        output_.release();
        sent_ = 0;
        collected_ = 0;
        // What a broken transport was given has not left, and never will.
        unsent_ = bool{broken_};
        if (broken_ && !failure_) failure_ = broken_;
        return !broken_;
    }

    /// For another turn. False where memory runs out.
    [[nodiscard]] bool keep_output(std::span<const std::byte> rest) noexcept {
        if (!output_.empty())
            sent_ = output_.size() - rest.size();
        else if (!output_.append(rest))
            return false;
        collected_ = 0;
        unsent_ = true;
        return true;
    }

    void keep_input() noexcept {
        if (input_.empty()) {
            kept_.release();
        } else if (kept_.empty()) {
            if (!kept_.append(input_)) failure_ = make_error_code(errc::out_of_memory);
        } else {
            // The rest of what was kept already.
            std::memmove(kept_.data(), input_.data(), input_.size());
            kept_.shrink(kept_.size() - input_.size());
        }
        input_ = {};
        lease_.give_back();
    }

    /// Reads the transport. One that gives less than it was asked for has no more: that will do where there
    /// is something to hand out, but that there is nothing at all can be said only after the transport has.
    void refill() noexcept {
        if (short_ && gave_) return;
        if (reads_ == most_reads) {
            left_off_ = true;
            return;
        }
        ++reads_;
        lease_.refill();
        const auto room = lease_.bytes();
        if (room.empty()) {
            broken_ = make_error_code(errc::out_of_memory);
            return;
        }
        std::error_code error;
        const auto size = over_->read_some(asio::mutable_buffer{room.data(), room.size()}, error);
        short_ = size < room.size();
        if (!error) {
            kept_.release();
            input_ = room.first(size);
        } else if (error == asio::error::eof) {
            ended_ = true;
        } else if (error == asio::error::would_block || error == asio::error::try_again) {
            dry_ = true;
        } else {
            broken_ = error;
        }
    }

    // --- as OpenSSL sees it ---

    [[nodiscard]] int give(std::span<std::byte> into) noexcept {
        if (input_.empty() && !dry_ && !broken_ && !ended_) refill();
        if (input_.empty()) return ended_ ? 0 : -1;
        if (established_ && unheard_ > most_unheard) {
            broken_ = make_error_code(errc::tls_record_invalid);
            return -1;
        }
        const auto size = std::min(into.size(), input_.size());
        unheard_ += size;
        std::memcpy(into.data(), input_.data(), size);
        input_ = input_.subspan(size);
        return static_cast<int>(size);
    }

    static int read_bio(BIO* bio, char* into, int size) noexcept {
        BIO_clear_retry_flags(bio);
        auto& self = *static_cast<tls_layer*>(BIO_get_data(bio));
        if (!self.over_ || size <= 0) return -1;
        const int given = self.give({reinterpret_cast<std::byte*>(into), static_cast<std::size_t>(size)});
        self.starved_ = given < 0 && !self.broken_;
        if (self.starved_) BIO_set_retry_read(bio);
        return given;
    }

    static int write_bio(BIO* bio, const char* from, int size) noexcept {
        BIO_clear_retry_flags(bio);
        auto& self = *static_cast<tls_layer*>(BIO_get_data(bio));
        if (size <= 0) return -1;
        const auto bytes = std::as_bytes(std::span{from, static_cast<std::size_t>(size)});
        if (self.collect(bytes)) return size;
        self.broken_ = make_error_code(errc::out_of_memory);
        return -1;
    }

    static long control_bio(BIO* bio, int what, long, void*) noexcept {
        switch (what) {
        case BIO_CTRL_FLUSH: return 1;
        case BIO_CTRL_EOF: return static_cast<tls_layer*>(BIO_get_data(bio))->ended_ ? 1 : 0;
        default: return 0;
        }
    }

    [[nodiscard]] static const BIO_METHOD* method() noexcept {
        static const std::unique_ptr<BIO_METHOD, openssl_free<& BIO_meth_free>> made = [] {
            auto* fresh = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "duplex");
            if (fresh) {
                BIO_meth_set_read(fresh, &read_bio);
                BIO_meth_set_write(fresh, &write_bio);
                BIO_meth_set_ctrl(fresh, &control_bio);
            }
            return std::unique_ptr<BIO_METHOD, openssl_free<&BIO_meth_free>>{fresh};
        }();
        return made.get();
    }

    ssl_ptr ssl_;
    raw_transport* over_ = nullptr; ///< during a turn
    receive_lease lease_;
    std::span<const std::byte> input_; ///< what has come and OpenSSL has not taken, during a turn
    byte_buffer kept_;                 ///< the same between turns
    receive_lease collecting_;         ///< what OpenSSL writes, during a turn
    std::size_t collected_ = 0;        ///< its bytes
    byte_buffer output_;               ///< what the transport had no room for
    std::size_t sent_ = 0;             ///< how much of that is gone
    std::error_code broken_;           ///< what the transport said
    std::error_code failure_;          ///< why nothing more can be read
    std::string explanation_;
    std::size_t unheard_ = 0; ///< bytes since the last that gave something to read
    // Of this turn:
    unsigned reads_ = 0;           ///< of the transport
    bool dry_ = false;             ///< the transport has said that it has no more
    bool short_ = false;           ///< it gave less than it was asked for
    bool starved_ = false;         ///< OpenSSL wanted more than has come: it does nothing else after that
    bool gave_ = false;            ///< there is something to hand out
    bool left_off_ = false;        ///< there may be more: others have a turn first
    bool nothing_follows_ = false; ///< what OpenSSL writes now is the last of it

    bool ended_ = false; ///< the transport is at its end
};

} // namespace duplex::detail
