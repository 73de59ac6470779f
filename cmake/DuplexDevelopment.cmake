# What duplex's own tests and examples are compiled with; no user of the library ever sees any of it.

if(CMAKE_VERSION VERSION_LESS 3.24)
    message(FATAL_ERROR "The tests and examples of duplex take CMake 3.24 or newer")
endif()

get_property(duplex_multi_config GLOBAL PROPERTY GENERATOR_IS_MULTI_CONFIG)
if(duplex_top_level AND NOT CMAKE_BUILD_TYPE AND NOT duplex_multi_config)
    set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "Build type" FORCE)
endif()

set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

# For all that is built from here on, a Catch2 built along included.
if(DUPLEX_SANITIZE)
    add_compile_options(-fsanitize=${DUPLEX_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
    add_link_options(-fsanitize=${DUPLEX_SANITIZE})
    # g++ says so for each fence in Asio, which locks a mutex there as well.
    add_compile_options($<$<CXX_COMPILER_ID:GNU>:-Wno-tsan>)
endif()

add_library(duplex_development INTERFACE)
target_compile_definitions(duplex_development INTERFACE ASIO_NO_DEPRECATED)
target_compile_options(duplex_development INTERFACE -Wall -Wextra -Wpedantic -Wconversion -Wsign-conversion -Wshadow
                                                    $<$<BOOL:${DUPLEX_WERROR}>:-Werror>)
