# For the scripts test.cmake and demo.cmake.

if(DEFINED ENV{CMAKE_BUILD_PARALLEL_LEVEL})
    set(duplex_cores $ENV{CMAKE_BUILD_PARALLEL_LEVEL})
else()
    cmake_host_system_information(RESULT duplex_cores QUERY NUMBER_OF_LOGICAL_CORES)
    # Without /proc nobody knows.
    if(NOT duplex_cores)
        set(duplex_cores 1)
    endif()
endif()

# Configures duplex into `directory` and builds it with a job for each core (or CMAKE_BUILD_PARALLEL_LEVEL of them). The definitions given to the script go on to
# the configuration (`cmake -DDUPLEX_SANITIZE=thread -P cmake/test.cmake`), after those given here, and CC, CXX and the like
# are heard as always.
function(duplex_build directory)
    set(arguments ${ARGN})
    get_cmake_property(names CACHE_VARIABLES)
    foreach(name IN LISTS names)
        get_property(type CACHE "${name}" PROPERTY TYPE)
        if(NOT type STREQUAL "INTERNAL" AND NOT type STREQUAL "STATIC")
            string(REPLACE ";" "\\;" value "$CACHE{${name}}")
            list(APPEND arguments "-D${name}=${value}")
        endif()
    endforeach()

    find_program(ninja NAMES ninja ninja-build NO_CACHE)
    if(ninja AND NOT DEFINED ENV{CMAKE_GENERATOR} AND NOT EXISTS "${directory}/CMakeCache.txt")
        list(APPEND arguments -G Ninja)
    endif()
    find_program(ccache NAMES ccache NO_CACHE)
    if(ccache AND NOT DEFINED ENV{CMAKE_CXX_COMPILER_LAUNCHER})
        list(APPEND arguments "-DCMAKE_CXX_COMPILER_LAUNCHER=${ccache}")
    endif()

    get_filename_component(root "${CMAKE_CURRENT_FUNCTION_LIST_DIR}" DIRECTORY)
    execute_process(COMMAND "${CMAKE_COMMAND}" -S "${root}" -B "${directory}" ${arguments} COMMAND_ERROR_IS_FATAL ANY)
    execute_process(COMMAND "${CMAKE_COMMAND}" --build "${directory}" --parallel ${duplex_cores}
                    COMMAND_ERROR_IS_FATAL ANY)
endfunction()
