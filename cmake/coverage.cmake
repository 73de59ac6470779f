# Builds the tests with coverage counters into build/coverage, runs them, and lists what of include/duplex they reach:
# `cmake -P cmake/coverage.cmake`. Needs g++ and gcovr. Fails below 95 % of lines or 85 % of branches.
cmake_minimum_required(VERSION 3.24...3.30)

include("${CMAKE_CURRENT_LIST_DIR}/DuplexBuild.cmake")
get_filename_component(root "${CMAKE_CURRENT_LIST_DIR}" DIRECTORY)
set(directory "${root}/build/coverage")

find_program(gcovr NAMES gcovr NO_CACHE)
if(NOT gcovr)
    message(FATAL_ERROR "gcovr is not installed")
endif()

# Counters are atomic, for the tests with threads; inlining stays off, so that each line is counted where it stands.
duplex_build("${directory}" -DDUPLEX_BUILD_TESTS=ON -DDUPLEX_BUILD_EXAMPLES=OFF -DCMAKE_BUILD_TYPE=Debug
             "-DCMAKE_CXX_FLAGS=--coverage -fprofile-update=atomic")
execute_process(COMMAND "${CMAKE_CTEST_COMMAND}" --test-dir "${directory}" --parallel ${duplex_cores}
                        --output-on-failure --no-label-summary --label-exclude "structure|consumer|interop"
                COMMAND_ERROR_IS_FATAL ANY)

# Branches that only an exception takes out of an expression are the compiler's, not ours. gcov 12 marks them only in
# functions that ran, and a template has many that didn't: so a line counts that has a condition to decide. No assertion
# may fail.
set(condition "[?]|&&|[|][|]|\\b(if|for|while|switch|case|default|else|and|or)\\b")
execute_process(COMMAND "${gcovr}" --root "${root}" --filter "${root}/include/duplex/" --object-directory "${directory}"
                        --exclude-throw-branches --exclude-unreachable-branches
                        --exclude-branches-by-pattern "(?!.*(${condition}))|.*[^_]assert[(]" --print-summary
                        --fail-under-line 95 --fail-under-branch 85 "${directory}" COMMAND_ERROR_IS_FATAL ANY)
