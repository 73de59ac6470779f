#include <duplex/net/layered_socket.hpp>

#include "support/catch.hpp"
#include "support/loopback.hpp"

#include <duplex/net/connection.hpp>

#include <asio/any_io_executor.hpp>
#include <asio/connect.hpp>
#include <asio/io_context.hpp>

#include <algorithm>
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace {

using namespace duplex;
using namespace duplex::testing;

/// Turns every byte round, and gives away no more than so many at a time although it has read more.
class turning final : public detail::transport_layer {
public:
    explicit turning(std::size_t most)
        : most_{most} {}

    progress establish(detail::raw_transport&, std::error_code& error) noexcept override {
        error.clear();
        established_ = true;
        return progress::done;
    }
    std::size_t read_some(detail::raw_transport& over, asio::mutable_buffer into,
                          std::error_code& error) noexcept override {
        error.clear();
        if (held_.empty()) {
            char bytes[256];
            const auto size = over.read_some(asio::buffer(bytes), error);
            if (error) return 0;
            held_.assign(bytes, size);
        }
        const auto size = std::min({most_, into.size(), held_.size()});
        for (std::size_t i = 0; i < size; ++i)
            static_cast<char*>(into.data())[i] = static_cast<char>(~held_[i]);
        held_.erase(0, size);
        unread_ = !held_.empty();
        return size;
    }
    std::size_t write_some(detail::raw_transport& over, std::span<const asio::const_buffer> from,
                           std::error_code& error) noexcept override {
        std::string bytes;
        for (const auto& each : from)
            bytes.append(static_cast<const char*>(each.data()), each.size());
        for (auto& each : bytes)
            each = static_cast<char>(~each);
        return over.write_some(asio::buffer(bytes), error);
    }
    bool flush(detail::raw_transport&, std::error_code& error) noexcept override {
        error.clear();
        return true;
    }
    void say_end(detail::raw_transport& over) noexcept override {
        std::error_code ignored;
        (void)over.write_some(asio::buffer("end", 3), ignored);
    }
    std::unique_ptr<transport_layer> under(std::unique_ptr<transport_layer>,
                                           std::unique_ptr<transport_layer>) const override {
        return nullptr;
    }
    std::string explanation() const override { return {}; }

private:
    std::size_t most_;
    std::string held_;
};

[[nodiscard]] std::string turned(std::string_view text) {
    std::string out{text};
    for (auto& each : out)
        each = static_cast<char>(~each);
    return out;
}

using any_socket = asio::basic_stream_socket<tcp, asio::any_io_executor>;
using layered = layered_socket<any_socket>;

struct ends {
    explicit ends(asio::io_context& io)
        : acceptor{io, tcp::endpoint{asio::ip::address_v4::loopback(), 0}}
        , other{io, acceptor.local_endpoint().port()}
        , own{any_socket{acceptor.accept(asio::any_io_executor{io.get_executor()})}} {
        own.non_blocking(true);
    }
    tcp::acceptor acceptor;
    raw_peer other;
    layered own;
};

} // namespace

TEST_CASE("without a layer it is the socket that it is made of", "[layered_socket]") {
    asio::io_context io;
    ends here{io};
    CHECK_FALSE(here.own.layers());
    CHECK(here.own.layers().established());
    std::error_code error;
    char bytes[16];
    CHECK(here.own.read_some(asio::buffer(bytes), error) == 0);
    CHECK(error == asio::error::would_block);
    CHECK(here.own.write_some(asio::buffer("hello", 5), error) == 5);
    run_until(io, [&] { return here.other.received() == "hello"; });
}

TEST_CASE("what a layer holds back is waited for like what the socket has", "[layered_socket]") {
    asio::io_context io;
    ends here{io};
    here.own.layers().push(std::make_unique<turning>(2));
    here.other.send(turned("hello"));
    std::string got;
    int waits = 0;
    std::function<void(std::error_code)> on_ready = [&](std::error_code error) {
        REQUIRE_FALSE(error);
        ++waits;
        char bytes[16];
        const auto size = here.own.read_some(asio::buffer(bytes), error);
        got.append(bytes, size);
        if (got.size() < 5) here.own.async_wait(layered::wait_read, on_ready);
    };
    here.own.async_wait(layered::wait_read, on_ready);
    run_until(io, [&] { return got.size() == 5; });
    CHECK(got == "hello");
    CHECK(waits == 3);
}

TEST_CASE("connections of both kinds of socket go by their layer", "[layered_socket]") {
    asio::io_context io;
    tcp::acceptor acceptor{io, tcp::endpoint{asio::ip::address_v4::loopback(), 0}};
    raw_peer other{io, acceptor.local_endpoint().port()};
    const auto talk = [&](auto stream) {
        stream.layers().push(std::make_unique<turning>(7));
        connection<decltype(stream)> here{std::move(stream)};
        bool open = false;
        here.async_accept([&](std::error_code error) {
            CHECK_FALSE(error);
            open = true;
        });
        other.send(turned(request_for(acceptor.local_endpoint().port())));
        run_until(io, [&] { return open; });
        std::string got;
        here.async_run([&](const message& m) { got = m.text(); }, [](std::error_code) {});
        other.send(turned("\x81\x85\x01\x02\x03\x04\x49\x67\x6F\x68\x6E"));
        run_until(io, [&] { return !got.empty(); });
        CHECK(got == "Hello");
        run_until(io, [&] { return other.received().ends_with(turned("\r\n\r\n")); });
        (void)other.take();
        here.send("back");
        run_until(io, [&] { return other.received().size() >= 6; });
        CHECK(other.take() == turned("\x81\x04"
                                     "back"));
        // A Close, answered; then the layer's own end.
        other.send(turned("\x88\x82\x01\x02\x03\x04\x02\xEA"));
        other.shutdown_send();
        run_until(io, [&] { return other.ended(); });
        CHECK(other.received() == turned("\x88\x02\x03\xE8") + "end");
    };
    SECTION("Asio's") {
        talk(layered{any_socket{acceptor.accept(asio::any_io_executor{io.get_executor()})}});
    }
    SECTION("the context's") {
        asio::basic_stream_socket<tcp, asio::io_context::executor_type> made{io};
        acceptor.accept(made);
        talk(tcp_socket{std::move(made)});
    }
}
