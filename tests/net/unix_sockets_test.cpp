// Unix sockets: how clients connect to them, and how listeners have them.

#include <duplex/net/connect.hpp>
#include <duplex/net/listener.hpp>

#include "support/loopback.hpp"
#include "support/no_descriptors_left.hpp"
#include "support/temporary_directory.hpp"

#include <asio/any_io_executor.hpp>
#include <asio/local/stream_protocol.hpp>
#include <asio/read_until.hpp>
#include <asio/strand.hpp>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace {

using namespace duplex;
using namespace duplex::testing;
using duplex::detail::is_system_error;
using local = asio::local::stream_protocol;

constexpr std::size_t path_room = sizeof(sockaddr_un{}.sun_path);

/// A listener that echoes what its connections say.
template <class Executor = asio::io_context::executor_type>
struct echoing_listener {
    using connection_type = tcp_connection<Executor>;

    explicit echoing_listener(const Executor& executor)
        : it{executor} {}

    [[nodiscard]] std::error_code open(const listen_options& options) {
        const auto error = it.open(options);
        if (!error) start();
        return error;
    }
    void start() {
        it.start(
            [this](typename listener<Executor>::socket_type&& socket) {
                auto& made = *peers.emplace_back(std::make_unique<connection_type>(std::move(socket)));
                made.async_accept([this, &made](std::error_code error) {
                    CHECK_FALSE(error);
                    if (error) return;
                    made.async_run([&made](const message& m) { made.send(m); },
                                   [this](std::error_code) { ++ended; });
                });
            },
            [](std::error_code error) { CHECK_FALSE(error); });
    }

    listener<Executor> it;
    std::vector<std::unique_ptr<connection_type>> peers;
    int ended = 0;
};

/// What an `async_connect` completed with.
template <class Executor = asio::io_context::executor_type>
struct connected {
    int calls = 0;
    std::error_code error = std::make_error_code(std::errc::operation_in_progress);
    tcp_connection<Executor> connection;

    [[nodiscard]] auto handler() {
        return [this](std::error_code with, tcp_connection<Executor> made) {
            ++calls;
            error = with;
            connection = std::move(made);
        };
    }
};

[[nodiscard]] std::error_code error_of_connecting(const std::string& url, connect_options options = {}) {
    asio::io_context io;
    connected it;
    async_connect(io, url, std::move(options), it.handler());
    CHECK(it.calls == 0);
    run_out(io);
    CHECK(it.calls == 1);
    CHECK_FALSE(it.connection.is_open());
    return it.error;
}

[[nodiscard]] std::error_code error_of_listening(const listen_options& options) {
    asio::io_context io;
    return listener<>{io.get_executor()}.open(options);
}

[[nodiscard]] bool exists(const std::string& path) {
    struct stat found {};
    return ::lstat(path.c_str(), &found) == 0;
}

/// A socket file that nobody listens behind any more, as after a server that was killed.
void leave_stale(const std::string& path) {
    asio::io_context io;
    local::acceptor gone{io, local::endpoint{path}};
    REQUIRE(exists(path));
}

/// Executors on which sockets are duplex's own, and Asio's.
template <class Executor>
Executor executor_of(asio::io_context& io) {
    if constexpr (std::is_same_v<Executor, asio::strand<asio::io_context::executor_type>>)
        return asio::make_strand(io);
    else
        return Executor{io.get_executor()};
}

