# duplex::compiled: the same headers, but what applications use on TCP, and with it Asio itself, is compiled once, into a
# static library of the project that links to it, with that project's own compiler options. A project in which nobody
# links to it never builds it.

if(NOT TARGET duplex_compiled)
    set(duplex_compiled_sources "")
    foreach(header asio/impl/src.hpp duplex/impl/blocking_client.hpp duplex/impl/server.hpp duplex/impl/tcp_connection.hpp
                   duplex/impl/websocket.hpp)
        string(MAKE_C_IDENTIFIER "${header}" source)
        set(source "${CMAKE_CURRENT_BINARY_DIR}/duplex_compiled/${source}.cpp")
        set(text "#include <duplex/net/detail/asio_config.hpp>\n\n#include <${header}>\n")
        set(before "")
        if(EXISTS "${source}")
            file(READ "${source}" before)
        endif()
        if(NOT before STREQUAL text)
            file(WRITE "${source}" "${text}")
        endif()
        list(APPEND duplex_compiled_sources "${source}")
    endforeach()

    add_library(duplex_compiled STATIC EXCLUDE_FROM_ALL ${duplex_compiled_sources})
    add_library(duplex::compiled ALIAS duplex_compiled)
    target_link_libraries(duplex_compiled PUBLIC duplex::duplex)
    target_compile_definitions(duplex_compiled PUBLIC DUPLEX_COMPILED ASIO_SEPARATE_COMPILATION)
    # A program that is linked with --gc-sections carries only what it uses.
    target_compile_options(duplex_compiled PRIVATE
                           $<$<CXX_COMPILER_ID:GNU,Clang,AppleClang>:-ffunction-sections;-fdata-sections>)
    set_target_properties(duplex_compiled PROPERTIES POSITION_INDEPENDENT_CODE ON)
endif()
