#pragma once

// How the examples show what their connections do.

#include <duplex/net/observe.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace example {

/// A line for each frame to the standard error: which connection, how long the program has run, which frame.
inline duplex::wire_observer trace_to_stderr() {
    const auto start = std::chrono::steady_clock::now();
    return duplex::trace_frames([start](const duplex::traced_frame& frame) {
        const std::chrono::duration<double> age = frame.when - start;
        // One call, so that the lines of several threads don't mix.
        std::fprintf(stderr, "#%llu %9.3f %s\n", static_cast<unsigned long long>(frame.connection),
                     age.count(), to_string(frame).c_str());
    });
}

/// A file for each connection, DIRECTORY/connection-N.capture.
inline duplex::wire_observer record_to(std::string directory) {
    return duplex::record_wire(
        [directory = std::move(directory)](const duplex::wire_start& start) -> duplex::capture_sink {
            const std::string name = directory + "/connection-" + std::to_string(start.number) + ".capture";
            const std::shared_ptr<std::FILE> file{std::fopen(name.c_str(), "wb"), [](std::FILE* done) {
                                                      if (done != nullptr) std::fclose(done);
                                                  }};
            if (!file) {
                std::fprintf(stderr, "can't write %s\n", name.c_str());
                return {};
            }
            return [file](std::span<const std::byte> bytes) {
                std::fwrite(bytes.data(), 1, bytes.size(), file.get());
            };
        });
}

} // namespace example
