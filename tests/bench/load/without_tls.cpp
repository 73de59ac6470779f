// In place of tls.cpp where there is no OpenSSL.

#include "report.hpp"
#include "tls.hpp"

namespace bench {

const char* why_without_tls() noexcept { return "this load was built without OpenSSL, so it has no TLS"; }

std::unique_ptr<tls_channel> open_tls(int /*socket*/, bool /*sparing*/) { throw failure{why_without_tls()}; }

} // namespace bench
