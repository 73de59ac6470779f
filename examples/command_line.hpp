#pragma once

// Reads the command lines of the examples.

#include <charconv>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

namespace example {

/// The arguments of a program, one after the other: `--name value` or `--name=value`, and those without a
/// name.
/// `--help` prints the usage and ends the program with 0, a mistake says what is wrong and ends it with 2.
class command_line {
public:
    command_line(int argc, char** argv, const char* usage)
        : at_{argv + (argc > 0 ? 1 : 0)}
        , end_{argv + argc}
        , usage_{usage} {}

    /// Goes on to the next argument; false behind the last one.
    bool next() {
        if (has_value_) fail(std::string{name_} + " takes no value");
        if (at_ == end_) return false;
        name_ = *at_++;
        if (!only_arguments_ && name_ == "--") {
            only_arguments_ = true;
            if (at_ == end_) return false;
            name_ = *at_++;
        }
        if (!is_option()) return true;
        if (const auto equals = name_.find('='); equals != std::string_view::npos) {
            value_ = name_.substr(equals + 1);
            name_ = name_.substr(0, equals);
            has_value_ = true;
        }
        if (name_ == "--help" || name_ == "-h") {
            std::fputs(usage_, stdout);
            std::exit(0);
        }
        return true;
    }

    /// The option's name, or the argument that is no option.
    [[nodiscard]] std::string_view name() const { return name_; }
    [[nodiscard]] bool is_option() const { return !only_arguments_ && name_.size() > 1 && name_[0] == '-'; }

    /// The value of the option.
    std::string_view value() {
        if (has_value_) {
            has_value_ = false;
            return value_;
        }
        if (at_ == end_) fail(std::string{name_} + " takes a value");
        return *at_++;
    }

    /// The value of an option that may do without: only `--name=value` has one.
    std::string_view value_if_any() { return has_value_ ? value() : std::string_view{}; }

    /// The value of the option, a whole number of that range.
    std::uint64_t number(std::uint64_t least, std::uint64_t most) {
        const std::string_view text = value();
        std::uint64_t result = 0;
        const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), result);
        if (error != std::errc{} || end != text.data() + text.size() || result < least || result > most)
            fail(std::string{name_} + " takes a number of " + std::to_string(least) + " to " +
                 std::to_string(most) + ", not \"" + std::string{text} + '"');
        return result;
    }

    /// For an argument that the program doesn't know.
    [[noreturn]] void unknown() const {
        fail((is_option() ? "there is no option " : "one argument too many: ") + std::string{name_});
    }

    [[noreturn]] void fail(const std::string& why) const {
        std::fprintf(stderr, "%s\n\n%s", why.c_str(), usage_);
        std::exit(2);
    }

private:
    char** at_;
    char** end_;
    const char* usage_;
    std::string_view name_;
    std::string_view value_;
    bool has_value_ = false;
    bool only_arguments_ = false;
};

} // namespace example
