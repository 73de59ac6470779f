#include <duplex/net/connection.hpp>

#include "support/connected.hpp"
#include "support/running_context.hpp"

#include <asio/ip/tcp.hpp>
#include <asio/strand.hpp>

#include <array>
#include <atomic>
#include <cstddef>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

using namespace duplex;
using namespace duplex::testing;

namespace {

constexpr std::size_t sender_count = 8;

/// Runs `what(sender number)` on eight threads at once, and waits for them.
template <class F>
void on_all_threads(F what) {
    std::vector<std::thread> threads;
    std::promise<void> go;
    const auto started = go.get_future().share();
    for (std::size_t i = 0; i < sender_count; ++i)
        threads.emplace_back([=] {
            started.wait();
            what(i);
        });
    go.set_value();
    for (auto& each : threads)
        each.join();
}

/// Opens both ends, each on its own executor, while the contexts run.
template <class Server, class Client>
void open_both(Server& server, Client& client) {
    std::promise<std::error_code> accepted;
    std::promise<std::error_code> shaken;
    asio::post(server.get_executor(),
               [&] { server.async_accept([&](std::error_code e) { accepted.set_value(e); }); });
    const auto to = uri_of("ws://localhost/");
    asio::post(client.get_executor(),
               [&] { client.async_handshake(to, [&](std::error_code e) { shaken.set_value(e); }); });
    REQUIRE_FALSE(accepted.get_future().get());
    REQUIRE_FALSE(shaken.get_future().get());
}

/// Messages "<thread> <number>": counts them and looks at the order of each thread's.
struct order_checker {
    std::array<int, sender_count> next{};
    int total = 0;
    bool in_order = true;

    void operator()(const message& m) {
        const std::string text{m.text()};
        const auto space = text.find(' ');
        const auto sender = static_cast<std::size_t>(std::stoi(text.substr(0, space)));
        in_order = in_order && next.at(sender)++ == std::stoi(text.substr(space));
        ++total;
    }
};

/// Destroys a connection on its executor.
template <class Connection>
void destroy(std::optional<Connection>& it) {
    std::promise<void> gone;
    asio::post(it->get_executor(), [&] {
        it.reset();
        gone.set_value();
    });
    gone.get_future().wait();
}

template <class Server, class Client>
void check_order(std::optional<Server>& server, std::optional<Client>& client) {
    open_both(*server, *client);
    order_checker seen;
    std::promise<std::error_code> ended;
    asio::post(server->get_executor(), [&] {
        server->async_run([&](const message& m) { seen(m); }, [&](std::error_code e) { ended.set_value(e); });
    });
    on_all_threads([handle = client->handle()](std::size_t sender) {
        for (int i = 0; i < 200; ++i)
            if (!accepted(handle.send(std::to_string(sender) + " " + std::to_string(i)))) return;
    });
    CHECK_FALSE(client->close());
    std::promise<std::error_code> closed;
    asio::post(client->get_executor(),
               [&] { client->async_close([&](std::error_code e) { closed.set_value(e); }); });
    CHECK_FALSE(closed.get_future().get());
    CHECK_FALSE(ended.get_future().get());
    CHECK(seen.in_order);
    CHECK(seen.total == 200 * static_cast<int>(sender_count));
    destroy(client);
    destroy(server);
}

} // namespace

TEST_CASE("eight threads send at once and each one's order is kept") {
    running_context at_server;
    running_context at_client;
    SECTION("over the in-memory pair") {
        auto ends = test::make_stream_pair(at_server.io.get_executor(), at_client.io.get_executor());
        std::optional<memory_connection> server{std::in_place, std::move(ends.first)};
        std::optional<memory_connection> client{std::in_place, std::move(ends.second)};
        at_server.start();
        at_client.start();
        check_order(server, client);
    }
    SECTION("over TCP") {
        using socket = asio::basic_stream_socket<asio::ip::tcp, asio::io_context::executor_type>;
        asio::ip::tcp::acceptor acceptor{at_server.io, {asio::ip::address_v4::loopback(), 0}};
        socket near{at_server.io};
        socket far{at_client.io};
        far.connect(acceptor.local_endpoint());
        acceptor.accept(near);
        std::optional<connection<socket>> server{std::in_place, std::move(near)};
        std::optional<connection<socket>> client{std::in_place, std::move(far)};
        at_server.start();
        at_client.start();
        check_order(server, client);
    }
}

TEST_CASE("a connection on a strand may run on several threads") {
    running_context shared{3};
    using strand = asio::strand<asio::io_context::executor_type>;
    const strand first{shared.io.get_executor()};
    const strand second{shared.io.get_executor()};
    auto ends = test::make_stream_pair(first, second);
    std::optional<connection<test::basic_stream<strand>>> server{std::in_place, std::move(ends.first)};
    std::optional<connection<test::basic_stream<strand>>> client{std::in_place, std::move(ends.second)};
    shared.start();
    check_order(server, client);
}

