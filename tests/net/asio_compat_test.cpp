#include <duplex/net/detail/asio_compat.hpp>

#include "support/catch.hpp"

#include <asio/any_io_executor.hpp>
#include <asio/error.hpp>
#include <asio/io_context.hpp>
#include <asio/post.hpp>
#include <asio/strand.hpp>
#include <asio/thread_pool.hpp>

#include <cerrno>
#include <system_error>

using duplex::detail::runs_here;

namespace {

/// Whether a function of `context` that runs in `inside` is taken to run in `asked`.
bool seen_from(asio::io_context& context, const asio::any_io_executor& inside,
               const asio::any_io_executor& asked) {
    bool seen = false;
    asio::post(inside, [&] { seen = runs_here(asked); });
    context.restart();
    context.run();
    return seen;
}

} // namespace

TEST_CASE("a type-erased executor knows its thread by what is in it") {
    asio::io_context io;
    const asio::any_io_executor plain{io.get_executor()};
    CHECK(seen_from(io, plain, plain));
    CHECK_FALSE(runs_here(plain));
    const asio::any_io_executor strand{asio::make_strand(io)};
    CHECK(seen_from(io, strand, strand));
    // Another strand's function, or none's, may run beside it.
    CHECK_FALSE(seen_from(io, plain, strand));
    CHECK_FALSE(seen_from(io, asio::make_strand(io), strand));
    const asio::any_io_executor twice{asio::make_strand(plain)};
    CHECK(seen_from(io, twice, twice));
    CHECK_FALSE(seen_from(io, plain, twice));
    asio::thread_pool pool{1};
    CHECK_FALSE(runs_here(asio::any_io_executor{pool.get_executor()}));
}

TEST_CASE("an error of the system is known whatever its category") {
    using duplex::detail::is_system_error;
    const std::error_code of_asio = asio::error::network_unreachable;
    CHECK(is_system_error(of_asio, std::errc::network_unreachable));
    CHECK_FALSE(is_system_error(of_asio, std::errc::connection_refused));
    // Asio has no name for this one, in no version.
    const std::error_code unnamed{EADDRNOTAVAIL, asio::error::get_system_category()};
    CHECK(is_system_error(unnamed, std::errc::address_not_available));
    const std::error_code of_system{ENETUNREACH, std::system_category()};
    CHECK(is_system_error(of_system, std::errc::network_unreachable));
    CHECK(is_system_error(std::make_error_code(std::errc::timed_out), std::errc::timed_out));
    // The same number means something else elsewhere.
    const std::error_code of_another{ENETUNREACH, asio::error::get_misc_category()};
    CHECK_FALSE(is_system_error(of_another, std::errc::network_unreachable));
    CHECK_FALSE(is_system_error({}, std::errc::network_unreachable));
}
