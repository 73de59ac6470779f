// The pieces of README.md that belong to none of the programs: compiled, never run.

#include <duplex/duplex.hpp>
#include <duplex/protocol/replay.hpp>

#include <asio/io_context.hpp>

#include <chrono>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <mutex>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <variant>
#include <vector>

// Older versions of Asio have coroutines for g++ only.
#if defined(ASIO_HAS_CO_AWAIT)
#include <asio/awaitable.hpp>
#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/experimental/awaitable_operators.hpp>
#include <asio/local/stream_protocol.hpp>
#include <asio/redirect_error.hpp>
#include <asio/steady_timer.hpp>
#include <asio/use_awaitable.hpp>
#endif

void sans_io(std::span<std::byte> received, void (*write)(std::span<const std::byte>));
void connect_elsewhere(asio::io_context& io, const std::string& token);
void choose(asio::io_context& io);
void connect_again(asio::io_context& io, std::string (*fresh_token)());
void unix_sockets(asio::io_context& io);
void socket_options();
void blocking();
void share_a_budget(asio::io_context& io);
void keep_handles(asio::io_context& io, duplex::server& server);
void tell_all(std::mutex& mutex, const std::vector<duplex::server::handle>& members);
void explain(std::error_code error);
void see_frames(asio::io_context& io);
void see_counters(duplex::server& server);
void record(asio::io_context& io, std::ofstream& file);
void play(std::span<const std::byte> capture);

#if defined(ASIO_HAS_CO_AWAIT)

void start(asio::io_context& io);
asio::awaitable<void> talk(asio::io_context& io);
asio::awaitable<void> listen(duplex::tcp_connection<>& socket);
asio::awaitable<void> serve(asio::local::stream_protocol::socket socket);

asio::awaitable<void> talk(asio::io_context& io) {
    auto socket = co_await duplex::async_connect(io, "ws://localhost:9002", asio::use_awaitable);
    socket.send("several messages");
    socket.send("leave in one write");
    for (int i = 0; i < 2; ++i) {
        duplex::message answer = co_await socket.async_read(asio::use_awaitable);
        std::cout << answer.text() << '\n';
    }
    co_await socket.async_close(asio::use_awaitable);
    std::cout << "closed with " << duplex::to_number(socket.result()->code) << '\n';
}

void start(asio::io_context& io) {
    asio::co_spawn(io, talk(io), asio::detached);
    io.run();
}

asio::awaitable<void> listen(duplex::tcp_connection<>& socket) {
    using namespace asio::experimental::awaitable_operators;
    for (;;) {
        std::error_code error;
        asio::steady_timer timer{socket.get_executor(), std::chrono::seconds{5}};
        const auto first = co_await (socket.async_read(asio::redirect_error(asio::use_awaitable, error)) ||
                                     timer.async_wait(asio::use_awaitable));
        if (first.index() == 1)
            socket.send("are you there?");
        else if (!error)
            std::cout << std::get<0>(first).text() << '\n';
        else
            co_return;
    }
}

asio::awaitable<void> serve(asio::local::stream_protocol::socket socket) {
    duplex::connection connection{std::move(socket)};
    std::error_code error;
    auto token = asio::redirect_error(asio::use_awaitable, error);
    co_await connection.async_accept(token);
    while (!error) {
        auto batch = co_await connection.async_read_batch(token);
        for (const duplex::message& message : batch)
            connection.send(message);
    }
    if (error != duplex::errc::closed) std::cerr << error.message() << '\n';
}

#endif // ASIO_HAS_CO_AWAIT

void sans_io(std::span<std::byte> received, void (*write)(std::span<const std::byte>)) {
    duplex::session session{duplex::role::server};

    session.receive(received);
    while (const duplex::event event = session.next())
        if (event.what == duplex::event::kind::message) session.send(event.op, event.payload);

    duplex::segment segments[16];
    while (const std::size_t count = session.gather(segments))
        for (std::size_t i = 0; i < count; ++i) {
            write(segments[i]);
            session.consumed(segments[i].size());
        }
}

void unix_sockets(asio::io_context& io) {
    duplex::server_options options;
    options.path = "/run/chat.sock";
    options.permissions = 0660;
    duplex::server server{io, options};

    duplex::websocket socket{io, "ws+unix:/run/chat.sock:/room?x=1"};
}

void socket_options() {
    duplex::connect_options options;
    options.local_address = "192.168.1.2";
    options.socket.keep_alive = true;
    options.socket.receive_buffer_bytes = 4 * 1024 * 1024;
}

void blocking() {
    using namespace std::chrono_literals;
    duplex::blocking_client client;
    client.connect("ws://localhost:9002", {}, 5s);
    client.send("Hello", 5s);
    std::cout << client.read(5s).text() << '\n';
    client.close(duplex::close_code::normal, {}, 5s);
}