TEST_CASE("sends from eight threads while the peer closes have one fate each") {
    running_context at_server;
    running_context at_client;
    auto ends = test::make_stream_pair(at_server.io.get_executor(), at_client.io.get_executor());
    std::optional<memory_connection> server{std::in_place, std::move(ends.first)};
    std::optional<memory_connection> client{std::in_place, std::move(ends.second)};
    at_server.start();
    at_client.start();
    open_both(*server, *client);
    const auto how = GENERATE(values({0, 1, 2}));
    CAPTURE(how);
    std::atomic<int> completions{0};
    std::atomic<int> well{0};
    std::atomic<int> started{0};
    std::promise<std::error_code> ended;
    std::promise<std::error_code> peer_ended;
    int received = 0;
    asio::post(server->get_executor(), [&] {
        server->async_run(
            [&](const message&) {
                if (++received != 100) return;
                if (how == 0) static_cast<void>(server->close());
                if (how == 1) server->abort();
                if (how == 2) server->stream().close();
            },
            [&](std::error_code e) { peer_ended.set_value(e); });
    });
    asio::post(client->get_executor(), [&] {
        client->async_run([](const message&) {}, [&](std::error_code e) { ended.set_value(e); });
    });
    on_all_threads([&](std::size_t sender) {
        for (int i = 0; i < 200; ++i) {
            ++started;
            client->async_send(std::to_string(sender), [&](std::error_code error) {
                ++completions;
                if (!error) ++well;
            });
            if (i % 16 == 0) {
                static_cast<void>(client->buffered_amount());
                static_cast<void>(client->is_open());
                static_cast<void>(client->ping());
            }
        }
    });
    const auto error = ended.get_future().get();
    CHECK(bool{error} == (how != 0));
    static_cast<void>(peer_ended.get_future().get());
    destroy(client);
    destroy(server);
    at_client.join();
    at_server.join();
    CHECK(completions == started);
    CHECK(started == 200 * static_cast<int>(sender_count));
    CHECK(well >= 100);
    CHECK(well >= received);
}

TEST_CASE("handles are used while their connection goes") {
    running_context at_server;
    running_context at_client;
    auto ends = test::make_stream_pair(at_server.io.get_executor(), at_client.io.get_executor());
    std::optional<memory_connection> server{std::in_place, std::move(ends.first)};
    std::optional<memory_connection> client{std::in_place, std::move(ends.second)};
    at_server.start();
    at_client.start();
    open_both(*server, *client);
    std::promise<std::error_code> peer_ended;
    int received = 0;
    std::atomic<int> accepted_sends{0};
    std::atomic<bool> still_open{false};
    asio::post(server->get_executor(), [&] {
        server->async_run([&](const message&) { ++received; },
                          [&](std::error_code e) { peer_ended.set_value(e); });
    });
    on_all_threads([&, handle = client->handle()](std::size_t sender) {
        for (int i = 0; i < 300; ++i) {
            if (accepted(handle.send("some"))) ++accepted_sends;
            if (sender == 3 && i == 100) destroy(client);
            if (sender == 5 && i == 150) static_cast<void>(handle.close());
            if (sender == 6) static_cast<void>(handle.is_open() && handle.buffered_amount() != 0);
        }
        if (sender == 3 && handle.is_open()) still_open = true;
    });
    CHECK_FALSE(still_open);
    static_cast<void>(peer_ended.get_future().get());
    CHECK(received <= accepted_sends);
    destroy(server);
}

TEST_CASE("many connections come and go on one context with many threads") {
    running_context shared{3};
    using strand = asio::strand<asio::io_context::executor_type>;
    using strand_connection = connection<test::basic_stream<strand>>;
    std::atomic<int> ended{0};
    constexpr int pairs = 60;
    const auto to = uri_of("ws://localhost/");
    for (int i = 0; i < pairs; ++i) {
        auto ends =
            test::make_stream_pair(strand{shared.io.get_executor()}, strand{shared.io.get_executor()});
        const auto server = std::make_shared<strand_connection>(std::move(ends.first));
        const auto client = std::make_shared<strand_connection>(std::move(ends.second));
        server->async_accept([server, &ended](std::error_code) {
            server->async_run([peer = server->handle()](const message& m) { peer.send(m); },
                              [server, &ended](std::error_code) { ++ended; });
        });
        client->async_handshake(to, [client, i, &ended](std::error_code) {
            client->send("hello");
            client->async_read([client, i, &ended](std::error_code, const message&) {
                if (i % 3 == 0) client->abort();
                client->async_close([client, &ended](std::error_code) { ++ended; });
            });
        });
    }
    shared.start();
    shared.join();
    CHECK(ended == 2 * pairs);
}

TEST_CASE(
    "a connection that does not come round to look is sent only so much from other threads, but closed") {
    connection_options options;
    options.limits.queue_messages = 100;
    on_manual_time own;
    memory_connection one{std::move(own.ends.first), options};
    memory_connection other{std::move(own.ends.second)};
    ending<> accepted_one;
    ending<> shaken;
    one.async_accept(accepted_one.handler());
    other.async_handshake(uri_of("ws://localhost/"), shaken.handler());
    own.run();
    REQUIRE(shaken.well());
    const bool pings = GENERATE(false, true);
    const auto handle = one.handle();
    const auto count = [](int most, auto ask) {
        int taken = 0;
        std::thread{[&] {
            while (taken < most && ask())
                ++taken;
        }}.join();
        return taken;
    };
    const auto some = [&] { return accepted(pings ? handle.ping() : handle.send("")); };
    // Four times as many as may wait on the connection's own side.
    CHECK(count(1000, some) == 400);
    own.run();
    CHECK(count(1000, some) == 400);
    CHECK(count(3000, [&] { return !handle.close(close_code::normal, {}, close_how::at_once); }) == 3000);
    CHECK_FALSE(handle.is_open());
    ending<> ended;
    one.async_run([](const message&) {}, ended.handler());
    ending<> other_ended;
    other.async_run([](const message&) {}, other_ended.handler());
    own.run();
    CHECK(ended.well());
    CHECK(other_ended.well());
}

TEST_CASE("how much another thread may send within one turn depends on the queue it is for") {
    using detail::inbox_load;
    CHECK(inbox_load::room_for(0) == 64);
    CHECK(inbox_load::room_for(256) == 1024);
    CHECK(inbox_load::room_for(1U << 20U) == 1U << 20U);
    CHECK(inbox_load::room_for(4U << 20U) == 4U << 20U);
    CHECK(inbox_load::room_for(SIZE_MAX) == inbox_load::most_items / 2);
}
