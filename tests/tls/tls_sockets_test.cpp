#include <duplex/tls.hpp>

#include "support/catch.hpp"
#include "support/heap_bytes.hpp"
#include "support/sockets.hpp"
#include "support/tls_pair.hpp"

#include <duplex/net/detail/transport_layer.hpp>
#include <duplex/net/layered_socket.hpp>
#include <duplex/test/manual_time.hpp>
#include <duplex/tls/detail/stacked_layer.hpp>
#include <duplex/tls/detail/tls_layer.hpp>

#include <asio/any_io_executor.hpp>
#include <asio/socket_base.hpp>

#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace {

using namespace duplex;
using namespace duplex::testing;
using namespace std::chrono_literals;

/// Lies between TLS and its socket, and counts what passes.
class counting_layer final : public detail::transport_layer {
public:
    explicit counting_layer(std::size_t& calls)
        : calls_{calls} {
        established_ = true;
    }
    progress establish(detail::raw_transport&, std::error_code&) noexcept override { return progress::done; }
    std::size_t read_some(detail::raw_transport& over, asio::mutable_buffer into,
                          std::error_code& error) noexcept override {
        ++calls_;
        return over.read_some(into, error);
    }
    std::size_t write_some(detail::raw_transport& over, std::span<const asio::const_buffer> from,
                           std::error_code& error) noexcept override {
        ++calls_;
        std::size_t size = 0;
        for (const auto& each : from)
            size += over.write_some(each, error);
        moved_ = size != 0;
        return size;
    }
    bool flush(detail::raw_transport&, std::error_code&) noexcept override { return true; }
    void say_end(detail::raw_transport&) noexcept override {}
    std::unique_ptr<transport_layer> under(std::unique_ptr<transport_layer> self,
                                           std::unique_ptr<transport_layer> above) const override {
        return std::make_unique<detail::stacked_layer>(std::move(self), std::move(above));
    }
    std::string explanation() const override { return {}; }

private:
    std::size_t& calls_;
};

using any_socket = layered_socket<asio::basic_stream_socket<asio::ip::tcp, asio::any_io_executor>>;

/// Two connections that speak TLS over sockets with as little room as the system gives.
template <class Stream>
struct secured_pair {
    explicit secured_pair(const connection_options& options = without_time(), int buffers = 4096)
        : time{io} {
        auto [one, two] = ends(buffers);
        detail::ssl_ptr ssl{SSL_new(for_client.native_handle())};
        REQUIRE_FALSE(prepare_tls_client(ssl.get(), "localhost", 1));
        client_ssl = ssl.get();
        client.emplace(stream_of(std::move(one), std::move(ssl)), options);
        ssl.reset(SSL_new(for_server.native_handle()));
        SSL_set_accept_state(ssl.get());
        server.emplace(stream_of(std::move(two), std::move(ssl)), options);
        server->async_accept(accepted.handler());
        client->async_handshake(uri_of("wss://localhost/"), shaken.handler());
        run_until(io, [&] { return accepted.calls + shaken.calls == 2; });
        REQUIRE(accepted.well());
        REQUIRE(shaken.well());
    }

    [[nodiscard]] static connection_options without_time() {
        auto made = without_deadlines();
        made.timeouts.tls = timeouts::duration{0};
        return made;
    }

    /// The system's sockets.
    static constexpr bool local =
        std::is_same_v<typename Stream::protocol_type, asio::local::stream_protocol>;
    using socket_type = std::conditional_t<local, local_socket, asio_socket>;

    [[nodiscard]] std::pair<socket_type, socket_type> ends(int buffers) {
        socket_type one{io};
        socket_type two{io};
        if constexpr (local) {
            asio::local::connect_pair(one, two);
        } else {
            asio::ip::tcp::acceptor acceptor{io, {asio::ip::address_v4::loopback(), 0}};
            one.open(asio::ip::tcp::v4());
            if (buffers != 0) {
                // Before they are connected, or the window is larger.
                acceptor.set_option(asio::socket_base::receive_buffer_size{buffers});
                one.set_option(asio::socket_base::receive_buffer_size{buffers});
            }
            one.connect(acceptor.local_endpoint());
            acceptor.accept(two);
        }
        if (buffers != 0) {
            one.set_option(asio::socket_base::send_buffer_size{buffers});
            two.set_option(asio::socket_base::send_buffer_size{buffers});
        }
        return {std::move(one), std::move(two)};
    }