void connect_again(asio::io_context& io, std::string (*fresh_token)()) {
    duplex::connect_options options;
    options.reconnect.emplace();
    options.reconnect->keep_queue = true;
    options.reconnect->passing_statuses.push_back(401); // the token has expired
    options.reconnect->backoff.most = std::chrono::minutes{1};

    duplex::websocket socket{io, "ws://localhost:9002", {}, options};
    socket.on_open = [&] { socket.send("subscribe"); };
    socket.on_reconnect = [&](duplex::reconnect_event& event) {
        std::cerr << "again in " << event.delay.count() << " ms: " << event.what() << '\n';
        event.options.headers = {{"Authorization", fresh_token()}};
        event.give_up = event.attempt > 100;
    };
    io.run();
}

void connect_elsewhere(asio::io_context& io, const std::string& token) {
    duplex::connect_options options;
    std::string value;
    if (!duplex::bearer_credentials(token, value)) options.headers.add("Authorization", value);
    options.max_redirects = 5;
    options.proxy = duplex::proxy{.kind = duplex::proxy_kind::socks5, .host = "127.0.0.1", .port = 1080};
    duplex::websocket socket{io, "wss://example.com/feed", {}, options};
    socket.on_open = [&] { std::cout << "connected to " << socket.url() << '\n'; };
    socket.on_error = [](const duplex::error_event& error) {
        // "upgrade: ...: server answered 403 Forbidden: members only"
        std::cerr << to_string(error.phase) << ": " << error.what() << '\n';
    };
    io.run();
}

void choose(asio::io_context& io) {
    duplex::server_options options;
    options.port = 9002;
    options.threads = 2;
    options.subprotocols = {"chat.v2", "chat.v1"};
    options.origins = {"https://example.com"};
    options.connection.limits.message_bytes = 64 * 1024;
    options.connection.timeouts.idle = std::chrono::minutes{5};

    duplex::server server{io, options};
    server.on_request = [](const duplex::server_handshake& request) -> std::optional<duplex::rejection> {
        if (request.target() == "/chat") return std::nullopt;
        return duplex::rejection{404, {}, "no chat here\n"};
    };
}

void share_a_budget(asio::io_context& io) {
    const duplex::budget all{{.send_bytes = 512 * 1024 * 1024, .handshakes = 1000}};
    duplex::server_options options;
    options.connection.use(duplex::presets::lan);
    options.connection.budget = all;
    options.max_connections = 20'000;
    duplex::server server{io, options};
    std::cout << server.budget().use().send_bytes << " bytes wait for peers that read slowly\n";
}

void keep_handles(asio::io_context& io, duplex::server& server) {
    std::mutex mutex;
    std::vector<duplex::server::handle> members;
    server.on_open = [&](duplex::server::peer& peer) {
        const std::lock_guard lock{mutex};
        members.push_back(peer.handle());
    };
    server.on_close = [&](duplex::server::peer& peer, const duplex::close_result&) {
        const std::lock_guard lock{mutex};
        std::erase(members, peer.handle());
    };
    server.start();
    io.run();
}

void tell_all(std::mutex& mutex, const std::vector<duplex::server::handle>& members) {
    const auto news = duplex::prepared_message::text("encoded once, sent to all");
    const std::lock_guard lock{mutex};
    for (const auto& each : members)
        each.send(news);
}

void explain(std::error_code error) {
    if (error == duplex::condition::limit_exceeded) std::puts("the peer wanted too much");
    if (error.category() == duplex::error_category()) {
        const auto rule = duplex::explain(static_cast<duplex::errc>(error.value()));
        std::cout << rule.name << ": " << rule.text << ", see " << rule.source << '\n';
    }
}

void see_frames(asio::io_context& io) {
    duplex::server_options options;
    options.port = 9002;
    options.connection.observer = duplex::trace_frames([](const duplex::traced_frame& frame) {
        std::cerr << frame.connection << ' ' << to_string(frame) << '\n'; // 1 in  text fin masked 5 "Hello"
    });
    duplex::server server{io, options};
    io.run();
}

void see_counters(duplex::server& server) {
    server.counters([](const duplex::server_counters& all) {
        const auto traffic = all.open_traffic + all.ended_traffic;
        std::cout << all.open() << " open, " << all.refused.all() << " refused, " << all.closed.lost
                  << " lost, " << traffic.messages_in << " messages in, " << traffic.bytes_out
                  << " bytes out\n";
    });
}

void record(asio::io_context& io, std::ofstream& file) {
    duplex::connect_options options;
    options.connection.observer = duplex::record_wire([&](const duplex::wire_start&) {
        return [&](std::span<const std::byte> bytes) {
            file.write(reinterpret_cast<const char*>(bytes.data()),
                       static_cast<std::streamsize>(bytes.size()));
        };
    });
    duplex::websocket socket{io, "ws://localhost:9002", {}, options};
    io.run();
}

void play(std::span<const std::byte> capture) {
    const auto result = duplex::replay(capture, [](duplex::session& session, const duplex::event& event) {
        if (event.what == duplex::event::kind::message) session.send(event.op, event.payload);
    });
    if (result.error != duplex::capture_error::none) std::cerr << to_string(result.error) << '\n';
    if (!result.same_output()) std::cerr << "it answers otherwise than it did\n";
}
