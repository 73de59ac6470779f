#include <duplex/tls/client_security.hpp>

#include "support/catch.hpp"
#include "support/certificates.hpp"
#include "support/tls_pair.hpp"

#include <string>
#include <system_error>

namespace {

using namespace duplex;
using namespace duplex::testing;

} // namespace

TEST_CASE("what secures clients is made from options, or tells what is wrong with them",
          "[client_security]") {
    std::error_code error;
    std::string why;
    const auto made = make_client_security(trusting(), error, &why);
    CHECK_FALSE(error);
    REQUIRE(made);
    const auto layer = made->secure("localhost", 443, error);
    CHECK_FALSE(error);
    REQUIRE(layer);
    CHECK_FALSE(layer->established());
    CHECK_FALSE(layer->unsent());
    CHECK_FALSE(layer->unread());

    CHECK(made->secure(std::string("a\0b", 3), 443, error) == nullptr);
    CHECK(error == errc::url_host_invalid);

    CHECK(make_client_security({.ca_pem = "none"}, error, &why) == nullptr);
    CHECK(error == errc::tls_ca_invalid);
    CHECK_FALSE(why.empty());
}

TEST_CASE("equal options without files share what was made from them", "[client_security]") {
    std::error_code error;
    const auto one = detail::shared_client_security(trusting(), error, nullptr);
    REQUIRE(one);
    CHECK(detail::shared_client_security(trusting(), error, nullptr) == one);
    auto other = trusting();
    other.resume_sessions = false;
    CHECK(detail::shared_client_security(other, error, nullptr) != one);

    // A file may have been replaced since.
    const pem_file file{test_authority().pem};
    const tls_client_options from_file{.ca_file = file.path()};
    const auto read = detail::shared_client_security(from_file, error, nullptr);
    REQUIRE(read);
    CHECK(detail::shared_client_security(from_file, error, nullptr) != read);
}

TEST_CASE("a program that includes this has TLS for its wss URLs", "[client_security]") {
    CHECK(detail::default_security == &detail::shared_client_security);
}
