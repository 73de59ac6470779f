#pragma once

// Before all else of Asio: its older versions look at what the standard library has defined before they
// include anything of it. What they choose then, such as where memory comes from and goes to, must be the
// same in all sources of a program.

#include <cstddef>

#include <asio/detail/config.hpp>
