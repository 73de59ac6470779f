#pragma once

#if !(defined(_MSVC_LANG) ? _MSVC_LANG >= 202002L : __cplusplus > 201703L)
#error "duplex takes C++20: compile with -std=c++20 or newer"
#endif

/// The version of duplex. This file is its one source: CMake reads it from here.
#define DUPLEX_VERSION_MAJOR 0
#define DUPLEX_VERSION_MINOR 1
#define DUPLEX_VERSION_PATCH 0

/// The version as a number for `#if`: major * 10000 + minor * 100 + patch.
#define DUPLEX_VERSION (DUPLEX_VERSION_MAJOR * 10000 + DUPLEX_VERSION_MINOR * 100 + DUPLEX_VERSION_PATCH)

/// The version as text.
#define DUPLEX_VERSION_STRING "0.1.0"
