# Configures, builds and runs the project SOURCE in the fresh directory BINARY; all other variables go to the project.
cmake_minimum_required(VERSION 3.24...3.30)

file(REMOVE_RECURSE "${BINARY}")
set(passed "")
foreach(name CMAKE_MAKE_PROGRAM CMAKE_CXX_COMPILER CMAKE_CXX_COMPILER_LAUNCHER CMAKE_PREFIX_PATH CMAKE_TOOLCHAIN_FILE
             CMAKE_FIND_ROOT_PATH DUPLEX_SOURCE DUPLEX_ASIO_ROOT Asio_INCLUDE_DIR OPENSSL_ROOT_DIR ZLIB_ROOT
             Libdeflate_ROOT DUPLEX_TLS DUPLEX_DEFLATE DUPLEX_LIBDEFLATE EXPECT_LIBDEFLATE duplex_ROOT)
    if(NOT "${${name}}" STREQUAL "")
        string(REPLACE ";" "\\;" value "${${name}}")
        list(APPEND passed "-D${name}=${value}")
    endif()
endforeach()

execute_process(COMMAND "${CMAKE_COMMAND}" -S "${SOURCE}" -B "${BINARY}" -G "${CMAKE_GENERATOR}"
                        -DCMAKE_BUILD_TYPE=Debug "-DCMAKE_RUNTIME_OUTPUT_DIRECTORY=${BINARY}/bin" ${passed}
                COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND "${CMAKE_COMMAND}" --build "${BINARY}" --config Debug COMMAND_ERROR_IS_FATAL ANY)

file(GLOB_RECURSE programs "${BINARY}/bin/uses_*")
if(NOT programs)
    message(FATAL_ERROR "no program was built")
endif()
foreach(program IN LISTS programs)
    execute_process(COMMAND "${program}" COMMAND_ERROR_IS_FATAL ANY)
endforeach()
