#pragma once

// Part of error.hpp: what the table of explanations is made of.

namespace duplex::detail {

/// A row: what there is to say in words is name, text and source in one, so that a row has one pointer to be
/// relocated when a program starts.
struct explained {
    errc error;
    condition group;
    close_code close;
    std::uint16_t http_status;
    const char* words;
};

} // namespace duplex::detail
