#include <duplex/net/connection.hpp>

#include "support/connected.hpp"

#include <asio/any_io_executor.hpp>
#include <asio/strand.hpp>

#include <concepts>
#include <string>
#include <type_traits>
#include <utility>

using namespace duplex;
using namespace duplex::testing;

static_assert(std::is_move_constructible_v<memory_connection> &&
              std::is_move_assignable_v<memory_connection>);
static_assert(!std::is_copy_constructible_v<memory_connection>);
static_assert(std::same_as<memory_connection::executor_type, test::stream::executor_type>);
static_assert(std::same_as<memory_connection::stream_type, test::stream>);
static_assert(std::is_copy_constructible_v<memory_connection::handle_type>);
static_assert(std::is_default_constructible_v<memory_connection::handle_type>);

TEST_CASE("a message goes from either end to the other") {
    connected_pair both;
    both.open();
    read_ending at_server;
    read_ending at_client;
    both.server.async_read(at_server.handler());
    both.client.async_read(at_client.handler());
    CHECK(both.client.send("from the client") == send_status::ok);
    CHECK(both.server.send(view("from the server")) == send_status::ok);
    both.run();
    REQUIRE(at_server.well());
    REQUIRE(at_client.well());
    CHECK(at_server.text() == "from the client");
    CHECK(std::get<0>(at_server.values).is_text());
    CHECK(at_client.text() == "from the server");
    CHECK(std::get<0>(at_client.values).is_binary());
}

TEST_CASE("a new connection is not open and says so to every use") {
    connected_pair both;
    CHECK_FALSE(both.client.is_open());
    CHECK(both.client.result() == nullptr);
    CHECK(both.client.opening_outcome() == nullptr);
    CHECK(both.client.buffered_amount() == 0);
    CHECK_FALSE(both.client.try_read());

    const bool from_inside = GENERATE(values({0, 1})) == 1;
    send_status sent{};
    send_status pinged{};
    std::error_code closing;
    ending<message> read;
    ending<> run;
    ending<> drained;
    ending<> sending;
    ending<std::chrono::nanoseconds> ping;
    ending<> closed;
    const auto use = [&] {
        sent = both.client.send("too early");
        pinged = both.client.ping();
        closing = both.client.close();
        both.client.async_read(read.handler());
        both.client.async_run([](const message&) {}, run.handler());
        both.client.async_drain(drained.handler());
        both.client.async_send("too early", sending.handler());
        both.client.async_ping(ping.handler());
        both.client.async_close(closed.handler());
    };
    if (from_inside)
        inside(both.io, use);
    else
        use();
    both.run();
    CHECK(sent == send_status::not_open);
    CHECK(pinged == send_status::not_open);
    // From outside it can't be told from one that has ended.
    CHECK(closing == (from_inside ? make_error_code(errc::not_open) : std::error_code{}));
    CHECK(read.failed_with(errc::not_open));
    CHECK(run.failed_with(errc::not_open));
    CHECK(drained.failed_with(errc::not_open));
    CHECK(sending.failed_with(errc::not_open));
    CHECK(ping.failed_with(errc::not_open));
    CHECK(closed.failed_with(errc::not_open));
    both.open();
    CHECK(both.client.is_open());
    CHECK(both.server.is_open());
}

TEST_CASE("a connection is moved while it is read and goes on") {
    connected_pair both;
    both.open();
    read_ending read;
    both.client.async_read(read.handler());
    both.run();
    memory_connection moved{std::move(both.client)};
    both.server.send("still there?");
    both.run();
    REQUIRE(read.well());
    CHECK(read.text() == "still there?");

    SECTION("assigning it to itself changes nothing") {
        auto& same = moved;
        moved = std::move(same);
        REQUIRE(moved);
        CHECK(moved.is_open());
    }
    SECTION("assigning another one over it ends it") {
        ending<message> cut;
        moved.async_read(cut.handler());
        connected_pair others;
        others.open();
        memory_connection elsewhere{std::move(others.client)};
        moved = std::move(elsewhere);
        both.run();
        CHECK(cut.failed_with(errc::aborted));
        CHECK_FALSE(both.server.result());
        read_ending went;
        both.server.async_read(went.handler());
        both.run();
        CHECK(went.failed_with(errc::closed));
        REQUIRE(both.server.result());
        CHECK(both.server.result()->code == close_code::going_away);
        others.server.send("other context");
        read_ending other;
        moved.async_read(other.handler());
        others.run();
        CHECK(other.well());
        others.client = std::move(moved);
    }
}