template <class ClientExecutor, class ServerExecutor>
void talk() {
    asio::io_context io;
    const temporary_directory directory;
    const auto path = directory / "socket";
    echoing_listener<ServerExecutor> server{executor_of<ServerExecutor>(io)};
    REQUIRE_FALSE(server.open({.path = path}));
    connected<ClientExecutor> it;
    async_connect(executor_of<ClientExecutor>(io), "ws+unix:" + path + ":/chat?x=1", it.handler());
    CHECK(it.calls == 0);
    run_until(io, [&] { return it.calls == 1; });
    REQUIRE_FALSE(it.error);
    CHECK(it.connection.is_open());
    // More than a socket's buffers take, and in both directions at once.
    const std::string large(3 << 20, 'x');
    std::vector<std::string> heard;
    bool ended = false;
    it.connection.async_run([&](const message& m) { heard.emplace_back(m.text()); },
                            [&](std::error_code error) {
                                CHECK_FALSE(error);
                                ended = true;
                            });
    CHECK(accepted(it.connection.send("one")));
    CHECK(accepted(it.connection.send(large)));
    CHECK(accepted(it.connection.send("three")));
    run_until(io, [&] { return heard.size() == 3; });
    CHECK(heard[0] == "one");
    CHECK(heard[1] == large);
    CHECK(heard[2] == "three");

    // Neither end has an address of the internet, and neither shows garbage for one.
    for (int i = 0; i < 2; ++i) {
        std::error_code error;
        const auto ask = [&](auto& socket) {
            CHECK(socket.remote_endpoint(error) == tcp::endpoint{});
            CHECK(error == asio::error::address_family_not_supported);
            CHECK(socket.local_endpoint(error) == tcp::endpoint{});
            CHECK(error == asio::error::address_family_not_supported);
            CHECK_THROWS_AS(socket.remote_endpoint(), std::system_error);
            CHECK_THROWS_AS(socket.local_endpoint(), std::system_error);
            CHECK(socket.keeps_delay());
        };
        if (i == 0)
            ask(it.connection.stream());
        else
            ask(server.peers.front()->stream());
    }
    it.connection.close();
    run_until(io, [&] { return ended && server.ended == 1; });
    server.it.close();
    run_out(io);
}

TEST_CASE("a client and a server talk over a unix socket") {
    using plain = asio::io_context::executor_type;
    using strand = asio::strand<plain>;
    SECTION("over sockets that wait together") { talk<plain, plain>(); }
    SECTION("over Asio's, on strands") { talk<strand, strand>(); }
    SECTION("over one of each") { talk<asio::any_io_executor, plain>(); }
    SECTION("over the other of each") { talk<plain, strand>(); }
}

TEST_CASE("asks for its target at localhost") {
    asio::io_context io;
    const temporary_directory directory;
    const auto path = directory / "a socket: ?#%";
    local::acceptor acceptor{io, local::endpoint{path}};
    connected it;
    connect_options options;
    // Proxies and addresses of this machine mean nothing here.
    options.proxy = proxy{.host = "127.0.0.1", .port = 1};
    options.local_address = "127.0.0.1";
    async_connect(io, "ws+unix:" + directory.operator/("a%20socket%3a%20%3f%23%25:/room?q=a:b"), options,
                  it.handler());
    local::socket peer{io};
    acceptor.accept(peer);
    io.poll();
    std::string request;
    asio::read_until(peer, asio::dynamic_buffer(request), "\r\n\r\n");
    CHECK(request.starts_with("GET /room?q=a:b HTTP/1.1\r\nHost: localhost\r\n"));
    asio::write(peer, asio::buffer(acceptance_of(request)));
    run_until(io, [&] { return it.calls == 1; });
    CHECK_FALSE(it.error);
}

TEST_CASE("a websocket takes a ws+unix URL, and shows it in its normal form") {
    asio::io_context io;
    const temporary_directory directory;
    echoing_listener server{io.get_executor()};
    REQUIRE_FALSE(server.open({.path = directory / "socket"}));
    watched client{io, "WS+UNIX://" + directory / "socket" + ":"};
    client.then_open = [&] { client.socket->send("echo"); };
    client.then_message = [&](const message&) { client.socket->close(close_code::normal); };
    run_until(io, [&] { return client.closed(); });
    CHECK(client.seen == history{"open", "message echo", "close 1000 clean"});
    CHECK(client.socket->url() == "ws+unix:" + directory / "socket");
    server.it.close();
    run_out(io);
}

