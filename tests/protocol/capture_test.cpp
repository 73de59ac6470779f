#include <duplex/protocol/capture.hpp>

#include "support/catch.hpp"
#include "support/wire.hpp"

#include <array>
#include <chrono>
#include <cstdint>
#include <limits>
#include <optional>
#include <random>
#include <string>

using namespace duplex;
using namespace duplex::testing;
using namespace std::chrono_literals;
using kind = capture_record::kind;

namespace {

octets number(std::uint64_t value) {
    std::array<std::byte, detail::longest_varint> bytes;
    return to_octets(std::span{bytes}.first(detail::write_varint(bytes.data(), value)));
}
octets after(std::int64_t nanoseconds) { return number(detail::fold_sign(nanoseconds)); }

/// The beginning of a capture with no more options than it must have.
octets beginning(unsigned role = 1) {
    return octets{"DXWC\x01"} + static_cast<char>(role) + number(0) + number(0);
}

struct reading {
    explicit reading(octets from)
        : bytes{std::move(from)} {}
    octets bytes;
    capture_reader reader{view(bytes)};
};

capture_error error_of(const octets& bytes) {
    reading it{bytes};
    while (it.reader.next()) {
    }
    CHECK(it.reader.position() <= bytes.size());
    return it.reader.error();
}

} // namespace

TEST_CASE("numbers of all sizes come back") {
    for (const std::uint64_t each : {std::uint64_t{0}, std::uint64_t{127}, std::uint64_t{128},
                                     std::uint64_t{1} << 35U, std::numeric_limits<std::uint64_t>::max()}) {
        const octets bytes = number(each) + "x";
        auto rest = view(bytes);
        CHECK(detail::read_varint(rest) == each);
        CHECK(rest.size() == 1);
    }
    for (const std::int64_t each :
         {std::int64_t{0}, std::int64_t{-1}, std::int64_t{1}, std::numeric_limits<std::int64_t>::max(),
          std::numeric_limits<std::int64_t>::min()})
        CHECK(detail::unfold_sign(detail::fold_sign(each)) == each);
    const octets too_long = octets(9, '\xff') + "\x02";
    auto rest = view(too_long);
    CHECK_FALSE(detail::read_varint(rest));
    CHECK_FALSE(rest.empty());
}

