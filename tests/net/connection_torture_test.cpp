#include <duplex/net/connection.hpp>

// Eight threads send in every way there is, while the connection closes, breaks or is destroyed: each
// thread's order is kept, and each message that was accepted has one fate. DUPLEX_TORTURE_MESSAGES says how
// many messages.

#include "support/amount.hpp"
#include "support/running_context.hpp"
#include "support/sockets.hpp"

#include <asio/strand.hpp>

#include <array>
#include <atomic>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <future>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

using namespace duplex;
using namespace duplex::testing;

namespace {

constexpr std::size_t sender_count = 8;
constexpr std::size_t fate_count = static_cast<std::size_t>(message_fate::lost) + 1;

[[nodiscard]] std::size_t messages_in_all() { return amount("DUPLEX_TORTURE_MESSAGES", 16'000); }

/// Does it on an executor, and waits for it.
template <class Executor, class F>
auto on(const Executor& executor, F what) {
    std::promise<decltype(what())> result;
    asio::post(executor, [&] {
        if constexpr (std::is_void_v<decltype(what())>) {
            what();
            result.set_value();
        } else {
            result.set_value(what());
        }
    });
    return result.get_future().get();
}

/// How it comes to its end.
enum class end_by : std::uint8_t {
    our_close,    ///< once everything is sent: nothing may be missing
    handle_close, ///< one of the sending threads closes in the middle
    peer_close,
    peer_abort,
    peer_gone, ///< its stream is closed beneath it
    our_abort,
    our_destruction,
};

/// Messages "<thread> <number> <way> padding": each thread's numbers only grow.
struct receipts {
    std::array<std::int64_t, sender_count> last;
    std::size_t total = 0;
    std::size_t tagged = 0;
    std::size_t awaited = 0;
    bool in_order = true;

    receipts() { last.fill(-1); }
    void operator()(const message& received) {
        const std::string_view text = received.text();
        std::size_t sender = 0;
        std::int64_t number = 0;
        auto at = std::from_chars(text.data(), text.data() + text.size(), sender).ptr;
        at = std::from_chars(at + 1, text.data() + text.size(), number).ptr;
        auto& before = last.at(sender);
        in_order = in_order && number > before;
        before = number;
        ++total;
        if (at[1] == 't') ++tagged;
        if (at[1] == 'a') ++awaited;
    }
};

/// What the senders were told.
struct senders {
    std::atomic<std::size_t> accepted{0};
    std::atomic<std::size_t> accepted_tagged{0};
    std::atomic<std::size_t> refused{0};
    std::atomic<std::size_t> started{0};
    std::atomic<std::size_t> completed{0};
    std::atomic<std::size_t> well{0};
    std::array<std::atomic<std::size_t>, fate_count> fates{};

    [[nodiscard]] std::size_t fates_told() const {
        std::size_t all = 0;
        for (const auto& each : fates)
            all += each;
        return all;
    }
    [[nodiscard]] std::size_t fated(message_fate fate) const {
        return fates.at(static_cast<std::size_t>(fate));
    }
};

/// The run of the connection to which all send.
struct told {
    senders& of;

    void on_message(const message&) const {}
    void on_fate(std::uint64_t, message_fate fate) const { ++of.fates.at(static_cast<std::size_t>(fate)); }
};

template <class Connection>
struct battle {
    /// Both are open.
    battle(std::optional<Connection>& client, std::optional<Connection>& server, end_by how)
        : ours{client}
        , peer{server}
        , handle{client->handle()}
        , how_{how} {}

    void fight() {
        const auto share = messages_in_all() / sender_count;
        on(peer->get_executor(), [&] {
            peer->async_run(
                [&](const message& m) {
                    got(m);
                    if (got.total == share) peer_ends();
                },
                [&](std::error_code with) { peer_ended.set_value(with); });
        });
        on(ours->get_executor(),
           [&] { ours->async_run(told{sent}, [&](std::error_code with) { ended.set_value(with); }); });
        std::vector<std::thread> threads;
        for (std::size_t i = 0; i < sender_count; ++i)
            threads.emplace_back([this, i, share] { send_all(i, share); });
        for (auto& each : threads)
            each.join();
        if (how_ == end_by::our_close) CHECK_FALSE(handle.close());
        error = ended.get_future().get();
        static_cast<void>(peer_ended.get_future().get());
        on_their_threads([](auto& it) { it.reset(); });
    }

    void check() const {
        INFO("accepted " << sent.accepted << ", received " << got.total << ", refused " << sent.refused);
        CHECK(got.in_order);
        // Each operation completed once, each tagged message that was accepted has one fate.
        CHECK(sent.completed == sent.started);
        if (how_ == end_by::our_destruction)
            CHECK(sent.fates_told() <= sent.accepted_tagged);
        else
            CHECK(sent.fates_told() == sent.accepted_tagged);
        CHECK(sent.fated(message_fate::replaced) + sent.fated(message_fate::expired) == 0);
        // What has arrived was written. Where the stream says later what it took, an end may come in between.
        if constexpr (stream_traits<typename Connection::stream_type>::waits) {
            CHECK(got.awaited <= sent.well);
            if (how_ != end_by::our_destruction) CHECK(got.tagged <= sent.fated(message_fate::written));
        }
        CHECK(handle.buffered_amount() == 0);
        CHECK_FALSE(handle.is_open());
        if (how_ != end_by::our_close) return;
        CHECK_FALSE(error);
        CHECK(got.total == sent.accepted + sent.well);
        CHECK(got.tagged == sent.accepted_tagged);
        CHECK(sent.fated(message_fate::written) == sent.accepted_tagged);
        CHECK(got.awaited == sent.well);
    }

private:
    void peer_ends() {
        switch (how_) {
        case end_by::peer_close: static_cast<void>(peer->close(close_code::going_away)); break;
        case end_by::peer_abort: peer->abort(); break;
        case end_by::peer_gone: peer->stream().close(); break;
        default: break;
        }
    }

    template <class F>
    void on_their_threads(F what) {
        for (auto* each : {&ours, &peer})
            if (each->has_value()) on((*each)->get_executor(), [&] { what(*each); });
    }

    void send_all(std::size_t sender, std::size_t share) {
        for (std::size_t i = 0; i < share; ++i) {
            if (sender == 3 && i == share / 2) halfway();
            // Until there is room, so that some wait and some are refused.
            while (!send_one(sender, i)) {
                ++sent.refused;
                std::this_thread::yield();
            }
            if (i % 64 == sender) {
                static_cast<void>(handle.ping());
                static_cast<void>(handle.buffered_amount());
            }
        }
    }

    void halfway() {
        switch (how_) {
        case end_by::handle_close: static_cast<void>(handle.close(close_code{4000}, "halfway")); break;
        case end_by::our_abort: asio::post(ours->get_executor(), [this] { ours->abort(); }); break;
        case end_by::our_destruction: {
            // Operations are begun on a connection that is there; handles need none.
            const std::lock_guard lock{beginning};
            on(ours->get_executor(), [this] { ours.reset(); });
            break;
        }
        default: break;
        }
    }

    /// False: there is no room.
    [[nodiscard]] bool send_one(std::size_t sender, std::size_t number) {
        const auto way = number % 7;
        const bool tagged = way >= 4 && way < 6;
        auto text = std::to_string(sender) + ' ' + std::to_string(number) + ' ';
        text += way == 6 ? 'a' : tagged ? 't' : '-';
        text.append(number % 97 == 0 ? 5000 : number % 50, 'x');
        const message_options with{.tag = tagged ? (sender << 48U) + number + 1 : 0};
        const auto bytes = std::as_bytes(std::span{text.data(), text.size()});
        auto status = send_status::ok;
        switch (way) {
        case 0:
        case 1: status = handle.send(text); break;
        case 2: {
            byte_buffer own;
            if (!own.append(bytes)) return true;
            status = handle.send(opcode::text, std::move(own));
            break;
        }
        case 3: status = handle.send(prepared_message::text(text)); break;
        case 4: status = handle.send(text, with); break;
        case 5: status = handle.send(prepared_message::text(text), with); break;
        default: begin(text, number % 2 == 0); return true;
        }
        if (status == send_status::queue_full) return false;
        if (accepted(status)) {
            ++sent.accepted;
            if (tagged) ++sent.accepted_tagged;
        }
        return true;
    }

    void begin(std::string_view text, bool wishing) {
        const std::lock_guard lock{beginning};
        if (!ours) return;
        ++sent.started;
        // One of a kind with no other, so that none is replaced.
        const message_options with{.priority = message_priority::normal,
                                   .tag = wishing ? std::uint64_t{1} : 0};
        ours->async_send(text, with, [this](std::error_code how) {
            ++sent.completed;
            if (!how) ++sent.well;
        });
    }

public:
    std::optional<Connection>& ours;
    std::optional<Connection>& peer;
    typename Connection::handle_type handle;
    senders sent;
    receipts got;
    std::error_code error;

private:
    end_by how_;
    std::mutex beginning;
    std::promise<std::error_code> ended;
    std::promise<std::error_code> peer_ended;
};

[[nodiscard]] connection_options narrow() {
    connection_options made;
    made.limits.queue_bytes = 64 * 1024;
    made.limits.queue_watermark = 32 * 1024;
    made.limits.commit_bytes = 8 * 1024;
    return made;
}

template <class Connection>
void open_both(Connection& server, Connection& client) {
    std::promise<std::error_code> accepted;
    std::promise<std::error_code> shaken;
    const auto to = uri_of("ws://localhost/");
    asio::post(server.get_executor(),
               [&] { server.async_accept([&](std::error_code e) { accepted.set_value(e); }); });
    asio::post(client.get_executor(),
               [&] { client.async_handshake(to, [&](std::error_code e) { shaken.set_value(e); }); });
    REQUIRE_FALSE(accepted.get_future().get());
    REQUIRE_FALSE(shaken.get_future().get());
}

template <class Connection>
void fight(running_context& at_client, running_context& at_server, std::optional<Connection>& client,
           std::optional<Connection>& server, end_by how) {
    at_client.start();
    at_server.start();
    open_both(*server, *client);
    battle<Connection> one{client, server, how};
    one.fight();
    // Whatever was begun has ended when the contexts have nothing left to run.
    at_client.join();
    at_server.join();
    one.check();
}

[[nodiscard]] end_by each_end() {
    return GENERATE(end_by::our_close, end_by::handle_close, end_by::peer_close, end_by::peer_abort,
                    end_by::peer_gone, end_by::our_abort, end_by::our_destruction);
}

} // namespace

TEST_CASE("eight threads send in every way over TCP: order is kept, and the fates add up") {
    const auto how = each_end();
    // Nobody would learn of a descriptor that is closed beneath its connection.
    if (how == end_by::peer_gone) return;
    CAPTURE(how);
    running_context at_client{1};
    running_context at_server{1};
    asio::ip::tcp::acceptor acceptor{at_server.io, {asio::ip::address_v4::loopback(), 0}};
    asio_socket near{at_server.io};
    asio_socket far{at_client.io};
    far.connect(acceptor.local_endpoint());
    acceptor.accept(near);
    acceptor.close();
    std::optional<connection<tcp_socket>> server{std::in_place, tcp_socket{std::move(near)}};
    std::optional<connection<tcp_socket>> client{std::in_place, tcp_socket{std::move(far)}, narrow()};
    fight(at_client, at_server, client, server, how);
}

TEST_CASE("eight threads send to a connection on a strand of many threads: the fates add up") {
    const auto how = each_end();
    CAPTURE(how);
    using strand = asio::strand<asio::io_context::executor_type>;
    running_context at_client{3};
    running_context at_server{2};
    auto ends =
        test::make_stream_pair(strand{at_server.io.get_executor()}, strand{at_client.io.get_executor()});
    using strand_connection = connection<test::basic_stream<strand>>;
    std::optional<strand_connection> server{std::in_place, std::move(ends.first)};
    std::optional<strand_connection> client{std::in_place, std::move(ends.second), narrow()};
    fight(at_client, at_server, client, server, how);
}
