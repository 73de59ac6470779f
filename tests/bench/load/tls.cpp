// One buffer for all that comes and one for all that goes: a read of the socket brings many records, a write
// takes many.

#include "tls.hpp"

#include "socket.hpp"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include <algorithm>
#include <vector>

namespace bench {

namespace {

/// RFC 8446 5.1: what one record holds.
constexpr std::size_t record_size = std::size_t{16} * 1024;
constexpr std::size_t write_size = std::size_t{256} * 1024;

struct wire {
    std::vector<unsigned char> in = std::vector<unsigned char>(std::size_t{1} << 20);
    std::vector<unsigned char> out;
};

wire& shared() {
    static wire one;
    return one;
}

[[noreturn]] void tls_failure() {
    const char* why = ERR_reason_error_string(ERR_peek_error());
    throw failure{std::string{"TLS: "} + (why != nullptr ? why : "the connection was cut")};
}

template <auto Free>
struct freed {
    template <class T>
    void operator()(T* object) const noexcept {
        Free(object);
    }
};

class channel final : public tls_channel {
public:
    channel(SSL_CTX* context, BIO_METHOD* method, int socket)
        : socket_{socket}
        , ssl_{SSL_new(context)} {
        BIO* const bio = BIO_new(method);
        BIO_set_data(bio, this);
        BIO_set_init(bio, 1);
        SSL_set_bio(ssl_.get(), bio, bio);
        SSL_set_connect_state(ssl_.get());
        for (int done = 0; done != 1;) {
            begin();
            done = SSL_do_handshake(ssl_.get());
            if (done != 1 && SSL_get_error(ssl_.get(), done) != SSL_ERROR_WANT_READ) tls_failure();
            if (done != 1 && timed_out_) throw failure{"TLS: the server does not answer the handshake"};
            keep();
        }
        (void)write_out();
    }

    ssize_t send(const unsigned char* from, std::size_t size) override {
        if (!write_kept()) {
            errno = EAGAIN;
            return -1;
        }
        std::size_t taken = 0;
        while (taken < size) {
            while (taken < size && shared().out.size() < write_size) {
                std::size_t written = 0;
                if (SSL_write_ex(ssl_.get(), from + taken, std::min(size - taken, record_size), &written) !=
                    1)
                    tls_failure();
                taken += written;
            }
            if (!write_out()) break;
        }
        return static_cast<ssize_t>(taken);
    }

    ssize_t receive(unsigned char* into, std::size_t size) override {
        begin();
        std::size_t total = 0;
        while (total < size) {
            std::size_t got = 0;
            const int result = SSL_read_ex(ssl_.get(), into + total, size - total, &got);
            if (result != 1) {
                const int why = SSL_get_error(ssl_.get(), result);
                if (why == SSL_ERROR_WANT_READ) break;
                if (why == SSL_ERROR_ZERO_RETURN && total == 0) return 0;
                if (why != SSL_ERROR_ZERO_RETURN) tls_failure();
                break;
            }
            total += got;
            // It would say so itself, at a price.
            if (left_ == 0 && drained_ && SSL_has_pending(ssl_.get()) == 0) break;
        }
        keep();
        if (!shared().out.empty()) (void)write_out();
        if (total != 0) return static_cast<ssize_t>(total);
        errno = EAGAIN;
        return -1;
    }

    bool unsent() const noexcept override { return !unsent_.empty(); }

    static BIO_METHOD* method() {
        BIO_METHOD* const made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "load");
        BIO_meth_set_read(made, [](BIO* bio, char* into, int size) {
            BIO_clear_retry_flags(bio);
            const int given =
                static_cast<channel*>(BIO_get_data(bio))->give(into, static_cast<std::size_t>(size));
            if (given < 0) BIO_set_retry_read(bio);
            return given;
        });
        BIO_meth_set_write(made, [](BIO*, const char* from, int size) {
            auto& out = shared().out;
            out.insert(out.end(), from, from + size);
            return size;
        });
        BIO_meth_set_ctrl(made, [](BIO*, int what, long, void*) { return what == BIO_CTRL_FLUSH ? 1L : 0L; });
        return made;
    }

private:
    void begin() noexcept {
        std::copy(kept_.begin(), kept_.end(), shared().in.begin());
        at_ = 0;
        left_ = kept_.size();
        kept_.clear();
        drained_ = false;
        timed_out_ = false;
    }
    /// The buffer is for all: what is left of it stays here.
    void keep() {
        const auto* const rest = shared().in.data() + at_;
        kept_.assign(rest, rest + left_);
    }

    /// To OpenSSL.
    int give(char* into, std::size_t size) {
        if (left_ == 0) {
            if (drained_) return -1;
            // The server may be waiting for it.
            if (!shared().out.empty()) (void)write_out();
            auto& in = shared().in;
            const ssize_t got = ::recv(socket_, in.data(), in.size(), 0);
            if (got == 0) return 0;
            drained_ = got < static_cast<ssize_t>(in.size());
            timed_out_ = got < 0 && errno == EAGAIN;
            if (got < 0 && !timed_out_) return 0;
            if (got < 0) return -1;
            at_ = 0;
            left_ = static_cast<std::size_t>(got);
        }
        size = std::min(size, left_);
        std::memcpy(into, shared().in.data() + at_, size);
        at_ += size;
        left_ -= size;
        return static_cast<int>(size);
    }

    /// Gives the number of bytes that the socket took.
    [[nodiscard]] std::size_t write(const unsigned char* from, std::size_t size) const {
        const ssize_t sent = size == 0 ? 0 : ::send(socket_, from, size, MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN) system_failure("send");
        return sent < 0 ? 0 : static_cast<std::size_t>(sent);
    }
    bool write_out() {
        auto& out = shared().out;
        const std::size_t sent = unsent_.empty() ? write(out.data(), out.size()) : 0;
        unsent_.insert(unsent_.end(), out.begin() + static_cast<std::ptrdiff_t>(sent), out.end());
        out.clear();
        return unsent_.empty();
    }
    bool write_kept() {
        const std::size_t sent = write(unsent_.data(), unsent_.size());
        unsent_.erase(unsent_.begin(), unsent_.begin() + static_cast<std::ptrdiff_t>(sent));
        return unsent_.empty();
    }

    int socket_;
    std::unique_ptr<SSL, freed<&SSL_free>> ssl_;
    std::vector<unsigned char> kept_;   ///< what has come and OpenSSL has not taken
    std::vector<unsigned char> unsent_; ///< what is encrypted and the socket has not taken
    std::size_t at_ = 0;                ///< where in the shared buffer the rest begins, in a call
    std::size_t left_ = 0;              ///< its bytes
    bool drained_ = false;              ///< the socket is empty
    bool timed_out_ = false;            ///< a socket that blocks has waited long enough
};

} // namespace

const char* why_without_tls() noexcept { return nullptr; }

std::unique_ptr<tls_channel> open_tls(int socket, bool sparing) {
    static BIO_METHOD* const method = channel::method();
    static SSL_CTX* const context = [] {
        SSL_CTX* const made = SSL_CTX_new(TLS_client_method());
        if (made == nullptr || SSL_CTX_set_min_proto_version(made, TLS1_3_VERSION) != 1 ||
            SSL_CTX_set_ciphersuites(made, "TLS_AES_128_GCM_SHA256") != 1)
            tls_failure();
        SSL_CTX_set_verify(made, SSL_VERIFY_NONE, nullptr);
        SSL_CTX_set_session_cache_mode(made, SSL_SESS_CACHE_OFF);
        return made;
    }();
    if (sparing) SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
    return std::make_unique<channel>(context, method, socket);
}

} // namespace bench
