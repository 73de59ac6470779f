#pragma once

#include <duplex/test/stream.hpp>

#include <asio/buffer.hpp>
#include <asio/io_context.hpp>

#include <array>
#include <cstddef>
#include <string>
#include <system_error>
#include <utility>

namespace stream_fixture {

/// What an operation completed with.
struct outcome {
    int calls = 0;
    std::error_code error;
    std::size_t bytes = 0;

    [[nodiscard]] auto handler() {
        return [this](std::error_code with, std::size_t count) {
            ++calls;
            error = with;
            bytes = count;
        };
    }
};

/// A read with the memory it reads into.
struct reading : outcome {
    std::array<char, 64> memory{};

    template <class Stream>
    void start(Stream& from, std::size_t most = 64) {
        from.async_read_some(asio::buffer(memory, most), handler());
    }

    [[nodiscard]] std::string text() const { return {memory.data(), bytes}; }
};

/// A pair whose ends run on one context, by hand.
struct fixture {
    asio::io_context context;
    std::pair<duplex::test::stream, duplex::test::stream> ends = duplex::test::make_stream_pair(context);
    duplex::test::stream& here = ends.first;
    duplex::test::stream& there = ends.second;
    reading read;
    outcome write;
};

} // namespace stream_fixture
