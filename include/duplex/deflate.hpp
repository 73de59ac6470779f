#pragma once

// permessage-deflate (RFC 7692): included in any source of a program that links to duplex::deflate.

#include <duplex/deflate/zlib_codec.hpp>