TEST_CASE("tells why a unix socket can't be connected to") {
    const temporary_directory directory;
    const auto path = directory / "socket";
    SECTION("there is none") {
        CHECK(is_system_error(error_of_connecting("ws+unix:" + path), std::errc::no_such_file_or_directory));
    }
    SECTION("nobody listens") {
        leave_stale(path);
        CHECK(error_of_connecting("ws+unix:" + path) == asio::error::connection_refused);
        CHECK(exists(path));
    }
    SECTION("it is a file") {
        std::ofstream{path} << "text";
        CHECK(error_of_connecting("ws+unix:" + path) == asio::error::connection_refused);
    }
    SECTION("its path is too long, and another that begins like it is not taken for it") {
        auto longest = path;
        longest.resize(path_room - 1, 'x');
        asio::io_context io;
        listener<> it{io.get_executor()};
        REQUIRE_FALSE(it.open({.path = longest}));
        for (const std::size_t more : {1U, 2U, 1000U}) {
            const auto error = error_of_connecting("ws+unix:" + longest + std::string(more, 'x'));
            CHECK(error == errc::socket_path_invalid);
            CHECK(error == condition::misuse);
        }
    }
    SECTION("there is no descriptor left") {
        asio::io_context io;
        connected it;
        const listener<> asio_has_its_own{io.get_executor()};
        {
            const no_descriptors_left none;
            async_connect(io, "ws+unix:" + path, it.handler());
        }
        run_out(io);
        CHECK(it.error == asio::error::no_descriptors);
    }
}

TEST_CASE("takes a path of exactly what an address has room for") {
    asio::io_context io;
    const temporary_directory directory;
    auto path = directory / "";
    path.resize(path_room - 1, 'x');
    echoing_listener server{io.get_executor()};
    REQUIRE_FALSE(server.open({.path = path}));
    CHECK(exists(path));
    connected it;
    async_connect(io, "ws+unix:" + path, it.handler());
    run_until(io, [&] { return it.calls == 1; });
    CHECK_FALSE(it.error);
    CHECK(error_of_listening({.path = path + "x"}) == errc::socket_path_invalid);
    CHECK(error_of_listening({.path = std::string{"a\0b", 3}}) == errc::socket_path_invalid);
    CHECK(directory.count() == 1);
}

TEST_CASE("gives up the handshake on a unix socket as on any other") {
    asio::io_context io;
    const temporary_directory directory;
    local::acceptor acceptor{io, local::endpoint{directory / "socket"}};
    connected it;
    async_connect(io, "ws+unix:" + directory / "socket", it.handler());
    local::socket peer{io};
    acceptor.accept(peer);
    io.poll();
    CHECK(it.calls == 0);
    peer.close();
    run_until(io, [&] { return it.calls == 1; });
    // The request was not read, which the system tells its sender.
    CHECK((it.error == errc::connection_lost || it.error == asio::error::connection_reset));
}

TEST_CASE("a listener's socket file comes with it and goes with it") {
    asio::io_context io;
    const temporary_directory directory;
    const auto path = directory / "socket";
    {
        listener<> it{io.get_executor()};
        REQUIRE_FALSE(it.open({.path = path}));
        CHECK(exists(path));
        CHECK(it.local_endpoint() == tcp::endpoint{});
        CHECK(it.open({.path = directory / "second"}) == asio::error::already_open);
        CHECK(directory.count() == 1);
        if (GENERATE(true, false)) {
            it.close();
            CHECK(directory.count() == 0);
        }
    }
    CHECK(directory.count() == 0);
}

TEST_CASE("a listener leaves alone what has taken the place of its file") {
    asio::io_context io;
    const temporary_directory directory;
    const auto path = directory / "socket";
    listener<> it{io.get_executor()};
    REQUIRE_FALSE(it.open({.path = path}));
    // As a second inode, so that its number can't be the first one's.
    const auto kept = directory / "kept";
    REQUIRE(::rename(path.c_str(), kept.c_str()) == 0);
    const local::acceptor next{io, local::endpoint{path}};
    it.close();
    CHECK(exists(path));
    CHECK(error_of_connecting("ws+unix:" + kept) == asio::error::connection_refused);
}

