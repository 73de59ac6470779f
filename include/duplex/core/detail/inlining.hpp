#pragma once

/// DUPLEX_ALWAYS_INLINE: the few steps that every message takes, whose calls would cost more than they do.
/// DUPLEX_NEVER_INLINE: what is seldom needed, kept out of their way.
/// DUPLEX_RARE: what happens once in the life of a server, or when something has gone wrong: made small.
#if defined(__GNUC__)
#define DUPLEX_ALWAYS_INLINE inline __attribute__((always_inline))
#define DUPLEX_NEVER_INLINE __attribute__((noinline))
#define DUPLEX_RARE __attribute__((noinline, cold))
#else
#define DUPLEX_ALWAYS_INLINE inline
#define DUPLEX_NEVER_INLINE
#define DUPLEX_RARE
#endif
