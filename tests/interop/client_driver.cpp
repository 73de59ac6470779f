// A client that the interop tests drive against other servers: prints a line for each event.
//
//     client_driver send URL [SUBPROTOCOL...]    sends messages of every kind, checks that each comes back,
//     closes
//                                                with 3001
//     client_driver mirror URL [SUBPROTOCOL...]  sends every message back until the server closes

#include <duplex/websocket.hpp>

#include <asio/io_context.hpp>

#include <cstddef>
#include <cstdio>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace {

struct sample {
    duplex::opcode op;
    std::string payload;
};

std::vector<sample> samples() {
    using enum duplex::opcode;
    std::string every_byte;
    for (std::size_t i = 0; i < 256; ++i)
        every_byte.push_back(static_cast<char>(i));
    std::string large;
    while (large.size() < (std::size_t{1} << 20))
        large += every_byte;

    std::vector<sample> all{{text, "grüße, 世界 🎉"}, {text, ""}, {binary, ""}, {binary, every_byte}};
    // Round each length at which the frame header changes its form (RFC 6455 5.2).
    for (const std::size_t size : {125U, 126U, 127U, 65535U, 65536U, 1U << 20})
        all.push_back({text, std::string(size, 'x')});
    all.push_back({binary, large});
    return all;
}

const char* kind(const duplex::message& message) { return message.is_text() ? "text" : "binary"; }

} // namespace

int main(int argc, char** argv) {
    const std::string_view mode = argc > 2 ? argv[1] : "";
    if (mode != "send" && mode != "mirror") {
        std::fputs("usage: client_driver send|mirror URL [SUBPROTOCOL...]\n", stderr);
        return 2;
    }
    const bool sends = mode == "send";
    const auto sent = samples();
    std::size_t returned = 0;

    asio::io_context io{1};
    duplex::websocket socket{io};
    socket.on_open = [&] {
        std::printf("open %s\n", socket.protocol().c_str());
        if (!sends) return;
        for (const auto& [op, payload] : sent) {
            const bool text = op == duplex::opcode::text;
            const auto bytes = std::as_bytes(std::span{payload});
            if (!accepted(text ? socket.send(payload) : socket.send(bytes))) std::puts("not accepted");
        }
    };
    socket.on_message = [&](const duplex::message& message) {
        if (!sends) {
            std::printf("%s %zu %s\n", kind(message), message.size(),
                        message.is_text() && message.size() < 200 ? std::string{message.text()}.c_str() : "");
            message.is_text() ? socket.send(message.text()) : socket.send(message.bytes());
            return;
        }
        const bool expected = returned < sent.size() && message.op() == sent[returned].op &&
                              message.text() == sent[returned].payload;
        if (!expected) std::printf("wrong echo: %s %zu\n", kind(message), message.size());
        if (++returned == sent.size()) {
            std::printf("echoed %zu\n", returned);
            socket.close(3001, "bis später");
        }
    };
    socket.on_error = [](const duplex::error_event& event) {
        std::printf("error %s\n", event.what().c_str());
        if (event.response)
            std::printf("response %u %s\n", event.response->status, event.response->body.c_str());
    };
    socket.on_close = [](const duplex::close_event& event) {
        std::printf("close %u %s %s\n", event.code, event.was_clean ? "clean" : "unclean",
                    event.reason.c_str());
    };
    socket.open(argv[2], std::vector<std::string>(argv + 3, argv + argc));
    io.run();
}