TEST_CASE("a handle outlives its connection and then refuses everything") {
    connected_pair both;
    both.open();
    auto handle = both.client.handle();
    const auto same = handle;
    CHECK(handle == same);
    CHECK_FALSE(handle == both.server.handle());
    CHECK(handle.is_open());
    CHECK(handle.send("by handle") == send_status::ok);
    read_ending read;
    both.server.async_read(read.handler());
    both.run();
    CHECK(read.text() == "by handle");
    { const memory_connection dying{std::move(both.client)}; }
    CHECK(handle);
    CHECK_FALSE(handle.is_open());
    CHECK(handle.send("nobody") == send_status::not_open);
    CHECK(handle.ping() == send_status::not_open);
    CHECK(handle.send(prepared_message::text("nobody")) == send_status::not_open);
    inside(both.io, [&] {
        CHECK(handle.send("nobody") == send_status::not_open);
        CHECK(handle.ping() == send_status::not_open);
        CHECK(handle.send(prepared_message::text("nobody")) == send_status::not_open);
        static_cast<void>(handle.close());
    });
    CHECK(handle.buffered_amount() == 0);
}

TEST_CASE("an empty handle refuses everything") {
    const memory_connection::handle_type nobody;
    CHECK_FALSE(nobody);
    CHECK_FALSE(nobody.is_open());
    CHECK(nobody.buffered_amount() == 0);
    CHECK(nobody.send("nobody") == send_status::not_open);
    CHECK(nobody.send(view("nobody")) == send_status::not_open);
    CHECK(nobody.send(opcode::text, byte_buffer{}) == send_status::not_open);
    CHECK(nobody.send(message{}) == send_status::not_open);
    CHECK(nobody.send(prepared_message::text("nobody")) == send_status::not_open);
    CHECK(nobody.ping() == send_status::not_open);
    CHECK(nobody.close() == errc::not_open);
}

TEST_CASE("works over streams of every kind of executor") {
    asio::io_context io;
    const auto talk = [&io](auto executor) {
        auto ends = test::make_stream_pair(executor, executor);
        connection server{std::move(ends.first)};
        connection client{std::move(ends.second)};
        ending<> accepted;
        ending<> shaken;
        server.async_accept(accepted.handler());
        client.async_handshake(uri_of("ws://localhost/"), shaken.handler());
        run_ready(io);
        REQUIRE(accepted.well());
        REQUIRE(shaken.well());
        ending<> ran;
        server.async_run([&](const message& m) { server.send(m); }, ran.handler());
        read_ending echo;
        client.send("echo");
        client.async_read(echo.handler());
        run_ready(io);
        CHECK(echo.text() == "echo");
        ending<> closed;
        client.async_close(closed.handler());
        run_ready(io);
        CHECK(closed.well());
        CHECK(ran.well());
    };
    SECTION("a strand") { talk(asio::strand<asio::io_context::executor_type>{io.get_executor()}); }
    SECTION("any_io_executor of a context") { talk(asio::any_io_executor{io.get_executor()}); }
    SECTION("any_io_executor of a strand") {
        talk(asio::any_io_executor{asio::strand<asio::io_context::executor_type>{io.get_executor()}});
    }
    SECTION("any_io_executor of something that can't tell its thread") {
        talk(asio::any_io_executor{
            asio::require(io.get_executor(), asio::execution::outstanding_work.tracked)});
    }
}
