#include <duplex/net/stream_traits.hpp>

#include "support/connected.hpp"

#include <asio/ip/tcp.hpp>
#include <asio/local/connect_pair.hpp>
#include <asio/local/stream_protocol.hpp>

#include <array>
#include <string>
#include <utility>

using namespace duplex;
using namespace duplex::testing;

namespace {

/// A stream that spells its end in its own way.
class spelt_otherwise {
public:
    using executor_type = test::stream::executor_type;

    explicit spelt_otherwise(test::stream&& beneath, std::string& log)
        : beneath_{std::move(beneath)}
        , log_{&log} {}
    [[nodiscard]] executor_type get_executor() const noexcept { return beneath_.get_executor(); }
    template <class Buffers, class Token>
    auto async_read_some(const Buffers& buffers, Token&& token) {
        return beneath_.async_read_some(buffers, std::forward<Token>(token));
    }
    template <class Buffers, class Token>
    auto async_write_some(const Buffers& buffers, Token&& token) {
        *log_ += "write ";
        return beneath_.async_write_some(buffers, std::forward<Token>(token));
    }
    void welcome() { *log_ += "welcome "; }
    void last_words() { *log_ += "last "; }
    void half_goodbye() {
        *log_ += "half ";
        beneath_.shutdown_send();
    }
    void goodbye() {
        *log_ += "goodbye ";
        beneath_.close();
    }

private:
    test::stream beneath_;
    std::string* log_;
};

/// A stream around another, which can only be closed, and through its lowest layer.
class wrapping {
public:
    using executor_type = test::stream::executor_type;
    struct layer {
        test::stream* beneath;
        void close(std::error_code& error) {
            error = {};
            beneath->close();
        }
    };

    explicit wrapping(test::stream&& beneath)
        : beneath_{std::make_unique<test::stream>(std::move(beneath))} {}
    [[nodiscard]] executor_type get_executor() const noexcept { return beneath_->get_executor(); }
    [[nodiscard]] layer lowest_layer() { return {beneath_.get()}; }
    template <class Buffers, class Token>
    auto async_read_some(const Buffers& buffers, Token&& token) {
        return beneath_->async_read_some(buffers, std::forward<Token>(token));
    }
    template <class Buffers, class Token>
    auto async_write_some(const Buffers& buffers, Token&& token) {
        return beneath_->async_write_some(buffers, std::forward<Token>(token));
    }

private:
    std::unique_ptr<test::stream> beneath_;
};

/// Closes, with the server under test on `Stream`.
template <class Stream, class... Args>
void open_and_close(Args&&... args) {
    asio::io_context io;
    auto ends = test::make_stream_pair(io);
    connection server{Stream{std::move(ends.first), std::forward<Args>(args)...}};
    connection client{std::move(ends.second)};
    ending<> accepted;
    ending<> shaken;
    ending<> run;
    ending<> closed;
    server.async_accept(accepted.handler());
    client.async_handshake(uri_of("ws://localhost/"), shaken.handler());
    run_ready(io);
    REQUIRE(accepted.well());
    REQUIRE(shaken.well());
    server.async_run([&](const message& m) { server.send(m); }, run.handler());
    read_ending echo;
    client.send("echo");
    client.async_read(echo.handler());
    run_ready(io);
    CHECK(echo.text() == "echo");
    client.async_close(closed.handler());
    run_ready(io);
    CHECK(closed.well());
    CHECK(run.well());
}

} // namespace

template <>
struct duplex::stream_traits<spelt_otherwise> {
    static constexpr bool waits = false;
    static void prepare(spelt_otherwise& stream) noexcept { stream.welcome(); }
    [[nodiscard]] static bool shutdown_send(spelt_otherwise& stream) noexcept {
        stream.half_goodbye();
        return true;
    }
    static void end_follows(spelt_otherwise& stream) noexcept { stream.last_words(); }
    static void close(spelt_otherwise& stream) noexcept { stream.goodbye(); }
};

static_assert(stream_traits<asio::ip::tcp::socket>::waits);
static_assert(stream_traits<asio::local::stream_protocol::socket>::waits);
static_assert(!stream_traits<test::stream>::waits);

TEST_CASE("a stream with its own spelling is used as its traits say") {
    std::string log;
    open_and_close<spelt_otherwise>(log);
    CHECK(log == "welcome write write last write half goodbye ");
}

TEST_CASE("a stream that has no half close is closed instead") { open_and_close<wrapping>(); }

TEST_CASE("a refusal on a stream that has no half close ends with its last byte") {
    asio::io_context io;
    auto [here, there] = test::make_stream_pair(io);
    connection server{wrapping{std::move(here)}};
    ending<> accepted;
    server.async_accept(accepted.handler());
    there.send("nonsense\r\n\r\n");
    run_ready(io);
    CHECK(accepted.failed_with(errc::http_start_line_invalid));
    CHECK(there.take_pending().starts_with("HTTP/1.1 400 "));
    ending<std::size_t> at_end;
    std::array<char, 1> byte{};
    there.async_read_some(asio::buffer(byte), at_end.handler());
    run_ready(io);
    CHECK(at_end.failed_with(asio::error::eof));
}

TEST_CASE("the in-memory stream ends its direction first, then both") {
    asio::io_context io;
    auto [here, there] = test::make_stream_pair(io);
    using traits = stream_traits<test::stream>;
    traits::prepare(here);
    CHECK(traits::shutdown_send(here));
    CHECK(here.is_open());
    traits::close(here);
    CHECK_FALSE(here.is_open());
}

TEST_CASE("a TCP socket is prepared for many small frames") {
    asio::io_context io;
    asio::ip::tcp::acceptor acceptor{io, {asio::ip::address_v4::loopback(), 0}};
    asio::ip::tcp::socket near{io};
    asio::ip::tcp::socket far{io};
    near.connect(acceptor.local_endpoint());
    acceptor.accept(far);
    using traits = stream_traits<asio::ip::tcp::socket>;
    traits::prepare(near);
    asio::ip::tcp::no_delay no_delay;
    near.get_option(no_delay);
    CHECK(no_delay.value());
    CHECK(near.non_blocking());
    CHECK(traits::shutdown_send(near));
    std::array<char, 1> byte{};
    std::error_code error;
    CHECK(far.read_some(asio::buffer(byte), error) == 0);
    CHECK(error == asio::error::eof);
    CHECK(near.is_open());
    traits::close(near);
    traits::close(near);
    CHECK_FALSE(near.is_open());
    CHECK(traits::shutdown_send(near));
}

TEST_CASE("a unix socket is prepared and closed as well") {
    asio::io_context io;
    asio::local::stream_protocol::socket near{io};
    asio::local::stream_protocol::socket far{io};
    asio::local::connect_pair(near, far);
    using traits = stream_traits<asio::local::stream_protocol::socket>;
    traits::prepare(near);
    CHECK(near.non_blocking());
    traits::close(near);
    CHECK_FALSE(near.is_open());
}
