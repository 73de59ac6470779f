#include <duplex/net/connection.hpp>

#include "support/connected.hpp"
#include "support/system_faults.hpp"

#include <asio/ip/tcp.hpp>
#include <asio/write.hpp>

#include <array>
#include <cstddef>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#if defined(DUPLEX_TESTING_FAULTS)

using namespace duplex;
using namespace duplex::testing;

namespace {

using asio_socket = asio::basic_stream_socket<asio::ip::tcp, asio::io_context::executor_type>;

/// Counts what this thread allocates while `what` runs.
template <class F>
allocation_counts counted(F what) {
    allocation_counts::here = {.on = true};
    what();
    allocation_counts::here.on = false;
    return allocation_counts::here;
}

/// A server connection over TCP, and its peer.
template <class Stream>
struct tcp_fixture {
    tcp_fixture() {
        asio::ip::tcp::acceptor acceptor{io, {asio::ip::address_v4::loopback(), 0}};
        peer.connect(acceptor.local_endpoint());
        asio_socket near{io};
        acceptor.accept(near);
        it.emplace(Stream{std::move(near)});
        ending<> opened;
        it->async_accept(opened.handler());
        asio::write(peer, asio::buffer(plain_request));
        while (opened.calls == 0)
            io.run_one();
        REQUIRE(opened.well());
        it->forget_opening();
        std::array<char, 1000> answer{};
        REQUIRE(peer.read_some(asio::buffer(answer)) > 100);
    }

    asio::io_context io;
    asio_socket peer{io};
    std::optional<connection<Stream>> it;
};

/// What echoing `bytes` again and again allocates once everything is warm.
template <class Stream, class Start>
allocation_counts echo(std::string_view bytes, std::size_t answer_size, Start start) {
    tcp_fixture<Stream> one;
    start(*one.it);
    std::string answer(answer_size, '\0');
    const auto round = [&] {
        asio::write(one.peer, asio::buffer(bytes));
        std::size_t received = 0;
        one.peer.non_blocking(true);
        while (received < answer.size()) {
            one.io.poll();
            std::error_code error;
            received +=
                one.peer.read_some(asio::buffer(answer.data() + received, answer.size() - received), error);
        }
        one.peer.non_blocking(false);
    };
    for (int i = 0; i < 20; ++i)
        round();
    return counted([&] {
        for (int i = 0; i < 100; ++i)
            round();
    });
}

octets frames(std::size_t count, std::size_t size) {
    octets all;
    for (std::size_t i = 0; i < count; ++i)
        all += frame_bytes(role::client, opcode::binary, std::string(size, 'x'));
    return all;
}

template <class Stream>
struct batch_loop {
    connection<Stream>* it;

    void operator()(std::error_code error, message_batch<Stream> batch) const {
        if (error) return;
        for (const auto& each : batch)
            it->send(each);
        it->async_read_batch(batch_loop{it});
    }
};

template <class Stream>
void warm_echo(std::size_t count, std::size_t size) {
    const auto header = size < 126 ? 2U : 4U;
    {
        ending<> run;
        const auto seen =
            echo<Stream>(frames(count, size), count * (size + header), [&](connection<Stream>& it) {
                it.async_run([&it](const message& m) { it.send(m); }, run.handler());
            });
        CHECK(seen.made == 0);
        CHECK(seen.live == 0);
    }
    {
        ending<> run;
        const auto seen =
            echo<Stream>(frames(count, size), count * (size + header), [&](connection<Stream>& it) {
                it.async_run([peer = it.handle()](const message& m) { peer.send(m.op(), m.bytes()); },
                             run.handler());
            });
        CHECK(seen.made == 0);
    }
    {
        const auto seen =
            echo<Stream>(frames(count, size), count * (size + header),
                         [&](connection<Stream>& it) { it.async_read_batch(batch_loop<Stream>{&it}); });
        CHECK(seen.made == 0);
        CHECK(seen.live == 0);
    }
}

template <class Stream>
void prepared_answer() {
    const auto prepared = prepared_message::text(std::string(300, 'x'));
    ending<> run;
    const auto seen = echo<Stream>(frames(1, 1), 304, [&](connection<Stream>& it) {
        it.async_run([&](const message&) { it.send(prepared); }, run.handler());
    });
    CHECK(seen.made == 0);
}

template <class Stream>
void idle() {
    tcp_fixture<Stream> one;
    ending<> run;
    one.it->async_run([&](const message& m) { one.it->send(m); }, run.handler());
    asio::write(one.peer, asio::buffer(frames(3, 1000)));
    std::array<char, 3012> answer{};
    one.peer.non_blocking(true);
    for (std::size_t got = 0; got < answer.size();) {
        one.io.poll();
        std::error_code error;
        got += one.peer.read_some(asio::buffer(answer), error);
    }
    one.io.poll();
    // What its end gives back is what it held; Asio keeps what is its own.
    const auto end = counted([&] {
        one.it->abort();
        one.io.poll();
        one.it.reset();
    });
    CHECK(run.calls == 1);
    CHECK(end.live < 0);
    // The waits of the context's one timer and of its poll set are the others.
    CHECK(end.live >= -4);
}

} // namespace

TEST_CASE("the counter counts") {
    const auto seen = counted([] {
        std::string{}.reserve(100);
        std::free(std::realloc(std::malloc(10), 1000));
        std::free(std::aligned_alloc(64, 64));
    });
    CHECK(seen.made == 4);
    CHECK(seen.live == 0);
}

TEST_CASE("an echo allocates nothing once everything is warm") {
    const auto count = GENERATE(values<std::size_t>({1, 64}));
    const auto size = GENERATE(values<std::size_t>({0, 32, 200}));
    CAPTURE(count, size);
    SECTION("on Asio's socket") { warm_echo<asio_socket>(count, size); }
    SECTION("on a socket in the poll set") { warm_echo<tcp_socket>(count, size); }
}

TEST_CASE("a prepared message is sent without an allocation") {
    SECTION("on Asio's socket") { prepared_answer<asio_socket>(); }
    SECTION("on a socket in the poll set") { prepared_answer<tcp_socket>(); }
}

TEST_CASE("an idle socket connection holds its state, its run and nothing more") {
    SECTION("on Asio's socket") { idle<asio_socket>(); }
    SECTION("on a socket in the poll set") { idle<tcp_socket>(); }
}
#endif
