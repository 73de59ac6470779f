#pragma once

namespace duplex::detail {

/// Does what can only report exhausted memory by throwing, such as growing a container. False when it threw,
/// and so did nothing; without exceptions exhausted memory ends the program.
template <class Step>
[[nodiscard]] bool nothrow(Step step) noexcept {
#if defined(__cpp_exceptions)
    try {
        step();
    } catch (...) {
        return false;
    }
#else
    step();
#endif
    return true;
}

} // namespace duplex::detail