TEST_CASE("reads every kind of record") {
    reading it{beginning() + "\x01" + after(5) + number(3) + "abc" + "\x03" + after(0) + number(1) + "d" +
               "\x02" + after(-2) + number(0) + "\x04" + after(1) + number(1000) + "\x05" + after(1) +
               "\x06" + after(1'000'000'000) + "\x07" + after(0) + "\x08" + after(0)};
    const auto next = [&] { return it.reader.next().value(); };
    auto record = next();
    CHECK((record.what == kind::received));
    CHECK(record.when == 5ns);
    CHECK(to_octets(record.bytes) == "abc");
    record = next();
    CHECK((record.what == kind::sent_part));
    CHECK(to_octets(record.bytes) == "d");
    record = next();
    CHECK((record.what == kind::sent));
    CHECK(record.when == 3ns);
    CHECK(record.bytes.empty());
    record = next();
    CHECK((record.what == kind::offered));
    CHECK(record.size == 1000);
    CHECK((next().what == kind::timed));
    record = next();
    CHECK((record.what == kind::timed_unheard));
    CHECK(record.when == 1s + 5ns);
    CHECK((next().what == kind::ended));
    CHECK((next().what == kind::cut));
    CHECK_FALSE(it.reader.next());
    CHECK((it.reader.error() == capture_error::none));
    CHECK(it.reader.position() == it.bytes.size());
    CHECK((it.reader.start().self == role::server));
    CHECK((reading{beginning(0)}.reader.start().self == role::client));
}

TEST_CASE("options that were not written have their defaults, and those that are unknown are passed over") {
    CHECK((reading{beginning()}.reader.start().options == session_options{}));
    octets more = octets{"DXWC\x01\x01"} + number(18);
    const auto numbers = detail::to_numbers({.options = {.fragment_bytes = 77}});
    for (std::size_t i = 0; i < detail::capture_options; ++i)
        more += number(numbers[i]);
    const reading it{more + number(12345) + number(0)};
    CHECK((it.reader.error() == capture_error::none));
    CHECK(it.reader.start().options.fragment_bytes == 77);
}

TEST_CASE("says what is wrong with a capture, and where") {
    CHECK((error_of("") == capture_error::not_a_capture));
    CHECK((error_of("GET / HTTP/1.1") == capture_error::not_a_capture));
    CHECK((error_of("DX") == capture_error::cut_short));
    CHECK((error_of("DXWC") == capture_error::cut_short));
    CHECK((error_of("DXWC\x02\x01") == capture_error::version_unknown));
    CHECK((error_of("DXWC\x01\x02") == capture_error::malformed));
    CHECK((error_of("DXWC\x01\x01") == capture_error::cut_short));
    CHECK((error_of(octets{"DXWC\x01\x01"} + number(256)) == capture_error::malformed));
    CHECK((error_of(beginning()) == capture_error::none));
    CHECK((error_of(beginning() + "\x09") == capture_error::malformed));
    CHECK((error_of(beginning() + octets(1, '\0')) == capture_error::malformed));
    CHECK((error_of(beginning() + "\x05") == capture_error::cut_short));
    CHECK((error_of(beginning() + "\x05" + after(-1)) == capture_error::malformed));
    CHECK((error_of(beginning() + "\x05" + after(std::numeric_limits<std::int64_t>::max())) ==
           capture_error::malformed));
    CHECK((error_of(beginning() + "\x05" + after(std::numeric_limits<std::int64_t>::min())) ==
           capture_error::malformed));
    CHECK((error_of(beginning() + "\x05" + octets(11, '\xff')) == capture_error::malformed));
    CHECK((error_of(beginning() + "\x01" + after(0) + number(4) + "abc") == capture_error::cut_short));
    CHECK((error_of(beginning() + "\x01" + after(0) + number(std::numeric_limits<std::uint64_t>::max())) ==
           capture_error::cut_short));

    reading it{beginning() + "\x05" + after(0) + "\x05"};
    CHECK(it.reader.next());
    CHECK_FALSE(it.reader.next());
    CHECK_FALSE(it.reader.next());
    CHECK(it.reader.position() == it.bytes.size() - 1);
    for (const auto error : {capture_error::none, capture_error::not_a_capture,
                             capture_error::version_unknown, capture_error::cut_short,
                             capture_error::malformed, capture_error::no_codec, capture_error::out_of_memory})
        CHECK(to_string(error) != "unknown");
}

TEST_CASE("options that mean nothing are refused") {
    const auto with = [](std::size_t which, std::uint64_t value) {
        auto numbers = detail::to_numbers({.deflate = deflate_params{}});
        numbers[which] = value;
        octets bytes = octets{"DXWC\x01\x01"} + number(detail::capture_options);
        for (std::size_t i = 0; i < numbers.size(); ++i)
            bytes += (i == detail::capture_options ? number(detail::capture_deflate) : octets{}) +
                     number(numbers[i]);
        return error_of(bytes);
    };
    CHECK((with(0, 5) == capture_error::none));
    CHECK((with(6, std::uint64_t{1} << 41U) == capture_error::malformed));
    CHECK((with(11, 2) == capture_error::malformed));
    CHECK((with(14, 6) == capture_error::malformed));
    CHECK((with(15, 65536) == capture_error::malformed));
    CHECK((with(19, 7) == capture_error::malformed));
    CHECK((with(20, 16) == capture_error::malformed));
    CHECK((with(21, 10) == capture_error::malformed));
    CHECK((with(22, 0) == capture_error::malformed));
    CHECK((with(29, 2) == capture_error::malformed));
}

TEST_CASE("whatever the bytes are, reading them ends") {
    std::mt19937 random{3};
    for (int round = 0; round < 2000; ++round) {
        octets bytes = round % 4 == 0 ? octets{} : beginning();
        for (auto left = random() % 60; left > 0; --left)
            bytes += static_cast<char>(random() % 2 == 0 ? random() : random() % 9);
        (void)error_of(bytes);
    }
}