    Stream stream_of(socket_type&& socket, detail::ssl_ptr ssl) {
        auto made = [&] {
            if constexpr (std::is_same_v<Stream, tcp_socket>) {
                return Stream{std::move(socket)};
            } else {
                const auto protocol = socket.local_endpoint().protocol();
                return Stream{typename Stream::executor_type{io.get_executor()}, protocol, socket.release()};
            }
        }();
        made.layers().push(std::make_unique<counting_layer>(calls));
        made.layers().push(detail::tls_layer::make(std::move(ssl)));
        return made;
    }

    asio::io_context io;
    test::manual_time time;
    std::size_t calls = 0; ///< of sockets, by either side
    tls_context for_client = client_with(trusting());
    tls_context for_server = server_with(as_localhost());
    SSL* client_ssl = nullptr;
    std::optional<connection<Stream>> client;
    std::optional<connection<Stream>> server;
    ending<> accepted;
    ending<> shaken;
};

[[nodiscard]] std::string sample(std::size_t size, unsigned seed) {
    std::string text(size, ' ');
    for (auto& each : text) {
        seed = seed * 1664525U + 1013904223U;
        each = static_cast<char>('a' + (seed >> 24U) % 26);
    }
    return text;
}

} // namespace

TEMPLATE_TEST_CASE("large messages pass both ways at once through sockets with no room", "", tcp_socket,
                   any_socket) {
    secured_pair<TestType> pair;
    std::vector<std::string> texts;
    for (const std::size_t size : {1U, 100'000U, 0U, 65'536U, 16'384U, 400'000U, 17U})
        texts.push_back(sample(size, static_cast<unsigned>(size)));
    std::size_t to_server = 0;
    std::size_t to_client = 0;
    ending<> server_run;
    ending<> client_run;
    pair.server->async_run(
        [&](const message& m) {
            CHECK((m.text() == texts.at(to_server)));
            ++to_server;
        },
        server_run.handler());
    pair.client->async_run(
        [&](const message& m) {
            CHECK((m.text() == texts.at(to_client)));
            ++to_client;
        },
        client_run.handler());
    for (const auto& each : texts) {
        CHECK(duplex::accepted(pair.server->send(each)));
        CHECK(duplex::accepted(pair.client->send(each)));
    }
    run_until(pair.io, [&] { return to_client + to_server == 2 * texts.size(); });

    // Two that have nothing to say don't ask their sockets.
    pair.io.poll();
    const auto before = pair.calls;
    for (int i = 0; i < 20; ++i)
        pair.io.poll();
    CHECK(pair.calls == before);

    ending<> closed;
    pair.client->async_close(closed.handler());
    run_until(pair.io, [&] { return closed.calls + server_run.calls + client_run.calls == 3; });
    CHECK(closed.well());
    CHECK(server_run.well());
    CHECK(client_run.well());
    pair.io.restart();
    pair.io.run();
}

