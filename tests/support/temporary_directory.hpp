#pragma once

#include "support/catch.hpp"

#include <cstdlib>
#include <filesystem>
#include <iterator>
#include <string>
#include <system_error>

namespace duplex::testing {

/// An empty directory of the test's own, which goes with it.
class temporary_directory {
public:
    temporary_directory() {
        path_ = (std::filesystem::temp_directory_path() / "duplex-XXXXXX").string();
        REQUIRE(::mkdtemp(path_.data()) != nullptr);
    }
    temporary_directory(const temporary_directory&) = delete;
    temporary_directory& operator=(const temporary_directory&) = delete;
    ~temporary_directory() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }

    [[nodiscard]] std::string operator/(const std::string& name) const { return path_ + '/' + name; }
    /// How many names are in it.
    [[nodiscard]] long count() const {
        return std::distance(std::filesystem::directory_iterator{path_},
                             std::filesystem::directory_iterator{});
    }

private:
    std::string path_;
};

} // namespace duplex::testing