TEST_CASE("a stale socket file makes room, and nothing else does") {
    asio::io_context io;
    const temporary_directory directory;
    const auto path = directory / "socket";
    SECTION("a stale one") {
        leave_stale(path);
        echoing_listener server{io.get_executor()};
        REQUIRE_FALSE(server.open({.path = path}));
        connected it;
        async_connect(io, "ws+unix:" + path, it.handler());
        run_until(io, [&] { return it.calls == 1; });
        CHECK_FALSE(it.error);
    }
    SECTION("one that is listened on") {
        const local::acceptor other{io, local::endpoint{path}};
        CHECK(error_of_listening({.path = path}) == asio::error::address_in_use);
        connected it;
        async_connect(io, "ws+unix:" + path, it.handler());
        io.poll();
        CHECK(it.calls == 0);
    }
    SECTION("one whose queue is full") {
        local::acceptor busy{io};
        busy.open();
        busy.bind({path});
        busy.listen(0);
        std::vector<local::socket> fillers;
        std::error_code error;
        for (int i = 0; i < 8 && !error; ++i) {
            fillers.emplace_back(io, local{});
            fillers.back().native_non_blocking(true);
            fillers.back().connect({path}, error);
        }
        REQUIRE(error);
        CHECK(error_of_listening({.path = path}) == asio::error::address_in_use);
        CHECK(exists(path));
        CHECK(error_of_connecting("ws+unix:" + path) == asio::error::try_again);
    }
    SECTION("a socket of another kind") {
        const int datagrams = ::socket(AF_UNIX, SOCK_DGRAM, 0);
        const local::endpoint at{path};
        REQUIRE(::bind(datagrams, at.data(), static_cast<socklen_t>(at.size())) == 0);
        CHECK(error_of_listening({.path = path}) == asio::error::address_in_use);
        CHECK(exists(path));
        ::close(datagrams);
    }
    SECTION("a file") {
        std::ofstream{path} << "precious";
        CHECK(error_of_listening({.path = path}) == asio::error::address_in_use);
        std::string text;
        std::ifstream{path} >> text;
        CHECK(text == "precious");
    }
    SECTION("a directory") {
        REQUIRE(std::filesystem::create_directory(path));
        CHECK(error_of_listening({.path = path}) == asio::error::address_in_use);
        CHECK(exists(path));
    }
    SECTION("a link, also to a stale one") {
        leave_stale(path);
        const auto link = directory / "link";
        std::filesystem::create_symlink(path, link);
        CHECK(error_of_listening({.path = link}) == asio::error::address_in_use);
        CHECK(exists(link));
        CHECK(exists(path));
    }
    SECTION("nowhere") {
        CHECK(is_system_error(error_of_listening({.path = directory / "none/socket"}),
                              std::errc::no_such_file_or_directory));
    }
}

TEST_CASE("a socket file lets those connect that it is told to") {
    asio::io_context io;
    const temporary_directory directory;
    const auto path = directory / "socket";
    const auto mode = [&] {
        struct stat found {};
        REQUIRE(::stat(path.c_str(), &found) == 0);
        return found.st_mode & 07777U;
    };
    const auto umask_before = ::umask(027);
    SECTION("whatever umask says") {
        const unsigned wanted = GENERATE(0600U, 0666U, 0660U, 0U);
        listener<> it{io.get_executor()};
        REQUIRE_FALSE(it.open({.path = path, .permissions = wanted}));
        CHECK(mode() == wanted);
    }
    SECTION("as umask says, where nothing is said") {
        listener<> it{io.get_executor()};
        REQUIRE_FALSE(it.open({.path = path}));
        CHECK(mode() == 0750U);
    }
    ::umask(umask_before);
}

