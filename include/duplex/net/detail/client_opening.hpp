#pragma once

#include <duplex/handshake/client_handshake.hpp>
#include <duplex/handshake/outcome.hpp>

#include <cstddef>
#include <memory>
#include <optional>
#include <span>

namespace duplex::detail {

/// What a connection does with the answer to its request. Known by pointers to functions, so that a program
/// which only serves has nothing of a client in it; the only override of a virtual function would be
/// compiled into every connection, as a guess at the target.
class answer_reader {
public:
    using owner = std::unique_ptr<answer_reader, void (*)(answer_reader*)>;

    /// Takes bytes, or that there will be none; gives the outcome once the answer is complete.
    std::optional<handshake_outcome> receive(std::span<const std::byte> bytes, bool ended) {
        return receive_(*this, bytes, ended);
    }

protected:
    using function = std::optional<handshake_outcome> (*)(answer_reader&, std::span<const std::byte>, bool);
    explicit answer_reader(function how) noexcept
        : receive_{how} {}
    ~answer_reader() = default;

private:
    function receive_;
};

/// A client's side of an opening.
class client_opening final : public answer_reader {
public:
    [[nodiscard]] static auto make() {
        return std::unique_ptr<client_opening, void (*)(answer_reader*)>{
            new client_opening, [](answer_reader* gone) { delete static_cast<client_opening*>(gone); }};
    }

    client_handshake handshake;

private:
    client_opening()
        : answer_reader{[](answer_reader& self, std::span<const std::byte> bytes, bool ended) {
            return static_cast<client_opening&>(self).read(bytes, ended);
        }} {}

    std::optional<handshake_outcome> read(std::span<const std::byte> bytes, bool ended) {
        const auto progress = ended ? handshake.eof() : handshake.receive(bytes);
        if (progress == client_handshake::progress::need_more) return std::nullopt;
        return handshake.take_outcome();
    }
};

} // namespace duplex::detail
