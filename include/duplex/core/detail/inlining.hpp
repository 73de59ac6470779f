#pragma once

/// DUPLEX_ALWAYS_INLINE: the few steps that every message takes, whose calls would cost more than they do.
/// DUPLEX_NEVER_INLINE: what is rarely needed, kept out of their way.
#if defined(__GNUC__)
#define DUPLEX_ALWAYS_INLINE inline __attribute__((always_inline))
#define DUPLEX_NEVER_INLINE __attribute__((noinline))
#else
#define DUPLEX_ALWAYS_INLINE inline
#define DUPLEX_NEVER_INLINE
#endif
