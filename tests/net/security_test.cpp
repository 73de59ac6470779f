#include <duplex/net/security.hpp>

#include "support/catch.hpp"
#include "support/loopback.hpp"

#include <duplex/net/connect.hpp>

#include <asio/io_context.hpp>

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <system_error>

namespace {

using namespace duplex;
using namespace duplex::testing;

[[nodiscard]] std::error_code error_of(asio::io_context& io, std::string_view url, connect_options options) {
    std::optional<std::error_code> found;
    async_connect(io, url, std::move(options),
                  [&](std::error_code error, tcp_connection<>) { found = error; });
    run_out(io);
    REQUIRE(found);
    return *found;
}

/// One that can't.
struct refusing final : client_security {
    std::unique_ptr<detail::transport_layer> secure(std::string_view host, std::uint16_t port,
                                                    std::error_code& error) const override {
        CHECK(host == "127.0.0.1");
        CHECK(port != 0);
        error = errc::tls_ca_invalid;
        return nullptr;
    }
};

} // namespace

TEST_CASE("without TLS in the program a wss URL says so", "[security]") {
    CHECK(detail::default_security == nullptr);
    asio::io_context io;
    CHECK(error_of(io, "wss://127.0.0.1:1/", {}) == errc::tls_not_available);
}

TEST_CASE("an https proxy takes TLS as well", "[security]") {
    asio::io_context io;
    connect_options options;
    options.proxy = proxy{.kind = proxy_kind::https, .host = "127.0.0.1", .port = 1};
    CHECK(error_of(io, "ws://127.0.0.1:1/", options) == errc::tls_not_available);
}

TEST_CASE("a connection that can't be secured fails before anything is sent", "[security]") {
    asio::io_context io;
    raw_server server{io};
    connect_options options;
    options.security = std::make_shared<refusing>();
    std::optional<std::error_code> found;
    async_connect(io, "wss://127.0.0.1:" + std::to_string(server.port()), options,
                  [&](std::error_code error, tcp_connection<>) { found = error; });
    run_until(io, [&] { return found && server.connected() && server.peer().ended(); });
    CHECK(*found == errc::tls_ca_invalid);
    CHECK(server.peer().received().empty());
}
