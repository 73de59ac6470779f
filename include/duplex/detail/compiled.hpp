#pragma once

/// DUPLEX_COMPILED: what applications use on TCP is compiled once, into a library (`duplex::compiled`, or one
/// source of the program that includes duplex/impl/src.hpp), and declared everywhere else.
///
/// DUPLEX_FUNCTION: a function that is then in that library, and inline otherwise.
#if defined(DUPLEX_COMPILED)
#define DUPLEX_FUNCTION
#else
#define DUPLEX_FUNCTION inline
#endif
