#include <duplex/duplex.hpp>

#include <asio/any_io_executor.hpp>
#include <asio/io_context.hpp>

#if !defined(DUPLEX_COMPILED)
#error "duplex::compiled says so to its users"
#endif

/// Connections of another kind are still made where they are used.
bool closes_a_connection_of_its_own(asio::io_context& io) {
    using stream = asio::basic_stream_socket<asio::ip::tcp, asio::any_io_executor>;
    duplex::connection<stream> connection{stream{io}};
    return !connection.is_open();
}
