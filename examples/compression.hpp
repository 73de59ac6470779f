#pragma once

// How the examples are told to compress messages.

#include "command_line.hpp"

#include <duplex/deflate/params.hpp>
#if defined(EXAMPLE_HAS_DEFLATE)
#include <duplex/deflate.hpp>
#endif

#include <string>
#include <string_view>

namespace example {

/// The value of `--deflate`.
inline duplex::deflate_options read_deflate(command_line& line) {
#if !defined(EXAMPLE_HAS_DEFLATE)
    line.fail("there is no compression in this build: zlib was missing");
#endif
    duplex::deflate_options options;
    const std::string_view how = line.value_if_any();
    if (how == "takeover")
        options.context_takeover = options.peer_context_takeover = true;
    else if (!how.empty() && how != "no-takeover")
        line.fail("--deflate takes takeover or no-takeover, not \"" + std::string{how} + '"');
    return options;
}

} // namespace example
