#pragma once

#include "support/catch.hpp"

#include <sys/resource.h>

namespace duplex::testing {

/// As long as it lives, the system opens no descriptor but those of standard input, output and error anew.
class no_descriptors_left {
public:
    no_descriptors_left() {
        REQUIRE(::getrlimit(RLIMIT_NOFILE, &before_) == 0);
        rlimit low = before_;
        low.rlim_cur = 3;
        REQUIRE(::setrlimit(RLIMIT_NOFILE, &low) == 0);
    }
    no_descriptors_left(const no_descriptors_left&) = delete;
    no_descriptors_left& operator=(const no_descriptors_left&) = delete;
    ~no_descriptors_left() { ::setrlimit(RLIMIT_NOFILE, &before_); }

private:
    rlimit before_{};
};

} // namespace duplex::testing
