#pragma once

#include "support/loopback.hpp"

#include <duplex/server.hpp>

#include <string>
#include <system_error>
#include <utility>
#include <vector>

namespace duplex::testing {

/// A server that echoes, and writes down what happens to it.
struct echoing {
    explicit echoing(asio::io_context& io, server_options options = {})
        : it{io, std::move(options)} {
        it.on_open = [this](server::peer& peer) {
            REQUIRE(peer.opening_outcome());
            seen.push_back("open " + peer.opening_outcome()->target);
        };
        it.on_message = [this](server::peer& peer, const message& m) {
            seen.push_back("message " + std::string{m.text()});
            CHECK_FALSE(peer.opening_outcome());
            CHECK(accepted(peer.send(m)));
        };
        it.on_close = [this](server::peer& peer, const close_result& result) {
            CHECK_FALSE(peer.is_open());
            CHECK(peer.result() == &result);
            seen.push_back("close " + std::to_string(to_number(result.code)) +
                           (result.reason.empty() ? "" : " " + result.reason) +
                           (result.was_clean ? " clean" : ""));
        };
        it.on_error = [this](std::error_code error) { errors.push_back(error); };
    }

    history seen;
    std::vector<std::error_code> errors;
    server it;
};

} // namespace duplex::testing
