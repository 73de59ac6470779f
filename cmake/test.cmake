# Builds the tests and examples into build/test and runs all tests: `cmake -P cmake/test.cmake`.
# With sanitizers, in a build tree of their own: `cmake -DDUPLEX_SANITIZE=address,undefined -P cmake/test.cmake`.
cmake_minimum_required(VERSION 3.24...3.30)

include("${CMAKE_CURRENT_LIST_DIR}/DuplexBuild.cmake")

set(directory "${CMAKE_CURRENT_LIST_DIR}/../build/test")
if(DUPLEX_SANITIZE)
    string(REPLACE "," "-" suffix "${DUPLEX_SANITIZE}")
    string(APPEND directory "-${suffix}")
endif()
get_filename_component(directory "${directory}" ABSOLUTE)

duplex_build("${directory}" -DDUPLEX_BUILD_TESTS=ON -DDUPLEX_BUILD_EXAMPLES=ON -DDUPLEX_TEST_FLOORS=)

execute_process(COMMAND "${CMAKE_CTEST_COMMAND}" --test-dir "${directory}" --build-config RelWithDebInfo --parallel
                        ${duplex_cores} --output-on-failure --no-label-summary --no-tests=error
                RESULT_VARIABLE result)

# ctest's summary stays the last thing printed, where CMake can end a script without a word of its own.
if(NOT result EQUAL 0)
    if(CMAKE_VERSION VERSION_LESS 3.29)
        message(FATAL_ERROR "Tests failed: see above")
    else()
        cmake_language(EXIT 1)
    endif()
endif()