TEST_CASE("listeners share a unix socket, and the first takes its file along") {
    asio::io_context io;
    const temporary_directory directory;
    const auto path = directory / "socket";
    echoing_listener first{io.get_executor()};
    echoing_listener second{io.get_executor()};
    REQUIRE_FALSE(first.it.open({.path = path}));
    REQUIRE_FALSE(second.it.share(first.it));
    CHECK(directory.count() == 1);
    second.start();
    // Only the second is at work.
    std::vector<std::unique_ptr<connected<>>> clients;
    const auto connect = [&] {
        auto& it = *clients.emplace_back(std::make_unique<connected<>>());
        async_connect(io, "ws+unix:" + path, it.handler());
        run_until(io, [&] { return it.calls == 1; });
        CHECK_FALSE(it.error);
    };
    connect();
    CHECK(second.peers.size() == 1);
    first.start();
    for (int i = 0; i < 20; ++i)
        connect();
    CHECK(first.peers.size() + second.peers.size() == 21);
    second.it.close();
    CHECK(directory.count() == 1);
    connect();
    CHECK(first.peers.size() + second.peers.size() == 22);
    first.it.close();
    CHECK(directory.count() == 0);
}

TEST_CASE("only an open unix socket can be shared") {
    asio::io_context io;
    listener<> first{io.get_executor()};
    listener<> second{io.get_executor()};
    CHECK(second.share(first) == asio::error::operation_not_supported);
    REQUIRE_FALSE(first.open({.host = "127.0.0.1"}));
    CHECK(second.share(first) == asio::error::operation_not_supported);
}

#if defined(__linux__)
TEST_CASE("an abstract name has no file, and is free when its listener is gone") {
    asio::io_context io;
    const auto name = "@duplex-" + std::to_string(::getpid());
    {
        echoing_listener server{io.get_executor()};
        REQUIRE_FALSE(server.open({.path = name, .permissions = 0600}));
        CHECK_FALSE(exists(name));
        CHECK(error_of_listening({.path = name}) == asio::error::address_in_use);
        connected it;
        async_connect(io, "ws+unix:" + name + ":/x", it.handler());
        run_until(io, [&] { return it.calls == 1; });
        CHECK_FALSE(it.error);
        // A name that begins like it is another.
        CHECK(error_of_connecting("ws+unix:" + name + "x") == asio::error::connection_refused);
    }
    CHECK(error_of_connecting("ws+unix:" + name) == asio::error::connection_refused);
    CHECK(error_of_listening({.path = "@"}) == errc::socket_path_invalid);
    // Without a NUL at its end it has room for one character more.
    const auto longest = name + std::string(path_room - name.size(), 'x');
    CHECK_FALSE(error_of_listening({.path = longest}));
    CHECK(error_of_listening({.path = longest + "x"}) == errc::socket_path_invalid);
    CHECK(error_of_connecting("ws+unix:@") == errc::socket_path_invalid);
}
#endif

TEST_CASE("buffers of a unix socket are what its options say, on both sides") {
    asio::io_context io;
    const temporary_directory directory;
    const auto path = directory / "socket";
    echoing_listener server{io.get_executor()};
    REQUIRE_FALSE(server.open({.path = path, .socket = {.send_buffer_bytes = 40'000}}));
    connected it;
    connect_options options;
    options.socket.send_buffer_bytes = 50'000;
    async_connect(io, "ws+unix:" + path, options, it.handler());
    run_until(io, [&] { return it.calls == 1; });
    REQUIRE_FALSE(it.error);
    const auto buffer_of = [](auto& socket) {
        asio::socket_base::send_buffer_size size;
        std::error_code error;
        socket.get_option(size, error);
        CHECK_FALSE(error);
        return size.value();
    };
    // Asio gives what the system says: Linux doubles it.
    const int factor = buffer_of(it.connection.stream()) / 50'000;
    CHECK((factor == 1 || factor == 2));
    CHECK(buffer_of(it.connection.stream()) == 50'000 * factor);
    CHECK(buffer_of(server.peers.front()->stream()) == 40'000 * factor);
}

} // namespace