TEMPLATE_TEST_CASE("keys change while both sides write more than there is room for", "", tcp_socket,
                   any_socket) {
    secured_pair<TestType> pair;
    const auto text = sample(50'000, 7);
    int to_server = 0;
    int to_client = 0;
    int changes = 0;
    ending<> server_run;
    ending<> client_run;
    pair.server->async_run(
        [&](const message& m) {
            CHECK((m.text() == text));
            ++to_server;
            CHECK(duplex::accepted(pair.server->send(m.text())));
        },
        server_run.handler());
    pair.client->async_run(
        [&](const message& m) {
            CHECK((m.text() == text));
            ++to_client;
            changes += SSL_key_update(pair.client_ssl, SSL_KEY_UPDATE_REQUESTED);
            // Until one has left there is no other.
            ERR_clear_error();
        },
        client_run.handler());
    for (int i = 0; i < 20; ++i) {
        changes += SSL_key_update(pair.client_ssl, SSL_KEY_UPDATE_REQUESTED);
        ERR_clear_error();
        CHECK(duplex::accepted(pair.client->send(text)));
        pair.io.poll_one();
    }
    run_until(pair.io, [&] { return to_client == 20; });
    CHECK(to_server == 20);
    CHECK(changes > 3);
    pair.client->abort();
    pair.server->abort();
    run_until(pair.io, [&] { return client_run.calls + server_run.calls == 2; });
}

TEMPLATE_TEST_CASE("a peer that stops reading is given up when the time to write is over", "", tcp_socket,
                   any_socket) {
    auto options = secured_pair<TestType>::without_time();
    options.timeouts.write = 30s;
    secured_pair<TestType> pair{options};
    ending<> run;
    pair.server->async_run([](const message&) {}, run.handler());
    CHECK(duplex::accepted(pair.server->send(std::string(3'000'000, 'x'))));
    const auto pass = [&] {
        pair.time.advance(20s);
        pair.io.restart();
        pair.io.poll();
    };
    pair.io.restart();
    pair.io.poll();
    REQUIRE(run.calls == 0);
    for (int i = 0; i < 4; ++i)
        pass();
    CHECK(run.failed_with(errc::write_timeout));
}

TEST_CASE("a peer that reads slowly is waited for, however little it takes at a time") {
    auto options = secured_pair<layered_socket<local_socket>>::without_time();
    options.timeouts.write = 30s;
    secured_pair<layered_socket<local_socket>> pair{options};
    ending<> run;
    pair.server->async_run([](const message&) {}, run.handler());
    CHECK(duplex::accepted(pair.server->send(std::string(3'000'000, 'x'))));
    const auto pass = [&] {
        pair.time.advance(20s);
        pair.io.restart();
        pair.io.poll();
    };
    pair.io.restart();
    pair.io.poll();
    std::vector<std::byte> room(65536);
    for (int i = 0; i < 30; ++i) {
        std::error_code error;
        while (pair.client->stream().read_plain(asio::mutable_buffer{room.data(), room.size()}, error) != 0)
            continue;
        pass();
        REQUIRE(run.calls == 0);
    }
    for (int i = 0; i < 4; ++i)
        pass();
    CHECK(run.failed_with(errc::write_timeout));
}

TEMPLATE_TEST_CASE("what the other side still has to read survives an orderly close", "", tcp_socket,
                   any_socket) {
    secured_pair<TestType> pair;
    const auto text = sample(300'000, 3);
    CHECK(duplex::accepted(pair.server->send(text)));
    ending<> closed;
    pair.server->async_close(closed.handler());
    pair.io.restart();
    pair.io.poll();
    std::string came;
    ending<> run;
    pair.client->async_run([&](const message& m) { came = m.text(); }, run.handler());
    run_until(pair.io, [&] { return closed.calls + run.calls == 2; });
    CHECK((came == text));
    CHECK(closed.well());
    CHECK(run.well());
}

TEMPLATE_TEST_CASE("connections that have spoken and are idle hold no more than before", "", tcp_socket,
                   any_socket) {
    secured_pair<TestType> pair{secured_pair<TestType>::without_time(), 0};
    std::size_t came = 0;
    ending<> server_run;
    ending<> client_run;
    pair.server->async_run([&](const message& m) { CHECK(duplex::accepted(pair.server->send(m.text()))); },
                           server_run.handler());
    pair.client->async_run([&](const message&) { ++came; }, client_run.handler());
    const auto talk = [&](std::size_t size) {
        came = 0;
        CHECK(duplex::accepted(pair.client->send(std::string(size, 'x'))));
        run_until(pair.io, [&] { return came == 1; });
        pair.io.poll();
    };
    talk(10);
    talk(200'000);
    talk(10);
    const auto before = heap_bytes();
    talk(100'000);
    talk(10);
    const auto after = heap_bytes();
    CHECK(after < before + 1000);
}

TEMPLATE_TEST_CASE("a context goes with TLS connections in every state", "", tcp_socket, any_socket) {
    secured_pair<TestType> pair;
    ending<> run;
    SECTION("idle") {}
    SECTION("reading") {
        pair.client->async_run([](const message&) {}, run.handler());
    }
    SECTION("writing what there is no room for") {
        CHECK(duplex::accepted(pair.client->send(std::string(1'000'000, 'x'))));
        pair.io.restart();
        pair.io.poll();
    }
    SECTION("closing") {
        CHECK_FALSE(pair.client->close());
        pair.io.restart();
        pair.io.poll();
    }
    SECTION("destroyed while writing") {
        CHECK(duplex::accepted(pair.client->send(std::string(1'000'000, 'x'))));
        pair.io.restart();
        pair.io.poll();
        pair.client.reset();
        pair.io.poll();
    }
    CHECK(run.calls == 0);
}
