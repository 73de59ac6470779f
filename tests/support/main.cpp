// The main function of the tests with Catch2 2.13; Catch2 3 brings its own and leaves this file out.
#define CATCH_CONFIG_MAIN
#include <catch2/catch.hpp>
