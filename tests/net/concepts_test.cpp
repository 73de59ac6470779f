#include <duplex/net/concepts.hpp>

#include "support/catch.hpp"

#include <duplex/net/connection.hpp>
#include <duplex/test/stream.hpp>

#include <asio/io_context.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/ip/udp.hpp>
#include <asio/local/stream_protocol.hpp>
#include <asio/steady_timer.hpp>

#include <string>
#include <utility>

using duplex::async_stream;

static_assert(async_stream<duplex::test::stream>);
static_assert(async_stream<asio::ip::tcp::socket>);
static_assert(async_stream<asio::local::stream_protocol::socket>);
static_assert(async_stream<asio::basic_stream_socket<asio::ip::tcp, asio::io_context::executor_type>>);

static_assert(!async_stream<int>);
static_assert(!async_stream<std::string>);
static_assert(!async_stream<asio::io_context>);
static_assert(!async_stream<asio::steady_timer>);
static_assert(!async_stream<asio::ip::udp::socket>);
static_assert(!async_stream<asio::ip::tcp::acceptor>);
static_assert(!async_stream<duplex::test::stream&>);
static_assert(!async_stream<const duplex::test::stream>);

namespace {

struct no_executor {
    template <class Buffers, class Handler>
    void async_read_some(const Buffers&, Handler&&) {}
    template <class Buffers, class Handler>
    void async_write_some(const Buffers&, Handler&&) {}
};

struct only_reads : no_executor {
    using executor_type = asio::io_context::executor_type;
    executor_type get_executor();
    template <class Buffers, class Handler>
    void async_write_some(const Buffers&, Handler&&) = delete;
};

struct enough : no_executor {
    using executor_type = asio::io_context::executor_type;
    executor_type get_executor();
};

template <class Stream>
concept can_be_connected = requires {
    typename duplex::connection<Stream>;
};

static_assert(!async_stream<no_executor>);
static_assert(!async_stream<only_reads>);
static_assert(async_stream<enough>);
static_assert(can_be_connected<enough> && can_be_connected<duplex::test::stream>);
static_assert(!can_be_connected<no_executor> && !can_be_connected<int>);

} // namespace

TEST_CASE("a connection stands on any Asio stream and on nothing less") {
    CHECK(async_stream<enough>);
    CHECK_FALSE(async_stream<only_reads>);
}
