// In place of deflate.cpp where there is no zlib.

#include "deflate.hpp"
#include "report.hpp"

namespace bench {

const char* why_without_deflate() noexcept {
    return "this load was built without zlib, so it has no compression";
}

std::unique_ptr<deflate_codec> make_deflate_codec(bool /*takeover*/) { throw failure{why_without_deflate()}; }

} // namespace bench
